"""Pooling over windows of images (N, C, H, W); padding is (top, bottom, left, right).

Padding never wins a maximum; averages count it unless told otherwise. Gradients of a maximum go
to the first element in row-major order that has it; NaN beats every number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import channels_last_strides, require_floating, same_dtype
from fovea.ops.windows import (
    Padding,
    Pair,
    check_pair,
    check_window,
    image_size,
    padded,
    taps,
    window_count,
)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class PoolAttrs(Attrs):
    kernel: Pair
    stride: Pair
    padding: Padding
    dilation: Pair
    ceil_mode: bool


@dataclass(frozen=True, eq=False)
class AvgPoolAttrs(Attrs):
    """``divisor``: what sums are divided by, instead of the window's size."""

    kernel: Pair
    stride: Pair
    padding: Padding
    ceil_mode: bool
    count_include_pad: bool
    divisor: int | None


@dataclass(frozen=True, eq=False)
class AvgPoolGradAttrs(Attrs):
    kernel: Pair
    stride: Pair
    padding: Padding
    ceil_mode: bool
    count_include_pad: bool
    divisor: int | None
    input_size: Pair


@dataclass(frozen=True, eq=False)
class OutputSizeAttrs(Attrs):
    output_size: Pair


@dataclass(frozen=True, eq=False)
class InputSizeAttrs(Attrs):
    input_size: Pair


def _count(name: str, size: Pair, a: Any, dilation: Pair = (1, 1)) -> Pair:
    """Rows and columns of windows; ShapeError if there are none."""
    check_window(name, a.kernel, a.stride, a.padding, dilation)
    top, bottom, left, right = a.padding
    out = (
        window_count(size[0], a.kernel[0], a.stride[0], top, bottom, dilation[0], a.ceil_mode),
        window_count(size[1], a.kernel[1], a.stride[1], left, right, dilation[1], a.ceil_mode),
    )
    if min(out) < 1:
        raise ShapeError(
            f"{name}: a window of {a.kernel[0]} x {a.kernel[1]} does not fit an image of "
            f"{size[0] + top + bottom} x {size[1] + left + right} (with its padding).",
            {
                "image": f"{size[0]} x {size[1]}",
                "kernel": f"{a.kernel}, dilation {dilation}",
                "padding": str(a.padding),
            },
            "feed a larger image or use a smaller kernel",
        )
    return out


def _check_no_window_is_padding(name: str, size: Pair, out: Pair, a: PoolAttrs) -> None:
    """A maximum needs at least one element: ArgumentError for a window that sees only padding."""
    for n, count, k, s, d, before in zip(
        size, out, a.kernel, a.stride, a.dilation, (a.padding[0], a.padding[2]), strict=True
    ):
        for first in {0, count - 1} if d == 1 else range(count):
            start = first * s - before
            if not any(
                0 <= start + i * d < n for i in ((0, k - 1) if d == 1 and k <= n else range(k))
            ):
                raise ArgumentError(
                    f"{name}: padding {a.padding} is too large for kernel {a.kernel}: "
                    "a window would hold only padding."
                )


# -- maximum ----------------------------------------------------------------------------------

max_pool2d = Op("max_pool2d", ("x",), PoolAttrs)
max_pool2d_with_indices = Op(  # indices: int64, flat in the H x W plane
    "max_pool2d_with_indices", ("x",), PoolAttrs, outputs=("y", "indices")
)
max_pool2d_grad = Op("max_pool2d_grad", ("gy", "x", "y"), PoolAttrs)


def _max_spec(name: str, x: Shaped, a: PoolAttrs) -> Spec:
    size = image_size(name, x)
    if x.dtype is dtypes.bool_:
        raise ArgumentError(
            f"{name}: booleans have no maximum, got {describe(x)}.", fix="x.float()"
        )
    out = _count(name, size, a, a.dilation)
    _check_no_window_is_padding(name, size, out, a)
    shape = (x.shape[0], x.shape[1], *out)
    return Spec(shape, x.dtype, channels_last_strides(shape))


max_pool2d.shape(lambda x, a: _max_spec("max_pool2d", x, a))


@max_pool2d_with_indices.shape
def _(x: Shaped, a: PoolAttrs) -> tuple[Spec, Spec]:
    y = _max_spec("max_pool2d_with_indices", x, a)
    return y, Spec(y.shape, dtypes.int64, y.strides)


@max_pool2d_grad.shape
def _(gy: Shaped, x: Shaped, y: Shaped, a: PoolAttrs) -> Spec:
    name = "max_pool2d_grad"
    dtype = same_dtype(name, gy, x, y)
    expected = _max_spec(name, x, a).shape
    if tuple(gy.shape) != expected or tuple(y.shape) != expected:
        raise ShapeError(
            f"{name}: pooling x gives shape {expected}.",
            {"gy": describe(gy), "x": describe(x), "y": describe(y)},
        )
    return Spec(tuple(x.shape), dtype, channels_last_strides(x.shape))


@max_pool2d.grad(saves=("x", "y"))
def _(ctx: Any, gy: Any) -> Any:
    return max_pool2d_grad.bind((gy, ctx.x, _winners(ctx)), ctx.attrs)


@max_pool2d_with_indices.grad(saves=("x", "y"))
def _(ctx: Any, gy: Any, gi: Any) -> Any:
    return max_pool2d_grad.bind((gy, ctx.x, _winners(ctx)), ctx.attrs)


def _winners(ctx: Any) -> Any:
    """The maxima; pooled again where something (a relu in place, say) has changed them."""
    return ctx.y if ctx.unchanged("y") else max_pool2d.bind((ctx.x,), ctx.attrs)


@max_pool2d_grad.grad(saves=("x",))
def _(ctx: Any, g: Any) -> tuple[Any, ...]:
    if not ctx.needed[0]:
        return None, None, None
    _, indices = max_pool2d_with_indices.bind((ctx.x,), ctx.attrs)
    return _picked(g, indices, ctx.shape(0)), None, None


def _picked(x: Any, indices: Any, shape: tuple[int, ...]) -> Any:
    """The elements of each plane of ``x`` that ``indices`` (of ``shape``) name."""
    n, c, height, width = x.shape
    places = indices.reshape((n, c, shape[2] * shape[3]))
    return x.reshape((n, c, height * width)).gather(2, places).reshape(shape)


def _lowest(dtype: np.dtype[Any]) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _maxima(x: Array, a: PoolAttrs) -> tuple[Array, Array]:
    """The maxima and their places in the plane."""
    height, width = x.shape[2], x.shape[3]
    out = _count("max_pool2d", (height, width), a, a.dilation)
    least = tuple(
        (n - 1) * s + d * (k - 1) + 1
        for n, s, d, k in zip(out, a.stride, a.dilation, a.kernel, strict=True)
    )
    xp = padded(x, a.padding, _lowest(x.dtype), (least[0], least[1]))
    plane = np.arange(height * width).reshape(1, 1, height, width)
    place = padded(plane, a.padding, -1, (least[0], least[1]))
    y = np.full((*x.shape[:2], *out), _lowest(x.dtype), x.dtype)
    index = np.full(y.shape, -1)
    for _, _, rows, columns in taps(a.kernel, a.stride, a.dilation, out):
        value, at = xp[..., rows, columns], place[..., rows, columns]
        wins = (at >= 0) & ((index < 0) | (value > y) | (np.isnan(value) & ~np.isnan(y)))
        y, index = np.where(wins, value, y), np.where(wins, at, index)
    return y, index


max_pool2d.reference(lambda x, a: _maxima(x, a)[0])
max_pool2d_with_indices.reference(_maxima)


@max_pool2d_grad.reference
def _(gy: Array, x: Array, y: Array, a: PoolAttrs) -> Array:
    n, c, height, width = x.shape
    windows = gy.shape[2] * gy.shape[3]
    index = _maxima(x, a)[1].reshape(n * c, windows)
    gx = np.zeros((n * c, height * width), gy.dtype)
    np.add.at(gx, (np.arange(n * c)[:, None], index), gy.reshape(n * c, windows))
    return gx.reshape(x.shape)


# -- average ----------------------------------------------------------------------------------

avg_pool2d = Op("avg_pool2d", ("x",), AvgPoolAttrs)
avg_pool2d_grad = Op("avg_pool2d_grad", ("gy",), AvgPoolGradAttrs)


def _average_count(name: str, size: Pair, a: AvgPoolAttrs | AvgPoolGradAttrs) -> Pair:
    out = _count(name, size, a)
    if a.divisor is not None and (not isinstance(a.divisor, int) or a.divisor == 0):
        raise ArgumentError(f"{name}: the divisor must be an integer but 0, got {a.divisor}.")
    top, bottom, left, right = a.padding
    if max(top, bottom) >= a.kernel[0] or max(left, right) >= a.kernel[1]:
        raise ArgumentError(
            f"{name}: padding {a.padding} must be smaller than the kernel {a.kernel}."
        )
    return out


@avg_pool2d.shape
def _(x: Shaped, a: AvgPoolAttrs) -> Spec:
    require_floating("avg_pool2d", x=x)
    out = _average_count("avg_pool2d", image_size("avg_pool2d", x), a)
    shape = (x.shape[0], x.shape[1], *out)
    return Spec(shape, x.dtype, channels_last_strides(shape))


@avg_pool2d_grad.shape
def _(gy: Shaped, a: AvgPoolGradAttrs) -> Spec:
    require_floating("avg_pool2d_grad", gy=gy)
    size = image_size("avg_pool2d_grad", gy, "gy")
    check_pair("avg_pool2d_grad", "input_size", a.input_size)
    out = _average_count("avg_pool2d_grad", a.input_size, a)
    if size != out:
        raise ShapeError(
            f"avg_pool2d_grad: an image of {a.input_size} pools to {out}, but gy is {describe(gy)}."
        )
    shape = (gy.shape[0], gy.shape[1], *a.input_size)
    return Spec(shape, gy.dtype, channels_last_strides(shape))


@avg_pool2d.grad()
def _(ctx: Any, gy: Any) -> Any:
    a, shape = ctx.attrs, ctx.shape(0)
    attrs = AvgPoolGradAttrs.of(
        a.kernel,
        a.stride,
        a.padding,
        a.ceil_mode,
        a.count_include_pad,
        a.divisor,
        (shape[2], shape[3]),
    )
    return avg_pool2d_grad.bind((gy,), attrs)


@avg_pool2d_grad.grad()
def _(ctx: Any, g: Any) -> Any:
    a = ctx.attrs
    attrs = AvgPoolAttrs.of(
        a.kernel, a.stride, a.padding, a.ceil_mode, a.count_include_pad, a.divisor
    )
    return avg_pool2d.bind((g,), attrs)


def window_sizes(
    n: int, count: int, kernel: int, stride: int, before: int, after: int, include_pad: bool
) -> Array:
    """How many elements each window along one dimension is taken to hold.

    Padding counts if ``include_pad``; what ``ceil_mode`` lets hang over the padding never does.

    >>> window_sizes(5, 3, 2, 2, 0, 0, True), window_sizes(4, 2, 3, 2, 1, 1, False)
    (array([2, 2, 1]), array([2, 3]))
    """
    start = np.arange(count) * stride - before
    end = np.minimum(start + kernel, n + after)
    if not include_pad:
        start, end = np.maximum(start, 0), np.minimum(end, n)
    return end - start


def _divisors(
    size: Pair, out: Pair, a: AvgPoolAttrs | AvgPoolGradAttrs, dtype: np.dtype[Any]
) -> Array:
    if a.divisor is not None:
        return np.full(out, a.divisor, dtype)
    top, bottom, left, right = a.padding
    rows = window_sizes(size[0], out[0], a.kernel[0], a.stride[0], top, bottom, a.count_include_pad)
    columns = window_sizes(
        size[1], out[1], a.kernel[1], a.stride[1], left, right, a.count_include_pad
    )
    return (rows[:, None] * columns).astype(dtype)


def _reach(out: Pair, a: AvgPoolAttrs | AvgPoolGradAttrs) -> Pair:
    """The padded size that the windows span."""
    return (out[0] - 1) * a.stride[0] + a.kernel[0], (out[1] - 1) * a.stride[1] + a.kernel[1]


@avg_pool2d.reference
def _(x: Array, a: AvgPoolAttrs) -> Array:
    size = (x.shape[2], x.shape[3])
    out = _average_count("avg_pool2d", size, a)
    xp = padded(x, a.padding, 0, _reach(out, a))
    total = np.zeros((*x.shape[:2], *out), x.dtype)
    for _, _, rows, columns in taps(a.kernel, a.stride, (1, 1), out):
        total += xp[..., rows, columns]
    return total / _divisors(size, out, a, x.dtype)


@avg_pool2d_grad.reference
def _(gy: Array, a: AvgPoolGradAttrs) -> Array:
    out = (gy.shape[2], gy.shape[3])
    top, bottom, left, right = a.padding
    (height, width), reach = a.input_size, _reach(out, a)
    shape = (max(height + top + bottom, reach[0]), max(width + left + right, reach[1]))
    gx = np.zeros((*gy.shape[:2], *shape), gy.dtype)
    share = gy / _divisors(a.input_size, out, a, gy.dtype)
    for _, _, rows, columns in taps(a.kernel, a.stride, (1, 1), out):
        gx[..., rows, columns] += share
    return gx[..., top : top + height, left : left + width]


# -- adaptive: a given number of bins ---------------------------------------------------------

adaptive_avg_pool2d = Op("adaptive_avg_pool2d", ("x",), OutputSizeAttrs)
adaptive_avg_pool2d_grad = Op("adaptive_avg_pool2d_grad", ("gy",), InputSizeAttrs)
adaptive_max_pool2d = Op("adaptive_max_pool2d", ("x",), OutputSizeAttrs, outputs=("y", "indices"))


def bins(n: int, count: int) -> list[slice]:
    """``count`` slices that cover ``range(n)``; they overlap by one where they do not divide it.

    >>> bins(5, 2)
    [slice(0, 3, None), slice(2, 5, None)]
    """
    return [slice(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]


def _adaptive_spec(name: str, x: Shaped, a: OutputSizeAttrs) -> Spec:
    size = image_size(name, x)
    check_pair(name, "output_size", a.output_size)
    if 0 in size and 0 not in a.output_size:
        raise ShapeError(f"{name}: an image without pixels cannot be pooled, got {describe(x)}.")
    shape = (x.shape[0], x.shape[1], *a.output_size)
    return Spec(shape, x.dtype, channels_last_strides(shape))


@adaptive_avg_pool2d.shape
def _(x: Shaped, a: OutputSizeAttrs) -> Spec:
    require_floating("adaptive_avg_pool2d", x=x)
    return _adaptive_spec("adaptive_avg_pool2d", x, a)


@adaptive_avg_pool2d_grad.shape
def _(gy: Shaped, a: InputSizeAttrs) -> Spec:
    name = "adaptive_avg_pool2d_grad"
    require_floating(name, gy=gy)
    size = image_size(name, gy, "gy")
    check_pair(name, "input_size", a.input_size)
    if 0 in a.input_size and 0 not in size:
        raise ShapeError(f"{name}: an image of {a.input_size} cannot be pooled to {size}.")
    shape = (gy.shape[0], gy.shape[1], *a.input_size)
    return Spec(shape, gy.dtype, channels_last_strides(shape))


@adaptive_max_pool2d.shape
def _(x: Shaped, a: OutputSizeAttrs) -> tuple[Spec, Spec]:
    if x.dtype is dtypes.bool_:
        raise ArgumentError(
            f"adaptive_max_pool2d: booleans have no maximum, got {describe(x)}.", fix="x.float()"
        )
    y = _adaptive_spec("adaptive_max_pool2d", x, a)
    return y, Spec(y.shape, dtypes.int64, y.strides)


@adaptive_avg_pool2d.grad()
def _(ctx: Any, gy: Any) -> Any:
    shape = ctx.shape(0)
    return adaptive_avg_pool2d_grad.bind((gy,), InputSizeAttrs.of((shape[2], shape[3])))


@adaptive_avg_pool2d_grad.grad()
def _(ctx: Any, g: Any) -> Any:
    shape = ctx.shape(0)
    return adaptive_avg_pool2d.bind((g,), OutputSizeAttrs.of((shape[2], shape[3])))


@adaptive_max_pool2d.grad(saves=("indices",))
def _(ctx: Any, gy: Any, gi: Any) -> Any:
    n, c, height, width = ctx.shape(0)
    flat = (n, c, gy.shape[2] * gy.shape[3])
    gx = gy.new_zeros((n, c, height * width))
    gx = gx.scatter_add(2, ctx.indices.reshape(flat), gy.reshape(flat))
    return gx.reshape((n, c, height, width))


@adaptive_avg_pool2d.reference
def _(x: Array, a: OutputSizeAttrs) -> Array:
    rows, columns = bins(x.shape[2], a.output_size[0]), bins(x.shape[3], a.output_size[1])
    y = np.zeros((*x.shape[:2], *a.output_size), x.dtype)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            y[..., i, j] = x[..., row, column].mean((2, 3))
    return y


@adaptive_avg_pool2d_grad.reference
def _(gy: Array, a: InputSizeAttrs) -> Array:
    rows, columns = bins(a.input_size[0], gy.shape[2]), bins(a.input_size[1], gy.shape[3])
    gx = np.zeros((*gy.shape[:2], *a.input_size), gy.dtype)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            count = (row.stop - row.start) * (column.stop - column.start)
            gx[..., row, column] += gy[..., i, j, None, None] / count
    return gx


@adaptive_max_pool2d.reference
def _(x: Array, a: OutputSizeAttrs) -> tuple[Array, Array]:
    n, c, height, width = x.shape
    plane = np.arange(height * width).reshape(height, width)
    y = np.zeros((n, c, *a.output_size), x.dtype)
    indices = np.zeros(y.shape, np.int64)
    for i, row in enumerate(bins(height, a.output_size[0])):
        for j, column in enumerate(bins(width, a.output_size[1])):
            seen = x[..., row, column].reshape(
                n, c, (row.stop - row.start) * (column.stop - column.start)
            )
            best = seen.argmax(2)  # the first NaN, if there is one, is NumPy's maximum
            y[..., i, j] = np.take_along_axis(seen, best[..., None], 2)[..., 0]
            indices[..., i, j] = plane[row, column].ravel()[best]
    return y, indices
