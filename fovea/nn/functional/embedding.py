"""Look-ups in tables: rows by number, and bags of rows put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.autograd import no_grad
from fovea.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError, describe
from fovea.functions.creation import full_like
from fovea.functions.ordering import searchsorted
from fovea.functions.ranges import arange
from fovea.watching import look

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["embedding", "embedding_bag"]


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of ``weight``, picked by ``input``.

    Args:
        input: int64 or int32 row numbers, of any shape.
        weight: (rows, features).
        padding_idx: a row that gets no gradient.
        max_norm: rows with a larger ``norm_type``-norm are scaled down, in place, when picked.
        scale_grad_by_freq: divide the gradient of a row by how often it was picked.
        sparse: taken as PyTorch takes it; gradients are dense all the same.

    Raises:
        OutOfRangeError: a row that is not there.

    >>> import fovea
    >>> embedding(fovea.tensor([1, 0]), fovea.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[3., 4.],
            [1., 2.]])
    """
    padding = _check("embedding", input, weight, padding_idx)
    if max_norm is not None:
        _renormalize(weight, input, max_norm, norm_type)
    picked = weight[input]
    if scale_grad_by_freq:
        picked = _by_frequency(picked, input, weight.shape[0])
    if padding is None:
        return picked
    return picked.where((input != padding).unsqueeze(-1), picked.detach())


def _check(name: str, input: Tensor, weight: Tensor, padding_idx: int | None) -> int | None:
    """Checks a table and the rows to be picked; returns ``padding_idx`` from 0 up."""
    if weight.ndim != 2:
        raise ShapeError(f"{name}: weight must be (rows, features), got {describe(weight)}.")
    if input.dtype not in (dtypes.int64, dtypes.int32):
        raise DTypeError(
            f"{name}: input must be int64 or int32, got {describe(input)}.", fix="input.long()"
        )
    rows = weight.shape[0]
    look(input, lambda values: _check_rows(name, values, rows))
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise OutOfRangeError(f"{name}: padding_idx {padding_idx} is out of range for {rows} rows.")
    return padding_idx % rows


def _check_rows(name: str, values: np.ndarray[Any, Any], rows: int) -> None:
    if values.size and (int(values.min()) < 0 or int(values.max()) >= rows):
        wrong = values[(values < 0) | (values >= rows)].flat[0]
        place = tuple(int(i) for i in np.argwhere(values == wrong)[0])
        raise OutOfRangeError(
            f"{name}: row {int(wrong)} is out of range for {rows} rows.",
            {"place": str(place), "rows": f"{rows}: 0 to {rows - 1}"},
            f"{rows} rows are too few: {int(wrong) + 1} are needed"
            if wrong > 0
            else "rows count from 0",
        )


def _renormalize(weight: Tensor, input: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the picked rows that are too long down to ``max_norm``."""
    with no_grad():
        rows = input.reshape(input.numel()).unique()
        picked = weight[rows]
        norms = picked.norm(norm_type, 1, keepdim=True)
        weight[rows] = picked * (max_norm / (norms + 1e-7)).clamp(max=1.0)


def _by_frequency(picked: Tensor, input: Tensor, rows: int) -> Tensor:
    """The same values, with gradients divided by how often each row was picked."""
    flat = input.reshape(input.numel())
    counts = picked.new_zeros((rows,)).index_add(0, flat, picked.new_ones((flat.shape[0],)))
    share = (1 / counts[input]).unsqueeze(-1)
    fixed = picked.detach()
    return fixed + (picked - fixed) * share


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Bags of rows of ``weight``, each put together into one; an empty bag gives zeros.

    Args:
        input: int64 or int32 row numbers: (bags, n), or (all) together with ``offsets``.
        weight: (rows, features).
        offsets: (bags): where each bag starts in a 1-D ``input``.
        max_norm: rows with a larger ``norm_type``-norm are scaled down, in place, when picked.
        scale_grad_by_freq: divide the gradient of a row by how often it was picked.
        mode: ``"sum"``, ``"mean"`` or ``"max"``.
        sparse: taken as PyTorch takes it; gradients are dense all the same.
        per_sample_weights: factors of the rows, of input's shape; for ``"sum"`` alone.
        include_last_offset: ``offsets`` has one more entry, where the last bag ends.
        padding_idx: a row that no bag counts.

    Returns: (bags, features).

    Raises:
        ValueError: offsets or weights that do not fit. OutOfRangeError: a row that is not there.

    >>> import fovea
    >>> rows, table = fovea.tensor([0, 1, 1]), fovea.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> embedding_bag(rows, table, fovea.tensor([0, 1]), mode="sum")
    tensor([[1., 2.],
            [6., 8.]])
    """
    padding = _check("embedding_bag", input, weight, padding_idx)
    _check_bags(input, offsets, mode, per_sample_weights, scale_grad_by_freq)
    if max_norm is not None:
        _renormalize(weight, input, max_norm, norm_type)
    flat = input.reshape(input.numel())
    picked = weight[flat]
    if scale_grad_by_freq:
        picked = _by_frequency(picked, flat, weight.shape[0])
    if per_sample_weights is not None:
        picked = picked * per_sample_weights.reshape(flat.shape[0], 1)
    if offsets is None:
        bags = input.shape[0]
        bag = arange(bags).repeat_interleave(input.shape[1])
    else:
        starts = offsets[:-1] if include_last_offset else offsets
        bags = starts.shape[0]
        look(offsets, lambda values: _check_offsets(values, flat.shape[0]))
        bag = searchsorted(starts.long(), arange(flat.shape[0]), right=True) - 1
    if padding is not None:  # into one more bag, which is dropped
        bag = bag.where(flat != padding, full_like(bag, bags))
    return _together(picked, bag, bags + 1, mode)[:bags]


def _check_bags(
    input: Tensor,
    offsets: Tensor | None,
    mode: str,
    per_sample_weights: Tensor | None,
    scale_grad_by_freq: bool,
) -> None:
    if input.ndim not in (1, 2) or (offsets is None) != (input.ndim == 2):
        raise ShapeError(
            "embedding_bag: input is (bags, n), or (all) with offsets.",
            {"input": describe(input), "offsets": "None" if offsets is None else describe(offsets)},
        )
    if offsets is not None and offsets.ndim != 1:
        raise ShapeError(f"embedding_bag: offsets must be 1-D, got {describe(offsets)}.")
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError(f"embedding_bag: mode is 'sum', 'mean' or 'max', got {mode!r}.")
    if mode == "max" and scale_grad_by_freq:
        raise ArgumentError("embedding_bag: scale_grad_by_freq is not for mode 'max'.")
    if per_sample_weights is None:
        return
    if mode != "sum":
        raise ArgumentError(f"embedding_bag: per_sample_weights are for mode 'sum', not {mode!r}.")
    if per_sample_weights.shape != input.shape:
        raise ShapeError(
            "embedding_bag: per_sample_weights must have input's shape.",
            {"per_sample_weights": describe(per_sample_weights), "input": describe(input)},
        )


def _check_offsets(values: np.ndarray[Any, Any], n: int) -> None:
    if values.size and (values[0] != 0 or values[-1] > n or (np.diff(values) < 0).any()):
        raise ArgumentError(
            f"embedding_bag: offsets rise from 0 to at most {n}, got {values.tolist()}."
        )


def _together(picked: Tensor, bag: Tensor, bags: int, mode: str) -> Tensor:
    """Sum, mean or maximum of all rows that go into each bag."""
    zeros = picked.new_zeros((bags, picked.shape[1]))
    if mode == "max":
        places = bag.unsqueeze(1).expand(-1, picked.shape[1])
        return zeros.scatter_reduce(0, places, picked, "amax", include_self=False)
    total = zeros.index_add(0, bag, picked)
    if mode == "sum":
        return total
    counts = picked.new_zeros((bags,)).index_add(0, bag, picked.new_ones((picked.shape[0],)))
    return total / counts.clamp(min=1).unsqueeze(1)
