import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.ao.quantization.observer import MinMaxObserver, MovingAverageMinMaxObserver

from labcore import runtime
from labcore.quantize import INT8, UINT8_AFFINE, int_format
from labcore.quantize.calibration import HistogramObserver, MaxObserver, MovingAverageObserver, make_observer
from labcore.quantize.histogram import Histogram, NotCalibrated
from labcore.quantize.ranges import entropy_bounds, mse_bounds, percentile_bounds

NAMES = ["max", "moving_average", "percentile", "entropy", "mse"]
FORMATS = [INT8, UINT8_AFFINE, int_format(4)]


def batches_of(n=6, size=400, seed=0):
    with runtime.fork_rng(seed):
        return list(torch.randn(n, size).cumsum(0))


def observed(observer, batches):
    for batch in batches:
        observer.observe(batch)
    return observer


# --- running ranges -----------------------------------------------------------------------------------


def test_the_running_maximum_of_three_batches_by_hand():
    observer = observed(MaxObserver(), [torch.tensor([1.0, 2.0]), torch.tensor([[-3.0], [0.5]]), torch.tensor([1.0])])
    for format in FORMATS:
        assert observer.bounds(format) == (-3, 2)
    assert observed(MaxObserver(), [torch.tensor([2.0, 5.0])]).bounds(INT8) == (2, 5)


def test_the_moving_average_of_three_batches_by_hand():
    observer = MovingAverageObserver(0.1)
    observer.observe(torch.tensor([-1.0, 2.0]))
    assert observer.bounds(INT8) == (-1, 2)  # the first batch as it is
    observer.observe(torch.tensor([-2.0, 4.0]))
    assert observer.bounds(INT8) == pytest.approx((-1.1, 2.2))
    observer.observe(torch.tensor([-0.1, 1.2]))
    assert observer.bounds(INT8) == pytest.approx((-1.0, 2.1))


@pytest.mark.parametrize("constant", [0.01, 0.3, 1])
def test_running_ranges_are_torchs(constant):
    batches = batches_of()
    pairs = [
        (MaxObserver(), MinMaxObserver()),
        (MovingAverageObserver(constant), MovingAverageMinMaxObserver(averaging_constant=constant)),
    ]
    for ours, theirs in pairs:
        observed(ours, batches)
        for batch in batches:
            theirs(batch)
        assert ours.bounds(INT8) == pytest.approx((theirs.min_val.item(), theirs.max_val.item()), rel=1e-5)


def test_a_first_batch_of_zeros_leaves_the_moving_average_a_hundred_times_too_small():
    zeros, real = torch.zeros(10), torch.tensor([-1.0, 1.0])
    assert observed(MovingAverageObserver(), [zeros, real]).bounds(INT8) == pytest.approx((-0.01, 0.01))
    assert observed(MovingAverageObserver(), [real, zeros]).bounds(INT8) == pytest.approx((-0.99, 0.99))
    # (1 - c)^k: after 300 real batches a twentieth of the zeros is left; the maximum has no such memory.
    late = observed(MovingAverageObserver(), [zeros, *[real] * 300]).bounds(INT8)
    assert late == pytest.approx((-(1 - 0.99**300), 1 - 0.99**300))
    assert observed(MaxObserver(), [zeros, real]).bounds(INT8) == (-1, 1)


@pytest.mark.parametrize("constant", [0, -0.1, 1.1, math.nan])
def test_an_averaging_constant_outside_0_to_1_is_refused(constant):
    with pytest.raises(ValueError, match=r"the averaging constant must be in \(0, 1\], got"):
        make_observer("moving_average", averaging_constant=constant)


@pytest.mark.parametrize("constant", ["0.1", None, True])
def test_an_averaging_constant_is_a_number(constant):
    with pytest.raises(TypeError, match=r"the averaging constant must be a number in \(0, 1\]"):
        MovingAverageObserver(constant)


# --- observers by name --------------------------------------------------------------------------------


@pytest.mark.parametrize("format", [int_format(4), int_format(4, "affine")], ids=lambda format: format.name)
def test_each_name_is_its_rule(format):
    batches = batches_of()
    histogram, everything = Histogram(), torch.cat(batches)
    histogram.observe(everything)
    bounds = {name: observed(make_observer(name, percentile=99), batches).bounds(format) for name in NAMES}
    assert bounds == {
        "max": (everything.min(), everything.max()),
        "moving_average": observed(MovingAverageObserver(0.01), batches).bounds(format),
        "percentile": pytest.approx(percentile_bounds(histogram, format, percentile=99)),
        "entropy": entropy_bounds(histogram, format),
        "mse": pytest.approx(mse_bounds(histogram, format)),
    }
    assert len(set(bounds.values())) == len(NAMES)  # so that no two names could be swapped


def test_the_default_percentile_is_99_99():
    batches = batches_of(size=20_000)
    given, named = (make_observer("percentile", **options) for options in ({}, {"percentile": 99.99}))
    assert observed(given, batches).bounds(INT8) == observed(named, batches).bounds(INT8)
    assert given.bounds(INT8) != observed(make_observer("percentile", percentile=99.999), batches).bounds(INT8)


@settings(max_examples=20)
@given(st.permutations(range(6)))
@pytest.mark.parametrize("name", ["max", "percentile", "entropy", "mse"])
def test_the_order_of_the_batches_does_not_matter(name, order):
    batches = [batch * 3**k for k, batch in enumerate(batches_of(size=50))]
    here = observed(make_observer(name), batches).bounds(INT8)
    there = observed(make_observer(name), [batches[k] for k in order]).bounds(INT8)
    assert there == pytest.approx(here, rel=1e-9)


def test_several_observers_may_read_one_histogram():
    histogram = Histogram()
    by_entropy, by_error = HistogramObserver(entropy_bounds, histogram), HistogramObserver(mse_bounds, histogram)
    observed(by_entropy, batches_of())
    assert by_error.bounds(INT8) == observed(make_observer("mse"), batches_of()).bounds(INT8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("again", [copy.deepcopy, lambda observer: pickle.loads(pickle.dumps(observer))])
def test_copies_go_their_own_way(name, again):
    observer = observed(make_observer(name), batches_of())
    before = observer.bounds(INT8)
    other = again(observer)
    assert other.bounds(INT8) == before
    other.observe(torch.tensor([1e4]))
    assert observer.bounds(INT8) == before


@pytest.mark.parametrize("name", NAMES)
def test_gradients_half_precision_and_views_are_welcome_and_the_input_stays(name):
    x = batches_of(size=64)[0].view(8, 8)
    again = x.clone().requires_grad_()
    bounds = observed(make_observer(name), [x.t()[:, ::2].contiguous()]).bounds(INT8)
    assert observed(make_observer(name), [again.t()[:, ::2]]).bounds(INT8) == bounds
    assert torch.equal(again, x)
    half = observed(make_observer(name), [x.half()]).bounds(INT8)
    assert half == observed(make_observer(name), [x.half().float()]).bounds(INT8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calibration": "kl"}, "calibration must be one of max, moving_average, percentile, entropy, mse; got 'kl'"),
        ({"calibration": "max", "nan_policy": "skip"}, "nan_policy must be one of raise, ignore; got 'skip'"),
        ({"calibration": "mse", "nan_policy": "skip"}, "nan_policy must be one of raise, ignore; got 'skip'"),
        ({"calibration": "percentile", "percentile": 0.9999}, r"percentile must be in \[50, 100\].*mean 99.99\?"),
    ],
)
def test_unknown_names_list_the_known_ones(options, message):
    with pytest.raises(ValueError, match=message):
        make_observer(**options)


# --- data that cannot be used -------------------------------------------------------------------------


@pytest.mark.case("Q-nonfinite-calib")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_name_the_layer_and_change_nothing(name, bad):
    observer = observed(make_observer(name, name="layer3.conv2"), batches_of())
    before = observer.bounds(INT8)
    with pytest.raises(ValueError, match=r"'layer3.conv2' hold NaN or infinity \(1 of 3 values\)"):
        observer.observe(torch.tensor([1e6, bad, -1e6]))
    assert observer.bounds(INT8) == before


@pytest.mark.case("Q-nonfinite-calib")
@pytest.mark.parametrize("name", NAMES)
def test_ignored_values_leave_the_rest(name):
    batches = batches_of()
    holes = torch.tensor([math.nan, math.inf, -math.inf])
    with_holes = [torch.cat([batch, holes]) for batch in batches] + [holes]
    bounds = observed(make_observer(name, nan_policy="ignore"), with_holes).bounds(INT8)
    assert bounds == observed(make_observer(name), batches).bounds(INT8)


@pytest.mark.case("Q-empty")
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_values_changes_nothing(name):
    observer = make_observer(name, name="stem")
    for empty in (torch.empty(0), torch.empty(0, 3, 8, 8)):
        observer.observe(empty)
    with pytest.raises(NotCalibrated, match=r"'stem' has no range yet: observe at least one batch"):
        observer.bounds(INT8)
    bounds = observed(observer, batches_of()).bounds(INT8)
    assert np.isfinite(bounds).all()
    observer.observe(torch.empty(4, 0))
    assert observer.bounds(INT8) == bounds == observed(make_observer(name), batches_of()).bounds(INT8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [[1.0, 2.0], np.ones(2), None, torch.ones(2, dtype=torch.int64), torch.ones(2).bool()])
def test_only_tensors_of_floating_point_numbers_are_observed(name, bad):
    with pytest.raises(TypeError, match="'stem' observes tensors of floating-point numbers, got"):
        make_observer(name, name="stem").observe(bad)
