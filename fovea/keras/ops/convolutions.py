"""``keras.ops.nn``: convolutions and pools of sequences, images and volumes.

The layers' own kernels, without the layers: what is known of an argument's windows is kept.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fovea.errors import ArgumentError, ShapeError
from fovea.keras import config
from fovea.keras.layers import pooling
from fovea.keras.layers.arguments import choice, several
from fovea.keras.layers.depthwise import depthwise_kernel
from fovea.keras.layers.images import from_channels_first, to_channels_first
from fovea.keras.layers.windows import KERNELS_FIRST, ConvWindows, TransposedWindows
from fovea.keras.ops.elementwise import common, floating, tensor
from fovea.keras.ops.symbolic import symbolic
from fovea.ops.shape import permute

__all__ = [
    "average_pool", "conv", "conv_transpose", "depthwise_conv", "max_pool", "separable_conv",
]  # fmt: skip


@functools.lru_cache(1024)
def _windows(
    name: str, kernel: tuple[int, ...], strides: Any, padding: str, dilation: Any
) -> ConvWindows:
    rank = len(kernel)
    padding = choice(name, "padding", padding, ("valid", "same"))
    steps, rates = (several(name, "strides", v, rank) for v in (strides, dilation))
    return ConvWindows(kernel, steps, padding, rates)


@functools.lru_cache(1024)
def _transposed_windows(
    kernel: tuple[int, ...], strides: Any, padding: str, dilation: Any, output_padding: Any
) -> TransposedWindows:
    rank, name = len(kernel), "conv_transpose"
    padding = choice(name, "padding", padding, ("valid", "same"))
    steps, rates = (several(name, "strides", v, rank) for v in (strides, dilation))
    more = output_padding
    if more is not None:
        more = several(name, "output_padding", more, rank, 0)
    return TransposedWindows(kernel, steps, padding, rates, more)


def _key(value: Any) -> Any:
    """A number, or several as a tuple."""
    return tuple(value) if isinstance(value, list) else value


def _taken(name: str, inputs: Any, kernel: Any, data_format: str | None) -> tuple[Any, Any, str]:
    """Images (N, C, ...), the kernel, and the layout that the result should have."""
    x, k = common(floating(inputs), floating(kernel))
    if x.ndim - 2 not in KERNELS_FIRST or k.ndim != x.ndim:
        raise ShapeError(
            f"{name}: images have 1 to 3 dimensions beside two, and kernels as many; got "
            f"{tuple(x.shape)} and {tuple(k.shape)}."
        )
    layout = config.standardize_data_format(data_format)
    return to_channels_first(x, layout), k, layout


@symbolic
def conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Convolution of sequences, images or volumes.

    Args:
        inputs: (N, ..., C), or (N, C, ...).
        kernel: (..., C / groups, filters).
        padding: ``"valid"`` or ``"same"``.

    >>> import fovea
    >>> conv(fovea.ones(2, 8, 8, 3), fovea.ones(3, 3, 3, 4), padding="same").shape
    fovea.Size([2, 8, 8, 4])
    """
    x, k, layout = _taken("conv", inputs, kernel, data_format)
    channels, each = x.shape[1], k.shape[-2]
    if channels % each:
        raise ShapeError(f"conv: {channels} channels are no multiple of the kernel's {each}.")
    sizes = tuple(k.shape[:-2])
    windows = _windows("conv", sizes, _key(strides), padding, _key(dilation_rate))
    weights = permute.bind((k,), KERNELS_FIRST[len(sizes)])
    return from_channels_first(windows.convolve(x, weights, None, channels // each), layout)


@symbolic
def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Transposed convolution; the kernel is (..., filters, C).

    >>> import fovea
    >>> conv_transpose(fovea.ones(2, 8, 8, 3), fovea.ones(3, 3, 4, 3), 2, "same").shape
    fovea.Size([2, 16, 16, 4])
    """
    x, k, layout = _taken("conv_transpose", inputs, kernel, data_format)
    if x.shape[1] != k.shape[-1]:
        raise ShapeError(
            f"conv_transpose: the images have {x.shape[1]} channels, the kernel {k.shape[-1]}."
        )
    sizes = tuple(k.shape[:-2])
    windows = _transposed_windows(
        sizes, _key(strides), padding, _key(dilation_rate), _key(output_padding)
    )
    weights = permute.bind((k,), KERNELS_FIRST[len(sizes)])
    return from_channels_first(windows.convolve(x, weights), layout)


@symbolic
def depthwise_conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """A convolution of each channel; the kernel is (..., C, multiplier)."""
    x, k, layout = _taken("depthwise_conv", inputs, kernel, data_format)
    if x.shape[1] != k.shape[-2]:
        raise ShapeError(
            f"depthwise_conv: the images have {x.shape[1]} channels, the kernel {k.shape[-2]}."
        )
    sizes = tuple(k.shape[:-2])
    windows = _windows("depthwise_conv", sizes, _key(strides), padding, _key(dilation_rate))
    return from_channels_first(windows.convolve(x, depthwise_kernel(k), None, x.shape[1]), layout)


@symbolic
def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """``depthwise_conv``, and a convolution over the channels of what comes out."""
    y = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(y, pointwise_kernel, 1, "valid", data_format)


# -- pools ---------------------------------------------------------------------------------------


@functools.lru_cache(1024)
def _pool(
    name: str, rank: int, size: Any, strides: Any, padding: str, layout: str
) -> Callable[[Any], Any]:
    """What a layer of this kind computes; the layer has a name of its own, so counts of others'
    names go on.
    """
    kind = getattr(pooling, f"{name}{rank}D", None)
    if kind is None:
        raise ArgumentError(f"images have 1 to 3 dimensions beside two, got {rank}.")
    made: Callable[[Any], Any] = kind(size, strides, padding, layout, name=name.lower()).call
    return made


def _pooled(
    name: str, inputs: Any, size: Any, strides: Any, padding: str, data_format: str | None
) -> Any:
    x = floating(inputs)
    layout = config.standardize_data_format(data_format)
    return _pool(name, x.ndim - 2, _key(size), _key(strides), padding, layout)(x)


@symbolic
def max_pool(
    inputs: Any,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """The largest of each window.

    >>> import fovea
    >>> max_pool(fovea.ones(2, 8, 8, 3), 2).shape
    fovea.Size([2, 4, 4, 3])
    """
    y = _pooled("MaxPooling", inputs, pool_size, strides, padding, data_format)
    return y.to(tensor(inputs).dtype)


@symbolic
def average_pool(
    inputs: Any,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """The mean of each window; of what is there, where ``"same"`` reaches over the edge."""
    return _pooled("AveragePooling", inputs, pool_size, strides, padding, data_format)
