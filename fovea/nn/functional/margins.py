"""Losses of several labels, of counts and of given variances."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.casting import FLOAT32, autocasts
from fovea.errors import ArgumentError, LabelError, ShapeError, describe
from fovea.functions.creation import full_like
from fovea.nn.functional.activation import logsigmoid
from fovea.nn.functional.arguments import legacy_reduction, no_outer_product, reduced, same_shapes
from fovea.nn.functional.distance import pairwise_distance
from fovea.watching import look

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "gaussian_nll_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "poisson_nll_loss",
    "triplet_margin_with_distance_loss",
]


def _check_rows(name: str, input: Tensor, target: Tensor, expected: tuple[int, ...]) -> None:
    if input.ndim not in (1, 2) or tuple(target.shape) != expected:
        raise ShapeError(
            f"{name}: input must be (N, C) or (C,), and then target {expected}.",
            {"input": describe(input), "target": describe(target)},
        )


def _check_labels(name: str, values: np.ndarray[Any, Any], classes: int, least: int) -> None:
    if values.size and not (values.min() >= least and values.max() < classes):
        wrong = values[(values < least) | (values >= classes)].flat[0]
        raise LabelError(f"{name}: label {int(wrong)} is outside the {classes} classes.")


@autocasts(FLOAT32)
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes i other than the label t of ``max(0, margin - x[t] + x[i]) ** p``.

    Args:
        input: scores (N, C) or (C,).
        target: int64 labels (N,) or ().
        p: 1 or 2.
        weight: (C,), a factor for each class.

    >>> import fovea
    >>> multi_margin_loss(fovea.tensor([[0.1, 0.2, 0.4, 0.8]]), fovea.tensor([3]))
    tensor(0.3250)
    """
    name = "multi_margin_loss"
    reduction = legacy_reduction(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ArgumentError(f"{name}: p must be 1 or 2, got {p}.")
    lone = input.ndim == 1
    rows, labels = (input.unsqueeze(0), target.reshape(-1)) if lone else (input, target)
    _check_rows(name, rows, labels, tuple(rows.shape[:1]))
    classes = rows.shape[-1]
    look(target, lambda values: _check_labels(name, values, classes, 0))
    at = labels.unsqueeze(1)
    losses = (margin - rows.gather(1, at) + rows).clamp(min=0)
    losses = losses.square() if p == 2 else losses
    if weight is not None:
        losses = losses * weight[labels].unsqueeze(1)
    losses = losses.scatter(1, at, 0.0).mean(1)
    return reduced(name, losses.squeeze(0) if lone else losses, reduction)


@autocasts(FLOAT32)
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The sum over labels t and other classes i of max(0, 1 - x[t] + x[i]), divided by C.

    Args:
        input: scores (N, C) or (C,).
        target: int64 labels of the input's shape; a row's labels end at its first -1.

    >>> import fovea
    >>> x, t = fovea.tensor([[0.1, 0.2, 0.4, 0.8]]), fovea.tensor([[3, 0, -1, 1]])
    >>> multilabel_margin_loss(x, t)
    tensor(0.8500)
    """
    name = "multilabel_margin_loss"
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_rows(name, input, target, tuple(input.shape))
    classes = input.shape[-1]
    look(target, lambda values: _check_labels(name, values, classes, -1))
    counts = (target >= 0).long().cumprod(-1)  # up to the first -1
    safe = target.clamp(min=0)
    labeled = counts.new_zeros(counts.shape).scatter_add(-1, safe, counts) > 0
    distance = (1 - input.gather(-1, safe).unsqueeze(-1) + input.unsqueeze(-2)).clamp(min=0)
    count = counts.unsqueeze(-1) * (~labeled).long().unsqueeze(-2)
    losses = (distance * count.to(input.dtype)).sum((-2, -1)) / max(classes, 1)
    return reduced(name, losses, reduction)


@autocasts(FLOAT32)
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes of -(t log sigmoid(x) + (1 - t) log sigmoid(-x)).

    >>> import fovea
    >>> multilabel_soft_margin_loss(fovea.zeros(1, 3), fovea.ones(1, 3))
    tensor(0.6931)
    """
    name = "multilabel_soft_margin_loss"
    reduction = legacy_reduction(size_average, reduce, reduction)
    same_shapes(name, input, target)
    losses = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    losses = losses if weight is None else losses * weight
    return reduced(name, losses.mean(-1), reduction)


@autocasts(FLOAT32)
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``exp(x) - t x`` for counts t of a Poisson distribution with rate exp(x).

    Args:
        log_input: whether x is the rate's logarithm; otherwise ``x - t log(x + eps)``.
        full: add Stirling's term for counts above 1.

    >>> import fovea
    >>> poisson_nll_loss(fovea.zeros(1), fovea.ones(1))
    tensor(1.)
    """
    name = "poisson_nll_loss"
    reduction = legacy_reduction(size_average, reduce, reduction)
    no_outer_product(name, input, target)
    rate, log_rate = (input.exp(), input) if log_input else (input, (input + eps).log())
    losses = rate - target * log_rate
    if full:
        many = target.masked_fill(target <= 1, 1.0)
        stirling = many * many.log() - many + 0.5 * (2 * math.pi * many).log()
        losses = losses + stirling.masked_fill(target <= 1, 0.0)
    return reduced(name, losses, reduction)


@autocasts(FLOAT32)
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """``(log(v) + (x - t)^2 / v) / 2`` with ``v = max(var, eps)``.

    Args:
        var: variances of the input's shape, or one fewer or a last dimension of 1 (the same for a
            row), or one number.
        full: add the constant log(2 pi) / 2.

    Raises:
        ArgumentError: a negative variance.
    """
    name = "gaussian_nll_loss"
    if isinstance(var, int | float):
        var = full_like(input, var)
    elif var.shape != input.shape:
        if tuple(var.shape) == tuple(input.shape[:-1]):
            var = var.unsqueeze(-1)
        elif not _fits(tuple(var.shape), tuple(input.shape)):
            raise ShapeError(
                f"{name}: var must have the input's shape, or one value for each row.",
                {"input": describe(input), "var": describe(var)},
            )
    no_outer_product(name, input, target)
    look(var, lambda values: _check_variances(name, values))
    safe = var.where(var >= eps, var - var.detach() + eps)  # a limit that gradients pass
    losses = 0.5 * (safe.log() + (input - target).square() / safe)
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return reduced(name, losses, reduction)


def _fits(var: tuple[int, ...], input: tuple[int, ...]) -> bool:
    """Whether variances are the input's but for dimensions of 1, at least one of them."""
    pairs = zip(var, input, strict=False)
    return len(var) == len(input) and all(v in (1, n) for v, n in pairs)


def _check_variances(name: str, values: np.ndarray[Any, Any]) -> None:
    if values.size and values.min() < 0:
        raise ArgumentError(f"{name}: variances must not be negative, got {float(values.min())}.")


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` for any distance d.

    Args:
        distance_function: ``pairwise_distance`` unless given.
        swap: use the distance between positive and negative if it is smaller.
    """
    name = "triplet_margin_with_distance_loss"
    if margin <= 0:
        raise ArgumentError(f"{name}: margin must be positive, got {margin}.")
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return reduced(name, (near - far + margin).clamp(min=0), reduction)
