"""Matplotlib figures for an asset's page: their size, fonts and encoding. Driver only."""

import io
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH: Final = 440  # pixels; the value column of an asset's page cuts off wider images
DPI: Final = 96
FONT_SIZE: Final = 8  # points, of axes; annotations are half a point smaller


def new_figure(height: int) -> Figure:
    """Returns an empty figure of 440 by `height` pixels."""
    return Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, layout="constrained")


def style_axes(axes: Axes) -> None:
    """Removes the top and right spines and shrinks the tick labels."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT_SIZE)


def to_jpeg(figure: Figure) -> bytes:
    """Encodes a figure."""
    file = io.BytesIO()
    figure.savefig(file, format="jpeg", pil_kwargs={"quality": 92})
    return file.getvalue()
