"""``keras.ops``: products of vectors, matrices and tensors."""

from __future__ import annotations

from typing import Any

import fovea
from fovea.keras.ops import reductions
from fovea.keras.ops.elementwise import common, tensor
from fovea.keras.ops.symbolic import symbolic

__all__ = [
    "cross", "dot", "einsum", "inner", "kron", "matmul", "outer", "tensordot", "trace", "vdot",
]  # fmt: skip


def _factors(*xs: Any) -> list[Any]:
    """Tensors of one dtype; sums of products of bytes need more than a byte."""
    found = common(*xs)
    return [t.to(fovea.int32) for t in found] if found[0].dtype is fovea.int8 else found


@symbolic
def matmul(x1: Any, x2: Any) -> Any:
    """The product of matrices, or of batches of them."""
    return fovea.matmul(*_factors(x1, x2))


@symbolic
def dot(x1: Any, x2: Any) -> Any:
    """NumPy's ``dot``: over the last axis of the first and the second last of the second."""
    a, b = common(x1, x2)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return fovea.tensordot(a, b, ([a.ndim - 1], [b.ndim - 2 if b.ndim > 1 else 0]))


@symbolic
def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    """The sum of products over axes."""
    a, b = common(x1, x2)
    return fovea.tensordot(a, b, axes)


@symbolic
def outer(x1: Any, x2: Any) -> Any:
    """All products of two vectors' elements."""
    a, b = common(x1, x2)
    return fovea.outer(a.reshape(-1), b.reshape(-1))


@symbolic
def einsum(subscripts: str, *operands: Any, **kwargs: Any) -> Any:
    """Sums of products, by Einstein's notation; hints of how to compute them are not needed."""
    return fovea.einsum(subscripts, *_factors(*operands))


@symbolic
def inner(x1: Any, x2: Any) -> Any:
    """Sums of products over the last axes."""
    return fovea.inner(*common(x1, x2))


@symbolic
def vdot(x1: Any, x2: Any) -> Any:
    """The sum of products of all elements."""
    a, b = common(x1, x2)
    return fovea.vdot(a.reshape(-1), b.reshape(-1))


@symbolic
def kron(x1: Any, x2: Any) -> Any:
    """All products of elements, as blocks."""
    return fovea.kron(*common(x1, x2))


@symbolic
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a diagonal."""
    return reductions.sum(fovea.diagonal(tensor(x), offset, axis1, axis2), -1)


@symbolic
def cross(
    x1: Any,
    x2: Any,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Any:
    """The vector product; of vectors of the plane its height."""
    a, b = common(x1, x2)
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = fovea.movedim(a, axisa, -1), fovea.movedim(b, axisb, -1)
    if a.shape[-1] == 2 and b.shape[-1] == 2:
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    a, b = (_in_space(v) for v in (a, b))
    a, b = fovea.broadcast_tensors(a, b)
    return fovea.movedim(fovea.linalg.cross(a, b), -1, axisc)


def _in_space(v: Any) -> Any:
    if v.shape[-1] == 3:
        return v
    return fovea.cat([v, fovea.zeros_like(v[..., :1])], -1)
