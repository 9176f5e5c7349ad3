"""Computing with bytes: numbers as ``(q - zero_point) * scale``, with the names of ONNX.

The building blocks of quantized inference: what an exporter's quantizer makes of a network runs on
these. Products and sums of bytes are exact; one float32 multiplication and addition follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.functions.creation import zeros
from fovea.functions.parts import cat
from fovea.functions.shaping import reshape
from fovea.ops.conv import ConvAttrs, conv2d
from fovea.ops.quantized import ByteConvAttrs, conv2d_bytes

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["dequantize_linear", "qlinear", "qlinear_conv2d", "quantize_linear"]

_GROUP = 4  # channels that are multiplied at once
_EXACT = 512  # products of bytes whose sum float32 holds exactly
_RANGES = {dtypes.uint8: (0, 255), dtypes.int8: (-128, 127)}


def quantize_linear(
    x: Tensor, scale: Any, zero_point: int = 0, dtype: Any = dtypes.uint8, axis: int = 1
) -> Tensor:
    """``clamp(round(x / scale) + zero_point)``, ties to even.

    Args:
        x: floats.
        scale: a number, or one for each index along ``axis``.
        zero_point: the byte that stands for 0.
        dtype: ``uint8`` or ``int8``.
        axis: the dimension that scales belong to.

    Raises:
        DTypeError: another dtype.

    >>> import fovea
    >>> quantize_linear(fovea.tensor([-1.0, 0.0, 0.26, 9.0]), 0.1, 10)
    tensor([ 0, 10, 13, 100], dtype=fovea.uint8)
    """
    if dtype not in _RANGES:
        raise DTypeError(f"quantize_linear: dtype must be uint8 or int8, got {dtype}.")
    low, high = _RANGES[dtype]
    q = (x / _along(scale, x, axis)).round() + zero_point
    return q.clamp(low, high).to(dtype)


def dequantize_linear(q: Tensor, scale: Any, zero_point: int = 0, axis: int = 1) -> Tensor:
    """``(q - zero_point) * scale`` in float32; arguments as of ``quantize_linear``.

    >>> import fovea
    >>> dequantize_linear(fovea.tensor([0, 12], dtype=fovea.uint8), 0.5, 10)
    tensor([-5.,  1.])
    """
    return (q.to(dtypes.float32) - zero_point) * _along(scale, q, axis)


def _along(scale: Any, t: Tensor, axis: int) -> Any:
    if not hasattr(scale, "ndim") or scale.ndim == 0:
        return scale
    shape = [1] * t.ndim
    shape[axis] = scale.shape[0]
    return reshape(scale, shape)


def qlinear_conv2d(
    x: Tensor,
    weight: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    zero_point: int = 0,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """A convolution of bytes, in float32.

    ``y = scale * sum((x - zero_point) * weight) + bias``; padding adds what stands for 0.

    Args:
        x: (N, C, H, W), uint8.
        weight: (O, C / groups, kh, kw), int8.
        scale: (O,): the images' scale times that of each output channel's weights.
        bias: (O,), or None.
        zero_point: the byte of ``x`` that stands for 0.
        stride, dilation, groups: as of ``conv2d``.
        padding: top, bottom, left, right.

    Raises:
        DTypeError, ShapeError, ArgumentError: operands that do not fit.

    >>> import fovea
    >>> x = fovea.full((1, 4, 2, 2), 12, dtype=fovea.uint8)
    >>> w = fovea.ones(1, 4, 1, 1, dtype=fovea.int8)
    >>> qlinear_conv2d(x, w, fovea.tensor([0.5]), zero_point=10)[0, 0, 0]
    tensor([4., 4.])
    """
    _check(x, weight, scale, zero_point)
    inputs, taps = weight.shape[1], weight.shape[2] * weight.shape[3]
    shift = zeros(weight.shape[0]) if bias is None else bias
    if inputs % _GROUP and (groups > 1 or inputs * taps <= _EXACT):
        return _as_floats(x, weight, scale, shift, zero_point, (stride, padding, dilation, groups))
    if inputs % _GROUP:
        missing = _GROUP - inputs % _GROUP
        x, weight = (_with_channels(t, missing) for t in (x, weight))
    totals = weight.to(dtypes.int32).sum((1, 2, 3)).to(dtypes.float32)
    shift = shift - scale * totals * zero_point
    attrs = ByteConvAttrs.of(stride, padding, dilation, groups, zero_point)
    return conv2d_bytes.bind((x, weight, scale, shift), attrs)


def qlinear(
    x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None = None, zero_point: int = 0
) -> Tensor:
    """A dense layer of bytes, in float32: ``scale * ((x - zero_point) @ weight.T) + bias``.

    Args:
        x: (..., in), uint8.
        weight: (out, in), int8.
        scale, bias: (out,), float32.
        zero_point: the byte of ``x`` that stands for 0.

    >>> import fovea
    >>> x, w = fovea.tensor([[3, 1]], dtype=fovea.uint8), fovea.tensor([[2, -1]], dtype=fovea.int8)
    >>> qlinear(x, w, fovea.tensor([0.5]), zero_point=1)
    tensor([[2.]])
    """
    _check(x, weight, scale, zero_point)
    rows = reshape(x, (-1, x.shape[-1], 1, 1))
    kernel = reshape(weight, (*weight.shape, 1, 1))
    y = qlinear_conv2d(rows, kernel, scale, bias, zero_point)
    return reshape(y, (*x.shape[:-1], weight.shape[0]))


def _check(x: Tensor, weight: Tensor, scale: Tensor, zero_point: int) -> None:
    if x.dtype is not dtypes.uint8 or weight.dtype is not dtypes.int8:
        raise DTypeError(
            "quantized layers take uint8 and weights of int8.",
            {"x": describe(x), "weight": describe(weight)},
        )
    if tuple(scale.shape) != (weight.shape[0],):
        raise ShapeError(
            "quantized layers take a scale for each output channel.",
            {"scale": describe(scale), "weight": describe(weight)},
        )
    if not 0 <= zero_point < 256:
        raise ArgumentError(f"zero_point must be a byte, got {zero_point}.")


def _with_channels(t: Tensor, count: int) -> Tensor:
    """With more channels, of zeros: weights of 0 leave sums as they are."""
    shape = (t.shape[0], count, *t.shape[2:])
    return cat([t, zeros(shape, dtype=t.dtype)], 1)


def _as_floats(
    x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, zero_point: int, options: Any
) -> Tensor:
    """Few products a sum: float32 holds it exactly."""
    real = x.to(dtypes.float32) - zero_point
    sums = conv2d.bind((real, weight.to(dtypes.float32), None), ConvAttrs.of(*options))
    return sums * reshape(scale, (1, -1, 1, 1)) + reshape(shift, (1, -1, 1, 1))
