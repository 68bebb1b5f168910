"""Chapters other than the first: Run All, every panel fits a projector, its scenes work, the console stays silent."""

import pytest
from playwright.sync_api import expect

from browser.chapter import Chapter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# By chapter: title, what the line of numbers says, scenes.
PANELS = {
    "01_pruning": (
        ("The scalpel", "≈", ("random 70 %", "cliff 95 %", "cliff, repaired", "cliff, mask forgotten")),
        ("Filters and neurons: who goes?", "≈", ("at random", "the largest", "half of all")),
        ("The budget game", "≈", ("half of conv1.weight", "half of conv3.weight", "20 % may stay")),
    ),
    "01_pruning_deeper": (
        ("The lottery ticket", "measured 20", ("a fifth, later", "all weights", "3 percent")),
        ("The saw", "measured 20", ("one cut or eight", "gradual", "a milder cut", "with Adam")),
        ("Slimming", "measured 20", ("a step too far", "no penalty", "a strong penalty")),
        ("Two of every four", "≈", ("any half", "4 of 8", "1 of 4")),
        ("Formats", "encoded now", ("nothing gone", "half left", "2 percent", "wide rows")),
        (
            "What hangs together?", "one channel takes",
            ("a chain", "flattened maps", "additions", "depthwise", "everybody reads"),
        ),
    ),
    "02_quantization": (
        ("The number line", "computed now", ("8 bits", "clip at 2.5 sigma", "one outlier", "outlier, clipped")),
        ("Clip or round?", "measured now", ("keep all", "cut off 1 %", "cut off 10 %", "no sign, keep all")),
        (
            "The whole network on few bits", "measured now",
            ("weights on 3 bits", "one scale a channel", "2 bits", "trained with rounding"),
        ),
        ("A walk in whole numbers", "Rescale", ("the output", "wrong turn: 8 bits")),
    ),
    "02_quantization_deeper": (
        ("Which calibration wins?", "measured 20", ("plain, 3 levels", "depthwise")),
        (
            "The budget game: who keeps the accuracy with the fewest bits?", "≈",
            ("2 bits for conv1", "3 bits a weight"),
        ),
    ),
    "03_distillation": (
        ("Dark knowledge", "computed now", ("softened", "sure: sneaker", "sure, softened", "too soft")),
        ("The loss: labels, teacher", "computed now", ("T 8 without T²", "T 8 with T²", "T 1", "labels only")),
        ("A student of a teacher", "measured 20", ("very soft", "one of thirty")),
        ("The digit nobody showed", "computed now", ("T = 20", "T = 4, bias 3", "T = 4, bias 8", "control")),
        ("Few labels", "measured 20", ("200 labels", "all labels")),
    ),
    "04_binary_and_ternary": (
        ("Signs: one bit a weight", "computed now", ("allow zero", "best Delta", "nearly all zero")),
        ("A product by bits", "computed now", ("full word", "equal vectors", "opposite")),
        ("Five tasks, one bit", "measured 20", ("two garments", "pairs", "pairs, binary weights")),
        ("Which layers must stay real?", "measured 20", ("first layer too", "last layer too", "everything")),
        ("58x against what?", "measured now", ("1x1", "64 channels")),
    ),
    "04_binary_and_ternary_deeper": (
        ("What K knows", "computed now", ("large inputs", "a factor a channel", "conv3")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PANELS)
def test_a_chapter_runs_and_its_panels_fit(browser, lab, name):
    chapter = Chapter(browser, lab, name)
    chapter.run_all()
    assert chapter.outputs("error") == []
    assert chapter.unrun_cells() == 0
    # Predictions stand in core chapters only.
    if not name.endswith("_deeper"):
        assert chapter.faults_of_quizzes() == []
    for title, says, scenes in PANELS[name]:
        panel = chapter.panel(title)
        chapter.wait_for_rest(panel)
        assert chapter.layout_faults(panel) == []
        for scene in scenes:
            panel.get_by_role("button", name=scene, exact=True).click()
            expect(panel.locator(".labcore-readout")).to_contain_text(says, timeout=20_000)
            chapter.wait_for_rest(panel)
            assert "Error" not in panel.locator(".labcore-status").inner_text()
            assert chapter.layout_faults(panel) == []
            chapter.screenshot(f"{title.split(':')[0]}-{scene}".replace(" ", "-").replace("%", ""), panel)
        assert chapter.move_every_control(panel) == []
        assert "Error" not in panel.inner_text()
    assert chapter.errors == []
    chapter.page.close()
