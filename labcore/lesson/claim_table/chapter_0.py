"""Claims and statements of chapter 0: what a network costs."""

from labcore import text
from labcore.lesson.claim_table.entries import LESS, Bound, Claim, Statement, Trial

__all__ = ["CLAIMS", "STATEMENTS"]

CLAIMS = {
    claim.id: claim
    for claim in (
        Claim(
            "46", 0,
            "A depthwise separable 3x3 convolution with N output channels needs 1/N + 1/9 of the operations of a "
            "standard one.",
            "MobileNets (Howard et al. 2017, arXiv 1704.04861), section 3.1",
            "1/N + 1/9",
            Bound(1, 1), "holds", show=lambda ratio: f"{ratio:g} times the formula", exact=True,
        ),
        Claim(
            "48", 0,
            "On a microcontroller the peak of activation memory is the limit, not the number of parameters: two "
            "networks with equally many parameters need different peaks.",
            "MCUNet (Lin et al. 2020, arXiv 2007.10319)",
            "456 kB of memory beside 1,876 kB of weights",
            Bound(low=1.5), "holds", show=lambda ratio: f"peaks differ {text.times(ratio)}", exact=True,
        ),
    )
}  # fmt: skip

_AT_MOST_A_POINT = Bound(low=-0.01)

STATEMENTS = {
    statement.id: statement
    for statement in (
        Statement("S1", 0, "Compression makes models smaller, faster and more efficient.", {
            "half_precision_file": Trial("smaller, by 16-bit weights", "bytes of the file", LESS, True),
            "half_precision_macs": Trial("fewer operations, by 16-bit weights", "MACs", LESS, False),
            "half_width_file": Trial("smaller, by narrower layers", "bytes of the file", LESS, True),
            "half_width_macs": Trial("fewer operations, by narrower layers", "MACs", LESS, True),
        }),
        Statement("S2", 0, "It does so without severely sacrificing accuracy.", {
            f"width_{width}": Trial(
                f"width {width} of 16", "accuracy against width 16, mean of the seeds", _AT_MOST_A_POINT, expected,
                show=text.points, exact=False,
            )
            for width, expected in ((12, True), (8, False), (4, False))
        }),
        Statement("S3", 0, "Storage and computation both fall.", {
            name: Trial(condition, "bytes of the file or MACs (the larger share)", LESS, expected)
            for name, condition, expected in (
                ("half_width", "narrower layers", True),
                ("half_precision", "16-bit weights", False),
                ("half_zeros", "half of the weights set to zero", False),
            )
        }),
    )
}  # fmt: skip
