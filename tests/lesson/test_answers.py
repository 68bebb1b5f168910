"""An answer stays folded, holds everything without a kernel, and compares with the prediction only for a learner."""

import base64
import re
from dataclasses import dataclass

import pytest

from labcore.lesson import claims
from labcore.lesson.progress import record
from labcore.lesson.quiz import reveal

QUESTION = "0.half_width"
MEASURED = {"parameters": 3.4, "accuracy": -0.016}


@dataclass
class Picture:
    text: str = "width 8: 5,000 parameters\nwidth <16>: 17,018"
    alt: str = 'bars, "5,000" and 17,018'

    def png(self) -> bytes:
        return b"\x89PNG picture"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LABCORE_HOME", str(tmp_path))


def commit(why: str | None = "half_of_all"):
    record("predictions", QUESTION, {"ranges": {"parameters": [1.5, 2, 3], "accuracy": [-0.1, -0.05, 0]}, "why": why})


def test_the_answer_is_folded_and_complete():
    bundle = reveal(Picture())._repr_mimebundle_()
    png = base64.b64encode(b"\x89PNG picture").decode()
    assert bundle["text/plain"] == Picture.text
    assert bundle["image/png"] == png
    page = bundle["text/html"]
    assert re.match(r'<details style="[^"]*"><summary[^>]*>Show the answer</summary><img alt=', page)
    assert page.endswith("</details>")
    assert " open" not in page.split(">")[0]
    assert f'src="data:image/png;base64,{png}"' in page
    assert 'alt="bars, &quot;5,000&quot; and 17,018"' in page
    assert "width 8: 5,000 parameters\nwidth &lt;16&gt;: 17,018" in page


def test_a_card_keeps_its_own_look_and_has_no_picture():
    result = claims.holds("48", 2)
    bundle = reveal(result)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == result.text
    assert result.html in bundle["text/html"]


def test_what_a_build_stores_does_not_depend_on_the_learner():
    before = reveal(Picture(), question=QUESTION, measured=MEASURED)._repr_mimebundle_()
    commit()
    assert reveal(Picture(), question=QUESTION, measured=MEASURED)._repr_mimebundle_() == before
    assert before == reveal(Picture())._repr_mimebundle_()


def test_a_learner_sees_the_prediction_beside_the_measurement(monkeypatch):
    monkeypatch.delenv("LABCORE_STRICT")
    commit()
    answer = reveal(Picture(), question=QUESTION, measured=MEASURED)
    assert answer.comparison == (
        "Your range was 1.50x to 3.00x, best 2.00x. Measured ≈ 3.40x: above your range.",
        "Your range was -10.0 points to 0.0 points, best -5.0 points. Measured ≈ -1.6 points: inside your range.",
        "You chose: Half the width means half of everything. A layer between two hidden layers has half the inputs and "
        "half the outputs, so a quarter of the weights.",
    )
    assert "above your range" in answer.html
    assert answer.text == Picture.text


def test_a_prediction_without_a_reason_is_compared_too(monkeypatch):
    monkeypatch.delenv("LABCORE_STRICT")
    commit(why=None)
    low = reveal(Picture(), question=QUESTION, measured={"parameters": 1.2, "accuracy": 0.01}).comparison
    assert [line.rsplit(": ", 1)[1] for line in low] == ["below your range.", "above your range."]


@pytest.mark.parametrize("kept", [None, {}, {"ranges": {"parameters": [1]}, "why": "free"}, "nonsense", 5])
def test_a_record_that_is_missing_or_foreign_compares_nothing(monkeypatch, kept):
    monkeypatch.delenv("LABCORE_STRICT")
    record("predictions", QUESTION, kept)
    assert reveal(Picture(), question=QUESTION, measured=MEASURED).comparison == ()


@pytest.mark.parametrize("measured", [None, {}, {"parameters": 3.4}, MEASURED | {"time": 1}])
def test_the_question_needs_its_numbers_even_in_a_build(measured):
    with pytest.raises(ValueError, match=r"0\.half_width asks for parameters, accuracy; measured holds"):
        reveal(Picture(), question=QUESTION, measured=measured)


def test_an_unknown_question_or_an_answer_without_text_is_refused():
    with pytest.raises(ValueError, match=r"unknown prediction '0\.x'; choose one of: 0\.half_width"):
        reveal(Picture(), question="0.x", measured=MEASURED)
    with pytest.raises(TypeError, match="needs an answer with a text, got int"):
        reveal(7)
