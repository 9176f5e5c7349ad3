"""What fused ops do to a result on its way to memory: an activation function, and a residual that
is added before it or after it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.ops import activation as functions
from fovea.ops import elementwise
from fovea.ops.op import Attrs, Op, Shaped

__all__ = [
    "ACTIVATIONS",
    "NONE",
    "RELU",
    "Activation",
    "activation_of",
    "check_residual",
    "finished",
    "function_of",
]

Array = np.ndarray[Any, Any]
Activation = tuple[str, tuple[float | str, ...]]  # an op's name and its attributes, in their order

NONE: Activation = ("none", ())
RELU: Activation = ("relu", ())

ACTIVATIONS: dict[str, Op] = {
    op.name: op
    for op in (
        elementwise.relu, elementwise.sigmoid, elementwise.tanh, functions.silu, functions.gelu,
        functions.hardswish, functions.hardsigmoid, functions.hardtanh, functions.leaky_relu,
        functions.elu, functions.softplus, functions.mish,
    )
}  # fmt: skip


def activation_of(op: Op, attrs: Attrs | None = None) -> Activation | None:
    """How fused ops name an element-wise op; None for one that they do not know.

    >>> activation_of(functions.hardtanh, functions.RangeAttrs.of(0.0, 6.0))
    ('hardtanh', (0.0, 6.0))
    """
    if ACTIVATIONS.get(op.name) is not op:
        return None
    fields = dataclasses.fields(attrs) if attrs is not None else ()  # type: ignore[arg-type]
    return op.name, tuple(getattr(attrs, f.name) for f in fields)


def function_of(name: str, activation: Activation) -> tuple[Op, Attrs | None] | None:
    """The element-wise op that an activation is, with its attributes; None for ``NONE``.

    Raises:
        ArgumentError: there is no such activation, or its attributes are not as the op has them
            (``name`` is the fused op's, for the message).
    """
    if activation == NONE:
        return None
    kind, values = activation if len(activation) == 2 else (activation, ())
    op = ACTIVATIONS.get(kind) if isinstance(kind, str) else None
    if op is None:
        known = ", ".join(sorted(ACTIVATIONS))
        raise ArgumentError(f"{name}: {activation} is no activation; known are none, {known}.")
    expected = len(dataclasses.fields(op.attrs_class)) if op.attrs_class else 0  # type: ignore[arg-type]
    if len(values) != expected:
        raise ArgumentError(f"{name}: {kind} takes {expected} attributes, got {values}.")
    return op, op.attrs_class.of(*values) if op.attrs_class else None


def finished(
    y: Array, activation: Activation, residual: Array | None = None, after: bool = False
) -> Array:
    """Activation and residual of an array: ``act(y + residual)``, or ``act(y) + residual``."""
    if residual is not None and not after:
        y = y + residual
    found = function_of("activation", activation)
    if found is not None:
        op, attrs = found
        assert op.reference_rule is not None
        y = op.reference_rule(y, attrs) if attrs is not None else op.reference_rule(y)
    return y + residual if residual is not None and after else y


def check_residual(name: str, residual: Shaped | None, shape: Sequence[int], dtype: Any) -> None:
    """ShapeError or DTypeError unless a residual is like the result."""
    if residual is None:
        return
    if tuple(residual.shape) != tuple(shape):
        raise ShapeError(
            f"{name}: residual {describe(residual)} must have the result's shape {tuple(shape)}."
        )
    if residual.dtype is not dtype:
        raise DTypeError(
            f"{name}: residual is {residual.dtype.name} but the result is {dtype.name}.",
            fix="residual.to(x.dtype)",
        )
