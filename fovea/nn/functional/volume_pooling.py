"""Pooling of volumes (N, C, D, H, W): of each slice first, then along the slices.

Windows are boxes, so maxima, sums and the elements that count are those of slices, combined. Along
the slices, a volume is an image of D rows, and of as many columns as a slice has pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.nn.functional.arguments import numbers
from fovea.nn.functional.pooling import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    max_pool2d,
)

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "adaptive_avg_pool3d",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices",
    "avg_pool3d",
    "max_pool3d",
    "max_pool3d_with_indices",
]

Ints = int | tuple[int, ...] | list[int]
Pool = Callable[["Tensor"], Any]


def in_two_steps(name: str, input: Tensor, within: Pool, along: Pool, indices: bool) -> Any:
    """``within`` slices (N * D, C, H, W), then ``along`` them (N, C, D, H' * W')."""
    if input.ndim not in (4, 5):
        raise ShapeError(
            f"{name}: input must be (N, C, D, H, W) or (C, D, H, W), got {describe(input)}."
        )
    x = input if input.ndim == 5 else input.unsqueeze(0)
    n, channels, depth, height, width = x.shape
    slices = x.transpose(1, 2).reshape(n * depth, channels, height, width)
    first = within(slices)
    pooled, places = first if indices else (first, None)
    rows, columns = pooled.shape[2:]

    def upright(t: Tensor) -> Tensor:
        return t.reshape(n, depth, channels, rows * columns).transpose(1, 2)

    second = along(upright(pooled))
    y, at = second if indices else (second, None)
    shape = (n, channels, y.shape[2], rows, columns)
    y = y.reshape(shape)
    y = y if input.ndim == 5 else y.squeeze(0)
    if places is None or at is None:
        return y
    chosen = at.flatten(2)  # flat in D x (H' * W')
    plane = upright(places).flatten(2).gather(2, chosen)
    flat = (chosen // (rows * columns) * (height * width) + plane).reshape(shape)
    return y, (flat if input.ndim == 5 else flat.squeeze(0))


def _sizes(name: str, **given: Any) -> list[tuple[int, tuple[int, int]]]:
    """Each argument as (along the slices, within them); no stride is the kernel's size."""
    out: list[tuple[int, tuple[int, int]]] = []
    for what, value in given.items():
        if value is None or (isinstance(value, tuple | list) and not value):
            out.append(out[0])
        else:
            depth, rows, columns = numbers(name, what, value, 3)
            out.append((depth, (rows, columns)))
    return out


def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of volumes; see ``max_pool2d``.

    Args:
        input: (N, C, D, H, W) or (C, D, H, W).
        return_indices: also return where each maximum is, counted in the flat D x H x W volume.

    >>> import fovea
    >>> max_pool3d(fovea.arange(8.0).reshape(1, 1, 2, 2, 2), 2)
    tensor([[[[[7.]]]]])
    """
    name = "max_pool3d"
    kernel, steps, pads, gaps = _sizes(
        name, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation
    )

    def within(x: Tensor) -> Any:
        return max_pool2d(x, kernel[1], steps[1], pads[1], gaps[1], ceil_mode, return_indices)

    def along(x: Tensor) -> Any:
        window = ((kernel[0], 1), (steps[0], 1), (pads[0], 0), (gaps[0], 1))
        return max_pool2d(x, *window, ceil_mode, return_indices)

    return in_two_steps(name, input, within, along, return_indices)


def max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """``max_pool3d`` with the indices."""
    return max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def avg_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The average of each window of volumes; see ``avg_pool2d``.

    >>> import fovea
    >>> avg_pool3d(fovea.arange(8.0).reshape(1, 1, 2, 2, 2), 2)
    tensor([[[[[3.5000]]]]])
    """
    name = "avg_pool3d"
    kernel, steps, pads = _sizes(name, kernel_size=kernel_size, stride=stride, padding=padding)
    if divisor_override is not None and divisor_override == 0:
        raise ArgumentError(f"{name}: divisor_override must not be 0.")
    divisor = None if divisor_override is None else 1
    rest = (ceil_mode, count_include_pad, divisor)

    def within(x: Tensor) -> Tensor:
        return avg_pool2d(x, kernel[1], steps[1], pads[1], *rest)

    def along(x: Tensor) -> Tensor:
        return avg_pool2d(x, (kernel[0], 1), (steps[0], 1), (pads[0], 0), *rest)

    y = in_two_steps(name, input, within, along, False)
    return y if divisor_override is None else y / divisor_override


def _bins(name: str, output_size: Any, input: Tensor) -> tuple[int, tuple[int, int]]:
    """``output_size`` with None replaced by the volume's own size."""
    sizes = output_size if isinstance(output_size, tuple | list) else (output_size,) * 3
    if len(sizes) != 3 or input.ndim not in (4, 5):
        raise ShapeError(
            f"{name}: input must be (N, C, D, H, W) or (C, D, H, W), output_size one or three "
            "integers.",
            {"input": describe(input), "output_size": repr(output_size)},
        )
    known = tuple(n if s is None else s for s, n in zip(sizes, input.shape[-3:], strict=True))
    depth, rows, columns = numbers(name, "output_size", known, 3)
    return depth, (rows, columns)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Average over bins, as many as ``output_size`` says; see ``adaptive_avg_pool2d``.

    >>> import fovea
    >>> adaptive_avg_pool3d(fovea.arange(8.0).reshape(1, 1, 2, 2, 2), 1)
    tensor([[[[[3.5000]]]]])
    """
    name = "adaptive_avg_pool3d"
    depth, size = _bins(name, output_size, input)
    return in_two_steps(
        name,
        input,
        lambda x: adaptive_avg_pool2d(x, size),
        lambda x: adaptive_avg_pool2d(x, (depth, None)),
        False,
    )


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum of each of ``output_size`` bins (and where in the volume it is).

    >>> import fovea
    >>> adaptive_max_pool3d(fovea.arange(8.0).reshape(1, 1, 2, 2, 2), 1)
    tensor([[[[[7.]]]]])
    """
    name = "adaptive_max_pool3d"
    depth, size = _bins(name, output_size, input)
    return in_two_steps(
        name,
        input,
        lambda x: adaptive_max_pool2d(x, size, return_indices),
        lambda x: adaptive_max_pool2d(x, (depth, None), return_indices),
        return_indices,
    )


def adaptive_max_pool3d_with_indices(
    input: Tensor, output_size: Any, return_indices: bool = False
) -> Any:
    """``adaptive_max_pool3d`` with the indices."""
    return adaptive_max_pool3d(input, output_size, True)
