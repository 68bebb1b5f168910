"""The self-test at the start of the course."""

from dataclasses import dataclass

__all__ = ["SELF_TEST", "SelfTestQuestion"]


@dataclass(frozen=True)
class SelfTestQuestion:
    """A question about what the course builds on; `advice` and `link` are for a miss."""

    question: str
    choices: tuple[str, ...]
    right: int
    advice: str
    link: str


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
