"""What all pictures share: figures without a window, colors of classes, files written whole."""

from __future__ import annotations

import colorsys
import os
from typing import Any

from fovea.errors import ArgumentError, MissingExtraError
from fovea.interop.atomic import atomic_write

__all__ = [
    "BAD",
    "DARK",
    "FIRST",
    "GOOD",
    "SECOND",
    "Path",
    "axes_of",
    "color_of",
    "new_figure",
    "tidy",
    "write",
]

FIRST, SECOND, DARK = "#4c78a8", "#e45756", "#1f2937"
GOOD, BAD = "#15803d", "#b91c1c"

Path = str | os.PathLike[str]


def new_figure(width: float, height: float) -> Any:
    """A Matplotlib figure of so many inches, which no window shows.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError(
            "drawing needs Matplotlib, which is not installed.", fix='pip install "fovea[vision]"'
        ) from None
    return Figure(figsize=(width, height), layout="constrained", dpi=140)


def axes_of(ax: Any, width: float, height: float) -> Any:
    """The axes to draw into: those given, or new ones."""
    return new_figure(width, height).subplots() if ax is None else ax


def tidy(axis: Any, grid: str = "y") -> None:
    """Thin lines behind what is drawn, and no frame above and on the right."""
    axis.grid(axis=grid, color="#e5e7eb", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def write(figure: Any, path: Path | None) -> None:
    """Write a picture: PNG, SVG or PDF by the path's ending; None writes none.

    Raises:
        ArgumentError: another ending.
    """
    if path is None:
        return
    suffix = os.path.splitext(os.fspath(path))[1][1:].lower() or "png"
    if suffix not in ("png", "svg", "pdf"):
        raise ArgumentError(f"a picture's file must end in .png, .svg or .pdf, got {path}.")
    with atomic_write(path) as file:
        figure.savefig(file, format=suffix, bbox_inches="tight", pad_inches=0.12)


def color_of(number: int) -> tuple[int, int, int]:
    """A class's color, which those of classes nearby are unlike: red, green, blue to 255."""
    r, g, b = colorsys.hsv_to_rgb(number * 0.618 % 1.0, 0.85, 0.95)
    return int(r * 255), int(g * 255), int(b * 255)


def rgb_of(number: int) -> tuple[float, float, float]:
    """`color_of`, from 0 to 1 as Matplotlib takes it."""
    red, green, blue = color_of(number)
    return red / 255, green / 255, blue / 255
