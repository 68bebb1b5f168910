"""One ONNX file that computes what the model computes, for any number of samples."""

import copy

import onnx
import pytest
import torch
from torch import nn

from labcore import deploy, models, surgery
from networks import LAB_SHAPES, make_torchvision
from topologies import TOPOLOGIES, Net, make, relative_error


def images(n: int, *shape: int) -> torch.Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(n))


@pytest.mark.parametrize("name", LAB_SHAPES)
def test_networks_of_the_lab_take_any_number_of_samples(name, tmp_path):
    model = models.load_model(name)
    deploy.export_onnx(model, images(1, *LAB_SHAPES[name]), tmp_path / "model.onnx")
    exported = deploy.session(tmp_path / "model.onnx")
    for n in (1, 2, 7):
        batch = images(n, *LAB_SHAPES[name])
        with torch.no_grad():
            assert relative_error(exported(batch), model(batch)) < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.slow
def test_a_network_of_torchvision_is_one_file(tmp_path):
    model = make_torchvision("resnet18").eval()
    written = deploy.export_onnx(model, images(2, 3, 64, 64), tmp_path / "model.onnx")
    n_params = sum(parameter.numel() for parameter in model.parameters())
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert written.file_bytes == (tmp_path / "model.onnx").stat().st_size == pytest.approx(4 * n_params, rel=0.01)
    assert written.operators["Conv"] == 20


@pytest.mark.slow
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_every_small_network_can_leave(name, tmp_path):
    deploy.export_onnx(make(name), images(2, 3, 8, 8), tmp_path / "model.onnx")


def test_folded_here_or_by_the_exporter_is_the_same_network(tmp_path):
    model, sample = models.load_model("lab_cnn"), images(3, 1, 14, 14)
    plain = deploy.export_onnx(model, sample, tmp_path / "plain.onnx")
    folded = deploy.export_onnx(surgery.fold_batch_norm(model, sample), sample, tmp_path / "folded.onnx")
    assert plain.operators == folded.operators
    assert "BatchNormalization" not in plain.operators
    one, other = (deploy.session(tmp_path / name)(sample) for name in ("plain.onnx", "folded.onnx"))
    assert relative_error(one, other) < 1e-6


def test_the_file_tells_nothing_of_where_it_was_made(tmp_path):
    model = models.load_model("lab_cnn")
    written = deploy.export_onnx(model, images(1, 1, 14, 14), tmp_path / "model.onnx")
    content = (tmp_path / "model.onnx").read_bytes()
    assert b"labcore" not in content
    assert b"/" not in content.replace(b"https://", b"").split(b"conv1.weight")[0]
    n_params = sum(parameter.numel() for parameter in model.parameters())
    assert written.file_bytes < 4 * n_params + 2_000
    onnx.checker.check_model(onnx.load(tmp_path / "model.onnx"), full_check=True)


def test_the_same_model_gives_the_same_bytes(tmp_path):
    for name in ("one.onnx", "other.onnx"):
        deploy.export_onnx(models.load_model("lab_cnn"), images(1, 1, 14, 14), tmp_path / name)
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()


def test_the_model_stays_and_leaves_in_evaluation_mode(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).train()
    before, state = [each.training for each in model.modules()], copy.deepcopy(model.state_dict())
    deploy.export_onnx(model, images(3, 4), tmp_path / "new" / "model.onnx")
    assert [each.training for each in model.modules()] == before
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    got = deploy.session(tmp_path / "new" / "model.onnx")(images(3, 4))
    with torch.no_grad():
        assert relative_error(got, model.eval()(images(3, 4))) < 1e-5


class Branching(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


REFUSED = {
    "branches on values": (Branching(), "Branching cannot be exported: "),
    "two outputs": (Net(lambda net, x: (x, x + 1)), "Net must give one tensor, it gives a tuple"),
    "a fixed number of samples": (Net(lambda net, x: x + torch.ones(2, 4)), r"cannot take a batch of shape \(4, 4\)"),
    "other samples": (nn.Linear(3, 2), r"Linear cannot take a batch of shape \(2, 4\)"),
    "random": (Net(lambda net, x: x + torch.rand(4)), "computes something else in ONNX Runtime.*random"),
    "not finite": (Net(lambda net, x: x / 0), "gives NaN or infinity on the sample"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_right_writes_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        deploy.export_onnx(model, images(1, 4), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ((nn.Linear(4, 2), [1.0], "a.onnx"), TypeError, "need a module and a tensor, got Linear and list"),
    (("model", torch.ones(1, 4), "a.onnx"), TypeError, "got str and Tensor"),
    ((nn.Linear(4, 2), torch.ones(1, 4), None), TypeError, "path must be a path, got NoneType"),
    ((nn.Linear(4, 2), torch.ones(0, 4), "a.onnx"), ValueError, "at least one sample"),
    ((nn.Linear(4, 2), torch.tensor(1.0), "a.onnx"), ValueError, "at least one sample"),
])  # fmt: skip
def test_bad_input_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        deploy.export_onnx(*arguments)


def test_a_half_file_is_never_left_behind(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        deploy.export_onnx(nn.Linear(4, 2), images(1, 4), tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


# --- the size of a file ---------------------------------------------------------------------------


@pytest.mark.case("M-slow")
def test_tensors_beside_the_file_count(tmp_path):
    model = nn.Linear(256, 256)
    written = deploy.export_onnx(model, images(1, 256), tmp_path / "one.onnx")
    onnx.save(
        onnx.load(tmp_path / "one.onnx"), tmp_path / "two.onnx", save_as_external_data=True, location="two.onnx.data",
        size_threshold=0,
    )  # fmt: skip
    parts = [(tmp_path / name).stat().st_size for name in ("two.onnx", "two.onnx.data")]
    assert deploy.measure_onnx(tmp_path / "two.onnx").file_bytes == sum(parts) > written.file_bytes - 1_000
    assert parts[0] < 2_000
    assert torch.equal(*(deploy.session(tmp_path / name)(images(2, 256)) for name in ("one.onnx", "two.onnx")))
    (tmp_path / "two.onnx.data").unlink()
    with pytest.raises(FileNotFoundError, match=r"two.onnx keeps tensors in two.onnx.data, which is missing"):
        deploy.measure_onnx(tmp_path / "two.onnx")


def test_tensors_of_nodes_and_inner_graphs_count_too(tmp_path):
    value = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [2], [1.0, 2.0])
    beside = [copy.deepcopy(value) for _ in range(2)]
    for name, tensor in zip(("a.bin", "b.bin"), beside, strict=True):
        tensor.ClearField("float_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=name)
        (tmp_path / name).write_bytes(bytes(8))
    constant = onnx.helper.make_node("Constant", [], ["c"], value=beside[0])
    inner = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["w"], ["y"])], "inner", [], [], [beside[1]])
    branch = onnx.helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([constant, branch], "outer", [], [])), tmp_path / "m.onnx")
    assert deploy.measure_onnx(tmp_path / "m.onnx").file_bytes == (tmp_path / "m.onnx").stat().st_size + 16
