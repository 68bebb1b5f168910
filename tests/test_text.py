import doctest
import importlib
from importlib import resources
from pathlib import Path

import pytest

import labcore
from labcore import text

ROOT = Path(str(resources.files(labcore)))
DOCUMENTED = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if ">>>" in path.read_text("utf-8")
)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples_in_docstrings_are_true(name):
    result = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert result.attempted > 0
    assert result.failed == 0


def test_every_function_of_text_has_an_example():
    examples = {test.name.split(".")[-1] for test in doctest.DocTestFinder().find(text) if test.examples}
    assert examples == set(text.__all__)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (text.count(0), "0"),
        (text.count(1_234_567.6), "1,234,568"),
        (text.percent(1), "100.0 %"),
        (text.percent(0.12345, 2), "12.35 %"),
        (text.points(0), "0.0 points"),
        (text.points(-0.0001), "0.0 points"),
        (text.points(0.0004), "0.0 points"),
        (text.points(0.016), "+1.6 points"),
        (text.size(0), "0 B"),
        (text.size(999.4), "999 B"),
        (text.size(999.6), "1.00 kB"),
        (text.size(9_994), "9.99 kB"),
        (text.size(9_996), "10.0 kB"),
        (text.size(999_600), "1.00 MB"),
        (text.size(2.5e12), "2,500 GB"),
        (text.bits(8), "8 bits = 1 B"),
        (text.ms(0.5), "0.50 ms"),
        (text.ms(1234), "1,234 ms"),
        (text.duration(59.4), "59 s"),
        (text.duration(59.6), "1 min 00 s"),
        (text.times(0.25), "0.25x"),
        (text.times(31.96), "32.0x"),
        (text.change(0.0, n_images=10, flipped=0), "≈ 0.0 points, ≈ 0 of 10 images, ≈ 0 flipped"),
    ],
)
def test_numbers_at_the_edges_read_well(shown, expected):
    assert shown == expected
