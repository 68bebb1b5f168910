"""Times: what is timed, in which order, and what is left out."""

import threading
import time

import pytest
import torch
from torch import nn

from labcore import metrics
from labcore.models import make_model

BATCH = torch.rand(4, 3)


class Recorder:
    """A callable that writes its name into a common list."""

    def __init__(self, name, calls):
        self.name, self.calls = name, calls

    def __call__(self, batch):
        self.calls.append(self.name)


def test_warm_up_is_kept_apart():
    durations = iter([0.2, 0.1, 0.01, 0.01, 0.01])
    latency = metrics.measure_latency(lambda batch: time.sleep(next(durations)), BATCH, runs=3, warmup=2)
    assert latency.samples_ms.shape == (3,)
    assert latency.warmup_ms.shape == (2,)
    # A sleep never ends early; how late it ends is the machine's affair.
    assert latency.warmup_ms[0] >= 200
    assert latency.min_ms >= 10
    assert latency.p50_ms < latency.warmup_ms[0]
    assert latency.min_ms <= latency.p50_ms <= latency.p95_ms


@pytest.mark.case("M-slow")
def test_two_models_take_turns():
    calls = []
    first, second = metrics.compare_latency(Recorder("a", calls), Recorder("b", calls), BATCH, runs=3, warmup=2)
    assert calls == ["a", "b"] * 5
    assert first.samples_ms.shape == second.samples_ms.shape == (3,)
    assert first.warmup_ms.shape == second.warmup_ms.shape == (2,)


def test_each_model_gets_its_own_times():
    fast, slow = metrics.compare_latency(
        lambda batch: None, lambda batch: time.sleep(0.02), BATCH, runs=3, warmup=0
    )  # fmt: skip
    assert slow.min_ms >= 20 > fast.min_ms
    assert fast.warmup_ms.shape == (0,)


def test_a_module_runs_in_evaluation_mode_without_gradients_and_channels_last():
    class Watching(nn.Module):
        def forward(self, x):
            self.seen = self.training, torch.is_inference_mode_enabled(), x.is_contiguous(
                memory_format=torch.channels_last
            )
            return x

    model = Watching().train()
    metrics.measure_latency(model, torch.rand(2, 3, 4, 4), runs=1, warmup=0)
    assert model.seen == (False, True, True)
    assert model.training
    metrics.measure_latency(model, torch.rand(2, 3), runs=1, warmup=0)


def test_a_function_gets_the_batch_as_it_is():
    seen, images = [], torch.rand(2, 3, 4, 4)
    metrics.measure_latency(seen.append, images, runs=1, warmup=0)
    assert seen[0] is images


def test_threads_and_samples_are_stated():
    latency = metrics.measure_latency(make_model("lab_cnn"), torch.rand(5, 1, 14, 14), runs=1, warmup=0)
    assert (latency.threads, latency.batch) == (torch.get_num_threads(), 5)


def test_stop_ends_the_measurement_with_what_there_is():
    stop, calls = threading.Event(), []

    def stopping(batch):
        calls.append(batch)
        if len(calls) == 7:
            stop.set()

    latency = metrics.measure_latency(stopping, BATCH, runs=50, warmup=3, stop=stop)
    assert (len(latency.warmup_ms), len(latency.samples_ms)) == (3, 4)
    latency = metrics.measure_latency(stopping, BATCH, runs=50, warmup=3, stop=stop)
    assert len(latency.samples_ms) == 1


@pytest.mark.parametrize(
    ("model", "batch", "settings", "error", "message"),
    [
        (nn.Linear(3, 2), BATCH, {"runs": 0}, ValueError, "runs must be at least 1, got 0"),
        (nn.Linear(3, 2), BATCH, {"runs": 2.0}, TypeError, "runs must be a whole number, got 2.0"),
        (nn.Linear(3, 2), BATCH, {"warmup": -1}, ValueError, "warmup must be at least 0, got -1"),
        (nn.Linear(3, 2), BATCH, {"warmup": True}, TypeError, "warmup must be a whole number, got True"),
        (nn.Linear(3, 2), BATCH[:0], {}, ValueError, "at least one sample"),
        (nn.Linear(3, 2), BATCH.numpy(), {}, TypeError, "got ndarray"),
        (nn.Linear(9, 2), BATCH, {}, ValueError, r"Linear cannot take a batch of shape \(4, 3\)"),
        ("lab_cnn", BATCH, {}, TypeError, "module or a function of the batch, got str"),
    ],
)
def test_what_cannot_be_timed_is_explained(model, batch, settings, error, message):
    with pytest.raises(error, match=message):
        metrics.measure_latency(model, batch, **settings)
    with pytest.raises(error, match=message):
        metrics.compare_latency(nn.Identity(), model, batch, **settings)


def test_an_error_of_a_function_stays_its_own():
    def broken(batch):
        raise RuntimeError("session is closed")

    with pytest.raises(RuntimeError, match=r"^session is closed$"):
        metrics.measure_latency(broken, BATCH)
