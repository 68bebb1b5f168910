"""Predictions of chapter 2."""

from labcore import text
from labcore.lesson.predictions.entries import Prediction, Quantity, Reason

__all__ = ["PREDICTIONS"]

PREDICTIONS = (
    Prediction(
        "2.cut_largest",
        "Every activation of a network is rounded to 0 or one of three positive levels, and the largest value sets the "
        "highest level. Now we lower the highest level and cut the 1 % largest values to it. By how many points does "
        "the accuracy change: does it fall, stay the same or rise?",
        (Quantity("accuracy", "points of accuracy", 0, -100, 100, text.points, unit=0.01),),
        (
            Reason(
                "largest_matter", "The largest values say the most, so cutting them must cost accuracy.",
                "They are not removed: they get the highest level, and stay the largest. What is lost is by how much.",
            ),
            Reason(
                "too_few_to_matter", "One value in a hundred is too little to change anything.",
                "The largest value alone sets the highest level, and with it the levels of all other values.",
            ),
            Reason(
                "levels_decide", "Three levels stay three levels, wherever they lie.",
                "Where they lie decides what is rounded to 0. Levels far above most values are hardly used.",
            ),
            Reason(
                "trained_without", "The network was trained without any cut, so every cut is an error for it.",
                "It was trained without rounding too. Two errors add up, and a small one can make the other smaller.",
            ),
        ),
    ),
)  # fmt: skip
