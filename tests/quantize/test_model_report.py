"""The report of a quantized model, counted by hand."""

import pytest
import torch
from torch import nn

from labcore import quantize
from labcore.models import load_model
from labcore.quantize import INT4, PER_TENSOR, QuantConfig, per_group, report_quantization
from labcore.surgery import fold_batch_norm
from topologies import SAMPLE, make


def two_layers() -> nn.Sequential:
    layers = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).eval()
    layers[0].weight.data = torch.tensor([[0.7, -0.26], [1.0, 0.0], [-3.0, 3.0]]).reshape(3, 2, 1, 1)
    return layers


IMAGES = torch.rand(8, 2, 2, 2, generator=torch.Generator().manual_seed(0))


def test_a_static_model_counted_by_hand():
    config = QuantConfig(weights=INT4, activations=quantize.int_format(5))
    report = report_quantization(quantize.apply_static(two_layers(), [IMAGES], config))
    conv, linear = report.layers
    assert (conv.name, conv.kind, conv.weights, conv.weight_bits) == ("0", "Conv2d", "int4 symmetric", 4)
    assert (conv.activations, conv.activation_bits, conv.granularity) == ("uint5 symmetric", 5, "per channel")
    # 6 weights of 4 bits, 3 biases and 3 scales of 32.
    assert (conv.n_params, conv.size_bits) == (9, 6 * 4 + 3 * 32 + 3 * 32)
    # One weight moves, -0.26 to -0.3: |w|^2 = 0.5576 + 1 + 18.
    assert conv.sqnr_db == pytest.approx(10 * torch.tensor(19.5576 / 0.04**2).log10().item(), abs=1e-3)
    assert (linear.n_params, linear.size_bits) == (26, 24 * 4 + 2 * 32 + 2 * 32)
    (norm,) = report.in_float
    assert (norm.name, norm.kind) == ("1", "BatchNorm2d")
    assert norm.reason == "no rule for BatchNorm2d; fold it into the layer before it (surgery.fold_batch_norm)"
    assert (norm.n_params, norm.size_bits) == (6, 4 * 3 * 32)
    # The input, the value behind the ReLU, the output.
    assert (report.n_ranges, report.range_bits) == (3, 3 * 32)
    assert report.n_params == 9 + 26 + 6
    assert report.size_bits == conv.size_bits + linear.size_bits + norm.size_bits + 96


def test_the_other_ways_keep_no_range():
    weight_only = report_quantization(quantize.apply_weight_only(two_layers(), QuantConfig()))
    assert [(each.activations, each.activation_bits) for each in weight_only.layers] == [(None, 32)] * 2
    dynamic = report_quantization(quantize.apply_dynamic(two_layers(), QuantConfig(activations=quantize.UINT8_AFFINE)))
    assert [(each.activations, each.activation_bits) for each in dynamic.layers] == [("uint8 affine", 8)] * 2
    for report in (weight_only, dynamic):
        assert (report.n_ranges, report.range_bits) == (0, 0)
        assert [each.name for each in report.in_float] == ["1"]


@pytest.mark.parametrize(
    ("granularity", "n_scales"), [(PER_TENSOR, 1), (quantize.PER_CHANNEL, 2), (per_group(4), 6)], ids=str
)
@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
def test_every_scale_is_counted_and_every_zero_point_that_is_free(granularity, n_scales, scheme):
    config = QuantConfig(weights=quantize.int_format(4, scheme), granularity=granularity)
    model = nn.Sequential(nn.Linear(12, 2, bias=False))
    (layer,) = report_quantization(quantize.apply_weight_only(model, config)).layers
    assert layer.size_bits == 24 * 4 + n_scales * (32 + 4 * (scheme == "affine"))
    assert layer.granularity == granularity.name


def test_operations_of_the_graph_without_a_rule_are_listed():
    report = report_quantization(quantize.apply_static(make("squeeze-excite"), [SAMPLE], QuantConfig()))
    assert [(each.name, each.kind, each.reason, each.size_bits) for each in report.in_float] == [
        (name, name, f"no rule for {name}", 0) for name in ("hardswish", "sigmoid", "mul")
    ]
    report = report_quantization(quantize.apply_static(make("tokens"), [SAMPLE], QuantConfig()))
    assert [(each.name, each.kind, each.n_params) for each in report.in_float] == [
        ("norm", "LayerNorm", 12), ("gelu", "gelu", 0)
    ]  # fmt: skip
    # Sizes that are asked for and computed with are no arithmetic on values.
    with_linear = make("squeeze-excite with linear layers")
    report = report_quantization(quantize.apply_static(with_linear, [SAMPLE], QuantConfig()))
    assert [each.kind for each in report.in_float] == ["sigmoid", "mul", "sum"]


def test_more_bits_mean_less_error_and_a_quarter_of_the_size_is_left_at_eight():
    model = fold_batch_norm(load_model("lab_cnn"), torch.rand(1, 1, 14, 14))
    reports = {
        n: report_quantization(quantize.apply_weight_only(model, QuantConfig(weights=quantize.int_format(n))))
        for n in (8, 4, 2)
    }
    for fine, coarse in ((8, 4), (4, 2)):
        pairs = zip(reports[fine].layers, reports[coarse].layers, strict=True)
        assert all(one.sqnr_db > other.sqnr_db + 6 for one, other in pairs)
    whole = 32 * sum(each.numel() for each in model.parameters())
    assert reports[8].size_bits / whole == pytest.approx(0.25, abs=0.02)
    assert not reports[8].in_float


def test_a_model_in_float_has_only_parts_in_float():
    report = report_quantization(make("residual"))
    assert not report.layers
    assert {each.name for each in report.in_float} == {"stem", "stem_bn", "first", "second", "fc"}
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module, got str"):
        report_quantization("residual")
