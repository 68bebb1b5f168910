"""Claims and statements of chapter 2: quantization."""

from labcore import text
from labcore.lesson.claim_table.entries import LESS, MEMORY, OURS, Bound, Claim, Statement, Trial, lost

__all__ = ["CLAIMS", "STATEMENTS"]

_WU = "Integer quantization for deep learning inference (Wu et al. 2020, arXiv 2004.09602)"
_LSQ = "Learned step size quantization (Esser et al. 2020, arXiv 1902.08153)"
_VANHOUCKE = "Improving the speed of neural networks on CPUs (Vanhoucke et al. 2011)"


def _decibels(slope: float) -> str:
    return f"{slope:.2f} dB a bit"


CLAIMS = {
    claim.id: claim
    for claim in (
        Claim(
            "19a", 2, "Each bit more is worth about 6 dB, when the range is the largest value.", OURS,
            "(no paper) 6.0 to 6.6 dB a bit", Bound(6.0, 6.6), "holds", show=_decibels,
        ),
        Claim(
            "14a", 2,
            "With three positive levels (signed 3 bits after ReLU), the range with the least squared error beats the "
            "largest value.", _WU, "max calibration loses to clipping", Bound(low=0.08), "holds", show=text.points,
        ),
        Claim(
            "14b", 2, "With unsigned 3 bits (seven positive levels) little is left of it.", OURS,
            "(no paper) about 2 points", Bound(0.005, 0.06), "holds", show=text.points,
        ),
        Claim(
            "13a", 2, "At 3 bits one scale a channel beats one scale for the whole tensor, mean of the networks.", _WU,
            "12.93 against 76.72 (EfficientNet b0, 8 bits, folded)", Bound(low=0.05), "holds", show=text.points,
            footnote=MEMORY,
        ),
        Claim(
            "13b", 2, "At 8 bits it makes no difference here.", _WU, "75.84 against 76.14 (ResNet-50)",
            Bound(-0.005, 0.005), "holds", show=text.points, footnote=MEMORY,
        ),
        Claim(
            "51", 2, "With one scale a channel, folding the batch norm changes no prediction, at any number of bits.",
            OURS, "(no paper) exactly the same", Bound(0, 0), "holds", exact=True,
            show=lambda n: f"{text.count(n)} predictions differ",
        ),
        Claim(
            "52a", 2, "The numbers of the batch norms on 8 bits, one scale for each vector, cost next to nothing.",
            OURS, "(no paper) at most half a point", Bound(high=0.005), "holds", show=lost,
        ),
        Claim(
            "52b", 2, "On 5 bits they break the network, mean of the networks.", OURS,
            "(no paper) 5 points or more", Bound(low=0.05), "holds", show=lost,
        ),
        Claim(
            "12", 2, "Weights and activations on 8 bits cost under a point: the worst of four calibrations.", _WU,
            "within 1 % of the floating-point network", Bound(high=0.006), "holds", show=lost,
        ),
        Claim(
            "53", 2, "At 8 bits static, dynamic, weight-only and aware quantization all stay within 0.6 points.", OURS,
            "(no paper) within 0.6 points", Bound(high=0.006), "holds", show=lost,
        ),
        Claim(
            "18a", 2, "With 3-bit weights and activations, training with quantization wins back points.", _WU,
            "training with quantization recovers what calibration loses", Bound(low=0.02), "holds", show=text.points,
        ),
        Claim(
            "18b", 2, "At 4 bits it does no harm.", _WU, "training with quantization recovers what calibration loses",
            Bound(low=-0.003), "holds", show=text.points,
        ),
        Claim(
            "21", 2, "8-bit weights and activations by the largest value, one scale a layer, cost no accuracy.",
            _VANHOUCKE, "no loss of word accuracy", Bound(-0.005, 0.005), "holds", show=lost,
        ),
        Claim(
            "20a", 2, "The best 8-bit routine beats a plain loop over floats at least 10 times.", _VANHOUCKE,
            "about 10 times", Bound(low=10), "timing", show=text.times,
        ),
        # --- deeper ---
        Claim(
            "14c", 2,
            "A depthwise network with seven positive levels (signed 4 bits after ReLU): the best calibration beats the "
            "largest value.", _WU,
            "69.51 by max, 70.39 by percentile (MobileNet v1, 8 bits)", Bound(low=0.05), "holds", show=text.points,
            footnote=MEMORY,
        ),
        Claim(
            "15", 2, "No calibration is the best everywhere: winners over the settings.", _WU,
            "no single best calibration", Bound(low=2), "holds", show=lambda n: f"{text.count(n)} different winners",
        ),
        Claim(
            "16", 2, "A depthwise network loses at least twice as much as a plain one (4 bits, one scale a tensor).",
            _WU, "66.88 against 75.84 (MobileNet v1, ResNet-50; 8 bits, folded)", Bound(low=2), "holds",
            show=text.times, footnote=MEMORY,
        ),
        Claim(
            "17a", 2, "Half of the layers left in floating point wins back most of the loss.", _WU,
            "72.06, with 10 of 82 layers skipped 76.35 (EfficientNet b0)", Bound(low=0.6), "holds",
            show=lambda share: f"{text.percent(share, 0)} won back", footnote=MEMORY,
        ),
        Claim(
            "17b", 2, "Each layer left in floating point helps, or hardly hurts: the worst step.", _WU,
            "accuracy grows with the layers skipped", Bound(low=-0.007), "holds", show=text.points,
        ),
        Claim(
            "19b", 2, "With the range of least squared error a bit is worth less.", OURS, "(no paper) about 5.4 dB",
            Bound(5.1, 5.7), "holds", show=_decibels,
        ),
        Claim(
            "45", 2, "A range that is trained beats the fixed largest value at 2 bits, after equal training.", _LSQ,
            "67.6 at 2 bits, 70.5 in floating point (ResNet-18)", Bound(low=0.01), "holds", show=text.points,
            footnote=MEMORY,
        ),
        Claim(
            "20b", 2, "Computing only the 30 % of the outputs that are needed pays.", _VANHOUCKE, "0.36 to 0.26",
            Bound(low=1.2), "timing", show=text.times, footnote=MEMORY,
        ),
        Claim(
            "20c", 2, "Floats in vectors beat the plain loop.", _VANHOUCKE, "3.89 to 1.36", Bound(low=1), "timing",
            show=text.times, footnote=MEMORY,
        ),
        Claim(
            "20d", 2, "Unrolling the plain loop with four sums makes it a quarter faster.", _VANHOUCKE,
            "26 % faster", Bound(low=1.15), "timing", show=text.times,
        ),
    )
}  # fmt: skip

_KEEPS = Bound(high=0.01)
_LOST = {"show": lost, "exact": False}
_CLOCK = {"exact": False, "timing": True}


def _numbers(n: float) -> str:
    return f"{text.count(n)} different numbers"


STATEMENTS = {
    statement.id: statement
    for statement in (
        Statement("S14", 2, "Quantization stores weights in low precision: w is about s q.", {
            "codes": Trial(
                "four weights on 4 bits", "largest distance of w from s q, in steps", Bound(high=0.5), True,
                show="{:.2f}".format,
            ),
        }),
        Statement("S15", 2, "Post-training quantization works after training.", {
            "eight": Trial("8 bits", "points lost", _KEEPS, True, **_LOST),
            "three": Trial("3 bits", "points lost", _KEEPS, False, **_LOST),
        }),
        Statement("S16", 2, "Quantization-aware training keeps the accuracy.", {
            "eight": Trial("8 bits", "points lost", _KEEPS, True, **_LOST),
            "three": Trial("3 bits", "points lost", _KEEPS, False, **_LOST),
        }),
        Statement("S17", 2, "Dynamic quantization keeps activations in higher precision.", {
            "between": Trial(
                "between the layers", "what a layer is given:", Bound(low=257), True, show=_numbers, exact=False
            ),
            "inside": Trial(
                "inside an operation", "what it computes with:", Bound(low=257), False, show=_numbers, exact=False
            ),
        }),
        Statement("S18", 2, "Integer arithmetic suffices for inference.", {
            "same": Trial(
                "whole numbers only", "predictions as in the simulation", Bound(low=0.999), True,
                show=lambda share: text.percent(share, 2), exact=False,
            ),
        }),
        Statement("S19", 2, "The memory footprint falls.", {
            "file": Trial("8-bit weights, scales and names counted", "bytes of the file", Bound(high=0.3), True),
        }),
        Statement("S20", 2, "Inference accelerates on hardware made for it.", {
            "kernel": Trial("a routine for 8-bit numbers exists", "time", LESS, True, **_CLOCK),
            "simulated": Trial("8 bits are simulated", "time", LESS, False, **_CLOCK),
        }),
        Statement("S21", 2, "Power consumption falls.", {
            "energy": Trial("as estimated from a table for 45 nm", "energy", LESS, True),
        }),
        Statement("S22", 2, "Very low bits cost accuracy.", {
            "two": Trial("2 bits", "points lost", Bound(low=0.05), True, **_LOST),
        }),
        Statement("S23", 2, "Some operations are difficult to quantize: batch normalization, a sum of two scales.", {
            "kept": Trial(
                "batch norm is kept, its own numbers on 5 bits", "points lost, mean of five networks", Bound(low=0.05),
                True, **_LOST,
            ),
            "folded": Trial(
                "batch norm is folded, one scale a channel", "predictions changed by folding", Bound(low=0.001), False,
                show=lambda share: text.percent(share, 2),
            ),
            "sums": Trial(
                "two branches with different scales are added in whole numbers, 8 bits",
                "squared error that the worst sum brings, as a share of what was there", Bound(low=1), False,
                show=lambda share: text.percent(share, 0), exact=False,
            ),
        }),
    )
}  # fmt: skip
