"""Model Compression Lab: what the chapters call.

The layers, lowest first: `runtime`, `results`, `text`; `data`, `models`, `storage`, `surgery`, `training`,
`metrics`; `prune`; `search`; `plots`; `lesson`, `widgets`; `recipes`. A module imports only from lower layers.
"""

__version__ = "0.1.0"
