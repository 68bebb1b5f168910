"""Make shipped files again: ``python -m labcore.recipes [fashion14 | MODEL | widths ...]``, default all."""

import datetime
import hashlib
import json
import sys
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from labcore import runtime
from labcore.recipes.aware_weights import make_aware_weights
from labcore.recipes.binary import make_binary_ways, make_ladder, make_partial_binary, make_shortcuts
from labcore.recipes.binary_plain import make_connect, make_flat
from labcore.recipes.distillation_chains import make_assistants, make_chains
from labcore.recipes.distillation_digits import (
    make_few_labels,
    make_new_classes,
    make_slow_students,
    make_temperature,
    make_unseen_digit,
)
from labcore.recipes.distillation_grid import make_students
from labcore.recipes.fashion14 import make_fashion14
from labcore.recipes.learned_ranges import make_learned_ranges
from labcore.recipes.pruning_channels import make_filters, make_slimming
from labcore.recipes.pruning_masks import make_gradual, make_scores_at_init, make_two_four
from labcore.recipes.pruning_rounds import make_lottery, make_saw
from labcore.recipes.pruning_zoo import make_score_zoo
from labcore.recipes.quantization import make_quantization
from labcore.recipes.weights import RECIPES, make_weights
from labcore.recipes.widths import make_widths

SHIPPED = Path(str(resources.files("labcore"))) / "shipped"

# Each gives files by name: (bytes, what the manifest says).
MAKERS: dict[str, Callable[[], dict[str, tuple[bytes, dict]]]] = {
    "fashion14": lambda: {"fashion14.npz": make_fashion14()},
    **{name: lambda name=name: {f"{name}.safetensors": make_weights(name)} for name in RECIPES},
    "widths": make_widths,
    "saw": make_saw,
    "lottery": make_lottery,
    "scores_at_init": make_scores_at_init,
    "filters": make_filters,
    "gradual": make_gradual,
    "slimming": make_slimming,
    "two_four": make_two_four,
    "score_zoo": make_score_zoo,
    "quantization": make_quantization,
    "aware_weights": make_aware_weights,
    "learned_ranges": make_learned_ranges,
    "binary_ways": make_binary_ways,
    "binary_ladder": make_ladder,
    "partial_binary": make_partial_binary,
    "binary_shortcuts": make_shortcuts,
    "binary_flat": make_flat,
    "binary_connect": make_connect,
    "temperature": make_temperature,
    "slow_students": make_slow_students,
    "few_labels": make_few_labels,
    "unseen_digit": make_unseen_digit,
    "new_classes": make_new_classes,
    "students": make_students,
    "chains": make_chains,
    "assistants": make_assistants,
}


def ship(what: str) -> None:
    """Run one recipe, write its files and their entries in the manifest."""
    started = time.perf_counter()
    files = MAKERS[what]()
    manifest = runtime.read_manifest()
    for name, (payload, facts) in files.items():
        runtime.write_atomically(SHIPPED / name, payload)
        manifest[name] = {
            "sha256": hashlib.sha256(payload).hexdigest(),
            "made_by": f"python -m labcore.recipes {what}",
            "date": datetime.date.today().isoformat(),
            "seconds": round(time.perf_counter() - started, 1),
            "versions": {"torch": torch.__version__.split("+")[0], "numpy": np.__version__},
            **facts,
        }
    text = json.dumps(dict(sorted(manifest.items())), indent=1)
    runtime.write_atomically(SHIPPED / "manifest.json", (text + "\n").encode())


def main(arguments: list[str]) -> None:
    """Make what is named, or everything."""
    if unknown := set(arguments) - MAKERS.keys():
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; choose from: {', '.join(MAKERS)}")
    for what in arguments or MAKERS:
        print(f"making {what}", flush=True)
        ship(what)


if __name__ == "__main__":
    main(sys.argv[1:])
