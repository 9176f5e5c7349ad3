"""Pooling."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.nn.functional.arguments import hashable, numbers, pair
from fovea.ops import pool as ops

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices",
    "avg_pool1d",
    "avg_pool2d",
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool2d_with_indices",
]

Ints = int | tuple[int, ...] | list[int]


def _absent(stride: Any) -> bool:
    """Whether no stride is given: None, or PyTorch's empty list."""
    return stride is None or (isinstance(stride, tuple) and not stride)


def _both_sides(
    name: str, padding: tuple[int, int], reach: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """(rows, columns) of padding as (top, bottom, left, right); at most half of the window."""
    if any(p * 2 > r for p, r in zip(padding, reach, strict=True)):
        raise ArgumentError(
            f"{name}: padding must be at most half of the kernel's reach {reach}, got {padding}."
        )
    return padding[0], padding[0], padding[1], padding[1]


@lru_cache(4096)
def _max_attrs(
    kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> ops.PoolAttrs:
    name = "max_pool2d"
    kernel, dilations = pair(name, "kernel_size", kernel_size), pair(name, "dilation", dilation)
    strides = kernel if _absent(stride) else pair(name, "stride", stride)
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True))
    pads = _both_sides(name, pair(name, "padding", padding), reach)
    return ops.PoolAttrs.of(kernel, strides, pads, dilations, bool(ceil_mode))


@lru_cache(4096)
def _average_attrs(
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> ops.AvgPoolAttrs:
    name = "avg_pool2d"
    kernel = pair(name, "kernel_size", kernel_size)
    strides = kernel if _absent(stride) else pair(name, "stride", stride)
    pads = _both_sides(name, pair(name, "padding", padding), kernel)
    divisor = None
    if divisor_override is not None:
        divisor = numbers(name, "divisor_override", divisor_override, 1)[0]
    return ops.AvgPoolAttrs.of(
        kernel, strides, pads, bool(ceil_mode), bool(count_include_pad), divisor
    )


def _pooled(op: Any, input: Tensor, attrs: Any) -> Any:
    """Run an op on a batch of images, or on one image."""
    if len(input.shape) == 4:
        return op.bind((input,), attrs)
    if len(input.shape) != 3:
        raise ShapeError(
            f"{op.name}: input must be (N, C, H, W) or (C, H, W), got {describe(input)}."
        )
    out = op.bind((input.unsqueeze(0),), attrs)
    return tuple(t.squeeze(0) for t in out) if isinstance(out, tuple) else out.squeeze(0)


def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window.

    Args:
        input: (N, C, H, W) or (C, H, W).
        stride: steps between windows; default: ``kernel_size``, so windows do not overlap.
        padding: implicit minus infinity on each side, at most half of the window.
        ceil_mode: let a last window hang over the end.
        return_indices: also return where each maximum is, counted in the flat H x W plane.

    >>> import fovea
    >>> max_pool2d(fovea.arange(16.0).reshape(1, 1, 4, 4), 2)
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """
    attrs = _max_attrs(
        hashable(kernel_size), hashable(stride), hashable(padding), hashable(dilation), ceil_mode
    )
    return _pooled(ops.max_pool2d_with_indices if return_indices else ops.max_pool2d, input, attrs)


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """``max_pool2d`` with the indices."""
    return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def avg_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The average of each window.

    Args:
        input: (N, C, H, W) or (C, H, W).
        count_include_pad: whether zeros of the padding count as elements.
        divisor_override: divide sums by this instead of the window's size.

    >>> import fovea
    >>> avg_pool2d(fovea.arange(4.0).reshape(1, 1, 2, 2), 2)
    tensor([[[[1.5000]]]])
    """
    attrs = _average_attrs(
        hashable(kernel_size),
        hashable(stride),
        hashable(padding),
        ceil_mode,
        count_include_pad,
        divisor_override,
    )
    return _pooled(ops.avg_pool2d, input, attrs)


def _output_size(name: str, output_size: Any, input: Tensor) -> tuple[int, int]:
    """``output_size`` with None replaced by the image's own size."""
    sizes = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    if len(sizes) == 1:
        sizes = (sizes[0], sizes[0])
    if len(sizes) != 2 or input.ndim not in (3, 4):
        raise ShapeError(
            f"{name}: input must be (N, C, H, W) or (C, H, W), output_size one or two integers.",
            {"input": describe(input), "output_size": repr(output_size)},
        )
    known = tuple(n if s is None else s for s, n in zip(sizes, input.shape[-2:], strict=True))
    return pair(name, "output_size", known)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Average over bins, as many as ``output_size`` says.

    Args:
        input: (N, C, H, W) or (C, H, W).
        output_size: rows and columns of the result; None keeps the image's.

    >>> import fovea
    >>> adaptive_avg_pool2d(fovea.arange(4.0).reshape(1, 1, 2, 2), 1)
    tensor([[[[1.5000]]]])
    """
    rows, columns = _output_size("adaptive_avg_pool2d", output_size, input)
    height, width = input.shape[-2:]
    if rows == columns == 1 and height and width:
        return input.mean((-2, -1), keepdim=True)
    if rows and columns and height % rows == width % columns == 0 and height and width:
        kernel = (height // rows, width // columns)
        return _pooled(ops.avg_pool2d, input, _average_attrs(kernel, kernel, 0, False, True, None))
    return _pooled(ops.adaptive_avg_pool2d, input, ops.OutputSizeAttrs.of((rows, columns)))


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum of each of ``output_size`` bins (and where in the H x W plane it is).

    >>> import fovea
    >>> adaptive_max_pool2d(fovea.arange(4.0).reshape(1, 1, 2, 2), 1)
    tensor([[[[3.]]]])
    """
    rows, columns = _output_size("adaptive_max_pool2d", output_size, input)
    height, width = input.shape[-2:]
    if rows and columns and height % rows == width % columns == 0 and height and width:
        kernel = (height // rows, width // columns)
        return max_pool2d(input, kernel, return_indices=return_indices)
    attrs = ops.OutputSizeAttrs.of((rows, columns))
    y, indices = _pooled(ops.adaptive_max_pool2d, input, attrs)
    return (y, indices) if return_indices else y


def adaptive_max_pool2d_with_indices(
    input: Tensor, output_size: Any, return_indices: bool = False
) -> Any:
    """``adaptive_max_pool2d`` with the indices."""
    return adaptive_max_pool2d(input, output_size, True)


# -- sequences: images of one row --------------------------------------------------------------


def _row(name: str, input: Tensor) -> Tensor:
    if input.ndim not in (2, 3):
        raise ShapeError(f"{name}: input must be (N, C, L) or (C, L), got {describe(input)}.")
    return input.unsqueeze(-2)


def _columns(name: str, what: str, value: Any, row: int) -> tuple[int, int]:
    return row, numbers(name, what, value, 1)[0]


def _flat(out: Any) -> Any:
    return tuple(t.squeeze(-2) for t in out) if isinstance(out, tuple) else out.squeeze(-2)


def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """``max_pool2d`` for sequences (N, C, L)."""
    name = "max_pool1d"
    kernel = _columns(name, "kernel_size", kernel_size, 1)
    steps = kernel if stride is None else _columns(name, "stride", stride, 1)
    pads = _columns(name, "padding", padding, 0)
    dilations = _columns(name, "dilation", dilation, 1)
    x = _row(name, input)
    return _flat(max_pool2d(x, kernel, steps, pads, dilations, ceil_mode, return_indices))


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """``max_pool1d`` with the indices."""
    return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def avg_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """``avg_pool2d`` for sequences (N, C, L)."""
    name = "avg_pool1d"
    kernel = _columns(name, "kernel_size", kernel_size, 1)
    steps = kernel if stride is None else _columns(name, "stride", stride, 1)
    pads = _columns(name, "padding", padding, 0)
    return _flat(avg_pool2d(_row(name, input), kernel, steps, pads, ceil_mode, count_include_pad))


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """``adaptive_avg_pool2d`` for sequences (N, C, L)."""
    size = _columns("adaptive_avg_pool1d", "output_size", output_size, 1)
    return _flat(adaptive_avg_pool2d(_row("adaptive_avg_pool1d", input), size))


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """``adaptive_max_pool2d`` for sequences (N, C, L)."""
    size = _columns("adaptive_max_pool1d", "output_size", output_size, 1)
    x = _row("adaptive_max_pool1d", input)
    return _flat(adaptive_max_pool2d(x, size, return_indices))


def adaptive_max_pool1d_with_indices(
    input: Tensor, output_size: Any, return_indices: bool = False
) -> Any:
    """``adaptive_max_pool1d`` with the indices."""
    return adaptive_max_pool1d(input, output_size, True)
