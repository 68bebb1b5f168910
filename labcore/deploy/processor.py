"""What the processor at hand has for arithmetic with few bits."""

from collections.abc import Mapping

__all__ = ["integer_instructions", "popcount_instructions"]

# Names of LLVM, best first: a group multiplies bytes and adds into 32 bits at once, or in several steps.
_DOT_PRODUCTS = {"avx512vnni": "AVX-512 VNNI", "avxvnni": "AVX VNNI", "dotprod": "Arm dot product"}
_POPCOUNTS = {"avx512vpopcntdq": ("AVX-512 VPOPCNTDQ", 512), "neon": ("Neon CNT", 128), "popcnt": ("POPCNT", 64)}
_VECTORS = {"avx512bw": "AVX-512", "avx2": "AVX2", "neon": "Neon"}


def integer_instructions(features: Mapping[str, bool] | None = None) -> str:
    """In words: instructions for products of bytes (VNNI and its kin), else vectors, else neither.

    Args:
        features: by LLVM's names; default those of this processor.
    """
    features = _features_here() if features is None else features
    for kind, names in (("sums of four byte products in one step", _DOT_PRODUCTS), ("vectors", _VECTORS)):
        if has := [name for key, name in names.items() if features.get(key)]:
            return f"{', '.join(has)} ({kind})"
    return "neither byte products nor vectors"


def popcount_instructions(features: Mapping[str, bool] | None = None) -> str:
    """In words: the widest instruction that counts bits, and how many at once.

    Args:
        features: by LLVM's names; default those of this processor.
    """
    features = _features_here() if features is None else features
    for key, (name, width) in _POPCOUNTS.items():
        if features.get(key):
            return f"{name} ({width} bits in one step)"
    return "no instruction that counts bits"


def _features_here() -> Mapping[str, bool]:
    from llvmlite.binding import get_host_cpu_features

    return get_host_cpu_features()
