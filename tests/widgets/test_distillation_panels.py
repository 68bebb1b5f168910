"""The panels of chapter 3: what is on the screen was measured, and the scenes say what is true."""

import numpy as np
import pytest
import torch

from labcore import data, distill, metrics, models, search
from labcore.training import predict
from labcore.widgets import explorers
from panel_checks import move_every_control, play_every_scene, settings_of


@pytest.fixture(scope="module")
def garments():
    return data.load_dataset("fashion14").subset(64, 1000)


@pytest.fixture(scope="module")
def digits():
    return data.load_dataset("mnist5k-few")


@pytest.fixture(scope="module")
def teacher():
    return models.load_model("lab_resnet")


@pytest.fixture(scope="module")
def panels(teacher, garments, digits):
    return {
        "dark_knowledge": explorers.dark_knowledge(teacher, garments, ("sneaker", "ankle boot")),
        "distillation_loss": explorers.distillation_loss(),
        "students": explorers.students(teacher, garments),
        "unseen_digit": explorers.unseen_digit(digits),
        "few_labels": explorers.few_labels(),
    }


PANELS = ("dark_knowledge", "distillation_loss", "students", "unseen_digit", "few_labels")


@pytest.mark.case("C-dropdown")
@pytest.mark.parametrize("name", PANELS)
def test_every_control_works_at_every_option_and_both_ends(panels, name):
    move_every_control(panels[name])


@pytest.mark.parametrize("name", PANELS)
def test_every_scene_has_a_line_and_its_own_words(panels, name):
    play_every_scene(panels[name], most=5)


# --- dark knowledge ---------------------------------------------------------------------------------


def test_images_are_chosen_by_the_documented_rule(panels, teacher, garments):
    options = list(panels["dark_knowledge"].controls["image"].options)
    logits, labels = predict(teacher, garments.batches())
    p = logits.double().softmax(1)
    bits = torch.special.entr(p).sum(1)
    for label, name in enumerate(garments.class_names):
        members = ((logits.argmax(1) == labels) & (labels == label)).nonzero().flatten()
        panels["dark_knowledge"].controls["image"].value = f"ambiguous: {name}"
        shown = panels["dark_knowledge"].view._shown
        assert np.array_equal(shown.image, garments.test_images[members[bits[members].argmax()], 0])
        assert shown.label == label
    assert options[:2] == ["sneaker, nearly ankle boot", "sure: sneaker"]
    assert len(options) == 12


def test_softened_probabilities_are_the_teachers(panels, teacher, garments):
    panel = panels["dark_knowledge"]
    panel.start_again()
    shown = panel.view._shown
    (index,) = (garments.test_images[:, 0].numpy() == shown.image).all((1, 2)).nonzero()[0][:1]
    logits = predict(teacher, [(garments.test_images[index : index + 1], garments.test_labels[index : index + 1])])[0]
    for temperature in (1, 4, 20):
        panel.controls["temperature"].value = temperature
        expected = (logits[0].double() / temperature).softmax(0).numpy()
        assert panel.view._shown.probabilities == pytest.approx(expected, abs=1e-5)


def test_the_scenes_of_dark_knowledge_are_true(teacher):
    garments = data.load_dataset("fashion14")
    panel = explorers.dark_knowledge(teacher, garments, ("sneaker", "ankle boot"))
    sneaker, boot = (garments.class_names.index(name) for name in ("sneaker", "ankle boot"))
    near, softened, sure, ranked, flat = (panel_after(panel, scene) for scene in panel.scenes)
    assert near[sneaker] + near[boot] > 0.99
    assert near[boot] > 0.4
    assert sorted(np.argsort(-softened)[:2]) == [sneaker, boot]
    assert 0.01 < np.sort(softened)[0] < np.sort(softened)[-3] < 0.05
    assert sure[sneaker] > 0.9999
    assert np.argsort(-ranked)[:2].tolist() == [sneaker, boot]
    assert ranked.min() > 0.03
    assert flat.max() < 0.16
    assert np.argsort(flat).tolist() == np.argsort(near).tolist()


def panel_after(panel, scene) -> np.ndarray:
    panel.play(scene.name)
    return panel.view._shown.probabilities


# --- the loss ---------------------------------------------------------------------------------------


def norms(panel) -> dict[str, tuple[float, float]]:
    """Lengths of both gradients, labels and teacher, by scene."""
    found = {}
    for scene in panel.scenes:
        panel.play(scene.name)
        found[scene.name] = panel.view._choice.norms
    return found


def test_t_squared_gives_the_teacher_its_pull_back(panels):
    panel = panels["distillation_loss"]
    by_scene = norms(panel)
    hard, without = by_scene["T 8 without T²"]
    with_factor, at_1 = by_scene["T 8 with T²"][1], by_scene["T 1"][1]
    assert with_factor == pytest.approx(64 * without)
    assert without < hard / 5
    assert with_factor > 5 * hard
    assert 0.5 < at_1 / with_factor < 2
    assert by_scene["labels only"][1] == 0


def test_the_bars_of_the_loss_fit_their_axes_at_every_setting(panels):
    panel = panels["distillation_loss"]
    for alpha in (0.0, 0.5, 1.0):
        panel.controls["alpha"].value = alpha
        for temperature in settings_of(panel.controls["temperature"]):
            panel.controls["temperature"].value = temperature
            for rows in (panel.view._terms, panel.view._norms):
                for _, bar, words in rows:
                    assert bar.get_width() <= bar.axes.get_xlim()[1]
                    assert float(words.get_text().split(": ")[1]) == pytest.approx(bar.get_width(), abs=5e-5)


# --- the digit nobody showed ------------------------------------------------------------------------


def unseen(panel):
    return panel.view._shown


def test_recall_is_that_of_the_shipped_answers_with_the_bias(panels, digits):
    panel = panels["unseen_digit"]
    panel.start_again()
    panel.controls["temperature"].value, panel.controls["bias"].value = "T = 8", 2.5
    logits, labels = search.load_arrays("unseen_digit")["T = 8"].astype(np.float32), digits.test_labels.numpy()
    logits[:, 3] += 2.5
    right = logits.argmax(1) == labels
    now = unseen(panel).now
    assert (now.recall, now.others) == (right[labels == 3].mean(), pytest.approx(right[labels != 3].mean()))
    assert unseen(panel).answers.tolist() == logits[labels == 3][:20].argmax(1).tolist()


def test_the_shipped_answers_are_those_of_the_first_seed_of_the_curves(panels):
    panel = panels["unseen_digit"]
    panel.start_again()
    for temperature in settings_of(panel.controls["temperature"]):
        panel.controls["temperature"].value = temperature
        shown = unseen(panel)
        assert shown.now.recall == pytest.approx(shown.recall.values[0, 0], abs=1e-4)
        assert shown.now.others == pytest.approx(shown.others.values[0, 0], abs=1e-4)


def test_the_gallery_holds_real_threes(panels, digits):
    picture = panels["unseen_digit"].view.figure.axes[0].images[0].get_array()
    threes = digits.test_images[digits.test_labels == 3, 0].numpy()
    assert np.asarray(picture[:28, 1:29]) == pytest.approx(threes[0])
    assert np.asarray(picture[3 * 38 : 3 * 38 + 28, 4 * 30 + 1 : 4 * 30 + 29]) == pytest.approx(threes[19])


def test_the_scenes_of_the_unseen_digit_are_true(panels):
    panel = panels["unseen_digit"]
    known = []
    for scene in panel.scenes:
        panel.play(scene.name)
        known.append((unseen(panel).now.recall, unseen(panel).now.others))
    few, half, push, much, control = known
    assert few[0] < 0.1
    assert 0.4 < half[0] < 0.6
    assert push[0] > 0.8
    assert push[1] > half[1] - 0.02
    assert much[0] > 0.95
    assert much[1] < 0.8
    assert control[0] == 0


def test_without_the_teacher_no_bias_finds_the_digit(panels):
    panel = panels["unseen_digit"]
    panel.play("control")
    for bias in (0.0, 5.0, 10.0):
        panel.controls["bias"].value = bias
        assert unseen(panel).now.recall == 0


# --- few labels -------------------------------------------------------------------------------------


def by_way(panel) -> list[float]:
    choice = panel.view._choice
    return [curve.mean[choice.place] for curve in choice.curves]


def test_the_scenes_of_few_labels_are_true(panels):
    panel = panels["few_labels"]
    panel.play("50 labels")
    alone, same, all_images = by_way(panel)
    assert same - alone == pytest.approx(0.10, abs=0.01)
    assert all_images - alone == pytest.approx(0.30, abs=0.01)
    panel.play("200 labels")
    assert by_way(panel)[0] < all_images
    panel.play("all labels")
    alone, same, everything = by_way(panel)
    assert same == pytest.approx(everything, abs=0.005)
    assert same - alone == pytest.approx(0.02, abs=0.003)


def test_the_page_says_openly_what_the_teacher_had_seen(panels):
    panel = panels["few_labels"]
    assert "the teacher saw 1,000 labels" in panel.text
    assert "saw 1,000 labels" in " ".join(each.get_text() for each in panel.view.figure.axes[0].texts)


# --- students ---------------------------------------------------------------------------------------


def test_the_grid_is_paired_with_the_same_seeds_of_labels_only(panels):
    grid = panels["students"].view._grid
    curves = {(c.family, c.label): c for c in search.load_curves("student_grid")}
    alone = curves["lab_cnn, labels only", "fashion14"].values[:, 0]
    taught = curves["alpha 0.9", "fashion14"]
    row, column = grid.alphas.tolist().index(0.9), grid.temperatures.tolist().index(4)
    gains = taught.values[:, column] - alone[: len(taught.values)]
    assert grid.gains[row, column] == pytest.approx(gains.mean())
    interval = metrics.mean_interval(gains)
    assert bool(grid.undecided[row, column]) == (interval.low <= 0 <= interval.high)


def test_the_scenes_of_the_grid_are_true(panels):
    panel = panels["students"]
    said = {}
    for scene in panel.scenes:
        panel.play(scene.name)
        said[scene.name] = panel.view.readout
    grid = panel.view._grid
    assert "not to be told from labels only" in said["the usual choice"]
    assert "gain -1.2 points" in said["very soft"]
    assert "a clear difference" in said["very soft"]
    assert "gain +0.2 points" in said["one of thirty"]
    assert grid.gains.size == 30
    assert (grid.low > 0).sum() == 1


def test_a_student_trained_now_is_the_one_that_the_controls_name(panels, teacher, garments):
    panel = panels["students"]
    panel.start_again()
    panel.act()
    first = panel.view._mine
    assert first.n_images == 1000
    panel.controls["temperature"].value = panel.controls["temperature"].options[0][1]
    assert panel.view._mine is None
    panel.act()
    assert not np.array_equal(panel.view._mine.predictions, first.predictions)
    panel.start_again()
    panel.act()
    assert np.array_equal(panel.view._mine.predictions, first.predictions)


def test_training_stops_when_asked(panels):
    panel = panels["students"]
    panel.start_again()
    panel._stop.set()
    try:
        panel.act()
    finally:
        panel._stop.clear()
    assert panel.view._mine is None
    assert "stopped" in panel._status.value


def test_training_leaves_the_teacher_as_it_was(panels, teacher):
    before = distill.fingerprint(teacher)
    panels["students"].act()
    assert distill.fingerprint(teacher) == before
