"""One output of the first convolution in whole numbers, step by step."""

import ipywidgets as widgets
from torch import nn

from labcore import quantize, surgery
from labcore.data import Dataset
from labcore.plots import IntegerSteps
from labcore.results import IntegerWalk
from labcore.widgets.panel import Panel, Scene

__all__ = ["integer_walk"]


def integer_walk(model: nn.Module, data: Dataset, layers: tuple[str, str], at: tuple[int, int, int]) -> Panel:
    """Panel: step, channel, accumulator -> the numbers that are known so far, and what they stand for.

    Args:
        model: a trained network.
        data: what it was trained on.
        layers: its first convolution, with a batch norm and a ReLU behind it, and the layer that reads it.
        at: (channel, row, column) of an output that is above 0.
    """
    image = data.test_images[0]
    folded = surgery.fold_batch_norm(model, image[None])
    static = quantize.apply_static(folded, [data.train_images[:250]], quantize.QuantConfig())
    read, made = (quantize.find_input_quantizer(static, layer).grid for layer in layers)
    first = static.get_submodule(layers[0])

    def compute(step: int, channel: int, accumulator: int) -> IntegerWalk:
        return quantize.report_walk(
            first, image, read, made, channel=channel, place=at[1:], step=step, accumulator_bits=accumulator
        )

    n_inputs = first.layer.weight[0].numel()
    return Panel(
        "A walk in whole numbers: one output of the first convolution",
        {
            "step": widgets.IntSlider(description="step", value=1, min=1, max=6),
            "channel": widgets.IntSlider(
                description="output channel", value=at[0], min=0, max=first.layer.out_channels - 1
            ),
            "accumulator": widgets.Dropdown(
                description="sum kept in", options=[("32 bits", 32), ("16 bits", 16), ("8 bits", 8)]
            ),
        },
        compute,
        IntegerSteps(f"{layers[0]}, row {at[1]}, column {at[2]}", n_inputs),
        scenes=(
            Scene("the codes", {"step": 3}, "real numbers above, whole numbers below; one scale for each row"),
            Scene("the sum", {"step": 4}, "products of 8-bit codes need more than 8 bits, their sum still more"),
            Scene("the output", {"step": 6}, "whole numbers end within a step of the floating-point output"),
            Scene("wrong turn: 8 bits", {"step": 6, "accumulator": 8}, "the sum wraps around: the output is far off"),
        ),
    )  # fmt: skip
