"""Normalization."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from fovea import dtypes
from fovea.casting import FLOAT32, autocasts
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.nn.functional.arguments import numbers
from fovea.nn.functional.padding import pad
from fovea.nn.functional.pooling import avg_pool2d
from fovea.ops import norm as ops

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "normalize",
    "rms_norm",
]


@lru_cache(256)
def _attrs(eps: float) -> ops.NormAttrs:
    return ops.NormAttrs.of(float(eps), 1)


@lru_cache(256)
def _layer_attrs(ndim: int, eps: float) -> ops.LayerNormAttrs:
    return ops.LayerNormAttrs.of(ndim, float(eps))


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel of (N, C, ...) over all other dimensions.

    In training with the batch's mean and (biased) variance, which also update the running ones in
    place: ``running = (1 - momentum) * running + momentum * batch``, the variance unbiased.
    Otherwise with the running ones.

    Raises:
        ShapeError: one value a channel in training, or statistics that do not fit the channels.

    >>> import fovea
    >>> x = fovea.tensor([[1.0], [3.0]])
    >>> batch_norm(x, None, None, training=True, eps=0.0)
    tensor([[-1.],
            [ 1.]])
    """
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError("batch_norm: without training, running statistics are needed.")
        return ops.batch_norm_infer.bind(
            (input, running_mean, running_var, weight, bias), _attrs(eps)
        )
    shape = input.shape
    channels = shape[1] if len(shape) > 1 else 1
    count = shape.numel() // channels if channels else 0
    if count == 1:
        raise ShapeError(
            "batch_norm: training needs more than 1 value a channel, "
            f"got input of shape {tuple(shape)}.",
            fix="feed a larger batch (drop_last=True drops a last batch of 1), or call .eval()",
        )
    y, mean, _, var = ops.batch_norm_train.bind((input, weight, bias), _attrs(eps))
    if running_mean is not None and running_var is not None and count:
        ops.batch_norm_update.bind(
            (running_mean, running_var, mean, var), _running(momentum, count)
        )
    return y


@lru_cache(4096)
def _running(momentum: float, count: int) -> ops.RunningAttrs:
    return ops.RunningAttrs.of(float(momentum), count / (count - 1))


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each sample over its last dimensions.

    Args:
        normalized_shape: the sizes of those dimensions; weight and bias have this shape.

    Raises:
        ShapeError: last dimensions that are not ``normalized_shape``.

    >>> import fovea
    >>> layer_norm(fovea.tensor([[1.0, 3.0]]), (2,), eps=0.0)
    tensor([[-1.,  1.]])
    """
    if not isinstance(normalized_shape, Sequence):
        raise ArgumentError(
            f"layer_norm: normalized_shape must hold integers, got {normalized_shape!r}."
        )
    n = len(normalized_shape)
    shape = input.shape
    if n == 0 or tuple(shape[len(shape) - n :]) != tuple(normalized_shape):
        raise ShapeError(
            f"layer_norm: input must end in dimensions {tuple(normalized_shape)}, "
            f"got {tuple(shape)}.",
            {"input": describe(input)},
            f"LayerNorm({list(shape[-max(n, 1) :])})",
        )
    return ops.layer_norm.bind((input, weight, bias), _layer_attrs(n, eps))[0]


def _widened(x: Tensor) -> Tensor:
    """Half types are normalized in float32 and rounded once, at the end."""
    return x.float() if x.dtype.itemsize == 2 else x


def _standardized(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    """(x - mean) / sqrt(var + eps) over ``dims``."""
    centered = x - x.mean(dims, keepdim=True)
    return centered * (centered.square().mean(dims, keepdim=True) + eps).rsqrt()


def _affine(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Scale and shift each channel of (N, C, ...)."""
    shape = (1, -1) + (1,) * (y.ndim - 2)
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize groups of channels of each sample of (N, C, ...).

    Raises:
        ArgumentError: ``num_groups`` does not divide the channels.

    >>> import fovea
    >>> group_norm(fovea.tensor([[1.0, 3.0, 0.0, 4.0]]), 2, eps=0.0)
    tensor([[-1.,  1., -1.,  1.]])
    """
    if input.ndim < 2:
        raise ShapeError(f"group_norm: input must be (N, C, ...), got {describe(input)}.")
    n, c, *rest = input.shape
    num_groups = numbers("group_norm", "num_groups", num_groups, 1)[0]
    if num_groups < 1 or c % num_groups:
        raise ArgumentError(f"group_norm: num_groups={num_groups} does not divide {c} channels.")
    _check_channels("group_norm", c, weight=weight, bias=bias)
    x = _widened(input).reshape((n, num_groups, c // num_groups, *rest))
    y = _standardized(x, tuple(range(2, x.ndim)), eps).reshape(input.shape)
    return _affine(y, weight, bias).to(input.dtype)


def _check_channels(name: str, channels: int, **vectors: Tensor | None) -> None:
    for key, t in vectors.items():
        if t is not None and tuple(t.shape) != (channels,):
            raise ShapeError(
                f"{name}: {key} has shape {tuple(t.shape)}, the input has {channels} channels."
            )


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel of each sample of (N, C, ...) over its spatial dimensions.

    ``use_input_stats=False`` uses the running statistics instead, which otherwise are updated with
    the averages over the batch.
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if input.ndim < 3:
        raise ShapeError(f"instance_norm: input must be (N, C, ...), got {describe(input)}.")
    count = input.shape[2:].numel()
    if count == 1:
        raise ShapeError(
            "instance_norm: training needs more than 1 spatial element, "
            f"got input of shape {tuple(input.shape)}."
        )
    _check_channels("instance_norm", input.shape[1], weight=weight, bias=bias)
    x = _widened(input)
    if running_mean is not None and running_var is not None and input.numel():
        _update_instance_statistics(x.detach(), running_mean, running_var, momentum, count)
    y = _affine(_standardized(x, tuple(range(2, input.ndim)), eps), weight, bias)
    return y.to(input.dtype)


def _update_instance_statistics(
    x: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float, count: int
) -> None:
    dims = tuple(range(2, x.ndim))
    mean = x.mean(dims)
    var = (x - x.mean(dims, keepdim=True)).square().mean(dims)
    inputs = (running_mean, running_var, mean.mean((0,)), var.mean((0,)))
    ops.batch_norm_update.bind(inputs, _running(momentum, count))


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divide by ``(k + alpha * mean of squares over neighboring channels) ** beta``.

    Args:
        size: how many channels, centered on each.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional
    neural networks", 2012, section 3.3.
    """
    if input.ndim < 3:
        raise ShapeError(f"local_response_norm: input must be (N, C, ...), got {describe(input)}.")
    if not input.numel():
        return input
    numbers("local_response_norm", "size", size, 1)
    squares = input.square().reshape((input.shape[0], 1, input.shape[1], -1))
    padded = pad(squares, (0, 0, size // 2, (size - 1) // 2))
    mean = avg_pool2d(padded, (size, 1), stride=1).reshape(input.shape)
    return input / (mean * alpha + k).pow(beta)


def normalize(
    input: Tensor,
    p: float = 2.0,
    dim: int | tuple[int, ...] = 1,
    eps: float = 1e-12,
    out: Tensor | None = None,
) -> Tensor:
    """``x`` divided by its ``p``-norm along ``dim`` (at least ``eps``).

    >>> import fovea
    >>> normalize(fovea.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    result = input / input.norm(p, dim, keepdim=True).clamp(min=eps)
    return result if out is None else out.copy_(result)


@autocasts(FLOAT32)
def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divide by the root of the mean square over the last dimensions.

    Args:
        normalized_shape: the sizes of those dimensions.
        weight: of that shape.
        eps: added to the mean square; None: the smallest step of the dtype above 1.

    Raises:
        ShapeError: an input whose last dimensions are others.

    >>> import fovea
    >>> rms_norm(fovea.tensor([[1.0, -1.0]]), (2,))
    tensor([[ 1., -1.]])
    """
    shape = tuple(normalized_shape)
    if not shape or tuple(input.shape[-len(shape) :]) != shape:
        raise ShapeError(
            f"rms_norm: the input's last dimensions must be {shape}.", {"input": describe(input)}
        )
    if weight is not None and tuple(weight.shape) != shape:
        raise ShapeError(f"rms_norm: weight must be {shape}, got {describe(weight)}.")
    x = _widened(input)
    eps = dtypes.finfo(input.dtype).eps if eps is None else eps
    y = x * (x.square().mean(tuple(range(-len(shape), 0)), keepdim=True) + eps).rsqrt()
    return (y if weight is None else y * weight).to(input.dtype)
