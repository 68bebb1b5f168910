"""Claims and statements of chapter 3: distillation."""

from labcore import text
from labcore.lesson.claim_table.entries import LESS, OURS, Bound, Claim, Statement, Trial, lost

__all__ = ["CLAIMS", "STATEMENTS"]

_HINTON = "Distilling the knowledge in a neural network (Hinton et al. 2015, arXiv 1503.02531), section 3"
_GRADIENT = "Distilling the knowledge in a neural network (Hinton et al. 2015, arXiv 1503.02531), section 2"


CLAIMS = {
    claim.id: claim
    for claim in (
        Claim(
            "28a", 3, "With a teacher the student makes fewer errors than alone: T = 20 against labels only, digits.",
            _HINTON, "74 errors distilled, 146 alone", Bound(low=0.012), "holds", show=text.points,
        ),
        Claim(
            "28b", 3, "For a student that is large enough, all temperatures from 8 on are alike: T = 8 against T = 20.",
            _HINTON, "all temperatures above 8 gave similar results", Bound(high=0.007), "holds", show=text.points,
        ),
        Claim(
            "29", 3, "A tiny student wants a low temperature: the better of T = 1 and T = 2 against T = 20.",
            _HINTON, "with 30 units, 2.5 to 4 worked better than higher or lower", Bound(low=0.01),
            "does not reproduce", show=text.points,
            reason="the order is the paper's, best in the middle, but the seeds spread as far as the temperatures",
        ),
        Claim(
            "29b", 3, "With 2 x 10 units it does: the better of T = 1 and T = 2 against T = 20.", _HINTON,
            "with 30 units, 2.5 to 4 worked better than higher or lower", Bound(low=0.01), "holds", show=text.points,
        ),
        Claim(
            "30a", 3, "A digit that the student never saw is recognised: T = 20, mean of the seeds.", _HINTON,
            "877 of 1,010 threes", Bound(low=0.4), "holds", show=text.percent,
        ),
        Claim(
            "30b", 3, "With a bias on its logit it is recognised more often.", _HINTON,
            "98.6 % of the threes, bias +3.5", Bound(low=0.65), "holds", show=text.percent,
        ),
        Claim(
            "30c", 3, "Without the teacher it is not: labels only, the best of all biases.", OURS,
            "(no paper) 5 % or less", Bound(high=0.05), "holds", show=text.percent,
        ),
        Claim(
            "31a", 3, "With T² the gradient of the soft term keeps its length: T = 4 against T = 8.", _GRADIENT,
            "relative contributions stay roughly unchanged", Bound(0.5, 2), "holds", show=text.times,
        ),
        Claim(
            "31b", 3, "Without T² it shrinks like 1 / T²: T = 8 against T = 4.", _GRADIENT, "to a quarter",
            Bound(0.125, 0.5), "holds", show=text.times,
        ),
        Claim(
            "54", 3, "A student fifteen times smaller than its teacher loses at most a point.", OURS,
            "(no paper) at most 1 point", Bound(high=0.01), "does not reproduce", show=lost,
            reason="alone it loses as much: with 10,000 labels the teacher's answers add nothing here",
        ),
        Claim(
            "55", 3, "With 50 labels, a teacher and images without labels gain at least 15 points.", OURS,
            "(no paper) 15 points or more", Bound(low=0.15), "holds", show=text.points,
        ),
    )
}  # fmt: skip

_GAIN = {"measures": "gain", "bound": Bound(low=0.01), "show": text.points, "exact": False}
_COST = {"bound": Bound(high=0.01), "show": lost, "exact": False}
_PULL = {"measures": "gradient at T = 4 against T = 8", "bound": Bound(0.5, 2), "show": text.times, "exact": False}

STATEMENTS = {
    statement.id: statement
    for statement in (
        Statement("S24", 3, "The student learns the teacher's distribution, not only the labels.", {
            "answers": Trial(
                "both are softened at T = 4", "distance to the teacher, as a share of that of the student alone,",
                LESS, True, show=text.percent, exact=False,
            ),
        }),
        Statement("S25", 3, "Soft outputs hold relations between classes (dark knowledge).", {
            "unseen": Trial(
                "T is 20", "threes recognised that nobody showed", Bound(low=0.4), True, show=text.percent, exact=False
            ),
        }),
        Statement("S26", 3, "Dark knowledge makes learning more efficient.", {
            "few": Trial("there are 50 labels", expected=True, **_GAIN),
            "all": Trial("there are 1,000 labels", expected=True, **_GAIN),
            "large_set": Trial("there are 10,000 labels", expected=False, **_GAIN),
        }),
        Statement("S27", 3, "The loss weighs labels and teacher with alpha, and the teacher's term with T².", {
            "with_factor": Trial("the factor T² is there", expected=True, **_PULL),
            "without": Trial("the factor is left out", expected=False, **_PULL),
        }),
        Statement("S28", 3, "Comparable accuracy with significantly fewer parameters.", {
            "large": Trial("the student has 2.6 times fewer parameters (digits)", "accuracy", expected=False, **_COST),
            "small": Trial("the student has 15 times fewer (garments)", "accuracy", expected=False, **_COST),
        }),
        Statement("S29", 3, "Deployment without retraining the large model.", {
            "frozen": Trial(
                "the teacher is frozen", "its weights have", Bound(high=0), True,
                show=lambda changed: "changed" if changed else "not changed",
            ),
            "deployed": Trial("the student alone is deployed", "MACs", LESS, True),
        }),
        Statement("S30", 3, "It is useful with limited labelled data and for transfer.", {
            "few_labels": Trial("there are 50 labels", expected=True, **_GAIN),
            "transfer": Trial("two digits are new, with 5 labels each, and all ten count", expected=True, **_GAIN),
            "new_alone": Trial("only the two new digits count", expected=False, **_GAIN),
        }),
        Statement("S31", 3, "It requires a teacher.", {
            "bill": Trial(
                "the teacher is on the bill", "its training, of all MACs,", Bound(low=0.5), True, show=text.percent
            ),
        }),
    )
}  # fmt: skip
