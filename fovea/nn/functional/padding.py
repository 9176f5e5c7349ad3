"""Padding the last dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import TYPE_CHECKING

from fovea.casting import FLOAT32, autocasts
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.parts import cat
from fovea.ops.rearrange import PadAttrs
from fovea.ops.rearrange import pad as pad_op

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["pad"]


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Extend (or, with negative amounts, crop) the last dimensions.

    Args:
        pad: amounts before and after the last dimension, then the one before it, and so on:
            (left, right, top, bottom) for images.
        mode: ``"constant"``, ``"reflect"`` (mirror, without the edge), ``"replicate"`` (repeat the
            edge) or ``"circular"``.
        value: the constant; 0 unless given.

    Raises:
        ArgumentError: an unknown mode, or an odd number of amounts.
        ShapeError: more padding than there are elements to reflect.

    >>> import fovea
    >>> pad(fovea.tensor([1.0, 2.0, 3.0]).reshape(1, 3), (2, 1), mode="reflect")
    tensor([[3., 2., 1., 2., 3., 2.]])
    """
    amounts = [index(n) for n in pad]
    if len(amounts) % 2 or len(amounts) > 2 * input.ndim:
        raise ArgumentError(
            f"pad: two amounts a dimension are needed, for at most {input.ndim} dimensions, "
            f"got {tuple(pad)}."
        )
    pairs = list(zip(amounts[::2], amounts[1::2], strict=True))
    if mode == "constant":
        return _constant(input, pairs, 0.0 if value is None else value)
    if mode not in _SIDES:
        raise ArgumentError(
            f"pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got {mode!r}."
        )
    if value is not None:
        raise ArgumentError(f"pad: mode {mode!r} takes no value.")
    return _from_edges(input, pairs, mode) if mode == "circular" else _mirrored(input, pairs, mode)


def _from_edges(input: Tensor, pairs: list[tuple[int, int]], mode: str) -> Tensor:
    cropped = [(min(before, 0), min(after, 0)) for before, after in pairs]
    if any(amount for two in cropped for amount in two):
        input = _constant(input, cropped, 0.0)
    for i, (before, after) in enumerate(pairs):
        if before > 0 or after > 0:
            input = _extended(input, input.ndim - 1 - i, max(before, 0), max(after, 0), mode)
    return input


_mirrored = autocasts(FLOAT32)(_from_edges)


def _constant(input: Tensor, pairs: list[tuple[int, int]], value: float) -> Tensor:
    rest = [(0, 0)] * (input.ndim - len(pairs))
    before, after = zip(*rest, *reversed(pairs), strict=True) if input.ndim else ((), ())
    return pad_op.bind((input,), PadAttrs.of(before, after, float(value)))


def _reflected(x: Tensor, dim: int, before: int, after: int) -> tuple[Tensor, Tensor]:
    n = x.shape[dim]
    return x.narrow(dim, 1, before).flip(dim), x.narrow(dim, n - 1 - after, after).flip(dim)


def _replicated(x: Tensor, dim: int, before: int, after: int) -> tuple[Tensor, Tensor]:
    def repeated(edge: Tensor, times: int) -> Tensor:
        return edge.expand(*(times if d == dim else -1 for d in range(x.ndim)))

    n = x.shape[dim]
    return repeated(x.narrow(dim, 0, 1), before), repeated(x.narrow(dim, n - 1, 1), after)


def _wrapped(x: Tensor, dim: int, before: int, after: int) -> tuple[Tensor, Tensor]:
    return x.narrow(dim, x.shape[dim] - before, before), x.narrow(dim, 0, after)


Sides = Callable[["Tensor", int, int, int], tuple["Tensor", "Tensor"]]

# mode: the pieces before and after, and how many elements it can add to a dimension of n
_SIDES: dict[str, tuple[Sides, Callable[[int], int]]] = {
    "reflect": (_reflected, lambda n: n - 1),
    "replicate": (_replicated, lambda n: 2**31 if n else 0),
    "circular": (_wrapped, lambda n: n),
}


def _extended(input: Tensor, dim: int, before: int, after: int, mode: str) -> Tensor:
    sides, most = _SIDES[mode]
    limit = most(input.shape[dim])
    if max(before, after) > limit:
        raise ShapeError(
            f"pad: {mode} padding of {max(before, after)} needs more than the "
            f"{input.shape[dim]} elements of dimension {dim}; it can add {max(limit, 0)}.",
            {"input": describe(input)},
        )
    first, last = sides(input, dim, before, after)
    pieces = [t for t, n in ((first, before), (input, 1), (last, after)) if n]
    return cat(pieces, dim)
