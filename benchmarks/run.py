"""Timed comparisons: ``python benchmarks/run.py [NAME ...]``; default all. Prints a table; never part of the tests."""

import sys

import binary
import channels
import fake_quantize
import int8
import ladder
import panel

BENCHMARKS = {
    "panel": panel.run, "channels": channels.run, "fake_quantize": fake_quantize.run, "int8": int8.run,
    "ladder": ladder.run, "binary": binary.run,
}  # fmt: skip


def main(names: list[str]) -> None:
    """Run the named benchmarks."""
    if unknown := set(names) - BENCHMARKS.keys():
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; choose from: {', '.join(BENCHMARKS)}")
    for name in names or BENCHMARKS:
        BENCHMARKS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
