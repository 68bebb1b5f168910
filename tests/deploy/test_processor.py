import pytest

from labcore import deploy


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"avx2": True, "avx512bw": True, "avx512vnni": True}, "AVX-512 VNNI (sums"),
        ({"avx2": True, "avxvnni": True, "avx512vnni": False}, "AVX VNNI (sums"),
        ({"avx2": True, "avx512bw": False}, "AVX2 (vectors)"),
        ({"dotprod": True, "neon": True}, "Arm dot product (sums"),
        ({"sse2": True}, "neither"),
        ({}, "neither"),
    ],
)
def test_the_best_instructions_are_named(features, words):
    assert deploy.integer_instructions(features).startswith(words)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"popcnt": True, "avx512vpopcntdq": True}, "AVX-512 VPOPCNTDQ (512 bits in one step)"),
        ({"popcnt": True, "avx512vpopcntdq": False}, "POPCNT (64 bits in one step)"),
        ({"neon": True}, "Neon CNT (128 bits in one step)"),
        ({}, "no instruction that counts bits"),
    ],
)
def test_the_widest_count_of_bits_is_named(features, words):
    assert deploy.popcount_instructions(features) == words


def test_this_processor_is_asked():
    assert deploy.integer_instructions()
    assert deploy.popcount_instructions()
