"""The largest or smallest few along the last dimension, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.errors import ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import require_real

__all__ = ["TopkAttrs", "topk"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class TopkAttrs(Attrs):
    """``count``: how many; ``largest``: else the smallest."""

    count: int
    largest: bool


# Of equal ones those that come first; NaN counts as the largest.
topk = Op("topk", ("x",), TopkAttrs, outputs=("values", "indices"))


@topk.shape
def _(x: Shaped, a: TopkAttrs) -> tuple[Spec, Spec]:
    require_real("topk", x)
    if not x.shape or not 0 <= a.count <= x.shape[-1]:
        raise ShapeError(f"topk: there are no {a.count} along the last dimension of {describe(x)}.")
    shape = (*x.shape[:-1], a.count)
    return Spec(shape, x.dtype), Spec(shape, dtypes.int64)


@topk.grad(saves=("indices",))
def _(ctx: Any, gv: Any, gi: Any) -> Any:
    shape = ctx.shape(0)
    return gv.new_zeros(shape).scatter_add(len(shape) - 1, ctx.indices, gv)


@topk.reference
def _(x: Array, a: TopkAttrs) -> tuple[Array, Array]:
    if a.largest:  # stable and descending: sort the reversed sequence, then reverse
        order = np.flip(np.argsort(np.flip(x, -1), axis=-1, kind="stable"), -1)
        order = x.shape[-1] - 1 - order
    else:
        order = np.argsort(x, axis=-1, kind="stable")
    order = order[..., : a.count]
    return np.take_along_axis(x, order, -1), order
