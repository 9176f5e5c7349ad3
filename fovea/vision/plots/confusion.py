"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.tensorbase import is_tensor
from fovea.vision.plots.figures import DARK, Path, axes_of, write

__all__ = ["plot_confusion_matrix"]

_MAX_COUNTED = 20  # classes up to which every cell shows its number
_MAX_NAMED = 60  # classes up to which every class shows its name


def plot_confusion_matrix(
    counts: Any,
    classes: Sequence[str],
    path: Path | None = None,
    title: str = "",
    ax: Any = None,
) -> Any:
    """How often each class was taken for each.

    A row is a true class, a column what was predicted. The color is the share of the row, so that
    rare classes show as well as frequent ones; the number is the count.

    Args:
        counts: integers (classes, classes): of row i, how many were predicted as column j.
        classes: the classes' names.
        path: the file to write (PNG, SVG or PDF by its suffix); None writes none.
        title: a line above the picture.
        ax: Matplotlib axes to draw into; None: new ones.

    Returns:
        The Matplotlib figure.

    Raises:
        ArgumentError: the counts are not square, or of another size than ``classes``.
        MissingExtraError: Matplotlib is not installed.
    """
    counts = counts.numpy() if is_tensor(counts) else np.asarray(counts)
    if counts.shape != (len(classes), len(classes)) or not len(classes):
        raise ArgumentError(
            f"plot_confusion_matrix: counts of shape {counts.shape} for {len(classes)} classes."
        )
    side = float(np.clip(1.8 + 0.42 * len(classes), 3.6, 12.0))
    axis = axes_of(ax, side + 0.9, side)
    figure = axis.figure
    from matplotlib.colors import PowerNorm

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The root of the share: a few in a hundred already show.
    picture = axis.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0.0, vmax=1.0))
    _label_axes(axis, classes)
    if len(classes) <= _MAX_COUNTED:
        _write_counts(axis, counts, shares)
    bar = figure.colorbar(picture, ax=axis, fraction=0.045, pad=0.03, format="{x:.0%}")
    bar.set_label("share of the true class", fontsize=9)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=0)
    if title:
        axis.set_title(title, loc="left", fontsize=11)
    write(figure, path)
    return figure


def _label_axes(axis: Any, classes: Sequence[str]) -> None:
    step = -(-len(classes) // _MAX_NAMED)
    places = range(0, len(classes), step)
    names = [_shortened(classes[i]) for i in places]
    turned = 90 if max(map(len, names)) > 2 else 0
    size = 9 if len(classes) <= _MAX_COUNTED else 6
    axis.set_xticks(places, names, rotation=turned, fontsize=size)
    axis.set_yticks(places, names, fontsize=size)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _shortened(name: str, limit: int = 18) -> str:
    return name if len(name) <= limit else name[: limit - 1] + "…"


def _write_counts(axis: Any, counts: np.ndarray[Any, Any], shares: np.ndarray[Any, Any]) -> None:
    for row in range(len(counts)):
        for column in range(len(counts)):
            if counts[row, column]:
                color = "white" if shares[row, column] > 0.4 else DARK
                text = f"{counts[row, column]}"
                size = 8 if len(text) < 5 else 6
                axis.text(column, row, text, ha="center", va="center", color=color, fontsize=size)
