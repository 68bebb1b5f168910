"""Panels of chapter 4 on whole networks: what is on the screen was measured, and the scenes say what is true."""

import time

import numpy as np
import pytest
import torch

from labcore import binarize, data, metrics, models, search
from labcore.binarize import BinaryConfig
from labcore.tasks import TASKS, load_task
from labcore.widgets import explorers
from panel_checks import move_every_control, play_every_scene

PANELS = ("task_ladder", "partial_binary", "k_maps")


@pytest.fixture(scope="module")
def garments():
    return data.load_dataset("fashion14")


@pytest.fixture(scope="module")
def signed():
    model = binarize.apply_binary(models.make_blocks(), BinaryConfig(activations="binary"))
    return models.load_blocks_(model, "all")


@pytest.fixture(scope="module")
def panels(signed, garments):
    return {
        "task_ladder": explorers.task_ladder(),
        "partial_binary": explorers.partial_binary(),
        "k_maps": explorers.k_maps(signed, garments),
    }


@pytest.mark.case("C-dropdown")
@pytest.mark.parametrize("name", PANELS)
def test_every_control_works_at_every_option_and_both_ends(panels, name):
    move_every_control(panels[name])


@pytest.mark.parametrize("name", PANELS)
def test_every_scene_has_a_line_and_its_own_words(panels, name):
    play_every_scene(panels[name])


@pytest.mark.parametrize("name", PANELS)
def test_results_are_at_hand_when_a_control_moves(panels, name):
    panel = panels[name]
    panel.start_again()
    started = time.process_time()
    for _ in range(10):
        panel._compute(**panel.values)
    assert time.process_time() - started < 10 * 0.1


# --- the ladder of tasks ----------------------------------------------------------------------------


def gaps(panel) -> dict[str, np.ndarray]:
    return panel.view._choice.gaps


def test_the_ladder_shows_images_of_the_task_with_their_classes(panels):
    panel = panels["task_ladder"]
    for task in TASKS:
        panel.controls["difficulty"].value = task.difficulty
        shown, source = panel.view._choice, load_task(task.difficulty)
        assert shown.tasks[shown.place] == task.name
        for image, caption in zip(shown.images, shown.captions, strict=True):
            channels = image.reshape(14, -1, 16)[:, :, 1:15].swapaxes(0, 1)
            (place,) = (source.test_images.numpy() == channels).all((1, 2, 3)).nonzero()
            assert caption in {source.class_names[source.test_labels[i]] for i in place}
    panel.start_again()


def test_the_scenes_of_the_ladder_are_true(panels):
    panel = panels["task_ladder"]
    panel.start_again()
    weights, everything = (gaps(panel)[level] for level in ("binary weights", "all binary"))
    assert everything[0] == pytest.approx(0.005, abs=0.0015)
    assert weights[2] < 0.01
    assert everything[2] == pytest.approx(0.03, abs=0.003)
    assert everything[4] > 2 * everything[:4].max()
    assert weights[4] / everything[4] == pytest.approx(1 / 3, abs=0.05)
    places = []
    for scene in panel.scenes:
        panel.play(scene.name)
        places.append((panel.view._choice.place, panel.view._choice.level))
    assert places == [(0, "all binary"), (2, "all binary"), (4, "all binary"), (4, "binary weights")]


# --- which layers are binary ------------------------------------------------------------------------


def lost(shown) -> float:
    return shown.real.mean() - shown.accuracies.mean()


def test_all_sixteen_choices_show_their_own_curve(panels):
    panel, curves = panels["partial_binary"], {c.family: c for c in search.load_curves("partial_binary")}
    assert len(curves) == 16
    for family, curve in curves.items():
        for name, control in panel.controls.items():
            control.value = name in family.split(" + ")
        assert panel.view._shown.accuracies.tolist() == curve.values[:, 0].tolist()
        assert panel.view._shown.binary == (() if family == "none" else tuple(family.split(" + ")))
    panel.start_again()
    assert panel.view._shown.binary == ("conv2", "conv3")


def test_costs_are_those_of_the_network_of_the_task(panels):
    model = models.make_blocks(in_channels=2, n_classes=100)
    panels["partial_binary"].start_again()
    shown = panels["partial_binary"].view._shown
    assert shown.real_macs + shown.binary_macs == metrics.count_macs(model, torch.zeros(1, 2, 14, 14))
    assert shown.real_bytes == metrics.measure_sizes(model).file_bytes


def test_the_scenes_of_partial_networks_are_true(panels):
    panel, seen = panels["partial_binary"], {}
    for scene in panel.scenes:
        panel.play(scene.name)
        seen[scene.name] = panel.view._shown
    middle, first, last, everything = seen.values()
    share = middle.binary_macs / (middle.binary_macs + middle.real_macs)
    assert 0.75 < share < 0.8
    fc = models.make_blocks(in_channels=2, n_classes=100).fc
    assert 4 * fc.weight.numel() > middle.file_bytes / 2
    assert middle.file_bytes - first.file_bytes < 0.01 * middle.real_bytes
    assert first.real_macs == middle.real_macs
    assert 0.04 < lost(first) - lost(middle) < 0.05
    assert last.file_bytes / middle.file_bytes == pytest.approx(0.1, abs=0.01)
    assert lost(last) - lost(middle) == pytest.approx(0.08, abs=0.005)
    assert everything.file_bytes == min(each.file_bytes for each in seen.values())
    assert lost(everything) == pytest.approx(0.2, abs=0.005)
    assert lost(everything) < 0.2


# --- sizes of inputs --------------------------------------------------------------------------------


def test_the_first_image_of_each_class_can_be_shown(panels, garments):
    for name, index in panels["k_maps"].controls["image"].options:
        label = garments.class_names.index(name)
        assert index == garments.test_labels.tolist().index(label)


def test_what_is_shown_are_outputs_of_the_network_itself(panels, signed, garments):
    panel = panels["k_maps"]
    panel.start_again()
    panel.controls["channel"].value = 5
    given = []
    handle = signed.conv2.register_forward_hook(lambda _, args, output: given.append(output.detach()))
    index = panel.controls["image"].value
    signed(garments.test_images[index : index + 1])
    handle.remove()
    assert panel.view._shown.signs == pytest.approx(given[0][0, 5].numpy(), abs=1e-4)
    assert panel.view._shown.image == pytest.approx(garments.test_images[index, 0].numpy())


def test_the_scenes_of_sizes_are_true(panels):
    panel, seen = panels["k_maps"], {}
    for scene in panel.scenes:
        panel.play(scene.name)
        seen[scene.name] = panel.view._shown
    small, large, factors, conv3 = seen.values()
    assert small.sizes.max() < 1
    assert best_factor(panel, "small inputs") > 1
    assert small.errors[1] > small.errors[0]
    assert large.sizes.max() > 1
    assert 0 < large.errors[0] - large.errors[1] < 0.05
    assert 0.03 <= factors.fitted_errors[0] - factors.fitted_errors[1] <= 0.04
    assert conv3.sizes.size == 9
    assert conv3.sizes[1, 1] > conv3.sizes[[0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]].max()
    assert conv3.errors[1] > conv3.errors[0]
    assert conv3.fitted_errors[1] > conv3.fitted_errors[0]


def best_factor(panel, scene: str) -> float:
    """By which all channels of the signs' convolution would have to grow."""
    panel.play(scene)
    real, signs = [], []
    for channel in range(panel.controls["channel"].max + 1):
        panel.controls["channel"].value = channel
        real.append(panel.view._shown.real)
        signs.append(panel.view._shown.signs)
    real, signs = np.array(real), np.array(signs)
    return float((real * signs).sum() / (signs**2).sum())
