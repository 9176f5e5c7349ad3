"""Arithmetic on symbolic tensors, as layers of the graph."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

from fovea.dtypes import as_dtype, promote_types
from fovea.errors import ArgumentError
from fovea.keras.keras_tensor import KerasTensor, shape_of
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.probing import probed_shapes
from fovea.keras.naming import uniquify

__all__ = ["Operator"]

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "power": operator.pow,
    "matmul": operator.matmul,
    "negative": operator.neg,
    "get_item": operator.getitem,
}


class Operator(Layer):
    """One arithmetic operation, of two tensors or of a tensor and a constant.

    Args:
        operation: ``"add"``, ``"multiply"`` ...
        constant: the operand that is no tensor.
        reflected: whether the constant comes first.
    """

    def __init__(
        self,
        operation: str,
        constant: Any = None,
        reflected: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if operation not in _OPERATIONS:
            raise ArgumentError(f"Operator: unknown operation {operation!r}.")
        super().__init__(name=name or uniquify(operation), autocast=False, **kwargs)
        self.operation, self.constant, self.reflected = operation, constant, reflected
        self.built = True

    @classmethod
    def apply(cls, operation: str, x: Any, *others: Any, reflected: bool = False) -> Any:  # type: ignore[override]
        """The result of an operation, as a symbolic tensor."""
        if others and isinstance(others[0], KerasTensor):
            return cls(operation)([x, others[0]])
        return cls(operation, others[0] if others else None, reflected)(x)

    def call(self, inputs: Any) -> Any:
        f = _OPERATIONS[self.operation]
        if isinstance(inputs, list | tuple):
            return f(*inputs)
        if self.operation == "negative":
            return f(inputs)
        return f(self.constant, inputs) if self.reflected else f(inputs, self.constant)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        operands = args[0] if isinstance(args[0], list | tuple) else [args[0]]
        kinds = [as_dtype(t.dtype) for t in operands if isinstance(t, KerasTensor)]
        floats = [k for k in kinds if k.is_floating_point]
        dtype = reduce(promote_types, floats).name if floats else self.compute_dtype
        return KerasTensor(probed_shapes(self, shape_of(args[0])), dtype)
