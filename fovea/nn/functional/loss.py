"""Losses on class labels and probabilities."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.casting import FLOAT32, autocasts
from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.nn.functional.activation import log_softmax
from fovea.nn.functional.arguments import legacy_reduction, reduced, same_shapes
from fovea.ops import activation as activation_ops
from fovea.ops import loss as ops
from fovea.watching import look

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "nll_loss",
]


@lru_cache(64)
def _label_attrs(ignore_index: int) -> ops.LabelAttrs:
    return ops.LabelAttrs.of(ignore_index)


def _check_classes(name: str, input: Tensor, target: Tensor, weight: Tensor | None) -> None:
    """ShapeError unless target is (N, d1, ...) for an input (N, C, d1, ...), or () for (C,)."""
    shape = tuple(input.shape)
    expected = () if len(shape) == 1 else (shape[0], *shape[2:])
    if not shape or tuple(target.shape) != expected:
        fix = None
        if target.numel() == math.prod(expected):
            fix = f"target.reshape({expected})"
        elif tuple(target.shape) == shape:
            fix = "target.argmax(1), or target.float() for probabilities"
        elif target.ndim == len(expected) and target.shape[:1] != shape[:1]:
            fix = "as many targets as there are samples in the input"
        raise ShapeError(
            f"{name}: for input {shape} target must have shape {expected}, "
            f"got {tuple(target.shape)}.",
            {"input": describe(input), "target": describe(target)},
            fix,
        )
    if target.dtype is not dtypes.int64:
        raise DTypeError(
            f"{name}: target must be int64 class labels, got {describe(target)}.",
            fix="target.long()",
        )
    classes = shape[min(1, len(shape) - 1)]
    if weight is not None and tuple(weight.shape) != (classes,):
        raise ShapeError(f"{name}: weight must hold one number for each of {classes} classes.")


def _rows(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, d1, ...) with labels (N, d1, ...) as (rows, C) with labels (rows,)."""
    if len(input.shape) == 2:
        return input, target
    if len(input.shape) == 1:
        return input.unsqueeze(0), target.reshape(1)
    classes = input.shape[1]
    last = input.movedim(1, -1)
    return last.reshape((target.numel(), classes)), target.reshape(target.numel())


def _weighted(
    name: str,
    losses: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    all_count: bool,
    shape: tuple[int, ...],
) -> Tensor:
    """Weight losses by class and reduce them; a mean divides by the weights of the labels."""
    kept = None if all_count else (labels != ignore_index).to(losses.dtype)
    if weight is not None:
        safe = labels if all_count else labels.masked_fill(labels == ignore_index, 0)
        counts = weight[safe]
        kept = counts if kept is None else counts * kept
        losses = losses * kept
    if reduction == "none":
        return losses.reshape(shape)
    if reduction == "mean" and kept is not None:
        return losses.sum() / kept.sum()
    return reduced(name, losses, reduction)


@autocasts(FLOAT32)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross entropy between logits and labels (or class probabilities).

    For a row of logits x and its label t: ``-log(exp(x[t]) / sum(exp(x)))``.

    Args:
        input: logits (N, C), (N, C, d1, ...) or (C,).
        target: int64 labels (N,), (N, d1, ...) or (); or probabilities of the input's shape.
        weight: (C,), a factor for each class.
        ignore_index: labels that do not count.
        reduction: ``"mean"`` (over labels that count, by weight), ``"sum"`` or ``"none"``.
        label_smoothing: how much of each label is spread over all classes, in [0, 1].

    Raises:
        LabelError: a label outside [0, C).
        ShapeError: a target that does not fit the logits.

    >>> import fovea
    >>> cross_entropy(fovea.tensor([[0.0, 0.0]]), fovea.tensor([1]))
    tensor(0.6931)
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    if target.dtype.is_floating_point and target.shape == input.shape:
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    _check_classes("cross_entropy", input, target, weight)
    rows, labels = _rows(input, target)
    classes = rows.shape[1]
    all_count = look(target, lambda t: ops.check_labels("cross_entropy", t, classes, ignore_index))
    losses = ops.cross_entropy.bind((rows, labels), _label_attrs(ignore_index))
    if label_smoothing:
        _check_smoothing(label_smoothing)
        return _smoothed(
            rows, labels, losses, weight, ignore_index, reduction, all_count, label_smoothing
        ).reshape(target.shape if reduction == "none" else ())
    if weight is None and all_count and reduction == "mean":
        return losses.mean()
    return _weighted(
        "cross_entropy", losses, labels, weight, ignore_index, reduction, all_count, target.shape
    )


def _check_smoothing(label_smoothing: float) -> None:
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(
            f"cross_entropy: label_smoothing must lie in [0, 1], got {label_smoothing}."
        )


def _smoothed(
    rows: Tensor,
    labels: Tensor,
    losses: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    all_count: bool,
    smoothing: float,
) -> Tensor:
    """(1 - e) * loss of the label + e / C * the sum of the (weighted) losses of all classes."""
    logs = log_softmax(rows, 1)
    spread = -(logs if weight is None else logs * weight).sum((1,))
    if not all_count:
        spread = spread.masked_fill(labels == ignore_index, 0.0)
    shape = tuple(labels.shape)
    sums = "sum" if reduction == "mean" else reduction
    hard = _weighted(
        "cross_entropy", losses, labels, weight, ignore_index, reduction, all_count, shape
    )
    soft = reduced("cross_entropy", spread, sums)
    if reduction == "mean":
        ones = rows.new_ones((rows.shape[1],)) if weight is None else weight
        safe = labels.masked_fill(labels == ignore_index, 0)
        counts = ones[safe] * (labels != ignore_index).to(rows.dtype)
        soft = soft / counts.sum()
    return hard * (1 - smoothing) + soft * (smoothing / rows.shape[1])


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, smoothing: float
) -> Tensor:
    """Targets are probabilities of the classes."""
    dim = 1 if input.ndim > 1 else 0
    classes = input.shape[dim] if input.ndim else 0
    if weight is not None and tuple(weight.shape) != (classes,):
        raise ShapeError(
            f"cross_entropy: weight must hold one number for each of {classes} classes."
        )
    _check_smoothing(smoothing)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    logs = log_softmax(input, dim)
    if weight is not None:
        logs = logs * weight.reshape((-1,) + (1,) * (input.ndim - 1 - dim))
    losses = -(logs * target).sum((dim,))
    return reduced("cross_entropy", losses, reduction)


@autocasts(FLOAT32)
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative of the log-probability that each label has; arguments as of ``cross_entropy``.

    >>> import fovea
    >>> nll_loss(fovea.tensor([[-1.0, -2.0]]), fovea.tensor([1]))
    tensor(2.)
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_classes("nll_loss", input, target, weight)
    rows, labels = _rows(input, target)
    classes = rows.shape[1]
    all_count = look(target, lambda t: ops.check_labels("nll_loss", t, classes, ignore_index))
    losses = ops.nll_loss.bind((rows, labels), _label_attrs(ignore_index))
    return _weighted(
        "nll_loss", losses, labels, weight, ignore_index, reduction, all_count, target.shape
    )


def _check_probabilities(values: np.ndarray[Any, Any]) -> None:
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ArgumentError(
            "binary_cross_entropy: input must hold probabilities, from "
            f"{float(values.min()):g} to {float(values.max()):g} they leave [0, 1].",
            fix="apply a sigmoid, or use binary_cross_entropy_with_logits",
        )


@autocasts(FLOAT32)
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``-(t log x + (1 - t) log(1 - x))`` of probabilities x; logarithms are at least -100.

    Raises:
        ArgumentError: an input outside [0, 1].
    """
    name = "binary_cross_entropy"
    reduction = legacy_reduction(size_average, reduce, reduction)
    same_shapes(name, input, target)
    look(input, _check_probabilities, essential=False)
    losses = ops.binary_cross_entropy.bind((input, target.to(input.dtype)))
    return reduced(name, losses if weight is None else losses * weight, reduction)


@autocasts(FLOAT32)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """``binary_cross_entropy`` of ``sigmoid(x)``, without overflow.

    Args:
        pos_weight: a factor for the positive part, for each class.

    >>> import fovea
    >>> binary_cross_entropy_with_logits(fovea.tensor([0.0]), fovea.tensor([1.0]))
    tensor(0.6931)
    """
    name = "binary_cross_entropy_with_logits"
    reduction = legacy_reduction(size_average, reduce, reduction)
    same_shapes(name, input, target)
    if target.dtype is not input.dtype:
        target = target.to(input.dtype)
    # -log sigmoid(x) = softplus(-x), and -log(1 - sigmoid(x)) = x + softplus(-x)
    positive = activation_ops.softplus.bind(
        (-input,), activation_ops.SoftplusAttrs.of(1.0, math.inf)
    )
    if pos_weight is not None:
        positive = positive * ((pos_weight - 1) * target + 1)
    losses = (1 - target) * input + positive
    return reduced(name, losses if weight is None else losses * weight, reduction)
