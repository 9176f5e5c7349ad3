"""Softmax and its logarithm along one dimension.

Both subtract the maximum first, so large inputs do not overflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import like_layout, normalize_dim, require_floating, same_dtype

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class SoftmaxAttrs(Attrs):
    dim: int


softmax = Op("softmax", ("x",), SoftmaxAttrs)
softmax_grad = Op("softmax_grad", ("gy", "y"), SoftmaxAttrs)
log_softmax = Op("log_softmax", ("x",), SoftmaxAttrs)
log_softmax_grad = Op("log_softmax_grad", ("gy", "y"), SoftmaxAttrs)


def _declare_shapes(op: Op, op_grad: Op) -> None:
    @op.shape
    def _(x: Shaped, a: SoftmaxAttrs) -> Spec:
        require_floating(op.name, x=x)
        normalize_dim(op.name, a.dim, len(x.shape))
        shape = tuple(x.shape)
        return Spec(shape, x.dtype, like_layout(shape, (x,)))

    @op_grad.shape
    def _(gy: Shaped, y: Shaped, a: SoftmaxAttrs) -> Spec:
        require_floating(op_grad.name, gy=gy)
        normalize_dim(op_grad.name, a.dim, len(y.shape))
        shape = tuple(y.shape)
        if tuple(gy.shape) != shape:
            raise ShapeError(f"{op_grad.name}: gy {describe(gy)} must have y's shape {shape}.")
        return Spec(shape, same_dtype(op_grad.name, gy, y), like_layout(shape, (y,)))


_declare_shapes(softmax, softmax_grad)
_declare_shapes(log_softmax, log_softmax_grad)


@softmax.grad(saves=("y",))
def _(ctx: Any, gy: Any) -> Any:
    return softmax_grad.bind((gy, ctx.y), ctx.attrs)


@log_softmax.grad(saves=("y",))
def _(ctx: Any, gy: Any) -> Any:
    return log_softmax_grad.bind((gy, ctx.y), ctx.attrs)


@softmax_grad.decompose
def _(gy: Any, y: Any, a: SoftmaxAttrs) -> Any:
    return y * (gy - (gy * y).sum((a.dim,), keepdim=True))


@log_softmax_grad.decompose
def _(gy: Any, y: Any, a: SoftmaxAttrs) -> Any:
    return gy - y.exp() * gy.sum((a.dim,), keepdim=True)


def _axis(x: Array, a: SoftmaxAttrs) -> int | None:
    return a.dim if x.ndim else None


def _shifted(x: Array, a: SoftmaxAttrs) -> Array:
    """x minus its maximum."""
    return x - x.max(_axis(x, a), keepdims=True, initial=-np.inf)


@softmax.reference
def _(x: Array, a: SoftmaxAttrs) -> Array:
    e = np.exp(_shifted(x, a))
    return e / e.sum(_axis(x, a), keepdims=True)


@log_softmax.reference
def _(x: Array, a: SoftmaxAttrs) -> Array:
    d = _shifted(x, a)
    return d - np.log(np.exp(d).sum(_axis(x, a), keepdims=True))


@softmax_grad.reference
def _(gy: Array, y: Array, a: SoftmaxAttrs) -> Array:
    return y * (gy - (gy * y).sum(_axis(y, a), keepdims=True))


@log_softmax_grad.reference
def _(gy: Array, y: Array, a: SoftmaxAttrs) -> Array:
    return gy - np.exp(y) * gy.sum(_axis(y, a), keepdims=True)
