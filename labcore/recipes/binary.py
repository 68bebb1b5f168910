"""Binary and ternary networks: ways, the ladder of tasks, which layers stay real, with and without batch norm."""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from functools import partial

import numpy as np
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from labcore import binarize, runtime
from labcore.binarize import BinaryConfig, LatentWeights
from labcore.data import Dataset, load_dataset
from labcore.models import BlockOrder, make_blocks
from labcore.recipes.curves import stack_seeds
from labcore.results import Curve
from labcore.search import save_sweep
from labcore.tasks import TASKS, load_task
from labcore.training import TrainConfig, evaluate, fit

__all__ = [
    "ALL_BINARY", "CONFIG", "CONNECT", "FLAT", "FLAT_WAYS", "LAYERS", "LEVELS", "SHORTCUT_WAYS", "WAYS",
    "make_binary_ways", "make_connect", "make_flat", "make_ladder", "make_partial_binary",
    "make_plain_mlp", "make_shortcuts", "train_blocks", "train_connect", "train_flat", "train_partial",
    "train_with_shortcuts",
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
    measured = _accuracies(list(SHORTCUT_WAYS), partial(train_with_shortcuts, data=data), data, SEEDS)
    curves = [
        Curve(way, "ten garments", np.array([CONFIG.epochs]), values, {})
        for way, values in zip(SHORTCUT_WAYS, measured, strict=True)
    ]
    return {"binary_shortcuts.json": (save_sweep(curves), {"seeds": len(SEEDS), "recipe": asdict(CONFIG)})}


def _accuracies(jobs: list, train: Callable[..., nn.Module], data: Dataset, seeds: Iterable[int]) -> list[np.ndarray]:
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
        for way, values in zip(WAYS, _accuracies(list(WAYS), train, data, SEEDS), strict=True)
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

    measured = _accuracies(subsets(), partial(train_partial, data=data), data, FEW_SEEDS)
    curves = [
        Curve(" + ".join(layers) or "none", TASKS[-1].name, np.array([len(layers)]), values, {})
        for layers, values in zip(subsets(), measured, strict=True)
    ]
    return {"partial_binary.json": (save_sweep(curves), {"seeds": len(FEW_SEEDS), "recipe": asdict(CONFIG)})}


# --- without convolutions: alpha with and without batch norm ----------------------------------------

FLAT = TrainConfig(epochs=10, learning_rate=1e-3)
FLAT_WAYS = {
    "float": None, "binary weights": WEIGHTS, "binary weights, alpha 1": replace(WEIGHTS, alpha="none"),
    "ternary weights": replace(WEIGHTS, weights="ternary"),
}  # fmt: skip


def make_plain_mlp(norm: bool, *, sizes: tuple[int, ...] = (300, 100), n_inputs: int = 196, seed: int) -> nn.Module:
    """Linear layers with ReLU between them, and batch norm before each ReLU if asked for."""
    with runtime.fork_rng(seed):
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        for i, (n_in, n_out) in enumerate(itertools.pairwise((n_inputs, *sizes)), start=1):
            layers[f"fc{i}"] = nn.Linear(n_in, n_out)
            if norm:
                layers[f"bn{i}"] = nn.BatchNorm1d(n_out)
            layers[f"relu{i}"] = nn.ReLU()
        layers["last"] = nn.Linear(sizes[-1], 10)
        return nn.Sequential(layers)


def train_flat(way: str, norm: bool, data: Dataset, *, seed: int) -> nn.Module:
    """196-300-100-10; all its layers have binary weights."""
    model, config = make_plain_mlp(norm, seed=seed), FLAT_WAYS[way]
    if config is not None:
        model = binarize.apply_binary(model, config, layers=("fc1", "fc2", "last"))
    after_step = None if config is None else LatentWeights(model)
    batches = data.batches(BATCH, split="train", seed=seed)
    fit(model, batches, replace(FLAT, seed=seed), after_step=after_step, label="without convolutions")
    return model.eval()


def make_flat() -> dict[str, tuple[bytes, dict]]:
    """With and without batch norm, by way."""
    data = load_dataset("fashion14")
    jobs = list(itertools.product(("without batch norm", "with batch norm"), FLAT_WAYS))

    def train(job: tuple[str, str], *, seed: int) -> nn.Module:
        return train_flat(job[1], job[0] == "with batch norm", data, seed=seed)

    curves = [
        Curve(way, norm, np.array([FLAT.epochs]), values, {})
        for (norm, way), values in zip(jobs, _accuracies(jobs, train, data, SEEDS), strict=True)
    ]
    return {"binary_flat.json": (save_sweep(curves), {"seeds": len(SEEDS), "recipe": asdict(FLAT)})}


# --- BinaryConnect as the paper trains it -------------------------------------------------------------

# Batches of 200 and batch norm behind every layer are the paper's; its training is up to forty times longer.
CONNECT, CONNECT_BATCH = TrainConfig(epochs=25, learning_rate=3e-3), 200
CONNECT_WAYS = {
    "float": None, "deterministic": replace(WEIGHTS, alpha="none"),
    "stochastic": replace(WEIGHTS, alpha="none", weights="stochastic"),
}  # fmt: skip


def squared_hinge(outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean of max(0, 1 - t y)^2 with targets t of -1 and +1."""
    targets = 2 * F.one_hot(labels, outputs.shape[1]).to(outputs.dtype) - 1
    return (1 - targets * outputs).clamp(min=0).square().mean()


def train_connect(way: str, data: Dataset, *, seed: int) -> nn.Module:
    """784-256-256-256-10 on digits."""
    model = make_plain_mlp(True, sizes=(256, 256, 256), n_inputs=784, seed=seed)
    model.append(nn.BatchNorm1d(10))
    config = CONNECT_WAYS[way]
    names = ("fc1", "fc2", "fc3", "last")
    if config is not None:
        model = binarize.apply_binary(model, config, layers=names)
    after_step = None if config is None else LatentWeights(model, steps="scaled")
    batches = data.batches(CONNECT_BATCH, split="train", seed=seed)
    rate = CONNECT.learning_rate if config is not None else FLAT.learning_rate
    fit(
        model, batches, replace(CONNECT, seed=seed, learning_rate=rate), loss=squared_hinge, after_step=after_step,
        label=f"BinaryConnect, {way}",
    )  # fmt: skip
    return model.eval()


def make_connect() -> dict[str, tuple[bytes, dict]]:
    """Accuracy on images of the training and of the test."""
    data = load_dataset("mnist5k")

    def run(seed: int) -> list[list[float]]:
        models = [train_connect(way, data, seed=seed) for way in CONNECT_WAYS]
        return [
            [evaluate(model, data.batches(split=split)).accuracy] for model in models for split in ("train", "test")
        ]

    jobs = itertools.product(CONNECT_WAYS, ("training images", "test images"))
    curves = [
        Curve(way, split, np.array([CONNECT.epochs]), values, {})
        for (way, split), values in zip(jobs, stack_seeds(run, SEEDS), strict=True)
    ]
    return {"binary_connect.json": (save_sweep(curves), {"seeds": len(SEEDS), "recipe": asdict(CONNECT)})}
