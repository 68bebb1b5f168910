"""Every rung of the ladder computes the same network; the clock is judged in benchmarks/, not here."""

import subprocess
import sys
import threading

import numba
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labcore import deploy, runtime
from labcore.deploy import kernels, ladder
from labcore.results import Ladder, LadderRung, Latency

WIDTHS = (13, 37, 21, 50)  # no multiple of eight: every remainder of an unrolled loop is met
FRAMES = 3


@pytest.fixture(scope="module")
def network():
    return ladder.make_ladder_network(WIDTHS, seed=1)


@pytest.fixture(scope="module")
def frames():
    return torch.randn(FRAMES, WIDTHS[0], generator=torch.Generator().manual_seed(0))


def in_double_precision(network: ladder.LadderNetwork, frames: torch.Tensor, weights: list | None = None) -> np.ndarray:
    """Naive reference; with integer weights, activations are rounded to multiples of 1/255 too."""
    x = frames.numpy().astype(np.float64)
    for number, (weight, bias) in enumerate(zip(weights or network.weights, network.biases, strict=True)):
        lines = weight.astype(np.float64).tolist()
        y = bias + np.array([[sum(map(float.__mul__, row, line)) for line in lines] for row in x.tolist()])
        x = 1 / (1 + np.exp(-y))
        if weights and number < len(network.biases) - 1:
            x = np.round(x * 255) / 255
    return y


def wanted(values: np.ndarray, way: ladder.Way) -> np.ndarray:
    return np.array([row[rows] for row, rows in zip(values, way.rows, strict=True)])


def ways_by_name(network) -> dict[str, ladder.Way]:
    return {way.name: way for way in ladder.ladder_ways(network, frames=FRAMES)}


NAMES = (
    "naive loop", "four sums", "vector float", "BLAS", "BLAS, batch", "int8", "int8, ONNX Runtime", "int8, batch",
    "int8, ONNX Runtime, batch", "int8, lazy", "int8, lazy, batch",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_way_computes_the_network(name, network, frames):
    way = ways_by_name(network)[name]
    got, expected = way(frames), wanted(in_double_precision(network, frames), way)
    assert got.shape == expected.shape
    allowed = ladder.FLOAT_TOLERANCE if way.bits == 32 else ladder.INTEGER_TOLERANCE
    assert np.abs(got - expected).max() <= allowed * np.abs(expected).max()


@pytest.mark.parametrize("name", [name for name in NAMES if "int8" in name])
def test_integers_are_those_of_the_arithmetic_by_hand(name, network, frames):
    stored = [q * np.float64(s) for q, s in zip(network.integers, network.scales, strict=True)]
    way = ways_by_name(network)[name]
    expected = wanted(in_double_precision(network, frames, [network.weights[0], *stored]), way)
    assert np.abs(way(frames) - expected).max() < 1e-5 * np.abs(expected).max()
    assert np.abs(expected - wanted(in_double_precision(network, frames), way)).max() > 1e-4, "eight bits must matter"


def test_weights_become_signed_bytes_by_the_largest_of_a_layer(network):
    assert len(network.integers) == len(WIDTHS) - 2
    for weight, integer, scale in zip(network.weights[1:], network.integers, network.scales, strict=True):
        assert integer.dtype == np.int8
        assert np.abs(integer.astype(int)).max() == 127
        assert scale == np.float32(np.abs(weight).max() / 127)
        assert np.abs(integer * scale - weight).max() <= scale / 2 * 1.0001


def test_a_lazy_way_computes_what_is_asked_for_and_no_more(network, frames):
    ways = ways_by_name(network)
    lazy, full = ways["int8, lazy"], ways["int8"](frames)
    assert lazy.rows.shape == (FRAMES, 15)
    assert lazy(frames).shape == (FRAMES, 15)
    assert all(len(set(rows)) == 15 for rows in lazy.rows)
    assert len({tuple(rows) for rows in lazy.rows}) == FRAMES, "each frame asks for outputs of its own"
    assert np.array_equal(lazy(frames), wanted(full, lazy))
    batched = ways["int8, lazy, batch"]
    assert np.array_equal(batched.rows, np.tile(lazy.rows[0], (FRAMES, 1)))
    assert np.array_equal(batched(frames), wanted(full, batched))


@pytest.mark.parametrize("name", NAMES)
def test_ways_take_as_many_frames_at_a_time_as_they_say(name, network, frames):
    way, seen = ways_by_name(network)[name], []
    counting = ladder.Way(way.name, way.bits, way.batch, lambda x, rows: seen.append(len(x)) or x, way.rows)
    counting(frames)
    assert seen == ([FRAMES] if name.endswith("batch") else [1] * FRAMES)


@given(
    n=st.integers(1, 3), n_in=st.integers(1, 40), n_out=st.integers(1, 5), seed=st.integers(0, 999),
    kernel=st.sampled_from([kernels.naive, kernels.unrolled, kernels.vector]),
)  # fmt: skip
def test_float_kernels_equal_numpy_for_every_length(n, n_in, n_out, seed, kernel):
    random = np.random.default_rng(seed)
    x, w, b = (random.normal(size=size).astype(np.float32) for size in ((n, n_in), (n_out, n_in), n_out))
    y = np.full((n, n_out), np.nan, np.float32)
    kernels.compiled(kernel)(x, w, b, y)
    np.testing.assert_allclose(y, x.astype(float) @ w.T.astype(float) + b, atol=2e-5)


@pytest.mark.case("Q-acc", "Q-int8-wrap")
@pytest.mark.parametrize("sign", [127, -127])
@pytest.mark.parametrize("n_in", [2, 4, 100, 2000, 66_311])
def test_integer_sums_never_wrap_or_saturate(n_in, sign):
    # 2 * 255 * 127 exceeds 16 bits; 66,311 of them are the most that 32 bits hold.
    x, w = np.full((1, n_in), 255, np.uint8), np.full((3, n_in), sign, np.int8)
    y = np.empty((1, 2), np.float32)
    kernels.compiled(kernels.integer)(x, w, np.float32([0, 5, 7]), y, np.array([2, 0]), np.float32(0.5))
    assert y.tolist() == [[np.float32(n_in * 255 * sign) * np.float32(0.5) + np.float32(b) for b in (7, 0)]]


def test_a_network_whose_sums_would_overflow_is_refused():
    ladder.make_ladder_network((1, 66_311, 1))
    with pytest.raises(ValueError, match=r"66312 products of 255 and 127 overflow a 32-bit sum; at most 66,311 fit"):
        ladder.make_ladder_network((1, 66_312, 1))
    ladder.make_ladder_network((1, 2, 66_312))


def test_the_record_holds_every_rung(monkeypatch):
    measured = deploy.measure_ladder(widths=WIDTHS, frames=FRAMES, runs=2)
    assert [rung.name for rung in measured.rungs] == list(NAMES)
    assert measured.widths == WIDTHS
    assert measured.macs == 13 * 37 + 37 * 21 + 21 * 50
    for rung in measured.rungs:
        assert (len(rung.latency.samples_ms), rung.latency.batch) == (2, FRAMES)
        assert rung.share == (0.3 if "lazy" in rung.name else 1.0)
        assert 0 < rung.max_error <= (ladder.FLOAT_TOLERANCE if rung.bits == 32 else ladder.INTEGER_TOLERANCE)


def test_measuring_can_be_stopped():
    stop = threading.Event()
    stop.set()
    measured = deploy.measure_ladder(widths=WIDTHS, frames=2, runs=50, stop=stop)
    assert len(measured.rungs[0].latency.samples_ms) == 1


@pytest.mark.case("C-wrong-formula")
@pytest.mark.parametrize(("kernel", "name"), [("unrolled", "four sums"), ("integer", "int8")])
def test_a_wrong_rung_is_never_timed(kernel, name, monkeypatch):
    right, compiled = getattr(kernels, kernel), kernels.compiled

    def slightly_wrong(each):
        def run(x, w, b, y, *rest):
            compiled(each)(x, w, b, y, *rest)
            if each is right:
                y[:] += 0.1 * np.abs(y).max()

        return run

    monkeypatch.setattr(kernels, "compiled", slightly_wrong)
    with pytest.raises(ArithmeticError, match=rf"{name} differs by .* of the largest output, allowed is"):
        deploy.measure_ladder(widths=WIDTHS, frames=2, runs=1)


@pytest.mark.parametrize("settings", [
    {"widths": (5, 4)}, {"widths": (5, 0, 4)}, {"frames": 0}, {"frames": -1}, {"runs": 0},
])  # fmt: skip
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match="must be at least"):
        deploy.measure_ladder(**{"widths": WIDTHS, "frames": 2, "runs": 1, **settings})


def test_the_same_seed_gives_the_same_network():
    one, same, other = (ladder.make_ladder_network(WIDTHS, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(one.weights, same.weights, strict=True))
    assert not np.array_equal(one.weights[0], other.weights[0])


def test_numba_is_loaded_when_a_kernel_is_called_and_not_before():
    code = "import sys; from labcore import deploy; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_a_folder_for_compiled_code_kernels_compile_all_the_same(monkeypatch):
    plain = numba.njit

    def nowhere(*, cache=False, **settings):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return plain(**settings)

    monkeypatch.setattr(numba, "njit", nowhere)
    x, w, b, y = (np.ones(size, np.float32) for size in ((1, 2), (1, 2), 1, (1, 1)))
    runtime._warn_once.cache_clear()
    with pytest.warns(RuntimeWarning, match="cannot be kept"):
        kernels.compiled.__wrapped__(kernels.naive)(x, w, b, y)
    assert y.item() == 3


def rung(name: str, ms: float) -> LadderRung:
    return LadderRung(name, 32, 1, 1.0, 0.0, Latency(np.array([ms, 9 * ms]), np.array([]), 1, 4))


def test_speedups_compare_the_fastest_runs_by_frame():
    measured = Ladder((1, 2, 3), 8, (rung("naive loop", 80.0), rung("int8", 8.0), rung("int8, lazy", 4.0)))
    assert measured.rung("naive loop").frame_ms == 20.0
    assert measured.speedup("int8") == 10.0
    assert measured.speedup("int8, lazy", over="int8") == 2.0
    with pytest.raises(ValueError, match="no rung is named 'int4'; choose one of: naive loop, int8, int8, lazy"):
        measured.speedup("int4")
