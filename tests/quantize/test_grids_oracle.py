"""Scales, zero points, codes and values are those of PyTorch, torchao and ONNX Runtime."""

import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from labcore import quantize
from labcore.quantize import PER_CHANNEL, PER_TENSOR, per_group

by_name = {"ids": lambda value: value.name}

# Not [-1, 0.2]: its zero lies halfway between two codes, and the last place of a float32 decides.
RANGES = [(-1.0, 1.0), (-1.0, 0.3), (-0.7, 2.0), (0.0, 5.0), (1.0, 3.0), (-5.0, -2.0), (-1e-9, 3e-9), (-40.0, 3e6)]


def data(low: float, high: float) -> Tensor:
    x = torch.rand(4, 50, generator=torch.Generator().manual_seed(0)) * (high - low) + low
    x[:, 0], x[:, 1] = low, high
    return x


@pytest.mark.case("Q-sym-127.5")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("scheme", ["torch", "affine"])
@pytest.mark.parametrize("granularity", [PER_TENSOR, PER_CHANNEL], **by_name)
def test_parameters_are_those_of_torch_observers(signed, scheme, granularity):
    from torch.ao.quantization.observer import MinMaxObserver, PerChannelMinMaxObserver

    kind = "tensor" if granularity == PER_TENSOR else "channel"
    observer_class = MinMaxObserver if kind == "tensor" else PerChannelMinMaxObserver
    for ends in RANGES:
        observer = observer_class(
            dtype=torch.qint8 if signed else torch.quint8,
            qscheme=getattr(torch, f"per_{kind}_{'symmetric' if scheme == 'torch' else 'affine'}"),
            eps=torch.finfo(torch.float32).tiny,
        )
        observer(data(*ends))
        scale, zero_point = observer.calculate_qparams()
        grid = quantize.fit_grid(data(*ends), quantize.int_format(8, scheme, signed), granularity=granularity)
        assert torch.allclose(grid.scale.flatten(), scale, rtol=1e-6, atol=0)
        assert torch.equal(grid.zero_point.flatten(), zero_point)


@pytest.mark.case("Q-sym-127.5")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("scheme", ["full", "torch", "affine"])
@pytest.mark.parametrize("bits", [3, 4, 8])
def test_parameters_are_those_of_torchao(scheme, bits):
    from torchao.quantization.quant_primitives import MappingType, choose_qparams_affine_with_min_max

    mapping = {"full": "SYMMETRIC_NO_CLIPPING_ERR", "torch": "SYMMETRIC", "affine": "ASYMMETRIC"}[scheme]
    format = quantize.int_format(bits, scheme)
    for low, high in RANGES:
        scale, zero_point = choose_qparams_affine_with_min_max(
            torch.tensor(low), torch.tensor(high), MappingType[mapping], (), torch.int8, format.qmin, format.qmax
        )
        grid = quantize.grid_from_range(low, high, format)
        assert torch.allclose(grid.scale, scale, rtol=1e-6, atol=0)
        assert grid.zero_point == zero_point


def run_onnx(x: Tensor, grid: quantize.Grid) -> tuple[Tensor, Tensor]:
    """Codes and decoded values by ONNX Runtime."""
    code_type = getattr(onnx.TensorProto, grid.format.name.split()[0].upper())
    zero_point = helper.make_tensor("z", code_type, grid.zero_point.shape, grid.zero_point.flatten().tolist())
    attributes = {"group": {"axis": 1, "block_size": grid.granularity.size}, "channel": {"axis": grid.axis}}
    attributes = attributes.get(grid.granularity.kind, {})
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **attributes),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **attributes),
        helper.make_node("Cast", ["q"], ["codes"], to=onnx.TensorProto.INT32),
    ]
    graph = helper.make_graph(
        nodes, "quantize", [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("codes", onnx.TensorProto.INT32, x.shape),
         helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, x.shape)],
        [numpy_helper.from_array(grid.scale.numpy(), "s"), zero_point],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return tuple(map(torch.from_numpy, session.run(None, {"x": x.numpy()})))


@pytest.mark.case("Q-round")
@pytest.mark.parametrize("format", [
    quantize.INT8_AFFINE, quantize.UINT8_AFFINE, quantize.UINT8, quantize.int_format(8, "full"),
    quantize.int_format(4, "full"), quantize.int_format(4, "affine", signed=False), quantize.int_format(16, "affine"),
], **by_name)  # fmt: skip
@pytest.mark.parametrize("granularity", [PER_TENSOR, PER_CHANNEL, per_group(10)], **by_name)
def test_codes_and_values_are_those_of_onnx_runtime(format, granularity):
    x = torch.cat([data(*RANGES[1]), data(*RANGES[2]), data(*RANGES[5])])
    grid = quantize.fit_grid(x, format, granularity=granularity)
    beyond = 1.3 * x
    codes, decoded = run_onnx(beyond, grid)
    assert torch.equal(quantize.encode(beyond, grid).int(), codes)
    assert torch.equal(quantize.fake_quantize(beyond, grid), decoded)


@pytest.mark.case("Q-round")
@pytest.mark.parametrize("zero_point", [0, 3])
def test_halves_are_rounded_as_in_onnx_runtime(zero_point):
    x = torch.arange(-20, 20) / 8 + 1 / 16
    x = torch.cat([x, torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, -2.5]) / 4])
    grid = quantize.Grid(quantize.INT8_AFFINE, torch.tensor(0.25), torch.tensor(zero_point, dtype=torch.int32))
    codes, _ = run_onnx(x, grid)
    assert torch.equal(quantize.encode(x, grid).int(), codes)
