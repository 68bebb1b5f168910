"""Predictions of chapter 3."""

from labcore import text
from labcore.lesson.predictions.entries import Prediction, Quantity, Reason

__all__ = ["PREDICTIONS"]


def _of_100(share: float) -> str:
    return f"{text.count(100 * share)} of 100"


PREDICTIONS = (
    Prediction(
        "3.digit_nobody_showed",
        "A teacher knows all ten digits. Its student learns from the teacher's outputs alone and never sees a 3: no "
        "image, no label. How many of 100 threes does it recognise afterwards, with temperature 1 and with "
        "temperature 20?",
        tuple(
            Quantity(f"temperature_{temperature}", f"threes of 100, T = {temperature}", 0, 0, 100, _of_100, unit=0.01)
            for temperature in (1, 20)
        ),
        (
            Reason(
                "never_seen", "What a network has never seen it cannot know.",
                "The teacher says of every other digit how much it looks like a 3. From this the student learns.",
            ),
            Reason(
                "labels_teach", "A class is learned from its labels, and there is none.",
                "The teacher's outputs give each image a share of every class, and so of the missing class too.",
            ),
            Reason(
                "temperature_blurs", "A high temperature only blurs what the teacher says.",
                "At temperature 1 the small shares are almost 0. A high temperature makes them large enough to learn.",
            ),
            Reason(
                "copy_of_teacher", "The student copies the teacher, so it knows the 3 as well as the teacher.",
                "A 3 was never the largest share of any image. So the student gives the 3 too rarely.",
            ),
        ),
    ),
)  # fmt: skip
