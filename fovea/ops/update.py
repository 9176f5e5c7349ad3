"""How optimizer updates are declared: one op changes all parameters of a group in place.

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

__all__ = ["SCALAR_STATES", "UpdateAttrs", "by_parameter", "update_op"]

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


def by_parameter(tensors: Sequence[Any], attrs: UpdateAttrs) -> list[tuple[Any, ...]]:
    """For each parameter: itself, its gradient, its states."""
    width = 2 + len(attrs.states)
    count = len(tensors) // width
    return list(zip(*(tensors[i * count : (i + 1) * count] for i in range(width)), strict=True))


Rule = Callable[[Array, Array, SimpleNamespace, SimpleNamespace, Any], Array]


def update_op(name: str, attrs: type[UpdateAttrs]) -> Callable[[Rule], Op]:
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
