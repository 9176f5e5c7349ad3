"""Several optimizers as one: each updates weights of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.functions import creation
from fovea.keras.objects import deserialize_keras_object, serialize_keras_object
from fovea.keras.optimizers.base import Optimizer
from fovea.keras.optimizers.loss_scale import LossScaleOptimizer
from fovea.keras.optimizers.stateless import check
from fovea.keras.standins import fitted
from fovea.keras.variables import Linked

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["MultiOptimizer", "OptimizerMap"]


class OptimizerMap(MutableMapping[str, Any]):
    """Optimizers by the paths of weights.

    Args:
        default_optimizer: for weights that nothing else fits.
        optimizer_map: optimizers by paths, or by regular expressions that fit whole paths.

    >>> from fovea.keras.optimizers import SGD, Adam
    >>> optimizers = OptimizerMap(SGD(), {"head/.*": Adam()})
    >>> type(optimizers["head/kernel"]).__name__, type(optimizers["stem/kernel"]).__name__
    ('Adam', 'SGD')
    """

    keras_module = "keras.optimizers"

    def __init__(self, default_optimizer: Any, optimizer_map: dict[str, Any] | None = None) -> None:
        _check_inner(default_optimizer)
        if optimizer_map is not None and not isinstance(optimizer_map, dict):
            raise ArgumentError(
                f"OptimizerMap: optimizer_map is a dictionary, got {optimizer_map!r}."
            )
        self.default_optimizer = default_optimizer
        self._by_path: dict[str, Any] = {}
        for path, optimizer in (optimizer_map or {}).items():
            self[path] = optimizer

    def __getitem__(self, key: str) -> Any:
        """The optimizer of a path: that of the path itself, of the only expression that fits, or
        the default one.

        Raises:
            ArgumentError: several expressions fit.
        """
        if key in self._by_path:
            return self._by_path[key]
        fitting = [pattern for pattern in self._by_path if re.fullmatch(pattern, key)]
        if len(fitting) > 1:
            raise ArgumentError(f"OptimizerMap: {fitting} all fit the weight {key!r}.")
        return self._by_path[fitting[0]] if fitting else self.default_optimizer

    def __setitem__(self, key: str, optimizer: Any) -> None:
        if not isinstance(key, str):
            raise ArgumentError(f"OptimizerMap: a path is a string, got {key!r}.")
        if key in self._by_path:
            raise ArgumentError(f"OptimizerMap: {key!r} has an optimizer already.")
        _check_inner(optimizer)
        self._by_path[key] = optimizer

    def __delitem__(self, key: str) -> None:
        del self._by_path[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_path)

    def __len__(self) -> int:
        return len(self._by_path)

    def __call__(self, variable: Any) -> Any:
        """The optimizer of a weight."""
        return self[getattr(variable, "path", "")]

    def get_config(self) -> dict[str, Any]:
        """The arguments to make another one with."""
        return {
            "default_optimizer": serialize_keras_object(self.default_optimizer),
            "optimizer_map": serialize_keras_object(self._by_path),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """One with these arguments."""
        keys = ("default_optimizer", "optimizer_map")
        return cls(*(deserialize_keras_object(config[key], custom_objects) for key in keys))


def _check_inner(optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise ArgumentError(f"a Keras optimizer is needed, got {optimizer!r}.")
    if isinstance(optimizer, LossScaleOptimizer | MultiOptimizer):
        raise ArgumentError(f"{type(optimizer).__name__} cannot be one of several optimizers.")


class MultiOptimizer(Optimizer):
    """Several optimizers as one: each updates weights of its own.

    Args:
        optimizer_map: an `OptimizerMap`, or a function that gives the optimizer of a weight.
        loss_scale_factor: of all of them.

    It has no learning rate: its ``optimizers`` have theirs.

    >>> import fovea
    >>> from fovea.keras.optimizers import SGD
    >>> from fovea.keras.variables import Variable
    >>> a, b = Variable([1.0], name="a"), Variable([1.0], name="b")
    >>> optimizer = MultiOptimizer(OptimizerMap(SGD(0.5), {"b": SGD(0.25)}))
    >>> optimizer.apply([fovea.ones(1), fovea.ones(1)], [a, b])
    >>> a.item(), b.item()
    (0.5, 0.75)
    """

    def __init__(
        self, optimizer_map: Any, loss_scale_factor: float | None = None, name: str | None = None
    ) -> None:
        super().__init__(0.0, name=name)
        self.optimizers: list[Any] = []
        self._optimizer_map = optimizer_map
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in (*optimizer_map.values(), optimizer_map.default_optimizer):
                self._add(optimizer)
        self.loss_scale_factor = loss_scale_factor

    def _add(self, optimizer: Any) -> None:
        if not any(optimizer is known for known in self.optimizers):
            self.optimizers.append(optimizer)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "loss_scale_factor":
            for optimizer in self.__dict__.get("optimizers", ()):
                optimizer.loss_scale_factor = value

    @property
    def learning_rate(self) -> Any:
        """There is none."""
        raise AttributeError(
            f"{self.name} has no learning rate: each of its `optimizers` has its own."
        )

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if "optimizers" in self.__dict__:  # the base sets one before
            raise AttributeError(f"{self.name} has no learning rate: set those of `optimizers`.")

    lr = learning_rate

    @property
    def _capturable(self) -> bool:
        return all(optimizer._capturable for optimizer in self.optimizers)

    @property
    def _working(self) -> list[Any]:
        """The optimizers that have weights."""
        return [optimizer for optimizer in self.optimizers if optimizer.built]

    # -- updating -----------------------------------------------------------------------------

    def build(self, variables: Iterable[Any]) -> None:
        """Make the states for these weights, each by its optimizer."""
        if self.built:
            return
        self._parameters = list(variables)
        if not self._parameters:
            raise ArgumentError(f"{self.name}: there are no weights to optimize.")
        shares: dict[int, list[Any]] = {}
        for weight in self._parameters:
            optimizer = self._optimizer_map(weight)
            _check_inner(optimizer)
            self._add(optimizer)
            shares.setdefault(id(optimizer), []).append(weight)
        for optimizer in self.optimizers:
            optimizer.loss_scale_factor = self.loss_scale_factor
            if id(optimizer) in shares:
                optimizer.build(shares[id(optimizer)])
        self.built = True

    def _update(self, skip: Tensor | None = None) -> None:
        for optimizer in self._working:
            optimizer._update(skip)

    def _count(self) -> None:
        super()._count()
        for optimizer in self._working:
            optimizer._count()

    def exclude_from_weight_decay(
        self, var_list: Iterable[Any] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave weights out of the decay of every optimizer."""
        held = [list(given or ()) for given in (var_list, var_names)]
        for optimizer in self.optimizers:
            optimizer.exclude_from_weight_decay(*held)

    def finalize_variable_values(self, var_list: Any = None) -> None:
        """At the end of ``fit``: what each optimizer does then."""
        for optimizer in self._working:
            optimizer.finalize_variable_values()

    def _applied(self, variables: Any, grads: Any, weights: Any) -> tuple[list[Any], list[Any]]:
        check(self, variables, grads, weights)
        steps, rate, *rest = variables
        places = {id(p): i for i, p in enumerate(self._parameters)}
        made: list[Any] = list(weights)
        states: list[Any] = []
        for optimizer in self.optimizers:
            count = len(optimizer.variables)
            held, rest = rest[:count], rest[count:]
            if optimizer.built:
                at = [places[id(p)] for p in optimizer._parameters]
                parts = ([values[i] for i in at] for values in (grads, weights))
                new, held = optimizer._applied(held, *parts)
                for i, w in zip(at, new, strict=True):
                    made[i] = w
            states += held
        return made, [fitted(self.variables[0], steps) + 1, rate, *states]

    # -- state --------------------------------------------------------------------------------

    @property
    def variables(self) -> list[Any]:
        """Steps done and a learning rate that nothing uses, then what each optimizer has."""
        steps = Linked(creation.tensor(self._iterations, dtype="int32"), "iteration")
        steps.follow = lambda: setattr(self, "_iterations", int(steps.item()))
        own: list[Any] = [steps, Linked(creation.tensor(0.0), "learning_rate")]
        return own + [v for optimizer in self.optimizers for v in optimizer.variables]

    def set_weights(self, weights: Any) -> None:
        """Take values in the order of ``variables``; call ``build`` first.

        Raises:
            ShapeError: another number of arrays, or another shape.
        """
        given, held = [np.asarray(w) for w in weights], self.variables
        fits = len(given) == len(held) and all(
            a.shape == tuple(b.shape) for a, b in zip(given, held, strict=True)
        )
        if not self.built or not fits:
            raise ShapeError(
                f"{self.name}: its {len(held)} states do not take these {len(given)} arrays.",
                fix="build the optimizer with the model's weights first",
            )
        self._iterations, place = int(given[0]), 2
        for optimizer in self.optimizers:
            count = len(optimizer.variables)
            optimizer.set_weights(given[place : place + count])
            place += count

    def get_config(self) -> dict[str, Any]:
        """The arguments to make another one with."""
        return {
            "optimizer_map": serialize_keras_object(self._optimizer_map),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """One with these arguments."""
        found = deserialize_keras_object(config["optimizer_map"], custom_objects)
        return cls(**{**config, "optimizer_map": found})
