"""Trained networks on fewer bits: `quantization.json` (every way), `partial.json` (some layers in float),
`batch_norm_bits.json` (its parameters alone) and `aware.json` (trained on with rounding).

Ranges of activations come from the first 1,000 training images; accuracies from the test images.
"""

import copy
import functools
import itertools
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from torch import nn

from labcore import quantize
from labcore.data import Batches, Dataset, load_dataset
from labcore.metrics import measure_costs, measure_sizes
from labcore.models import ModelName, make_model
from labcore.quantize import PER_CHANNEL, PER_TENSOR, QuantConfig, int_format
from labcore.quantize.workflow import measure_layer_accuracies, partial_configs
from labcore.recipes.curves import stack_seeds
from labcore.recipes.weights import RECIPES, train
from labcore.results import Curve, SweepPoint
from labcore.search import save_sweep
from labcore.surgery import fold_batch_norm
from labcore.training import TrainConfig, evaluate, fit

__all__ = [
    "NVIDIA", "SEEDS", "SETTINGS", "Setting", "aware_settings", "make_quantization", "run_partial", "run_setting",
    "train_aware",
]  # fmt: skip

SEEDS: dict[ModelName, int] = {"lab_cnn": 3, "lab_mobile": 3}
CALIBRATIONS = {
    "max": {}, "entropy": {"calibration": "entropy"}, "mse": {"calibration": "mse"},
    **{f"{p:g} %": {"calibration": "percentile", "percentile": p} for p in (99.0, 99.9, 99.99)},
}  # fmt: skip
_GRANULARITIES = {"per tensor": PER_TENSOR, "per channel": PER_CHANNEL}


def _data(name: ModelName) -> Dataset:
    return load_dataset(RECIPES[name].dataset)


def calibration_batches(data: Dataset) -> Batches:
    return Batches((data.train_images[:1000],), 250)


# --- every way --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """One way to quantize a network.

    Attributes:
        mode: "float", "weight only", "dynamic" (activations affine) or "static".
        weight_bits, activation_bits: 32 stands for float.
        granularity: "per tensor" or "per channel", of the weights.
        folded: whether batch norm was folded before.
        calibration: of the static way, a key of `CALIBRATIONS`; else "".
        after_relu: "unsigned" or "signed" (see `QuantConfig`).
    """

    mode: Literal["float", "weight only", "dynamic", "static"]
    weight_bits: int = 32
    activation_bits: int = 32
    granularity: str = "per channel"
    folded: bool = False
    calibration: str = ""
    after_relu: Literal["unsigned", "signed"] = "unsigned"

    @property
    def label(self) -> str:
        if self.mode == "float":
            return "float"
        parts = [self.mode, f"W{self.weight_bits} A{self.activation_bits}", self.granularity]
        parts += ["batch norm folded"] * self.folded + [self.calibration] * bool(self.calibration)
        return ", ".join(parts + ["signed after ReLU"] * (self.after_relu == "signed"))

    def apply(self, model: nn.Module, batches: Batches) -> nn.Module:
        """The network, folded before where the setting says so, quantized."""
        if self.mode == "float":
            return model
        config = QuantConfig(weights=int_format(self.weight_bits), granularity=_GRANULARITIES[self.granularity])
        if self.mode == "weight only":
            return quantize.apply_weight_only(model, config)
        if self.mode == "dynamic":
            affine = int_format(self.activation_bits, "affine", signed=False)
            return quantize.apply_dynamic(model, replace(config, activations=affine))
        config = replace(config, activations=int_format(self.activation_bits), after_relu=self.after_relu)
        return quantize.apply_static(model, batches, replace(config, **CALIBRATIONS[self.calibration]))


def _settings() -> list[Setting]:
    bits, both = (8, 6, 4, 3, 2), (False, True)
    same = [
        Setting(mode, n, 32 if mode == "weight only" else n, granularity, folded, calibration)
        for mode, calibrations in (
            ("weight only", [""]), ("dynamic", [""]), ("static", ["max", "entropy", "mse", "99.9 %"])
        )
        for n, granularity, folded, calibration in itertools.product(bits, _GRANULARITIES, both, calibrations)
    ]  # fmt: skip
    only_activations = [
        Setting("static", 8, n, calibration=calibration, after_relu=after_relu)
        for n, after_relu in ((4, "unsigned"), (3, "unsigned"), (2, "unsigned"), (3, "signed"))
        for calibration in CALIBRATIONS
    ]
    return [Setting("float"), *same, *only_activations]


SETTINGS = _settings()


def run_setting(model: nn.Module, setting: Setting, data: Dataset) -> float:
    """Test accuracy of the quantized network.

    Args:
        model: folded already where the setting says so.
    """
    return evaluate(setting.apply(model, calibration_batches(data)), data.batches()).accuracy


def _point(name: ModelName, setting: Setting, accuracies: np.ndarray) -> SweepPoint:
    data, model = _data(name), make_model(name).eval()
    if setting.folded:
        model = fold_batch_norm(model, data.test_images[:1])
    costs, quantized = measure_costs(model, data.test_images[:1]), setting.apply(model, calibration_batches(data))
    is_float = setting.mode == "float"
    file_bytes = measure_sizes(quantized).file_bytes if is_float else quantize.measure_file_bytes(quantized)
    return SweepPoint(
        setting.mode, f"{name}, {setting.label}", costs.n_params, costs.macs, file_bytes, accuracies,
        {"model": name} | asdict(setting),
    )  # fmt: skip


# --- some layers in float ---------------------------------------------------------------------------


def run_partial(model: nn.Module, n_bits: int, data: Dataset) -> list[float]:
    """Accuracies with no layer in float, the most sensitive one, the two most sensitive ones, and so on to all."""
    config = QuantConfig(weights=int_format(n_bits), activations=int_format(n_bits), granularity=PER_TENSOR)
    batches = calibration_batches(data)
    alone = measure_layer_accuracies(model, batches, data.batches(), config=config)
    *some, _ = partial_configs(config, alone)
    models = [quantize.apply_static(model, batches, each) for each in some]
    return [evaluate(each, data.batches()).accuracy for each in (*models, model)]


# --- trained on with rounding -----------------------------------------------------------------------

NVIDIA, BOLDER = "NVIDIA's schedule", "a tenth of the rate, 2 epochs"
IN_FLOAT = "in float, a tenth of the rate, 2 epochs"  # what training alone gives


def aware_settings(name: ModelName, schedule: str) -> TrainConfig:
    """The settings of one schedule: NVIDIA's, or one that suits networks that were trained for a few epochs only."""
    config = RECIPES[name].config
    if schedule == NVIDIA:
        return quantize.aware_config(config)
    return replace(config, epochs=2, learning_rate=config.learning_rate / 10)


def train_aware(
    model: nn.Module, name: ModelName, n_bits: int, schedule: str, *, seed: int
) -> tuple[nn.Module, list[float]]:  # fmt: skip
    """The trained network, and accuracies before the first epoch and after each one.

    Args:
        model: batch norm folded.
        name: of its recipe.
        n_bits: of weights and activations; not looked at by `IN_FLOAT`, which trains without rounding.
        schedule: `NVIDIA`, `BOLDER` or `IN_FLOAT`.
        seed: of the order of images.
    """
    data = _data(name)
    if schedule == IN_FLOAT:
        network = copy.deepcopy(model)
    else:
        config = QuantConfig(weights=int_format(n_bits), activations=int_format(n_bits))
        network = quantize.apply_static(model, calibration_batches(data), config)
    before = evaluate(network, data.batches()).accuracy
    batches = data.batches(RECIPES[name].batch_size, split="train", seed=seed)
    log = fit(network, batches, aware_settings(name, schedule), evaluation=data.batches())
    return network, [before, *log.accuracies.tolist()]


# --- files ------------------------------------------------------------------------------------------

PARTIAL_BITS, NORM_BITS = (4, 3), (8, 7, 6, 5, 4)
AWARE = [*itertools.product(quantize.AWARE_BITS, (BOLDER, NVIDIA)), (32, IN_FLOAT)]


def _run(name: ModelName, seed: int) -> list[list[float]]:
    """Everything that is measured on one trained network: accuracies by setting, then one list for each curve."""
    data, (model, _) = _data(name), train(name, seed=seed)
    folded = fold_batch_norm(model, data.test_images[:1])
    norms = [quantize.apply_batch_norm_bits(model, n) for n in NORM_BITS]
    return [
        [run_setting(folded if each.folded else model, each, data) for each in SETTINGS],
        [evaluate(each, data.batches()).accuracy for each in norms],
        *(run_partial(folded, n, data) for n in PARTIAL_BITS),
        *(train_aware(folded, name, n, schedule, seed=seed)[1] for n, schedule in AWARE),
    ]


def make_quantization() -> dict[str, tuple[bytes, dict]]:
    """The sweep of all ways, and three families of curves, by file name."""
    points, norms, partial, aware = [], [], [], []
    for name, n_seeds in SEEDS.items():
        accuracies, norm, *curves = stack_seeds(functools.partial(_run, name), range(n_seeds))
        points += [_point(name, *each) for each in zip(SETTINGS, accuracies.T, strict=True)]
        norms.append(Curve(name, "batch norm on x bits", np.array(NORM_BITS), norm, {}))
        labels = [(n, f"W{n} A{n}, per tensor, x layers in float", partial) for n in PARTIAL_BITS]
        labels += [(n, schedule if n == 32 else f"W{n} A{n}, {schedule}", aware) for n, schedule in AWARE]
        for (n, label, family), values in zip(labels, curves, strict=True):
            family.append(Curve(name, label, np.arange(values.shape[1]), values, {"bits": n}))
    recipe = {"seeds": SEEDS, "recipes": {name: asdict(RECIPES[name]) for name in SEEDS}}
    schedules = {name: {each: asdict(aware_settings(name, each)) for each in (BOLDER, NVIDIA)} for name in SEEDS}
    records = {"quantization": points, "batch_norm_bits": norms, "partial": partial, "aware": aware}
    return {f"{what}.json": (save_sweep(each), recipe | {"schedules": schedules}) for what, each in records.items()}
