"""Functions that take symbolic tensors, too: each such call becomes a layer of the graph."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from fovea.autograd import no_grad
from fovea.dtypes import as_dtype
from fovea.errors import ArgumentError
from fovea.functions.creation import zeros
from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.layers.layer import Layer
from fovea.keras.naming import uniquify
from fovea.keras.objects import register_keras_serializable
from fovea.keras.tree import flatten, map_structure

__all__ = ["FUNCTIONS", "FunctionCall", "symbolic"]

FUNCTIONS: dict[str, Callable[..., Any]] = {}
_Call = TypeVar("_Call", bound=Callable[..., Any])
_HOLE = "__input__"


def symbolic(function: _Call) -> _Call:
    """Let a function take symbolic tensors: it is then a layer of the model."""
    name = function.__name__
    FUNCTIONS[name] = function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        found = [v for v in _leaves((args, kwargs)) if isinstance(v, KerasTensor)]
        if not found:
            return function(*args, **kwargs)
        numbers = {id(v): n for n, v in enumerate(found)}

        def hole(v: Any) -> Any:
            return {_HOLE: numbers[id(v)]} if isinstance(v, KerasTensor) else v

        template = _mapped(hole, [list(args), kwargs])
        layer = FunctionCall(name, template)
        return layer(found if len(found) > 1 else found[0])

    return call  # type: ignore[return-value]


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [v for item in value.values() for v in _leaves(item)]
    if isinstance(value, list | tuple):
        return [v for item in value for v in _leaves(item)]
    return [value]


def _mapped(f: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, dict):
        return value if _HOLE in value else {k: _mapped(f, v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(f, v) for v in value]
    return f(value)


@register_keras_serializable("fovea", "FunctionCall")
class FunctionCall(Layer):
    """One call of a function of ``keras.ops`` in a graph.

    Args:
        function: its name.
        template: its arguments, ``[args, kwargs]``, with holes for the inputs.

    Raises:
        ArgumentError: an unknown function.
    """

    def __init__(
        self, function: str, template: Any, name: str | None = None, **kwargs: Any
    ) -> None:
        if function not in FUNCTIONS:
            raise ArgumentError(f"keras.ops has no function {function!r}.")
        super().__init__(name=name or uniquify(function), autocast=False, **kwargs)
        self.function, self.template = function, template
        self.built = True

    def call(self, inputs: Any) -> Any:
        given = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        args, kwargs = _filled(self.template, given)
        return FUNCTIONS[self.function](*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """What comes out, found by trying: sizes that differ with the batch vary."""
        inputs = args[0]
        with no_grad():
            small, large = (self.call(map_structure(_sample(n), inputs)) for n in (2, 3))
        specs = [
            KerasTensor(
                [a if a == b else None for a, b in zip(s.shape, t.shape, strict=True)],
                s.dtype.name,
            )
            for s, t in zip(flatten(small), flatten(large), strict=True)
        ]
        found = iter(specs)
        return map_structure(lambda _: next(found), small)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "function": self.function, "template": self.template}


def _sample(n: int) -> Callable[[Any], Any]:
    def make(t: KerasTensor) -> Any:
        shape = [n if d is None else d for d in t.shape]
        return zeros(shape, dtype=as_dtype(t.dtype)) + 1

    return make


def _filled(value: Any, inputs: list[Any]) -> Any:
    if isinstance(value, dict):
        if _HOLE in value:
            return inputs[value[_HOLE]]
        return {k: _filled(v, inputs) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(v, inputs) for v in value]
    return value
