"""Shipped weights: one run of the training loop for each network."""

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from safetensors.torch import save
from torch import Tensor, nn

from labcore.data import Batches, load_dataset
from labcore.models import ModelName, make_model
from labcore.results import Evaluation
from labcore.training import TrainConfig, evaluate, fit

__all__ = ["RECIPES", "WIDTHS", "Flipped", "WeightRecipe", "describe", "make_weights", "train"]


@dataclass(frozen=True)
class Flipped:
    """Batches of images, each mirrored with probability one half (drawn from torch's generator)."""

    batches: Batches

    def __len__(self) -> int:
        return len(self.batches)

    def __copy__(self) -> "Flipped":
        return Flipped(copy.copy(self.batches))  # a copy starts from the first order, as `fit` expects

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for images, *rest in self.batches:
            mirrored = torch.rand(len(images), 1, 1, 1) < 0.5
            yield torch.where(mirrored, images.flip(3), images), *rest


@dataclass(frozen=True)
class WeightRecipe:
    """How one network is trained."""

    dataset: str
    config: TrainConfig
    batch_size: int = 64
    flip: bool = False


RECIPES: dict[ModelName, WeightRecipe] = {
    "lab_cnn": WeightRecipe("fashion14", TrainConfig(epochs=8, learning_rate=4e-3)),
    "lab_resnet": WeightRecipe(
        "fashion14", TrainConfig(epochs=20, learning_rate=4e-3, optimizer="adamw", weight_decay=0.01), flip=True
    ),
    "lab_mobile": WeightRecipe("fashion14", TrainConfig(epochs=12, learning_rate=6e-3)),
    "lenet_300_100": WeightRecipe("mnist5k", TrainConfig(epochs=20, learning_rate=1.2e-3)),
    "lenet5": WeightRecipe("mnist5k", TrainConfig(epochs=12, learning_rate=1e-3)),
}

# Widths of lab_cnn whose weights are shipped beside the default: the panel of chapter 0 evaluates them.
WIDTHS = (4, 6, 8, 12, 16, 24, 32)


def train(name: ModelName, *, width: int | None = None, seed: int = 0) -> tuple[nn.Module, Evaluation]:
    """Train one network by its recipe; gives the model and its answers on the test images."""
    recipe = RECIPES[name]
    data = load_dataset(recipe.dataset)
    model = make_model(name, width=width, seed=seed)
    batches = data.batches(recipe.batch_size, split="train", seed=seed)
    fit(model, Flipped(batches) if recipe.flip else batches, recipe.config, label=name)
    return model.eval(), evaluate(model, data.batches())


def describe(name: ModelName, evaluation: Evaluation) -> dict:
    """What the manifest says of trained weights."""
    recipe = RECIPES[name]
    return {
        "recipe": asdict(recipe), "n_correct": evaluation.n_correct, "n_images": evaluation.n_images
    }  # fmt: skip


def make_weights(name: ModelName) -> tuple[bytes, dict]:
    """The weights as a safetensors file, and what the manifest says of them."""
    model, evaluation = train(name)
    return save(model.state_dict()), describe(name, evaluation)
