"""The lab's networks, small enough for a laptop, and their shipped weights.

All take images with values in [0, 1] and give logits.
"""

from labcore.models.blocks import BlockOrder as BlockOrder
from labcore.models.blocks import Shortcuts as Shortcuts
from labcore.models.blocks import make_blocks as make_blocks
from labcore.models.networks import DepthwiseSeparable as DepthwiseSeparable
from labcore.models.networks import ModelName as ModelName
from labcore.models.networks import make_mlp as make_mlp
from labcore.models.networks import make_model as make_model
from labcore.models.shipped import BlockLevel as BlockLevel
from labcore.models.shipped import load_blocks_ as load_blocks_
from labcore.models.shipped import load_model as load_model
from labcore.models.shipped import load_weights_ as load_weights_
from labcore.models.shipped import weight_differences as weight_differences
