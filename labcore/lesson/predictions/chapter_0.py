"""Predictions of chapter 0."""

from labcore import text
from labcore.lesson.predictions.entries import Prediction, Quantity, Reason

__all__ = ["PREDICTIONS"]

PREDICTIONS = (
    Prediction(
        "0.half_width",
        "We halve the width of every hidden layer and train the narrower network in the same way. How many times "
        "fewer parameters does it have? By how many points does its accuracy change?",
        (
            Quantity("parameters", "times fewer parameters", 1, 1, 100, text.times),
            Quantity("accuracy", "points of accuracy", 0, -100, 100, text.points, unit=0.01),
        ),
        (
            Reason(
                "half_of_all", "Half the width means half of everything.",
                "A layer between two hidden layers has half the inputs and half the outputs, so a quarter of the "
                "weights.",
            ),
            Reason(
                "exactly_a_quarter", "Every layer keeps exactly a quarter of its weights.",
                "The first and the last layer have one side that cannot shrink: the image and the classes.",
            ),
            Reason(
                "in_step", "Accuracy falls in step with the number of parameters.",
                "Accuracy falls much more slowly than the number of parameters.",
            ),
            Reason(
                "free", "The network is far too large, so nothing is lost.",
                "Something is lost: compare the change with the spread between the seeds and with your floor.",
            ),
        ),
    ),
)  # fmt: skip
