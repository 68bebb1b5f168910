import copy
import math

import pytest
import torch
from torch import nn

from labcore.binarize import (
    BinaryConfig,
    BinaryLayer,
    FixedLayer,
    ShiftedPReLU,
    SignActivation,
    binary_sign,
    fit_binary,
    fit_ternary,
    k_map,
    ternary_threshold,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_layer(kind="conv2d", bias=True):
    layers = {
        "linear": lambda: nn.Linear(6, 4, bias=bias),
        "conv1d": lambda: nn.Conv1d(4, 6, 3, padding=1, groups=2, bias=bias),
        "conv2d": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, dilation=1, bias=bias),
        "conv3d": lambda: nn.Conv3d(2, 3, 2, bias=bias),
    }
    torch.manual_seed(0)
    return layers[kind]()


INPUTS = {"linear": (3, 6), "conv1d": (3, 4, 7), "conv2d": (3, 4, 7, 7), "conv3d": (2, 2, 4, 4, 4)}


def naive(layer, x, weight):
    """The layer with another weight put into a copy."""
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        twin.weight.copy_(weight)
    return twin(x)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", INPUTS)
def test_a_layer_computes_with_alpha_times_codes(kind, bias):
    layer, x = make_layer(kind, bias), normal(*INPUTS[kind])
    for config, fit in ((BinaryConfig(), fit_binary), (BinaryConfig(weights="ternary"), fit_ternary)):
        expected = naive(layer, x, fit(layer.weight.detach()).values)
        assert torch.allclose(BinaryLayer(copy.deepcopy(layer), config)(x), expected, atol=1e-5)


@pytest.mark.parametrize("kind", INPUTS)
def test_binary_inputs_are_signs(kind):
    layer, x = make_layer(kind), normal(*INPUTS[kind])
    x.view(-1)[0] = 0
    expected = naive(layer, binary_sign(x), fit_binary(layer.weight.detach()).values)
    assert torch.allclose(BinaryLayer(layer, BinaryConfig(activations="binary"))(x), expected, atol=1e-5)


def test_sums_of_signs_are_whole_numbers():
    """Alpha comes last, so that a packed layer can agree bit for bit."""
    layer = nn.Conv2d(3, 4, 3, bias=False)
    binary = BinaryLayer(layer, BinaryConfig(activations="binary", alpha="none"))
    y = binary(normal(2, 3, 8, 8))
    assert torch.equal(y, y.round())
    assert y.abs().max() <= 27


def test_alpha_learned_starts_at_the_mean_and_none_is_one():
    layer = make_layer()
    learned = BinaryLayer(copy.deepcopy(layer), BinaryConfig(alpha="learned"))
    assert torch.equal(learned.weight_rule.alpha, layer.weight.abs().mean((1, 2, 3), keepdim=True))
    assert BinaryLayer(layer, BinaryConfig(alpha="none")).weight_rule(layer.weight).alpha.unique().tolist() == [1]


def test_k_scales_each_position():
    layer = nn.Conv2d(2, 3, 3, padding=1, bias=False)
    plain = BinaryLayer(copy.deepcopy(layer), BinaryConfig(activations="binary"))
    scaled = BinaryLayer(layer, BinaryConfig(activations="binary", scale_inputs="k_map"))
    x = normal(2, 2, 5, 5)
    assert torch.allclose(scaled(x), plain(x) * k_map(x, (3, 3), padding=1))
    linear = BinaryLayer(nn.Linear(4, 2, bias=False), BinaryConfig(activations="binary", scale_inputs="k_map"))
    x = normal(3, 4)
    size = x.abs().mean(1, keepdim=True)
    assert torch.allclose(linear(3 * x), 3 * linear(x))
    assert linear(x).shape == (3, 2)
    assert (size > 0).all()


def test_k_needs_pictures_and_binary_inputs():
    config = BinaryConfig(activations="binary", scale_inputs="k_map")
    with pytest.raises(ValueError, match="Conv2d and Linear, got Conv1d"):
        BinaryLayer(make_layer("conv1d"), config)
    with pytest.raises(ValueError, match="activations are real"):
        BinaryConfig(scale_inputs="k_map")
    for other in (nn.Conv2d(2, 2, 3, groups=2), nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")):
        with pytest.raises(ValueError, match="one group and zero padding"):
            BinaryLayer(other, config)


def test_stochastic_weights_have_no_alpha():
    with pytest.raises(ValueError, match="say alpha='none'"):
        BinaryConfig(weights="stochastic")


def test_thresholds_have_the_factors_of_their_papers():
    weight = normal(2, 50)
    ternary = BinaryLayer(nn.Linear(50, 2), BinaryConfig(weights="ternary")).weight_rule
    assert torch.equal(ternary(weight).codes, fit_ternary(weight).codes)
    trained = BinaryLayer(nn.Linear(50, 2), BinaryConfig(weights="trained_ternary")).weight_rule
    assert torch.equal(trained(weight).codes == 0, weight.abs() <= 0.05 * weight.abs().max())


def test_a_fixed_layer_can_be_exported():
    fixed = FixedLayer(BinaryLayer(make_layer(), BinaryConfig(activations="binary")).eval()).eval()
    x = normal(2, 4, 7, 7)
    assert torch.equal(torch.export.export(fixed, (x,)).module()(x), fixed(x))


def test_a_shift_moves_the_threshold_of_its_channel():
    layer = BinaryLayer(nn.Conv2d(2, 3, 1, bias=False), BinaryConfig(activations="shifted"))
    x = normal(2, 2, 3, 3)
    with torch.no_grad():
        layer.shift[1] = 0.4
    moved = x.clone()
    moved[:, 1] -= 0.4
    plain = BinaryLayer(layer.layer, BinaryConfig(activations="binary"))
    assert torch.equal(layer(x), plain(moved))
    layer(x).square().sum().backward()
    assert layer.shift.grad.abs().sum() > 0


def test_the_gradient_of_a_weight_is_the_exact_one():
    """Against the formula, written out: alpha g [|w| <= 1] + sign(w) / n sum_j g_j sign(w_j)."""
    layer = nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.5, -1.5, 0.2, -0.2], [0.1, 0.9, -0.3, 0.4]]))
    x, g = normal(3, 4), normal(3, 2, seed=1)
    BinaryLayer(layer, BinaryConfig())(x).backward(g)
    w = layer.weight.detach()
    at_values = g.T @ x
    sign, alpha = binary_sign(w), w.abs().mean(1, keepdim=True)
    expected = alpha * at_values * (w.abs() <= 1) + sign / 4 * (at_values * sign).sum(1, keepdim=True)
    assert torch.allclose(layer.weight.grad, expected, atol=1e-6)


def test_alpha_has_the_gradient_of_finite_differences():
    w = torch.tensor([[0.5, -1.5, 0.2, -0.2]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: fit_binary(w).alpha, w)
    assert torch.autograd.gradcheck(lambda w: fit_ternary(w, delta=0.3).alpha, w)


def test_ternary_codes_pass_their_gradient_to_small_weights_too():
    layer = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.9, 0.01, -0.6]]))
    binary = BinaryLayer(layer, BinaryConfig(weights="ternary", alpha="none"))
    assert binary.weight_rule(layer.weight).codes.tolist() == [[1, 0, -1]]
    binary(torch.ones(1, 3)).sum().backward()
    assert layer.weight.grad.tolist() == [[1, 1, 1]]


def test_trained_ternary_by_hand():
    layer = nn.Linear(5, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -0.5, 0.05, -0.05, 0.2]]))
    ternary = BinaryLayer(layer, BinaryConfig(weights="trained_ternary", factor=0.05))
    rule = ternary.weight_rule
    with torch.no_grad():
        rule.positive.fill_(2)
        rule.negative.fill_(3)
    assert rule(layer.weight).codes.tolist() == [[2, -3, 0, 0, 2]]
    x = torch.tensor([[1.0, 10.0, 100.0, 1000.0, 10000.0]])
    ternary(x).sum().backward()
    assert rule.positive.grad.item() == 10001
    assert rule.negative.grad.item() == -10
    assert layer.weight.grad.tolist() == [[2, 30, 100, 1000, 20000]]


def test_stochastic_weights_are_right_on_average_and_real_in_evaluation():
    layer = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.5, -0.2, 1.0, -1.0]]))
    binary = BinaryLayer(layer, BinaryConfig(weights="stochastic", alpha="none"))
    torch.manual_seed(0)
    drawn = torch.stack([binary.weight_rule(layer.weight).codes.detach() for _ in range(4000)])
    assert drawn.unique().tolist() == [-1, 1]
    assert drawn.mean(0) == pytest.approx(layer.weight.detach(), abs=4 / math.sqrt(4000))
    assert torch.equal(binary.eval()(torch.eye(4)), layer(torch.eye(4)))
    assert FixedLayer(binary).codes.tolist() == [[1, -1, 1, -1]]


@pytest.mark.case("B-eval-mutates")
@pytest.mark.parametrize("weights", ["binary", "ternary", "stochastic", "trained_ternary", "real"])
def test_evaluation_changes_nothing(weights):
    alpha = "none" if weights == "stochastic" else "mean"
    layer = BinaryLayer(make_layer(), BinaryConfig(weights=weights, alpha=alpha, activations="binary")).eval()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    x = normal(2, 4, 7, 7)
    first = layer(x)
    assert torch.equal(first, layer(x))
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


@pytest.mark.case("B-eval-mutates")
@pytest.mark.parametrize("alpha", ["mean", "learned", "none"])
@pytest.mark.parametrize("weights", ["binary", "ternary"])
def test_a_fixed_layer_holds_codes_and_gives_the_same(weights, alpha):
    config = BinaryConfig(weights=weights, alpha=alpha, activations="shifted", scale_inputs="k_map")
    trained = BinaryLayer(nn.Conv2d(4, 6, 3, stride=2, padding=1), config).eval()
    fixed, x = FixedLayer(trained), normal(2, 4, 7, 7)
    assert torch.equal(fixed(x), trained(x))
    assert fixed.codes.dtype == torch.int8
    assert set(fixed.codes.unique().tolist()) <= {-1, 0, 1}
    assert not any(name.endswith("weight") for name in fixed.state_dict())
    assert "weight" in "".join(trained.state_dict())


@pytest.mark.parametrize("weights", ["real", "trained_ternary"])
def test_weights_without_one_alpha_cannot_be_fixed(weights):
    with pytest.raises(ValueError, match="not one alpha times"):
        FixedLayer(BinaryLayer(make_layer(), BinaryConfig(weights=weights)))


def test_real_weights_with_binary_inputs():
    layer, x = make_layer(), normal(3, 4, 7, 7)
    assert torch.allclose(
        BinaryLayer(copy.deepcopy(layer), BinaryConfig(weights="real", activations="binary"))(x), layer(binary_sign(x)),
        atol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize(
    "settings", [{"weights": "tern"}, {"alpha": "max"}, {"activations": True}, {"estimator": "tanh"}, {"factor": -1}]
)
def test_unknown_settings_are_named(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        BinaryConfig(**settings)


def test_an_empty_batch_gives_an_empty_batch():
    layer = BinaryLayer(make_layer(), BinaryConfig(activations="binary"))
    assert layer(torch.empty(0, 4, 7, 7)).shape == (0, 6, 4, 4)


def test_doubles_stay_doubles():
    layer = BinaryLayer(make_layer().double(), BinaryConfig(weights="ternary", activations="shifted"))
    assert layer(normal(1, 4, 7, 7).double()).dtype == torch.float64


def test_shifted_prelu_by_hand():
    activation = ShiftedPReLU(2)
    with torch.no_grad():
        activation.before.copy_(torch.tensor([1.0, 0.0]))
        activation.after.copy_(torch.tensor([10.0, 0.0]))
        activation.prelu.weight.copy_(torch.tensor([0.5, 0.25]))
    x = torch.tensor([[[3.0], [-4.0]], [[-1.0], [2.0]]])
    assert activation(x).tolist() == [[[12], [-1]], [[9], [2]]]


def test_shifted_prelu_starts_as_prelu():
    x = normal(3, 4, 5, 5)
    assert torch.equal(ShiftedPReLU(4)(x), nn.PReLU(4)(x))


K = BinaryConfig(activations="binary", scale_inputs="k_map")


def test_k_scales_the_sums_and_not_the_bias_and_reads_what_a_dilated_kernel_reads():
    layer = nn.Conv2d(2, 3, 3, padding=2, dilation=2, stride=2)
    plain, scaled = (BinaryLayer(copy.deepcopy(layer), each) for each in (BinaryConfig(activations="binary"), K))
    x, bias = normal(2, 2, 7, 7), layer.bias.reshape(-1, 1, 1)
    expected = (plain(x) - bias) * k_map(x, (3, 3), stride=2, padding=2, dilation=2) + bias
    assert torch.allclose(scaled(x), expected, atol=1e-5)


def test_k_of_a_linear_layer_is_the_size_of_each_sample():
    layer, x = nn.Linear(4, 2, bias=False), normal(3, 4)
    plain, scaled = (BinaryLayer(copy.deepcopy(layer), each) for each in (BinaryConfig(activations="binary"), K))
    assert torch.allclose(scaled(x), plain(x) * x.abs().mean(1, keepdim=True))


def test_k_is_the_size_of_the_inputs_before_their_shift():
    plain, scaled = (
        BinaryLayer(nn.Linear(4, 2, bias=False), BinaryConfig(activations="shifted", scale_inputs=sizes))
        for sizes in ("none", "k_map")
    )
    with torch.no_grad():
        scaled.layer.weight.copy_(plain.layer.weight)
        for each in (plain, scaled):
            each.shift.fill_(0.5)
    x = normal(3, 4)
    assert torch.allclose(scaled(x), plain(x) * x.abs().mean(1, keepdim=True))


@pytest.mark.parametrize("make", [
    lambda estimator: SignActivation(estimator),
    lambda estimator: BinaryLayer(nn.Linear(3, 3, bias=False), BinaryConfig(activations="binary", estimator=estimator)),
])  # fmt: skip
def test_the_chosen_estimator_gives_the_gradient_of_the_inputs(make):
    moved = {}
    for estimator in ("window", "identity"):
        torch.manual_seed(0)
        x = torch.full((1, 3), 2.0, requires_grad=True)
        make(estimator)(x).sum().backward()
        moved[estimator] = x.grad.abs().sum().item()
    assert moved["window"] == 0
    assert moved["identity"] > 0


def test_linear_inputs_have_a_shift_each():
    layer = BinaryLayer(nn.Linear(3, 2), BinaryConfig(activations="shifted"))
    assert layer.shift.tolist() == [0, 0, 0]


def test_a_learned_alpha_gets_the_gradient_of_its_filter():
    layer = BinaryLayer(nn.Linear(3, 2, bias=False), BinaryConfig(alpha="learned"))
    x, g = normal(4, 3), normal(4, 2, seed=1)
    layer(x).backward(g)
    codes = layer.weight_rule(layer.layer.weight).codes.detach()
    assert torch.allclose(layer.weight_rule.alpha.grad, (g * (x @ codes.T)).sum(0)[:, None], atol=1e-5)


def test_the_gradient_passes_drawn_weights_as_it_is():
    layer = BinaryLayer(nn.Linear(3, 2, bias=False), BinaryConfig(weights="stochastic", alpha="none"))
    x, g = normal(4, 3), normal(4, 2, seed=1)
    layer(x).backward(g)
    assert torch.allclose(layer.layer.weight.grad, g.T @ x, atol=1e-5)


def test_both_sizes_of_trained_ternary_start_at_the_mean_above_the_threshold():
    layer = nn.Linear(5, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -0.5, 0.05, -0.05, 0.2]]))
    rule = BinaryLayer(layer, BinaryConfig(weights="trained_ternary", factor=0.1)).weight_rule
    assert rule.positive.item() == pytest.approx(1.7 / 3)
    assert rule.negative.item() == pytest.approx(1.7 / 3)


@pytest.mark.parametrize("settings", [{"factor": 0.0}, {"factor": 1.2}, {"share": "layer"}])
def test_ternary_weights_follow_their_settings(settings):
    weight = normal(3, 50) * torch.tensor([[0.2], [1.0], [3.0]])
    rule = BinaryLayer(nn.Linear(50, 3), BinaryConfig(weights="ternary", **settings)).weight_rule
    share = settings.get("share", "filter")
    delta = ternary_threshold(weight, factor=settings.get("factor", 0.7), share=share)
    assert torch.equal(rule(weight).values, fit_ternary(weight, delta=delta, share=share).values)


@pytest.mark.parametrize("settings", [{"share": "channel"}, {"scale_inputs": "k"}])
def test_an_unknown_share_or_scale_is_named(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be one of"):
        BinaryConfig(**settings)
