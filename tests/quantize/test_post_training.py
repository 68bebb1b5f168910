"""Three ways to quantize a trained model: against references written out, and what they refuse."""

import copy
import pickle
import warnings

import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.nn.utils import prune as torch_prune

from labcore.models import load_model, make_model
from labcore.quantize import (
    INT4,
    INT8,
    PER_CHANNEL,
    PER_TENSOR,
    PER_TOKEN,
    UINT8_AFFINE,
    DynamicQuantizer,
    QuantConfig,
    QuantizedLayer,
    apply_dynamic,
    apply_static,
    apply_weight_only,
    encode,
    fake_quantize,
    fit_grid,
    fit_weight_grid,
    int_format,
    per_group,
    report_quantization,
)
from labcore.quantize.histogram import NotCalibrated
from labcore.runtime import NoEffectWarning
from labcore.surgery import fold_batch_norm, tap
from labcore.training import evaluating
from networks import make_torchvision
from topologies import SAMPLE, TOPOLOGIES, Net, conv, make, relative_error
from toy import bits

WAYS = {
    "weight only": apply_weight_only,
    "dynamic": apply_dynamic,
    "static": lambda model, config: apply_static(model, [(SAMPLE,)], config),
}
each_way = pytest.mark.parametrize("way", WAYS)


def images(seed: int = 0, n: int = 40) -> torch.Tensor:
    return torch.rand(n, 1, 14, 14, generator=torch.Generator().manual_seed(seed))


def with_rounded_weights(model: nn.Module, config: QuantConfig) -> nn.Module:
    """Naive reference: a plain copy whose weights are those of the grid."""
    model = copy.deepcopy(model)
    for each in model.modules():
        if isinstance(each, nn.Linear | nn.modules.conv._ConvNd):
            grid = fit_weight_grid(each, config.weights, granularity=config.granularity)
            each.weight.data = fake_quantize(each.weight.data, grid)
    return model


# --- against references -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("granularity", [PER_TENSOR, PER_CHANNEL], ids=lambda each: each.name)
def test_weight_only_is_the_model_with_rounded_weights(name, granularity):
    model, config = make(name), QuantConfig(weights=INT4, granularity=granularity)
    with torch.inference_mode():
        expected = with_rounded_weights(model, config)(SAMPLE)
        assert torch.equal(apply_weight_only(model, config)(SAMPLE), expected)
        assert not torch.equal(expected, model(SAMPLE))


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_dynamic_rounds_what_each_layer_reads_to_its_own_range(name):
    model, config = make(name), QuantConfig(weights=INT4, activations=UINT8_AFFINE)
    reference = with_rounded_weights(model, config)
    for each in reference.modules():
        if isinstance(each, nn.Linear | nn.modules.conv._ConvNd):
            each.register_forward_pre_hook(
                lambda _, args: (fake_quantize(args[0], fit_grid(args[0], UINT8_AFFINE)),)
            )
    dynamic = apply_dynamic(model, config)
    with torch.inference_mode():
        for x in (SAMPLE, 100 * SAMPLE - 7):
            assert torch.equal(dynamic(x), reference(x))


def test_dynamic_takes_a_range_for_each_token_where_asked():
    model, x = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4)), torch.randn(3, 7, 6)
    x[0, 0] *= 1000  # one loud token
    config = QuantConfig(activations=INT8, activation_granularity=PER_TOKEN)
    per_token, per_tensor = apply_dynamic(model, config), apply_dynamic(model, QuantConfig())
    with torch.inference_mode():
        near, far = (relative_error(each(x)[1:], model(x)[1:]) for each in (per_token, per_tensor))
    assert near < 0.02 < far
    with pytest.raises(ValueError, match=r"'0' is a Conv2d, whose sums run over several tokens.*PER_TENSOR"):
        apply_dynamic(nn.Sequential(nn.Conv2d(3, 4, 3)), config)


def test_torchaos_linear_layers_compute_the_same():
    from torchao.quantization import IntxWeightOnlyConfig, MappingType, PerAxis, PerGroup, quantize_

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, x = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10)), torch.randn(20, 64)
    for n_bits in (3, 4, 8):
        for theirs, ours in ((PerAxis(0), PER_CHANNEL), (PerGroup(16), per_group(16))):
            oracle, dtype = copy.deepcopy(model), getattr(torch, f"int{n_bits}")
            # In the scheme without clipping no largest weight falls between two codes.
            scheme = MappingType.SYMMETRIC_NO_CLIPPING_ERR
            quantize_(oracle, IntxWeightOnlyConfig(weight_dtype=dtype, granularity=theirs, mapping_type=scheme))
            quantized = apply_weight_only(model, QuantConfig(weights=int_format(n_bits, "full"), granularity=ours))
            with torch.inference_mode():
                assert relative_error(quantized(x), oracle(x)) < 1e-5


@pytest.mark.case("Q-qat-mode")
@pytest.mark.parametrize("way", ["weight only", "dynamic"])
def test_layers_are_replaced_where_they_stand_and_all_else_stays(way):
    model = make_model("lab_resnet")
    model.stage1.eval()
    before = bits(model)
    quantized = WAYS[way](model, QuantConfig())
    assert type(quantized) is type(model)
    assert bits(model) == before
    assert bits(copy.deepcopy(quantized)) == bits(quantized)
    parts, others = dict(model.named_modules()), dict(quantized.named_modules())
    for name, each in parts.items():
        assert others[name].training == each.training
        is_layer = isinstance(each, nn.Linear | nn.Conv2d)
        assert type(others[name]) is (QuantizedLayer if is_layer else type(each))
    assert pickle.loads(pickle.dumps(quantized.eval()))(images()).equal(quantized(images()))


@pytest.mark.case("C-state")
@each_way
def test_neither_the_model_nor_anything_global_changes(way):
    model = make("residual").train()
    before, modes = bits(model), [each.training for each in model.modules()]
    state, precision = torch.get_rng_state(), torch.get_default_dtype()
    quantized = WAYS[way](model, QuantConfig())
    with torch.no_grad():
        for each in quantized.parameters():
            each.add_(1)
    assert bits(model) == before
    assert [each.training for each in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == precision


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "vgg11_bn"])
@pytest.mark.parametrize("way", ["weight only", "dynamic"])
def test_torchvisions_networks_are_close_at_eight_bits(way, name):
    model, x = make_torchvision(name).eval(), torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    quantized = WAYS[way](model, QuantConfig())
    with torch.inference_mode():
        assert 0 < relative_error(quantized(x), model(x)) < 0.1
    n_layers = sum(isinstance(each, nn.Linear | nn.Conv2d) for each in model.modules())
    assert len(report_quantization(quantized).layers) == n_layers


@pytest.mark.parametrize("name", ["lab_cnn", "lab_mobile", "lab_resnet"])
@pytest.mark.parametrize("n_bits", [8, 4, 3, 2])
def test_with_a_scale_for_each_channel_folding_leaves_every_code(name, n_bits):
    model, x = load_model(name), images()
    # Folding multiplies a channel by gamma / sqrt(variance): its scale follows, its codes keep their size.
    folded, config = fold_batch_norm(model, x), QuantConfig(weights=int_format(n_bits))
    whole, folded = (apply_weight_only(each, config) for each in (model, folded))
    for part in (key for key, each in whole.named_modules() if isinstance(each, QuantizedLayer)):
        before, after = (
            encode(each.layer.weight.detach(), each.weight_quantizer.grid).int().abs()
            for each in (whole.get_submodule(part), folded.get_submodule(part))
        )
        assert torch.equal(before, after)
    with torch.inference_mode():
        assert relative_error(folded(x), whole(x)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("way", "granularity"), [*((way, PER_TENSOR) for way in WAYS), ("dynamic", PER_TOKEN)])
def test_exported_models_compute_the_same(way, granularity, tmp_path):
    config = QuantConfig(activations=int_format(8, "affine"), activation_granularity=granularity)
    linear = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4))
    quantized = WAYS[way](make("depthwise") if granularity == PER_TENSOR else linear, config).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            quantized, (SAMPLE,), dynamo=True, verbose=False, dynamic_shapes=({0: torch.export.Dim("n")},)
        )
    program.save(path := tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(path)
    x = torch.cat([SAMPLE, SAMPLE / 2])
    (exported,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.inference_mode():
        assert relative_error(torch.from_numpy(exported), quantized(x)) < 1e-4


# --- settings ---------------------------------------------------------------------------------------


@each_way
def test_single_layers_get_other_bits_or_stay_in_float(way):
    overrides = {"first": None, "second": int_format(2)}
    quantized = WAYS[way](make("residual"), QuantConfig(overrides=overrides))
    report = report_quantization(quantized)
    assert {each.name: each.weight_bits for each in report.layers} == {"stem": 8, "second": 2, "fc": 8}
    assert {each.name: each.reason for each in report.in_float if each.name == "first"} == {
        "first": "the settings leave it in float"
    }  # fmt: skip


def test_what_only_layers_in_float_read_is_not_rounded():
    model = make("flatten")
    static = apply_static(model, [(SAMPLE,)], QuantConfig(overrides={"first": None, "fc2": None}, output=None))
    with tap(model, ["first", "fc1"]) as exact, tap(static, ["first", "fc1", "fc2"]) as taps, torch.inference_mode():
        model(SAMPLE)
        static(SAMPLE)
    assert torch.equal(taps["first"].inputs[0], SAMPLE)
    grid = fit_grid(exact["fc1"].inputs[0], int_format(8, signed=False))
    assert torch.equal(taps["fc1"].inputs[0], fake_quantize(exact["fc1"].inputs[0], grid))
    assert torch.equal(taps["fc2"].inputs[0], F.relu(taps["fc1"].outputs[0]))
    assert report_quantization(static).n_ranges == 1


def test_weights_may_stay_in_float_where_activations_do_not():
    model, config = make("residual"), QuantConfig(weights=None)
    for quantized in (apply_dynamic(model, config), apply_static(model, [(SAMPLE,)], config)):
        report = report_quantization(quantized)
        assert {(each.weight_bits, each.activation_bits) for each in report.layers} == {(32, 8)}
        assert {each.sqnr_db for each in report.layers} == {torch.inf}
        with torch.inference_mode():
            assert 0 < relative_error(quantized(SAMPLE), model(SAMPLE)) < 0.05


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"weights": 8}, TypeError, r"weights must be a NumberFormat such as int_format\(bits=4\), or None; got 8"),
        ({"activations": "int8"}, TypeError, "activations must be a NumberFormat"),
        ({"output": 8}, TypeError, "output must be a NumberFormat"),
        ({"overrides": {"fc": 4}}, TypeError, r"overrides\['fc'\] must be a NumberFormat"),
        ({"granularity": "channel"}, TypeError, "granularity must be a Granularity such as PER_TENSOR"),
        ({"activation_granularity": None}, TypeError, "activation_granularity must be a Granularity"),
        ({"granularity": PER_TOKEN}, ValueError, "per tensor, per channel or per group, not per token"),
        ({"activation_granularity": PER_CHANNEL}, ValueError, "per tensor or per token, got per channel"),
        ({"calibration": "minmax"}, ValueError, "calibration must be one of max, .*; got 'minmax'"),
        ({"calibration": "percentile", "percentile": 0.99}, ValueError, "did you mean 99"),
        ({"after_relu": "affine"}, ValueError, "after_relu must be 'unsigned' or 'signed', got 'affine'"),
    ],
)
def test_settings_are_checked(change, error, words):
    with pytest.raises(error, match=words):
        QuantConfig(**change)


# --- what is refused --------------------------------------------------------------------------------


@each_way
def test_a_quantized_model_is_not_quantized_again(way):
    for other in WAYS.values():
        with pytest.raises(ValueError, match="quantized already; start again from the one in float"):
            WAYS[way](other(make("residual"), QuantConfig()), QuantConfig())


@each_way
def test_no_module_no_format_no_layer_of_that_name(way):
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module, got list"):
        WAYS[way]([], QuantConfig())
    missing = {"weight only": {"weights": None}}.get(way, {"activations": None})
    with pytest.raises(ValueError, match=r"got (weights=)?None|a format for activations"):
        WAYS[way](make("residual"), QuantConfig(**missing))
    for name, near in (("stem_bn", "stem"), ("fist", "first"), ("", "stem, first, second, fc")):
        with pytest.raises(ValueError, match=rf"overrides name '{name}', which is no layer .* near it: {near}"):
            WAYS[way](make("residual"), QuantConfig(overrides={name: None}))


@pytest.mark.case("Q-noop")
@each_way
def test_nothing_to_quantize_is_said(way):
    model = Net(lambda net, x: net.norm(x).relu(), norm=nn.BatchNorm2d(3)).eval()
    with pytest.warns(NoEffectWarning, match=r"no layer of Net was quantized; looked for .*'norm': no rule for BatchN"):
        same = WAYS[way](model, QuantConfig())
    assert torch.equal(same(SAMPLE), model(SAMPLE))
    with pytest.warns(NoEffectWarning, match="found no parameters"):
        WAYS[way](nn.Sequential(nn.ReLU()), QuantConfig())
    config = QuantConfig(overrides=dict.fromkeys(("stem", "first", "second", "fc")))
    with pytest.warns(NoEffectWarning, match="'stem': the settings leave it in float"):
        WAYS[way](make("residual"), config)


@pytest.mark.case("Q-noop")
def test_a_layer_whose_weight_a_function_takes_is_not_called_and_not_quantized():
    model = Net(lambda net, x: F.conv2d(x, net.first.weight), first=conv(3, 4)).eval()
    with pytest.warns(NoEffectWarning, match="'first': in evaluation mode it is not called as a module"):
        apply_static(model, [(SAMPLE,)], QuantConfig())


@pytest.mark.case("Q-nonfinite-calib")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_named(value):
    data = [(SAMPLE,), (SAMPLE.clone().index_fill_(0, torch.tensor(1), value),)]
    with pytest.raises(ValueError, match="calibration data of 'x' hold NaN or infinity"):
        apply_static(make("residual"), data, QuantConfig())
    model = make("residual")
    model.second.weight.data[0, 0, 0, 0] = value
    for way in ("weight only", "dynamic"):
        with pytest.raises(ValueError, match=r"the weight of 'second' cannot be quantized: .*NaN"):
            WAYS[way](model, QuantConfig())
    with pytest.raises(ValueError, match="calibration data of 'second' hold NaN or infinity"):
        apply_static(model, [(SAMPLE,)], QuantConfig())


@pytest.mark.case("Q-empty")
@pytest.mark.parametrize("batches", [[], [torch.zeros(0, 3, 8, 8)]])
def test_calibration_without_data_is_refused(batches):
    with pytest.raises(NotCalibrated):
        apply_static(make("residual"), batches, QuantConfig())


def test_batches_must_last_for_several_passes():
    with pytest.raises(TypeError, match="need batches for several passes, got a generator; a list of them will do"):
        apply_static(make("residual"), (each for each in [SAMPLE]), QuantConfig())
    config = QuantConfig()
    as_tensors, as_tuples = (apply_static(make("residual"), each, config) for each in ([SAMPLE], [(SAMPLE, 0)]))
    assert bits(as_tensors) == bits(as_tuples)


@pytest.mark.case("Q-group-div")
@each_way
def test_a_group_that_does_not_divide_is_refused_with_the_layer(way):
    config = QuantConfig(granularity=per_group(6))
    with pytest.raises(ValueError, match=r"the weight of 'stem' cannot be quantized: a group of 6 does not divide"):
        WAYS[way](make("residual"), config)
    config = QuantConfig(granularity=per_group(6), overrides=dict.fromkeys(("stem", "second")))
    quantized = WAYS[way](make("residual"), config)
    assert quantized.get_submodule("fc").weight_quantizer.scale.shape == (4, 1)


@each_way
def test_masks_that_were_not_made_permanent_cannot_be_copied(way):
    model = make("residual")
    torch_prune.l1_unstructured(model.first, "weight", 0.5)
    with pytest.raises(ValueError, match=r"cannot be copied.*prune.remove|holds"):
        WAYS[way](model, QuantConfig())


# --- what stays in float, and why -------------------------------------------------------------------


class Tied(nn.Module):
    def __init__(self, *, embedding: bool):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 4), nn.Linear(4, 4)
        self.fc2.weight = self.fc1.weight
        if embedding:
            self.embedding = nn.Embedding(4, 4)
            self.embedding.weight = self.fc1.weight

    def forward(self, x):
        return self.fc2(self.fc1(x).relu())


@pytest.mark.case("Q-tied")
@each_way
def test_layers_that_share_a_weight_go_together(way):
    x = torch.randn(5, 4)
    way = {**WAYS, "static": lambda model, config: apply_static(model, [x], config)}[way]
    quantized = way(Tied(embedding=False), QuantConfig(weights=INT4))
    assert quantized.fc1.layer.weight is quantized.fc2.layer.weight
    assert torch.equal(quantized.fc1.quantized_weight(), quantized.fc2.quantized_weight())
    with torch.no_grad():
        quantized.fc1.layer.weight *= 0.5
    assert torch.equal(quantized.fc1.quantized_weight(), quantized.fc2.quantized_weight())
    # 16 weights once, two biases, four scales.
    assert [each.size_bits for each in report_quantization(quantized).layers] == [16 * 4 + 4 * 32 + 4 * 32, 4 * 32]
    with pytest.raises(ValueError, match="'fc1' and 'fc2' share one weight; give both the same format"):
        way(Tied(embedding=False), QuantConfig(overrides={"fc2": INT4}))
    with pytest.warns(NoEffectWarning, match="'fc1'"):
        way(Tied(embedding=False), QuantConfig(overrides={"fc2": None}))


@pytest.mark.case("Q-tied")
def test_a_weight_that_a_part_in_float_holds_too_stays_in_float():
    with pytest.warns(NoEffectWarning, match="'fc1': its weight is also that of 'embedding', which stays in float"):
        apply_weight_only(Tied(embedding=True), QuantConfig())
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].register_parameter("bias", nn.Parameter(model[0].weight.data[0]))  # a view of the other's memory
    quantized = apply_weight_only(model, QuantConfig(overrides={"0": None}))
    assert [each.name for each in report_quantization(quantized).layers] == ["2"]


def test_a_layer_in_several_places_is_replaced_once():
    model = make("residual")
    model.add_module("again", model.first)
    quantized = apply_weight_only(model, QuantConfig())
    assert quantized.again is quantized.first
    assert isinstance(quantized.again, QuantizedLayer)
    assert len(report_quantization(quantized).layers) == 4


def test_composite_modules_and_changed_layers_stay_in_float():
    hooked = nn.Linear(4, 4)
    hooked.register_forward_hook(lambda *_: None)
    model = nn.Sequential(
        nn.Linear(4, 4), nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.LSTM(4, 4), nn.Bilinear(2, 2, 2),
        parametrizations.weight_norm(nn.Linear(4, 4)), hooked, nn.LayerNorm(4),
    )  # fmt: skip
    report = report_quantization(apply_weight_only(model, QuantConfig()))
    assert [each.name for each in report.layers] == ["0"]
    reasons = {each.name: each.reason for each in report.in_float}
    assert reasons["1.linear1"] == "it stands in TransformerEncoderLayer, whose code reads the weight by itself"
    assert reasons["1.self_attn"] == "no rule for MultiheadAttention"
    assert reasons["1.self_attn.out_proj"].startswith("no rule for NonDynamicallyQuantizableLinear")
    assert reasons["2"] == "no rule for LSTM"
    assert reasons["3"] == "no rule for Bilinear"
    assert reasons["4"] == "no rule for ParametrizedLinear"
    assert reasons["5"] == "it has hooks"
    assert reasons["6"] == "no rule for LayerNorm"
    x = torch.randn(2, 3, 4)
    with evaluating(model), evaluating(quantized := apply_dynamic(model[:2], QuantConfig())):
        assert quantized(x).isfinite().all()


def test_a_subclass_that_computes_the_same_is_quantized_another_is_not():
    class Same(nn.Linear):
        pass

    class Other(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    model = nn.Sequential(Same(4, 4), Other(4, 4))
    quantized = apply_weight_only(model, QuantConfig())
    assert isinstance(quantized[0], QuantizedLayer)
    assert {each.name: each.reason for each in report_quantization(quantized).in_float} == {"1": "no rule for Other"}


def test_a_model_that_is_one_layer_is_wrapped():
    layer, x = nn.Linear(4, 2), torch.randn(3, 4)
    quantized = apply_dynamic(layer, QuantConfig())
    assert isinstance(quantized, QuantizedLayer)
    assert isinstance(quantized.input_quantizer, DynamicQuantizer)
    with torch.inference_mode():
        assert relative_error(quantized(x), layer(x)) < 0.05
    assert [each.name for each in report_quantization(quantized).layers] == [""]
