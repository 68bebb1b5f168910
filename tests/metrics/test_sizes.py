"""Three sizes of one model."""

import pytest
import torch
from torch import nn

from labcore import metrics
from labcore.models import make_model
from labcore.storage import save_model
from networks import LAB_SHAPES


@pytest.mark.parametrize("name", LAB_SHAPES)
def test_dense_size_is_four_bytes_a_parameter(name):
    model = make_model(name)
    sizes = metrics.measure_sizes(model)
    assert sizes.dense_bytes == 4 * sum(parameter.numel() for parameter in model.parameters())
    assert sizes.theoretical_bits == 32 * sum(int((parameter != 0).sum()) for parameter in model.parameters())


@pytest.mark.case("M-slow")
def test_the_file_is_the_one_that_storage_writes(tmp_path):
    model = make_model("lab_cnn")
    save_model(tmp_path / "model", model)
    sizes = metrics.measure_sizes(model)
    assert sizes.file_bytes == (tmp_path / "model").stat().st_size > sizes.dense_bytes


@pytest.mark.case("C-not-smaller")
def test_zeros_shrink_the_theory_and_not_the_file():
    model = make_model("lenet5")
    before = metrics.measure_sizes(model)
    with torch.no_grad():
        model.fc1.weight[:, 80:] = 0
    after = metrics.measure_sizes(model)
    assert (after.dense_bytes, after.file_bytes) == (before.dense_bytes, before.file_bytes)
    assert after.theoretical_bits == before.theoretical_bits - 32 * 500 * 720


def test_bits_set_the_theory_alone():
    model = make_model("lab_cnn")
    full, four = metrics.measure_sizes(model), metrics.measure_sizes(model, bits=4)
    assert four.theoretical_bits * 8 == full.theoretical_bits
    assert (four.dense_bytes, four.file_bytes) == (full.dense_bytes, full.file_bytes)


def test_the_stored_width_counts():
    model = nn.Linear(8, 8)
    assert metrics.measure_sizes(model.half()).dense_bytes == 2 * 72


@pytest.mark.case("Q-tied")
def test_shared_weights_count_once_in_every_size():
    tied, untied = (nn.Sequential(nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)) for _ in range(2))
    tied[1].weight = tied[0].weight
    one, two = metrics.measure_sizes(tied), metrics.measure_sizes(untied)
    assert (one.dense_bytes, one.theoretical_bits) == (4 * 4096, 32 * 4096)
    assert two.file_bytes - one.file_bytes == pytest.approx(4 * 4096, abs=200)


def test_a_model_without_parameters_has_only_a_header():
    sizes = metrics.measure_sizes(nn.Flatten())
    assert (sizes.dense_bytes, sizes.theoretical_bits) == (0, 0)
    assert 0 < sizes.file_bytes < 500


@pytest.mark.parametrize(("bits", "error"), [(0, ValueError), (-8, ValueError), (1.5, TypeError), (True, TypeError)])
def test_bits_must_be_a_width(bits, error):
    with pytest.raises(error, match="bits must be"):
        metrics.measure_sizes(nn.Linear(2, 2), bits=bits)
