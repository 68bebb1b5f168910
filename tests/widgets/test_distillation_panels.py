"""The panels of chapter 3: what is on the screen was measured, and the scenes say what is true."""

import numpy as np
import pytest
import torch

from labcore import data, distill, metrics, models, search
from labcore.training import predict
from labcore.widgets import explorers


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


def settings_of(control) -> list:
    """Every option; of a slider without options both ends."""
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    return [False, True] if isinstance(control.value, bool) else [control.min, control.max]


@pytest.mark.case("C-dropdown")
@pytest.mark.parametrize("name", PANELS)
def test_every_control_works_at_every_option_and_both_ends(panels, name):
    panel = panels[name]
    for control in panel.controls.values():
        panel.start_again()
        for value in settings_of(control):
            control.value = value
            assert control.value == value
            assert panel.view.png()
            assert panel.text
    panel.start_again()


@pytest.mark.parametrize("name", PANELS)
def test_every_scene_has_a_line_and_its_own_words(panels, name):
    panel, words = panels[name], []
    assert 3 <= len(panel.scenes) <= 5
    for scene in panel.scenes:
        if scene.act:
            continue
        panel.play(scene.name)
        assert scene.see
        words.append((panel.text, scene.name))
    assert len({text for text, _ in words}) >= len(words) - 1


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
