"""The part of a layer that makes, lists and freezes weights, and collects losses."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, FileFormatError, ShapeError
from fovea.keras import config, constraints, initializers, regularizers
from fovea.keras.naming import auto_name, open_scopes
from fovea.keras.variables import Variable, assign
from fovea.nn.module import Module

__all__ = ["Weights", "limited_weights"]


class _Limit(threading.local):
    left: int | None = None


_limit = _Limit()


@contextmanager
def limited_weights(nbytes: int) -> Iterator[None]:
    """Within the block, no more bytes of weights are made: a file's description may ask for any.

    Raises:
        FileFormatError: within the block, where more would be made.
    """
    outer, _limit.left = _limit.left, nbytes
    try:
        yield
    finally:
        _limit.left = outer


def _spend(layer: Any, shape: tuple[int, ...], itemsize: int) -> None:
    if _limit.left is None:
        return
    _limit.left -= int(np.prod([int(n) for n in shape], dtype=object)) * itemsize
    if _limit.left < 0:
        raise FileFormatError(
            f"the file describes a layer {layer.name!r} with a weight of {shape}, which is far "
            "more than the weights that it holds."
        )


class Weights(Module):
    """Weights by Keras's names over a module's parameters and buffers."""

    _trainable: bool
    _variable_dtype: Any
    _provisional: dict[int, str]
    name: str

    # -- making -------------------------------------------------------------------------------

    def add_weight(
        self,
        *args: Any,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """Make a weight of this layer.

        Args:
            shape: its sizes; () is one number.
            initializer: a name or an initializer (default: glorot_uniform, zeros for integers).
            dtype: default: that of the layer's weights.
            trainable: whether it is learned; moving averages and the like are not.
            regularizer: a penalty added to the loss.
            constraint: applied after each update.
            name: what it is called.
        """
        for given in args:
            if isinstance(given, str):
                name = name or given
            else:
                shape = given
        kind = self._variable_dtype if dtype is None else config.as_dtype(dtype)
        if initializer is None:
            initializer = "glorot_uniform" if kind.is_floating_point else "zeros"
        make = initializers.get(initializer)
        name = name or auto_name("variable")
        _spend(self, tuple(shape or ()), kind.itemsize)
        variable = Variable(make, tuple(shape or ()), kind, trainable and self._trainable, name)
        variable.path = f"{self._path_of_weights()}/{name}"
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        self._keep(variable, name, trainable)
        return variable

    add_variable = add_weight

    def _path_of_weights(self) -> str:
        """The names of the layers that are being built or called, this one last, and of the
        blocks of ``name_scope`` around them.

        It is asked for while weights are made, which is rare: the stack of calls is looked through
        then, so that calls need not keep account.
        """
        scopes = open_scopes()
        names: list[Any] = [self]
        frame = sys._getframe(1)
        while frame is not None:
            while scopes and scopes[-1][0] == id(frame):
                names.append(scopes.pop()[1])
            owner = frame.f_locals.get("self")
            if isinstance(owner, Weights) and frame.f_code.co_name != "__init__":
                names = [name for name in names if name is not owner] + [owner]
            frame = frame.f_back  # type: ignore[assignment]
        names += [name for _, name in reversed(scopes)]
        return "/".join(n if isinstance(n, str) else n.name for n in reversed(names))

    def _keep(self, variable: Variable, name: str, trainable: bool) -> None:
        """Register a weight under its name; assigning it to an attribute renames it."""
        own = self.__dict__
        if own.get(name, self) is None:
            del own[name]
        key = name.replace(".", "_")
        number = 0
        while key in self._parameters or key in self._buffers or hasattr(self, key):
            number += 1
            key = f"{name}_{number}"
        (self._parameters if trainable else self._buffers)[key] = variable
        self._provisional[id(variable)] = key

    def _claim(self, name: str, variable: Variable) -> bool:
        """Let a weight made by ``add_weight`` go by an attribute's name; whether it was one."""
        key = self._provisional.get(id(variable))
        if key is None:
            return False
        registry: Any = self._parameters if key in self._parameters else self._buffers
        if key != name:
            self.__dict__.pop(name, None)
            items = [(name if k == key else k, v) for k, v in registry.items() if k != name]
            registry.clear()
            registry.update(items)
            self._provisional[id(variable)] = name
        return True

    # -- listing ------------------------------------------------------------------------------

    def _own_weights(self) -> Iterator[Any]:
        for registry in (self._parameters, self._buffers):
            yield from (w for w in registry.values() if w is not None)

    @property
    def weights(self) -> list[Any]:
        """All weights, each once: a layer's own trainable ones, its others, then its layers'."""
        seen: dict[int, Any] = {}
        for module in self.modules():
            own = (*module._parameters.values(), *module._buffers.values())
            for w in own:
                if w is not None:
                    seen.setdefault(id(w), w)
        return list(seen.values())

    variables = weights

    @property
    def trainable_weights(self) -> list[Any]:
        """The weights that are learned; none of a frozen layer's."""
        seen: dict[int, Any] = {}
        _collect_trainable(self, seen)
        return list(seen.values())

    trainable_variables = trainable_weights

    @property
    def non_trainable_weights(self) -> list[Any]:
        """The weights that are not learned."""
        learned = {id(w) for w in self.trainable_weights}
        return [w for w in self.weights if id(w) not in learned]

    non_trainable_variables = non_trainable_weights

    def count_params(self) -> int:
        """How many numbers all weights hold.

        Raises:
            ArgumentError: the weights are not made yet.
        """
        if not getattr(self, "built", True):
            raise ArgumentError(
                f"{self.name} has no weights yet.", fix="build it, or call it on data, first"
            )
        return sum(w.numel() for w in self.weights)

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """Copies of all weights as arrays, in the order of ``weights``."""
        return [w._array().copy() for w in self.weights]

    def set_weights(self, weights: Any) -> None:
        """Take values in the order of ``weights``.

        Raises:
            ShapeError: another number of arrays, or another shape.
        """
        own, given = self.weights, list(weights)
        if len(own) != len(given):
            raise ShapeError(
                f"set_weights: {self.name} has {len(own)} weights, {len(given)} were given."
            )
        for w, value in zip(own, given, strict=True):
            if tuple(np.shape(value)) != tuple(w.shape):
                raise ShapeError(
                    f"set_weights: {getattr(w, 'path', 'a weight')} of {self.name} has shape "
                    f"{tuple(w.shape)}, the value {tuple(np.shape(value))}."
                )
        for w, value in zip(own, given, strict=True):
            assign(w, value)

    # -- freezing -----------------------------------------------------------------------------

    @property
    def trainable(self) -> bool:
        """Whether the weights are learned. A frozen BatchNormalization uses its moving averages."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for module in self.modules():
            if isinstance(module, Weights):
                module.__dict__["_trainable"] = bool(value)
            for p in module._parameters.values():
                if p is not None:
                    p.requires_grad = bool(value)


def _collect_trainable(module: Any, seen: dict[int, Any]) -> None:
    if not getattr(module, "_trainable", True):
        return
    for p in module._parameters.values():
        if p is not None and p.requires_grad:
            seen.setdefault(id(p), p)
    for child in module._modules.values():
        if child is not None:
            _collect_trainable(child, seen)
