"""Cross entropy of a linear layer's outputs, which need not all be kept at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.parts import cat
from fovea.nn.functional.loss import cross_entropy
from fovea.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["LinearCrossEntropyOptions", "linear_cross_entropy"]


@dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """How `linear_cross_entropy` takes its rows in pieces.

    The outputs of a piece are computed again in backward, so that those of one piece are all that
    is kept at a time.

    Attributes:
        allow_retain_graph: taken as PyTorch takes it; backward may always run twice.
        batch_chunk_size: rows of a piece; instead of ``chunking_method``.
        chunking_method: ``"aspect_ratio:n"``: a piece's outputs take an n-th of the memory of
            ``input``; ``"aspect_ratio"`` and ``"auto"`` mean n = 1 and 2.
        acc_policy, acc_dtype: taken as PyTorch takes them; sums are in input's dtype.
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: Any = None

    def __post_init__(self) -> None:
        if self.acc_policy not in ("auto", "accurate", "balanced", "compact"):
            raise ArgumentError(f"invalid acc_policy: {self.acc_policy!r}.")
        if self.chunking_method is not None:
            self._factor()
        size = self.batch_chunk_size
        if size is not None and (not isinstance(size, int) or size <= 0):
            raise ArgumentError(f"batch_chunk_size must be positive or None, got {size!r}.")

    def _factor(self) -> int:
        if self.chunking_method == "auto":
            return 2
        name, _, factor = (self.chunking_method or "").partition(":")
        if name != "aspect_ratio" or not (factor or "1").isdigit() or int(factor or 1) < 1:
            raise ArgumentError(f"invalid chunking_method: {self.chunking_method!r}.")
        return int(factor or 1)

    def rows(self, n: int, features: int, classes: int) -> int:
        """How many of n rows a piece has."""
        if self.batch_chunk_size is not None:
            return self.batch_chunk_size
        if self.chunking_method is None:
            return n
        share = -(-n // -(-classes // features))
        return max(1, (1 << max(share - 1, 0).bit_length()) // self._factor())


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> Tensor:
    """``cross_entropy(linear(input, linear_weight, linear_bias), target)``.

    Args:
        input: (N, features) or (features).
        linear_weight: (C, features), or (C, d1, ..., features) for labels (N, d1, ...).
        target: int64 labels, or probabilities of the outputs' shape.
        linear_bias: (C) or (C, d1, ...).
        weight, reduction, label_smoothing: as of ``cross_entropy``.
        ignore_index: labels that do not count; -100 unless given.
        options: take the rows in pieces, for labels of one class each without smoothing.

    Raises:
        ShapeError: sizes that do not fit. ArgumentError: ``ignore_index`` with probabilities.

    >>> import fovea
    >>> x, w = fovea.zeros(2, 3), fovea.rand(4, 3)
    >>> linear_cross_entropy(x, w, fovea.tensor([0, 2]))
    tensor(1.3863)
    """
    shape = _logits_shape(input, linear_weight, linear_bias)
    if tuple(target.shape) == shape and ignore_index is not None:
        raise ArgumentError("linear_cross_entropy: ignore_index is for labels, not probabilities.")
    ignored = -100 if ignore_index is None else ignore_index
    plain = target.dtype is dtypes.int64 and linear_weight.ndim == 2 and not label_smoothing
    if options is not None and plain and input.ndim == 2:
        rows = options.rows(input.shape[0], input.shape[1], linear_weight.shape[0])
        if 0 < rows < input.shape[0]:
            losses = _in_pieces(input, linear_weight, target, linear_bias, weight, ignored, rows)
            return _reduced(losses, target, weight, ignored, reduction)
    logits = _logits(input, linear_weight, linear_bias, shape)
    return cross_entropy(
        logits,
        target,
        weight,
        ignore_index=ignored,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def _logits_shape(input: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[int, ...]:
    classes = tuple(weight.shape[:-1])
    fits = (
        input.ndim in (1, 2)
        and weight.ndim >= 2
        and input.shape[-1] == weight.shape[-1]
        and (input.ndim == 2 or weight.ndim == 2)
        and (bias is None or tuple(bias.shape) == classes)
    )
    if not fits:
        raise ShapeError(
            "linear_cross_entropy: input is (N, features) or (features), linear_weight "
            "(C, ..., features), linear_bias (C, ...).",
            {
                "input": describe(input),
                "linear_weight": describe(weight),
                "linear_bias": "None" if bias is None else describe(bias),
            },
        )
    return (*input.shape[:-1], *classes)


def _logits(input: Tensor, weight: Tensor, bias: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    y = input.matmul(weight.reshape(-1, weight.shape[-1]).t())
    if bias is not None:
        y = y + bias.reshape(-1)
    return y.reshape(shape)


def _in_pieces(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    bias: Tensor | None,
    weight: Tensor | None,
    ignored: int,
    rows: int,
) -> Tensor:
    """The losses of all rows, piece by piece."""

    def losses(x: Tensor, labels: Tensor) -> Tensor:
        shape = (x.shape[0], linear_weight.shape[0])
        logits = _logits(x, linear_weight, bias, shape)
        return cross_entropy(logits, labels, weight, ignore_index=ignored, reduction="none")

    pieces = zip(input.split(rows), target.split(rows), strict=True)
    return cat([checkpoint(losses, x, t, use_reentrant=False) for x, t in pieces])


def _reduced(
    losses: Tensor, target: Tensor, weight: Tensor | None, ignored: int, reduction: str
) -> Tensor:
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction != "mean":
        raise ArgumentError(
            f"linear_cross_entropy: reduction is 'none', 'mean' or 'sum', got {reduction!r}."
        )
    counts = (target != ignored).to(losses.dtype)
    if weight is not None:
        counts = counts * weight[target.clamp(0, weight.shape[0] - 1)]
    return losses.sum() / counts.sum()
