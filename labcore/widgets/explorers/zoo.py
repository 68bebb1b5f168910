"""The score zoo: every score beside every other, for weights and for filters, at once and after a short training."""

import ipywidgets as widgets

from labcore import search
from labcore.lesson.progress import floor
from labcore.plots import ScoreZoo
from labcore.results import ScoreChoice
from labcore.widgets.panel import Panel, Scene

__all__ = ["score_zoo"]

_KINDS = ("weights", "filters")
_WHEN = ("at once", "tuned")
# Looking at the size alone goes by two names.
_SIZE = {"weights": "magnitude, all layers", "filters": "l1"}


def score_zoo() -> Panel:
    """Panel: what goes, which share, when, reference -> accuracy with each score, measured beforehand on lab_cnn."""
    whole, *curves = search.load_curves("score_zoo")
    members = {
        (kind, when): tuple(curve for curve in curves if curve.label == f"{kind}, {when}")
        for kind in _KINDS for when in _WHEN
    }  # fmt: skip
    shares = curves[0].x.tolist()
    weights, filters = ({curve.family: None for curve in members[kind, "at once"]} for kind in _KINDS)

    def compute(kind, share, when, reference):
        chosen, epochs = members[kind, when], members[kind, when][0].settings["epochs"]
        later = f"after {epochs} epoch{'s' if epochs > 1 else ''}" if epochs else when
        return ScoreChoice(f"{kind}, {later}", chosen, shares.index(share), reference or _SIZE[kind])

    return Panel(
        "The score zoo: which score chooses best?",
        {
            "kind": widgets.Dropdown(description="what goes", options=_KINDS),
            "share": widgets.SelectionSlider(
                description="share that goes", options=[(f"{share:.0%}", share) for share in shares], value=0.5
            ),
            "when": widgets.Dropdown(description="measured", options=_WHEN),
            "reference": widgets.Dropdown(
                description="compared with",
                options=[*((name, name) for name in weights if name in filters), ("size: magnitude or l1", "")],
                value="random",
            ),
        },
        compute,
        ScoreZoo(whole.values[:, 0], floor(), search.sweep_date("score_zoo")),
        scenes=(
            Scene("weights, at once", {"reference": ""}, "no score gains a point on plain size; some lose many"),
            Scene(
                "weights, tuned", {"share": 0.9, "when": "tuned"},
                "only magnitude over all layers and lamp beat chance with every seed; snip ends below it",
            ),
            Scene(
                "filters, at once", {"kind": "filters", "share": 0.25},
                "seeds lie further apart than scores; only gamma beats chance with every seed",
            ),
            Scene(
                "filters, tuned", {"kind": "filters", "share": 0.25, "when": "tuned"},
                "all scores end within a point, chance and the largest first among them",
            ),
        ),
    )  # fmt: skip
