"""Predictions of chapter 4, one a beat."""

from labcore import text
from labcore.lesson.predictions.entries import Prediction, Quantity, Reason

__all__ = ["PREDICTIONS"]


def _points(key: str, label: str) -> Quantity:
    return Quantity(key, label, 0, -100, 100, text.points, unit=0.01)


def _percent(key: str, label: str) -> Quantity:
    return Quantity(key, label, 0, 0, 100, text.percent, unit=0.01)


PREDICTIONS = (
    Prediction(
        "4.third_value",
        "Every weight of a trained layer becomes alpha or -alpha; each filter has its best alpha. How large is the "
        "squared error, in percent of the squared weights? And if a weight may also become 0?",
        (_percent("two_values", "percent, two values"), _percent("three_values", "percent, three values")),
        (
            Reason(
                "one_bit_of_32", "One bit of 32 is left, so nearly all of a weight is lost.",
                "The 32 bits do not say equally much. The sign says most, and alpha gives the size of a typical "
                "weight.",
            ),
            Reason(
                "sign_is_all", "The sign holds all that matters, so the error is almost 0.",
                "The weights of a filter differ in size. A weight near 0 becomes as large as all the others.",
            ),
            Reason(
                "zero_removes", "A weight that becomes 0 is lost, so the third value makes the error larger.",
                "For a weight near 0 the nearest of the three values is 0. Alpha then fits the large weights better.",
            ),
            Reason(
                "by_count", "Three values are half as many again as two, so the error falls by a third.",
                "The number of values does not decide, but where they lie. Most weights lie near 0.",
            ),
        ),
    ),
    Prediction(
        "4.signs_that_change",
        "A network with binary weights is trained, from random weights. Which percent of its binary weights have "
        "another sign after the first step? And after the last step, compared with the start?",
        (_percent("first_step", "percent, first step"), _percent("last_step", "percent, last step")),
        (
            Reason(
                "no_slope", "The sign has slope 0, so no sign ever changes.",
                "In training a straight line stands in for the sign. So the gradient reaches the weights underneath.",
            ),
            Reason(
                "all_move", "Each step moves all weights, so most signs change at once.",
                "A step moves each weight underneath a little. Only a weight that lies close to 0 gets across.",
            ),
            Reason(
                "half_are_wrong", "Half of the random signs are wrong, so half of them change.",
                "No weight has one right sign. The other weights adapt to it, so many keep the sign they started with.",
            ),
            Reason(
                "steady", "Each step changes as many signs as the first one.",
                "Fewer and fewer signs change. A weight that moved away from 0 needs many steps to come back.",
            ),
        ),
    ),
    Prediction(
        "4.no_alpha",
        "We delete alpha, so that binary weights are -1 and 1, and train again. In the XNOR-Net paper accuracy falls "
        "from 56.8 to 35.4 percent. By how many points does it change here, with batch norm and without?",
        (_points("with_batch_norm", "points, batch norm"), _points("without_batch_norm", "points, no batch norm")),
        (
            Reason(
                "size_is_lost", "The size of the weights is lost, so both networks lose accuracy.",
                "Batch norm divides by the spread of what a filter gives. One number for a filter changes nothing for "
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
        "4.block_order",
        "Weights and activations are signs. Max pooling reads the sums of a convolution; batch norm and sign follow. "
        "Now batch norm and sign come first, and the pooling reads signs. By how many points does accuracy change?",
        (_points("accuracy", "points of accuracy"),),
        (
            Reason(
                "order_is_free", "The largest value stays the largest, so the order does not matter.",
                "Sign and pooling may be swapped, but batch norm may not: after the pooling it centres the values "
                "again.",
            ),
            Reason(
                "less_to_lose", "A sign holds so little that pooling it loses less.",
                "One +1 among four signs is enough. After the pooling most are +1, and they say even less.",
            ),
            Reason(
                "training_repairs", "Training adapts to any order.",
                "Training adapts in part. But four signs of which one is +1 and four that are +1 stay alike.",
            ),
            Reason(
                "needs_numbers", "Pooling needs real numbers, so a network that pools signs only guesses.",
                "A pooled sign still says whether one of the four was positive. This is less, but not nothing.",
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
