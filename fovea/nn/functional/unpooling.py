"""Putting maxima back in their places, pooling by norms, and pooling over random windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError, OutOfRangeError, ShapeError, describe
from fovea.functions.parts import cat
from fovea.functions.random import rand
from fovea.functions.ranges import arange
from fovea.nn.functional.arguments import numbers
from fovea.nn.functional.pooling import avg_pool1d, avg_pool2d
from fovea.nn.functional.volume_pooling import avg_pool3d
from fovea.watching import look

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

Ints = int | tuple[int, ...] | list[int]


# -- maxima back in their places ---------------------------------------------------------------


def _unpooled(
    spatial: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    output_size: Any,
) -> Tensor:
    name = f"max_unpool{spatial}d"
    if input.shape != indices.shape or input.ndim not in (spatial + 1, spatial + 2):
        raise ShapeError(
            f"{name}: input and indices must have one shape, of {spatial + 1} or {spatial + 2} "
            "dimensions.",
            {"input": describe(input), "indices": describe(indices)},
        )
    kernel = numbers(name, "kernel_size", kernel_size, spatial)
    steps = kernel if not stride else numbers(name, "stride", stride, spatial)
    pads = numbers(name, "padding", padding, spatial)
    least = tuple(
        (n - 1) * s - 2 * p + k
        for n, s, p, k in zip(input.shape[-spatial:], steps, pads, kernel, strict=True)
    )
    size = least if output_size is None else tuple(output_size)[-spatial:]
    if len(size) != spatial or any(
        not n - s < m < n + s for m, n, s in zip(size, least, steps, strict=True)
    ):
        raise ArgumentError(
            f"{name}: output_size must differ from {least} by less than the stride {steps}, "
            f"got {output_size}."
        )
    plane = int(np.prod(size))
    look(indices, lambda values: _check_places(name, values, plane))
    lead = tuple(input.shape[:-spatial])
    flat = input.new_zeros((*lead, plane)).scatter(
        -1, indices.flatten(-spatial).long(), input.flatten(-spatial)
    )
    return flat.reshape(*lead, *size)


def _check_places(name: str, values: np.ndarray[Any, Any], plane: int) -> None:
    if values.size and (values.min() < 0 or values.max() >= plane):
        wrong = values[(values < 0) | (values >= plane)].flat[0]
        raise OutOfRangeError(f"{name}: index {int(wrong)} is outside the {plane} places.")


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Any = None,
) -> Tensor:
    """``max_unpool2d`` for sequences (N, C, L) or (C, L)."""
    return _unpooled(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros with each maximum where ``max_pool2d(..., return_indices=True)`` found it.

    Args:
        input: (N, C, H, W) or (C, H, W).
        indices: of the same shape: places in the flat plane of the result.
        kernel_size, stride, padding: those of the pooling.
        output_size: rows and columns of the result, where several sizes are pooled to one.

    Raises:
        OutOfRangeError: a place outside the plane.

    >>> import fovea
    >>> max_unpool2d(fovea.tensor([[[5.0]]]), fovea.tensor([[[3]]]), 2)
    tensor([[[0., 0.],
             [0., 5.]]])
    """
    return _unpooled(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Any = None,
) -> Tensor:
    """``max_unpool2d`` for volumes (N, C, D, H, W) or (C, D, H, W)."""
    return _unpooled(3, input, indices, kernel_size, stride, padding, output_size)


# -- norms -------------------------------------------------------------------------------------


def _rooted(means: Tensor, norm_type: float, count: int) -> Tensor:
    """From the mean of powers to the root of their sum."""
    return (means.sign() * means.abs().relu() * count).pow(1.0 / norm_type)


def lp_pool1d(
    input: Tensor,
    norm_type: int | float,
    kernel_size: int,
    stride: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """``lp_pool2d`` for sequences (N, C, L) or (C, L)."""
    (count,) = numbers("lp_pool1d", "kernel_size", kernel_size, 1)
    means = avg_pool1d(input.pow(norm_type), count, stride, 0, ceil_mode)
    return _rooted(means, norm_type, count)


def lp_pool2d(
    input: Tensor,
    norm_type: int | float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """The norm of each window: ``(sum of x ** norm_type) ** (1 / norm_type)``.

    >>> import fovea
    >>> lp_pool2d(fovea.tensor([[[3.0, 4.0]]]), 2, (1, 2))
    tensor([[[5.]]])
    """
    rows, columns = numbers("lp_pool2d", "kernel_size", kernel_size, 2)
    means = avg_pool2d(input.pow(norm_type), (rows, columns), stride, 0, ceil_mode)
    return _rooted(means, norm_type, rows * columns)


def lp_pool3d(
    input: Tensor,
    norm_type: int | float,
    kernel_size: Ints,
    stride: Ints | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """``lp_pool2d`` for volumes (N, C, D, H, W) or (C, D, H, W)."""
    kernel = numbers("lp_pool3d", "kernel_size", kernel_size, 3)
    means = avg_pool3d(input.pow(norm_type), kernel, stride, 0, ceil_mode)
    return _rooted(means, norm_type, kernel[0] * kernel[1] * kernel[2])


# -- random windows ----------------------------------------------------------------------------


def _starts(samples: Tensor, size: int, out: int, kernel: int) -> Tensor:
    """Where windows of one dimension begin, for a random number in [0, 1) of each plane."""
    last = samples.new_full((*samples.shape, 1), size - kernel).to(dtypes.int64)
    if out == 1:
        return last
    alpha = (size - kernel) / (out - 1)
    u = samples.unsqueeze(-1)
    steps = arange(out - 1, dtype=samples.dtype)
    inner = ((steps + u) * alpha).to(dtypes.int64) - (u * alpha).to(dtypes.int64)
    return cat([inner, last], -1)


def _fractional(
    spatial: int,
    input: Tensor,
    kernel_size: Any,
    output_size: Any,
    output_ratio: Any,
    return_indices: bool,
    samples: Tensor | None,
) -> Any:
    name = f"fractional_max_pool{spatial}d"
    if input.ndim not in (spatial + 1, spatial + 2):
        raise ShapeError(f"{name}: input must be of {spatial + 1} or {spatial + 2} dimensions.")
    if (output_size is None) == (output_ratio is None):
        raise ArgumentError(f"{name}: one of output_size and output_ratio is needed, not both.")
    sizes, kernel = input.shape[-spatial:], numbers(name, "kernel_size", kernel_size, spatial)
    if output_size is None:
        ratios = output_ratio if isinstance(output_ratio, tuple | list) else (output_ratio,)
        ratios = ratios * spatial if len(ratios) == 1 else ratios
        out = tuple(int(n * r) for n, r in zip(sizes, ratios, strict=True))
    else:
        out = numbers(name, "output_size", output_size, spatial)
    if any(o < 1 or o + k - 1 > n for n, o, k in zip(sizes, out, kernel, strict=True)):
        raise ShapeError(f"{name}: {out} windows of {kernel} do not fit an input of {sizes}.")
    x = input if input.ndim == spatial + 2 else input.unsqueeze(0)
    if samples is None:
        samples = rand(x.shape[0], x.shape[1], spatial, dtype=x.dtype)
    samples = samples[: x.shape[0], : x.shape[1]]
    order = range(spatial) if spatial == 3 else range(spatial - 1, -1, -1)  # 2-D: columns first
    places = None
    for d, of in enumerate(order):
        at = _starts(samples[..., of], sizes[d], out[d], kernel[d])
        at = at.unsqueeze(-1) + arange(kernel[d])  # (N, C, out, kernel)
        shape = [*x.shape[:2], *([1] * 2 * spatial)]
        shape[2 + d], shape[2 + spatial + d] = out[d], kernel[d]
        at = at.reshape(*shape)
        places = at if places is None else places * sizes[d] + at
    assert places is not None
    windows = places.flatten(2 + spatial).flatten(2, 1 + spatial)
    lead = tuple(x.shape[:2])
    values = x.flatten(2).gather(2, windows.flatten(2)).reshape(windows.shape)
    y, which = values.max(-1)
    indices = windows.gather(-1, which.unsqueeze(-1)).squeeze(-1).reshape(*lead, *out)
    y = y.reshape(*lead, *out)
    if input.ndim == spatial + 1:
        y, indices = y.squeeze(0), indices.squeeze(0)
    return (y, indices) if return_indices else y


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The maximum of windows at random places, about equally far from each other.

    Args:
        input: (N, C, H, W) or (C, H, W).
        kernel_size: rows and columns of a window.
        output_size: rows and columns of the result.
        output_ratio: or the result's size as parts of the input's.
        return_indices: also return where each maximum is.
        _random_samples: (N, C, 2) numbers in [0, 1) to use.

    Source: B. Graham, "Fractional Max-Pooling", 2014.

    >>> import fovea
    >>> fractional_max_pool2d(fovea.zeros(1, 7, 7), 2, output_ratio=0.7).shape
    fovea.Size([1, 4, 4])
    """
    return _fractional(
        2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )


def fractional_max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """``fractional_max_pool2d`` with the indices."""
    return _fractional(2, input, kernel_size, output_size, output_ratio, True, _random_samples)


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """``fractional_max_pool2d`` for volumes (N, C, D, H, W) or (C, D, H, W)."""
    return _fractional(
        3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )


def fractional_max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """``fractional_max_pool3d`` with the indices."""
    return _fractional(3, input, kernel_size, output_size, output_ratio, True, _random_samples)
