"""The score zoo: what is on the screen is what was measured, and every scene shows what it promises."""

import numpy as np
import pytest

from labcore import data, models, prune, search
from labcore.training import evaluate
from labcore.widgets import explorers


@pytest.fixture(scope="module")
def panel():
    return explorers.score_zoo()


def means(panel):
    return {name: values.mean() for name, values in panel.view._choice.accuracies.items()}


def gains(panel):
    return panel.view._choice.gains


@pytest.mark.case("C-invented")
def test_the_first_dot_of_a_row_is_the_shipped_network_cut_now(panel):
    garments, model = data.load_dataset("fashion14"), models.load_model("lab_cnn")
    panel.start_again()
    panel.controls["share"].value = 0.75
    masks = prune.masks_global(prune.scores.lamp(model), 0.75)
    cut = evaluate(prune.apply_masks(model, masks), garments.batches()).accuracy
    assert panel.view._choice.accuracies["lamp"][0] == pytest.approx(cut, abs=0.002)
    panel.controls["kind"].value = "filters"
    plan = prune.channel_plan(model, garments.test_images[:1], pruning_ratio=0.75, method="fpgm")
    cut = evaluate(prune.apply_channel_plan(model, plan), garments.batches()).accuracy
    assert panel.view._choice.accuracies["fpgm"][0] == pytest.approx(cut, abs=0.002)


@pytest.mark.parametrize("kind", ["weights", "filters"])
@pytest.mark.parametrize("when", ["at once", "tuned"])
def test_every_share_shows_its_column_of_the_sweep(panel, kind, when):
    curves = [each for each in search.load_curves("score_zoo") if each.label == f"{kind}, {when}"]
    for place, share in enumerate(curves[0].x):
        for name, value in {"kind": kind, "when": when, "share": share}.items():
            panel.controls[name].value = value
        drawn = panel.view._dots.get_xdata().reshape(len(curves), -1)
        assert (drawn == [curve.values[:, place] for curve in curves]).all()
    assert (gains(panel)["random"] == 0).all()


@pytest.mark.case("C-dropdown")
@pytest.mark.parametrize("kind", ["weights", "filters"])
def test_every_option_works_and_every_reference_is_there(panel, kind):
    panel.start_again()
    panel.controls["kind"].value = kind
    for control in ("reference", "share", "when"):
        for option in panel.controls[control].options:
            panel.controls[control].value = option[1] if isinstance(option, tuple) else option
            assert "reference: " in panel.text
    panel.controls["reference"].value = ""
    assert f"reference: {'l1' if kind == 'filters' else 'magnitude, all layers'}" in panel.text


# --- what the scenes promise ------------------------------------------------------------------------


def test_no_score_gains_a_point_on_plain_size_and_some_lose_many(panel):
    panel.play("weights, at once")
    mean = np.array([values.mean() for values in gains(panel).values()])
    assert mean.max() < 0.01
    assert (mean < -0.1).sum() >= 4


def test_only_two_rules_beat_chance_with_every_seed_and_snip_ends_below(panel):
    panel.play("weights, tuned")
    sure = [name for name, values in gains(panel).items() if (values > 0).all()]
    assert sure == ["magnitude, all layers", "lamp"]
    assert means(panel)["snip"] < means(panel)["random"]


def test_seeds_lie_further_apart_than_the_means_of_the_scores(panel):
    panel.play("filters, at once")
    between = max(means(panel).values()) - min(means(panel).values())
    assert min(np.ptp(values) for values in panel.view._choice.accuracies.values()) > between
    assert [name for name, values in gains(panel).items() if (values > 0).all()] == ["gamma"]


def test_after_tuning_all_scores_of_filters_are_within_a_point(panel):
    panel.play("filters, tuned")
    assert len(means(panel)) == 11
    assert max(means(panel).values()) - min(means(panel).values()) < 0.01
