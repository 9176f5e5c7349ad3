"""Emitters of the activation functions and of their gradients (`fovea.ops.activation`)."""

from __future__ import annotations

from math import pi, sqrt

from fovea.ops import activation as ops
from fovea.targets.cpu import vmath
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.scalars import scalar
from fovea.targets.cpu.values import Value

_COSTLY = 10.0
_ROOT_2_OVER_PI, _CUBIC = sqrt(2 / pi), 0.044715


def _approximate(a: ops.GeluAttrs) -> str:
    return a.approximate


def _normal_distribution(k: Kernel, x: Value) -> Value:
    """The probability that a standard normal number is below x."""
    return (vmath.erf(k, x * sqrt(0.5)) + 1.0) * 0.5


def _gelu_tanh(k: Kernel, x: Value) -> Value:
    return vmath.tanh(k, (x * x * x * _CUBIC + x) * _ROOT_2_OVER_PI)


@scalar(ops.gelu, cost=_COSTLY, variant=_approximate)
def _(k: Kernel, x: Value, variant: str) -> Value:
    if variant == "tanh":
        return x * 0.5 * (_gelu_tanh(k, x) + 1.0)
    return x * _normal_distribution(k, x)


@scalar(ops.gelu_grad, cost=_COSTLY, variant=_approximate)
def _(k: Kernel, gy: Value, x: Value, variant: str) -> Value:
    if variant == "tanh":
        t = _gelu_tanh(k, x)
        inner = (x * x * (3 * _CUBIC) + 1.0) * _ROOT_2_OVER_PI
        return gy * ((t + 1.0) * 0.5 + x * (1.0 - t * t) * inner * 0.5)
    density = vmath.exp(k, x * x * -0.5) * (1 / sqrt(2 * pi))
    return gy * (_normal_distribution(k, x) + x * density)


@scalar(ops.silu, cost=_COSTLY)
def _(k: Kernel, x: Value) -> Value:
    return x / (vmath.exp(k, -x) + 1.0)  # half the steps of x * sigmoid(x)


@scalar(ops.silu_grad, cost=_COSTLY)
def _(k: Kernel, gy: Value, x: Value) -> Value:
    s = vmath.sigmoid(k, x)
    return gy * (s * (x * (1.0 - s) + 1.0))


def _log_1_exp(k: Kernel, z: Value) -> Value:
    """log(1 + e^z), without overflow."""
    return k.fast_max(0.0, z) + vmath.log1p(k, vmath.exp(k, -k.abs(z)))


@scalar(ops.softplus, cost=_COSTLY, parameters=lambda a: (a.beta, a.threshold))
def _(k: Kernel, x: Value, beta: Value, threshold: Value) -> Value:
    z = x * beta
    return k.select(z > threshold, x, _log_1_exp(k, z) / beta)


@scalar(ops.softplus_grad, cost=_COSTLY, parameters=lambda a: (a.beta, a.threshold))
def _(k: Kernel, gy: Value, x: Value, beta: Value, threshold: Value) -> Value:
    z = x * beta
    return k.select(z > threshold, gy, gy * vmath.sigmoid(k, z))


@scalar(ops.mish, cost=_COSTLY)
def _(k: Kernel, x: Value) -> Value:
    return x * vmath.tanh(k, _log_1_exp(k, x))


@scalar(ops.mish_grad, cost=_COSTLY)
def _(k: Kernel, gy: Value, x: Value) -> Value:
    t = vmath.tanh(k, _log_1_exp(k, x))
    return gy * (t + x * (1.0 - t * t) * vmath.sigmoid(k, x))


@scalar(ops.leaky_relu, parameters=lambda a: (a.slope,))
def _(k: Kernel, x: Value, slope: Value) -> Value:
    return k.select(x > 0.0, x, x * slope)


@scalar(ops.leaky_relu_grad, parameters=lambda a: (a.slope,))
def _(k: Kernel, gy: Value, x: Value, slope: Value) -> Value:
    return k.select(x > 0.0, gy, gy * slope)


@scalar(ops.elu, cost=_COSTLY, parameters=lambda a: (a.alpha * a.scale, a.scale, a.input_scale))
def _(k: Kernel, x: Value, below: Value, above: Value, input_scale: Value) -> Value:
    negative = vmath.expm1(k, k.fast_min(0.0, x) * input_scale) * below
    return k.select(x < 0.0, negative, x * above)


@scalar(
    ops.elu_grad,
    cost=_COSTLY,
    parameters=lambda a: (a.alpha * a.scale * a.input_scale, a.scale, a.input_scale),
)
def _(k: Kernel, gy: Value, x: Value, below: Value, above: Value, input_scale: Value) -> Value:
    negative = vmath.exp(k, k.fast_min(0.0, x) * input_scale) * below
    return gy * k.select(x <= 0.0, negative, above)


def _clipped(k: Kernel, x: Value, low: Value | float, high: Value | float) -> Value:
    """x limited to [low, high]; NaN stays."""
    return k.fast_min(high, k.fast_max(low, x))


@scalar(ops.hardtanh, parameters=lambda a: (a.low, a.high))
def _(k: Kernel, x: Value, low: Value, high: Value) -> Value:
    return _clipped(k, x, low, high)


@scalar(ops.hardtanh_grad, parameters=lambda a: (a.low, a.high))
def _(k: Kernel, gy: Value, x: Value, low: Value, high: Value) -> Value:
    return k.select((x <= low) | (x >= high), 0.0, gy)


@scalar(ops.hardsigmoid)
def _(k: Kernel, x: Value) -> Value:
    # 6 times the rounded sixth is 1 in all float types.
    return _clipped(k, x + 3.0, 0.0, 6.0) * (1 / 6)


@scalar(ops.hardsigmoid_grad)
def _(k: Kernel, gy: Value, x: Value) -> Value:
    return k.select((x > -3.0) & (x < 3.0), gy / 6.0, 0.0)


@scalar(ops.hardswish)
def _(k: Kernel, x: Value) -> Value:
    return x * (_clipped(k, x + 3.0, 0.0, 6.0) * (1 / 6))  # as it stands: x where that is above 3


@scalar(ops.hardswish_grad)
def _(k: Kernel, gy: Value, x: Value) -> Value:
    between = k.select(x < 3.0, gy * (x / 3.0 + 0.5), gy)
    return k.select(x <= -3.0, 0.0, between)
