"""Functions that take symbolic tensors, too: each such call becomes a layer of the graph."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from fovea.errors import ArgumentError
from fovea.keras.keras_tensor import any_symbolic
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.probing import probed_symbols
from fovea.keras.naming import uniquify
from fovea.keras.objects import register_keras_serializable

__all__ = ["FUNCTIONS", "FunctionCall", "shapes_of", "symbolic"]

FUNCTIONS: dict[str, Callable[..., Any]] = {}
_SHAPES: dict[str, Callable[..., Any]] = {}
_Call = TypeVar("_Call", bound=Callable[..., Any])


def symbolic(function: _Call) -> _Call:
    """Let a function take symbolic tensors: it is then a layer of the model."""
    name = function.__name__
    FUNCTIONS[name] = function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if any_symbolic(args, kwargs):
            return FunctionCall(name)(*args, **kwargs)
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]


def shapes_of(function: Callable[..., Any]) -> Callable[[_Call], _Call]:
    """Say what a function gives for symbolic tensors, where values decide on it or zeros and ones
    are no arguments to try it with.
    """

    def say(rule: _Call) -> _Call:
        _SHAPES[function.__name__] = rule
        return rule

    return say


@register_keras_serializable("fovea", "FunctionCall")
class FunctionCall(Layer):
    """One call of a function of ``keras.ops`` in a graph: its node holds the arguments.

    Args:
        function: its name.

    Raises:
        ArgumentError: an unknown function.
    """

    takes_integers = True
    is_operation = True

    def __init__(self, function: str, name: str | None = None, **kwargs: Any) -> None:
        if function not in FUNCTIONS:
            raise ArgumentError(f"keras.ops has no function {function!r}.")
        super().__init__(name=name or uniquify(function), autocast=False, **kwargs)
        self.function = function
        self.built = True

    @property
    def class_name(self) -> str:
        """What Keras calls the operation: ``"Matmul"``."""
        from fovea.keras.ops.operations import class_name

        return class_name(self.function)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return FUNCTIONS[self.function](*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """What comes out, found by trying: sizes that differ with the batch vary."""
        if self.function in _SHAPES:
            return _SHAPES[self.function](*args, **kwargs)
        return probed_symbols(self.call, args, kwargs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "function": self.function}
