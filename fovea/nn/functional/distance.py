"""Losses on distances: regression and embeddings. Shapes must be equal: nothing broadcasts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fovea.casting import FLOAT32, autocasts
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.shaping import broadcast_tensors
from fovea.nn.functional.arguments import legacy_reduction, reduced, same_shapes
from fovea.ops.activation import SoftplusAttrs, softplus

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "cosine_embedding_loss",
    "cosine_similarity",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "pairwise_distance",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
]


def _weigh(name: str, losses: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """Element weights; a mean divides by their sum."""
    if weight is None:
        return reduced(name, losses, reduction)
    same_shapes(name, losses, weight)
    losses = losses * weight
    return losses.sum() / weight.sum() if reduction == "mean" else reduced(name, losses, reduction)


@autocasts(FLOAT32)
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """``(x - t) ** 2``.

    Raises:
        ShapeError: input and target of different shapes, such as (n, 1) and (n,).

    >>> import fovea
    >>> mse_loss(fovea.tensor([1.0, 3.0]), fovea.tensor([0.0, 0.0]))
    tensor(5.)
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    same_shapes("mse_loss", input, target)
    return _weigh("mse_loss", (input - target).square(), weight, reduction)


@autocasts(FLOAT32)
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """``|x - t|``."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    same_shapes("l1_loss", input, target)
    return _weigh("l1_loss", (input - target).abs(), weight, reduction)


@autocasts(FLOAT32)
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """``d**2 / (2 beta)`` where ``d = |x - t| < beta``, else ``d - beta / 2``."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss: beta must not be negative, got {beta}.")
    same_shapes("smooth_l1_loss", input, target)
    distance = (input - target).abs()
    if beta == 0:
        return reduced("smooth_l1_loss", distance, reduction)
    near = distance.square() * (0.5 / beta)
    return reduced("smooth_l1_loss", near.where(distance < beta, distance - 0.5 * beta), reduction)


@autocasts(FLOAT32)
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """``d**2 / 2`` where ``d = |x - t| <= delta``, else ``delta * (d - delta / 2)``."""
    if delta <= 0:
        raise ArgumentError(f"huber_loss: delta must be positive, got {delta}.")
    same_shapes("huber_loss", input, target)
    distance = (input - target).abs()
    near, far = distance.square() * 0.5, (distance - 0.5 * delta) * delta
    losses = near.where(distance <= delta, far)
    if weight is not None:  # a mean divides by the number of elements, unlike mse_loss's
        same_shapes("huber_loss", input, weight)
        losses = losses * weight
    return reduced("huber_loss", losses, reduction)


@autocasts(FLOAT32)
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """The Kullback-Leibler divergence ``t * (log t - x)``, x being log-probabilities.

    Args:
        reduction: also ``"batchmean"``, the sum divided by the batch size: the divergence's
            mathematical definition.
        log_target: whether target holds logarithms as well.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    same_shapes("kl_div", input, target)
    if log_target:
        losses = target.exp() * (target - input)
    else:  # t log t is 0 for t = 0
        logs = target.masked_fill(target == 0, 1.0).log()
        losses = target * (logs - input)
    if reduction == "batchmean":
        return losses.sum() / max(input.shape[0] if input.ndim else 1, 1)
    return reduced("kl_div", losses, reduction)


# -- embeddings --------------------------------------------------------------------------------


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """``x1 . x2 / (|x1| |x2|)`` along ``dim``; norms are at least ``eps``."""
    x1, x2 = broadcast_tensors(x1, x2)
    one = x1.norm(2, dim).clamp(min=eps)
    two = x2.norm(2, dim).clamp(min=eps)
    return (x1 * x2).sum(dim) / (one * two)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The ``p``-norm of ``x1 - x2 + eps`` along the last dimension."""
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


@autocasts(FLOAT32)
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``1 - cos`` for pairs with target 1, ``max(0, cos - margin)`` for those with -1."""
    name = "cosine_embedding_loss"
    reduction = legacy_reduction(size_average, reduce, reduction)
    same_shapes(name, input1, input2)
    if tuple(target.shape) != tuple(input1.shape[:-1]):
        raise ShapeError(
            f"{name}: target must have one label a pair, shape {tuple(input1.shape[:-1])}.",
            {"inputs": describe(input1), "target": describe(target)},
        )
    cosine = _stable_cosine(input1, input2)
    apart = (cosine - margin).relu()
    losses = (1 - cosine).where(target == 1, apart.where(target == -1, 0.0))
    return reduced(name, losses, reduction)


def _stable_cosine(x1: Tensor, x2: Tensor) -> Tensor:
    """The cosine as this loss defines it: 1e-12 is added under the root."""
    one, two = x1.square().sum(-1) + 1e-12, x2.square().sum(-1) + 1e-12
    return (x1 * x2).sum(-1) * (one * two).rsqrt()


@autocasts(FLOAT32)
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, -t * (x1 - x2) + margin)``."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    same_shapes("margin_ranking_loss", input1, input2)
    same_shapes("margin_ranking_loss", input1, target)
    return reduced(
        "margin_ranking_loss", (-target * (input1 - input2) + margin).clamp(min=0), reduction
    )


@autocasts(FLOAT32)
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``x`` where the target is 1, ``max(0, margin - x)`` where it is -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    same_shapes("hinge_embedding_loss", input, target)
    apart = (margin - input).clamp(min=0)
    losses = apart.where(target != 1, 0.0) + input.where(target != -1, 0.0)
    return reduced("hinge_embedding_loss", losses, reduction)


@autocasts(FLOAT32)
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``log(1 + exp(-t * x))`` for targets 1 and -1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    same_shapes("soft_margin_loss", input, target)
    losses = softplus.bind((-target.to(input.dtype) * input,), SoftplusAttrs.of(1.0, math.inf))
    return reduced("soft_margin_loss", losses, reduction)


@autocasts(FLOAT32)
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)``.

    Args:
        p, eps: of ``pairwise_distance``.
        swap: use the distance between positive and negative if it is smaller.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    same_shapes("triplet_margin_loss", anchor, positive)
    same_shapes("triplet_margin_loss", anchor, negative)
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = far.minimum(pairwise_distance(positive, negative, p, eps))
    return reduced("triplet_margin_loss", (near - far + margin).clamp(min=0), reduction)
