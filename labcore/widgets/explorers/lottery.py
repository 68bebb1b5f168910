"""The lottery ticket: is it the mask, are it the first weights, or the pair?"""

import ipywidgets as widgets

from labcore import search, text
from labcore.lesson.progress import floor
from labcore.plots import CurveComparison
from labcore.results import CurveChoice
from labcore.widgets.panel import Panel, Scene

__all__ = ["lottery"]


def lottery() -> Panel:
    """Panel: share of the weights left, updates of training -> accuracy of the ticket and of its two controls."""
    curves = search.load_curves("lottery")
    labels = list(dict.fromkeys(curve.label for curve in curves))
    by_label = {label: tuple(curve for curve in curves if curve.label == label) for label in labels}
    families = tuple(curve.family for curve in by_label[labels[0]])
    shares = curves[0].x.tolist()

    def compute(share, label):
        return CurveChoice(by_label[label], families, shares.index(share))

    def left(place):
        return {"share": shares[place]}

    return Panel(
        "The lottery ticket: the mask, the first weights, or both?",
        {
            "share": widgets.SelectionSlider(
                description="share left", options=[(text.percent(x), x) for x in reversed(shares)], value=shares[7]
            ),
            "label": widgets.Dropdown(description="accuracy", options=labels),
        },
        compute,
        CurveComparison(families, "share left", places=slice(None), floor=floor(), date=search.sweep_date("lottery")),
        scenes=(
            Scene("a fifth", {}, "the ticket learns faster than the whole network; both controls fall behind"),
            Scene("a fifth, later", {"label": labels[-1]}, "all three are closer; the ticket is still ahead"),
            Scene("all weights", left(0), "nothing is cut: the three are the same network, and hardly differ"),
            Scene("3 percent", left(-1), "the ticket is nearly as good as the whole network; chance is not"),
        ),
    )
