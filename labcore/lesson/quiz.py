"""Questions to the learner: predictions, the floor, the self-test. Answers go to the learner's own record.

Every quiz is a box of controls that also shows as text and HTML, so that a reader without a kernel sees the question.
No quiz waits for an answer: running all cells never stops at one.
"""

import html
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import ipywidgets as widgets

from labcore import runtime
from labcore.lesson import progress
from labcore.lesson.answers import find_prediction, reveal
from labcore.lesson.cards import STYLE, card, fold, paragraph
from labcore.lesson.predictions import SELF_TEST, Prediction, Quantity, SelfTestQuestion

__all__ = ["FloorQuiz", "PredictionQuiz", "Quiz", "SelfTest", "ask_floor", "ask_prediction", "reveal", "self_test"]

_SURE = "Give a range: be 80 % sure that the measured number lies from low to high."

_WRAP = widgets.Layout(flex_flow="row wrap", align_items="center")


class _Button(widgets.Button):
    """A button that lets exceptions of its action through (`on_click` swallows them)."""

    def __init__(self, description: str, action: Callable[[], None]):
        super().__init__(description=description, layout=widgets.Layout(width="auto", align_self="flex-start"))
        self._action = action

    def click(self) -> None:
        self._action()


class Quiz:
    """Controls under a heading, with a status line.

    Args:
        name: names the quiz in the output's metadata.
        text: the question, deterministic; nothing of the learner's.
        html: the same for readers without a kernel.
        controls: below the heading.
    """

    def __init__(self, name: str, text: str, html: str, controls: list[widgets.Widget]):
        self.name, self.text, self.html = name, text, html
        self.status = widgets.HTML()
        size = widgets.HTML("<style>.labcore-quiz{--jp-widgets-font-size:15px}</style>")
        self.widget = widgets.VBox([size, *controls, self.status], layout=widgets.Layout(max_width="900px"))
        self.widget.add_class("labcore-quiz")

    def say(self, message: str) -> None:
        """Show a message in the status line."""
        self.status.value = f'<div role="status" aria-live="polite" style="{STYLE}">{paragraph(message)}</div>'

    def guard(self, action: Callable[[], None]) -> None:
        """Run; an exception is shown in the status line, and raises in strict mode."""
        try:
            action()
        except Exception as error:
            self.say(f"{type(error).__name__}: {error}")
            if runtime.strict():
                raise

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        data = self.widget._repr_mimebundle_() | {"text/plain": self.text, "text/html": self.html}
        return data, {"labcore.panel": self.name}


def _heading(words: str) -> widgets.HTML:
    return widgets.HTML(f'<div style="{STYLE}">{paragraph(words)}</div>')


# --- predictions ---


class PredictionQuiz(Quiz):
    """Low, best and high for each quantity, a reason, and "I commit"."""

    def __init__(self, prediction: Prediction):
        self.prediction = prediction
        self.fields = {quantity.key: self._make_fields(quantity) for quantity in prediction.quantities}
        options = [(reason.words, reason.key) for reason in prediction.reasons]
        layout = widgets.Layout(width="max-content")
        self.why = widgets.RadioButtons(options=options, value=None, description="Why?", layout=layout)
        self.commit = _Button("I commit", lambda: self.guard(self._keep))
        lines = [
            f"Prediction: {prediction.question}",
            _SURE,
            *(f"{quantity.label}: low, best, high" for quantity in prediction.quantities),
            "Why? Choose one:",
            *(f"- {reason.words}" for reason in prediction.reasons),
        ]
        rows = [widgets.HBox(fields, layout=_WRAP) for fields in self.fields.values()]
        controls = [_heading(prediction.question), _heading(_SURE), *rows, self.why, self.commit]
        body = card("".join(map(paragraph, lines)))
        super().__init__(f"prediction {prediction.id}", "\n".join(lines), body, controls)

    @staticmethod
    def _make_fields(quantity: Quantity) -> list[widgets.BoundedFloatText]:
        return [
            widgets.BoundedFloatText(
                value=quantity.unchanged, min=quantity.smallest, max=quantity.largest, step=0.1,
                description=f"{quantity.label}, {name}",
                style={"description_width": "initial"}, layout=widgets.Layout(width="293px"),
            )
            for name in ("low", "best", "high")
        ]  # fmt: skip

    def _keep(self) -> None:
        ranges = {}
        for quantity in self.prediction.quantities:
            values = [field.value for field in self.fields[quantity.key]]
            if values != sorted(values):
                self.say(f"Not kept yet: {quantity.label} needs low <= best <= high.")
                return
            ranges[quantity.key] = [quantity.unit * value for value in values]
        progress.record("predictions", self.prediction.id, {"ranges": ranges, "why": self.why.value})
        self.say("Your prediction is kept. Now run the experiment.")


def ask_prediction(id: str) -> PredictionQuiz:
    """Ask for a prediction before the experiment; `reveal` sets it beside the measurement.

    Args:
        id: in the table of predictions, for example ``0.half_width``.
    """
    return PredictionQuiz(find_prediction(id))


# --- the floor ---


class FloorQuiz(Quiz):
    """A slider for the accuracy that the learner is ready to lose."""

    def __init__(self):
        question = (
            "Your floor: how many points of accuracy would you give up for a network that is smaller or faster? "
            "Charts of the course draw this line."
        )
        self.slider = widgets.FloatSlider(
            value=100 * progress.floor(), min=0.1, max=5.0, step=0.1, readout_format=".1f", continuous_update=False,
            description="my floor, points", style={"description_width": "initial"},
            layout=widgets.Layout(width="480px"),
        )  # fmt: skip
        self.slider.observe(lambda _: self.guard(self._keep), names="value")
        default = f"From 0.1 to 5.0 points; {100 * progress.DEFAULT_FLOOR:.1f} until you choose."
        body = card(paragraph(question) + paragraph(default))
        super().__init__("floor", f"{question}\n{default}", body, [_heading(question), self.slider])

    def _keep(self) -> None:
        progress.record("floor", "fraction", round(self.slider.value / 100, 6))
        self.say(f"Your floor is {self.slider.value:.1f} points. Charts draw it when their cells run again.")


def ask_floor() -> FloorQuiz:
    """Ask for the learner's floor; `progress.floor` gives it as a fraction."""
    return FloorQuiz()


# --- the self-test ---


class SelfTest(Quiz):
    """One question at a time, feedback at once."""

    def __init__(self, questions: tuple[SelfTestQuestion, ...]):
        self.questions = questions
        self.answers = [self._make_answer(i) for i in range(len(questions))]
        self.feedback = [widgets.HTML() for _ in questions]
        self.stage = widgets.VBox()
        self.back = _Button("Back", lambda: self.guard(lambda: self._turn(-1)))
        self.forward = _Button("Next", lambda: self.guard(lambda: self._turn(1)))
        words = "\n".join(self._lines(i) for i in range(len(questions)))
        body = card("".join(map(paragraph, words.splitlines())) + fold("Answers", "".join(map(_answer, questions))))
        super().__init__("self-test", words, body, [self.stage, widgets.HBox([self.back, self.forward])])
        self._place = 0
        self._turn(0)

    def _make_answer(self, i: int) -> widgets.RadioButtons:
        options = [(choice, j) for j, choice in enumerate(self.questions[i].choices)]
        answer = widgets.RadioButtons(
            options=options, value=None, description=f"Answer {i + 1}", layout=widgets.Layout(width="max-content")
        )
        answer.observe(lambda _: self.guard(lambda: self._judge(i)), names="value")
        return answer

    def _lines(self, i: int) -> str:
        question = self.questions[i]
        return "\n".join([f"Question {i + 1}: {question.question}", *(f"- {choice}" for choice in question.choices)])

    def _turn(self, step: int) -> None:
        last = len(self.questions) - 1
        self._place = min(max(self._place + step, 0), last)
        i = self._place
        heading = _heading(f"Question {i + 1} of {last + 1}: {self.questions[i].question}")
        self.stage.children = (heading, self.answers[i], self.feedback[i])
        self.back.disabled, self.forward.disabled = i == 0, i == last

    def _judge(self, i: int) -> None:
        question, chosen = self.questions[i], self.answers[i].value
        words = paragraph("Right.") if chosen == question.right else paragraph("Not this one.") + _advice(question)
        self.feedback[i].value = f'<div role="status" aria-live="polite" style="{STYLE}">{words}</div>'
        pairs = [(answer.value, q.right) for answer, q in zip(self.answers, self.questions, strict=True)]
        answered, right = sum(value is not None for value, _ in pairs), sum(value == r for value, r in pairs)
        self.say(f"{answered} of {len(pairs)} answered, {right} right.")


def _advice(question: SelfTestQuestion) -> str:
    """One sentence, and where to read on."""
    site = urlsplit(question.link).netloc
    link = f'<a href="{question.link}" target="_blank" rel="noopener">Read more at {site}</a>'
    return f'<p style="margin:3px 0">{html.escape(question.advice)} {link}</p>'


def _answer(question: SelfTestQuestion) -> str:
    return paragraph(f"{question.question} {question.choices[question.right]}.") + _advice(question)


def self_test() -> SelfTest:
    """Eight questions about what the course builds on."""
    return SelfTest(SELF_TEST)
