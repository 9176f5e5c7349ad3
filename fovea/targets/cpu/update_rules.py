"""What the kernels of optimizer updates compute, for each update op."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from fovea.ops.op import Op
from fovea.ops.optim import (
    adadelta_update,
    adagrad_update,
    adam_update,
    adamax_update,
    ftrl_update,
    lion_update,
    nadam_update,
    radam_update,
    rmsprop_update,
    rprop_update,
    sgd_update,
)
from fovea.targets.cpu import vmath
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import f32, f64
from fovea.targets.cpu.values import Value

__all__ = ["RULES", "Numbers", "Rule", "counted"]

Numbers = SimpleNamespace  # by name


@dataclass(frozen=True)
class Rule:
    """How a kernel computes an update.

    Args:
        prepare: ``(k, c, t, a) -> numbers``: once a chunk, in float64, from the scalars ``c`` and
            the states that are numbers ``t`` (the step already counted).
        update: ``(k, p, g, s, n, a) -> p``: for each element; sets the new states in ``s``.
    """

    prepare: Callable[[Kernel, Numbers, Numbers, Any], Numbers]
    update: Callable[[Kernel, Value, Value, Numbers, Numbers, Any], Value]


def _sgd_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    return Numbers(lr=c.lr, momentum=c.momentum, kept=1.0 - c.dampening)


def _sgd(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    if not a.momentum:
        return p - n.lr * g
    if a.lr_in_velocity:
        s.momentum_buffer = v = n.momentum * s.momentum_buffer - n.lr * g
        return p + (n.momentum * v - n.lr * g if a.nesterov else v)
    s.momentum_buffer = v = g if a.first else k.fma(n.momentum, s.momentum_buffer, n.kept * g)
    return p - n.lr * (k.fma(n.momentum, v, g) if a.nesterov else v)


def _adam_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    step = c.lr / (1.0 - vmath.pow(k, c.beta1, t.step))
    root = k.sqrt(1.0 - vmath.pow(k, c.beta2, t.step))
    raw = a.eps_mode == "raw"
    return Numbers(
        step=step * root if raw else step,
        scale=k.const(1.0, f64) if raw else 1.0 / root,
        eps=c.eps,
        new1=1.0 - c.beta1,
        old2=c.beta2,
        new2=1.0 - c.beta2,
    )


def _adam(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    s.exp_avg = k.fma(n.new1, g - s.exp_avg, s.exp_avg)
    s.exp_avg_sq = square = k.fma(n.old2, s.exp_avg_sq, n.new2 * g * g)
    if a.amsgrad:
        s.max_exp_avg_sq = square = k.maximum(s.max_exp_avg_sq, square)
    return p - n.step * s.exp_avg / k.fma(k.sqrt(square), n.scale, n.eps)


def _rmsprop_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    return Numbers(lr=c.lr, old=c.alpha, new=1.0 - c.alpha, eps=c.eps, momentum=c.momentum)


def _rmsprop(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    s.square_avg = square = k.fma(n.old, s.square_avg, n.new * g * g)
    if a.centered:
        s.grad_avg = k.fma(n.new, g - s.grad_avg, s.grad_avg)
        square = square - s.grad_avg * s.grad_avg
    root = k.sqrt(square + n.eps) if a.eps_mode == "inside" else k.sqrt(square) + n.eps
    if not a.momentum:
        return p - n.lr * g / root
    if a.lr_in_velocity:
        s.momentum_buffer = k.fma(n.momentum, s.momentum_buffer, n.lr * g / root)
        return p - s.momentum_buffer
    s.momentum_buffer = k.fma(n.momentum, s.momentum_buffer, g / root)
    return p - n.lr * s.momentum_buffer


def _adagrad_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    return Numbers(lr=c.lr / (1.0 + (t.step - 1.0) * c.lr_decay), eps=c.eps)


def _adagrad(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    s.sum = k.fma(g, g, s.sum)
    root = k.sqrt(s.sum + n.eps) if a.eps_mode == "inside" else k.sqrt(s.sum) + n.eps
    return p - n.lr * g / root


def _adamax_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    return Numbers(
        step=c.lr / (1.0 - vmath.pow(k, c.beta1, t.step)),
        new1=1.0 - c.beta1,
        old2=c.beta2,
        eps=c.eps,
    )


def _adamax(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    s.exp_avg = k.fma(n.new1, g - s.exp_avg, s.exp_avg)
    norm = k.abs(g) if a.eps_mode == "ratio" else k.abs(g) + n.eps
    s.exp_inf = k.maximum(n.old2 * s.exp_inf, norm)
    divisor = s.exp_inf + n.eps if a.eps_mode == "ratio" else s.exp_inf
    return p - n.step * s.exp_avg / divisor


def _nadam_mu(k: Kernel, c: Numbers, step: Value) -> Value:
    decay = vmath.pow(k, k.const(0.96, f64), step * c.momentum_decay)
    return c.beta1 * (1.0 - 0.5 * decay)


def _nadam_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    mu, following = _nadam_mu(k, c, t.step), _nadam_mu(k, c, t.step + 1.0)
    return Numbers(
        now=c.lr * (1.0 - mu) / (1.0 - t.mu_product),
        ahead=c.lr * following / (1.0 - t.mu_product * following),
        scale=1.0 / (1.0 - vmath.pow(k, c.beta2, t.step)),
        eps=c.eps,
        new1=1.0 - c.beta1,
        old2=c.beta2,
        new2=1.0 - c.beta2,
    )


def _nadam(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    s.exp_avg = k.fma(n.new1, g - s.exp_avg, s.exp_avg)
    s.exp_avg_sq = k.fma(n.old2, s.exp_avg_sq, n.new2 * g * g)
    root = k.sqrt(s.exp_avg_sq * n.scale) + n.eps
    return p - (n.now * g + n.ahead * s.exp_avg) / root


def _adadelta_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    return Numbers(lr=c.lr, old=c.rho, new=1.0 - c.rho, eps=c.eps)


def _adadelta(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    s.square_avg = k.fma(n.old, s.square_avg, n.new * g * g)
    delta = k.sqrt(s.acc_delta + n.eps) / k.sqrt(s.square_avg + n.eps) * g
    s.acc_delta = k.fma(n.old, s.acc_delta, n.new * delta * delta)
    return p - n.lr * delta


def _radam_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    power = vmath.pow(k, c.beta2, t.step)
    correction = 1.0 - power
    limit = 2.0 / (1.0 - c.beta2) - 1.0
    length = limit - 2.0 * t.step * power / correction
    ratio = (length - 4.0) * (length - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * length)
    return Numbers(
        step=c.lr / (1.0 - vmath.pow(k, c.beta1, t.step)),
        known=k.select(length > 5.0, k.const(1.0, f64), k.const(0.0, f64)),
        scale=k.sqrt(k.maximum(ratio * correction, 0.0)),
        eps=c.eps,
        new1=1.0 - c.beta1,
        old2=c.beta2,
        new2=1.0 - c.beta2,
    )


def _radam(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    s.exp_avg = k.fma(n.new1, g - s.exp_avg, s.exp_avg)
    s.exp_avg_sq = k.fma(n.old2, s.exp_avg_sq, n.new2 * g * g)
    step = n.step * s.exp_avg
    return p - k.select(n.known.eq(1.0), step * n.scale / (k.sqrt(s.exp_avg_sq) + n.eps), step)


def _rprop_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    return Numbers(down=c.shrink, up=c.grow, smallest=c.smallest, largest=c.largest)


def _rprop(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    agreement = g * s.prev
    turned = agreement < 0.0
    scaled = k.select(turned, s.step_size * n.down, s.step_size)
    scaled = k.select(agreement > 0.0, s.step_size * n.up, scaled)
    s.step_size = k.minimum(k.maximum(scaled, n.smallest), n.largest)
    s.prev = k.select(turned, g * 0.0, g)
    return p - _sign(k, s.prev) * s.step_size


def _sign(k: Kernel, x: Value) -> Value:
    """-1, 0 or 1; NaN stays."""
    one = x * 0.0 + 1.0
    return k.select(x > 0.0, one, k.select(x < 0.0, -one, x))


def _lion_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    return Numbers(lr=c.lr, old1=c.beta1, new1=1.0 - c.beta1, old2=c.beta2, new2=1.0 - c.beta2)


def _lion(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    direction = _sign(k, k.fma(n.old1, s.exp_avg, n.new1 * g))
    s.exp_avg = k.fma(n.old2, s.exp_avg, n.new2 * g)
    return p - n.lr * direction


def _ftrl_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    return Numbers(
        per_rate=1.0 / c.lr, power=-c.power, l1=c.l1, l2=2.0 * c.l2, shrinkage=2.0 * c.l2_shrinkage
    )


def _ftrl(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    before, s.accumulator = s.accumulator, k.fma(g, g, s.accumulator)
    raised = vmath.pow(k, s.accumulator, n.power)
    change = (raised - vmath.pow(k, before, n.power)) * n.per_rate
    s.linear = k.fma(n.shrinkage - change, p, s.linear + g)
    clipped = k.minimum(k.maximum(s.linear, -n.l1), n.l1)
    return (clipped - s.linear) / k.fma(raised, n.per_rate, n.l2)


RULES: dict[Op, Rule] = {
    sgd_update: Rule(_sgd_numbers, _sgd),
    adam_update: Rule(_adam_numbers, _adam),
    rmsprop_update: Rule(_rmsprop_numbers, _rmsprop),
    adagrad_update: Rule(_adagrad_numbers, _adagrad),
    adamax_update: Rule(_adamax_numbers, _adamax),
    nadam_update: Rule(_nadam_numbers, _nadam),
    adadelta_update: Rule(_adadelta_numbers, _adadelta),
    radam_update: Rule(_radam_numbers, _radam),
    rprop_update: Rule(_rprop_numbers, _rprop),
    lion_update: Rule(_lion_numbers, _lion),
    ftrl_update: Rule(_ftrl_numbers, _ftrl),
}


def counted(k: Kernel, c: Numbers, numbers: Numbers) -> Numbers:
    """The states that are numbers, one step on."""
    after = Numbers()
    if hasattr(numbers, "step"):
        after.step = k.cast(numbers.step + 1.0, f64)
    if hasattr(numbers, "mu_product"):
        mu = k.cast(_nadam_mu(k, c, after.step), f32)
        after.mu_product = k.cast(numbers.mu_product * mu, f64)
    return after
