"""One training loop, one evaluation. Model and batches are arguments."""

import contextlib
import copy
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labcore import runtime
from labcore.results import Evaluation, TrainingLog

__all__ = ["TrainConfig", "TrainingDiverged", "evaluate", "evaluating", "fit", "predict"]


class TrainingDiverged(FloatingPointError):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run.

    Attributes:
        epochs: passes over the data.
        learning_rate: at the start; `schedule` says what becomes of it.
        optimizer: `adam`, `adamw` or `sgd` (with `momentum`).
        schedule: `cosine` falls over the run, `constant` stays.
        weight_decay: as the optimizer understands it.
        seed: of whatever is random inside the model (dropout). The order of samples belongs to the batches.
        final_share: where the cosine ends, as a share of `learning_rate`.
    """

    epochs: int
    learning_rate: float
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    schedule: Literal["cosine", "constant"] = "cosine"
    momentum: float = 0.9
    weight_decay: float = 0.0
    seed: int = 0
    final_share: float = 0.0

    def __post_init__(self):
        if not isinstance(self.epochs, int) or isinstance(self.epochs, bool):
            raise TypeError(f"epochs must be a whole number, got {self.epochs!r}")
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, got {self.epochs}")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise ValueError(f"learning_rate must be a positive number, got {self.learning_rate!r}")
        for field, valid in (("optimizer", ("adam", "adamw", "sgd")), ("schedule", ("cosine", "constant"))):
            if getattr(self, field) not in valid:
                raise ValueError(f"unknown {field} {getattr(self, field)!r}; choose one of: {', '.join(valid)}")
        if not 0 <= self.final_share <= 1:
            raise ValueError(f"final_share must be a share of the learning rate in [0, 1], got {self.final_share!r}")


def _make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError(f"{type(model).__name__} has no parameters to train")
    common = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=config.momentum, **common)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer](parameters, **common)


def fit(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, ...]],
    config: TrainConfig,
    *,
    loss: Callable[..., Tensor] = F.cross_entropy,
    evaluation: Iterable[tuple[Tensor, Tensor]] | None = None,
    after_step: Callable[[nn.Module, int], None] | None = None,
    after_epoch: Callable[[nn.Module, int], None] | None = None,
    stop: threading.Event | None = None,
    progress: Callable[[float], None] | None = None,
    label: str = "training",
) -> TrainingLog:
    """Train `model` where it stands; the same call gives the same bits on one machine.

    Args:
        model: trained in place; afterwards every module's mode is as it was.
        batches: a sized re-iterable of (images, *targets).
        config: settings of the run.
        loss: ``loss(logits, *targets) -> scalar``.
        evaluation: batches for the accuracy after each epoch; decides which weights are the best.
        after_step: ``after_step(model, step)`` after every update of the weights, numbered from 1.
        after_epoch: ``after_epoch(model, epoch)`` after every epoch, numbered from 0, before its evaluation.
        stop: when set, training ends at the next step with the best weights so far; so does an interrupt.
        progress: receives the share done, in [0, 1], after every step.

    Returns:
        The log; `interrupted` when stopped early.

    Raises:
        TrainingDiverged: the loss is NaN or infinite; the message says where.
        ValueError: no parameters to train, or no batch.
        TypeError: batches that can be walked through only once.
    """
    for each in (batches, evaluation):
        if isinstance(each, Iterator):
            raise TypeError(f"need batches for several passes, got a {type(each).__name__}; a list of them will do")
    batches = copy.copy(batches)  # every run starts from the first order of the batches
    run = _Run(model, len(batches) if hasattr(batches, "__len__") else None, config, loss, after_step, stop, progress)
    started = time.perf_counter()
    accuracies: list[float] = []
    losses: list[float] = []
    best, best_epoch, best_score = None, -1, -math.inf
    interrupted = False
    try:
        with runtime.fork_rng(config.seed), _keeping_modes(model):
            for epoch in runtime.progress(range(config.epochs), label):
                epoch_loss = run.epoch(batches, epoch)
                if after_epoch:
                    after_epoch(model, epoch)
                if evaluation is not None:
                    accuracies.append(evaluate(model, evaluation).accuracy)
                losses.append(epoch_loss)
                score = accuracies[-1] if accuracies else -epoch_loss
                if score > best_score:
                    best, best_epoch, best_score = copy.deepcopy(model.state_dict()), epoch, score
    except (KeyboardInterrupt, _Stopped):
        interrupted = True
        if best is not None:
            model.load_state_dict(best)
    return TrainingLog(
        np.array(losses), np.array(accuracies), best_epoch, time.perf_counter() - started, interrupted
    )  # fmt: skip


class _Stopped(Exception):
    """The stop event was set."""


class _Run:
    """The steps of one training run."""

    def __init__(self, model, steps_per_epoch, config, loss, after_step, stop, progress):
        self.model, self.config, self.loss = model, config, loss
        self.after_step, self.stop, self.progress = after_step, stop, progress
        self.optimizer = _make_optimizer(model, config)
        self.steps, self.step = (steps_per_epoch or 0) * config.epochs, 0
        if config.schedule == "cosine" and not self.steps:
            raise ValueError("the cosine schedule needs batches that are not empty and have a length")

    def epoch(self, batches, epoch: int) -> float:
        """One pass; mean loss over samples."""
        self.model.train()
        total, samples = 0.0, 0
        for inputs, *targets in batches:
            if self.stop is not None and self.stop.is_set():
                raise _Stopped
            value = self._update(inputs, targets, epoch)
            total, samples = total + value * len(inputs), samples + len(inputs)
        if not samples:
            raise ValueError("there is no batch to train on")
        return total / samples

    def _update(self, inputs: Tensor, targets: list[Tensor], epoch: int) -> float:
        if self.config.schedule == "cosine":
            end, fall = self.config.final_share, 0.5 * (1 + math.cos(math.pi * self.step / self.steps))
            rate = self.config.learning_rate * (end + (1 - end) * fall)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
        value = self.loss(self.model(_channels_last(inputs)), *targets)
        if not torch.isfinite(value):
            raise TrainingDiverged(
                f"the loss became {value.item()} at step {self.step + 1} (epoch {epoch}); try a learning rate below "
                f"{self.config.learning_rate:g}, or look for NaN in the data"
            )
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        self.optimizer.step()
        self.step += 1
        if self.after_step:
            self.after_step(self.model, self.step)
        if self.progress and self.steps:
            self.progress(self.step / self.steps)
        return value.item()


def _channels_last(inputs: Tensor) -> Tensor:
    # Measured two to three times faster on a CPU than the default layout.
    return inputs.contiguous(memory_format=torch.channels_last) if inputs.dim() == 4 else inputs


@contextlib.contextmanager
def _keeping_modes(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """The model in evaluation mode without gradients; afterwards every module's mode is as it was."""
    with _keeping_modes(model), torch.inference_mode():
        yield model.eval()


def predict(
    model: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, ...]], *, stop: threading.Event | None = None
) -> tuple[Tensor, Tensor]:
    """Logits and labels of every sample, in order.

    Args:
        model: a module, or a function of the batch (a session of a runtime, for instance).
        batches: (inputs, labels) each.
        stop: when set, no further batch is begun.

    Returns:
        logits of shape (N, classes) and labels of shape (N,), of the batches that were begun.

    Raises:
        ValueError: there is no batch, or the model cannot take it (the message gives the shape).
    """
    outputs, labels = [], []
    with evaluating(model) if isinstance(model, nn.Module) else torch.inference_mode():
        for inputs, targets, *_ in batches:
            try:
                outputs.append(model(_channels_last(inputs)))
            except (RuntimeError, ValueError, LookupError) as error:
                raise ValueError(
                    f"{type(model).__name__} cannot take a batch of shape {tuple(inputs.shape)}: {error}"
                ) from error
            labels.append(targets)
            if stop is not None and stop.is_set():
                break
    if not outputs:
        raise ValueError("there is no batch to evaluate")
    return torch.cat(outputs), torch.cat(labels)


def evaluate(
    model: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]], *, stop: threading.Event | None = None
) -> Evaluation:
    """What the model answers on every sample (see `results.Evaluation`); the model is left as it was found."""
    logits, labels = predict(model, batches, stop=stop)
    return Evaluation(logits.argmax(1).cpu().numpy(), labels.cpu().numpy(), logits.shape[1])
