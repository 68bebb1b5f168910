"""Claims and statements of chapter 1: pruning."""

from labcore import text
from labcore.lesson.claim_table.entries import LESS, MEMORY, OURS, Bound, Claim, Statement, Trial, lost

__all__ = ["CLAIMS", "STATEMENTS"]

_HAN = "Learning both weights and connections (Han et al. 2015, arXiv 1506.02626)"
_DEEP = "Deep Compression (Han et al. 2016, arXiv 1510.00149), table 8"
_LOTTERY = "The lottery ticket hypothesis (Frankle and Carbin 2019, arXiv 1803.03635)"
_SNIP = "SNIP (Lee et al. 2019, arXiv 1810.02340)"
_RETHINK = "Rethinking the value of network pruning (Liu et al. 2019, arXiv 1810.05270)"


CLAIMS = {
    claim.id: claim
    for claim in (
        Claim(
            "49a", 1, "The smallest 70 % of the weights hardly matter.", _HAN,
            "pruned without loss, after training again",
            Bound(high=0.02), "holds", show=lost,
        ),
        Claim(
            "49b", 1, "A random 30 % of the weights cost at least 8 points, mean of eight masks.", OURS,
            "(no paper) 8 points or more expected", Bound(low=0.08), "does not reproduce", show=lost,
            reason="this network bears it; it takes a random 70 % to break it, as the panel shows",
        ),
        Claim(
            "49c", 1, "The largest 1 % of the weights matter most.", _HAN, "large weights are kept",
            Bound(low=0.08), "holds", show=lost,
        ),
        Claim(
            "37a", 1,
            "Before tuning it matters which filters go: by gamma against at random, a quarter of the filters.",
            "Network slimming (Liu et al. 2017, arXiv 1708.06519)", "gamma tells which channels matter",
            Bound(low=0.03), "holds", show=text.points,
        ),
        Claim(
            "37d", 1, "Filters with a small L1 norm are a better choice than filters at random, before tuning.",
            "Pruning filters for efficient ConvNets (Li et al. 2016, arXiv 1608.08710)", "smallest norm goes first",
            Bound(low=0), "does not reproduce", show=text.points,
            reason="batch norm follows: scaling a filter changes no output, so its norm alone says little",
        ),
        Claim(
            "37b", 1, "After two epochs of tuning it hardly matters: best against worst choice.", _RETHINK,
            "the choice of weights is not essential", Bound(high=0.015), "holds", show=text.points,
        ),
        Claim(
            "37c", 1, "The same small shape trained from scratch is as good: from scratch against tuned.", _RETHINK,
            "72.77 to 73.08 from scratch, 72.56 tuned (ResNet-34-A)", Bound(-0.02, 0.02), "holds", show=text.points,
        ),
        Claim(
            "25a", 1, "Pruning to a twelfth in one cut breaks the network.", _HAN,
            "accuracy falls without training again",
            Bound(low=0.15), "holds", show=lost,
        ),
        Claim(
            "25b", 1, "Training again repairs it.", _HAN, "no loss at 12x", Bound(high=0.015), "holds", show=lost,
            footnote=MEMORY,
        ),
        Claim(
            "25c", 1, "At a thirty-second, eight rounds beat one cut with the same training (SGD).", _HAN,
            "iterative pruning goes further", Bound(low=0.003), "holds", show=text.points, footnote=MEMORY,
        ),
        Claim(
            "32a", 1, "With a fifth of the weights, the winning ticket learns faster than new weights under its mask.",
            _LOTTERY, "faster down to about a fifth", Bound(low=0.03), "holds", show=text.points, footnote=MEMORY,
        ),
        Claim(
            "32b", 1, "It also ends higher.", _LOTTERY, "better test accuracy", Bound(low=0.008), "holds",
            show=text.points, footnote=MEMORY,
        ),
        Claim(
            "32c", 1, "With a thirtieth of the weights the winning ticket is far ahead after 100 updates.", _LOTTERY,
            "3.6 % of the weights still learn", Bound(low=0.08), "holds", show=text.points, footnote=MEMORY,
        ),
        Claim(
            "33", 1, "Before training, SNIP beats a random choice by far at 98 %.", _SNIP, "98 % pruned at little loss",
            Bound(low=0.05), "holds", show=text.points, footnote=MEMORY,
        ),
        Claim(
            "33b", 1, "At 99 % it is ahead by still more.", _SNIP, "99 % pruned (LeNet-5)", Bound(low=0.15), "holds",
            show=text.points, footnote=MEMORY,
        ),
        Claim(
            "34", 1, "SNIP beats magnitude at initialization, at 98 % with Xavier's weights.", _SNIP,
            "scores need the data", Bound(low=0.02), "does not reproduce", show=text.points,
            reason="only at 98 %: at 99 %, and with PyTorch's default weights, SNIP does win",
        ),
        Claim(
            "36", 1, "A large network pruned gradually beats a small dense one with as many nonzero weights.",
            "To prune, or not to prune (Zhu and Gupta 2017, arXiv 1710.01878)", "large-sparse beats small-dense",
            Bound(low=0), "holds", show=text.points,
        ),
        Claim(
            "38", 1, "An L1 penalty pushes the scale of many channels to zero.",
            "Network slimming (Liu et al. 2017, arXiv 1708.06519)", "many scales end near zero",
            Bound(low=0.2), "holds", show=text.percent,
        ),
        Claim(
            "38b", 1, "Tuned without 40 % of its channels it loses little against training without a penalty.",
            "Network slimming (Liu et al. 2017, arXiv 1708.06519)", "6.34 % wrong before, 6.20 % after (VGG, CIFAR-10)",
            Bound(high=0.01), "holds", show=lost, footnote=MEMORY,
        ),
        Claim(
            "39b", 1, "Two of every four keep 74.4 % of the magnitude of normal weights; any half keeps 79.6 %.", OURS,
            "(no paper) 74.4 %", Bound(0.734, 0.754), "holds", show=text.percent,
        ),
        Claim(
            "39", 1, "Two of every four weights can go without loss after training again.",
            "Accelerating sparse deep neural networks (Mishra et al. 2021, arXiv 2104.08378)",
            "76.1 before, 76.2 after (ResNet-50)", Bound(-0.007, 0.007), "holds", show=text.points, footnote=MEMORY,
        ),
        Claim(
            "26a", 1, "For one image, a CSR matrix with 9 % of the weights is at least twice as fast as a dense one.",
            _DEEP, "2.5 to 9.3 times (batch 1)", Bound(low=2), "timing", show=text.times,
        ),
        Claim(
            "26b", 1, "For 64 images together, the advantage is gone.", _DEEP, "slower (batch 64)",
            Bound(high=1.3), "timing", show=text.times,
        ),
        Claim(
            "27", 1, "With half of the weights the sparse format is slower than the dense one.", OURS,
            "(no paper) slower", Bound(high=1), "timing", show=text.times,
        ),
        Claim(
            "50", 1, "Without half of its channels resnet18 speeds up by at least 0.75 of the fall in MACs.",
            OURS, "(no paper) 0.75 or more", Bound(low=0.75), "timing", show=text.times,
        ),
    )
}  # fmt: skip

_SMALL_LOSS = Bound(high=0.02)
_LOST = {"show": lost, "exact": False}
_CLOCK = {"exact": False, "timing": True}
_WITHOUT_70 = "points lost without 70 % of its weights"
_WITHOUT_FILTERS = "points lost without a quarter of the filters"

STATEMENTS = {
    statement.id: statement
    for statement in (
        Statement("S4", 1, "Many parameters contribute little to the prediction.", {
            "large_net": Trial("the network is large", _WITHOUT_70, _SMALL_LOSS, True, **_LOST),
            "small_net": Trial("the network is small", _WITHOUT_70, _SMALL_LOSS, False, **_LOST),
        }),
        Statement("S5", 1, "Weights under a threshold can be removed.", {
            "threshold": Trial("by hand", "points lost under the threshold", _SMALL_LOSS, True, **_LOST),
        }),
        Statement("S6", 1, "Whole neurons or filters with low contribution can be removed.", {
            "at_once": Trial("nothing is tuned", _WITHOUT_FILTERS, _SMALL_LOSS, False, **_LOST),
            "gamma": Trial("tuned, ranked by gamma", _WITHOUT_FILTERS, _SMALL_LOSS, True, **_LOST),
            "l1": Trial("tuned, ranked by norm", _WITHOUT_FILTERS, _SMALL_LOSS, True, **_LOST),
            "activation": Trial("tuned, ranked by activation", _WITHOUT_FILTERS, _SMALL_LOSS, True, **_LOST),
        }),
        Statement("S7", 1, "Unstructured sparsity is hard for hardware.", {
            "masked": Trial("the network is only masked", "time with 95 % zeros", Bound(low=0.8), True, **_CLOCK),
        }),
        Statement("S8", 1, "Structured pruning is friendly to hardware.", {
            "time": Trial("channels go", "time of a call with half the channels", LESS, True, **_CLOCK),
        }),
        Statement("S9", 1, "Train a large network, identify what is redundant, prune, fine-tune.", {
            "process": Trial("all four steps", "points lost at the end", _SMALL_LOSS, True, **_LOST),
        }),
        Statement("S10", 1, "Pruning reduces size and latency.", {
            "size_dense": Trial("size, zeros stored", "bytes", LESS, False),
            "size_packed": Trial("size, packed", "bytes", LESS, True),
            "time_masked": Trial("latency, masked", "time", LESS, False, **_CLOCK),
            "time_removed": Trial("latency, channels removed", "time", LESS, True, **_CLOCK),
        }),
        Statement("S11", 1, "Pruning eases deployment on small devices.", {
            "memory": Trial("channels go", "peak of activation memory", LESS, True),
        }),
        Statement("S12", 1, "Too aggressive pruning costs accuracy.", {
            "cliff": Trial("98 % go", "points lost", Bound(low=0.05), True, **_LOST),
        }),
        Statement("S13", 1, "Fine-tuning must be careful.", {
            "forgotten": Trial("the mask is forgotten", "zeros left", Bound(high=0.5), True, exact=False),
            "hasty": Trial(
                "steps are ten times too large", "points lost against the right rate", Bound(low=0.01), True, **_LOST
            ),
        }),
    )
}  # fmt: skip
