"""Pictures of a training run: its curves, and which classes are taken for which.

Matplotlib (``pip install "fovea[vision]"``) draws them; it is imported when the first is drawn.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, MissingExtraError
from fovea.interop.atomic import atomic_write

__all__ = ["plot_confusion_matrix", "plot_lines", "plot_training_curves"]

_TRAINING, _VALIDATION, _DARK = "#4c78a8", "#e45756", "#1f2937"
_MAX_COUNTED = 20  # classes up to which every cell shows its number
_MAX_MARKED = 40  # epochs up to which every one has a dot
_MAX_NAMED = 60  # classes up to which every class shows its name

Path = str | os.PathLike[str]


def plot_training_curves(
    history: Mapping[str, Sequence[float]], path: Path | None = None, title: str = ""
) -> Any:
    """Loss and accuracy over the epochs, of training and of validation.

    Args:
        history: values by name, one an epoch, as ``History.history`` has them: ``"loss"``,
            ``"accuracy"``, and ``"val_loss"``, ``"val_accuracy"`` where there are any.
        path: the file to write (PNG, SVG or PDF by its suffix); None writes none.
        title: a line above the panels.

    Returns:
        The Matplotlib figure.

    Raises:
        ArgumentError: nothing to draw.
        MissingExtraError: Matplotlib is not installed.
    """
    panels = [name for name in ("loss", "accuracy") if len(history.get(name, ()))]
    if not panels:
        raise ArgumentError("plot_training_curves: the history has neither loss nor accuracy.")
    figure = _figure(4.6 * len(panels), 3.4)
    for axis, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_curves(axis, name, history)
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    _write(figure, path)
    return figure


def _draw_curves(axis: Any, name: str, history: Mapping[str, Sequence[float]]) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    for key, label, color in (
        (name, "training", _TRAINING),
        (f"val_{name}", "validation", _VALIDATION),
    ):
        values = [float(v) for v in history.get(key, ())]
        epochs = range(1, len(values) + 1)
        if values:
            last = f"{values[-1]:.2%}" if name == "accuracy" else f"{values[-1]:.4f}"
            marker = "o" if len(values) <= _MAX_MARKED else None
            axis.plot(
                epochs, values, color=color, label=f"{label}  {last}", marker=marker, markersize=3
            )
    axis.set_title(name, loc="left", fontsize=10)
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if name == "accuracy":
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    else:
        axis.set_ylim(bottom=0)
    axis.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9)


def plot_confusion_matrix(
    counts: Any, classes: Sequence[str], path: Path | None = None, title: str = ""
) -> Any:
    """How often each class was taken for each.

    A row is a true class, a column what was predicted. The color is the share of the row, so that
    rare classes show as well as frequent ones; the number is the count.

    Args:
        counts: integers (classes, classes): of row i, how many were predicted as column j.
        classes: the classes' names.
        path: the file to write (PNG, SVG or PDF by its suffix); None writes none.
        title: a line above the picture.

    Returns:
        The Matplotlib figure.

    Raises:
        ArgumentError: the counts are not square, or of another size than ``classes``.
        MissingExtraError: Matplotlib is not installed.
    """
    counts = np.asarray(counts)
    if counts.shape != (len(classes), len(classes)) or not len(classes):
        raise ArgumentError(
            f"plot_confusion_matrix: counts of shape {counts.shape} for {len(classes)} classes."
        )
    side = float(np.clip(1.8 + 0.42 * len(classes), 3.6, 12.0))
    figure = _figure(side + 0.9, side)
    from matplotlib.colors import PowerNorm

    axis = figure.subplots()
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
    _write(figure, path)
    return figure


def plot_lines(
    lines: Mapping[str, tuple[Any, Any]],
    x_label: str,
    y_label: str,
    axis: Any = None,
    title: str = "",
) -> tuple[Any, Any]:
    """Lines through points.

    Args:
        lines: by name, the places and the values of their points, (N,) each.
        x_label: what places are.
        y_label: what values are.
        axis: the axes to draw into; new ones by default.
        title: a line above the picture.

    Returns:
        The Matplotlib figure and the axes.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    if axis is None:
        axis = _figure(4.6, 3.4).subplots()
    for name, (x, y) in lines.items():
        marker = "o" if len(x) <= _MAX_MARKED else None
        color = _TRAINING if len(lines) == 1 else None
        axis.plot(x, y, label=name, color=color, marker=marker, markersize=3)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    if title:
        axis.set_title(title, loc="left", fontsize=10)
    axis.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    if 1 < len(lines) <= _MAX_COUNTED:
        axis.legend(frameon=False, fontsize=9)
    return axis.figure, axis


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
                color = "white" if shares[row, column] > 0.4 else _DARK
                text = f"{counts[row, column]}"
                size = 8 if len(text) < 5 else 6
                axis.text(column, row, text, ha="center", va="center", color=color, fontsize=size)


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError(
            "drawing needs Matplotlib, which is not installed.", fix='pip install "fovea[vision]"'
        ) from None
    return Figure(figsize=(width, height), layout="constrained", dpi=140)


def _write(figure: Any, path: Path | None) -> None:
    if path is None:
        return
    suffix = os.path.splitext(os.fspath(path))[1][1:].lower() or "png"
    if suffix not in ("png", "svg", "pdf"):
        raise ArgumentError(f"a picture's file must end in .png, .svg or .pdf, got {path}.")
    with atomic_write(path) as file:
        figure.savefig(file, format=suffix, bbox_inches="tight", pad_inches=0.12)
