"""What the processor at hand has for arithmetic with 8-bit integers."""

from collections.abc import Mapping

__all__ = ["integer_instructions"]

# Names of LLVM, best first: a group multiplies bytes and adds into 32 bits at once, or in several steps.
_DOT_PRODUCTS = {"avx512vnni": "AVX-512 VNNI", "avxvnni": "AVX VNNI", "dotprod": "Arm dot product"}
_VECTORS = {"avx512bw": "AVX-512", "avx2": "AVX2", "neon": "Neon"}


def integer_instructions(features: Mapping[str, bool] | None = None) -> str:
    """In words: instructions for products of bytes (VNNI and its kin), else vectors, else neither.

    Args:
        features: by LLVM's names; default those of this processor.
    """
    if features is None:
        from llvmlite.binding import get_host_cpu_features

        features = get_host_cpu_features()
    for kind, names in (("sums of four byte products in one step", _DOT_PRODUCTS), ("vectors", _VECTORS)):
        if has := [name for key, name in names.items() if features.get(key)]:
            return f"{', '.join(has)} ({kind})"
    return "neither byte products nor vectors"
