"""A product of signs by bits: xor, popcount, and the padding that must not be counted."""

import ipywidgets as widgets
import numpy as np

from labcore import binarize
from labcore.plots import BitRows
from labcore.results import BitProduct
from labcore.widgets.panel import Panel, Scene

__all__ = ["bit_by_bit"]

_WORD = 8
_SIGNS = {"+": 1, "-": -1}
# The first five signs of the first pair are those of the exercise.
_PAIRS = {
    "of the exercise": ("+-++-+-+", "++-+--++"),
    "all equal": ("+-++-+-+", "+-++-+-+"),
    "all opposite": ("+-++-+-+", "-+--+-+-"),
}
_SEEDS = 1, 2


def bit_by_bit() -> Panel:
    """Panel: two vectors, their length -> their bits in a word of 8, xor, popcount and the product."""
    pairs = {name: [[_SIGNS[sign] for sign in each] for each in pair] for name, pair in _PAIRS.items()}
    for seed in _SEEDS:
        pairs[f"random, seed {seed}"] = np.random.default_rng(seed).choice((-1, 1), (2, _WORD)).tolist()

    def compute(pair: str, length: int) -> BitProduct:
        a, b = pairs[pair]
        return binarize.report_bits(a[:length], b[:length], word=_WORD)

    return Panel(
        "A product by bits",
        {
            "pair": widgets.Dropdown(description="signs", options=list(pairs)),
            "length": widgets.IntSlider(description="real signs n", value=5, min=1, max=_WORD),
        },
        compute,
        BitRows(_WORD),
        scenes=(
            Scene("5 of 8 bits", {}, "p = 2, so the product is 5 - 4 = 1; with the word's 8 bits it would be 4"),
            Scene("full word", {"length": _WORD}, "no padding is left: both ways give the same"),
            Scene("equal vectors", {"pair": "all equal"}, "no bit differs, p = 0: the product is n"),
            Scene("opposite", {"pair": "all opposite"}, "all n bits differ: the product is -n"),
        ),
    )  # fmt: skip
