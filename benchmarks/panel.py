"""Slider to changed picture, in a real browser: the panel of chapter 0 against `interact` with pyplot.

Both draw the same picture from the same numbers, in one notebook. Key presses alternate between the two sliders, so
that a busy moment of the machine hits both. A step lasts from the key press to the new image, decoded.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser.chapter import Chapter
from browser.server import open_browser, serve_lab

__all__ = ["run"]

STEPS = 40

_PANEL = """
from labcore import data
from labcore.widgets import explorers
garments = data.load_dataset("fashion14")
explorers.costs(garments)
"""

# What a notebook without labcore's views would do: a new pyplot figure at every step.
_INTERACT = """
%matplotlib inline
import ipywidgets, matplotlib.pyplot as plt, numpy as np
from labcore import metrics, models, search
sweep = [point for point in search.load_sweep("widths") if point.family.startswith("lab_cnn")]
boards = {
    int(p.settings["width"]): metrics.make_board(
        models.make_model("lab_cnn", width=int(p.settings["width"])).eval(), garments.test_images[:1], label=p.label)
    for p in sweep
}
def draw(width):
    board = boards[width]
    figure = plt.figure(figsize=(9, 3.75), dpi=100, layout="constrained")
    grid = figure.add_gridspec(2, 4)
    values = {**board.values, "time": board.values["macs"]}
    for i, (name, value) in enumerate(values.items()):
        ax = figure.add_subplot(grid[0, i])
        ax.barh(board.layers, value / value.sum())
        for j, number in enumerate(value):
            ax.text(value[j] / value.sum() + 0.03, j, f"{number:,}", va="center")
        ax.set(title=name, xlim=(0, 1.42), xticks=[])
    ax = figure.add_subplot(grid[1, :])
    means = np.array([p.mean for p in sweep])
    spread = (means - [p.accuracies.min() for p in sweep], [p.accuracies.max() for p in sweep] - means)
    ax.errorbar([p.n_params for p in sweep], means, spread, marker="o", capsize=3, label=sweep[0].family)
    here = next(p for p in sweep if p.settings["width"] == width)
    ax.plot([here.n_params], [here.mean], "*", markersize=17)
    ax.set(xscale="log", xlabel="parameters", ylabel="accuracy")
    ax.legend(loc="lower right")
    plt.show()
ipywidgets.interact(draw, width=ipywidgets.SelectionSlider(options=list(boards), value=16))
"""

# Resolves with the milliseconds from the next key press to the decoded new picture inside `box`.
_WATCH = """
(box) => { window.step = new Promise((done) => {
  const picture = () => box.querySelector('img')?.src, before = picture();
  let pressed = null;
  addEventListener('keydown', () => { pressed = performance.now(); }, { once: true, capture: true });
  const observer = new MutationObserver(async () => {
    const image = box.querySelector('img');
    if (pressed === null || !image || image.src === before) return;
    observer.disconnect();
    await image.decode().catch(() => null);
    done(performance.now() - pressed);
  });
  observer.observe(box, { childList: true, subtree: true, attributes: true, attributeFilter: ['src'] });
}); }
"""


def _step(chapter: Chapter, box, key: str) -> float:
    box.get_by_role("slider").focus()
    box.evaluate(_WATCH)
    chapter.page.keyboard.press(key)
    elapsed = chapter.page.evaluate("window.step")
    chapter.page.wait_for_timeout(150)
    chapter.wait_for_rest(box)
    return elapsed


def run() -> None:
    """Print p50 and p95 of both, and the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "work").mkdir()
        cells = [nbformat.v4.new_code_cell(source.strip()) for source in (_PANEL, _INTERACT)]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), root / "work" / "bench.ipynb")
        with serve_lab(root) as address, open_browser() as browser:
            chapter = Chapter(browser, address, "bench")
            chapter.run_all()
            panel = chapter.panel("What does each layer")
            plain = chapter.page.locator(".widget-interact").first
            plain.locator("img").wait_for(timeout=60_000)
            chapter.wait_for_rest(panel)
            times = {"panel": [], "interact + pyplot": []}
            for i in range(STEPS + 4):
                key = "ArrowLeft" if i % 2 == 0 else "ArrowRight"
                for name, box in (("panel", panel), ("interact + pyplot", plain)):
                    elapsed = _step(chapter, box, key)
                    if i >= 4:
                        times[name].append(elapsed)
    p50, p95 = ({name: np.percentile(values, q) for name, values in times.items()} for q in (50, 95))
    print(f"slider to changed picture, {STEPS} steps each, alternating")
    print(f"{'':<20}{'p50, ms':>10}{'p95, ms':>10}")
    for name in times:
        print(f"{name:<20}{p50[name]:>10.0f}{p95[name]:>10.0f}")
    plain, ours = "interact + pyplot", "panel"
    print(f"{'ratio':<20}{p50[ours] / p50[plain]:>10.2f}{p95[ours] / p95[plain]:>10.2f}")
