"""Batch normalization together with the activation and the residual that follow it.

Passes over a captured graph make these ops after differentiation: what was a pass over memory of
its own becomes part of one that is needed anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.ops.epilogue import NONE, Activation, check_residual, finished, function_of
from fovea.ops.fused_pointwise import MADE_LATER
from fovea.ops.norm import NormAttrs, batch_norm_train, batch_norm_train_grad, normalize
from fovea.ops.op import REGISTRY, Attrs, Op, Shaped, Spec
from fovea.ops.rules import check_vectors

__all__ = [
    "FROM_RESULT",
    "FusedNormAttrs",
    "NormApplyAttrs",
    "NormGradAttrs",
    "batch_norm_apply",
    "batch_norm_grad_fused",
    "batch_norm_train_fused",
    "slope_of",
]

Array = np.ndarray[Any, Any]

# Activations whose slope can be told from their result.
FROM_RESULT = ("relu", "hardtanh", "leaky_relu")


@dataclass(frozen=True, eq=False)
class FusedNormAttrs(NormAttrs):
    """``residual_after``: the residual is added to the activation's result, not to its operand."""

    activation: tuple[str, tuple[float | str, ...]] = NONE
    residual_after: bool = False


@dataclass(frozen=True, eq=False)
class NormApplyAttrs(FusedNormAttrs, floats=True):
    """``variance``: the spread that is given is the variance, not 1 / sqrt(variance + eps)."""

    variance: bool = False


@dataclass(frozen=True, eq=False)
class NormGradAttrs(NormAttrs):
    """``residual``: the gradient of what the activation was applied to is a fourth result."""

    activation: tuple[str, tuple[float | str, ...]] = NONE
    residual: bool = False


# y = act((x - mean) * rstd * weight + bias + residual)
batch_norm_apply = Op(
    "batch_norm_apply",
    ("x", "mean", "spread", "weight?", "bias?", "residual?"),
    NormApplyAttrs,
    nondifferentiable=MADE_LATER,
)
# The same with the statistics of x itself, which are results, too.
batch_norm_train_fused = Op(
    "batch_norm_train_fused",
    ("x", "weight?", "bias?", "residual?"),
    FusedNormAttrs,
    outputs=("y", "mean", "rstd", "var"),
    nondifferentiable=MADE_LATER,
)
# The gradients of batch_norm_train_fused. The activation's slope comes from its result y where that
# is given (which needs to be so where there was a residual), else from x, weight and bias.
batch_norm_grad_fused = Op(
    "batch_norm_grad_fused",
    ("gy", "x", "weight?", "bias?", "mean", "rstd", "y?"),
    NormGradAttrs,
    outputs=("gx", "gw", "gb", "gr"),  # the last only with ``residual``
    nondifferentiable=MADE_LATER,
)


def slope_of(name: str, activation: Activation) -> tuple[Op, Attrs | None] | None:
    """The op that multiplies a gradient with an activation's slope; None for ``NONE``.

    Raises:
        ArgumentError: there is no such activation, or its slope is not an op of its own.
    """
    found = function_of(name, activation)
    if found is None:
        return None
    op, attrs = found
    slope = REGISTRY.get(f"{op.name}_grad")
    if slope is None:
        raise ArgumentError(f"{name}: the slope of {op.name} is no op.")
    return slope, attrs


# -- shapes -----------------------------------------------------------------------------------


@batch_norm_apply.shape
def _(
    x: Shaped,
    mean: Shaped,
    spread: Shaped,
    weight: Shaped | None,
    bias: Shaped | None,
    residual: Shaped | None,
    a: NormApplyAttrs,
) -> Spec:
    name = "batch_norm_apply"
    y, statistic, *_ = _train_specs(x, weight, bias, a)
    check_vectors(name, x, statistic.shape, "channel", mean=mean, spread=spread)
    _check_epilogue(name, y, residual, a)
    return y


@batch_norm_train_fused.shape
def _(
    x: Shaped,
    weight: Shaped | None,
    bias: Shaped | None,
    residual: Shaped | None,
    a: FusedNormAttrs,
) -> tuple[Spec, ...]:
    specs = _train_specs(x, weight, bias, a)
    _check_epilogue("batch_norm_train_fused", specs[0], residual, a)
    return specs


def _train_specs(
    x: Shaped, weight: Shaped | None, bias: Shaped | None, a: NormAttrs
) -> tuple[Spec, ...]:
    assert batch_norm_train.shape_rule is not None
    specs: tuple[Spec, ...] = batch_norm_train.shape_rule(x, weight, bias, a)
    return specs


def _check_epilogue(name: str, y: Spec, residual: Shaped | None, a: FusedNormAttrs) -> None:
    check_residual(name, residual, y.shape, y.dtype)
    function_of(name, a.activation)


@batch_norm_grad_fused.shape
def _(
    gy: Shaped,
    x: Shaped,
    weight: Shaped | None,
    bias: Shaped | None,
    mean: Shaped,
    rstd: Shaped,
    y: Shaped | None,
    a: NormGradAttrs,
) -> tuple[Spec, ...]:
    name = "batch_norm_grad_fused"
    assert batch_norm_train_grad.shape_rule is not None
    specs: tuple[Spec, ...] = batch_norm_train_grad.shape_rule(gy, x, weight, mean, rstd, a)
    check_vectors(name, x, specs[1].shape, "channel", bias=bias)
    slope_of(name, a.activation)
    if y is not None:
        if tuple(y.shape) != tuple(x.shape) or y.dtype is not x.dtype:
            raise ShapeError(f"{name}: y {describe(y)} must be like x {describe(x)}.")
        if a.activation != NONE and a.activation[0] not in FROM_RESULT:
            raise ArgumentError(f"{name}: the slope of {a.activation[0]} does not follow from y.")
    return (*specs, specs[0]) if a.residual else specs


# -- meaning ----------------------------------------------------------------------------------


@batch_norm_apply.reference
def _(
    x: Array,
    mean: Array,
    spread: Array,
    weight: Array | None,
    bias: Array | None,
    residual: Array | None,
    a: NormApplyAttrs,
) -> Array:
    rstd = 1 / np.sqrt(spread.astype(np.float64) + a.eps) if a.variance else spread
    y = normalize(x, mean, rstd, weight, bias, a)
    return finished(y, a.activation, residual, a.residual_after)


@batch_norm_train_fused.reference
def _(
    x: Array, weight: Array | None, bias: Array | None, residual: Array | None, a: FusedNormAttrs
) -> tuple[Array, ...]:
    assert batch_norm_train.reference_rule is not None
    y, *statistics = batch_norm_train.reference_rule(x, weight, bias, a)
    return finished(y, a.activation, residual, a.residual_after), *statistics


@batch_norm_grad_fused.reference
def _(
    gy: Array,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    rstd: Array,
    y: Array | None,
    a: NormGradAttrs,
) -> tuple[Array, ...]:
    slope = slope_of("batch_norm_grad_fused", a.activation)
    if slope is not None:
        op, attrs = slope
        assert op.reference_rule is not None
        at = normalize(x, mean, rstd, weight, bias, a) if y is None else y
        gy = op.reference_rule(gy, at, attrs) if attrs is not None else op.reference_rule(gy, at)
    assert batch_norm_train_grad.reference_rule is not None
    found: tuple[Array, ...] = batch_norm_train_grad.reference_rule(gy, x, weight, mean, rstd, a)
    return (*found, gy) if a.residual else found
