"""Connectionist temporal classification: the probability of a sequence of labels, unaligned."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.casting import FLOAT32, autocasts
from fovea.errors import ArgumentError, LabelError, ShapeError, describe
from fovea.functions.creation import as_tensor
from fovea.functions.parts import cat, stack
from fovea.functions.ranges import arange
from fovea.nn.functional.arguments import reduced
from fovea.ops.ctc import NEVER, ctc_rows
from fovea.tensorbase import is_tensor
from fovea.watching import look

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ctc_loss"]


@autocasts(FLOAT32)
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability of all ways to read the labels off a sequence.

    A way names a label or the blank at each step; repeated labels count once, blanks not at all.

    Args:
        log_probs: logarithms of probabilities (T, N, C) or (T, C).
        targets: labels (N, S), or those of all sequences one after another; never the blank.
        input_lengths: steps of each sequence, (N,) or ().
        target_lengths: labels of each sequence.
        blank: the class that means nothing.
        reduction: a mean is of the losses divided by the number of labels.
        zero_infinity: sequences too short for their labels cost 0, not infinity.

    Raises:
        ShapeError: shapes or lengths that do not fit. LabelError: a label outside [0, C).

    Source: A. Graves et al., "Connectionist Temporal Classification", 2006.

    >>> import fovea
    >>> steps = fovea.full((3, 1, 2), 0.5).log()
    >>> ctc_loss(steps, fovea.tensor([[1]]), [3], [1])
    tensor(0.2877)
    """
    lone = log_probs.ndim == 2
    x = log_probs.unsqueeze(1) if lone else log_probs
    if x.ndim != 3:
        raise ShapeError(
            f"ctc_loss: log_probs must be (T, N, C) or (T, C), got {describe(log_probs)}."
        )
    steps, n, classes = x.shape
    if not 0 <= blank < classes:
        raise ArgumentError(f"ctc_loss: blank {blank} is outside the {classes} classes.")
    lengths = _lengths("input_lengths", input_lengths, n, steps)
    counts = _lengths("target_lengths", target_lengths, n, None)
    labels = _rows(targets, target_lengths, counts, n, classes)
    # The gradient is that of probabilities that sum to 1: softmax's own part is taken in here.
    x = x - x.logsumexp(-1, keepdim=True) + x.detach().logsumexp(-1, keepdim=True)
    wide = x if x.dtype.itemsize >= 4 else x.float()
    losses = -_forward(wide, labels, lengths, counts, blank)
    impossible = losses > -0.5 * NEVER
    losses = losses.masked_fill(impossible, 0.0 if zero_infinity else float("inf"))
    if reduction == "mean":
        losses = losses / counts.clamp(min=1).to(losses.dtype)
    losses = losses.to(x.dtype)
    return reduced("ctc_loss", losses.squeeze(0) if lone else losses, reduction)


def _lengths(what: str, given: Any, n: int, most: int | None) -> Tensor:
    """(N,) int64, from a tensor, numbers, or one number."""

    def check(values: Any) -> None:
        if values.size and (values.min() < 0 or (most is not None and values.max() > most)):
            raise ShapeError(
                f"ctc_loss: {what} must lie between 0 and {most}, got {values.tolist()}."
            )

    lengths = as_tensor(given)
    if lengths.numel() != n:
        raise ShapeError(f"ctc_loss: {what} must hold {n} numbers, got {lengths.numel()}.")
    _seen(given, check)
    return lengths.to(dtypes.int64).reshape(-1)


def _seen(given: Any, see: Callable[[Any], Any]) -> Any:
    """What ``see`` says of numbers, in a tensor or not."""
    return look(given, see) if is_tensor(given) else see(np.array(given))


def _rows(targets: Tensor, given: Any, counts: Tensor, n: int, classes: int) -> Tensor:
    """The labels as (N, S), whichever way they are given."""

    def check(values: Any) -> None:
        if values.size and (values.min() < 0 or values.max() >= classes):
            raise LabelError(
                f"ctc_loss: labels from {values.min()} to {values.max()} are not all among the "
                f"{classes} classes."
            )

    look(targets, check, essential=False)
    targets = targets.to(dtypes.int64)
    if targets.ndim == 2 and targets.shape[0] == n:
        return targets
    total, longest = _seen(given, lambda v: (int(v.sum()), int(v.max()) if v.size else 0))
    if targets.ndim != 1 or targets.numel() < total:
        raise ShapeError(
            f"ctc_loss: targets must be (N, S) or hold the {total} labels in a row.",
            {"targets": describe(targets)},
        )
    if n == 1 or not longest:
        return targets[:longest].expand(n, longest)
    first = (counts.cumsum(0) - counts).unsqueeze(1)
    return targets[(first + arange(longest)).clamp(max=targets.numel() - 1)]


def _forward(x: Tensor, labels: Tensor, lengths: Tensor, counts: Tensor, blank: int) -> Tensor:
    """log of the sum over all ways, (N,): the forward recursion over labels with blanks between."""
    steps, n, _ = x.shape
    longest = labels.shape[1]
    blanks = labels.new_full((n, longest), blank)
    between = stack([blanks, labels], 2).flatten(1)
    between = cat([between, labels.new_full((n, 1), blank)], 1)  # (N, 2 S + 1)
    states = between.shape[1]
    seen = x.gather(2, between.unsqueeze(0).expand(steps, n, states))
    skips = (between[:, 2:] != between[:, :-2]) & (between[:, 2:] != blank)
    skips = cat([skips.new_zeros((n, min(2, states))), skips], 1)
    if steps:
        alpha = ctc_rows.bind((seen, skips, lengths))[-1]
    else:
        alpha = seen.new_full((n, states), NEVER)
    last = (2 * counts).unsqueeze(1)
    ends = cat([alpha.gather(1, last), alpha.gather(1, (last - 1).clamp(min=0))], 1)
    alone = cat([(counts < 0).unsqueeze(1), (counts == 0).unsqueeze(1)], 1)  # no labels: one end
    total = ends.masked_fill(alone, NEVER).logsumexp(1)
    return total.masked_fill((lengths == 0) & (counts > 0), NEVER)
