"""Pictures of metrics, drawn with Matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.metrics.inputs import as_array
from fovea.vision.plots import plot_confusion_matrix, plot_lines

__all__ = ["plot"]

# Results that are curves: the labels of their axes, and which part of a result is which axis.
_CURVES = {
    "ROC": ("false positive rate", "true positive rate", 0, 1),
    "PrecisionRecallCurve": ("recall", "precision", 1, 0),
}


def plot(metric: Any, value: Any, axis: Any = None) -> tuple[Any, Any]:
    """The picture of a result, or of one result after another, and its axes.

    Raises:
        ArgumentError: a result that cannot be drawn.
        MissingExtraError: Matplotlib is not installed.
    """
    kind = type(metric).__name__
    for ending, labels in _CURVES.items():
        if kind.endswith(ending):
            x_label, y_label, x, y = labels
            return plot_lines(_curves(value[x], value[y]), x_label, y_label, axis, metric.name)
    if not isinstance(value, list | tuple | Mapping):
        array = as_array(value)
        if array.ndim == 2 and array.shape[0] == array.shape[1] and axis is None:
            names = [str(n) for n in range(len(array))]
            shown = array if array.dtype.kind in "iu" else array.round(2)
            figure = plot_confusion_matrix(shown, names, title=metric.name)
            return figure, figure.axes[0]
        if array.ndim > 1:
            raise ArgumentError(f"plot: a value of shape {array.shape} cannot be drawn.")
        label = "class" if array.ndim else ""
        points = {metric.name: (np.arange(array.size), array.reshape(-1))}
        return plot_lines(points, label, metric.name, axis, metric.name)
    several = _over_time(value) if isinstance(value, Sequence) else _over_time([value])
    if not several:
        raise ArgumentError("plot: there is no number to draw.")
    return plot_lines(several, "step", "value", axis, metric.name)


def _curves(x: Any, y: Any) -> dict[str, tuple[Any, Any]]:
    """One curve, or one a class."""
    if isinstance(y, list) or as_array(y).ndim == 2:
        pairs = enumerate(zip(x, y, strict=True))
        return {str(n): (as_array(a), as_array(b)) for n, (a, b) in pairs}
    return {"": (as_array(x), as_array(y))}


def _over_time(values: Sequence[Any]) -> dict[str, tuple[Any, Any]]:
    """One line, or one a name or a class, of results one after another."""
    lines: dict[str, list[float]] = {}
    for value in values:
        named = value if isinstance(value, Mapping) else {"": value}
        for name, part in named.items():
            array = as_array(part)
            if array.ndim == 0:
                lines.setdefault(name, []).append(float(array))
            elif array.ndim == 1 and not isinstance(value, Mapping):
                for number, entry in enumerate(array):
                    lines.setdefault(str(number), []).append(float(entry))
    return {name: (np.arange(len(v)), np.array(v)) for name, v in lines.items()}
