"""Reading arguments as PyTorch takes them: one number or several, and how losses are reduced."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from operator import index
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, ShapeError, describe

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "hashable", "legacy_reduction", "no_outer_product", "numbers", "pair", "reduced", "same_shapes",
]  # fmt: skip


def hashable(value: Any) -> Any:
    """A list as a tuple, so that caches can hold it."""
    return tuple(value) if value.__class__ is list else value


def numbers(name: str, what: str, value: Any, n: int) -> tuple[int, ...]:
    """``n`` integers from one integer, or from a sequence of one or ``n``.

    >>> numbers("conv2d", "stride", 2, 2), numbers("conv2d", "stride", (1, 2), 2)
    ((2, 2), (1, 2))
    """
    try:
        if isinstance(value, Sequence) and not isinstance(value, str):
            out = tuple(index(v) for v in value)
        else:
            out = (index(value),)
    except TypeError:
        raise ArgumentError(
            f"{name}: {what} must be an integer or {n} of them, got {value!r}."
        ) from None
    if len(out) == 1:
        return out * n
    if len(out) != n:
        raise ArgumentError(f"{name}: {what} must be an integer or {n} of them, got {value!r}.")
    return out


@lru_cache(1024)
def pair(name: str, what: str, value: Any) -> tuple[int, int]:
    """Two integers from one or two."""
    first, second = numbers(name, what, value, 2)
    return first, second


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """What PyTorch's old pair of flags asks for; ``reduction`` if they are not given."""
    if size_average is None and reduce is None:
        return reduction
    summed = "sum" if size_average is False else "mean"
    chosen = "none" if reduce is False else summed
    warnings.warn(
        f"size_average and reduce are old names: use reduction={chosen!r} instead.", stacklevel=4
    )  # past the loss and its autocast
    return chosen


def reduced(name: str, losses: Tensor, reduction: str) -> Tensor:
    """The mean or the sum of losses, or the losses themselves."""
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    if reduction == "none":
        return losses
    raise ArgumentError(f"{name}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}.")


def no_outer_product(name: str, input: Tensor, target: Tensor) -> None:
    """ShapeError for (n, 1) against (n,) and the like, where a loss does broadcast."""
    if input.numel() == target.numel():
        same_shapes(name, input, target)


def same_shapes(name: str, input: Tensor, target: Tensor) -> None:
    """ShapeError unless both have one shape: losses never broadcast."""
    if input.shape == target.shape:
        return
    fix = "make the shapes equal; losses do not broadcast"
    if input.numel() == target.numel():
        smaller = "target" if input.ndim > target.ndim else "input"
        fix = f"{smaller} lacks a dimension: target.reshape(input.shape) gives it the same"
    raise ShapeError(
        f"{name}: input and target have different shapes.",
        {"input": describe(input), "target": describe(target)},
        fix,
    )
