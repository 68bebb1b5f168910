"""Claims and statements of chapter 4: binary and ternary networks."""

from labcore import text
from labcore.lesson.claim_table.entries import LESS, MEMORY, OURS, Bound, Claim, Statement, Trial, lost

__all__ = ["CLAIMS", "STATEMENTS"]

_XNOR = "XNOR-Net (Rastegari et al. 2016, arXiv 1603.05279v4)"
_CONNECT = "BinaryConnect (Courbariaux et al. 2015, arXiv 1511.00363)"
_TERNARY = "Ternary weight networks (Li et al. 2016, arXiv 1605.04711)"


def _error(share: float) -> str:
    return f"{text.percent(share, 2)} of the squared weights"


def _differ(n: float) -> str:
    return f"{text.count(n)} products differ"


CLAIMS = {
    claim.id: claim
    for claim in (
        Claim(
            "1a", 4, "Counting operations, a 3x3 layer of 256 channels becomes 62 times faster.",
            f"{_XNOR}, section 3.2", "62.27", Bound(62.26, 62.28), "holds", show=text.times, exact=True,
        ),
        Claim(
            "1b", 4, "A first layer of 3 channels, 1x1, hardly gains: 2.9 times.", f"{_XNOR}, section 3.2", "2.87",
            Bound(2.86, 2.88), "holds", show=text.times, exact=True,
        ),
        Claim(
            "2a", 4, "alpha = mean |W| leaves the error 1 - 2 / pi of normal weights.", f"{_XNOR}, equation 6",
            "(by the formula) 36.34 %", Bound(0.3584, 0.3684), "holds", show=_error,
        ),
        Claim(
            "2b", 4, "An alpha that is 10 % off leaves more: the better of both, over the best.",
            f"{_XNOR}, equation 6", "the minimum", Bound(low=1.01), "holds", show="{:.4f} times the error".format,
        ),
        Claim(
            "3", 4, "n - 2 popcount(a xor b) is the product of signs.", f"{_XNOR}, section 3.2", "equal", Bound(0, 0),
            "holds", show=_differ, exact=True,
        ),
        Claim(
            "4a", 4, "Binary weights lose little against real ones.", f"{_XNOR}, table 1",
            "56.6 real, 56.8 binary weights (AlexNet)", Bound(0, 0.03), "holds", show=lost,
        ),
        Claim(
            "4b", 4, "Binary inputs besides lose more.", f"{_XNOR}, table 1", "56.8 to 44.2 (AlexNet)",
            Bound(0.01, 0.05), "holds", show=lost,
        ),
        Claim(
            "5", 4, "Batch norm and sign belong after the pooling: gain over pooled signs.", f"{_XNOR}, table 3b",
            "30.3 pooled signs, 44.2 (AlexNet)", Bound(low=0.015), "holds", show=text.points,
        ),
        Claim(
            "6", 4, "K, the size of what each position reads, is worth less than a point.", f"{_XNOR}, section 3.2",
            "less than 1 point", Bound(-0.01, 0.01), "holds", show=text.points,
        ),
        Claim(
            "7", 4, "Without batch norm alpha decides: gain over alpha 1.", f"{_XNOR}, table 1",
            "35.4 without, 56.8 with alpha (AlexNet)", Bound(low=0.2), "holds", show=text.points,
        ),
        Claim(
            "8a", 4, "With batch norm alpha decides too: gain over alpha 1.", f"{_XNOR}, table 1",
            "35.4 without, 56.8 with alpha (AlexNet)", Bound(low=0.015), "does not reproduce", show=text.points,
            reason="batch norm divides by the spread of a channel, and alpha with it",
        ),
        Claim(
            "8b", 4, "An alpha that is learned is far worse than mean |W|.", f"{_XNOR}, table 3a",
            "46.2 learned, 56.8 mean (AlexNet)", Bound(low=0.015), "does not reproduce", show=lost,
            reason="it starts at mean |W|, and batch norm makes up for what becomes of it",
        ),
        Claim(
            "9", 4, "Deterministic BinaryConnect comes near the real network.", f"{_CONNECT}, table 2",
            "1.29 % wrong, 1.30 % real (MNIST)", Bound(-0.01, 0.01), "holds", show=lost, footnote=MEMORY,
        ),
        Claim(
            "10", 4, "BinaryConnect regularizes: accuracy on training images, real minus stochastic.",
            f"{_CONNECT}, figure 3", "training costs rise", Bound(low=0.01), "holds", show=text.points, footnote=MEMORY,
        ),
        Claim(
            "11", 4, "Stochastic BinaryConnect ends above the deterministic one.", f"{_CONNECT}, table 2",
            "1.18 % wrong against 1.29 % (MNIST, 1,000 epochs)", Bound(low=0.001), "does not reproduce",
            show=text.points, footnote=MEMORY,
            reason="noise slows training; the paper trains for up to 1,000 epochs, and here there are 25",
        ),
        Claim(
            "35a", 4, "A third value, 0, takes the error of normal weights from 0.36 to 0.19.",
            f"{_TERNARY}, section 2", "(by the formula) 0.19", Bound(0.18, 0.20), "holds", show=_error,
        ),
        Claim(
            "35b", 4, "Put on a trained network without training again, three values keep more accuracy than two.",
            f"{_TERNARY}, section 2", "the nearer approximation", Bound(low=0.1), "holds", show=text.points,
        ),
        Claim(
            "35c", 4, "Trained, without batch norm, three values stay ahead of two.", f"{_TERNARY}, table 2",
            "99.35 against 99.05 (MNIST)", Bound(low=0.003), "holds", show=text.points, footnote=MEMORY,
        ),
        Claim(
            "56", 4, "The harder the task, the more one bit costs: rank correlation of gap and difficulty.", OURS,
            "(no paper) 0.9 or more", Bound(low=0.9), "holds", show="{:.2f}".format,
        ),
        Claim(
            "57", 4, "With the first and the last layer real, at least half of the gap is won back (hardest task).",
            f"{_XNOR}, section 3.2", "both stay real", Bound(low=0.5), "holds",
            show=lambda share: f"{text.percent(share, 0)} won back",
        ),
    )
}  # fmt: skip

_NEAR = {"measures": "accuracy", "bound": Bound(high=0.01), "show": lost, "exact": False}
_FASTER = {"measures": "a convolution of signs is", "bound": Bound(low=1), "exact": False, "timing": True}
_VALUES = {"measures": "different values", "show": text.count}

STATEMENTS = {
    statement.id: statement
    for statement in (
        Statement("S32", 4, "Weights and activations are limited to -1 and 1, or to -1, 0 and 1.", {
            "binary": Trial("the codes of a binary layer are counted", bound=Bound(2, 2), expected=True, **_VALUES),
            "ternary": Trial("those of a ternary layer are counted", bound=Bound(3, 3), expected=True, **_VALUES),
            "activations": Trial(
                "what a binary layer reads is counted", bound=Bound(2, 2), expected=True, **_VALUES
            ),
        }),
        Statement("S33", 4, "BinaryConnect and BinaryNet put the sign in the place of real numbers.", {
            "weights": Trial("the weights are signs, two garments", expected=True, **_NEAR),
            "all": Trial("activations are signs too, two garments", expected=True, **_NEAR),
            "hard": Trial("activations are signs too, pairs of garments", expected=False, **_NEAR),
        }),
        Statement("S34", 4, "XNOR-Net computes convolutions by XNOR and bit count.", {
            "exact": Trial(
                "it is compared with a convolution of floats", "sums that differ:", Bound(0, 0), True, show=text.count
            ),
            "end_to_end": Trial(
                "a network is read from its packed file", "predictions that differ:", Bound(0, 0), True, show=text.count
            ),
        }),
        Statement("S35", 4, "W * X is about alpha (sign(W) * X): alpha keeps the magnitude.", {
            "error": Trial(
                "no network is trained", "error with alpha, as a share of that with alpha 1,", LESS, True,
                show=text.percent, exact=False,
            ),
            "plain": Trial(
                "there is no batch norm", "gain by alpha", Bound(low=0.03), True, show=text.points, exact=False
            ),
            "norm": Trial(
                "batch norm follows", "gain by alpha", Bound(low=0.03), False, show=text.points, exact=False
            ),
        }),
        Statement("S36", 4, "The model becomes up to 32 times smaller.", {
            "layers": Trial(
                "only the binary layers are counted", "times smaller:", Bound(low=27, high=32), True, show=text.times
            ),
            "file": Trial(
                "the whole file is weighed", "times smaller:", Bound(low=27, high=32), False, show=text.times,
                exact=False,
            ),
        }),
        Statement("S37", 4, "Bitwise operations make inference fast.", {
            "naive": Trial("it is compared with a plain loop over floats", expected=True, show=text.times, **_FASTER),
            "library": Trial("it is compared with a tuned library", expected=True, show=text.times, **_FASTER),
            "paper": Trial(
                "58 times is asked of a tuned library", "a convolution of signs is", Bound(low=58), False,
                show=text.times, exact=False, timing=True,
            ),
        }),
        Statement("S38", 4, "On complex tasks the loss of accuracy is significant.", {
            "easiest": Trial(
                "two garments", "points lost", Bound(low=0.03), False, show=lost, exact=False
            ),
            "hardest": Trial("pairs of garments", "points lost", Bound(low=0.03), True, show=lost, exact=False),
        }),
        Statement("S39", 4, "Partial binarization mitigates the loss.", {
            "ends": Trial(
                "the first and the last layer stay real", "share of the gap won back", Bound(low=0.5), True,
                show=text.percent, exact=False,
            ),
            "last": Trial(
                "only the last layer stays real", "share of the gap won back", Bound(low=0.1), True,
                show=text.percent, exact=False,
            ),
        }),
    )
}  # fmt: skip
