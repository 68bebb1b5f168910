"""What every picture is: a View. Built once; `update` sets data; the bundle is a PNG with its numbers as text."""

import base64
import html
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from PIL import Image

from labcore import runtime

__all__ = ["FigureView", "View", "encode_png", "img_tag"]


def encode_png(rgb: np.ndarray, *, palette: bool = True) -> bytes:
    """An RGB or grey image as PNG, reduced to a palette of at most 128 colours.

    Args:
        rgb: uint8, shape (H, W, 3), (H, W, 4) or (H, W).
        palette: False keeps every colour (faster, three times the size).
    """
    image = Image.fromarray(rgb[..., :3] if rgb.ndim == 3 else rgb)
    if palette:
        image = image.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=6 if palette else 1)
    return stream.getvalue()


def img_tag(png: bytes, alt: str, width_px: int) -> str:
    """The picture as an HTML element with alternative text, on its own white ground (readable on dark themes)."""
    return (
        f'<img alt="{html.escape(alt, quote=True)}" width="{width_px}" style="max-width:100%;background:white" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
    )


class View(ABC):
    """A picture of a result.

    `text` holds the numbers behind the picture (notebooks are compared by it); `alt` says them in a sentence.
    """

    width_px: int = 900

    @abstractmethod
    def update(self, result: Any) -> None:
        """Show another result; never builds anew."""

    @abstractmethod
    def png(self, *, palette: bool = True) -> bytes:
        """The picture as it stands."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The numbers behind the picture."""

    @property
    def alt(self) -> str:
        """Alternative text: the numbers in one line."""
        return "; ".join(line.strip() for line in self.text.splitlines() if line.strip())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        png = self.png()
        bundle = {"text/plain": self.text, "image/png": base64.b64encode(png).decode()}
        if not runtime.strict():
            # JupyterLab shows a PNG without alternative text; stored notebooks keep the PNG for other readers.
            bundle["text/html"] = img_tag(png, self.alt, self.width_px)
        return bundle


class FigureView(View):
    """A view drawn by matplotlib: a fixed background, and moving artists drawn over it (blitting).

    Subclasses build `figure` once, give their moving artists to `animate`, and call `redraw_background` when
    something that does not move (a limit, a title) changed.
    """

    def __init__(self, figure: Figure):
        self.figure = figure
        self.width_px = round(figure.get_figwidth() * figure.dpi)
        self._moving: list[Artist] = []
        self._background = None

    def animate(self, artists: Iterable[Artist]) -> None:
        """Add artists that move with every update."""
        for artist in artists:
            artist.set_animated(True)
            self._moving.append(artist)

    def redraw_background(self) -> None:
        """Forget the fixed part of the picture; it is drawn again when next needed."""
        self._background = None

    def png(self, *, palette: bool = True) -> bytes:
        canvas = self.figure.canvas
        if self._background is None:
            canvas.draw()
            self._background = canvas.copy_from_bbox(self.figure.bbox)
        canvas.restore_region(self._background)
        for artist in self._moving:
            self.figure.draw_artist(artist)
        return encode_png(np.asarray(canvas.buffer_rgba()), palette=palette)
