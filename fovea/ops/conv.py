"""Convolution and its two gradients, each the gradient of the others.

Images are (N, C, H, W), weights (O, I, kh, kw) with I = C / groups; padding is (top, bottom, left,
right). A transposed convolution is `conv2d_input_grad`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.casting import LOWER
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
class ConvAttrs(Attrs):
    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int


@dataclass(frozen=True, eq=False)
class ConvInputGradAttrs(Attrs):
    """``input_size``: height and width of the convolution's input; several give one output size."""

    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int
    input_size: Pair


@dataclass(frozen=True, eq=False)
class ConvWeightGradAttrs(Attrs):
    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int
    kernel: Pair


AnyConvAttrs = ConvAttrs | ConvInputGradAttrs | ConvWeightGradAttrs

conv2d = Op("conv2d", ("x", "weight", "bias?"), ConvAttrs, autocast=LOWER)
conv2d_input_grad = Op("conv2d_input_grad", ("gy", "weight"), ConvInputGradAttrs, autocast=LOWER)
conv2d_weight_grad = Op("conv2d_weight_grad", ("gy", "x"), ConvWeightGradAttrs)


# -- shapes -----------------------------------------------------------------------------------


def _output_size(name: str, size: Pair, kernel: Pair, a: AnyConvAttrs) -> Pair:
    """Height and width of the convolution's result; ShapeError if the kernel does not fit."""
    check_window(name, kernel, a.stride, a.padding, a.dilation)
    top, bottom, left, right = a.padding
    out = (
        window_count(size[0], kernel[0], a.stride[0], top, bottom, a.dilation[0]),
        window_count(size[1], kernel[1], a.stride[1], left, right, a.dilation[1]),
    )
    if min(out) < 1:
        reach = tuple(d * (k - 1) + 1 for d, k in zip(a.dilation, kernel, strict=True))
        raise ShapeError(
            f"{name}: a kernel of {reach[0]} x {reach[1]} does not fit an image of "
            f"{size[0] + top + bottom} x {size[1] + left + right} (with its padding).",
            {
                "image": f"{size[0]} x {size[1]}",
                "kernel": f"{kernel}, dilation {a.dilation}",
                "padding": str(a.padding),
            },
            "feed a larger image, pad more, or use a smaller kernel",
        )
    return out


def _check_groups(name: str, groups: int, **channels: int) -> None:
    if not isinstance(groups, int) or groups < 1:
        raise ArgumentError(f"{name}: groups must be a positive integer, got {groups}.")
    for key, n in channels.items():
        if n % groups:
            raise ArgumentError(f"{name}: groups={groups} does not divide the {n} {key} channels.")


def _check_channels(
    name: str, key: str, x: Shaped, weight: Shaped, expected: int, fix: str
) -> None:
    if x.shape[1] != expected:
        if x.shape[-1] == expected:
            fix = f"channels come first, as in {key}.permute(0, 3, 1, 2); or {fix}"
        raise ShapeError(
            f"{name}: {key} has {x.shape[1]} channels, weight expects {expected}.",
            {key: f"{describe(x)}  N C H W", "weight": f"{describe(weight)}  O I H W"},
            fix,
        )


def _weight_kernel(name: str, weight: Shaped) -> Pair:
    if len(weight.shape) != 4:
        raise ShapeError(
            f"{name}: weight must have 4 dimensions (O, I, kh, kw), got {describe(weight)}."
        )
    return weight.shape[2], weight.shape[3]


@conv2d.shape
def _(x: Shaped, weight: Shaped, bias: Shaped | None, a: ConvAttrs) -> Spec:
    require_floating("conv2d", x=x)
    dtype = same_dtype("conv2d", *(t for t in (x, weight, bias) if t is not None))
    size, kernel = image_size("conv2d", x), _weight_kernel("conv2d", weight)
    outputs, inputs = weight.shape[0], weight.shape[1]
    _check_groups("conv2d", a.groups, output=outputs)
    _check_channels(
        "conv2d",
        "x",
        x,
        weight,
        inputs * a.groups,
        f"Conv2d(in_channels={x.shape[1]}, ...) or feed {inputs * a.groups} channels",
    )
    if bias is not None and tuple(bias.shape) != (outputs,):
        raise ShapeError(
            f"conv2d: bias {describe(bias)} does not fit weight {describe(weight)}.",
            fix=f"bias must have shape ({outputs},)",
        )
    shape = (x.shape[0], outputs, *_output_size("conv2d", size, kernel, a))
    return Spec(shape, dtype, channels_last_strides(shape))


@conv2d_input_grad.shape
def _(gy: Shaped, weight: Shaped, a: ConvInputGradAttrs) -> Spec:
    name = "conv2d_input_grad"
    require_floating(name, gy=gy)
    dtype = same_dtype(name, gy, weight)
    size, kernel = image_size(name, gy, "gy"), _weight_kernel(name, weight)
    outputs, inputs = weight.shape[0], weight.shape[1]
    _check_groups(name, a.groups, output=outputs)
    _check_channels(
        name,
        "gy",
        gy,
        weight,
        outputs,
        f"weight must be ({gy.shape[1]}, channels / groups, kh, kw)",
    )
    _check_produces(name, a.input_size, kernel, a, size)
    shape = (gy.shape[0], inputs * a.groups, *a.input_size)
    return Spec(shape, dtype, channels_last_strides(shape))


@conv2d_weight_grad.shape
def _(gy: Shaped, x: Shaped, a: ConvWeightGradAttrs) -> Spec:
    name = "conv2d_weight_grad"
    require_floating(name, gy=gy)
    dtype = same_dtype(name, gy, x)
    size, input_size = image_size(name, gy, "gy"), image_size(name, x)
    _check_groups(name, a.groups, output=gy.shape[1], input=x.shape[1])
    if gy.shape[0] != x.shape[0]:
        raise ShapeError(
            f"{name}: gy {describe(gy)} and x {describe(x)} hold different numbers of images."
        )
    _check_produces(name, input_size, a.kernel, a, size)
    return Spec((gy.shape[1], x.shape[1] // a.groups, *a.kernel), dtype)


def _check_produces(name: str, input_size: Pair, kernel: Pair, a: AnyConvAttrs, size: Pair) -> None:
    """ShapeError unless convolving an image of ``input_size`` gives one of ``size``."""
    check_pair(name, "input_size", input_size)
    produced = _output_size(name, input_size, kernel, a)
    if produced != size:
        raise ShapeError(
            f"{name}: an input of {input_size[0]} x {input_size[1]} gives an output of "
            f"{produced[0]} x {produced[1]}, but gy is {size[0]} x {size[1]}.",
            {
                "kernel": f"{kernel}, stride {a.stride}, dilation {a.dilation}",
                "padding": str(a.padding),
            },
        )


# -- gradients --------------------------------------------------------------------------------


def _plain(a: AnyConvAttrs) -> ConvAttrs:
    return ConvAttrs.of(a.stride, a.padding, a.dilation, a.groups)


def _input_grad(gy: Any, weight: Any, a: AnyConvAttrs, x_shape: tuple[int, ...]) -> Any:
    attrs = ConvInputGradAttrs.of(
        a.stride, a.padding, a.dilation, a.groups, (x_shape[2], x_shape[3])
    )
    return conv2d_input_grad.bind((gy, weight), attrs)


def _weight_grad(gy: Any, x: Any, a: AnyConvAttrs, weight_shape: tuple[int, ...]) -> Any:
    attrs = ConvWeightGradAttrs.of(
        a.stride, a.padding, a.dilation, a.groups, (weight_shape[2], weight_shape[3])
    )
    return conv2d_weight_grad.bind((gy, x), attrs)


@conv2d.grad(saves=("x", "weight"))
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    need, a = ctx.needed, ctx.attrs
    return (
        _input_grad(gy, ctx.weight, a, ctx.shape(0)) if need[0] else None,
        _weight_grad(gy, ctx.x, a, ctx.shape(1)) if need[1] else None,
        gy.sum((0, 2, 3)) if need[2] else None,
    )


@conv2d_input_grad.grad(saves=("gy", "weight"))
def _(ctx: Any, g: Any) -> tuple[Any, ...]:
    need, a = ctx.needed, ctx.attrs
    return (
        conv2d.bind((g, ctx.weight, None), _plain(a)) if need[0] else None,
        _weight_grad(ctx.gy, g, a, ctx.shape(1)) if need[1] else None,
    )


@conv2d_weight_grad.grad(saves=("gy", "x"))
def _(ctx: Any, g: Any) -> tuple[Any, ...]:
    need, a = ctx.needed, ctx.attrs
    return (
        conv2d.bind((ctx.x, g, None), _plain(a)) if need[0] else None,
        _input_grad(ctx.gy, g, a, ctx.shape(1)) if need[1] else None,
    )


# -- meaning ----------------------------------------------------------------------------------


def _grouped(t: Array, groups: int, dim: int) -> Array:
    """Split dimension ``dim`` into (groups, the rest)."""
    n = t.shape[dim]
    return t.reshape((*t.shape[:dim], groups, n // groups, *t.shape[dim + 1 :]))


@conv2d.reference
def _(x: Array, weight: Array, bias: Array | None, a: ConvAttrs) -> Array:
    kernel = (weight.shape[2], weight.shape[3])
    oh, ow = _output_size("conv2d", (x.shape[2], x.shape[3]), kernel, a)
    xs = _grouped(padded(x, a.padding, 0), a.groups, 1)  # n g c h w
    w = _grouped(weight, a.groups, 0)  # g o c kh kw
    y = np.zeros((x.shape[0], a.groups, w.shape[1], oh * ow), x.dtype)
    for i, j, rows, columns in taps(kernel, a.stride, a.dilation, (oh, ow)):
        seen = xs[..., rows, columns].reshape((*xs.shape[:3], oh * ow))
        y += np.matmul(w[..., i, j], seen)
    y = y.reshape(x.shape[0], weight.shape[0], oh, ow)
    return y if bias is None else y + bias[:, None, None]


@conv2d_input_grad.reference
def _(gy: Array, weight: Array, a: ConvInputGradAttrs) -> Array:
    n, o, oh, ow = gy.shape
    (top, bottom, left, right), (height, width) = a.padding, a.input_size
    w = _grouped(weight, a.groups, 0).swapaxes(1, 2)  # g c o kh kw
    gys = gy.reshape(n, a.groups, o // a.groups, oh * ow)
    gx = np.zeros((n, a.groups, w.shape[1], height + top + bottom, width + left + right), gy.dtype)
    for i, j, rows, columns in taps(
        (weight.shape[2], weight.shape[3]), a.stride, a.dilation, (oh, ow)
    ):
        part = np.matmul(w[..., i, j], gys)
        gx[..., rows, columns] += part.reshape((*part.shape[:3], oh, ow))
    gx = gx[..., top : top + height, left : left + width]
    return gx.reshape(n, a.groups * w.shape[1], height, width)


@conv2d_weight_grad.reference
def _(gy: Array, x: Array, a: ConvWeightGradAttrs) -> Array:
    n, o, oh, ow = gy.shape
    xs = _grouped(padded(x, a.padding, 0), a.groups, 1)  # n g c h w
    gys = gy.reshape(n, a.groups, o // a.groups, oh * ow)
    gw = np.zeros((a.groups, o // a.groups, xs.shape[2], *a.kernel), gy.dtype)
    for i, j, rows, columns in taps(a.kernel, a.stride, a.dilation, (oh, ow)):
        seen = xs[..., rows, columns].reshape((*xs.shape[:3], oh * ow))
        gw[..., i, j] = np.matmul(gys, seen.swapaxes(2, 3)).sum(0)
    return gw.reshape(o, xs.shape[2], *a.kernel)
