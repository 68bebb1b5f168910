"""Predictions of chapter 1."""

from labcore import text
from labcore.lesson.predictions.entries import Prediction, Quantity, Reason

__all__ = ["PREDICTIONS"]

PREDICTIONS = (
    Prediction(
        "1.order_by_harm",
        "We remove weights from a trained network in three ways and do not train it again: A the 70 % smallest, "
        "B 30 % at random, C the 1 % largest. By how many points does each change the accuracy?",
        tuple(
            Quantity(key, f"points for {name}", 0, -100, 100, text.points, unit=0.01)
            for key, name in (
                ("smallest", "A"), ("random", "B"), ("largest", "C"),
            )
        ),
        (
            Reason(
                "by_count", "The more weights go, the greater the harm.",
                "Harm depends on what the removed weights did to the outputs, not on how many they are.",
            ),
            Reason(
                "too_few_to_matter", "One weight in a hundred is too little to matter.",
                "The largest weights carry most of what a layer passes on, and nothing else replaces them at once.",
            ),
            Reason(
                "random_spreads", "Random removal spreads the harm, so the network hardly notices it.",
                "Random removal takes large weights too, and in every layer: each output moves a little.",
            ),
            Reason(
                "all_needed", "Training gave every weight the value that it needs, so all three ruin it.",
                "Most trained weights lie near 0 and hardly move any output: not every weight is needed.",
            ),
        ),
    ),
    Prediction(
        "1.forgotten_mask",
        "We set the 95 % smallest weights to 0 and train the network on, but forget the mask in training. Which "
        "share of the weights is 0 at the end?",
        (Quantity("zeros", "percent zeros at the end", 95, 0, 100, text.percent, unit=0.01),),
        (
            Reason(
                "zero_stays", "A weight of 0 passes nothing on, so it gets no gradient and stays 0.",
                "The gradient of a weight is its input times the error at its output. Its own value is no factor.",
            ),
            Reason(
                "only_needed_return", "Only the weights that the network needs come back.",
                "A step of training does not choose: it moves every weight whose gradient is not exactly 0.",
            ),
            Reason(
                "pulled_back", "Weight decay pulls the small weights back to 0.",
                "Weight decay makes a weight smaller by a share of itself. It comes near 0, but not to exactly 0.",
            ),
            Reason(
                "accuracy_tells", "If the zeros were lost, the accuracy would fall, and we would see it.",
                "With more free weights the accuracy may even rise. Only counting the zeros shows what happened.",
            ),
        ),
    ),
)  # fmt: skip
