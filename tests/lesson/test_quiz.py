"""Questions are readable without a kernel, answerable by keyboard, and never lose an exception."""

import html
import re

import ipywidgets as widgets
import pytest

from labcore.lesson import progress, quiz
from labcore.lesson.predictions import PREDICTIONS, SELF_TEST

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
ASK = {"prediction": lambda: quiz.ask_prediction("0.half_width"), "floor": quiz.ask_floor, "self-test": quiz.self_test}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))


def controls(widget: widgets.Widget) -> list[widgets.Widget]:
    """Everything in a box that a learner can set or press."""
    children = getattr(widget, "children", ())
    own = [widget] if isinstance(widget, widgets.Button | widgets.ValueWidget) else []
    return own + [found for child in children for found in controls(child)]


# --- what every quiz keeps to ---


@pytest.mark.case("C-dead-widget")
@pytest.mark.parametrize("name", ASK)
def test_the_bundle_holds_the_question_without_a_kernel(name):
    data, metadata = ASK[name]()._repr_mimebundle_()
    assert set(data) == {WIDGET_VIEW, "text/plain", "text/html"}
    assert metadata["labcore.panel"].startswith(name)
    assert "?" in data["text/plain"]
    assert all(html.escape(line) in data["text/html"] for line in data["text/plain"].splitlines())


@pytest.mark.parametrize("name", ASK)
def test_what_is_stored_is_the_same_for_every_learner(name):
    before, _ = ASK[name]()._repr_mimebundle_()
    progress.record("floor", "fraction", 0.03)
    progress.record("predictions", "0.half_width", {"ranges": {}, "why": "free"})
    after, _ = ASK[name]()._repr_mimebundle_()
    assert {key: before[key] for key in ("text/plain", "text/html")} == {
        key: after[key] for key in ("text/plain", "text/html")
    }


@pytest.mark.parametrize("name", ASK)
def test_every_control_has_a_name_and_no_two_on_the_screen_share_one(name):
    shown = [control for control in controls(ASK[name]().widget) if not isinstance(control, widgets.HTML)]
    names = [control.description for control in shown]
    assert all(names)
    assert len(set(names)) == len(names)


@pytest.mark.case("C-swallowed")
@pytest.mark.parametrize(
    ("ask", "act"),
    [
        (ASK["prediction"], lambda it: it.commit.click()),
        (ASK["floor"], lambda it: setattr(it.slider, "value", 2.0)),
    ],
    ids=["button", "slider"],
)
def test_a_broken_callback_shows_in_the_status_line_and_raises_in_strict_mode(monkeypatch, ask, act):
    def broken(*args):
        raise RuntimeError("the disk <melted>")

    monkeypatch.setattr(progress, "record", broken)
    it = ask()
    with pytest.raises(RuntimeError, match="melted"):
        act(it)
    monkeypatch.delenv("LABCORE_STRICT")
    it = ask()
    act(it)
    assert "RuntimeError: the disk &lt;melted&gt;" in it.status.value


def test_a_click_from_the_page_reaches_the_action():
    it = ASK["prediction"]()
    it.commit._handle_button_msg(None, {"event": "click"}, [])
    assert "0.half_width" in progress.load_progress()["predictions"]


# --- predictions ---


def test_a_committed_prediction_is_kept_as_it_will_be_measured():
    it = quiz.ask_prediction("0.half_width")
    for key, values in (("parameters", (2, 3, 4)), ("accuracy", (-10, -2.5, 0))):
        for field, value in zip(it.fields[key], values, strict=True):
            field.value = value
    it.why.value = "in_step"
    it.commit.click()
    assert progress.load_progress()["predictions"]["0.half_width"] == {
        "ranges": {"parameters": [2, 3, 4], "accuracy": pytest.approx([-0.1, -0.025, 0])},
        "why": "in_step",
    }
    assert "kept" in it.status.value


def test_a_range_in_the_wrong_order_is_not_kept_and_says_why():
    it = quiz.ask_prediction("0.half_width")
    it.fields["parameters"][0].value = 5
    it.commit.click()
    assert "times fewer parameters needs low &lt;= best &lt;= high" in it.status.value
    assert progress.load_progress()["predictions"] == {}


def test_a_reason_is_optional_and_none_is_chosen_at_first():
    it = quiz.ask_prediction("0.half_width")
    assert it.why.value is None
    it.commit.click()
    assert progress.load_progress()["predictions"]["0.half_width"]["why"] is None


def test_the_fields_start_at_no_change_and_keep_to_their_limits():
    it = quiz.ask_prediction("0.half_width")
    assert [[field.value for field in fields] for fields in it.fields.values()] == [[1, 1, 1], [0, 0, 0]]
    it.fields["accuracy"][2].value = 900
    assert it.fields["accuracy"][2].value == 100


@pytest.mark.parametrize("id", PREDICTIONS)
def test_the_words_ask_for_a_range_and_give_four_reasons_but_no_reply(id):
    text = quiz.ask_prediction(id).text
    assert "80 % sure" in text
    assert len({reason.key for reason in PREDICTIONS[id].reasons}) == 4
    for reason in PREDICTIONS[id].reasons:
        assert f"- {reason.words}" in text
        assert reason.reply not in text


@pytest.mark.parametrize("id", PREDICTIONS)
def test_every_quantity_starts_within_its_limits_under_a_name_of_its_own(id):
    quantities = PREDICTIONS[id].quantities
    assert all(each.smallest <= each.unchanged <= each.largest for each in quantities)
    assert len({each.key for each in quantities}) == len({each.label for each in quantities}) == len(quantities)


@pytest.mark.parametrize(
    ("id", "kept"),
    [
        ("1.order_by_harm", {"smallest": [-0.1] * 3, "random": [-0.1] * 3, "largest": [-0.1] * 3}),
        ("1.forgotten_mask", {"zeros": [0.4] * 3}),
    ],
)
def test_predictions_about_pruning_are_kept_as_fractions(id, kept):
    it = quiz.ask_prediction(id)
    for field in (field for fields in it.fields.values() for field in fields):
        field.value = 40 if "percent" in field.description else -10
    it.commit.click()
    ranges = progress.load_progress()["predictions"][id]["ranges"]
    assert ranges == {key: pytest.approx(values) for key, values in kept.items()}


@pytest.mark.parametrize(
    ("id", "value", "kept"),
    [
        ("2.cut_largest", 15, {"accuracy": [0.15] * 3}),
        ("3.digit_nobody_showed", 60, {"temperature_1": [0.6] * 3, "temperature_20": [0.6] * 3}),
        ("4.no_alpha", 5, {"with_batch_norm": [0.05] * 3, "without_batch_norm": [0.05] * 3}),
        ("4.task_ladder", 5, {"easiest": [0.05] * 3, "hardest": [0.05] * 3}),
        ("4.file_and_clock", 20, {"file": [20] * 3, "clock": [20] * 3}),
    ],
)
def test_points_percent_and_images_of_100_are_kept_as_fractions_and_ratios_as_they_are(id, value, kept):
    it = quiz.ask_prediction(id)
    for field in (field for fields in it.fields.values() for field in reversed(fields)):
        field.value = value
    it.commit.click()
    ranges = progress.load_progress()["predictions"][id]["ranges"]
    assert ranges == {key: pytest.approx(values) for key, values in kept.items()}


def test_images_of_100_are_shown_as_they_were_asked():
    one, twenty = PREDICTIONS["3.digit_nobody_showed"].quantities
    assert (one.shown(0.113), twenty.shown(0.62)) == ("11 of 100", "62 of 100")


@pytest.mark.parametrize("id", PREDICTIONS)
def test_labels_are_short_as_they_stand_in_front_of_every_field(id):
    assert all(len(quantity.label) <= 24 for quantity in PREDICTIONS[id].quantities)


@pytest.mark.parametrize("id", [id for id in PREDICTIONS if id[0] in "1234"])
def test_replies_hold_no_measured_number(id):
    # Only the claims of the chapter may say what was measured.
    assert not any(re.search(r"\d+(\.\d+)? ?(%|points)", reason.reply) for reason in PREDICTIONS[id].reasons)


def test_an_unknown_prediction_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown prediction 'width'; choose one of: 0\.half_width"):
        quiz.ask_prediction("width")


# --- the floor ---


def test_the_floor_slider_writes_the_fraction_and_comes_back():
    it = quiz.ask_floor()
    assert it.slider.value == 1.0
    it.slider.value = 2.3
    assert progress.floor() == pytest.approx(0.023)
    assert "2.3 points" in it.status.value
    assert quiz.ask_floor().slider.value == pytest.approx(2.3)


@pytest.mark.parametrize(("asked", "kept"), [(0.0, 0.001), (99.0, 0.05)])
def test_the_floor_keeps_to_its_limits(asked, kept):
    quiz.ask_floor().slider.value = asked
    assert progress.floor() == pytest.approx(kept)


# --- the self-test ---


def test_a_right_answer_says_so():
    it = quiz.self_test()
    it.answers[0].value = SELF_TEST[0].right
    assert "Right." in it.feedback[0].value
    assert "1 of 8 answered, 1 right." in it.status.value


@pytest.mark.parametrize("i", range(8))
def test_a_miss_gives_one_sentence_and_a_link_but_not_the_answer(i):
    it, question = quiz.self_test(), SELF_TEST[i]
    it.answers[i].value = (question.right + 1) % len(question.choices)
    assert "Not this one." in it.feedback[i].value
    assert f'href="{question.link}"' in it.feedback[i].value
    assert "Right." not in it.feedback[i].value
    assert "1 of 8 answered, 0 right." in it.status.value
    it.answers[i].value = question.right
    assert "1 of 8 answered, 1 right." in it.status.value


def test_one_question_stands_on_the_stage_at_a_time():
    it = quiz.self_test()
    places = []
    for _ in range(9):
        places.append((it.answers.index(it.stage.children[1]), it.back.disabled, it.forward.disabled))
        it.forward.click()
    assert places == [(0, True, False), *((i, False, False) for i in range(1, 7)), *[(7, False, True)] * 2]
    it.back.click()
    assert it.stage.children[1] is it.answers[6]


def test_eight_questions_with_three_or_four_choices_and_public_links():
    assert len(SELF_TEST) == 8
    for question in SELF_TEST:
        assert len(question.choices) in (3, 4)
        assert 0 <= question.right < len(question.choices)
        assert re.match(r"https://(d2l\.ai|docs\.python\.org|numpy\.org)/", question.link)
    assert len({question.right for question in SELF_TEST}) == 3


def test_without_a_kernel_the_answers_are_folded_below_the_questions():
    questions, answers = quiz.self_test().html.split("<details")
    assert all(choice in questions for choice in SELF_TEST[3].choices)
    assert SELF_TEST[3].advice in answers
    assert SELF_TEST[3].advice not in questions
