"""Packed products equal products of -1 and +1, number for number; the clock is judged in benchmarks/, not here."""

import errno
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.core import caching

from labcore import binarize, runtime
from labcore.binarize import kernels

WAYS = ("lanes", "plain")
LENGTHS = (1, 31, 32, 33, 63, 64, 65, 1000, 4608)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def signs(values: np.ndarray) -> np.ndarray:
    return np.where(values < 0, -1, 1)


@pytest.mark.parametrize("way", WAYS)
def test_four_numbers_by_hand(way):
    a, b = (binarize.pack_signs(np.array(row)) for row in ([[1.0, -2.0, 3.0, -4.0]], [[-1.0, -1.0, 1.0, 1.0]]))
    product = binarize.packed_matmul(a, b, way=way)
    assert product.tolist() == [[-1 + 1 + 1 - 1]]
    assert product.dtype == np.int32


@pytest.mark.case("B-pack")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("length", LENGTHS)
def test_product_equals_that_of_whole_numbers(length, way):
    a, b = normal(19, length), normal(37, length, seed=1)
    product = binarize.packed_matmul(binarize.pack_signs(a), binarize.pack_signs(b), way=way)
    assert (product == signs(a) @ signs(b).T).all()
    assert ((length - product) % 2 == 0).all()
    assert np.abs(product).max() <= length


@pytest.mark.case("B-pack")
@pytest.mark.parametrize("length", LENGTHS)
def test_product_is_length_less_twice_the_bits_that_differ(length):
    a, b = (binarize.pack_signs(normal(n, length, seed=n)) for n in (5, 18))
    differ = np.bitwise_count(a.words[:, None] ^ b.words).sum(2, dtype=np.int64)
    assert (binarize.packed_matmul(a, b) == length - 2 * differ).all()


@given(
    rows=st.integers(0, 20), columns=st.integers(0, 40), length=st.integers(0, 130), way=st.sampled_from(WAYS),
    threads=st.integers(1, 3), seed=st.integers(0, 99),
)  # fmt: skip
def test_every_remainder_of_a_tile_and_any_number_of_threads(rows, columns, length, way, threads, seed):
    a, b = normal(rows, length, seed=seed), normal(columns, length, seed=seed + 1)
    product = binarize.packed_matmul(binarize.pack_signs(a), binarize.pack_signs(b), way=way, threads=threads)
    assert (product == signs(a) @ signs(b).T).all()


def test_equal_and_opposite_rows_give_the_ends_of_the_range():
    a, b = normal(1, 1000), -normal(1, 1000)
    both = binarize.pack_signs(np.concatenate([a, b]))
    assert binarize.packed_matmul(both, both).tolist() == [[1000, -1000], [-1000, 1000]]


def test_number_of_threads_is_that_of_the_lab(monkeypatch):
    pools = []
    monkeypatch.setattr(kernels, "ThreadPoolExecutor", lambda n: pools.append(n) or pytest.fail("only asked for"))
    packed = binarize.pack_signs(normal(40, 9))
    monkeypatch.setenv("LABCORE_THREADS", "1")
    binarize.packed_matmul(packed, packed)
    assert pools == []
    monkeypatch.setenv("LABCORE_THREADS", "2")
    with pytest.raises(pytest.fail.Exception):
        binarize.packed_matmul(packed, packed)
    assert pools == [2]


# --- wrong arguments ------------------------------------------------------------------------------


def test_rows_of_different_lengths_are_named():
    a, b = binarize.pack_signs(normal(2, 33)), binarize.pack_signs(normal(2, 64))
    with pytest.raises(ValueError, match="equally long, got 33 and 64 signs"):
        binarize.packed_matmul(a, b)
    with pytest.raises(ValueError, match="equally long, got 64 and 33 signs"):
        binarize.packed_matmul(b, a)


def test_numbers_must_be_packed_first():
    packed = binarize.pack_signs(normal(2, 4))
    with pytest.raises(TypeError, match="a must be signs from pack_signs, got ndarray"):
        binarize.packed_matmul(normal(2, 4), packed)
    with pytest.raises(TypeError, match="b must be signs from pack_signs, got ndarray"):
        binarize.packed_matmul(packed, normal(2, 4))


@pytest.mark.parametrize("settings", [{"way": "fast"}, {"threads": 0}, {"threads": 1.5}])
def test_settings_out_of_range_are_named(settings):
    packed = binarize.pack_signs(normal(2, 4))
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be"):
        binarize.packed_matmul(packed, packed, **settings)


# --- compiling ------------------------------------------------------------------------------------


@pytest.fixture
def forgetful():
    """Nothing compiled yet, nothing warned of yet; nor afterwards."""
    caches = kernels.compiled, kernels._packed, runtime._warn_once
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def test_warming_compiles_every_loop_and_gives_the_seconds(forgetful):
    names = []
    assert binarize.warm_kernels(names.append) > 0
    assert names == ["naive_conv", "pack_planes", "plain", "lanes"]
    assert kernels.compiled.cache_info().currsize == len(names)
    # Threads count at the same time only where loops let go of the interpreter.
    assert all(kernels.compiled(name).targetoptions["nogil"] for name in names)
    binarize.warm_kernels()
    assert kernels.compiled.cache_info().misses == len(names)


def test_without_vector_code_the_plain_loop_counts_and_says_so_once(forgetful, monkeypatch):
    right = runtime.compile_kernel

    def no_vectors(kernel, *signature, **settings):
        if kernel.__name__ == "lanes":
            raise numba.core.errors.LoweringError("no such type")
        return right(kernel, *signature, **settings)

    monkeypatch.setattr(runtime, "compile_kernel", no_vectors)
    packed = binarize.pack_signs(normal(9, 100))
    with pytest.warns(RuntimeWarning, match=r"LoweringError.*plain loop counts: exact, but slower"):
        product = binarize.packed_matmul(packed, packed)
    assert (product == binarize.packed_matmul(packed, packed)).all()
    assert (product == binarize.packed_matmul(packed, packed, way="plain")).all()


def no_folder(tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file in the folder's place", "utf-8")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "taken"))
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", caching.CacheImpl._locator_classes[:1])


def full_disk(tmp_path, monkeypatch):
    def save(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(caching.IndexDataCacheFile, "save", save)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [no_folder, full_disk])
def test_code_that_cannot_be_kept_is_compiled_all_the_same_with_one_warning(trouble, forgetful, tmp_path, monkeypatch):
    trouble(tmp_path, monkeypatch)
    a = normal(9, 70)
    packed = binarize.pack_signs(a)
    with pytest.warns(RuntimeWarning, match="name a writable folder with NUMBA_CACHE_DIR") as caught:
        products = [binarize.packed_matmul(packed, packed, way=way) for way in WAYS]
    assert len(caught) == 1
    for product in products:
        assert (product == signs(a) @ signs(a).T).all()


def test_numba_is_loaded_with_the_first_product_and_not_before():
    code = "import sys; from labcore import binarize; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
