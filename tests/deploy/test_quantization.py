"""ONNX Runtime's quantizer: smaller files that answer nearly the same, and nothing left behind."""

import logging
import tempfile
import warnings

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from labcore import data, deploy, metrics, models, runtime, training
from topologies import relative_error


@pytest.fixture(scope="module")
def garments():
    return data.load_dataset("fashion14")


@pytest.fixture(scope="module")
def path(tmp_path_factory, garments):
    path = tmp_path_factory.mktemp("onnx") / "float.onnx"
    deploy.export_onnx(models.load_model("lab_cnn"), garments.test_images[:2], path)
    return path


def calibration(garments) -> list[tuple[torch.Tensor, ...]]:
    return [(garments.train_images[i : i + 100],) for i in range(0, 300, 100)]


@pytest.mark.parametrize("scheme", ["U8S8", "U8S7", "S8S8"])
@pytest.mark.parametrize("scales", ["per channel", "per tensor"])
def test_eight_bits_answer_like_float(path, garments, scheme, scales, tmp_path):
    batches = calibration(garments)
    written = deploy.quantize_onnx_static(path, tmp_path / "int8.onnx", batches, scheme=scheme, scales=scales)
    images = garments.test_images[:500]
    whole, small = deploy.session(path)(images), deploy.session(tmp_path / "int8.onnx")(images)
    assert 0 < relative_error(small, whole) < 0.1
    assert (whole.argmax(1) == small.argmax(1)).float().mean() > 0.97
    assert written.file_bytes < deploy.measure_onnx(path).file_bytes / 2.5
    assert {"QuantizeLinear", "DequantizeLinear"} <= written.operators.keys()


def weights_of(path) -> dict[str, np.ndarray]:
    graph = onnx.load(path).graph
    return {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}


def test_settings_reach_the_file(path, garments, tmp_path):
    stored = {}
    for scheme, scales in (("U8S8", "per channel"), ("U8S7", "per tensor"), ("S8S8", "per channel")):
        deploy.quantize_onnx_static(path, tmp_path / "q.onnx", calibration(garments), scheme=scheme, scales=scales)
        stored[scheme] = weights_of(tmp_path / "q.onnx")
    for scheme, largest, n_scales in (("U8S8", 127, 32), ("U8S7", 64, 1), ("S8S8", 127, 32)):
        weight = stored[scheme]["conv2.weight_quantized"]
        assert weight.dtype == np.int8
        assert np.abs(weight.astype(int)).max() == largest
        assert stored[scheme]["conv2.weight_scale"].size == n_scales
    assert stored["U8S8"]["input_zero_point"].dtype == np.uint8
    assert stored["S8S8"]["input_zero_point"].dtype == np.int8


def test_ranges_are_the_smallest_and_largest_value_of_all_batches(path, tmp_path):
    batches = [(torch.full((2, 1, 14, 14), value),) for value in (0.5, 3.0, 1.0)]
    deploy.quantize_onnx_static(path, tmp_path / "q.onnx", iter(batches))
    stored = weights_of(tmp_path / "q.onnx")
    assert stored["input_scale"] == pytest.approx(3.0 / 255)
    assert stored["input_zero_point"] == 0


def test_other_batches_give_other_ranges_and_the_same_give_the_same_bytes(path, garments, tmp_path):
    for name, share in (("a", 1.0), ("b", 1.0), ("c", 0.5)):
        batches = [(images * share,) for (images,) in calibration(garments)]
        deploy.quantize_onnx_static(path, tmp_path / name, batches)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


@pytest.mark.case("Q-noop")
def test_dynamic_takes_linear_layers_and_convolutions_when_asked(path, garments, tmp_path):
    linear = deploy.quantize_onnx_dynamic(path, tmp_path / "linear.onnx")
    everything = deploy.quantize_onnx_dynamic(path, tmp_path / "all.onnx", layers="all", scales="per tensor")
    assert (linear.operators["Conv"], linear.operators["MatMulInteger"]) == (3, 1)
    assert (everything.operators["ConvInteger"], everything.operators["MatMulInteger"]) == (3, 1)
    assert everything.file_bytes < linear.file_bytes < deploy.measure_onnx(path).file_bytes
    images = garments.test_images[:200]
    for name in ("linear.onnx", "all.onnx"):
        assert 0 < relative_error(deploy.session(tmp_path / name)(images), deploy.session(path)(images)) < 0.1


@pytest.mark.case("Q-noop")
def test_nothing_to_quantize_is_a_warning(tmp_path):
    deploy.export_onnx(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh()), torch.rand(2, 1, 5, 5), tmp_path / "conv.onnx")
    with pytest.warns(runtime.NoEffectWarning, match=r"conv.onnx was quantized: its operators are Conv, Tanh"):
        deploy.quantize_onnx_dynamic(tmp_path / "conv.onnx", tmp_path / "same.onnx")
    images = torch.rand(2, 1, 5, 5)
    assert torch.equal(*(deploy.session(tmp_path / name)(images) for name in ("conv.onnx", "same.onnx")))


def test_a_norm_that_was_not_folded_stays_in_float(tmp_path, capfd):
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3)).eval()
    deploy.export_onnx(model, torch.rand(2, 3, 6, 6), tmp_path / "m.onnx")
    deploy.quantize_onnx_static(tmp_path / "m.onnx", tmp_path / "q.onnx", [(torch.rand(8, 3, 6, 6),)])
    graph = onnx.load(tmp_path / "q.onnx").graph
    norm = next(node for node in graph.node if node.op_type == "BatchNormalization")
    floats = {each.name for each in graph.initializer if each.data_type == onnx.TensorProto.FLOAT}
    assert set(norm.input[1:]) <= floats
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("handlers", [[], [logging.NullHandler()]])
def test_nothing_is_printed_logged_or_left_behind(path, garments, tmp_path, capfd, monkeypatch, handlers):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(handlers))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        deploy.quantize_onnx_static(path, tmp_path / "static.onnx", calibration(garments))
        deploy.quantize_onnx_dynamic(path, tmp_path / "dynamic.onnx")
    assert root.handlers == handlers
    assert capfd.readouterr() == ("", "")
    assert not list((tmp_path / "temporary").iterdir())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["dynamic.onnx", "static.onnx", "temporary"]


@pytest.mark.parametrize(("batches", "error", "message"), [
    ([], ValueError, "there is no batch to calibrate with"),
    ([(torch.rand(2, 1, 14, 13),)], ValueError, r"(?s)float.onnx cannot take a batch for calibration: .*13"),
    ([(torch.rand(2, 1, 14, 14),), (torch.full((2, 1, 14, 14), torch.nan),)], ValueError, "batch 1 .* NaN or infinity"),
    ([(torch.full((2, 1, 14, 14), torch.inf),)], ValueError, "batch 0 .* NaN or infinity"),
    ([(torch.rand(2, 1, 14, 14).double(),)], ValueError, "cannot take a batch"),
    ([torch.rand(2, 1, 14, 14)], TypeError, r"expected batches as tuples \(inputs, ...\), got Tensor"),
    (torch.rand(2, 1, 14, 14), TypeError, "got Tensor"),
    ([([1.0],)], TypeError, "expected batches as tuples"),
    (None, TypeError, "not iterable"),
])  # fmt: skip
def test_batches_that_cannot_calibrate_write_nothing(path, tmp_path, batches, error, message):
    with pytest.raises(error, match=message):
        deploy.quantize_onnx_static(path, tmp_path / "q.onnx", batches)
    assert not list(tmp_path.iterdir())


def test_unknown_settings_name_the_valid_ones(path, garments, tmp_path):
    for settings, message in (
        ({"scheme": "S8U8"}, "unknown scheme 'S8U8'; choose one of: U8S8, U8S7, S8S8"),
        ({"scales": "per group"}, "unknown scales 'per group'; choose one of: per channel, per tensor"),
    ):
        with pytest.raises(ValueError, match=message):
            deploy.quantize_onnx_static(path, tmp_path / "q.onnx", calibration(garments), **settings)
    with pytest.raises(ValueError, match="unknown layers 'conv'; choose one of: linear, all"):
        deploy.quantize_onnx_dynamic(path, tmp_path / "q.onnx", layers="conv")


@pytest.mark.case("C-state")
def test_a_quantized_file_is_not_quantized_again(path, garments, tmp_path):
    deploy.quantize_onnx_static(path, tmp_path / "q.onnx", calibration(garments))
    for quantize in (deploy.quantize_onnx_dynamic, lambda *paths: deploy.quantize_onnx_static(*paths, [])):
        with pytest.raises(ValueError, match=r"q.onnx is quantized already: it holds DequantizeLinear, QuantizeLinear"):
            quantize(tmp_path / "q.onnx", tmp_path / "again.onnx")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        deploy.quantize_onnx_dynamic(tmp_path / "none.onnx", tmp_path / "q.onnx")
    with pytest.raises(TypeError, match="path_out must be a path"):
        deploy.quantize_onnx_dynamic(path, None)


@pytest.mark.case("C-nonsense")
def test_accuracy_survives_and_the_record_of_it_is_the_usual_one(path, garments, tmp_path):
    deploy.quantize_onnx_static(path, tmp_path / "q.onnx", calibration(garments))
    batches = [(garments.test_images[:1000], garments.test_labels[:1000])]
    whole, small = (training.evaluate(deploy.session(each), batches) for each in (path, tmp_path / "q.onnx"))
    assert whole.accuracy > 0.8
    assert abs(metrics.compare_paired(whole, small).difference.low) < 0.02
