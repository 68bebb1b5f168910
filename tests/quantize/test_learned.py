"""Ranges that learn: gradients by hand and against PyTorch's, and a whole network that training moves."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from labcore.models import load_model
from labcore.quantize import (
    PER_CHANNEL,
    PER_TENSOR,
    ClippedRange,
    DoReFaWeights,
    LearnedStep,
    LearnedWeightStep,
    QuantConfig,
    Quantizer,
    UnitRange,
    apply_learned_ranges,
    apply_static,
    apply_weight_only,
    convert,
    fake_quantize,
    fit_grid,
    grid_from_range,
    int_format,
    per_group,
    range_penalty,
    report_quantization,
)
from labcore.runtime import NoEffectWarning
from labcore.surgery import fold_batch_norm
from labcore.training import TrainConfig, fit
from toy import bits, network, toy

FEW = QuantConfig(weights=int_format(2), activations=int_format(2), granularity=PER_TENSOR, output=None)


def images(seed: int = 0, n: int = 40) -> torch.Tensor:
    return torch.rand(n, 1, 14, 14, generator=torch.Generator().manual_seed(seed))


def gradients(module: nn.Module, x: torch.Tensor, upstream: torch.Tensor) -> list[torch.Tensor]:
    """By x, then by each parameter."""
    x = x.clone().requires_grad_()
    return list(torch.autograd.grad(module(x), [x, *module.parameters()], upstream))


def started(module: LearnedStep, scale: float | torch.Tensor) -> LearnedStep:
    """A step of a certain size."""
    module.has_started.fill_(True)
    module.scale.data.copy_(torch.as_tensor(scale))
    return module


# --- LSQ ----------------------------------------------------------------------------------------------


def test_the_gradient_of_the_step_on_four_numbers():
    # Signed 3 bits, s = 1: -5 is clipped to -3, 0.4 -> 0, 1.6 -> 2, 7 -> 3; two values a sample: g = 1 / sqrt(2 * 3).
    step = started(LearnedStep(grid_from_range(-3.0, 3.0, int_format(3))), 1.0)
    x, upstream = torch.tensor([[-5.0, 0.4], [1.6, 7.0]]), torch.tensor([[1.0, 10.0], [100.0, 1000.0]])
    assert step(x).tolist() == [[-3, 0], [2, 3]]
    by_x, by_step = gradients(step, x, upstream)
    assert by_x.tolist() == [[0, 10], [100, 0]]
    assert by_step.item() == pytest.approx((-3 + 10 * -0.4 + 100 * 0.4 + 1000 * 3) / 6**0.5)


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from([int_format(b, "full", signed) for b in (2, 3, 4, 8) for signed in (True, False)]),
    st.floats(0.01, 3), st.integers(0, 1000),
)  # fmt: skip
def test_pytorchs_operation_has_the_same_values_and_gradients(format, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    x, upstream = torch.randn(5, 3, 4, generator=generator), torch.randn(5, 3, 4, generator=generator)
    step = started(LearnedStep(grid_from_range(-1.0, 1.0, format)), scale)
    expected_x, s = x.clone().requires_grad_(), torch.tensor([scale], requires_grad=True)
    y = torch._fake_quantize_learnable_per_tensor_affine(
        expected_x, s, torch.zeros(1), format.qmin, format.qmax, 1 / (3 * 4 * format.qmax) ** 0.5
    )
    y.backward(upstream)
    assert torch.allclose(step(x), y, atol=1e-5)
    by_x, by_step = gradients(step, x, upstream)
    assert torch.allclose(by_x, expected_x.grad, atol=1e-6)
    assert by_step.item() == pytest.approx(s.grad.item(), rel=1e-3, abs=1e-4)


def test_one_step_a_channel_has_pytorchs_gradients():
    generator = torch.Generator().manual_seed(0)
    weight, upstream = torch.randn(4, 3, 2, generator=generator), torch.randn(4, 3, 2, generator=generator)
    format = int_format(3, "full")
    step = LearnedWeightStep(fit_grid(weight, format, granularity=PER_CHANNEL), weight)
    expected, s = weight.clone().requires_grad_(), step.scale.detach().clone().requires_grad_()
    y = torch._fake_quantize_learnable_per_channel_affine(
        expected, s, torch.zeros(4), 0, format.qmin, format.qmax, 1 / (3 * 2 * format.qmax) ** 0.5
    )
    y.backward(upstream)
    by_weight, by_step = gradients(step, weight, upstream)
    assert torch.allclose(by_weight, expected.grad, atol=1e-6)
    assert by_step.tolist() == pytest.approx(s.grad.tolist(), rel=1e-4)


@pytest.mark.parametrize("granularity", [PER_TENSOR, PER_CHANNEL, per_group(2)], ids=lambda each: each.name)
def test_a_weights_step_starts_at_twice_the_mean_magnitude_over_the_root_of_the_highest_code(granularity):
    weight = torch.tensor([[1.0, -3.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0], [5.0, 1.0, -8.0, 2.0]])
    grid = fit_grid(weight, int_format(3), granularity=granularity)
    step = LearnedWeightStep(grid, weight)
    expected = {
        "tensor": 2 * (24 / 12) / 3**0.5,
        "channel": [4 / 3**0.5, 1.0, 8 / 3**0.5],  # a channel of zeros keeps the step it had
        "group": [[4 / 3**0.5, 4 / 3**0.5], [1.0, 1.0], [6 / 3**0.5, 10 / 3**0.5]],
    }[granularity.kind]
    assert step.scale.tolist() == (
        pytest.approx(expected) if granularity.kind != "group" else [pytest.approx(row) for row in expected]
    )
    assert torch.equal(step(weight), fake_quantize(weight, step.grid))


@pytest.mark.case("Q-qat-mode")
def test_an_activations_step_starts_with_the_first_batch_of_training_only():
    step = LearnedStep(grid_from_range(0.0, 6.0, int_format(2, signed=False))).eval()
    batch = torch.tensor([[0.0, 3.0], [1.0, 2.0]])
    before = bits(step)
    assert torch.equal(step(batch), fake_quantize(batch, grid_from_range(0.0, 6.0, int_format(2, signed=False))))
    assert bits(step) == before
    step.train()(batch[:0])  # an empty batch says nothing
    assert bits(step) == before
    step(batch)
    assert step.scale.item() == pytest.approx(2 * 1.5 / 3**0.5)
    after = bits(step)
    step(10 * batch)
    step.eval()(10 * batch)
    assert bits(step) == after


@pytest.mark.parametrize("pushed_to", [0.0, -1.0, -1e6])
def test_a_step_stays_above_zero_and_finds_back(pushed_to):
    step = started(LearnedStep(grid_from_range(0.0, 3.0, int_format(2, signed=False))), pushed_to)
    assert step.grid.scale.item() == pytest.approx(1e-3)
    x = torch.tensor([[1.0, 2.0]])
    assert step(x)[0].tolist() == pytest.approx([0.003, 0.003])
    # Larger outputs are wanted: the gradient says that the step should grow.
    (_, by_step) = gradients(step, x, torch.tensor([[-1.0, -1.0]]))
    assert by_step.item() == pytest.approx(-6 / 6**0.5)


# --- PACT ----------------------------------------------------------------------------------------------


def clipped(alpha: float, n_bits: int = 2) -> ClippedRange:
    return ClippedRange(grid_from_range(0.0, alpha, int_format(n_bits, signed=False)))


def test_only_values_at_alpha_or_above_move_it():
    module = clipped(3.0)
    x, upstream = torch.tensor([-1.0, 0.2, 1.4, 2.9, 3.0, 9.0]), 10.0 ** torch.arange(6)
    assert module(x).tolist() == [0, 0, 1, 3, 3, 3]
    by_x, by_alpha = gradients(module, x, upstream)
    assert by_x.tolist() == [0, 10, 100, 1000, 0, 0]
    assert by_alpha.item() == 10**4 + 10**5


@settings(deadline=None, max_examples=30)
@given(st.floats(0.1, 5), st.integers(2, 8), st.integers(0, 1000))
def test_pact_is_the_papers_formula_rounded(alpha, n_bits, seed):
    x = 3 * torch.randn(50, generator=torch.Generator().manual_seed(seed))
    module = clipped(alpha, n_bits)
    y = 0.5 * (x.abs() - (x - alpha).abs() + alpha)
    steps = (2**n_bits - 1) / alpha
    is_half = (y * steps % 1 - 0.5).abs() < 1e-3
    assert torch.allclose(module(x)[~is_half], ((y * steps).round() / steps)[~is_half], atol=1e-5)
    by_x, by_alpha = gradients(module, x, torch.ones(50))
    assert by_alpha.item() == int((x >= module.alpha).sum())
    assert by_x.tolist() == ((x > 0) & (x < module.alpha)).float().tolist()


@pytest.mark.parametrize("pushed_to", [0.0, -2.0])
def test_alpha_stays_above_zero_and_finds_back(pushed_to):
    module = clipped(3.0)
    module.alpha.data.fill_(pushed_to)
    assert module.grid.scale.item() == pytest.approx(0.001)
    _, by_alpha = gradients(module, torch.tensor([1.0, 2.0]), -torch.ones(2))
    assert by_alpha.item() == -2


def test_the_penalty_is_the_sum_of_squares():
    model = nn.Sequential(clipped(3.0), nn.ReLU(), clipped(0.5))
    range_penalty(model).backward()
    assert range_penalty(model).item() == pytest.approx(9.25)
    assert model[0].alpha.grad.item() == pytest.approx(6)
    with pytest.raises(ValueError, match="has no range of PACT"):
        range_penalty(nn.Linear(2, 2))


# --- DoReFa ------------------------------------------------------------------------------------------


def test_dorefa_weights_on_four_numbers():
    w = torch.tensor([0.5493061, -0.5493061, 0.2027326, -0.05])  # tanh: 0.5, -0.5, 0.2, -0.04996
    # Halves of tanh / 0.5 and 1/2: 1, 0, 0.7, 0.45; on thirds 1, 0, 2/3, 1/3.
    assert DoReFaWeights(2)(w).tolist() == pytest.approx([1, -1, 1 / 3, -1 / 3])
    assert DoReFaWeights(1)(torch.tensor([3.0, -1.0, 0.0, -0.0])).tolist() == [1, -1, 1, 1]


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 8), st.integers(0, 1000))
def test_dorefa_weights_and_their_gradients_are_the_papers(n_bits, seed):
    w = torch.randn(6, 5, generator=torch.Generator().manual_seed(seed))
    module, n = DoReFaWeights(n_bits), 2**n_bits - 1
    (by_w,) = gradients(module, w, torch.ones(6, 5))
    plain = w.clone().requires_grad_()
    if n_bits == 1:
        expected = torch.where(plain < 0, -1, 1) * plain.abs().mean()
        assert torch.equal(by_w, torch.ones(6, 5))
    else:
        soft = plain.tanh() / (2 * plain.tanh().abs().max()) + 0.5
        (2 * soft - 1).sum().backward()
        expected = 2 * (soft * n).round() / n - 1
        assert by_w.numpy() == pytest.approx(plain.grad.numpy(), abs=1e-5)
    assert module(w).detach().numpy() == pytest.approx(expected.detach().numpy(), abs=1e-6)
    assert len(module(w).unique()) <= 2**n_bits


def test_weights_of_zero_do_not_become_nan():
    assert DoReFaWeights(2)(torch.zeros(4)).abs().tolist() == pytest.approx([1 / 3] * 4)
    assert DoReFaWeights(1)(torch.zeros(4)).tolist() == [0, 0, 0, 0]


def test_dorefa_activations_on_six_numbers():
    module = UnitRange(2)
    x = torch.tensor([-0.2, 0.1, 0.3, 0.6, 0.9, 1.1])
    assert module(x).tolist() == pytest.approx([0, 0, 1 / 3, 2 / 3, 1, 1])
    (by_x,) = gradients(module, x, torch.ones(6))
    assert by_x.tolist() == [0, 1, 1, 1, 1, 0]


# --- a whole network ----------------------------------------------------------------------------------


def kinds(model: nn.Module) -> dict[str, str]:
    known = (Quantizer, DoReFaWeights)
    return {name: type(each).__name__ for name, each in model.named_modules() if isinstance(each, known)}


LAYERS, VALUES = ("conv1", "conv2", "conv3", "fc"), ("x", "relu", "relu_1", "relu_2")


@pytest.mark.parametrize(("method", "on_weights", "on_values"), [
    ("lsq", "LearnedWeightStep", "LearnedStep"), ("pact", "Quantizer", "ClippedRange"),
    ("dorefa", "DoReFaWeights", "UnitRange"),
])  # fmt: skip
def test_each_range_but_that_of_the_output_learns(method, on_weights, on_values):
    static = apply_static(load_model("lab_cnn"), [images()], QuantConfig())
    before = bits(static)
    model = apply_learned_ranges(static, method=method)
    assert kinds(model) == {
        **{f"{name}.weight_quantizer": on_weights for name in LAYERS},
        **{f"quantizers.{name}": on_values for name in VALUES},
        "quantizers.fc": "Quantizer",
    }
    assert bits(static) == before
    # Its step is made of those of inputs and weights, which move.
    steps = [[net.get_submodule(name).bias_step for name in LAYERS] for net in (static, model)]
    assert all(each is not None for each in steps[0])
    assert all(each is None for each in steps[1])
    assert all(not module.training for module in model.modules())
    assert all(module.training for module in apply_learned_ranges(static.train(), method=method).modules())
    assert not any(each.scale.requires_grad for each in static.modules() if isinstance(each, Quantizer))


def test_values_that_may_be_negative_keep_their_range_in_pact():
    static = apply_static(network().eval(), [torch.randn(40, 2)], QuantConfig())
    model = apply_learned_ranges(static, method="pact")
    assert {name for name, kind in kinds(model).items() if kind == "ClippedRange"} == {"quantizers._2"}


@pytest.mark.case("Q-noop")
def test_no_range_that_learns_is_a_warning():
    static = apply_static(load_model("lab_cnn"), [images()], QuantConfig(after_relu="signed"))
    with pytest.warns(NoEffectWarning, match="never negative, found int8 symmetric"):
        model = apply_learned_ranges(static, method="pact")
    assert set(kinds(model).values()) == {"Quantizer"}


@pytest.mark.parametrize("method", ["lsq", "pact", "dorefa"])
def test_training_moves_ranges_with_the_weights(method):
    static = apply_static(network().eval(), [torch.cat([x for x, _ in toy()])], FEW)
    model = apply_learned_ranges(static, method=method)
    before = {name: each.clone() for name, each in model.named_parameters()}
    log = fit(model, toy(), TrainConfig(epochs=15, learning_rate=0.02, optimizer="sgd"))
    assert log.losses[-1] < log.losses[0]
    moved = {name for name, each in model.named_parameters() if not torch.equal(each, before[name])}
    assert {"0.layer.weight", "4.layer.weight"} <= moved
    learned = {name for name in before if name.endswith((".scale", ".alpha"))}
    assert len(learned) == {"lsq": 4, "pact": 1, "dorefa": 0}[method]
    assert learned <= moved or method == "pact"  # where nothing is clipped alpha has no gradient


@pytest.mark.parametrize("method", ["lsq", "pact", "dorefa"])
def test_models_that_learn_copy_pickle_and_report(method):
    model = apply_learned_ranges(apply_static(load_model("lab_cnn"), [images()], FEW), method=method)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with torch.inference_mode():
            assert torch.equal(twin(images(1)), model(images(1)))
    report = report_quantization(model)
    assert [layer.weight_bits for layer in report.layers] == [2] * 4
    assert [layer.activation_bits for layer in report.layers] == [2] * 4
    assert report.n_ranges == 4


def test_what_lsq_learned_becomes_an_integer_network():
    x, model = images(), fold_batch_norm(load_model("lab_cnn"), images())
    static = apply_static(model, [x], QuantConfig())
    learned = apply_learned_ranges(static).train()
    with torch.no_grad():
        learned(x)
    whole = convert(learned.eval(), x[:1])
    with torch.inference_mode():
        assert (whole(x).argmax(1) == learned(x).argmax(1)).float().mean() >= 0.9


def test_dorefa_has_no_codes_to_store():
    model = apply_learned_ranges(apply_static(load_model("lab_cnn"), [images()], QuantConfig()), method="dorefa")
    with pytest.raises(ValueError, match="rounds the tanh of a weight"):
        model.conv1.weight_quantizer.grid  # noqa: B018


def test_wrong_models_and_methods_are_refused():
    with pytest.raises(TypeError, match=r"need a model from quantize.apply_static, got LabCNN"):
        apply_learned_ranges(load_model("lab_cnn"))
    with pytest.raises(TypeError, match=r"need a model from quantize.apply_static"):
        apply_learned_ranges(apply_weight_only(load_model("lab_cnn"), FEW))
    with pytest.raises(ValueError, match="choose one of: lsq, pact, dorefa"):
        apply_learned_ranges(apply_static(load_model("lab_cnn"), [images()], FEW), method="LSQ")
