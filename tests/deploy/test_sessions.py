"""A model in ONNX Runtime is a function of a batch, wherever one is measured."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from labcore import deploy, metrics, models, training
from labcore.data import Batches


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "lab_cnn.onnx"
    deploy.export_onnx(models.load_model("lab_cnn"), torch.rand(1, 1, 14, 14), path)
    return path


def batches() -> Batches:
    generator = torch.Generator().manual_seed(0)
    return Batches((torch.rand(50, 1, 14, 14, generator=generator), torch.arange(50) % 10), 20, None)


def test_it_is_evaluated_like_a_module(path):
    model, exported = models.load_model("lab_cnn"), deploy.session(path)
    one, other = (training.evaluate(each, batches()) for each in (exported, model))
    assert np.array_equal(one.predictions, other.predictions)
    logits, labels = training.predict(exported, batches())
    assert (logits.shape, labels.shape) == ((50, 10), (50,))


def test_it_is_timed_like_any_function(path):
    exported, batch = deploy.session(path), torch.rand(4, 1, 14, 14)
    assert len(metrics.measure_latency(exported, batch, runs=3, warmup=1).samples_ms) == 3
    first, second = metrics.compare_latency(models.load_model("lab_cnn"), exported, batch, runs=2, warmup=1)
    assert (len(first.samples_ms), len(second.samples_ms)) == (2, 2)


def test_equal_batches_give_equal_bits(path):
    batch = torch.rand(30, 1, 14, 14)
    exported = deploy.session(path)
    first = exported(batch)
    assert all(torch.equal(exported(batch), first) for _ in range(3))
    assert torch.equal(deploy.session(path)(batch), first)


def test_memory_layout_and_gradients_do_not_matter(path):
    exported, batch = deploy.session(path), torch.rand(4, 1, 14, 14)
    turned = torch.rand(4, 14, 14, 1).permute(0, 3, 2, 1)
    assert torch.equal(exported(turned), exported(turned.contiguous()))
    assert torch.equal(exported(batch.requires_grad_()), exported(batch.detach()))
    assert not exported(batch).requires_grad


def test_threads_are_those_of_the_lab_unless_said_otherwise(path, monkeypatch):
    assert deploy.session(path).threads == 1
    assert deploy.session(path, threads=2).threads == 2
    monkeypatch.setenv("LABCORE_THREADS", "2")
    model = deploy.session(path)
    assert str(model) == "OnnxModel('lab_cnn.onnx', threads=2)"
    options = model._engine.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.use_deterministic_compute
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize(("threads", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)])
def test_threads_are_whole_and_positive(path, threads, error):
    with pytest.raises(error, match="threads must be"):
        deploy.session(path, threads=threads)


@pytest.mark.parametrize(("batch", "error", "message"), [
    (torch.rand(2, 1, 14, 13), ValueError, r"takes a batch of shape \('batch', 1, 14, 14\), got \(2, 1, 14, 13\)"),
    (torch.rand(14, 14), ValueError, r"got \(14, 14\)"),
    (torch.rand(2, 1, 14, 14).double(), TypeError, r"takes torch.float32, got torch.float64; convert with .to"),
    (torch.ones(2, 1, 14, 14).int(), TypeError, "got torch.int32"),
    (np.ones((2, 1, 14, 14), np.float32), TypeError, "expected a batch as one tensor, got ndarray"),
])  # fmt: skip
def test_other_batches_are_refused(path, batch, error, message):
    with pytest.raises(error, match=message):
        deploy.session(path)(batch)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_models_of_other_types_run(tmp_path, dtype):
    layer = nn.Linear(3, 2).to(dtype)
    deploy.export_onnx(layer, torch.ones(1, 3, dtype=dtype), tmp_path / "m.onnx")
    got = deploy.session(tmp_path / "m.onnx")(torch.ones(5, 3, dtype=dtype))
    assert (got.dtype, got.shape) == (dtype, (5, 2))


def test_files_that_are_no_model_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none.onnx; make one with export_onnx"):
        deploy.session(tmp_path / "none.onnx")
    for content in (b"", b"\xff\xfe a text"):
        (tmp_path / "text.onnx").write_bytes(content)
        with pytest.raises(ValueError, match=r"text.onnx is not an ONNX model"):
            deploy.session(tmp_path / "text.onnx")
    with pytest.raises(TypeError, match="path must be a path, got int"):
        deploy.session(3)


def graph_of(node: onnx.NodeProto, inputs: str, outputs: str) -> onnx.ModelProto:
    ends = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n"]) for n in names] for names in (inputs, outputs)]
    opset = helper.make_opsetid(node.domain, 18)
    return helper.make_model(helper.make_graph([node], "graph", *ends), opset_imports=[opset], ir_version=10)


def test_models_that_cannot_be_called_are_refused(tmp_path):
    onnx.save(graph_of(helper.make_node("Add", ["a", "b"], ["c"]), "ab", "c"), tmp_path / "two.onnx")
    with pytest.raises(ValueError, match=r"two.onnx must take one tensor and give one, it takes 2 and gives 1"):
        deploy.session(tmp_path / "two.onnx")
    onnx.save(graph_of(helper.make_node("Nothing", ["a"], ["c"]), "a", "c"), tmp_path / "unknown.onnx")
    with pytest.raises(ValueError, match=r"ONNX Runtime cannot run unknown.onnx: .*Nothing"):
        deploy.session(tmp_path / "unknown.onnx")
