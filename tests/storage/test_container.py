import copy
import hashlib
import json
import pickle
from typing import get_args

import pytest
import torch
from torch import nn

from labcore import runtime, storage
from labcore.models import ModelName, make_model
from labcore.storage import ContainerError, load_model_, read_container, save_model


def small(seed=0):
    with runtime.fork_rng(seed):
        return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


class Tied(nn.Module):
    def __init__(self, *, tied=True):
        super().__init__()
        self.embed, self.head = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.embed(x))


class Holder(nn.Module):
    """A module whose buffers are given."""

    def __init__(self, **buffers):
        super().__init__()
        for name, value in buffers.items():
            self.register_buffer(name, value)


def bits(model) -> dict[str, bytes]:
    return {name: tensor.clone().numpy().tobytes() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", get_args(ModelName))
def test_a_saved_model_answers_with_the_same_bits(name, tmp_path):
    model, other = make_model(name, seed=1).eval(), make_model(name, seed=2).eval()
    before = bits(model)
    save_model(tmp_path / "model.lab", model, meta={"note": "µ", "list": [1, 2.5, None, {"x": True}]})
    meta = load_model_(other, str(tmp_path / "model.lab"))
    assert meta == {"note": "µ", "list": [1, 2.5, None, {"x": True}]}
    assert bits(other) == bits(model) == before
    with runtime.fork_rng(0):
        images = torch.rand(5, 1, 28, 28) if name.startswith("lenet") else torch.rand(5, 1, 14, 14)
    with torch.inference_mode():
        assert torch.equal(model(images), other(images))


@pytest.mark.parametrize(
    "value",
    [
        torch.tensor([1.5, -0.0, float("nan"), float("inf")], dtype=torch.float16),
        torch.tensor([-1.25], dtype=torch.bfloat16),
        torch.tensor([-128, 127], dtype=torch.int8),
        torch.tensor([[True, False, True]]),
        torch.tensor(7),
        torch.tensor(2.5, dtype=torch.float64),
        torch.empty(0, 3),
        torch.arange(12.0).reshape(3, 4).t(),
        torch.arange(12)[::3],
        torch.zeros(1, 3).expand(4, 3),
        torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
    ],
    ids=lambda value: f"{value.dtype}-{tuple(value.shape)}".removeprefix("torch."),
)
def test_any_plain_tensor_keeps_type_shape_and_values(value, tmp_path):
    save_model(tmp_path / "f", Holder(first=value, second=value[..., None]))
    for name, expected in (("first", value), ("second", value[..., None])):
        got = read_container(tmp_path / "f").tensors[name]
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)


def test_the_layout_is_as_documented(tmp_path):
    save_model(tmp_path / "f", Holder(w=torch.tensor([1, 2], dtype=torch.int16)), meta={"a": 1})
    content = (tmp_path / "f").read_bytes()
    assert content[:8] == b"LABCORE\x01"
    assert content[8:40] == hashlib.sha256(content[40:]).digest()
    header = json.loads(content[48 : 48 + int.from_bytes(content[40:48], "little")])
    index = {"w": {"encoding": "dense", "parts": ["values"], "info": {}}}
    assert json.loads(header["__metadata__"]["labcore"]) == {"version": 1, "tensors": index, "meta": {"a": 1}}
    assert content.endswith(b"\x01\x00\x02\x00")
    save_model(tmp_path / "again", Holder(w=torch.tensor([1, 2], dtype=torch.int16)), meta={"a": 1})
    assert (tmp_path / "again").read_bytes() == content


@pytest.mark.case("Q-tied")
def test_a_shared_weight_is_stored_once_and_stays_shared(tmp_path):
    save_model(tmp_path / "tied", model := Tied())
    save_model(tmp_path / "untied", Tied(tied=False))
    assert 0 < (tmp_path / "untied").stat().st_size - (tmp_path / "tied").stat().st_size - 64 * 64 * 4 < 200
    tensors = read_container(tmp_path / "tied").tensors
    assert tensors["head.weight"] is tensors["embed.weight"]
    load_model_(other := Tied(), tmp_path / "tied")
    assert other.head.weight is other.embed.weight
    assert torch.equal(other.head.weight, model.embed.weight)
    for target, file in ((Tied(tied=False), "tied"), (Tied(), "untied")):
        before = bits(target)
        with pytest.raises(ContainerError, match=r"head.weight: shared with (embed.weight|none) in"):
            load_model_(target, tmp_path / file)
        assert bits(target) == before


def test_views_that_only_overlap_keep_their_own_values(tmp_path):
    base = torch.arange(6.0)
    save_model(tmp_path / "f", Holder(a=base[:4], b=base[2:], c=base.view(2, 3), d=base))
    tensors = read_container(tmp_path / "f").tensors
    assert [tensors[name].tolist() for name in "ab"] == [[0, 1, 2, 3], [2, 3, 4, 5]]
    assert tensors["c"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_empty_tensors_share_nothing(tmp_path):
    model = Holder(a=torch.empty(0, 3), b=torch.empty(0, 3))
    save_model(tmp_path / "f", model, encodings={"b": "dense"})
    tensors = read_container(tmp_path / "f").tensors
    assert tensors["a"] is not tensors["b"]


@pytest.mark.case("P-deepcopy")
def test_a_masked_model_its_copy_and_its_pickle_write_the_same_file(tmp_path):
    model = make_model("lab_cnn")
    with torch.no_grad():
        model.conv2.weight[model.conv2.weight.abs() < 0.05] = 0
    for name, each in (("a", model), ("b", copy.deepcopy(model)), ("c", pickle.loads(pickle.dumps(model)))):
        save_model(tmp_path / name, each)
    contents = {(tmp_path / name).read_bytes() for name in "abc"}
    assert len(contents) == 1


def test_every_difference_is_named_and_nothing_changes(tmp_path):
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.same, self.shape, self.kind = nn.Linear(2, 2), nn.Linear(3, 2), nn.Linear(2, 2)
            self.gone = nn.Linear(1, 1, bias=False)

    writer, reader = Other(), Other()
    writer.shape, writer.kind = nn.Linear(4, 2), nn.Linear(2, 2).half()
    writer.extra = nn.Linear(1, 1, bias=False)
    del writer.gone
    save_model(tmp_path / "f", writer)
    before = bits(reader)
    with pytest.raises(ContainerError) as caught:
        load_model_(reader, tmp_path / "f")
    for words in (
        "does not fit Other", "missing gone.weight", "unexpected extra.weight",
        "shape.weight: expected shape (2, 3), got (2, 4)", "kind.bias: expected dtype float32, got float16",
    ):  # fmt: skip
        assert words in str(caught.value)
    assert "same" not in str(caught.value)
    assert bits(reader) == before


class Bitmap:
    """What a chapter adds: a mask and the values where it is true."""

    def encode(self, tensor):
        return {"mask": tensor != 0, "values": tensor[tensor != 0]}, {"shape": list(tensor.shape)}

    def decode(self, arrays, info):
        tensor = torch.zeros(info["shape"], dtype=arrays["values"].dtype)
        tensor[arrays["mask"]] = arrays["values"]
        return tensor


def test_a_further_encoding_is_one_entry(monkeypatch, tmp_path):
    monkeypatch.setitem(storage.FILE_ENCODINGS, "mask", Bitmap())
    model = nn.Linear(200, 100)
    with torch.no_grad():
        model.weight[:, 20:] = 0
    save_model(tmp_path / "dense", model)
    save_model(tmp_path / "mask", model, encodings={"weight": "mask"})
    # 90 % zeros: 18,000 floats less, 20,000 mask bytes more.
    saved = (tmp_path / "dense").stat().st_size - (tmp_path / "mask").stat().st_size
    assert saved == pytest.approx(18_000 * 4 - 20_000, abs=200)
    load_model_(other := nn.Linear(200, 100), tmp_path / "mask")
    assert bits(other) == bits(model)
    monkeypatch.undo()
    with pytest.raises(ContainerError, match="unknown encoding 'mask'"):
        read_container(tmp_path / "mask")


def test_wrong_arguments_say_what_is_right_and_write_nothing(tmp_path):
    sparse, path = Holder(w=torch.eye(3).to_sparse()), tmp_path / "f"
    with pytest.raises(ValueError, match=r"lacks; it has: 0\.weight"):
        save_model(path, small(), encodings={"1.w": "dense"})
    with pytest.raises(ValueError, match="unknown encoding 'zip'; choose one of: dense"):
        save_model(path, small(), encodings={"0.weight": "zip"})
    with pytest.raises(ValueError, match=r"name the encoding of 'embed\.weight'"):
        save_model(path, Tied(), encodings={"head.weight": "dense"})
    for model in (sparse, nn.Linear(2, 2, device="meta")):
        with pytest.raises(TypeError, match=r"cannot write 'w(eight)?': expected a plain dense tensor"):
            save_model(path, model)
    for meta in ({"x": torch.ones(1)}, {"x": float("nan")}, [1]):
        with pytest.raises(TypeError, match="meta must"):
            save_model(path, small(), meta=meta)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_folders_place_raises_and_leaves_nothing(tmp_path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(OSError, match="folder"):
        save_model(tmp_path / "folder" / "model.lab", small())
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_the_old_file_survives_a_failed_write(monkeypatch, tmp_path):
    save_model(path := tmp_path / "model.lab", small())
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runtime.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        save_model(path, small(1))
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["model.lab"]
