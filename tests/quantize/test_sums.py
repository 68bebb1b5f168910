"""What residual sums in whole numbers add to the error: by hand, and on the shipped residual network."""

import pytest
import torch
from torch import nn

from labcore import data, models, quantize, surgery


class Sum(nn.Module):
    """x times a constant, plus x."""

    def __init__(self, factor: float):
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.layer.weight, factor)

    def forward(self, x):
        return self.layer(x) + x


def on_grids(model: nn.Module, values: torch.Tensor, bits: int) -> nn.Module:
    few = quantize.int_format(bits)
    return quantize.apply_static(model.eval(), [values], quantize.QuantConfig(activations=few, output=few))


def test_a_sum_of_four_values_by_hand():
    values = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    (found,) = quantize.measure_sums(on_grids(Sum(0.5), values, 2), values)
    # Unsigned 2 bits hold x as it is. The layer gives 0, 0.5, 1, 1.5 on signed 2 bits, step 1.5: codes 0 0 1 1.
    # The sum reaches 4.5, step 4.5: codes 0 0 1 1.
    assert found.name == "add"
    assert found.ratios == pytest.approx((1.5 / 4.5, 1 / 4.5))
    wanted = values.flatten() * 1.5
    exact, rounded = torch.tensor([0, 1, 2 + 1.5, 3 + 1.5]), torch.tensor([0, 0, 4.5, 4.5])
    before, after = ((each - wanted).square().sum() / wanted.square().sum() for each in (exact, rounded))
    assert found.before == pytest.approx(float(before))
    assert found.after == pytest.approx(float(after))
    assert found.added == pytest.approx(float(after / before - 1))


@pytest.fixture(scope="module")
def garments():
    return data.load_dataset("fashion14").subset(500, 100)


@pytest.fixture(scope="module")
def resnet(garments):
    return surgery.fold_batch_norm(models.load_model("lab_resnet"), garments.test_images[:1])


def recorded(net: nn.Module, part: str, garments) -> torch.Tensor:
    with surgery.tap(net, [part]) as taps, torch.inference_mode():
        net(garments.test_images)
    return taps[part].outputs[0]


def test_errors_are_those_of_the_network_with_whole_numbers(resnet, garments):
    static = quantize.apply_static(resnet, [garments.train_images], quantize.QuantConfig())
    state = {name: each.clone() for name, each in static.state_dict().items()}
    found = quantize.measure_sums(static, garments.test_images)
    assert [each.name for each in found] == ["add", "add_1", "add_2"]
    assert all(torch.equal(each, state[name]) for name, each in static.state_dict().items())
    network = quantize.convert(static, garments.test_images[:1])
    for each, stage in zip(found, ("stage1", "stage2", "stage3"), strict=True):
        exact, ours = recorded(resnet, stage, garments), recorded(network, f"body.{each.name}", garments)
        grid = static.get_submodule(f"quantizers.{stage}_relu_1").grid
        error = (quantize.decode(ours, grid) - exact).square().sum() / exact.square().sum()
        assert each.after == pytest.approx(float(error), rel=1e-4)
        assert 0 < each.before < each.after


def test_fewer_bits_bring_more_error(resnet, garments):
    errors = [
        max(each.after for each in quantize.measure_sums(quantize.apply_static(
            resnet, [garments.train_images], quantize.QuantConfig(activations=quantize.int_format(bits))
        ), garments.test_images))
        for bits in (8, 4)
    ]  # fmt: skip
    assert errors[1] > 10 * errors[0]


def test_a_network_without_a_sum_is_named(garments):
    cnn = surgery.fold_batch_norm(models.load_model("lab_cnn"), garments.test_images[:1])
    static = quantize.apply_static(cnn, [garments.train_images], quantize.QuantConfig())
    with pytest.raises(ValueError, match="needs a residual one"):
        quantize.measure_sums(static, garments.test_images)


def test_what_moves_between_a_sum_and_its_rectifier_is_named():
    class Moved(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.relu = nn.Conv2d(2, 2, 1), nn.ReLU()

        def forward(self, x):
            return self.relu((self.layer(x) + x).transpose(2, 3))

    images = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(surgery.UnsupportedOperation, match="stands between the sum"):
        quantize.measure_sums(quantize.apply_static(Moved(), [images], quantize.QuantConfig()), images)
