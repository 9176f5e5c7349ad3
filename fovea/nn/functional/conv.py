"""Convolutions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fovea.casting import LOWER, autocasts
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.nn.functional.arguments import hashable, numbers, pair
from fovea.ops import conv as ops
from fovea.ops.windows import Padding

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["conv1d", "conv2d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "same_padding"]

Ints = int | tuple[int, ...] | list[int]


def same_padding(kernel: tuple[int, int], dilation: tuple[int, int]) -> Padding:
    """The padding that keeps an image's size at stride 1; an odd pixel goes bottom and right.

    >>> same_padding((3, 2), (1, 1))
    (1, 1, 0, 1)
    """
    rows, columns = (d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    return rows // 2, rows - rows // 2, columns // 2, columns - columns // 2


@lru_cache(4096)
def _attrs(
    stride: Any, padding: Any, dilation: Any, groups: int, kernel: tuple[int, int] | None
) -> ops.ConvAttrs:
    strides, dilations = pair("conv2d", "stride", stride), pair("conv2d", "dilation", dilation)
    (groups,) = numbers("conv2d", "groups", groups, 1)
    if kernel is None:
        rows, columns = pair("conv2d", "padding", padding)
        pads = (rows, rows, columns, columns)
    elif padding == "valid":
        pads = (0, 0, 0, 0)
    elif padding == "same":
        if strides != (1, 1):
            raise ArgumentError(
                "conv2d: padding='same' needs stride 1.", fix="give the padding as a number"
            )
        pads = same_padding(kernel, dilations)
    else:
        raise ArgumentError(
            f"conv2d: padding must be 'same', 'valid', or one or two integers, got {padding!r}."
        )
    return ops.ConvAttrs.of(strides, pads, dilations, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlate images with a bank of kernels.

    Args:
        input: (N, C, H, W) or (C, H, W).
        weight: (out, C / groups, kh, kw).
        bias: (out,).
        padding: rows and columns of zeros on each side, ``"valid"`` (none) or ``"same"`` (the
            size stays; stride 1 only).
        groups: blocks of channels that do not mix.

    Raises:
        ShapeError: channels that do not fit, or a kernel larger than the padded image.

    >>> import fovea
    >>> conv2d(fovea.ones(1, 1, 3, 3), fovea.ones(1, 1, 3, 3), padding="same")[0, 0]
    tensor([[4., 6., 4.],
            [6., 9., 6.],
            [4., 6., 4.]])
    """
    kernel = (weight.shape[-2], weight.shape[-1]) if padding.__class__ is str else None
    attrs = _attrs(hashable(stride), hashable(padding), hashable(dilation), groups, kernel)
    if len(input.shape) == 3:
        return ops.conv2d.bind((input.unsqueeze(0), weight, bias), attrs).squeeze(0)
    return ops.conv2d.bind((input, weight, bias), attrs)


def _row(name: str, input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Sequences and their kernels as images of one row."""
    if input.ndim not in (2, 3) or weight.ndim != 3:
        raise ShapeError(
            f"{name}: input must be (N, C, L) or (C, L), weight (out, C / groups, k).",
            {"input": describe(input), "weight": describe(weight)},
        )
    return input.unsqueeze(-2), weight.unsqueeze(2)


def _columns(name: str, what: str, value: Any, row: int) -> tuple[int, int]:
    return row, numbers(name, what, value, 1)[0]


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlate sequences (N, C, L) with kernels (out, C / groups, k); see ``conv2d``.

    >>> import fovea
    >>> conv1d(fovea.arange(5.0).reshape(1, 1, 5), fovea.ones(1, 1, 2))
    tensor([[[1., 3., 5., 7.]]])
    """
    x, w = _row("conv1d", input, weight)
    pads = padding if isinstance(padding, str) else _columns("conv1d", "padding", padding, 0)
    strides = _columns("conv1d", "stride", stride, 1)
    dilations = _columns("conv1d", "dilation", dilation, 1)
    return conv2d(x, w, bias, strides, pads, dilations, groups).squeeze(-2)


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """``conv1d`` of sequences (T, N, C) with kernels (k, C, out): time first, channels last."""
    y = conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad)
    return y.permute(2, 0, 1)


@lru_cache(4096)
def _transpose_attrs(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> ops.ConvInputGradAttrs:
    name = "conv_transpose2d"
    strides, pads = pair(name, "stride", stride), pair(name, "padding", padding)
    (groups,) = numbers(name, "groups", groups, 1)
    dilations, extra = (
        pair(name, "dilation", dilation),
        pair(name, "output_padding", output_padding),
    )
    if any(e < 0 or e >= max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)):
        raise ArgumentError(
            f"{name}: output_padding {extra} must be smaller than stride {strides} or "
            f"dilation {dilations}."
        )
    out = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(size, strides, pads, dilations, kernel, extra, strict=True)
    )
    if min(out) < 1:
        raise ShapeError(f"{name}: an image of {size} would give one of {out}.", fix="pad less")
    both = (pads[0], pads[0], pads[1], pads[1])
    return ops.ConvInputGradAttrs.of(strides, both, dilations, groups, out)


@autocasts(LOWER)  # the bias, too, which is not the op's
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """The gradient of ``conv2d`` with respect to its input, used to enlarge images.

    Args:
        input: (N, C, H, W) or (C, H, W).
        weight: (C, out / groups, kh, kw).
        bias: (out,).
        output_padding: rows and columns added at the bottom and right of the result.

    Raises:
        ShapeError: channels that do not fit.

    >>> import fovea
    >>> conv_transpose2d(fovea.ones(1, 1, 2, 2), fovea.ones(1, 1, 2, 2), stride=2).shape
    fovea.Size([1, 1, 4, 4])
    """
    if len(input.shape) == 3:
        one = input.unsqueeze(0)
        rest = (stride, padding, output_padding, groups, dilation)
        return conv_transpose2d(one, weight, bias, *rest).squeeze(0)
    _check_transpose(input, weight, bias, groups)
    attrs = _transpose_attrs(
        (input.shape[2], input.shape[3]),
        (weight.shape[2], weight.shape[3]),
        hashable(stride),
        hashable(padding),
        hashable(output_padding),
        groups,
        hashable(dilation),
    )
    y = ops.conv2d_input_grad.bind((input, weight), attrs)
    return y if bias is None else y + bias.reshape(1, -1, 1, 1)


def _check_transpose(input: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> None:
    name = "conv_transpose2d"
    if input.ndim != 4 or weight.ndim != 4:
        raise ShapeError(
            f"{name}: input must be (N, C, H, W) or (C, H, W), weight (C, out / groups, kh, kw).",
            {"input": describe(input), "weight": describe(weight)},
        )
    if input.shape[1] != weight.shape[0]:
        raise ShapeError(
            f"{name}: input has {input.shape[1]} channels, weight expects {weight.shape[0]}.",
            {"input": describe(input), "weight": describe(weight)},
            f"ConvTranspose2d(in_channels={input.shape[1]}, ...)",
        )
    if bias is not None and tuple(bias.shape) != (weight.shape[1] * groups,):
        raise ShapeError(
            f"{name}: bias {describe(bias)} does not fit the {weight.shape[1] * groups} channels "
            "that come out."
        )


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """``conv_transpose2d`` for sequences (N, C, L)."""
    name = "conv_transpose1d"
    x, w = _row(name, input, weight)
    return conv_transpose2d(
        x,
        w,
        bias,
        _columns(name, "stride", stride, 1),
        _columns(name, "padding", padding, 0),
        _columns(name, "output_padding", output_padding, 0),
        groups,
        _columns(name, "dilation", dilation, 1),
    ).squeeze(-2)
