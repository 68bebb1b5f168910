"""`fashion14.npz`: Fashion-MNIST averaged to 14x14, 20,000 stratified images as uint8."""

import io

import numpy as np

from labcore.data import load_dataset, stratified_indices

__all__ = ["make_fashion14"]


def average_2x2(images: np.ndarray) -> np.ndarray:
    """Mean of each 2x2 patch, as uint8.

    Args:
        images: values in [0, 1], shape (N, 1, 28, 28).
    """
    patches = images.reshape(len(images), 1, 14, 2, 14, 2)
    return np.rint(255 * patches.mean(axis=(3, 5))).astype(np.uint8)


def make_fashion14() -> tuple[bytes, dict]:
    """The archive and what the manifest says of it. Reads the full set from ``LABCORE_DATA``."""
    full = load_dataset("fashion-mnist")
    train = stratified_indices(full.train_labels.numpy(), 10_000, seed=0)
    halves = stratified_indices(full.test_labels.numpy(), 10_000, seed=0)
    test = halves[stratified_indices(full.test_labels.numpy()[halves], 5_000, seed=1)]
    final = np.setdiff1d(halves, test)
    arrays = {}
    for split, images, labels, chosen in (
        ("train", full.train_images, full.train_labels, train),
        ("test", full.test_images, full.test_labels, test),
        ("final", full.test_images, full.test_labels, final),
    ):
        arrays[f"{split}_images"] = average_2x2(images.numpy()[chosen])
        arrays[f"{split}_labels"] = labels.numpy()[chosen].astype(np.uint8)
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue(), {"images": {name: len(a) for name, a in arrays.items() if name.endswith("labels")}}
