"""How well scores rank and how far they can be believed: ROC, precision and recall, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.tensorbase import is_tensor
from fovea.vision.plots.figures import DARK, FIRST, SECOND, Path, axes_of, tidy, write

__all__ = ["plot_calibration", "plot_precision_recall", "plot_roc"]

_MAX_NAMED = 10  # classes up to which every curve has a color and a name
_WORST = 5  # of more classes, so many are named

Array = np.ndarray[Any, Any]


class _Curve(NamedTuple):
    """A class's curve, and the area under it."""

    name: str
    x: Array
    y: Array
    area: float


def plot_roc(
    preds: Any,
    target: Any,
    classes: Sequence[str] | None = None,
    ax: Any = None,
    title: str = "",
    path: Path | None = None,
) -> Any:
    """Receiver operating characteristic: of true samples how many are found, of false ones how
    many are taken for true. Of several classes, a curve for each against the rest.

    Args:
        preds: probabilities or logits: (N,) of the class 1, or (N, classes).
        target: integers (N,).
        classes: the classes' names.
        ax: Matplotlib axes to draw into; None: new ones.
        title: a line above the picture.
        path: the file to write (PNG, SVG or PDF by its ending); None writes none.

    Returns:
        The Matplotlib figure. Its legend has the areas; of many classes the lowest.

    Raises:
        ShapeError: shapes other than these.
        MissingExtraError: Matplotlib is not installed.

    >>> figure = plot_roc([0.9, 0.8, 0.3, 0.1], [1, 0, 1, 0])
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['area 0.750']
    """
    from fovea.metrics import functional as M

    scores, labels = _checked("plot_roc", preds, target, classes)
    if scores.ndim == 1:
        x, y, _ = M.binary_roc(scores, labels)
        curves = [_Curve("", _plain(x), _plain(y), float(M.binary_auroc(scores, labels)))]
    else:
        count = scores.shape[1]
        xs, ys, _ = M.multiclass_roc(scores, labels, count)
        areas = M.multiclass_auroc(scores, labels, count, average=None)
        curves = _of_classes(xs, ys, areas, labels, classes)
    axis = axes_of(ax, 4.4, 4.2)
    axis.plot([0, 1], [0, 1], color="#9ca3af", linewidth=1, linestyle=":")
    _draw(axis, curves, "area", "default")
    _label(axis, "false positive rate", "true positive rate", title, "lower right")
    write(axis.figure, path)
    return axis.figure


def plot_precision_recall(
    preds: Any,
    target: Any,
    classes: Sequence[str] | None = None,
    ax: Any = None,
    title: str = "",
    path: Path | None = None,
) -> Any:
    """Of what is taken for true how much is (precision), for each share of the true that is found
    (recall). Of several classes, a curve for each against the rest.

    Args:
        preds, target, classes, ax, title, path: as of `plot_roc`.

    Returns:
        The Matplotlib figure. Its legend has the average precisions; of many classes the lowest.

    Raises:
        ShapeError: shapes other than these.
        MissingExtraError: Matplotlib is not installed.

    >>> figure = plot_precision_recall([0.9, 0.8, 0.3, 0.1], [1, 0, 1, 0])
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['AP 0.833']
    """
    from fovea.metrics import functional as M

    scores, labels = _checked("plot_precision_recall", preds, target, classes)
    axis = axes_of(ax, 4.4, 4.2)
    if scores.ndim == 1:
        y, x, _ = M.binary_precision_recall_curve(scores, labels)
        area = float(M.binary_average_precision(scores, labels))
        curves = [_Curve("", _plain(x), _plain(y), area)]
        axis.axhline(labels.mean(), color="#9ca3af", linewidth=1, linestyle=":")
    else:
        count = scores.shape[1]
        ys, xs, _ = M.multiclass_precision_recall_curve(scores, labels, count)
        areas = M.multiclass_average_precision(scores, labels, count, average=None)
        curves = _of_classes(xs, ys, areas, labels, classes)
    _draw(axis, curves, "AP", "steps-post")
    _label(axis, "recall", "precision", title, "best")
    write(axis.figure, path)
    return axis.figure


def plot_calibration(
    preds: Any,
    target: Any,
    n_bins: int = 15,
    ax: Any = None,
    title: str = "",
    path: Path | None = None,
) -> Any:
    """Reliability diagram: how often the model is right where it says that it is so sure.

    Bars below the diagonal are overconfident. Gray is the share of samples in each bin.

    Args:
        preds: probabilities or logits: (N,) of the class 1, or (N, classes), of which the highest
            counts.
        target: integers (N,).
        n_bins: probabilities are looked at in so many bins.
        ax, title, path: as of `plot_roc`.

    Returns:
        The Matplotlib figure; its legend has the expected calibration error (ECE).

    Raises:
        ShapeError: shapes other than these.
        MissingExtraError: Matplotlib is not installed.

    Source: C. Guo et al., "On calibration of modern neural networks", ICML 2017, figure 4.

    >>> figure = plot_calibration([0.2, 0.2, 0.9, 0.9], [0, 1, 1, 1], n_bins=4)
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['accuracy, ECE 0.200', 'gap', 'share of samples']
    """
    from fovea.metrics.classification import BinaryCalibrationError, MulticlassCalibrationError

    scores, labels = _checked("plot_calibration", preds, target, None)
    metric: Any = (
        BinaryCalibrationError(n_bins)
        if scores.ndim == 1
        else MulticlassCalibrationError(scores.shape[1], n_bins)
    )
    metric.update(scores, labels)
    total = _plain(metric.total)
    kept = np.flatnonzero(total)
    right, sure = (_plain(v)[kept] / total[kept] for v in (metric.right, metric.confidence))
    width = 1 / n_bins
    middle = np.minimum((kept + 0.5) * width, 1 - width / 2)
    axis = axes_of(ax, 4.4, 4.2)
    name = f"accuracy, ECE {float(metric.compute()):.3f}"
    axis.bar(middle, right, width * 0.94, color=FIRST, label=name)
    gap = {"facecolor": "#e4575630", "edgecolor": SECOND, "hatch": "////", "label": "gap"}
    axis.bar(middle, sure - right, width * 0.94, bottom=right, **gap)
    share = total[kept] / total.sum()
    axis.bar(middle, share, width * 0.4, color="#d1d5db", label="share of samples", zorder=3)
    axis.plot([0, 1], [0, 1], color=DARK, linewidth=1, linestyle=":")
    word = "probability" if scores.ndim == 1 else "confidence"
    _label(axis, word, "how often true" if scores.ndim == 1 else "accuracy", title, "upper left")
    write(axis.figure, path)
    return axis.figure


def _plain(value: Any) -> Array:
    made: Array = value.detach().numpy() if is_tensor(value) else np.asarray(value)
    return made


def _checked(
    name: str, preds: Any, target: Any, classes: Sequence[str] | None
) -> tuple[Array, Array]:
    scores, labels = _plain(preds), _plain(target)
    if scores.ndim not in (1, 2) or labels.shape != scores.shape[:1] or not len(labels):
        raise ShapeError(
            f"{name}: scores are (N,) or (N, classes) and labels (N,), got {scores.shape} and "
            f"{labels.shape}."
        )
    if classes is not None and scores.ndim == 2 and len(classes) != scores.shape[1]:
        raise ArgumentError(f"{name}: {len(classes)} names for {scores.shape[1]} classes.")
    return scores.astype(np.float64), labels.astype(np.int64)


def _of_classes(
    xs: Any, ys: Any, areas: Any, labels: Array, classes: Sequence[str] | None
) -> list[_Curve]:
    """A curve for each class that there is."""
    present = set(labels.tolist())
    return [
        _Curve(str(classes[n] if classes is not None else n), _plain(x), _plain(y), float(area))
        for n, (x, y, area) in enumerate(zip(xs, ys, _plain(areas), strict=True))
        if n in present
    ]


def _draw(axis: Any, curves: list[_Curve], measure: str, style: str) -> None:
    if len(curves) == 1 and not curves[0].name:
        (curve,) = curves
        label = f"{measure} {curve.area:.3f}"
        axis.plot(curve.x, curve.y, color=FIRST, label=label, drawstyle=style)
        return
    named = sorted(curves, key=lambda c: c.area)[:_WORST] if len(curves) > _MAX_NAMED else curves
    for curve in curves:
        if curve not in named:
            axis.plot(curve.x, curve.y, color="#cbd5e1", linewidth=0.8, drawstyle=style)
    axis.plot([], [], " ", label=f"mean {measure} {np.mean([c.area for c in curves]):.3f}")
    for curve in named:
        axis.plot(
            curve.x,
            curve.y,
            linewidth=1.4,
            drawstyle=style,
            label=f"{curve.name}  {curve.area:.3f}",
        )


def _label(axis: Any, x_label: str, y_label: str, title: str, place: str) -> None:
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.02, 1.04)
    axis.set_aspect("equal")
    if title:
        axis.set_title(title, loc="left", fontsize=10)
    tidy(axis, "both")
    axis.legend(loc=place, fontsize=8, framealpha=0.9, edgecolor="none")
