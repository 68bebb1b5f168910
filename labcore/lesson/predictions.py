"""What learners are asked: predictions before an experiment, and the self-test at the start of the course."""

from collections.abc import Callable
from dataclasses import dataclass

from labcore import text

__all__ = ["PREDICTIONS", "SELF_TEST", "Prediction", "Quantity", "Reason", "SelfTestQuestion"]


@dataclass(frozen=True)
class Quantity:
    """A number to predict.

    Attributes:
        key: names it in the learner's record and in `quiz.reveal`.
        label: what it is, with its unit.
        unchanged: where its fields start: the value of "nothing changes".
        smallest, largest: what its fields take.
        shown: the measured number as text.
        unit: one unit of a field as a measured number (0.01 for points, as measurements are fractions).
    """

    key: str
    label: str
    unchanged: float
    smallest: float
    largest: float
    shown: Callable[[float], str]
    unit: float = 1


@dataclass(frozen=True)
class Reason:
    """One of the four answers to "why?": a known misconception, and what the experiment says to it."""

    key: str
    words: str
    reply: str


@dataclass(frozen=True)
class Prediction:
    """A question that the next experiment answers."""

    id: str
    question: str
    quantities: tuple[Quantity, ...]
    reasons: tuple[Reason, Reason, Reason, Reason]


@dataclass(frozen=True)
class SelfTestQuestion:
    """A question about what the course builds on; `advice` and `link` are for a miss."""

    question: str
    choices: tuple[str, ...]
    right: int
    advice: str
    link: str


PREDICTIONS: dict[str, Prediction] = {
    prediction.id: prediction
    for prediction in (
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
    )
}  # fmt: skip


SELF_TEST: tuple[SelfTestQuestion, ...] = (
    SelfTestQuestion(
        "A convolution has 3x3 kernels, 1 input channel and 16 output channels. What are its weights?",
        ("16 kernels of 3x3 numbers", "one kernel of 3x3 numbers", "one number for each pixel of the image"),
        0,
        "Each output channel has a kernel of its own, and the same kernel is used at every position of the image.",
        "https://d2l.ai/chapter_convolutional-neural-networks/channels.html",
    ),
    SelfTestQuestion(
        "What does softmax make of the outputs of the last layer?",
        ("the largest output, all others 0", "positive numbers with the sum 1", "numbers between -1 and 1"),
        1,
        "Softmax turns any outputs into shares: each is positive and all together are 1.",
        "https://d2l.ai/chapter_linear-classification/softmax-regression.html",
    ),
    SelfTestQuestion(
        "Accuracy is 99 % on the training images and 80 % on the test images. What is this called?",
        ("overfitting", "underfitting", "a learning rate that is too low"),
        0,
        "A network that knows its training images much better than new ones overfits.",
        "https://d2l.ai/chapter_linear-regression/generalization.html",
    ),
    SelfTestQuestion(
        "How many bytes do 1,000 float32 numbers need?",
        ("1,000", "4,000", "32,000"),
        1,
        "A float32 number has 32 bits, and 8 bits are one byte.",
        "https://numpy.org/doc/stable/user/basics.types.html",
    ),
    SelfTestQuestion(
        "Why are test images kept apart from the training images?",
        (
            "so that training takes less time",
            "so that both sets hold every class",
            "so that accuracy is measured on images the network has never seen",
        ),
        2,
        "What counts is how the network answers on images that had no part in its training.",
        "https://d2l.ai/chapter_linear-classification/generalization-classification.html",
    ),
    SelfTestQuestion(
        "What does one step of gradient descent do to a weight w with gradient g?",
        ("w becomes g", "w moves a small step against g", "w moves a small step along g"),
        1,
        "The gradient points to where the loss grows, so the step goes the other way.",
        "https://d2l.ai/chapter_optimization/gd.html",
    ),
    SelfTestQuestion(
        "Three runs give 86, 87 and 88 % accuracy. What are their mean and sample standard deviation?",
        ("87 % and 1 point", "87 % and 2 points", "86 % and 88 points"),
        0,
        "The mean says where the runs lie, the standard deviation how far they typically lie from it.",
        "https://docs.python.org/3/library/statistics.html",
    ),
    SelfTestQuestion(
        "x = [10, 20, 30, 40]. What is x[1:3]?",
        ("[10, 20, 30]", "[20, 30, 40]", "[20, 30]"),
        2,
        "Counting begins at 0, and the end of a slice is left out.",
        "https://docs.python.org/3/tutorial/introduction.html#lists",
    ),
)
