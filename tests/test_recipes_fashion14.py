import gzip
import io
import os
from pathlib import Path

import numpy as np
import pytest

from labcore import runtime
from labcore.recipes.fashion14 import average_2x2, make_fashion14

PACKAGED = Path("/usr/share/datasets/fashion-mnist")
BY_HAND = os.environ.get("LABCORE_DATA")


def test_each_pixel_is_the_rounded_mean_of_four():
    image = np.zeros((1, 1, 28, 28), np.float32)
    image[0, 0, :2, :2] = np.array([[10, 20], [30, 41]]) / 255
    image[0, 0, 26:, 26:] = 1
    small = average_2x2(image)
    assert (small.shape, small.dtype) == ((1, 1, 14, 14), np.uint8)
    assert (small[0, 0, 0, 0], small[0, 0, 0, 1], small[0, 0, 13, 13]) == (25, 0, 255)


def test_the_shipped_garments_are_made_from_fashion_mnist(monkeypatch, tmp_path):
    if BY_HAND and (Path(BY_HAND) / "FashionMNIST" / "raw").is_dir():
        monkeypatch.setenv("LABCORE_DATA", BY_HAND)
    elif PACKAGED.is_dir():
        raw = tmp_path / "FashionMNIST" / "raw"
        raw.mkdir(parents=True)
        for path in PACKAGED.glob("*.gz"):
            (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        monkeypatch.setenv("LABCORE_DATA", str(tmp_path))
    else:
        pytest.skip("not run: needs Debian's package dataset-fashion-mnist, or LABCORE_DATA naming a folder")
    made = np.load(io.BytesIO(make_fashion14()[0]))
    shipped = np.load(io.BytesIO(runtime.read_shipped("fashion14.npz")))
    assert made.files == shipped.files
    for name in made.files:
        assert (made[name] == shipped[name]).all(), name
