"""Activation functions that are more than one elementary step, each with its gradient as an op.

An activation is declared by what it means (NumPy), what its slope is (NumPy), and both again in
ops: a target with no kernel of its own runs those, and second derivatives come from them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.ops.elementwise import _sigmoid, _v_erf
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import elementwise_spec, require_floating, same_dtype

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class GeluAttrs(Attrs):
    """``approximate``: "none" (with erf) or "tanh"."""

    approximate: str


@dataclass(frozen=True, eq=False)
class SlopeAttrs(Attrs):
    slope: float


@dataclass(frozen=True, eq=False)
class EluAttrs(Attrs):
    """scale * x above 0, scale * alpha * (exp(input_scale * x) - 1) below: elu, selu and celu."""

    alpha: float
    scale: float
    input_scale: float


@dataclass(frozen=True, eq=False)
class SoftplusAttrs(Attrs):
    beta: float
    threshold: float


@dataclass(frozen=True, eq=False)
class RangeAttrs(Attrs):
    low: float
    high: float


def activation(
    name: str,
    attrs: type[Attrs] | None,
    *,
    meaning: Callable[..., Any],
    slope: Callable[..., Any],
    in_ops: Callable[..., Any],
    grad_in_ops: Callable[..., Any],
    check: Callable[[Any], None] = lambda a: None,
) -> tuple[Op, Op]:
    """Declare ``y = f(x)`` and ``gx = gy * f'(x)`` as the ops ``name(x)`` and ``name_grad(gy, x)``.

    Args:
        meaning, slope: f and f' of an array.
        in_ops: f of a Tensor; ``grad_in_ops(gy, x)`` is the gradient of Tensors.
        check: raises for attributes out of range.
    """
    op, op_grad = Op(name, ("x",), attrs), Op(f"{name}_grad", ("gy", "x"), attrs)

    @op.shape
    def _(x: Shaped, *a: Any) -> Spec:
        require_floating(name, x=x)
        check(*a) if a else None
        return elementwise_spec(name, (x,))

    @op_grad.shape
    def _(gy: Shaped, x: Shaped, *a: Any) -> Spec:
        require_floating(op_grad.name, gy=gy)
        check(*a) if a else None
        return elementwise_spec(op_grad.name, (x, gy), same_dtype(op_grad.name, gy, x))

    @op.grad(saves=("x",))
    def _(ctx: Any, gy: Any) -> Any:
        return op_grad.bind((gy, ctx.x), ctx.attrs)

    op.reference(meaning)
    op.decompose(in_ops)
    op_grad.reference(lambda gy, x, *a: gy * slope(x, *a))
    op_grad.decompose(grad_in_ops)
    return op, op_grad


# -- smooth -----------------------------------------------------------------------------------

_ROOT_2, _ROOT_2_OVER_PI, _CUBIC = math.sqrt(2.0), math.sqrt(2.0 / math.pi), 0.044715


def _check_gelu(a: GeluAttrs) -> None:
    if a.approximate not in ("none", "tanh"):
        raise ArgumentError(f"gelu: approximate must be 'none' or 'tanh', got {a.approximate!r}.")


def _gelu(x: Array, a: GeluAttrs) -> Array:
    if a.approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(_ROOT_2_OVER_PI * (x + _CUBIC * x**3)))
    return 0.5 * x * (1 + _v_erf(x / _ROOT_2).astype(x.dtype))


def _gelu_slope(x: Array, a: GeluAttrs) -> Array:
    if a.approximate == "tanh":
        t = np.tanh(_ROOT_2_OVER_PI * (x + _CUBIC * x**3))
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * _ROOT_2_OVER_PI * (1 + 3 * _CUBIC * x * x)
    density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return 0.5 * (1 + _v_erf(x / _ROOT_2).astype(x.dtype)) + x * density


def _gelu_tanh_part(x: Any) -> Any:
    return ((x + x * x * x * _CUBIC) * _ROOT_2_OVER_PI).tanh()


def _gelu_in_ops(x: Any, a: GeluAttrs) -> Any:
    part = _gelu_tanh_part(x) if a.approximate == "tanh" else (x * (1 / _ROOT_2)).erf()
    return x * 0.5 * (part + 1)


def _gelu_grad_in_ops(gy: Any, x: Any, a: GeluAttrs) -> Any:
    if a.approximate == "tanh":
        t = _gelu_tanh_part(x)
        inner = (x * x * (3 * _CUBIC) + 1) * _ROOT_2_OVER_PI
        return gy * ((t + 1) * 0.5 + x * (1 - t * t) * inner * 0.5)
    density = (x * x * -0.5).exp() * (1 / math.sqrt(2 * math.pi))
    return gy * (((x * (1 / _ROOT_2)).erf() + 1) * 0.5 + x * density)


gelu, gelu_grad = activation(
    "gelu",
    GeluAttrs,
    meaning=_gelu,
    slope=_gelu_slope,
    in_ops=_gelu_in_ops,
    grad_in_ops=_gelu_grad_in_ops,
    check=_check_gelu,
)


def _silu_slope(x: Array) -> Array:
    s = _sigmoid(x)
    return s * (1 + x * (1 - s))


def _silu_grad_in_ops(gy: Any, x: Any) -> Any:
    s = x.sigmoid()
    return gy * (s * (x * (1 - s) + 1))


silu, silu_grad = activation(
    "silu",
    None,
    meaning=lambda x: x * _sigmoid(x),
    slope=_silu_slope,
    in_ops=lambda x: x * x.sigmoid(),
    grad_in_ops=_silu_grad_in_ops,
)


def _check_softplus(a: SoftplusAttrs) -> None:
    if not a.beta > 0:
        raise ArgumentError(f"softplus: beta must be positive, got {a.beta}.")


def _softplus(x: Array, a: SoftplusAttrs) -> Array:
    z = x * a.beta
    return np.where(z > a.threshold, x, np.logaddexp(0, z).astype(x.dtype) / a.beta)


def _softplus_in_ops(x: Any, a: SoftplusAttrs) -> Any:
    z = x * a.beta  # log(1 + exp z) = max(z, 0) + log(1 + exp -|z|)
    smooth = (z.relu() + (-z.abs()).exp().log1p()) * (1 / a.beta)
    return x.where(z > a.threshold, smooth)


def _softplus_grad_in_ops(gy: Any, x: Any, a: SoftplusAttrs) -> Any:
    z = x * a.beta
    return gy.where(z > a.threshold, gy * z.sigmoid())


softplus, softplus_grad = activation(
    "softplus",
    SoftplusAttrs,
    meaning=_softplus,
    slope=lambda x, a: np.where(x * a.beta > a.threshold, 1, _sigmoid(x * a.beta)).astype(x.dtype),
    in_ops=_softplus_in_ops,
    grad_in_ops=_softplus_grad_in_ops,
    check=_check_softplus,
)


def _mish(x: Array) -> Array:
    return x * np.tanh(np.logaddexp(0, x).astype(x.dtype))


def _mish_slope(x: Array) -> Array:
    t = np.tanh(np.logaddexp(0, x).astype(x.dtype))
    return t + x * (1 - t * t) * _sigmoid(x)


def _mish_tanh(x: Any) -> Any:
    return softplus.bind((x,), SoftplusAttrs.of(1.0, math.inf)).tanh()


def _mish_grad_in_ops(gy: Any, x: Any) -> Any:
    t = _mish_tanh(x)
    return gy * (t + x * (1 - t * t) * x.sigmoid())


mish, mish_grad = activation(
    "mish",
    None,
    meaning=_mish,
    slope=_mish_slope,
    in_ops=lambda x: x * _mish_tanh(x),
    grad_in_ops=_mish_grad_in_ops,
)

# -- in pieces --------------------------------------------------------------------------------

leaky_relu, leaky_relu_grad = activation(
    "leaky_relu",
    SlopeAttrs,
    meaning=lambda x, a: np.where(x > 0, x, x * a.slope).astype(x.dtype),
    slope=lambda x, a: np.where(x > 0, 1, a.slope).astype(x.dtype),
    in_ops=lambda x, a: x.where(x > 0, x * a.slope),
    grad_in_ops=lambda gy, x, a: gy.where(x > 0, gy * a.slope),
)


def _elu(x: Array, a: EluAttrs) -> Array:
    below = np.expm1(np.minimum(x, 0) * a.input_scale) * (a.alpha * a.scale)
    return np.where(x < 0, below, x * a.scale).astype(x.dtype)


def _elu_slope(x: Array, a: EluAttrs) -> Array:
    below = np.exp(np.minimum(x, 0) * a.input_scale) * (a.alpha * a.scale * a.input_scale)
    return np.where(x <= 0, below, a.scale).astype(x.dtype)


def _negative_part(x: Any) -> Any:
    """min(x, 0): what the exponential sees, so that it never overflows where it is not used."""
    return -((-x).relu())


def _elu_in_ops(x: Any, a: EluAttrs) -> Any:
    below = (_negative_part(x) * a.input_scale).expm1() * (a.alpha * a.scale)
    return below.where(x < 0, x * a.scale)


def _elu_grad_in_ops(gy: Any, x: Any, a: EluAttrs) -> Any:
    below = (_negative_part(x) * a.input_scale).exp() * (a.alpha * a.scale * a.input_scale)
    return gy * below.where(x <= 0, a.scale)


elu, elu_grad = activation(
    "elu",
    EluAttrs,
    meaning=_elu,
    slope=_elu_slope,
    in_ops=_elu_in_ops,
    grad_in_ops=_elu_grad_in_ops,
)


def _check_range(a: RangeAttrs) -> None:
    if not a.low <= a.high:
        raise ArgumentError(f"hardtanh: min_val {a.low} must not be larger than max_val {a.high}.")


def _inside(gy: Any, x: Any, low: float, high: float) -> Any:
    """``gy`` where low < x < high, else 0 (also where ``gy`` is infinite)."""
    return gy.where((x > low).logical_and(x < high), 0.0)


hardtanh, hardtanh_grad = activation(
    "hardtanh",
    RangeAttrs,
    meaning=lambda x, a: np.clip(x, a.low, a.high),
    slope=lambda x, a: ((x > a.low) & (x < a.high)).astype(x.dtype),
    in_ops=lambda x, a: x.clamp(a.low, a.high),
    grad_in_ops=lambda gy, x, a: _inside(gy, x, a.low, a.high),
    check=_check_range,
)

hardsigmoid, hardsigmoid_grad = activation(
    "hardsigmoid",
    None,
    meaning=lambda x: np.clip(x + 3, 0, 6) / 6,
    slope=lambda x: ((x > -3) & (x < 3)).astype(x.dtype) / 6,
    in_ops=lambda x: (x + 3).clamp(0, 6) * (1 / 6),
    grad_in_ops=lambda gy, x: _inside(gy * (1 / 6), x, -3, 3),
)


def _hardswish_grad_in_ops(gy: Any, x: Any) -> Any:
    between = gy.where(x >= 3, gy * (x * (1 / 3) + 0.5))
    return between.where(x > -3, 0.0)


hardswish, hardswish_grad = activation(
    "hardswish",
    None,
    meaning=lambda x: x * np.clip(x + 3, 0, 6) / 6,
    slope=lambda x: np.where(x <= -3, 0, np.where(x < 3, x / 3 + 0.5, 1)).astype(x.dtype),
    in_ops=lambda x: x * ((x + 3).clamp(0, 6) * (1 / 6)),
    grad_in_ops=_hardswish_grad_in_ops,
)
