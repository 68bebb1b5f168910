"""Answers that stay folded until the learner opens them, in every front end and without a kernel."""

import base64
import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from labcore import runtime, text
from labcore.lesson.cards import STYLE, Shown, fold, paragraph
from labcore.lesson.predictions import PREDICTIONS, Prediction, Quantity
from labcore.lesson.progress import load_progress

__all__ = ["Answer", "Reveal", "reveal"]


class Answer(Protocol):
    """What `reveal` asks of an answer. A picture has also ``png() -> bytes`` and `alt`, a card has `html`."""

    text: str


@dataclass(frozen=True, eq=False)
class Reveal(Shown):
    """An answer behind "Show the answer"; beside it PNG and text, for readers without HTML.

    Attributes:
        view: the answer.
        comparison: the learner's prediction beside the measurement; shown in HTML only, empty in builds.
    """

    view: Answer
    comparison: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return self.view.text

    @property
    def html(self) -> str:
        picture = ""
        if hasattr(self.view, "png"):
            picture = (
                f'<img alt="{html.escape(self.view.alt, quote=True)}" style="max-width:100%;background:white" '
                f'src="data:image/png;base64,{self._png}">'
            )
        words = getattr(self.view, "html", None) or (
            f'<pre style="{STYLE};white-space:pre-wrap;background:none">{html.escape(self.view.text)}</pre>'
        )
        return fold("Show the answer", picture + words + "".join(map(paragraph, self.comparison)))

    @property
    def _png(self) -> str:
        return base64.b64encode(self.view.png()).decode()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        picture = {"image/png": self._png} if hasattr(self.view, "png") else {}
        return super()._repr_mimebundle_() | picture


def reveal(view: Answer, *, question: str | None = None, measured: Mapping[str, float] | None = None) -> Reveal:
    """Fold an answer; with a question, set the learner's prediction beside what was measured.

    Args:
        view: a picture (`text`, `alt`, ``png()``) or a card (`text`, `html`).
        question: id of the prediction that this answers.
        measured: the measured number for each quantity of the question.

    Raises:
        TypeError: the view has no text.
        ValueError: unknown question, or numbers that are not those it asks for.
    """
    if not isinstance(getattr(view, "text", None), str):
        raise TypeError(f"reveal needs an answer with a text, got {type(view).__name__}")
    if question is None:
        return Reveal(view)
    prediction, numbers = find_prediction(question), dict(measured or {})
    keys = [quantity.key for quantity in prediction.quantities]
    if sorted(numbers) != sorted(keys):
        raise ValueError(f"{question} asks for {', '.join(keys)}; measured holds {', '.join(numbers) or 'nothing'}")
    # What a learner predicted differs from learner to learner: a build must not see it.
    return Reveal(view) if runtime.strict() else Reveal(view, _compare(prediction, numbers))


def find_prediction(id: str) -> Prediction:
    """The prediction with this id."""
    if id not in PREDICTIONS:
        raise ValueError(f"unknown prediction {id!r}; choose one of: {', '.join(PREDICTIONS)}")
    return PREDICTIONS[id]


def _compare(prediction: Prediction, measured: Mapping[str, float]) -> tuple[str, ...]:
    kept = load_progress()["predictions"].get(prediction.id)
    try:
        ranges = [
            _compare_range(quantity, kept["ranges"][quantity.key], measured[quantity.key])
            for quantity in prediction.quantities
        ]
        chosen = kept["why"]
    except (KeyError, TypeError, ValueError):  # no prediction, or a record that is not ours
        return ()
    return (*ranges, *(f"You chose: {r.words} {r.reply}" for r in prediction.reasons if r.key == chosen))


def _compare_range(quantity: Quantity, kept: list[float], value: float) -> str:
    low, best, high = kept
    place = "below" if value < low else "above" if value > high else "inside"
    return (
        f"Your range was {quantity.shown(low)} to {quantity.shown(high)}, best {quantity.shown(best)}. Measured "
        f"{text.approx(quantity.shown(value))}: {place} your range."
    )
