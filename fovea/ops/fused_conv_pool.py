"""A convolution and max pooling as one op, for graph passes: the larger image is never stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, describe
from fovea.ops.fused import FusedConvAttrs, conv2d_fused
from fovea.ops.fused_pointwise import MADE_LATER
from fovea.ops.fused_pool import suits
from fovea.ops.op import Op, Shaped, Spec
from fovea.ops.pool import PoolAttrs, max_pool2d

Array = np.ndarray[Any, Any]

__all__ = ["ConvPoolAttrs", "conv2d_max_pool"]


@dataclass(frozen=True, eq=False)
class ConvPoolAttrs(FusedConvAttrs):
    """``pool_kernel``, ``pool_stride``: of windows that lie apart within the convolution's
    result (see `fovea.ops.fused_pool.suits`).
    """

    pool_kernel: tuple[int, int] = (2, 2)
    pool_stride: tuple[int, int] = (2, 2)

    @property
    def pool(self) -> PoolAttrs:
        """The pooling's attributes."""
        return PoolAttrs.of(self.pool_kernel, self.pool_stride, (0, 0, 0, 0), (1, 1), False)


# y = max_pool2d(act((conv(x, weight) + inner) * scale + bias)); inner, scale and bias: one number a
# channel.
conv2d_max_pool = Op(
    "conv2d_max_pool",
    ("x", "weight", "bias?", "scale?", "inner?"),
    ConvPoolAttrs,
    nondifferentiable=MADE_LATER,
)


@conv2d_max_pool.shape
def _(
    x: Shaped,
    weight: Shaped,
    bias: Shaped | None,
    scale: Shaped | None,
    inner: Shaped | None,
    a: ConvPoolAttrs,
) -> Spec:
    assert conv2d_fused.shape_rule is not None and max_pool2d.shape_rule is not None
    image: Spec = conv2d_fused.shape_rule(x, weight, bias, scale, None, inner, a)
    if a.residual_after or not suits(tuple(image.shape), a.pool):
        raise ArgumentError(
            "conv2d_max_pool: windows must be small and lie apart within the convolution's result, "
            "to which nothing is added.",
            {"result": describe(image), "windows": str(a.pool)},
        )
    y: Spec = max_pool2d.shape_rule(image, a.pool)
    return y


@conv2d_max_pool.reference
def _(
    x: Array,
    weight: Array,
    bias: Array | None,
    scale: Array | None,
    inner: Array | None,
    a: ConvPoolAttrs,
) -> Array:
    assert conv2d_fused.reference_rule is not None and max_pool2d.reference_rule is not None
    image = conv2d_fused.reference_rule(x, weight, bias, scale, None, inner, a)
    y: Array = max_pool2d.reference_rule(image, a.pool)
    return y
