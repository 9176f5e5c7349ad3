"""Convolutions of volumes (N, C, D, H, W), as convolutions of their slices.

A kernel of kd slices over C channels is a kernel of one slice over C * kd: what a position sees in
neighboring slices is laid side by side as channels. The weights (O, C / groups, kd, kh, kw) lie in
memory as (O, C / groups * kd, kh, kw) already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.casting import LOWER, autocasts
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.ranges import arange
from fovea.nn.functional.arguments import numbers
from fovea.nn.functional.conv import conv2d, conv_transpose2d
from fovea.nn.functional.padding import pad

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["conv3d", "conv_transpose3d"]

Ints = int | tuple[int, ...] | list[int]


def _check_ranks(name: str, input: Tensor, weight: Tensor, kernels: str) -> None:
    if input.ndim not in (4, 5) or weight.ndim != 5:
        raise ShapeError(
            f"{name}: input must be (N, C, D, H, W) or (C, D, H, W), weight {kernels}.",
            {"input": describe(input), "weight": describe(weight)},
        )


def _depth_padding(padding: Any, reach: int) -> tuple[tuple[int, int], Any]:
    """Slices before and after, and the padding of each slice."""
    if padding == "valid":
        return (0, 0), 0
    if padding == "same":
        return ((reach - 1) // 2, (reach - 1) - (reach - 1) // 2), "same"
    if isinstance(padding, str):
        raise ArgumentError(
            f"conv3d: padding must be 'same', 'valid', or one or three integers, got {padding!r}."
        )
    depth, *rest = numbers("conv3d", "padding", padding, 3)
    return (depth, depth), tuple(rest)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlate volumes with a bank of kernels; see ``conv2d``.

    Args:
        input: (N, C, D, H, W) or (C, D, H, W).
        weight: (out, C / groups, kd, kh, kw).
        bias: (out,).

    Raises:
        ShapeError: channels that do not fit, or a kernel larger than the padded volume.

    >>> import fovea
    >>> conv3d(fovea.ones(1, 1, 3, 3, 3), fovea.ones(1, 1, 3, 3, 3)).item()
    27.0
    """
    _check_ranks("conv3d", input, weight, "(out, C / groups, kd, kh, kw)")
    if input.ndim == 4:
        one = input.unsqueeze(0)
        return conv3d(one, weight, bias, stride, padding, dilation, groups).squeeze(0)
    step, *steps = numbers("conv3d", "stride", stride, 3)
    gap, *gaps = numbers("conv3d", "dilation", dilation, 3)
    if padding == "same" and max(step, *steps) != 1:
        raise ArgumentError(
            "conv3d: padding='same' needs stride 1.", fix="give the padding as a number"
        )
    taps = weight.shape[2]
    reach = gap * (taps - 1) + 1
    around, pads = _depth_padding(padding, reach)
    x = pad(input, (0, 0, 0, 0, *around)) if any(around) else input
    if x.shape[2] < reach:
        raise ShapeError(
            f"conv3d: a kernel of {reach} slices does not fit {x.shape[2]} (with padding).",
            {"input": describe(input), "weight": describe(weight)},
            "feed a larger volume, pad more, or use a smaller kernel",
        )
    n, channels = x.shape[:2]
    seen = x.unfold(2, reach, step)[..., ::gap].permute(0, 2, 1, 5, 3, 4)  # N D' C kd H W
    slices = seen.reshape(n * seen.shape[1], channels * taps, *x.shape[3:])
    y = conv2d(slices, weight.flatten(1, 2), bias, tuple(steps), pads, tuple(gaps), groups)
    return y.reshape(n, seen.shape[1], *y.shape[1:]).transpose(1, 2)


@autocasts(LOWER)
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """The gradient of ``conv3d`` with respect to its input, used to enlarge volumes.

    Args:
        input: (N, C, D, H, W) or (C, D, H, W).
        weight: (C, out / groups, kd, kh, kw).
        bias: (out,).
        output_padding: slices, rows and columns added at the end of each dimension.

    >>> import fovea
    >>> conv_transpose3d(fovea.ones(1, 1, 2, 2, 2), fovea.ones(1, 1, 2, 2, 2), stride=2).shape
    fovea.Size([1, 1, 4, 4, 4])
    """
    name = "conv_transpose3d"
    _check_ranks(name, input, weight, "(C, out / groups, kd, kh, kw)")
    if input.ndim == 4:
        one = input.unsqueeze(0)
        rest = (stride, padding, output_padding, groups, dilation)
        return conv_transpose3d(one, weight, bias, *rest).squeeze(0)
    step, *steps = numbers(name, "stride", stride, 3)
    cut, *cuts = numbers(name, "padding", padding, 3)
    extra, *extras = numbers(name, "output_padding", output_padding, 3)
    gap, *gaps = numbers(name, "dilation", dilation, 3)
    n, channels, depth = input.shape[:3]
    taps = weight.shape[2]
    if not 0 <= extra < max(step, gap):
        raise ArgumentError(
            f"{name}: output_padding {extra} must be smaller than stride {step} or dilation {gap}."
        )
    size = (depth - 1) * step - 2 * cut + gap * (taps - 1) + extra + 1
    if size < 1:
        raise ShapeError(f"{name}: {depth} slices would give {size}.", fix="pad less")
    slices = input.transpose(1, 2).reshape(n * depth, channels, *input.shape[3:])
    shape = (tuple(steps), tuple(cuts), tuple(extras), groups, tuple(gaps))
    parts = conv_transpose2d(slices, weight.flatten(1, 2), None, *shape)
    parts = parts.reshape(n, depth, parts.shape[1] // taps, taps, *parts.shape[2:])
    y = _overlapped(parts.permute(0, 2, 1, 3, 4, 5), step, gap, cut, size)
    return y if bias is None else y + bias.reshape(-1, 1, 1, 1)


def _overlapped(parts: Tensor, step: int, gap: int, cut: int, size: int) -> Tensor:
    """Sum slices (N, O, D, kd, H, W), ``step`` and ``gap`` apart, in their places."""
    n, channels, depth, taps = parts.shape[:4]
    whole = max((depth - 1) * step + (taps - 1) * gap + 1, cut + size)
    places = ((arange(depth) * step).unsqueeze(1) + arange(taps) * gap).flatten()
    y = parts.new_zeros((n, channels, whole, *parts.shape[4:]))
    return y.index_add(2, places, parts.flatten(2, 3)).narrow(2, cut, size)
