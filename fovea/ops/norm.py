"""Batch and layer normalization.

Statistics of half-precision inputs are float32. Weight and bias have the input's dtype, or float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec, numel
from fovea.ops.rules import (
    check_vectors,
    like_layout,
    normalize_dim,
    require_floating,
    same_dtype,
    statistics_dtype,
)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class NormAttrs(Attrs):
    eps: float
    axis: int = 1


@dataclass(frozen=True, eq=False)
class LayerNormAttrs(Attrs):
    """``ndim``: how many of the last dimensions are normalized together."""

    ndim: int
    eps: float


@dataclass(frozen=True, eq=False)
class RunningAttrs(Attrs):
    """``correction``: n / (n - 1) makes the stored variance unbiased, 1 leaves it as it is."""

    momentum: float
    correction: float


batch_norm_train = Op(
    "batch_norm_train", ("x", "weight?", "bias?"), NormAttrs, outputs=("y", "mean", "rstd", "var")
)
batch_norm_train_grad = Op(
    "batch_norm_train_grad",
    ("gy", "x", "weight?", "mean", "rstd"),
    NormAttrs,
    outputs=("gx", "gw", "gb"),
)
batch_norm_infer = Op("batch_norm_infer", ("x", "mean", "var", "weight?", "bias?"), NormAttrs)
batch_norm_update = Op(  # running = (1 - momentum) * running + momentum * (mean, var * correction)
    "batch_norm_update",
    ("running_mean", "running_var", "mean", "var"),
    RunningAttrs,
    outputs=(),
    mutates=("running_mean", "running_var"),
    nondifferentiable="running statistics are no part of the loss",
)
layer_norm = Op(
    "layer_norm", ("x", "weight?", "bias?"), LayerNormAttrs, outputs=("y", "mean", "rstd")
)
layer_norm_grad = Op(
    "layer_norm_grad",
    ("gy", "x", "weight?", "mean", "rstd"),
    LayerNormAttrs,
    outputs=("gx", "gw", "gb"),
)


def _channels(name: str, x: Shaped, a: NormAttrs) -> tuple[int, ...]:
    require_floating(name, x=x)
    if len(x.shape) < 2:
        raise ShapeError(f"{name}: x needs at least 2 dimensions (N, C), got {describe(x)}.")
    if normalize_dim(name, a.axis, len(x.shape)) != a.axis:
        raise ArgumentError(f"{name}: axis must be counted from the front, got {a.axis}.")
    return (x.shape[a.axis],)


def _image(x: Shaped) -> tuple[int, ...]:
    return like_layout(tuple(x.shape), (x,))


@batch_norm_train.shape
def _(x: Shaped, weight: Shaped | None, bias: Shaped | None, a: NormAttrs) -> tuple[Spec, ...]:
    channels = _channels("batch_norm", x, a)
    check_vectors("batch_norm", x, channels, "channel", weight=weight, bias=bias)
    statistic = Spec(channels, statistics_dtype(x.dtype))
    return Spec(tuple(x.shape), x.dtype, _image(x)), statistic, statistic, statistic


@batch_norm_train_grad.shape
def _(
    gy: Shaped, x: Shaped, weight: Shaped | None, mean: Shaped, rstd: Shaped, a: NormAttrs
) -> tuple[Spec, ...]:
    name = "batch_norm_train_grad"
    channels = _channels(name, x, a)
    check_vectors(name, x, channels, "channel", weight=weight, mean=mean, rstd=rstd)
    _check_gy(name, gy, x)
    total = Spec(channels, statistics_dtype(x.dtype))
    return Spec(tuple(x.shape), x.dtype, _image(x)), total, total


def _check_gy(name: str, gy: Shaped, x: Shaped) -> None:
    same_dtype(name, gy, x)
    if tuple(gy.shape) != tuple(x.shape):
        raise ShapeError(f"{name}: gy {describe(gy)} must have x's shape {tuple(x.shape)}.")


@batch_norm_infer.shape
def _(
    x: Shaped, mean: Shaped, var: Shaped, weight: Shaped | None, bias: Shaped | None, a: NormAttrs
) -> Spec:
    channels = _channels("batch_norm", x, a)
    check_vectors(
        "batch_norm",
        x,
        channels,
        "channel",
        running_mean=mean,
        running_var=var,
        weight=weight,
        bias=bias,
    )
    return Spec(tuple(x.shape), x.dtype, _image(x))


@batch_norm_update.shape
def _(
    running_mean: Shaped, running_var: Shaped, mean: Shaped, var: Shaped, a: RunningAttrs
) -> tuple[Spec, ...]:
    for key, t in (("running_mean", running_mean), ("running_var", running_var), ("var", var)):
        if tuple(t.shape) != tuple(mean.shape):
            raise ShapeError(
                f"batch_norm: {key} {describe(t)} does not fit the statistics of x.",
                {"mean": describe(mean)},
            )
        require_floating("batch_norm", **{key: t})
    if len(mean.shape) != 1:
        raise ShapeError(f"batch_norm: statistics are vectors, got {describe(mean)}.")
    return ()


def _normalized(name: str, x: Shaped, a: LayerNormAttrs) -> tuple[int, ...]:
    require_floating(name, x=x)
    if not 1 <= a.ndim <= len(x.shape):
        raise ShapeError(f"{name}: {a.ndim} dimensions cannot be normalized in {describe(x)}.")
    return tuple(x.shape[len(x.shape) - a.ndim :])


@layer_norm.shape
def _(x: Shaped, weight: Shaped | None, bias: Shaped | None, a: LayerNormAttrs) -> tuple[Spec, ...]:
    normalized = _normalized("layer_norm", x, a)
    check_vectors("layer_norm", x, normalized, "normalized element", weight=weight, bias=bias)
    statistic = Spec(tuple(x.shape[: len(x.shape) - a.ndim]), statistics_dtype(x.dtype))
    return Spec(tuple(x.shape), x.dtype, _image(x)), statistic, statistic


@layer_norm_grad.shape
def _(
    gy: Shaped, x: Shaped, weight: Shaped | None, mean: Shaped, rstd: Shaped, a: LayerNormAttrs
) -> tuple[Spec, ...]:
    name = "layer_norm_grad"
    normalized = _normalized(name, x, a)
    check_vectors(name, x, normalized, "normalized element", weight=weight)
    check_vectors(name, x, tuple(x.shape[: len(x.shape) - a.ndim]), "row", mean=mean, rstd=rstd)
    _check_gy(name, gy, x)
    total = Spec(normalized, statistics_dtype(x.dtype))
    return Spec(tuple(x.shape), x.dtype, _image(x)), total, total


# -- gradients --------------------------------------------------------------------------------


class _Axes:
    """Which dimensions statistics run over, and how per-channel tensors broadcast against x."""

    def __init__(self, shape: tuple[int, ...], a: NormAttrs | LayerNormAttrs) -> None:
        rank = len(shape)
        if isinstance(a, NormAttrs):  # statistics and weights: one a channel
            kept: tuple[int, ...] = (a.axis,)
            weighted = kept
        else:  # statistics: one a row; weights: one an element of the row
            kept = tuple(range(rank - a.ndim))
            weighted = tuple(range(rank - a.ndim, rank))
        self.dims = tuple(d for d in range(rank) if d not in kept)
        self.weight_dims = tuple(d for d in range(rank) if d not in weighted)
        self.statistic_shape = tuple(n if d in kept else 1 for d, n in enumerate(shape))
        self.weight_shape = tuple(n if d in weighted else 1 for d, n in enumerate(shape))
        self.count = max(numel([shape[d] for d in self.dims]), 1)  # of no elements, no mean

    def statistic(self, t: Any) -> Any:
        """A statistic, ready to broadcast against x."""
        return t.reshape(self.statistic_shape)

    def weight(self, t: Any) -> Any:
        """A weight, ready to broadcast against x."""
        return t.reshape(self.weight_shape)


def _grad_in_ops(gy: Any, x: Any, weight: Any, mean: Any, rstd: Any, a: Any) -> tuple[Any, ...]:
    """(gx, gw, gb), with mean and rstd taken as inputs: their own gradients follow x's other path.

    gx = rstd * (g - mean(g) - xhat * mean(g * xhat)) with g = gy * weight.
    """
    axes, kind = _Axes(tuple(x.shape), a), statistics_dtype(x.dtype)
    wide, gy = x.to(kind), gy.to(kind)
    scale = axes.statistic(rstd.to(kind))
    xhat = (wide - axes.statistic(mean.to(kind))) * scale
    gw = gy * xhat
    if axes.weight_dims:
        gw, gb = gw.sum(axes.weight_dims), gy.sum(axes.weight_dims)
    else:
        gb = gy.clone()  # an output must not be an input
    g = gy if weight is None else gy * axes.weight(weight.to(kind))
    along = g.mean(axes.dims, keepdim=True) + xhat * (g * xhat).mean(axes.dims, keepdim=True)
    return ((g - along) * scale).to(x.dtype), gw, gb


batch_norm_train_grad.decompose(_grad_in_ops)
layer_norm_grad.decompose(_grad_in_ops)


def _through_statistics(ctx: Any, gx: Any, gmean: Any, grstd: Any, gvar: Any = None) -> Any:
    """Add the gradients that reach x through mean, rstd and var (only in second derivatives)."""
    if gmean is None and grstd is None and gvar is None:
        return gx
    x, axes = ctx.x, _Axes(tuple(ctx.shape(0)), ctx.attrs)
    kind = statistics_dtype(x.dtype)
    rstd, slope = ctx.rstd, None
    if grstd is not None:  # d rstd = -rstd^3 / 2 d var
        slope = grstd * (rstd * rstd * rstd) * -0.5
    if gvar is not None:
        slope = gvar if slope is None else slope + gvar
    total = x.new_zeros((), dtype=kind)
    if gmean is not None:
        total = total + axes.statistic(gmean) * (1.0 / axes.count)
    if slope is not None:
        centered = x.to(kind) - axes.statistic(ctx.mean)
        total = total + axes.statistic(slope) * centered * (2.0 / axes.count)
    total = total.expand(x.shape).to(x.dtype)
    return total if gx is None else gx + total


def _norm_grad(
    op_grad: Op, ctx: Any, gy: Any, gmean: Any, grstd: Any, gvar: Any = None
) -> tuple[Any, ...]:
    gx = gw = gb = None
    if gy is not None:
        gx, gw, gb = op_grad.bind((gy, ctx.x, ctx.weight, ctx.mean, ctx.rstd), ctx.attrs)
    need = ctx.needed
    gx = _through_statistics(ctx, gx, gmean, grstd, gvar) if need[0] else None
    return gx, gw if need[1] else None, gb if need[2] else None


@batch_norm_train.grad(saves=("x", "weight", "mean", "rstd"))
def _(ctx: Any, gy: Any, gmean: Any, grstd: Any, gvar: Any) -> tuple[Any, ...]:
    return _norm_grad(batch_norm_train_grad, ctx, gy, gmean, grstd, gvar)


@layer_norm.grad(saves=("x", "weight", "mean", "rstd"))
def _(ctx: Any, gy: Any, gmean: Any, grstd: Any) -> tuple[Any, ...]:
    return _norm_grad(layer_norm_grad, ctx, gy, gmean, grstd)


@batch_norm_infer.decompose
def _(x: Any, mean: Any, var: Any, weight: Any, bias: Any, a: NormAttrs) -> Any:
    axes, kind = _Axes(tuple(x.shape), a), statistics_dtype(x.dtype)
    scale = (var.to(kind) + a.eps).rsqrt()
    if weight is not None:
        scale = scale * weight.to(kind)
    y = (x.to(kind) - axes.statistic(mean.to(kind))) * axes.statistic(scale)
    if bias is not None:
        y = y + axes.statistic(bias.to(kind))
    return y.to(x.dtype)


# -- meaning ----------------------------------------------------------------------------------


def _statistics(x: Array, axes: _Axes, eps: float) -> tuple[Array, Array, Array]:
    """Mean, reciprocal deviation and variance, in float64 and ready to broadcast."""
    wide = x.astype(np.float64)
    mean = wide.mean(axes.dims, keepdims=True)
    var = np.square(wide - mean).mean(axes.dims, keepdims=True)
    return mean, 1 / np.sqrt(var + eps), var


def _affine(xhat: Array, weight: Array | None, bias: Array | None, axes: _Axes) -> Array:
    y = xhat if weight is None else xhat * axes.weight(weight)
    return y if bias is None else y + axes.weight(bias)


def normalize(
    x: Array, mean: Array, rstd: Array, weight: Array | None, bias: Array | None, a: NormAttrs
) -> Array:
    """``(x - mean) * rstd * weight + bias``, one number a channel each."""
    axes = _Axes(x.shape, a)
    xhat = (x.astype(np.float64) - axes.statistic(mean)) * axes.statistic(rstd)
    return _affine(xhat, weight, bias, axes)


@batch_norm_train.reference
def _(x: Array, weight: Array | None, bias: Array | None, a: NormAttrs) -> tuple[Array, ...]:
    axes = _Axes(x.shape, a)
    mean, rstd, var = _statistics(x, axes, a.eps)
    return _affine((x - mean) * rstd, weight, bias, axes), mean, rstd, var


@layer_norm.reference
def _(x: Array, weight: Array | None, bias: Array | None, a: LayerNormAttrs) -> tuple[Array, ...]:
    axes = _Axes(x.shape, a)
    mean, rstd, _ = _statistics(x, axes, a.eps)
    return _affine((x - mean) * rstd, weight, bias, axes), mean, rstd


def _grad_reference(
    gy: Array,
    x: Array,
    weight: Array | None,
    mean: Array,
    rstd: Array,
    a: NormAttrs | LayerNormAttrs,
) -> tuple[Array, ...]:
    axes = _Axes(x.shape, a)
    xhat = (x.astype(np.float64) - axes.statistic(mean)) * axes.statistic(rstd)
    g = gy if weight is None else gy * axes.weight(weight)
    along = g.mean(axes.dims, keepdims=True) + xhat * (g * xhat).mean(axes.dims, keepdims=True)
    return (
        (g - along) * axes.statistic(rstd),
        (gy * xhat).sum(axes.weight_dims),
        gy.sum(axes.weight_dims),
    )


batch_norm_train_grad.reference(_grad_reference)
layer_norm_grad.reference(_grad_reference)


@batch_norm_infer.reference
def _(
    x: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, a: NormAttrs
) -> Array:
    axes = _Axes(x.shape, a)
    xhat = (x - axes.statistic(mean)) / np.sqrt(axes.statistic(var).astype(np.float64) + a.eps)
    return _affine(xhat, weight, bias, axes)


@batch_norm_update.reference
def _(running_mean: Array, running_var: Array, mean: Array, var: Array, a: RunningAttrs) -> None:
    running_mean[...] = (1 - a.momentum) * running_mean + a.momentum * mean
    running_var[...] = (1 - a.momentum) * running_var + (a.momentum * a.correction) * var
