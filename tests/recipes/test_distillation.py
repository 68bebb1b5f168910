"""The shipped sweeps of the distillation chapter: their shape, and sampled entries computed again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from labcore import distill, runtime
from labcore.data import Batches
from labcore.metrics import measure_costs
from labcore.models import load_model, make_mlp, make_model
from labcore.recipes import distillation_chains, distillation_digits, distillation_grid
from labcore.recipes.distillation import ALPHA, STUDENT_CONFIG, Jittered, digits, train_teacher
from labcore.results import BillItem
from labcore.search import load_arrays, load_curves, load_sweep
from labcore.training import evaluate

CURVES = (
    "temperature", "slow_students", "few_labels", "unseen_digit", "new_classes", "student_grid", "chains", "assistants",
)  # fmt: skip

# One seed on another processor; the test images are 4,000 or 5,000.
POINTS = 0.015


def curve(name, family, label):
    return next(each for each in load_curves(name) if (each.family, each.label) == (family, label))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What the teacher of seed 0 answers on the 1,000 training digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABCORE_HOME", str(tmp_path_factory.mktemp("home")))
        return distill.cache_teacher(train_teacher(0), digits().batches(split="train"))


# --- shape ------------------------------------------------------------------------------------------


@pytest.mark.case("C-noise")
@pytest.mark.parametrize("name", CURVES)
def test_curves_hold_every_seed_at_every_point(name):
    curves = load_curves(name)
    assert len({(each.family, each.label) for each in curves}) == len(curves) >= 2
    facts = runtime.read_manifest()[f"{name}.json"]
    assert facts["seeds"] >= 3
    for each in curves:
        seeds = facts["seeds_of_default"] if each.settings.get("alpha") == 0 else facts["seeds"]
        assert each.values.shape == (seeds, len(each.x))
        assert ((each.values >= 0) & (each.values <= 1)).all()
    assert len(runtime.read_shipped(f"{name}.json")) < 40_000


def test_the_grid_has_thirty_cells_and_its_default_cell_is_the_point_of_the_chart():
    cells = [each for each in load_curves("student_grid") if each.label == "fashion14" and each.settings["alpha"] > 0]
    assert [each.settings["alpha"] for each in cells] == list(distillation_grid.ALPHAS)
    assert all(each.x.tolist() == list(distillation_grid.TEMPERATURES) for each in cells)
    assert len(cells) * len(cells[0].x) >= 30
    distilled = next(p for p in load_sweep("students") if p.label == "lab_cnn, distilled, fashion14")
    assert curve("student_grid", "alpha 0.9", "fashion14").values[:, 3].tolist() == distilled.accuracies[:3].tolist()


def test_the_student_is_more_than_ten_times_smaller():
    points = {each.label: each for each in load_sweep("students")}
    teacher, student = (points[f"{name}, fashion14"] for name in ("lab_resnet, the teacher", "lab_cnn, labels only"))
    assert teacher.n_params > 10 * student.n_params
    assert teacher.macs > 10 * student.macs
    model = make_model("lab_cnn", width=distillation_grid.STUDENT_WIDTH)
    costs = measure_costs(model, torch.rand(1, 1, 14, 14))
    for name in ("labels only", "distilled"):
        point = points[f"lab_cnn, {name}, fashion14"]
        assert (point.n_params, point.macs) == (costs.n_params, costs.macs)
        assert len(point.accuracies) >= 5
    assert teacher.accuracies[0] == pytest.approx(0.884, abs=0.002)


def test_the_teachers_answers_are_those_of_the_digits():
    arrays = load_arrays("digits_teacher")
    assert {name: (a.dtype, a.shape) for name, a in arrays.items()} == {
        "train_logits": (np.float16, (1000, 10)), "test_logits": (np.float16, (4000, 10))
    }  # fmt: skip
    right = arrays["test_logits"].argmax(1) == digits().test_labels.numpy()
    stored = curve("temperature", "teacher, 2 x 600 units", "labels only").values[0, 0]
    assert right.mean() == pytest.approx(stored, abs=0.001)
    assert (arrays["train_logits"].argmax(1) == digits().train_labels.numpy()).mean() > 0.98


def test_a_slow_student_is_the_stored_one(outputs):
    stored = curve("slow_students", "T = 20", "a tenth of the learning rate")
    assert stored.x.tolist() == [60, 240]
    assert distillation_digits.run_slowly(outputs, 20, 60, seed=0) == pytest.approx(stored.values[0, 0], abs=POINTS)


def test_a_student_can_be_taught_by_the_shipped_answers():
    logits = torch.from_numpy(load_arrays("digits_teacher")["train_logits"]).float()
    known = distill.match_outputs(logits, digits().train_images, BillItem("teacher: answers", 1000, 0.0, 0, 0))
    config = replace(STUDENT_CONFIG, epochs=6)
    batches = digits().batches(50, split="train", seed=0)
    student = distill.distill(make_mlp(20), known, batches, config, temperature=2, alpha=0.9)
    assert evaluate(student.model, digits().batches()).accuracy > 0.8


def test_the_logits_of_the_unseen_digit_are_those_of_its_curves():
    arrays = load_arrays("unseen_digit")
    labels = digits().test_labels
    for family, logits in arrays.items():
        assert (logits.dtype, logits.shape) == (np.float16, (4000, 10))
        for bias, column in ((0.0, 0), (4.0, 8)):
            measured = distill.measure_bias(torch.from_numpy(logits).float(), labels, 3, bias)
            for label, share in (("the missing digit", measured.recall), ("all other digits", measured.others)):
                assert curve("unseen_digit", family, label).values[0, column] == pytest.approx(share, abs=1e-4)
    assert list(arrays) == ["T = 1", "T = 2", "T = 4", "T = 8", "T = 20", "labels only"]


def test_labels_alone_know_no_temperature():
    at_4, at_2 = (curve(name, "labels only", "assistant").values for name in ("chains", "assistants"))
    assert at_4.tolist() == at_2.tolist()


def test_the_student_of_one_teacher_is_the_first_generation():
    generations, student = curve("chains", "generations", "generations"), curve("chains", "their student", "ensemble")
    alone = curve("chains", "the teachers together", "ensemble")
    assert generations.values[:, 0] == pytest.approx(alone.values[:, 0], abs=0.001)
    # One is taught by cached answers, the other by the network itself.
    assert generations.values[:, 1] == pytest.approx(student.values[:, 0], abs=0.003)


# --- sampled entries, seed 0 ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.case("C-nonsense")
@pytest.mark.parametrize("width", [20, 10])
def test_temperature_again(outputs, width):
    again = distillation_digits.run_temperature(outputs, width, seed=0, temperatures=(20,))
    family = f"student, 2 x {width} units"
    stored = [curve("temperature", family, label).values[0, -1] for label in ("labels only", "distilled")]
    assert again == pytest.approx(stored, abs=0.02)


@pytest.mark.slow
def test_an_ensemble_and_its_student_again(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))
    again = distillation_chains.run_ensembles(distillation_chains.train_peers(0, 2), seed=0, counts=(2,))
    for family, (value,) in zip(("the teachers together", "their student"), again, strict=True):
        assert value == pytest.approx(curve("chains", family, "ensemble").values[0, 1], abs=POINTS), family


@pytest.mark.slow
def test_a_generation_again():
    (first,) = distillation_chains.train_peers(0, 1)
    again = distillation_chains.run_generations(first, seed=0, n=1)
    assert again == pytest.approx(curve("chains", "generations", "generations").values[0, :2].tolist(), abs=POINTS)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "temperature"), [("chains", 4), ("assistants", 2)])
def test_an_assistant_again(outputs, name, temperature):
    again = distillation_chains.run_assistants(outputs, temperature, seed=0, widths=(300,))
    families = ("labels only", "straight from the teacher", "through an assistant")
    for family, values in zip(families, again, strict=True):
        assert values == pytest.approx([curve(name, family, "assistant").values[0, -1]], abs=0.02), family


@pytest.mark.slow
def test_few_labels_again(outputs):
    again = distillation_digits.run_few_labels(outputs, 50, seed=0)
    stored = [curve("few_labels", way, "student, 2 x 300 units").values[0, 0] for way in distillation_digits.WAYS]
    assert again == pytest.approx(stored, abs=0.02)


@pytest.mark.slow
def test_the_unseen_digit_again(outputs):
    for family, temperature, alpha in (("T = 8", 8, ALPHA), ("labels only", 1, 0)):
        logits = distillation_digits.run_unseen_digit(outputs, seed=0, temperature=temperature, alpha=alpha)
        measured = distill.measure_bias(logits.float(), digits().test_labels, 3, 2.0)
        labels = ("the missing digit", "all other digits")
        stored = [curve("unseen_digit", family, label).values[0, 4] for label in labels]
        assert [measured.recall, measured.others] == pytest.approx(stored, abs=0.05), family


@pytest.mark.slow
def test_new_classes_again(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))
    eight = distill.cache_teacher(train_teacher(0, n_classes=8), digits().batches(split="train"))
    again = distillation_digits.run_new_classes(eight, 20, seed=0)
    for way, values in zip(distillation_digits.HELPS, again, strict=True):
        stored = [curve("new_classes", way, part).values[0, 1] for part in distillation_digits.PARTS]
        # 788 test images are of the new digits.
        assert values == pytest.approx(stored, abs=0.04), way


@pytest.mark.slow
def test_a_cell_of_the_grid_again(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))
    again = distillation_grid.run_student(distillation_grid.outputs_of_teacher(), 0.9, 4, seed=0)
    stored = [curve("student_grid", "alpha 0.9", name).values[0, 3] for name in distillation_grid.SETS]
    assert again == pytest.approx(stored, abs=POINTS)


# --- pieces -----------------------------------------------------------------------------------------


def test_jittered_images_are_moved_whole_and_repeat():
    images = torch.zeros(64, 2, 28, 28)
    images[:, 0, 10, 14], images[:, 1, 11, 14] = 1, 2
    with runtime.fork_rng(0):
        ((moved, labels),) = Jittered(Batches((images, torch.arange(64)), 64))
    with runtime.fork_rng(0):
        ((again, _),) = Jittered(Batches((images, torch.arange(64)), 64))
    assert torch.equal(moved, again)
    assert labels.tolist() == list(range(64))
    places = {tuple(image[0].nonzero()[0].tolist()) for image in moved}
    assert {row for row, _ in places} == {8, 9, 10, 11, 12}
    assert {column for _, column in places} == {12, 13, 14, 15, 16}
    assert len(places) > 15
    for image in moved:
        row, column = image[0].nonzero()[0].tolist()
        assert image[1, row + 1, column] == 2
        assert image.sum() == 3


def test_samples_without_label_have_soft_targets_only():
    student, teacher = torch.randn(6, 4), torch.randn(6, 4)
    labels = torch.tensor([1, -1, 2, -1, -1, 0])
    value = distillation_digits.partly_labelled(student, teacher, labels, alpha=0.9)
    each = [
        distill.distillation_loss(
            s[None], t[None], None if y < 0 else y[None], temperature=4, alpha=1 if y < 0 else 0.9
        ).item()
        for s, t, y in zip(student, teacher, labels, strict=True)
    ]
    assert value.item() == pytest.approx(np.mean(each), rel=1e-5)
    for labels in (torch.full((6,), -1), torch.zeros(6, dtype=torch.int64)):
        assert distillation_digits.partly_labelled(student, teacher, labels, alpha=0.9).isfinite()


def test_a_teacher_of_fewer_classes_is_compared_on_those_it_knows():
    student, teacher, labels = torch.randn(6, 10), torch.randn(6, 8), torch.arange(4, 10)
    value = distillation_digits.shared_classes(student, teacher, labels)
    soft = distill.distillation_loss(student[:, :8], teacher, None, temperature=4, alpha=1)
    hard = torch.nn.functional.cross_entropy(student, labels)
    assert value.item() == pytest.approx((0.1 * hard + 0.9 * soft).item(), rel=1e-5)


def test_the_teachers_answers_cover_mirrored_images():
    images = distillation_grid._data().train_images[:2]
    logits = distillation_grid.outputs_of_teacher().logits_of(images.flip(3))
    with torch.no_grad():
        expected = load_model("lab_resnet")(images.flip(3))
    assert logits.numpy() == pytest.approx(expected.numpy(), abs=1e-4)
