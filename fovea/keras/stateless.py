"""Layers as functions of their variables, without side effects."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from fovea import watching
from fovea.errors import ArgumentError
from fovea.keras.standins import StandIns, check_count
from fovea.keras.variables import Variable
from fovea.targets.base import blank
from fovea.tensor import Tensor

__all__ = ["StatelessScope", "stateless_call"]


class StatelessScope(StandIns):
    """Within the block, variables hold the values that they are mapped to, and no change of a
    variable stays: its new value is asked for by ``get_current_value``.

    Gradients that are wanted have to be computed within the block. For layers,
    ``stateless_call`` is free of that.

    Args:
        state_mapping: pairs of a variable and its value (a tensor of its shape).
        collect_losses: keep losses that layers add in ``losses``.
        initialize_variables: has no effect: variables always have values.

    Raises:
        ArgumentError: a key that is no variable.
        ShapeError: a value of another shape.

    >>> v = Variable([1.0, 2.0])
    >>> with StatelessScope([(v, [3.0, 4.0])]) as scope:
    ...     v.assign_add([1.0, 1.0]).tolist()
    [4.0, 5.0]
    >>> v.tolist(), scope.get_current_value(v).tolist()
    ([1.0, 2.0], [4.0, 5.0])
    """

    def __init__(
        self,
        state_mapping: Any = None,
        collect_losses: bool = False,
        initialize_variables: bool = True,
    ) -> None:
        super().__init__(collect_losses)
        self._mapping = list(state_mapping or ())
        self.initialize_variables = initialize_variables
        for key, _ in self._mapping:
            if not isinstance(key, Variable):
                raise ArgumentError(
                    f"StatelessScope: the keys of the mapping are variables, got {key!r}."
                )

    def __enter__(self) -> Any:
        super().__enter__()
        try:
            for variable, value in self._mapping:
                self.lend(variable, value)
        except BaseException:
            self.__exit__()
            raise
        return self


def stateless_call(
    layer: Any,
    trainable_variables: list[Any],
    non_trainable_variables: list[Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    return_losses: bool,
) -> tuple[Any, ...]:
    """``layer(*args, **kwargs)`` with these values in its variables; see `Layer.stateless_call`."""
    if not layer.built:
        raise ArgumentError(
            f"stateless_call: {layer.name} has no variables yet.",
            fix="build it, or call it on data, first",
        )
    trainable, others = layer.trainable_variables, layer.non_trainable_variables
    check_count("trainable_variables", layer, trainable_variables, trainable)
    check_count("non_trainable_variables", layer, non_trainable_variables, others)
    if watching.watcher is not None:  # a program depends on the layers as they are now
        watching.watcher.note_modules(layer)
    changing = {id(b) for m in layer.modules() for b in m._buffers.values()}
    given = [*trainable_variables, *non_trainable_variables]
    pairs = list(zip([*trainable, *others], given, strict=True))
    with StandIns(collect_losses=True) as scope:
        apart = {
            id(v): scope.lend(v, value, id(v) in changing, _like(v, value)) for v, value in pairs
        }  # fmt: skip
        with _in_place_of(layer, apart):
            outputs = layer(*args, **kwargs)
            losses = layer.losses_of([apart[id(v)] for v in trainable]) if return_losses else []
    found = [v.detach() if v.requires_grad else v for v in scope.values(others)]
    return (outputs, found, losses) if return_losses else (outputs, found)


def _like(variable: Any, value: Any) -> Any:
    """A new object of a variable's kind, name, penalty and constraint, as yet without values; it
    can hold a sample, if the value is one of those of a ``vmap``.
    """
    kind: Any = type(value) if getattr(value, "_level", 0) else Tensor
    if not isinstance(variable, Variable):
        return blank(kind)
    made: Any = blank(Variable if kind is Tensor else _of_samples(kind))
    made._describe(variable.name, variable.path, variable.regularizer, variable.constraint)
    return made


@functools.cache
def _of_samples(kind: type) -> type:
    """Variables that are samples of this class, too."""
    return type(kind.__name__, (kind, Variable), {})


@contextlib.contextmanager
def _in_place_of(layer: Any, apart: dict[int, Any]) -> Iterator[None]:
    """Within the block, layers hold other objects in their variables' places.

    Args:
        apart: the objects, by the variables' identities.
    """
    before: list[tuple[Any, Any, Any]] = []
    try:
        for module in layer.modules():
            for holder, key, value in list(_places(module)):
                if id(value) in apart:
                    _put(holder, key, apart[id(value)])
                    before.append((holder, key, value))
        yield
    finally:
        for holder, key, value in reversed(before):
            _put(holder, key, value)


_NO_VALUES = frozenset({"_modules", "_init_arguments", "_inbound_nodes", "_graph"})


def _places(module: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Where a module keeps tensors: its registries, and its attributes and lists and dictionaries
    of them, as containers with keys.
    """
    own = module.__dict__
    for name, value in own.items():
        if isinstance(value, Tensor):
            yield own, name, value
        elif isinstance(value, list | dict) and name not in _NO_VALUES:
            yield from _within(value)


def _within(container: Any) -> Iterator[tuple[Any, Any, Any]]:
    items = container.items() if isinstance(container, dict) else enumerate(container)
    for key, value in items:
        if isinstance(value, Tensor):
            yield container, key, value
        elif isinstance(value, list | dict):
            yield from _within(value)


def _put(holder: Any, key: Any, value: Any) -> None:
    kind: Any = list if isinstance(holder, list) else dict
    kind.__setitem__(holder, key, value)  # lists of layers would register them anew
