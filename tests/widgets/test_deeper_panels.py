"""The panels of the deeper pruning chapter: what is on the screen was measured, and the scenes say what is true."""

import numpy as np
import pytest
import torch

from labcore import data, models, prune, search
from labcore.storage import encoded_bytes
from labcore.training import evaluate
from labcore.widgets import explorers


@pytest.fixture(scope="module")
def cnn():
    return models.load_model("lab_cnn")


@pytest.fixture(scope="module")
def garments():
    return data.load_dataset("fashion14").subset(500, 500)


@pytest.fixture(scope="module")
def panels(cnn, garments):
    return {
        "lottery": explorers.lottery(),
        "saw": explorers.saw(),
        "slimming": explorers.slimming(),
        "two_four": explorers.two_four(cnn, garments),
        "formats": explorers.formats(),
        "couplings": explorers.couplings(torch.zeros(1, 3, 32, 32)),
    }


def curve(name, family, label):
    return next(each for each in search.load_curves(name) if (each.family, each.label) == (family, label))


def means(panel) -> dict[str, float]:
    """Mean accuracies in the rows of seeds."""
    rows = panel.view._rows._rows
    return {name: mean.get_xdata()[0] for name, (_, mean, *_) in rows.items() if mean.get_visible()}


PANELS = ("lottery", "saw", "slimming", "two_four", "formats", "couplings")


@pytest.mark.case("C-dropdown")
@pytest.mark.parametrize("name", PANELS)
def test_every_control_works_at_its_ends(panels, name):
    panel = panels[name]
    for key, control in panel.controls.items():
        panel.start_again()
        options = getattr(control, "options", (False, True))
        chosen = options if key not in ("name", "network") else (options[0], options[-1])
        for option in chosen:
            control.value = option[1] if isinstance(option, tuple) else option
            assert panel.view.png()
            assert panel.text
    panel.start_again()


@pytest.mark.parametrize("name", PANELS)
def test_every_scene_has_its_own_text_and_every_control_a_name(panels, name):
    panel = panels[name]
    texts = []
    for scene in panel.scenes:
        panel.play(scene.name)
        texts.append(panel.text)
        assert scene.see
    assert len(set(texts)) == len(texts) >= 3
    assert all(control.description for control in panel.controls.values())
    panel.start_again()


# --- shipped curves ---------------------------------------------------------------------------------


@pytest.mark.case("C-invented")
def test_the_lottery_shows_the_seeds_of_the_sweep(panels):
    panel = panels["lottery"]
    panel.play("3 percent")
    stored = curve("lottery", "random mask, first weights", "after 100 updates")
    dots = panel.view._rows._rows["random mask, first weights"][0]
    assert dots.get_xdata() == pytest.approx(stored.values[:, -1])
    assert f"measured {search.sweep_date('lottery')}, 4 seeds" in panel.view.readout


def test_the_scenes_of_the_lottery_say_what_is_true(panels):
    panel = panels["lottery"]
    panel.play("a fifth")
    early = means(panel)
    assert early["winning ticket"] > panel.view._choice.whole
    assert max(early["same mask, new weights"], early["random mask, first weights"]) < panel.view._choice.whole - 0.02
    panel.play("a fifth, later")
    late = means(panel)
    assert max(late.values()) - min(late.values()) < max(early.values()) - min(early.values())
    assert late["winning ticket"] == max(late.values())
    panel.play("all weights")
    whole = means(panel)
    assert max(whole.values()) - min(whole.values()) < 0.01
    panel.play("3 percent")
    few = means(panel)
    assert few["winning ticket"] > panel.view._choice.whole - 0.02
    assert few["random mask, first weights"] < 0.6


def test_the_saw_shows_each_cut_and_the_end(panels):
    panel = panels["saw"]
    panel.play("one cut or eight")
    stored = curve("saw", "8 rounds", "1/32 left")
    assert means(panel) == pytest.approx(
        {"one shot": curve("saw", "one shot", "1/32 left").mean[-1], "8 rounds": stored.mean[-1]}
    )
    line = next(line for line in panel.view._ax.lines if line.get_label() == "8 rounds")
    assert line.get_ydata() == pytest.approx(stored.mean)
    listed = next(row for row in panel.text.split("\n") if row.startswith("8 rounds"))
    assert len(listed.split("points at each cut: ")[1].split(", ")) == 8


def falls(stored) -> np.ndarray:
    """What each cut takes from the mean."""
    at = np.flatnonzero(np.diff(stored.x) == 0)
    return stored.mean[at] - stored.mean[at + 1]


def test_the_scenes_of_the_saw_say_what_is_true(panels):
    panel = panels["saw"]
    panel.play("one cut or eight")
    one, eight = (curve("saw", family, "1/32 left") for family in ("one shot", "8 rounds"))
    assert falls(one).max() > 5 * falls(eight).max()
    assert means(panel)["8 rounds"] > means(panel)["one shot"]
    gradual = curve("saw", "gradual", "1/32 left")
    assert len(falls(gradual)) == 30
    assert falls(gradual).max() < 0.05
    panel.play("a milder cut")
    assert len(means(panel)) == 5
    assert max(means(panel).values()) - min(means(panel).values()) < 0.01
    panel.play("with Adam")
    assert means(panel)["one shot"] > means(panel)["8 rounds"]
    assert "not measured: 3 rounds, 5 rounds, gradual" in panel.text


def test_a_saw_without_a_schedule_says_so(panels):
    panel = panels["saw"]
    panel.start_again()
    for name in list(panel.controls)[1:]:
        panel.controls[name].value = False
    assert "nothing chosen" in panel.view.readout
    assert means(panel) == {}
    panel.start_again()


def test_slimming_shows_shares_and_accuracies_of_the_sweep(panels):
    panel = panels["slimming"]
    panel.start_again()
    panel.controls["threshold"].value = 0.1
    shares = curve("slimming", "penalty 0.01", "share of channels with |gamma| below x")
    cut = curve("slimming", "penalty 0.01", "accuracy without the channels below x")
    place = shares.x.tolist().index(0.1)
    hatched = [bar.get_height() for bar in panel.view._bars if bar.get_hatch()]
    assert sum(hatched) == pytest.approx(shares.mean[place])
    assert means(panel)["under the cut gone, at once"] == pytest.approx(cut.mean[place])
    tuned = curve("slimming", "penalty 0.01", "accuracy, 40 % of the channels pruned").mean
    names = ("nothing cut", "40 % gone, at once", "40 % gone, 4 epochs later")
    assert [means(panel)[name] for name in names] == pytest.approx(tuned[[0, 1, -1]])


def test_the_scenes_of_slimming_say_what_is_true(panels):
    panel = panels["slimming"]
    panel.play("a third for free")
    share, rows = panel.view._under.mean(), means(panel)
    assert 0.3 < share < 0.4
    assert rows["under the cut gone, at once"] > rows["nothing cut"] - 0.002
    panel.play("a step too far")
    assert panel.view._under.mean() > share + 0.3
    assert means(panel)["under the cut gone, at once"] < 0.2
    panel.play("no penalty")
    assert panel.view._report.shares.mean(0)[panel.view._report.edges < 0.5].max() == 0
    assert panel.view._under.mean() < 0.2
    assert means(panel)["under the cut gone, at once"] < means(panel)["nothing cut"] - 0.2
    whole = means(panel)["nothing cut"]
    panel.play("a strong penalty")
    assert 0.6 < panel.view._under.mean() < 0.7
    assert means(panel)["under the cut gone, at once"] > means(panel)["nothing cut"] - 0.002
    assert means(panel)["nothing cut"] < whole - 0.02


# --- measured now -----------------------------------------------------------------------------------


@pytest.mark.case("C-invented")
def test_two_of_four_measures_the_masked_network(panels, cnn, garments):
    panel = panels["two_four"]
    panel.play("1 of 4")
    scores = {name: each for name, each in prune.scores.magnitude(cnn).items() if name != "conv1.weight"}
    pruned = prune.apply_masks(cnn, prune.masks_n_m(scores, 1, 4))
    measured = panel.view._measurement
    assert measured.accuracy.value == evaluate(pruned, garments.batches()).accuracy
    assert measured.accuracy.value < 0.7
    panel.controls["layer"].value = "conv3.weight"
    assert panel.view._report.kept.reshape(-1, 4).sum(1).tolist() == [1] * 64
    assert prune.sparsity_of(cnn) == 0


def test_the_scenes_of_two_of_four_say_what_is_true(panels):
    panel = panels["two_four"]
    for layer in panel.controls["layer"].options:
        panel.controls["layer"].value = layer
        kept = panel.view._report.kept_l1
        assert kept["2 of 4"] < kept["4 of 8"] < kept["any half"]
        assert kept["1 of 4"] < kept["any quarter"]
    panel.play("2 of 4")
    assert 0.01 < -panel.view._measurement.pair.difference.value < 0.1
    assert panel.view._report.sparsity == 0.5


@pytest.mark.case("C-not-smaller")
def test_formats_show_the_bytes_of_real_encodings(panels):
    panel = panels["formats"]
    panel.start_again()
    weights = torch.from_numpy(np.random.default_rng(0).standard_normal((128, 128), dtype=np.float32))
    cut = weights.abs().flatten().sort(descending=True).values[round(0.09 * 128 * 128) - 1]
    layer = weights.masked_fill(weights.abs() < cut, 0)
    for name in ("dense", "bitmap", "csr", "relative"):
        assert panel.view._at[name] == encoded_bytes(layer, name)


def test_the_scenes_of_formats_say_what_is_true(panels):
    view = panels["formats"].view

    def smallest(scene):
        panels["formats"].play(scene)
        return view._smallest, view._at

    name, at = smallest("9 percent")
    assert name == "relative"
    assert max(at["csr"], at["bitmap"]) < 1.15 * at["relative"]
    name, at = smallest("nothing gone")
    assert name == "dense"
    assert smallest("half left")[0] == "bitmap"
    assert smallest("2 percent")[0] == "csr"
    name, wide = smallest("wide rows")
    narrow = smallest("9 percent")[1]
    assert wide["dense"] == narrow["dense"]
    assert wide["csr"] > wide["bitmap"]
    assert narrow["csr"] < narrow["bitmap"]


# --- coupled channels -------------------------------------------------------------------------------


@pytest.mark.case("C-dropdown")
def test_the_sets_to_choose_from_are_those_of_the_network(panels):
    panel = panels["couplings"]
    panel.start_again()
    assert panel.values == {"network": "resnet18", "name": "conv1"}
    panel.controls["network"].value = "squeezenet1_1"
    sets = dict(panel.controls["name"].options)
    assert len(sets) == 25
    assert sets["features.3.squeeze (16 channels)"] == "features.3.squeeze"
    for name in sets.values():
        panel.controls["name"].value = name
        assert panel.view._report.name == name
        assert panel.view._report.network == "squeezenet1_1"
        assert 0 < panel.view._report.n_gone < panel.view._report.n_params
    panel.start_again()
    assert panel.values == {"network": "resnet18", "name": "conv1"}


def test_a_network_is_traced_once_and_never_asked_for_a_set_of_another_one(monkeypatch):
    from labcore import surgery

    traced, reported = [], []
    trace, report = surgery.trace, surgery.report_coupling
    monkeypatch.setattr(surgery, "trace", lambda *args: traced.append(1) or trace(*args))
    monkeypatch.setattr(
        surgery, "report_coupling",
        lambda *args, network: reported.append((network, args[1].name)) or report(*args, network=network),
    )  # fmt: skip
    panel = explorers.couplings(torch.zeros(1, 3, 32, 32))
    for network in ("squeezenet1_1", "resnet18", "squeezenet1_1"):
        panel.controls["network"].value = network
    assert len(traced) == 2
    assert reported == [("resnet18", "conv1"), ("squeezenet1_1", "features.0")]


def roles(panel) -> dict[str, list[str]]:
    report = panel.view._report
    return {
        role: [report.layers[member.place] for member in report.members if member.role == role]
        for role in ("out", "norm", "in")
    }


@pytest.mark.case("P-residual", "P-flatten/concat/convT")
def test_the_scenes_of_coupled_channels_say_what_is_true(panels):
    panel = panels["couplings"]
    panel.play("a chain")
    assert [len(names) for names in roles(panel).values()] == [1, 1, 1]
    panel.play("flattened maps")
    assert panel.view._report.members[-1].n_positions == 49 * panel.view._report.n_channels
    assert 200_000 < panel.view._report.n_gone < 210_000
    panel.play("additions")
    assert roles(panel)["out"] == ["conv1", "layer1.0.conv2", "layer1.1.conv2"]
    panel.play("depthwise")
    assert roles(panel)["out"] == ["features.2.conv.0.0", "features.2.conv.1.0"]
    panel.play("everybody reads")
    assert roles(panel)["out"] == ["features.conv0"]
    block = [name for name in panel.view._report.layers if name.startswith("features.denseblock1") and "conv1" in name]
    assert roles(panel)["in"] == [*block, "features.transition1.conv"]
