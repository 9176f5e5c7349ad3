"""What metrics are given, as NumPy arrays: scores, labels, and which of them count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, LabelError, ShapeError

__all__ = ["as_array", "choice", "divided"]

Array = np.ndarray[Any, Any]


def as_array(x: Any) -> Array:
    """A tensor of fovea or of another library, an array, a list or a number, as a NumPy array.

    Half types become float32.

    >>> as_array([1, 2])
    array([1, 2])
    """
    if hasattr(x, "_array"):
        array = x._array()
    else:
        if hasattr(x, "detach"):
            x = x.detach().cpu()
        elif not hasattr(x, "__array__") and hasattr(x, "__dlpack__"):
            x = np.from_dlpack(x)
        array = np.asarray(x)
    if array.dtype.kind not in "biufc" or array.dtype == np.float16:
        array = array.astype(np.float32)
    return array


def is_scores(a: Array) -> bool:
    """Whether values are scores, not labels."""
    return a.dtype.kind == "f"


def choice(owner: str, name: str, value: Any, allowed: Sequence[Any]) -> None:
    """Check an argument that is one of a few."""
    if value not in allowed:
        raise ArgumentError(f"{owner}: {name} is one of {tuple(allowed)}, got {value!r}.")


def divided(a: Any, b: Any, where_zero: float = 0.0) -> Array:
    """``a / b`` in float64, and ``where_zero`` where b is 0.

    >>> divided([1, 2], [2, 0])
    array([0.5, 0. ])
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    a, b = np.broadcast_arrays(a, b)
    return np.divide(a, b, out=np.full(a.shape, where_zero, np.float64), where=b != 0)


def same_shape(owner: str, preds: Array, target: Array) -> None:
    """Check that predictions and targets are of one shape."""
    if preds.shape != target.shape:
        raise ShapeError(
            f"{owner}: preds and target are of one shape, got {preds.shape} and {target.shape}."
        )


def zeros_and_ones(owner: str, name: str, a: Array, ignore_index: int | None = None) -> None:
    """Check that labels are 0 and 1, or to be ignored."""
    fine = (a == 0) | (a == 1)
    if ignore_index is not None:
        fine |= a == ignore_index
    if not fine.all():
        raise LabelError(f"{owner}: {name} holds {a[~fine].flat[0]}, not only 0 and 1.")


def classes_in_range(
    owner: str, name: str, labels: Array, classes: int | None, kept: Array | None = None
) -> None:
    """Check that labels are classes."""
    if classes is None:
        return
    if is_scores(labels):
        raise LabelError(f"{owner}: {name} are classes, integers, got {labels.dtype}.")
    labels = labels if kept is None else labels[kept]
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        wrong = labels[(labels < 0) | (labels >= classes)][0]
        raise LabelError(
            f"{owner}: {name} holds {wrong}, there are {classes} classes.",
            fix=f"labels in [0, {classes}); ignore_index={wrong} leaves that one out",
        )


def probabilities(scores: Array, normalization: str | None = "sigmoid", axis: int = 1) -> Array:
    """Scores as they are if all lie in [0, 1], else their sigmoid or softmax."""
    if normalization is None or ((scores >= 0) & (scores <= 1)).all():
        return scores
    with np.errstate(over="ignore", invalid="ignore"):
        if normalization == "sigmoid":
            return (1 / (1 + np.exp(-scores))).astype(scores.dtype)
        powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
        return powers / powers.sum(axis=axis, keepdims=True)


def binary_labels(
    owner: str,
    preds: Any,
    target: Any,
    threshold: float,
    ignore_index: int | None,
    validate: bool,
    columns: int | None = None,
) -> tuple[Array, Array, Array]:
    """Decisions and truth as booleans, and which of them count, all in the shape given.

    Args:
        columns: how many labels there are along the second axis, None if there is no such axis.
    """
    preds, target = as_array(preds), as_array(target)
    same_shape(owner, preds, target)
    if columns is not None and (preds.ndim < 2 or preds.shape[1] != columns):
        raise ShapeError(f"{owner}: (N, {columns}, ...) for {columns} labels, got {preds.shape}.")
    if validate:
        zeros_and_ones(owner, "target", target, ignore_index)
    if is_scores(preds):
        chosen = probabilities(preds) > threshold
    else:
        if validate:
            zeros_and_ones(owner, "preds", preds)
        chosen = preds == 1
    kept = np.ones(target.shape, bool) if ignore_index is None else target != ignore_index
    return chosen, target == 1, kept


def class_labels(
    owner: str,
    preds: Any,
    target: Any,
    classes: int | None,
    ignore_index: int | None,
    top_k: int = 1,
) -> tuple[Array, Array, Array]:
    """Predicted and true classes and which of them count, each (N, ...).

    With ``top_k`` the true class is the predicted one if it is among the k highest scores.
    """
    preds, target = as_array(preds), as_array(target)
    kept = np.ones(target.shape, bool) if ignore_index is None else target != ignore_index
    classes_in_range(owner, "target", target, classes, kept)
    if preds.ndim == target.ndim + 1:
        if preds.shape[:1] + preds.shape[2:] != target.shape:
            raise ShapeError(
                f"{owner}: preds (N, C, ...) and target (N, ...), got {preds.shape} and "
                f"{target.shape}."
            )
        if classes is not None and preds.shape[1] != classes:
            raise ShapeError(f"{owner}: scores of {classes} classes, got {preds.shape[1]}.")
        chosen = preds.argmax(1)
        if top_k > 1:
            chosen = np.where(_among_best(preds, np.where(kept, target, 0), top_k), target, chosen)
        return chosen, target, kept
    same_shape(owner, preds, target)
    if top_k > 1:
        raise ShapeError(f"{owner}: top_k={top_k} needs scores (N, C, ...), got classes.")
    classes_in_range(owner, "preds", preds, classes, kept)
    return preds, target, kept


def _among_best(scores: Array, target: Array, k: int) -> Array:
    """Whether the target's score is among the k highest; of equal ones the first come first."""
    if k > scores.shape[1]:
        raise ArgumentError(f"top_k={k} of {scores.shape[1]} classes.")
    where = np.expand_dims(target, 1)
    own = np.take_along_axis(scores, where, 1)
    number = np.arange(scores.shape[1]).reshape(-1, *[1] * (scores.ndim - 2))
    before = (scores > own) | ((scores == own) & (number < where))
    return before.sum(1) < k


def class_scores(
    owner: str, preds: Any, target: Any, classes: int, ignore_index: int | None
) -> tuple[Array, Array]:
    """Probabilities (M, C) and true classes (M,) of everything that counts."""
    preds, target = as_array(preds), as_array(target)
    if not is_scores(preds):
        raise ArgumentError(f"{owner}: preds are scores, floating point, got {preds.dtype}.")
    if preds.ndim != target.ndim + 1 or preds.shape[:1] + preds.shape[2:] != target.shape:
        raise ShapeError(
            f"{owner}: preds (N, C, ...) and target (N, ...), got {preds.shape} and {target.shape}."
        )
    if preds.shape[1] != classes:
        raise ShapeError(f"{owner}: scores of {classes} classes, got {preds.shape[1]}.")
    scores, labels = np.moveaxis(preds, 1, -1).reshape(-1, classes), target.reshape(-1)
    if ignore_index is not None:
        kept = labels != ignore_index
        scores, labels = scores[kept], labels[kept]
    classes_in_range(owner, "target", labels, classes)
    return probabilities(scores, "softmax"), labels.astype(np.int64)


def binary_scores(
    owner: str,
    preds: Any,
    target: Any,
    ignore_index: int | None,
    normalization: str | None = "sigmoid",
    validate: bool = True,
) -> tuple[Array, Array]:
    """Probabilities and truth, flat, of everything that counts."""
    preds, target = as_array(preds), as_array(target)
    same_shape(owner, preds, target)
    if not is_scores(preds):
        raise ArgumentError(f"{owner}: preds are scores, floating point, got {preds.dtype}.")
    if validate:
        zeros_and_ones(owner, "target", target, ignore_index)
    scores, labels = preds.reshape(-1), target.reshape(-1)
    if ignore_index is not None:
        kept = labels != ignore_index
        scores, labels = scores[kept], labels[kept]
    return probabilities(scores, normalization, 0), (labels == 1).astype(np.int64)
