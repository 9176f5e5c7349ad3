"""Convolution of bytes: what quantized networks compute with.

Images are unsigned bytes, ``(q - zero_point) * scale``; weights are signed ones with a scale for
each output channel and no zero point, as ONNX's and TFLite's quantizers write them. Sums are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.ops.conv import ConvAttrs, conv2d
from fovea.ops.op import Op, Shaped, Spec

Array = np.ndarray[Any, Any]

__all__ = ["ByteConvAttrs", "conv2d_bytes"]


@dataclass(frozen=True, eq=False)
class ByteConvAttrs(ConvAttrs):
    """``border``: the byte that padding adds, which stands for 0."""

    border: int = 0


conv2d_bytes = Op(
    "conv2d_bytes",
    ("x", "weight", "scale", "shift"),
    ByteConvAttrs,
    nondifferentiable="bytes have no gradients",
)


@conv2d_bytes.shape
def _(x: Shaped, weight: Shaped, scale: Shaped, shift: Shaped, a: ByteConvAttrs) -> Spec:
    wanted = {"x": (x, dtypes.uint8), "weight": (weight, dtypes.int8)}
    wanted |= {"scale": (scale, dtypes.float32), "shift": (shift, dtypes.float32)}
    for name, (t, dtype) in wanted.items():
        if t.dtype is not dtype:
            raise DTypeError(f"conv2d_bytes: {name} must be {dtype.name}.", {name: describe(t)})
    if not 0 <= a.border < 256:
        raise ArgumentError(f"conv2d_bytes: border must be a byte, got {a.border}.")
    for name, t in (("scale", scale), ("shift", shift)):
        if tuple(t.shape) != tuple(weight.shape[:1]):
            raise ShapeError(
                f"conv2d_bytes: {name} must have a number for each output channel.",
                {name: describe(t), "weight": describe(weight)},
            )
    real = [Spec(tuple(t.shape), dtypes.float32, None) for t in (x, weight)]
    (spec,) = conv2d.specs((*real, None), ConvAttrs.of(a.stride, a.padding, a.dilation, a.groups))
    return spec


@conv2d_bytes.reference
def _(x: Array, weight: Array, scale: Array, shift: Array, a: ByteConvAttrs) -> Array:
    top, bottom, left, right = a.padding
    sides = ((0, 0), (0, 0), (top, bottom), (left, right))
    padded = np.pad(x, sides, constant_values=a.border).astype(np.float64)
    plain = ConvAttrs.of(a.stride, (0, 0, 0, 0), a.dilation, a.groups)
    assert conv2d.reference_rule is not None
    sums = conv2d.reference_rule(padded, weight.astype(np.float64), None, plain)
    each = (1, -1, 1, 1)
    y = sums.astype(np.float32) * scale.reshape(each) + shift.reshape(each)
    return y.astype(np.float32)
