"""Predictions of chapter 4."""

from labcore import text
from labcore.lesson.predictions.entries import Prediction, Quantity, Reason

__all__ = ["PREDICTIONS"]


def _points(key: str, label: str) -> Quantity:
    return Quantity(key, label, 0, -100, 100, text.points, unit=0.01)


PREDICTIONS = (
    Prediction(
        "4.no_alpha",
        "We delete alpha, so that binary weights are -1 and 1, and train again. In the XNOR-Net paper accuracy falls "
        "from 56.8 to 35.4 percent. By how many points does it change here, with batch norm and without?",
        (_points("with_batch_norm", "points, batch norm"), _points("without_batch_norm", "points, no batch norm")),
        (
            Reason(
                "size_is_lost", "The size of the weights is lost, so both networks lose accuracy.",
                "Batch norm divides by the spread of what a filter gives. One number for a filter changes little for "
                "it.",
            ),
            Reason(
                "training_adapts", "Training finds weights that do without alpha, in both networks.",
                "Binary weights cannot become smaller. Without batch norm, nothing makes the sums of a layer smaller.",
            ),
            Reason(
                "as_in_the_paper", "What was lost in the paper is lost here too, whatever the network.",
                "The paper sets its method beside another one, trained in another way. Here alpha alone is deleted.",
            ),
            Reason(
                "one_number", "Alpha is one number for many weights, too little to matter.",
                "It is the only number that says how large a filter is. Sums of many ones and minus ones are large.",
            ),
        ),
    ),
    Prediction(
        "4.task_ladder",
        "Five tasks of rising difficulty: the easiest has two kinds of garments, the hardest a hundred pairs of them. "
        "All weights and activations in the middle become signs. By how many points does accuracy change?",
        (_points("easiest", "points, easiest task"), _points("hardest", "points, hardest task")),
        (
            Reason(
                "same_price", "The network loses the same bits on each task, so it loses the same accuracy.",
                "An easy task leaves room to spare: much less than the float network would solve it too.",
            ),
            Reason(
                "less_to_lose", "On a hard task the float network is poor too, so there is less to lose.",
                "A poor accuracy does not mean room to spare: the float network uses all that it has.",
            ),
            Reason(
                "training_makes_up", "The network is trained with signs, so training makes up for them on any task.",
                "Training makes up for a part. How much of it depends on how much the task asks of the network.",
            ),
            Reason(
                "only_easy", "A network of signs solves easy tasks, and guesses on hard ones.",
                "It is far better than a guess on the hard task too. The gap grows, it does not become everything.",
            ),
        ),
    ),
    Prediction(
        "4.file_and_clock",
        "One bit stands where 32 stood, and one operation on a word replaces 64 products. How many times smaller is "
        "the file of the network? How many times faster is a binary convolution than the float library's?",
        (
            Quantity("file", "times smaller file", 1, 0.1, 100, text.times),
            Quantity("clock", "times faster", 1, 0.1, 100, text.times),
        ),
        (
            Reason(
                "bits_decide", "32 bits became one, so the file is 32 times smaller.",
                "Only the binary layers shrink. First and last layer, alphas, batch norm and names stay as they were.",
            ),
            Reason(
                "words_decide", "64 products in one operation are 64 times faster.",
                "The float library computes many products at once too. Signs must be taken and packed before they "
                "count.",
            ),
            Reason(
                "made_for_floats", "Processors are made for floating point, so bits bring no speed.",
                "Every processor has instructions for XOR and for counting ones, and one of them reads many weights.",
            ),
            Reason(
                "in_step", "File and time shrink by the same factor, as time is spent on reading weights.",
                "A convolution uses each weight many times. Its time goes into arithmetic, not into reading weights.",
            ),
        ),
    ),
)  # fmt: skip
