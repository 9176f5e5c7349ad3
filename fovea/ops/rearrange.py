"""Copies whose elements have other places or neighbors: padding, flips, rolls, triangles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec, numel
from fovea.ops.rules import dense_strides, like_layout, require_dims

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class PadAttrs(Attrs):
    before: tuple[int, ...]
    after: tuple[int, ...]
    value: float


pad = Op("pad", ("x",), PadAttrs)  # constant padding; negative amounts crop


@pad.shape
def _(x: Shaped, a: PadAttrs) -> Spec:
    if not len(a.before) == len(a.after) == len(x.shape):
        raise ShapeError(f"pad: amounts {a.before}, {a.after} for {describe(x)}: one a dimension.")
    sides = list(zip(x.shape, a.before, a.after, strict=True))
    shape = tuple(n + b + e for n, b, e in sides)
    if any(n + min(b, 0) + min(e, 0) < 0 for n, b, e in sides):
        raise ShapeError(f"pad: cropping {a.before}, {a.after} leaves nothing of {describe(x)}.")
    strides = (
        None
        if x.strides is None or not numel(x.shape)
        else dense_strides(shape, dense_strides(tuple(x.shape), x.strides))
    )
    return Spec(shape, x.dtype, strides)


@pad.grad()
def _(ctx: Any, gy: Any) -> Any:
    a = ctx.attrs
    return pad.bind(
        (gy,), PadAttrs.of(tuple(-n for n in a.before), tuple(-n for n in a.after), 0.0)
    )


@pad.reference
def _(x: Array, a: PadAttrs) -> Array:
    if x.ndim == 0:
        return x
    crop = tuple(
        slice(max(-b, 0), n - max(-e, 0))
        for n, b, e in zip(x.shape, a.before, a.after, strict=True)
    )
    grow = [(max(b, 0), max(e, 0)) for b, e in zip(a.before, a.after, strict=True)]
    return np.pad(x[crop], grow, constant_values=np.asarray(a.value, dtype=x.dtype))


@dataclass(frozen=True, eq=False)
class DimsAttrs(Attrs):
    dims: tuple[int, ...]


flip = Op("flip", ("x",), DimsAttrs)


@flip.shape
def _(x: Shaped, a: DimsAttrs) -> Spec:
    require_dims("flip", len(x.shape), a.dims)
    return Spec(tuple(x.shape), x.dtype, like_layout(tuple(x.shape), (x,)))


flip.grad()(lambda ctx, gy: gy.flip(ctx.attrs.dims))
flip.reference(lambda x, a: np.flip(x, a.dims))


@dataclass(frozen=True, eq=False)
class RollAttrs(Attrs):
    shifts: tuple[int, ...]
    dims: tuple[int, ...]


roll = Op("roll", ("x",), RollAttrs)


@roll.shape
def _(x: Shaped, a: RollAttrs) -> Spec:
    for d in a.dims:
        require_dims("roll", len(x.shape), (d,))
    if len(a.shifts) != len(a.dims):
        raise ShapeError(f"roll: {len(a.shifts)} shifts for {len(a.dims)} dimensions.")
    return Spec(tuple(x.shape), x.dtype)


roll.grad()(lambda ctx, gy: gy.roll(tuple(-s for s in ctx.attrs.shifts), ctx.attrs.dims))
roll.reference(lambda x, a: np.roll(x, a.shifts, a.dims))


@dataclass(frozen=True, eq=False)
class TriangleAttrs(Attrs):
    diagonal: int


def _triangle_spec(name: str, x: Shaped) -> Spec:
    if len(x.shape) < 2:
        raise ShapeError(f"{name}: a matrix, or a batch of them, is needed, got {describe(x)}.")
    return Spec(tuple(x.shape), x.dtype)


tril = Op("tril", ("x",), TriangleAttrs)
tril.shape(lambda x, a: _triangle_spec("tril", x))
tril.grad()(lambda ctx, gy: gy.tril(ctx.attrs.diagonal))
tril.reference(lambda x, a: np.tril(x, a.diagonal))
triu = Op("triu", ("x",), TriangleAttrs)
triu.shape(lambda x, a: _triangle_spec("triu", x))
triu.grad()(lambda ctx, gy: gy.triu(ctx.attrs.diagonal))
triu.reference(lambda x, a: np.triu(x, a.diagonal))
