"""Curves: of training, and any others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.vision.plots.figures import FIRST, SECOND, Path, axes_of, new_figure, tidy, write

__all__ = ["plot_lines", "plot_training_curves"]

_MAX_MARKED = 40  # points up to which every one has a dot
_MAX_NAMED = 20  # lines up to which every one has a name


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
    figure = new_figure(4.6 * len(panels), 3.4)
    for axis, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_curves(axis, name, history)
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    write(figure, path)
    return figure


def _draw_curves(axis: Any, name: str, history: Mapping[str, Sequence[float]]) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    for key, label, color in (
        (name, "training", FIRST),
        (f"val_{name}", "validation", SECOND),
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
    tidy(axis)
    axis.legend(frameon=False, fontsize=9)


def plot_lines(
    lines: Mapping[str, tuple[Any, Any]],
    x_label: str,
    y_label: str,
    ax: Any = None,
    title: str = "",
) -> tuple[Any, Any]:
    """Lines through points.

    Args:
        lines: by name, the places and the values of their points, (N,) each.
        x_label: what places are.
        y_label: what values are.
        ax: the axes to draw into; new ones by default.
        title: a line above the picture.

    Returns:
        The Matplotlib figure and the axes.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    axis = axes_of(ax, 4.6, 3.4)
    for name, (x, y) in lines.items():
        marker = "o" if len(x) <= _MAX_MARKED else None
        color = FIRST if len(lines) == 1 else None
        axis.plot(x, y, label=name, color=color, marker=marker, markersize=3)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    if title:
        axis.set_title(title, loc="left", fontsize=10)
    tidy(axis)
    if 1 < len(lines) <= _MAX_NAMED:
        axis.legend(frameon=False, fontsize=9)
    return axis.figure, axis
