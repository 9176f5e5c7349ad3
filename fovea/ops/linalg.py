"""Matrix products."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fovea.casting import LOWER
from fovea.errors import ShapeError, describe
from fovea.ops.op import Op, Shaped, Spec
from fovea.ops.rules import broadcast_shapes, same_dtype, sum_to

Array = np.ndarray[Any, Any]

# (..., m, k) @ (..., k, n), at least 2-D; batch dimensions broadcast
matmul = Op("matmul", ("a", "b"), autocast=LOWER)


@matmul.shape
def _(a: Shaped, b: Shaped) -> Spec:
    dtype = same_dtype("matmul", a, b)
    if len(a.shape) < 2 or len(b.shape) < 2 or a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"matmul: {tuple(a.shape)} and {tuple(b.shape)} do not multiply: "
            f"{a.shape[-1] if a.shape else 'a scalar'} columns against "
            f"{b.shape[-2] if len(b.shape) > 1 else '?'} rows.",
            {"a": describe(a), "b": describe(b)},
            "the last dimension of a must equal the second-last of b",
        )
    batch = broadcast_shapes("matmul", a.shape[:-2], b.shape[:-2])
    return Spec((*batch, a.shape[-2], b.shape[-1]), dtype)


def _rows(t: Any) -> Any:
    """(..., features) as (all, features); -1 would not do for no features."""
    return t.reshape((prod(t.shape[:-1]), t.shape[-1]))


@matmul.grad(saves=("a", "b"))
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    ga = gb = None
    if ctx.needed[0]:
        ga = sum_to(matmul.bind((gy, ctx.b.transpose(-1, -2))), ctx.shape(0))
    if ctx.needed[1]:
        a = ctx.a
        if (
            len(ctx.shape(1)) == 2 and len(ctx.shape(0)) > 2
        ):  # one product instead of a batch and a sum
            a, gy = _rows(a), _rows(gy)
        gb = sum_to(matmul.bind((a.transpose(-1, -2), gy)), ctx.shape(1))
    return ga, gb


@matmul.reference
def _(a: Array, b: Array) -> Array:
    return np.matmul(a, b)


# (..., in) @ weight.T + bias, weight (out, in): one kernel call
linear = Op("linear", ("x", "weight", "bias?"), autocast=LOWER)


@linear.shape
def _(x: Shaped, weight: Shaped, bias: Shaped | None) -> Spec:
    dtype = same_dtype("linear", *(t for t in (x, weight, bias) if t is not None))
    if len(weight.shape) != 2 or not x.shape or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"linear: x has {x.shape[-1] if x.shape else 'no'} features, weight expects "
            f"{weight.shape[1] if len(weight.shape) == 2 else 'to be 2-D'}.",
            {"x": describe(x), "weight": f"{describe(weight)}  (out, in)"},
            f"Linear(in_features={x.shape[-1] if x.shape else 1}, ...) or reshape x",
        )
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise ShapeError(f"linear: bias {describe(bias)} does not fit weight {describe(weight)}.")
    return Spec((*x.shape[:-1], weight.shape[0]), dtype)


@linear.grad(saves=("x", "weight"))
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    rows = _rows(gy)
    gx = gw = gb = None
    if ctx.needed[0]:
        gx = matmul.bind((rows, ctx.weight)).reshape(ctx.shape(0))
    if ctx.needed[1]:
        gw = matmul.bind((rows.transpose(0, 1), _rows(ctx.x)))
    if len(ctx.needed) > 2 and ctx.needed[2]:
        gb = rows.sum((0,))
    return gx, gw, gb


@linear.reference
def _(x: Array, weight: Array, bias: Array | None) -> Array:
    y = np.matmul(x, weight.T)
    return y if bias is None else y + bias
