import gzip
import math

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from labcore import runtime
from labcore.storage import ENCODINGS, Relative, encoding_sizes, gzip_bytes, load_model_, read_container, save_model
from labcore.storage import sparse as module

SPARSE = ("bitmap", "csr", "relative")


def bits(tensor: torch.Tensor) -> tuple:
    return tensor.dtype, tensor.shape, module.rows_of_bytes(tensor).numpy().tobytes()


def random_sparse(*shape: int, density: float, seed: int = 0) -> torch.Tensor:
    with runtime.fork_rng(seed):
        kept = torch.rand(shape).flatten().argsort() < round(density * math.prod(shape))
        return torch.randn(shape).masked_fill(~kept.view(shape), 0)


# --- by hand ----------------------------------------------------------------------------------------


def test_four_numbers_by_hand():
    tensor = torch.tensor([0.0, 1.5, 0.0, -2.0])
    arrays = {name: ENCODINGS[name].encode(tensor)[0] for name in SPARSE}
    assert all(array["values"].tolist() == [1.5, -2.0] for array in arrays.values())
    assert arrays["bitmap"]["mask"].tolist() == [0b0101_0000]
    assert arrays["csr"]["columns"].tolist() == [1, 3]
    assert arrays["csr"]["pointers"].tolist() == [0, 2]
    assert arrays["relative"]["fields"].tolist() == [0b00001_000, 0b01_000000]
    sizes = encoding_sizes(tensor)
    assert {name: sizes[name] for name in ("dense", *SPARSE)} == {"dense": 16, "bitmap": 9, "csr": 12, "relative": 10}


def test_ten_numbers_of_a_matrix_by_hand():
    tensor = torch.tensor([[0, 7, 0, 0, 5], [0, 0, 0, 0, 9]], dtype=torch.int16)
    arrays = {name: ENCODINGS[name].encode(tensor)[0] for name in SPARSE}
    assert arrays["bitmap"]["mask"].tolist() == [0b0100_1000, 0b0100_0000]
    assert arrays["csr"]["columns"].tolist() == [1, 4, 4]
    assert arrays["csr"]["pointers"].tolist() == [0, 2, 3]
    # Distances 2, 3, 5, each less one: 00001, 00010, 00100, then one bit to fill the byte.
    assert arrays["relative"]["fields"].tolist() == [0b00001_000, 0b10_00100_0]
    sizes = encoding_sizes(tensor)
    assert {name: sizes[name] for name in ("dense", *SPARSE)} == {"dense": 20, "bitmap": 8, "csr": 12, "relative": 8}


def test_a_distance_beyond_the_field_gets_a_filler():
    tensor = torch.zeros(16)
    tensor[[0, 3, 14]] = torch.tensor([3.4, 0.9, 1.7])
    arrays, info = Relative(bits=3).encode(tensor)
    torch.testing.assert_close(arrays["values"], torch.tensor([3.4, 0.9, 0.0, 1.7]))
    assert arrays["fields"].tolist() == [0b000_010_11, 0b1_010_0000]
    assert torch.equal(Relative().decode(arrays, info), tensor)


@pytest.mark.parametrize(("place", "n_entries"), [(31, 1), (32, 2), (63, 2), (64, 3)])
def test_a_field_of_five_bits_spans_thirty_two_places(place, n_entries):
    tensor = torch.zeros(70)
    tensor[place] = 1
    arrays, info = ENCODINGS["relative"].encode(tensor)
    assert len(arrays["values"]) == n_entries
    assert torch.equal(ENCODINGS["relative"].decode(arrays, info), tensor)


def test_fields_are_five_bits_wide_and_eight_for_convolutions():
    for shape, width in (((40,), 5), ((8, 5), 5), ((2, 5, 2, 2), 8)):
        arrays, info = ENCODINGS["relative"].encode(torch.ones(shape))
        assert info["bits"] == width
        assert len(arrays["fields"]) == 40 * width / 8


# --- against references -----------------------------------------------------------------------------


def relative_by_hand(flat: list[float], bits: int) -> tuple[list[int], list[float]]:
    """Fields and values, one place after the other."""
    fields, values, zeros = [], [], 0
    for value in flat:
        if value != 0 or zeros == 2**bits - 1:
            fields.append(zeros)
            values.append(value)
            zeros = 0
        else:
            zeros += 1
    while values and values[-1] == 0:
        fields.pop()
        values.pop()
    return fields, values


@given(
    st.lists(st.sampled_from([0, 0, 0, 0, 0, 0, 1, -3]), max_size=80),
    st.integers(1, 4),
)
def test_relative_entries_are_those_of_a_plain_loop(flat, width):
    arrays, _ = Relative(bits=width).encode(torch.tensor(flat, dtype=torch.float32))
    fields, values = relative_by_hand(flat, width)
    packed = "".join(f"{field:0{width}b}" for field in fields)
    assert arrays["values"].tolist() == values
    assert "".join(f"{byte:08b}" for byte in arrays["fields"].tolist())[: len(packed)] == packed
    assert len(arrays["fields"]) == -(-len(packed) // 8)


@pytest.mark.parametrize("shape", [(7, 300), (300, 7), (4, 3, 5, 5), (50,)])
def test_csr_agrees_with_scipy(shape):
    tensor = random_sparse(*shape, density=0.2)
    arrays, _ = ENCODINGS["csr"].encode(tensor)
    expected = scipy.sparse.csr_matrix(tensor.flatten(1).numpy() if len(shape) > 1 else tensor.numpy()[None])
    for part, theirs in (("values", expected.data), ("columns", expected.indices), ("pointers", expected.indptr)):
        assert np.array_equal(arrays[part].numpy(), theirs), part


@pytest.mark.parametrize(
    ("shape", "columns", "pointers"),
    [
        ((2, 256), torch.uint8, torch.uint8),
        ((2, 257), torch.uint16, torch.uint8),
        ((65_537,), torch.uint32, torch.uint16),
        ((300, 2), torch.uint8, torch.uint16),
    ],
)
def test_csr_indices_are_as_narrow_as_they_can_be(shape, columns, pointers):
    n_kept = 255 if pointers is torch.uint8 else 256
    tensor = torch.zeros(shape)
    tensor.view(-1)[-n_kept:] = 1
    arrays, info = ENCODINGS["csr"].encode(tensor)
    assert (arrays["columns"].dtype, arrays["pointers"].dtype) == (columns, pointers)
    assert torch.equal(ENCODINGS["csr"].decode(arrays, info), tensor)


# --- round trips ------------------------------------------------------------------------------------

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.int64, torch.bool)


@st.composite
def tensors(draw) -> torch.Tensor:
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    values = [0, 0, 0, 0, 1, draw(st.sampled_from([-0.0, 2.5, -7, float("nan"), float("inf")]))]
    flat = draw(st.lists(st.sampled_from(values), min_size=math.prod(shape), max_size=math.prod(shape)))
    dtype = draw(st.sampled_from(DTYPES))
    if not dtype.is_floating_point:
        flat = [int(value) if math.isfinite(value) else 3 for value in flat]
    return torch.tensor(flat, dtype=dtype).reshape(shape)


@pytest.mark.parametrize("encoding", [*(ENCODINGS[name] for name in SPARSE), Relative(bits=1), Relative(bits=16)])
@given(tensor=tensors())
def test_every_tensor_comes_back_with_the_same_bits(encoding, tensor):
    before = bits(tensor)
    arrays, info = encoding.encode(tensor)
    assert bits(encoding.decode(arrays, info)) == before == bits(tensor)


@pytest.mark.parametrize("name", SPARSE)
@pytest.mark.parametrize("density", [0.0, 0.01, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(1000,), (300, 784), (50, 20, 5, 5)])
def test_layers_of_real_shapes_come_back_with_the_same_bits(name, density, shape):
    tensor = random_sparse(*shape, density=density)
    arrays, info = ENCODINGS[name].encode(tensor)
    assert bits(ENCODINGS[name].decode(arrays, info)) == bits(tensor)


def test_a_view_with_strides_is_read_in_its_own_order():
    tensor = random_sparse(6, 8, density=0.3).t()[::2]
    for name in SPARSE:
        arrays, info = ENCODINGS[name].encode(tensor)
        assert bits(ENCODINGS[name].decode(arrays, info)) == bits(tensor)


def test_a_negative_zero_is_kept_as_a_value():
    tensor = torch.tensor([-1.0, -2.0, 3.0, 0.0]) * torch.tensor([1.0, 0.0, 0.0, 1.0])
    for name in SPARSE:
        arrays, info = ENCODINGS[name].encode(tensor)
        assert bits(ENCODINGS[name].decode(arrays, info)) == bits(torch.tensor([-1.0, -0.0, 0.0, 0.0]))
        assert arrays["values"].tolist() == [-1.0, -0.0]


# --- in a file, and what it costs -------------------------------------------------------------------


@pytest.mark.case("C-not-smaller")
@pytest.mark.case("P-state-dict")
def test_zeros_make_a_file_smaller_only_when_packed(tmp_path):
    model = nn.Linear(300, 784)
    save_model(tmp_path / "before", model)
    with torch.no_grad():
        model.weight.copy_(random_sparse(784, 300, density=0.1))
    save_model(tmp_path / "dense", model)
    assert (tmp_path / "dense").stat().st_size == (tmp_path / "before").stat().st_size
    sizes = encoding_sizes(model.weight)
    for name in SPARSE:
        save_model(tmp_path / name, model, encodings={"weight": name})
        saved = (tmp_path / "dense").stat().st_size - (tmp_path / name).stat().st_size
        assert saved == pytest.approx(sizes["dense"] - sizes[name], abs=300)
        assert saved > 0.8 * sizes["dense"]
        load_model_(other := nn.Linear(300, 784), tmp_path / name)
        assert bits(other.weight) == bits(model.weight)
        assert other.state_dict().keys() == model.state_dict().keys()


def test_an_empty_and_a_single_value_go_through_a_file(tmp_path):
    holder = nn.Module()
    for name, value in (("empty", torch.empty(0, 3)), ("one", torch.tensor(2.5)), ("none", torch.zeros(2, 3))):
        holder.register_buffer(name, value)
    for encoding in SPARSE:
        save_model(tmp_path / "f", holder, encodings=dict.fromkeys(("empty", "one", "none"), encoding))
        for name, value in read_container(tmp_path / "f").tensors.items():
            assert bits(value) == bits(holder.get_buffer(name))


@pytest.mark.parametrize(
    ("density", "smallest"),
    [
        # 4a + n/8 bytes against 4n: equal at 31/32. Five bits a value against one bit a place: near 1/5.
        # One byte a value against five bits and fillers: near 1/16.
        (0.98, "dense"), (0.96, "bitmap"), (0.22, "bitmap"), (0.18, "relative"), (0.08, "relative"), (0.05, "csr"),
    ],
)  # fmt: skip
def test_each_encoding_wins_in_its_own_range_of_densities(density, smallest):
    sizes = encoding_sizes(random_sparse(256, 256, density=density))
    del sizes["gzip"]
    assert min(sizes, key=sizes.get) == smallest


def test_sizes_follow_their_formulas():
    sizes = encoding_sizes(random_sparse(256, 256, density=0.25))
    kept = 256 * 256 // 4
    assert sizes["dense"] == 256 * 256 * 4
    assert sizes["bitmap"] == 256 * 256 // 8 + 4 * kept
    assert sizes["csr"] == (4 + 1) * kept + 257 * 2
    assert sizes["relative"] >= 4 * kept + kept * 5 / 8
    assert sizes.keys() == {"dense", "bitmap", "csr", "relative", "gzip"}


def test_gzip_is_what_gzip_makes_of_the_dense_bytes():
    tensor = random_sparse(100, 100, density=0.1)
    payload = tensor.numpy().tobytes()
    assert encoding_sizes(tensor)["gzip"] == gzip_bytes(payload) == len(gzip.compress(payload, 9))
    assert gzip_bytes(bytes(100_000)) < 300


def test_a_wrong_width_says_what_is_right():
    with pytest.raises(ValueError, match="bits must be from 1 to 16, got 17"):
        Relative(bits=17)
    for wrong in (True, 5.0):
        with pytest.raises(TypeError, match="whole number"):
            Relative(bits=wrong)
