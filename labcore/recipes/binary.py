"""Binary and ternary networks: ways, shortcuts, the ladder of tasks, which layers stay real."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from functools import partial

import numpy as np
from safetensors.torch import save
from torch import nn

from labcore import binarize
from labcore.binarize import BinaryConfig, LatentWeights
from labcore.data import Dataset, load_dataset
from labcore.models import BlockOrder, make_blocks
from labcore.recipes.curves import stack_seeds
from labcore.results import Curve
from labcore.search import save_sweep
from labcore.tasks import TASKS, load_task
from labcore.training import TrainConfig, evaluate, fit

__all__ = [
    "ALL_BINARY", "BATCH", "CONFIG", "LAYERS", "LEVELS", "SEEDS", "SHORTCUT_WAYS", "WAYS", "WEIGHTS",
    "make_binary_ways", "make_ladder", "make_partial_binary", "make_shortcuts", "measure_ways", "train_blocks",
    "train_partial", "train_with_shortcuts",
]  # fmt: skip

CONFIG, BATCH = TrainConfig(epochs=8, learning_rate=4e-3), 64
SEEDS, FEW_SEEDS = range(5), range(3)
WEIGHTS, ALL_BINARY = BinaryConfig(), BinaryConfig(activations="binary")
LEVELS: dict[str, BinaryConfig | None] = {"float": None, "binary weights": WEIGHTS, "all binary": ALL_BINARY}
# By name: settings, and where the poolings stand.
WAYS: dict[str, tuple[BinaryConfig | None, BlockOrder]] = {
    **{name: (config, "B-A-C-P") for name, config in LEVELS.items()},
    "ternary weights": (replace(WEIGHTS, weights="ternary"), "B-A-C-P"),
    "trained ternary": (replace(WEIGHTS, weights="trained_ternary", factor=0.05), "B-A-C-P"),
    "binary weights, alpha 1": (replace(WEIGHTS, alpha="none"), "B-A-C-P"),
    "binary weights, alpha learned": (replace(WEIGHTS, alpha="learned"), "B-A-C-P"),
    "all binary, alpha 1": (replace(ALL_BINARY, alpha="none"), "B-A-C-P"),
    "all binary, K": (replace(ALL_BINARY, scale_inputs="k_map"), "B-A-C-P"),
    "all binary, pooled signs": (ALL_BINARY, "C-B-A-P"),
    "all binary, gradient as printed": (replace(ALL_BINARY, estimator="printed"), "B-A-C-P"),
    "all binary, gradient 1": (replace(ALL_BINARY, estimator="identity"), "B-A-C-P"),
    "all binary, gradient polynomial": (replace(ALL_BINARY, estimator="polynomial"), "B-A-C-P"),
    "all binary, shifted signs": (replace(ALL_BINARY, activations="shifted"), "B-A-C-P"),
}
# With real shortcuts, and in the last way with shifted PReLUs behind them.
SHORTCUT_WAYS = {
    "float": None, "all binary": ALL_BINARY, "Bi-Real": replace(ALL_BINARY, estimator="polynomial"),
    "ReActNet": replace(ALL_BINARY, activations="shifted"),
}  # fmt: skip
LAYERS = ("conv1", "conv2", "conv3", "fc")


def train_blocks(
    config: BinaryConfig | None,
    data: Dataset,
    *,
    seed: int,
    order: BlockOrder = "B-A-C-P",
) -> nn.Module:
    """A network of `make_blocks`, trained in float (None) or with binary layers in the middle."""
    model = _blocks_for(data, order, seed)
    return _fit(model if config is None else binarize.apply_binary(model, config), data, seed)


def train_partial(layers: Iterable[str], data: Dataset, *, seed: int) -> nn.Module:
    """The same network with other layers binary, as `binarize.all_binary` says."""
    model = _blocks_for(data, "B-A-C-P", seed)
    if layers:
        model = binarize.apply_binary(model, layers=binarize.all_binary(model, layers))
    return _fit(model, data, seed)


def _blocks_for(data: Dataset, order: BlockOrder, seed: int) -> nn.Module:
    return make_blocks(order, in_channels=data.image_shape[0], n_classes=len(data.class_names), seed=seed)


def _fit(model: nn.Module, data: Dataset, seed: int) -> nn.Module:
    after_step = LatentWeights(model) if binarize.binary_layers(model) else None
    batches = data.batches(BATCH, split="train", seed=seed)
    fit(model, batches, replace(CONFIG, seed=seed), after_step=after_step, label="binary network")
    return model.eval()


def train_with_shortcuts(way: str, data: Dataset, *, seed: int) -> nn.Module:
    """One of `SHORTCUT_WAYS`: real numbers pass around the binary layers."""
    model, config = make_blocks(shortcuts="real", seed=seed), SHORTCUT_WAYS[way]
    if config is not None:
        model = binarize.apply_binary(model, config)
    if config is not None and config.activations == "shifted":
        n_channels = model.bn3.num_features
        model.after2, model.after3 = binarize.ShiftedPReLU(n_channels), binarize.ShiftedPReLU(n_channels)
    return _fit(model, data, seed)


def make_shortcuts() -> dict[str, tuple[bytes, dict]]:
    """Real shortcuts around binary layers on ten garments."""
    data = load_dataset("fashion14")
    measured = measure_ways(list(SHORTCUT_WAYS), partial(train_with_shortcuts, data=data), data, SEEDS)
    curves = [
        Curve(way, "ten garments", np.array([CONFIG.epochs]), values, {})
        for way, values in zip(SHORTCUT_WAYS, measured, strict=True)
    ]
    return {"binary_shortcuts.json": (save_sweep(curves), {"seeds": len(SEEDS), "recipe": asdict(CONFIG)})}


def measure_ways(jobs: list, train: Callable[..., nn.Module], data: Dataset, seeds: Iterable[int]) -> list[np.ndarray]:
    """For each job, shape (seeds, 1)."""
    return stack_seeds(
        lambda seed: [[evaluate(train(job, seed=seed), data.batches()).accuracy] for job in jobs], seeds
    )  # fmt: skip


def make_binary_ways() -> dict[str, tuple[bytes, dict]]:
    """Every way on ten garments, and the weights of the first seed of the three levels."""
    data = load_dataset("fashion14")

    def train(way: str, *, seed: int) -> nn.Module:
        config, order = WAYS[way]
        return train_blocks(config, data, seed=seed, order=order)

    curves = [
        Curve(way, "ten garments", np.array([CONFIG.epochs]), values, {})
        for way, values in zip(WAYS, measure_ways(list(WAYS), train, data, SEEDS), strict=True)
    ]
    facts = {"seeds": len(SEEDS), "recipe": asdict(CONFIG)}
    files = {"binary_ways.json": (save_sweep(curves), facts)}
    for level, name in zip(LEVELS, ("float", "weights", "all"), strict=True):
        model = train(level, seed=0)
        evaluation = evaluate(model, data.batches())
        about = {"n_correct": evaluation.n_correct, "n_images": evaluation.n_images, "recipe": asdict(CONFIG)}
        files[f"lab_blocks-{name}.safetensors"] = save(model.state_dict()), about
    return files


def make_ladder() -> dict[str, tuple[bytes, dict]]:
    """Three levels on five tasks: accuracy against difficulty."""
    data = {task.difficulty: load_task(task.difficulty) for task in TASKS}

    def run(seed: int) -> list[list[float]]:
        return [
            [
                evaluate(train_blocks(config, each, seed=seed), each.batches()).accuracy
                for each in data.values()
            ]
            for config in LEVELS.values()
        ]  # fmt: skip

    x = np.array(list(data))
    seeds = stack_seeds(run, FEW_SEEDS)
    curves = [Curve(level, "accuracy", x, values, {}) for level, values in zip(LEVELS, seeds, strict=True)]
    return {"binary_ladder.json": (save_sweep(curves), {"seeds": len(FEW_SEEDS), "recipe": asdict(CONFIG)})}


def subsets() -> list[tuple[str, ...]]:
    """All sets of layers that can be binary, the empty one first."""
    return [each for n in range(len(LAYERS) + 1) for each in itertools.combinations(LAYERS, n)]


def make_partial_binary() -> dict[str, tuple[bytes, dict]]:
    """Accuracy on the hardest task with each set of layers all binary."""
    data = load_task(TASKS[-1].difficulty)

    measured = measure_ways(subsets(), partial(train_partial, data=data), data, FEW_SEEDS)
    curves = [
        Curve(" + ".join(layers) or "none", TASKS[-1].name, np.array([len(layers)]), values, {})
        for layers, values in zip(subsets(), measured, strict=True)
    ]
    return {"partial_binary.json": (save_sweep(curves), {"seeds": len(FEW_SEEDS), "recipe": asdict(CONFIG)})}
