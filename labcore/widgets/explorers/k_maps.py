"""What K knows: how large inputs were, and whether that brings signs nearer to real numbers."""

import ipywidgets as widgets
from torch import nn

from labcore import binarize
from labcore.data import Dataset
from labcore.plots import SizeMapRow
from labcore.results import InputSizes
from labcore.widgets.panel import Panel, Scene

__all__ = ["k_maps"]

_IMAGES = 500


def k_maps(model: nn.Module, data: Dataset) -> Panel:
    """Panel: image, layer, channel -> A, K, three convolutions, and the error without and with K.

    Args:
        model: with binary convolutions, trained.
        data: images of one channel that it was trained on; the first test image of each class can be shown.
    """
    images, labels = data.test_images[:_IMAGES], data.test_labels[:_IMAGES].tolist()
    maps = {layer: binarize.make_size_maps(model, layer, images) for layer in binarize.binary_layers(model)}
    layers, shown = list(maps), {name: labels.index(label) for label, name in enumerate(data.class_names)}

    def compute(image: int, layer: str, channel: int) -> InputSizes:
        return binarize.report_sizes(maps[layer], images, image, channel)

    return Panel(
        "What K knows",
        {
            "image": widgets.Dropdown(description="image", options=list(shown.items())),
            "layer": widgets.Dropdown(description="layer", options=layers),
            "channel": widgets.IntSlider(
                description="channel", value=0, min=0, max=min(each.real.shape[1] for each in maps.values()) - 1
            ),
        },
        compute,
        SizeMapRow(_IMAGES),
        scenes=(
            Scene(
                "small inputs", {"image": shown["sneaker"]},
                "K is below 1 everywhere: sums that were too small become smaller, and the error rises",
            ),
            Scene(
                "large inputs", {"image": shown["trouser"]},
                "K passes 1 where inputs are large: for this image the error falls a little",
            ),
            Scene(
                "a factor a channel", {},
                "a batch norm behind can bring such factors: then K helps this layer by 0.03 to 0.04",
            ),
            Scene(
                "conv3", {"layer": layers[-1]},
                "a map of nine: K mostly says where the border is, and the error rises in both ways",
            ),
        ),
    )  # fmt: skip
