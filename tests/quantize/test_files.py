"""The file of a quantized model: what it holds, and how many bytes that takes."""

import pytest
import torch

from labcore import models, quantize, storage


def weight_only(bits: int, granularity=quantize.PER_CHANNEL) -> torch.nn.Module:
    config = quantize.QuantConfig(weights=quantize.int_format(bits), granularity=granularity)
    return quantize.apply_weight_only(models.load_model("lab_cnn"), config)


@pytest.mark.parametrize("granularity", [quantize.PER_TENSOR, quantize.PER_CHANNEL, quantize.per_group(9)])
def test_codes_and_scales_of_the_file_give_the_weights_back(granularity, tmp_path):
    model = weight_only(4, granularity)
    quantize.save_quantized(tmp_path / "f", model, meta={"bits": 4})
    container = storage.read_container(tmp_path / "f")
    codes = container.tensors["conv2.layer.weight"]
    assert codes.dtype == torch.int8
    assert int(codes.abs().max()) == 7
    assert torch.equal(quantize.decode(codes, model.conv2.weight_quantizer.grid), model.conv2.quantized_weight())
    assert torch.equal(container.tensors["conv2.weight_quantizer.scale"], model.conv2.weight_quantizer.scale)
    assert container.meta == {"bits": 4}


@pytest.mark.case("C-not-smaller")
def test_half_the_bits_take_half_the_bytes_of_the_weights():
    model = models.load_model("lab_cnn")
    n_weights = sum(layer.weight.numel() for layer in (model.conv1, model.conv2, model.conv3, model.fc))
    sizes = {bits: quantize.measure_file_bytes(weight_only(bits)) for bits in (8, 4, 2)}
    assert sizes[8] - sizes[4] == pytest.approx(n_weights / 2, abs=60)
    assert sizes[4] - sizes[2] == pytest.approx(n_weights / 4, abs=60)


def test_the_model_is_left_as_it_was(tmp_path):
    model = weight_only(4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    quantize.save_quantized(tmp_path / "f", model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_model_in_float_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no weight on a grid"):
        quantize.save_quantized(tmp_path / "f", models.load_model("lab_cnn"))
    assert not (tmp_path / "f").exists()
