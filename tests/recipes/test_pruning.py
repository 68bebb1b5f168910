"""The shipped sweeps of the pruning chapter: their shape, and sampled entries computed again."""

import numpy as np
import pytest

from labcore import runtime
from labcore.models import load_model, make_model
from labcore.recipes import pruning_channels, pruning_masks, pruning_rounds, pruning_zoo
from labcore.search import load_curves, load_sweep

CURVES = ("saw", "lottery", "scores_at_init", "gradual", "slimming", "two_four", "score_zoo")

# One seed on another processor; the test images are 1,000 or 5,000.
POINTS = 0.015


def curve(name, family, label):
    return next(each for each in load_curves(name) if (each.family, each.label) == (family, label))


# --- shape ------------------------------------------------------------------------------------------


@pytest.mark.case("C-noise")
@pytest.mark.parametrize("name", CURVES)
def test_curves_hold_every_seed_at_every_point(name):
    curves = load_curves(name)
    assert len({(each.family, each.label) for each in curves}) == len(curves) >= 3
    seeds = runtime.read_manifest()[f"{name}.json"]["seeds"]
    assert seeds >= 3
    for each in curves:
        assert each.values.shape == (seeds, len(each.x))
        assert ((each.values >= 0) & (each.values <= 1)).all()
    assert len(runtime.read_shipped(f"{name}.json")) < 150_000


@pytest.mark.case("C-noise")
def test_filters_hold_every_method_at_once_and_tuned():
    points = load_sweep("filters")
    seeds = runtime.read_manifest()["filters.json"]["seeds"]
    assert {(p.family, p.settings["pruning_ratio"], p.settings["epochs"]) for p in points} == {
        (method, ratio, epochs)
        for method in ("gamma", "l1", "random", "largest") for ratio in (0.25, 0.5) for epochs in (0, 2)
    }  # fmt: skip
    assert all(p.accuracies.shape == (seeds,) for p in points)


@pytest.mark.parametrize(("ratio", "width"), [(0.25, 12), (0.5, 8)])
def test_the_pruned_shapes_are_narrower_networks_of_the_widths(ratio, width):
    small = pruning_channels.cut_channels(load_model("lab_cnn"), "l1", ratio, seed=0)
    shapes = [each.shape for each in small.state_dict().values()]
    assert shapes == [each.shape for each in make_model("lab_cnn", width=width).state_dict().values()]
    dense = next(p for p in load_sweep("widths") if p.label == f"lab_cnn, width {width}")
    pruned = next(p for p in load_sweep("filters") if p.settings["pruning_ratio"] == ratio)
    assert (pruned.n_params, pruned.macs) == (dense.n_params, dense.macs)


def test_gradual_pruning_leaves_as_much_as_narrower_networks_have():
    sizes = [p.n_params for p in load_sweep("widths") if p.label in [f"lab_cnn, width {w}" for w in (4, 6, 8, 12)]]
    for each in load_curves("gradual"):
        assert each.x.tolist() == sizes


def test_lottery_rounds_are_those_of_the_paper():
    left = 100 * curve("lottery", "winning ticket", "after 100 updates").x
    assert left[[0, 3, 7, 15]] == pytest.approx([100, 51.3, 21.1, 3.6], abs=0.05)


def zoo(kind, score, when):
    return curve("score_zoo", score, f"{kind}, {when}")


@pytest.mark.case("C-noise")
def test_the_zoo_holds_every_score_at_once_and_tuned():
    whole, *curves = load_curves("score_zoo")
    assert (whole.family, whole.x.tolist()) == ("whole network", [0])
    assert {(each.family, each.label) for each in curves} == {
        (score, f"{kind}, {when}")
        for kind, scores in pruning_zoo.SCORES.items() for score in scores for when in ("at once", "tuned")
    }  # fmt: skip
    assert all(each.x.tolist() == list(pruning_zoo.SHARES) for each in curves)


@pytest.mark.parametrize("method", pruning_channels.METHODS)
def test_the_zoo_repeats_the_filters_sweep(method):
    # The same networks, cuts and tuning, measured on another day.
    for ratio, epochs in ((0.25, 0), (0.25, 2), (0.5, 0), (0.5, 2)):
        point = next(
            p for p in load_sweep("filters")
            if (p.family, p.settings) == (method, {"pruning_ratio": ratio, "epochs": epochs})
        )  # fmt: skip
        again = zoo("filters", method, "tuned" if epochs else "at once").values[:, pruning_zoo.SHARES.index(ratio)]
        assert again == pytest.approx(point.accuracies[: len(again)], abs=1e-9)


def test_the_zoo_starts_from_the_networks_that_are_shipped():
    whole = load_curves("score_zoo")[0].values[:, 0]
    entry = runtime.read_manifest()["lab_cnn.safetensors"]
    assert whole[0] == entry["n_correct"] / entry["n_images"]


# --- sampled entries, seed 0 ------------------------------------------------------------------------


@pytest.mark.slow
def test_saw_again():
    values = pruning_rounds.run_saw(
        load_model("lenet_300_100"), pruning_rounds.FINAL["1/32 left"], "3 rounds", pruning_rounds.SGD, seed=0
    )
    stored = curve("saw", "3 rounds", "1/32 left").values[0]
    # The first cut is made in the shipped weights.
    assert values[:2] == pytest.approx(stored[:2], abs=0.002)
    assert values[-1] == pytest.approx(stored[-1], abs=POINTS)


@pytest.mark.slow
def test_lottery_again():
    targets = pruning_rounds.TARGETS[:4]
    tickets = pruning_rounds.run_tickets(0, targets)
    runs = {"winning ticket": tickets} | pruning_rounds.run_controls(0, tickets, targets)
    for family, rounds in runs.items():
        for passes, updates in ((1, 100), (4, 400)):
            stored = curve("lottery", family, f"after {updates} updates").values[0, 3]
            assert rounds[3].round.log.accuracies[passes - 1] == pytest.approx(stored, abs=POINTS), (family, updates)


@pytest.mark.slow
def test_scores_at_init_again():
    stored = curve("scores_at_init", "SNIP", "Xavier").values[0]
    sparsity = pruning_masks.SPARSITIES[1]
    assert pruning_masks.run_at_init("Xavier", "SNIP", sparsity, seed=0) == pytest.approx(stored[1], abs=POINTS)
    # Global magnitude takes a whole layer of PyTorch's narrow uniform weights: what is left is chance.
    assert pruning_masks.run_at_init("PyTorch's default", "magnitude", 0.98, seed=0) == pytest.approx(0.1, abs=0.02)


@pytest.mark.slow
def test_filters_again():
    at_once, tuned = pruning_channels.run_filters(load_model("lab_cnn"), "gamma", 0.25, seed=0)
    stored = [p.accuracies[0] for p in load_sweep("filters") if p.label.startswith("gamma, 25%")]
    assert at_once == pytest.approx(stored[0], abs=0.002)
    assert tuned == pytest.approx(stored[1], abs=POINTS)


@pytest.mark.slow
def test_slimming_again():
    shares, cut, accuracies = pruning_channels.run_slimming(0.01, seed=0)
    labels = ["share of channels with |gamma| below x", "accuracy, 40 % of the channels pruned"]
    stored = [curve("slimming", "penalty 0.01", label).values[0] for label in labels]
    # 80 channels: within six of them.
    assert np.abs(shares - stored[0]).max() <= 0.08
    assert accuracies[0] == pytest.approx(stored[1][0], abs=POINTS)
    assert accuracies[-1] == pytest.approx(stored[1][-1], abs=POINTS)
    # Channels at zero cost nothing, whatever the processor.
    at_zero = curve("slimming", "penalty 0.01", "accuracy without the channels below x").values[0]
    assert cut[0] == pytest.approx(at_zero[0], abs=POINTS)


def test_channels_under_a_threshold_go_and_the_largest_of_each_layer_stays():
    model = load_model("lab_cnn")
    gammas = [model.get_submodule(name).weight.detach().abs() for name in ("bn1", "bn2", "bn3")]
    threshold = float(gammas[1].median())
    small = pruning_channels.cut_under(model, threshold)
    widths = [small.get_submodule(name).num_features for name in ("bn1", "bn2", "bn3")]
    assert widths == [max(1, int((each >= threshold).sum())) for each in gammas]
    nothing_left = pruning_channels.cut_under(model, 1000.0)
    assert [nothing_left.get_submodule(name).num_features for name in ("bn1", "bn2", "bn3")] == [1, 1, 1]
    assert nothing_left.bn1.weight.abs() == gammas[0].max()


def test_slimming_tells_shares_and_accuracies_at_the_same_thresholds():
    for penalty in ("penalty 0", "penalty 0.01"):
        shares, cut = (
            curve("slimming", penalty, label)
            for label in ("share of channels with |gamma| below x", "accuracy without the channels below x")
        )
        assert shares.x.tolist() == cut.x.tolist() == list(pruning_channels.THRESHOLDS)
        assert (np.diff(shares.values, axis=1) >= 0).all()
        # Where nothing goes, nothing is lost.
        whole = curve("slimming", penalty, "accuracy, 40 % of the channels pruned").values[:, :1]
        assert (cut.values == whole)[shares.values == 0].all()


@pytest.mark.slow
def test_gradual_again():
    stored = curve("gradual", "lab_cnn, width 16, gradually pruned", "all layers together")
    accuracy = pruning_masks.run_gradual(16, int(stored.x[2]), "global", seed=0)
    assert accuracy == pytest.approx(stored.values[0, 2], abs=POINTS)


@pytest.mark.slow
def test_two_four_again():
    values = pruning_masks.run_two_four("lenet_300_100", "2 of every 4", load_model("lenet_300_100"), seed=0)
    stored = curve("two_four", "2 of every 4", "lenet_300_100").values[0]
    assert values[:2] == pytest.approx(stored[:2], abs=0.002)
    assert values[-1] == pytest.approx(stored[-1], abs=POINTS)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "score"), [
    ("weights", "magnitude, each layer"), ("weights", "lamp"), ("weights", "snip"), ("weights", "taylor_sum_square"),
    ("weights", "random"), ("filters", "fpgm"), ("filters", "apoz"), ("filters", "activation"),
    ("filters", "taylor_abs_sum"),
])  # fmt: skip
def test_the_zoo_again(kind, score):
    share = 0.5
    at_once, tuned = pruning_zoo.run_score(load_model("lab_cnn"), kind, score, share, seed=0)
    stored = [zoo(kind, score, when).values[0, pruning_zoo.SHARES.index(share)] for when in ("at once", "tuned")]
    assert at_once == pytest.approx(stored[0], abs=0.002)
    assert tuned == pytest.approx(stored[1], abs=POINTS)
