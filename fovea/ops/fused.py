"""Contractions that finish their results on the way to memory.

Passes over a captured graph make these ops of a convolution (or a product) and what follows it,
after differentiation. Normalizations of that kind are in ``fused_norm.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.ops.conv import ConvAttrs, conv2d
from fovea.ops.epilogue import NONE, Activation, check_residual, finished, function_of
from fovea.ops.fused_norm import batch_norm_apply, batch_norm_grad_fused, batch_norm_train_fused
from fovea.ops.fused_pointwise import MADE_LATER
from fovea.ops.op import Op, Shaped, Spec
from fovea.ops.rules import check_vectors, statistics_dtype

__all__ = [
    "ConvMomentsAttrs",
    "FusedConvAttrs",
    "batch_norm_apply",
    "batch_norm_grad_fused",
    "batch_norm_train_fused",
    "conv2d_fused",
    "conv2d_moments",
]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class FusedConvAttrs(ConvAttrs):
    """``residual_after``: the residual is added to the activation's result, not to its operand."""

    activation: tuple[str, tuple[float | str, ...]] = NONE
    residual_after: bool = False


@dataclass(frozen=True, eq=False)
class ConvMomentsAttrs(ConvAttrs):
    """``eps``: rstd is 1 / sqrt(var + eps)."""

    eps: float = 1e-5


# y = act(conv(x, weight) * scale + bias + residual), scale and bias one number a channel. The
# result may not share memory with the residual.
conv2d_fused = Op(
    "conv2d_fused",
    ("x", "weight", "bias?", "scale?", "residual?"),
    FusedConvAttrs,
    nondifferentiable=MADE_LATER,
)

# A convolution, and what batch normalization needs to know of its result: mean, 1 / sqrt(var + eps)
# and (biased) variance of each channel.
conv2d_moments = Op(
    "conv2d_moments",
    ("x", "weight", "bias?"),
    ConvMomentsAttrs,
    outputs=("y", "mean", "rstd", "var"),
    nondifferentiable=MADE_LATER,
)


@conv2d_fused.shape
def _(
    x: Shaped,
    weight: Shaped,
    bias: Shaped | None,
    scale: Shaped | None,
    residual: Shaped | None,
    a: FusedConvAttrs,
) -> Spec:
    assert conv2d.shape_rule is not None
    y: Spec = conv2d.shape_rule(x, weight, None, a)
    _check_epilogue("conv2d_fused", y, bias, scale, residual, a.activation)
    return y


def _check_epilogue(
    name: str,
    y: Spec,
    bias: Shaped | None,
    scale: Shaped | None,
    residual: Shaped | None,
    activation: Activation,
) -> None:
    """Whether an epilogue's operands fit the result of a convolution."""
    check_vectors(name, y, (y.shape[1],), "channel", bias=bias, scale=scale)
    check_residual(name, residual, y.shape, y.dtype)
    function_of(name, activation)


@conv2d_fused.reference
def _(
    x: Array,
    weight: Array,
    bias: Array | None,
    scale: Array | None,
    residual: Array | None,
    a: FusedConvAttrs,
) -> Array:
    assert conv2d.reference_rule is not None
    y = _affine(conv2d.reference_rule(x, weight, None, a), scale, bias)
    return finished(y, a.activation, residual, a.residual_after)


def _affine(y: Array, scale: Array | None, bias: Array | None) -> Array:
    """An image batch times and plus one number a channel."""
    if scale is not None:
        y = y * scale[:, None, None]
    return y if bias is None else y + bias[:, None, None]


@conv2d_moments.shape
def _(x: Shaped, weight: Shaped, bias: Shaped | None, a: ConvMomentsAttrs) -> tuple[Spec, ...]:
    assert conv2d.shape_rule is not None
    y: Spec = conv2d.shape_rule(x, weight, None, a)
    _check_epilogue("conv2d_moments", y, bias, None, None, NONE)
    statistic = Spec((y.shape[1],), statistics_dtype(y.dtype))
    return y, statistic, statistic, statistic


@conv2d_moments.reference
def _(x: Array, weight: Array, bias: Array | None, a: ConvMomentsAttrs) -> tuple[Array, ...]:
    assert conv2d.reference_rule is not None
    y = _affine(conv2d.reference_rule(x, weight, None, a), None, bias)
    wide = y.astype(np.float64)
    mean, var = wide.mean((0, 2, 3)), wide.var((0, 2, 3))
    return y, mean, 1 / np.sqrt(var + a.eps), var
