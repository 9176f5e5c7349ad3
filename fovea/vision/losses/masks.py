"""What losses of masks share: three ways in which labels are given, as one form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import fovea.nn.functional as F
from fovea import dtypes, watching
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import tensor
from fovea.functions.pointwise import where
from fovea.ops.loss import check_labels

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["MODES", "as_planes", "check_mode", "mean_of_classes"]

MODES = ("binary", "multiclass", "multilabel")


def check_mode(name: str, mode: str, weights: Sequence[float] | None = None) -> None:
    """Raise an error for an unknown mode, and for classes of a binary mask."""
    if mode not in MODES:
        raise ArgumentError(f"{name}: mode must be one of {', '.join(MODES)}; got {mode!r}.")
    if weights is not None and mode == "binary":
        raise ArgumentError(f"{name}: a binary mask has no classes to choose or to weight.")


def as_planes(
    name: str, mode: str, scores: Tensor, target: Tensor, ignore_index: int | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Scores and targets as planes of classes.

    Args:
        scores: (N, C, ...); binary: (N, ...) with as many numbers as the target.
        target: (N, ...) of class numbers for "multiclass"; otherwise zeros and ones, as many as
            scores.
        ignore_index: pixels of this label do not count.

    Returns:
        scores (N, C, P), targets (N, C, P) in the scores' dtype, zero where ignored, and which
        pixels count, (N, 1 or C, P), or None for all.
    """
    if scores.ndim < 1 or target.ndim < 1 or scores.shape[0] != target.shape[0]:
        raise _mismatch(name, mode, scores, target)
    count = scores.shape[0]
    if mode == "multiclass":
        if scores.ndim < 2 or (count, *scores.shape[2:]) != _pixels(scores, target):
            raise _mismatch(name, mode, scores, target)
        classes = scores.shape[1]
        labels = target.reshape(count, -1).to(dtypes.int64)
        kept = None if ignore_index is None else labels != ignore_index
        if kept is not None:
            labels = where(kept, labels, 0)
        watching.look(labels, lambda a: check_labels(name, a, classes), essential=False)
        planes = F.one_hot(labels, classes).transpose(1, 2).to(scores.dtype)
    else:
        if scores.numel() != target.numel() or (mode == "multilabel" and scores.ndim < 2):
            raise _mismatch(name, mode, scores, target)
        classes = scores.shape[1] if mode == "multilabel" else 1
        planes = target.reshape(count, classes, -1)
        kept = None if ignore_index is None else planes != ignore_index
        planes = planes.to(scores.dtype)
    if kept is not None:
        kept = kept.unsqueeze(1) if kept.ndim == 2 else kept
        planes = where(kept, planes, 0.0)
    return scores.reshape(count, classes, -1), planes, kept


def _pixels(scores: Tensor, target: Tensor) -> tuple[int, ...]:
    """The target's shape, without a channel of its own: (N, 1, H, W) is (N, H, W)."""
    shape = tuple(target.shape)
    return (shape[0], *shape[2:]) if len(shape) == scores.ndim and shape[1] == 1 else shape


def _mismatch(name: str, mode: str, scores: Tensor, target: Tensor) -> ShapeError:
    wanted = {
        "binary": "as many labels as scores, image by image",
        "multiclass": "scores (N, C, ...) and class numbers (N, ...)",
        "multilabel": "scores (N, C, ...) and zeros and ones of the same shape",
    }[mode]
    return ShapeError(
        f"{name}: {mode} masks are {wanted}, got {describe(scores)} and {describe(target)}."
    )


def mean_of_classes(
    losses: Tensor, weights: Sequence[float] | None, classes: Sequence[int] | None = None
) -> Tensor:
    """The (weighted) mean of a loss a class, of all classes or of some."""
    chosen = list(range(losses.shape[0])) if classes is None else list(classes)
    if classes is not None:
        losses = losses[chosen]
    if weights is None:
        return losses.mean()
    if max(chosen, default=0) >= len(weights):
        raise ShapeError(f"{len(weights)} weights of classes do not suffice for {chosen}.")
    factors = tensor([weights[c] for c in chosen], dtype=losses.dtype)
    return (losses * factors).sum() / factors.sum()
