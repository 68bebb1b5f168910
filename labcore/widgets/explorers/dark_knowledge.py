"""Dark knowledge: what a teacher says of the classes that are not the answer."""

import ipywidgets as widgets
from torch import nn

from labcore import distill
from labcore.data import Dataset
from labcore.plots import SoftTargetBars
from labcore.results import SoftTargets
from labcore.training import predict
from labcore.widgets.panel import Panel, Scene

__all__ = ["dark_knowledge"]

_TEMPERATURES = (1, 2, 4, 8, 20)


def dark_knowledge(teacher: nn.Module, data: Dataset, pair: tuple[str, str]) -> Panel:
    """Panel: image, temperature -> the image, its softened probabilities, their entropy.

    Test images that the teacher answers rightly: of each class the one with the highest entropy; of the first class of
    `pair`, the one that comes nearest to the second class, and the one with the lowest entropy.

    Args:
        teacher: a trained network.
        data: what it was trained on.
        pair: names of two classes that look alike.
    """
    logits, labels = predict(teacher, data.batches())
    names, (label, second) = data.class_names, (data.class_names.index(name) for name in pair)
    chosen = distill.select_by_entropy(logits, labels)
    near, sure = f"{pair[0]}, nearly {pair[1]}", f"sure: {pair[0]}"
    images = {near: distill.select_between(logits, labels, label, second), sure: chosen[label][0]}
    images |= {f"ambiguous: {names[index]}": unsure for index, (_, unsure) in chosen.items()}

    def compute(image: str, temperature: float) -> SoftTargets:
        index = images[image]
        return distill.report_soft_targets(
            image, data.test_images[index], logits[index], int(labels[index]), temperature=temperature
        )

    return Panel(
        "Dark knowledge: what else does the teacher say?",
        {
            "image": widgets.Dropdown(description="image", options=list(images)),
            "temperature": widgets.SelectionSlider(
                description="temperature T", options=[(str(t), t) for t in _TEMPERATURES]
            ),
        },
        compute,
        SoftTargetBars(names),
        scenes=(
            Scene(near, {}, "two classes share nearly everything; the label tells of one only"),
            Scene("softened", {"temperature": 4}, "both still lead; every other class has a share to learn from"),
            Scene(sure, {"image": sure}, "at T = 1 the answer holds no more than the label"),
            Scene("sure, softened", {"image": sure, "temperature": 8}, "the same answer now ranks all other classes"),
            Scene("too soft", {"temperature": 20}, "all classes look nearly alike; the order is kept"),
        ),
    )
