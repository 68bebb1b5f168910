"""Cards: what a learner reads below a cell, as text and as HTML that needs no kernel.

A card is compared strictly when a chapter runs again, so it never holds the learner's own data.
"""

import html
from typing import Any

__all__ = ["STYLE", "Shown", "card", "fold", "paragraph", "table"]

# JupyterLab's variables follow its theme; elsewhere the page's own colour is readable by definition.
STYLE = "font-size:15px;line-height:1.45;color:var(--jp-ui-font-color1,inherit)"
_BOX = f"{STYLE};border-left:4px solid var(--jp-border-color1,#888);padding:4px 12px;max-width:870px"


class Shown:
    """Shows itself as `text` and `html`."""

    @property
    def text(self) -> str:
        raise NotImplementedError

    @property
    def html(self) -> str:
        return card("".join(paragraph(line) for line in self.text.splitlines()))

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": self.text, "text/html": self.html}


def paragraph(words: str) -> str:
    """One line of plain words."""
    return f'<p style="margin:3px 0">{html.escape(words)}</p>'


def card(body: str) -> str:
    """HTML with a line at its left."""
    return f'<div style="{_BOX}">{body}</div>'


def fold(summary: str, body: str) -> str:
    """HTML that opens on a click or the Enter key, without a kernel."""
    return (
        f'<details style="{_BOX}"><summary style="cursor:pointer">{html.escape(summary)}</summary>{body}</details>'
    )


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Plain words in rows and columns."""
    cell = 'style="text-align:left;vertical-align:top;padding:3px 10px 3px 0"'
    head = "".join(f'<th scope="col" {cell}>{html.escape(name)}</th>' for name in header)
    body = "".join(
        "<tr>" + "".join(f"<td {cell}>{html.escape(words)}</td>" for words in row) + "</tr>" for row in rows
    )
    return (
        f'<table style="{STYLE};border-collapse:collapse"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )
