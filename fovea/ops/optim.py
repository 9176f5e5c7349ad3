"""Optimizer updates: one op changes all parameters of a group in place.

Inputs of each op are ``scalars`` (float64: the hyper-parameters that ``attrs.scalars`` names, so
that a schedule changes numbers in memory and nothing else), then all parameters, all gradients, and
for each name in ``attrs.states`` that state of all parameters. A state has its parameter's shape
and dtype, but for the 0-d float32 ones in ``SCALAR_STATES``. The last scalar is ``skip``:
where it is not 0, nothing changes, as when a gradient has overflowed.

Every variant that PyTorch or Keras computes is an attribute. ``decay`` is what weight decay does:
``"none"``, ``"l2"`` (it joins the gradient) or ``"decoupled"`` (the parameter shrinks by
lr * weight_decay first).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec

Array = np.ndarray[Any, Any]

__all__ = [
    "SCALAR_STATES",
    "AdagradAttrs",
    "AdamAttrs",
    "AdamaxAttrs",
    "NadamAttrs",
    "RmspropAttrs",
    "SgdAttrs",
    "UpdateAttrs",
    "adagrad_update",
    "adam_update",
    "adamax_update",
    "by_parameter",
    "nadam_update",
    "rmsprop_update",
    "sgd_update",
]

SCALAR_STATES = ("step", "mu_product")
DECAYS = ("none", "l2", "decoupled")


@dataclass(frozen=True, eq=False)
class UpdateAttrs(Attrs):
    """What all updates have: the kind of weight decay, and whether to climb instead of descend."""

    scalars: ClassVar[tuple[str, ...]] = ("lr", "weight_decay", "skip")

    decay: str
    maximize: bool

    @property
    def states(self) -> tuple[str, ...]:
        """The states that a parameter has."""
        return ()


@dataclass(frozen=True, eq=False)
class SgdAttrs(UpdateAttrs):
    """PyTorch's buffer sums gradients; with ``lr_in_velocity`` it is Keras's momentum * v - lr * g.

    ``first``: the buffers are new, and become the gradient whatever the dampening.
    """

    scalars = ("lr", "weight_decay", "momentum", "dampening", "skip")

    momentum: bool = False
    nesterov: bool = False
    lr_in_velocity: bool = False
    first: bool = False

    @property
    def states(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.momentum else ()


@dataclass(frozen=True, eq=False)
class AdamAttrs(UpdateAttrs):
    """``eps_mode``: eps joins the root ``"corrected"`` for bias (PyTorch) or ``"raw"`` (Keras)."""

    scalars = ("lr", "weight_decay", "beta1", "beta2", "eps", "skip")

    amsgrad: bool = False
    eps_mode: str = "corrected"

    @property
    def states(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if self.amsgrad else ()), "step")


@dataclass(frozen=True, eq=False)
class RmspropAttrs(UpdateAttrs):
    """``eps_mode``: eps is added ``"outside"`` the root (PyTorch) or ``"inside"`` (Keras).

    ``lr_in_velocity``: the momentum buffer sums lr * g / root (Keras) instead of g / root.
    """

    scalars = ("lr", "weight_decay", "alpha", "eps", "momentum", "skip")

    momentum: bool = False
    centered: bool = False
    eps_mode: str = "outside"
    lr_in_velocity: bool = False

    @property
    def states(self) -> tuple[str, ...]:
        momentum = ("momentum_buffer",) if self.momentum else ()
        return ("square_avg", *momentum, *(("grad_avg",) if self.centered else ()), "step")


@dataclass(frozen=True, eq=False)
class AdagradAttrs(UpdateAttrs):
    """``eps_mode``: eps is added ``"outside"`` the root (PyTorch) or ``"inside"`` (Keras)."""

    scalars = ("lr", "weight_decay", "lr_decay", "eps", "skip")

    eps_mode: str = "outside"

    @property
    def states(self) -> tuple[str, ...]:
        return ("sum", "step")


@dataclass(frozen=True, eq=False)
class AdamaxAttrs(UpdateAttrs):
    """``eps_mode``: eps joins |g| in the ``"norm"`` (PyTorch) or the ``"ratio"`` (Keras)."""

    scalars = ("lr", "weight_decay", "beta1", "beta2", "eps", "skip")

    eps_mode: str = "norm"

    @property
    def states(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf", "step")


@dataclass(frozen=True, eq=False)
class NadamAttrs(UpdateAttrs):
    """PyTorch's; Keras's is the same with a momentum_decay of 1."""

    scalars = ("lr", "weight_decay", "beta1", "beta2", "eps", "momentum_decay", "skip")

    @property
    def states(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "step", "mu_product")


def by_parameter(tensors: Sequence[Any], attrs: UpdateAttrs) -> list[tuple[Any, ...]]:
    """For each parameter: itself, its gradient, its states."""
    width = 2 + len(attrs.states)
    count = len(tensors) // width
    return list(zip(*(tensors[i * count : (i + 1) * count] for i in range(width)), strict=True))


Rule = Callable[[Array, Array, SimpleNamespace, SimpleNamespace, Any], Array]


def _update_op(name: str, attrs: type[UpdateAttrs]) -> Callable[[Rule], Op]:
    """Declare an update from its meaning for one parameter.

    ``rule(p, g, s, c, a)`` returns the new parameter and sets new states in ``s``; ``c``: scalars.
    """

    def declare(rule: Rule) -> Op:
        op = Op(
            name,
            ("scalars", "*tensors"),
            attrs,
            outputs=(),
            mutates=("tensors",),
            nondifferentiable="it changes parameters in place",
        )

        @op.shape
        def _(scalars: Shaped, *rest: Any) -> tuple[Spec, ...]:
            _check(name, scalars, rest[:-1], rest[-1])
            return ()

        @op.reference
        def _(scalars: Array, *rest: Any) -> None:
            *tensors, a = rest
            c = SimpleNamespace(**dict(zip(a.scalars, scalars.tolist(), strict=True)))
            if c.skip:
                return
            for p, g, *states in by_parameter(tensors, a):
                s = SimpleNamespace(**{n: _wide(x) for n, x in zip(a.states, states, strict=True)})
                p[...] = _step(rule, _wide(p), _wide(g), s, c, a)
                for state, x in zip(a.states, states, strict=True):
                    x[...] = getattr(s, state)

        return op

    return declare


def _wide(x: Array) -> Array:
    return x.astype(np.float32) if x.itemsize == 2 else x


def _step(
    rule: Rule, p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: UpdateAttrs
) -> Array:
    """What all updates begin with: direction, weight decay, step count."""
    if a.maximize:
        g = -g
    if a.decay == "l2":
        g = g + c.weight_decay * p
    elif a.decay == "decoupled":
        p = p * (1 - c.lr * c.weight_decay)
    if "step" in a.states:
        s.step = s.step + np.float32(1)
    return rule(p, g, s, c, a)


def _check(name: str, scalars: Shaped, tensors: Sequence[Any], a: UpdateAttrs) -> None:
    if scalars.dtype is not dtypes.float64 or tuple(scalars.shape) != (len(a.scalars),):
        raise ShapeError(
            f"{name}: scalars must be float64 ({len(a.scalars)},): {', '.join(a.scalars)}.",
            {"scalars": describe(scalars)},
        )
    if a.decay not in DECAYS:
        raise ArgumentError(f"{name}: decay must be one of {', '.join(DECAYS)}, got {a.decay!r}.")
    if len(tensors) % (2 + len(a.states)):
        raise ArgumentError(
            f"{name}: {len(tensors)} tensors are no parameters with {len(a.states)} states each."
        )
    kinds = ("gradient", *a.states)
    for number, (p, *others) in enumerate(by_parameter(tensors, a)):
        if not p.dtype.is_floating_point:
            raise DTypeError(f"{name}: parameter {number} is {p.dtype.name}, not floating point.")
        for kind, t in zip(kinds, others, strict=True):
            scalar = kind in SCALAR_STATES
            shape, dtype = ((), dtypes.float32) if scalar else (tuple(p.shape), p.dtype)
            if tuple(t.shape) != shape or t.dtype is not dtype:
                raise ShapeError(
                    f"{name}: the {kind} of parameter {number} does not fit it.",
                    {"parameter": describe(p), kind: describe(t)},
                )


@_update_op("sgd_update", SgdAttrs)
def sgd_update(p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: SgdAttrs) -> Array:
    """Polyak 1964; Nesterov's form as in Sutskever et al. 2013."""
    if not a.momentum:
        return p - c.lr * g
    if a.lr_in_velocity:
        s.momentum_buffer = c.momentum * s.momentum_buffer - c.lr * g
        return p + (c.momentum * s.momentum_buffer - c.lr * g if a.nesterov else s.momentum_buffer)
    if a.first:
        s.momentum_buffer = g
    else:
        s.momentum_buffer = c.momentum * s.momentum_buffer + (1 - c.dampening) * g
    return p - c.lr * (g + c.momentum * s.momentum_buffer if a.nesterov else s.momentum_buffer)


@_update_op("adam_update", AdamAttrs)
def adam_update(p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: AdamAttrs) -> Array:
    """Kingma and Ba 2015; amsgrad: Reddi et al. 2018; decoupled: Loshchilov and Hutter 2019."""
    t = float(s.step)
    correction1, correction2 = 1 - c.beta1**t, 1 - c.beta2**t
    s.exp_avg = s.exp_avg + (1 - c.beta1) * (g - s.exp_avg)
    s.exp_avg_sq = c.beta2 * s.exp_avg_sq + (1 - c.beta2) * g * g
    square = s.exp_avg_sq
    if a.amsgrad:
        square = s.max_exp_avg_sq = np.maximum(s.max_exp_avg_sq, square)
    if a.eps_mode == "raw":
        return p - c.lr * correction2**0.5 / correction1 * s.exp_avg / (np.sqrt(square) + c.eps)
    return p - c.lr / correction1 * s.exp_avg / (np.sqrt(square) / correction2**0.5 + c.eps)


@_update_op("rmsprop_update", RmspropAttrs)
def rmsprop_update(
    p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: RmspropAttrs
) -> Array:
    """Tieleman and Hinton 2012; centered: Graves 2013."""
    s.square_avg = c.alpha * s.square_avg + (1 - c.alpha) * g * g
    square = s.square_avg
    if a.centered:
        s.grad_avg = s.grad_avg + (1 - c.alpha) * (g - s.grad_avg)
        square = square - s.grad_avg * s.grad_avg
    root = np.sqrt(square + c.eps) if a.eps_mode == "inside" else np.sqrt(square) + c.eps
    if not a.momentum:
        return p - c.lr * g / root
    if a.lr_in_velocity:
        s.momentum_buffer = c.momentum * s.momentum_buffer + c.lr * g / root
        return p - s.momentum_buffer
    s.momentum_buffer = c.momentum * s.momentum_buffer + g / root
    return p - c.lr * s.momentum_buffer


@_update_op("adagrad_update", AdagradAttrs)
def adagrad_update(
    p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: AdagradAttrs
) -> Array:
    """Duchi, Hazan and Singer 2011."""
    s.sum = s.sum + g * g
    root = np.sqrt(s.sum + c.eps) if a.eps_mode == "inside" else np.sqrt(s.sum) + c.eps
    return p - c.lr / (1 + (float(s.step) - 1) * c.lr_decay) * g / root


@_update_op("adamax_update", AdamaxAttrs)
def adamax_update(
    p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: AdamaxAttrs
) -> Array:
    """Kingma and Ba 2015, section 7."""
    in_norm, in_ratio = (0.0, c.eps) if a.eps_mode == "ratio" else (c.eps, 0.0)
    s.exp_avg = s.exp_avg + (1 - c.beta1) * (g - s.exp_avg)
    s.exp_inf = np.maximum(c.beta2 * s.exp_inf, np.abs(g) + in_norm)
    return p - c.lr / (1 - c.beta1 ** float(s.step)) * s.exp_avg / (s.exp_inf + in_ratio)


@_update_op("nadam_update", NadamAttrs)
def nadam_update(
    p: Array, g: Array, s: SimpleNamespace, c: SimpleNamespace, a: NadamAttrs
) -> Array:
    """Dozat 2016."""
    t = float(s.step)
    mu = c.beta1 * (1 - 0.5 * 0.96 ** (t * c.momentum_decay))
    mu_next = c.beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * c.momentum_decay))
    s.mu_product = s.mu_product * np.float32(mu)
    product = float(s.mu_product)
    s.exp_avg = s.exp_avg + (1 - c.beta1) * (g - s.exp_avg)
    s.exp_avg_sq = c.beta2 * s.exp_avg_sq + (1 - c.beta2) * g * g
    root = np.sqrt(s.exp_avg_sq / (1 - c.beta2**t)) + c.eps
    now = c.lr * (1 - mu) / (1 - product)
    ahead = c.lr * mu_next / (1 - product * mu_next)
    return p - now * g / root - ahead * s.exp_avg / root
