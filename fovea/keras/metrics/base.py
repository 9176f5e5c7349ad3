"""The base of metrics, and means of functions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dispatch
from fovea.autograd.grad_mode import no_grad
from fovea.errors import ArgumentError
from fovea.functions import creation
from fovea.functions.pointwise import where
from fovea.keras import config, initializers
from fovea.keras.dtype_policies import computed
from fovea.keras.losses.classes import masked_weight
from fovea.keras.losses.functions import default_name, same_rank, to_tensor
from fovea.keras.masking import mask_of
from fovea.keras.naming import auto_name
from fovea.keras.objects import deserialize_keras_object, serialize_keras_object
from fovea.keras.standins import StandIns, check_count
from fovea.keras.variables import Linked, Variable
from fovea.tensorbase import is_tensor
from fovea.training import metrics as streaming

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Mean", "MeanMetricWrapper", "Metric", "Sum"]


_STATE = (np.ndarray, float, int, type(None))


class Metric(streaming.Metric):
    """Base of metrics. A subclass gives ``update_state`` and ``result``, and keeps its state in
    variables from ``add_variable``.

    Args:
        dtype: of the state.
        name: key in logs and histories.

    >>> class Count(Metric):
    ...     def __init__(self, name="count"):
    ...         super().__init__(name=name)
    ...         self.seen = self.add_variable(shape=(), initializer="zeros", name="seen")
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.seen.assign(self.seen + y_true.shape[0])
    ...     def result(self):
    ...         return self.seen
    >>> count = Count()
    >>> count.update_state(np.zeros(3), np.zeros(3))
    >>> float(count.result())
    3.0
    """

    keras_module = "keras.metrics"
    _direction: str | None = None
    # Attributes with numbers or arrays that are the state, in the order of Keras's variables.
    _pieces: tuple[str, ...] = ()

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        super().__init__(name=name or auto_name(type(self).__name__))
        self._dtype = computed(dtype)
        self._variables: list[Variable] = []

    @property
    def direction(self) -> str | None:  # type: ignore[override]
        """``"up"`` or ``"down"``: which way is better."""
        return self._direction

    @property
    def dtype(self) -> str:
        """The name of the state's dtype."""
        return config.standardize_dtype(self._dtype)

    def add_variable(
        self,
        shape: Any,
        initializer: Any,
        dtype: Any = None,
        aggregation: str = "sum",
        name: str | None = None,
    ) -> Variable:
        """Make a piece of state: a tensor that ``reset_state`` sets to zero."""
        kind = config.as_dtype(self._dtype if dtype is None else dtype)
        make = initializers.get(initializer)
        made = Variable(make, tuple(shape), kind, trainable=False, name=name)
        self._variables.append(made)
        return made

    def add_weight(
        self, shape: Any = (), initializer: Any = None, dtype: Any = None, name: str | None = None
    ) -> Variable:
        """``add_variable``, with a shape of () and zeros by default."""
        return self.add_variable(shape, initializer or "zeros", dtype, name=name)

    @property
    def variables(self) -> list[Variable]:
        """The state. What is assigned to these is what the metric goes on from."""
        return [*(self._piece(name) for name in self._pieces), *self._variables]

    def _piece(self, name: str) -> Variable:
        """A piece of the state that is kept as a number or an array, as a variable."""
        state = creation.tensor(np.asarray(getattr(self, name)), dtype=config.as_dtype(self._dtype))
        linked = Linked(state, name)
        linked.follow = lambda: setattr(self, name, _kept(linked))
        return linked

    def reset_state(self) -> None:
        """Set the state to zero."""
        for v in self._variables:
            v.assign(np.zeros(v.shape))

    def stateless_update_state(self, metric_variables: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """The variables after ``update_state(*args, **kwargs)``, if they were these before; the
        metric stays as it is.

        Args:
            metric_variables: tensors, one for each of ``variables``.

        >>> mean = Mean()
        >>> mean.stateless_update_state(mean.stateless_reset_state(), [2.0, 4.0])
        [tensor(6.), tensor(2.)]
        """
        given = list(metric_variables)
        with self._holding(given) as scope:
            self.update_state(*args, **kwargs)
            return self._held_in(scope)

    def stateless_result(self, metric_variables: Any) -> Any:
        """``result()``, if the variables were these."""
        with self._holding(list(metric_variables)):
            return self.result()

    def stateless_reset_state(self) -> list[Any]:
        """The variables as ``reset_state`` makes them; the metric stays as it is."""
        with self._holding(self.variables) as scope:
            self.reset_state()
            return self._held_in(scope)

    @contextlib.contextmanager
    def _holding(self, given: list[Any]) -> Iterator[StandIns]:
        """Within the block, these are the values of the variables."""
        check_count("metric_variables", self, given, self.variables)
        count = len(self._pieces)
        kept = {name: _copied(v) for name, v in vars(self).items() if isinstance(v, _STATE)}
        with no_grad(), StandIns() as scope:
            for v, value in zip(self._variables, given[count:], strict=True):
                scope.lend(v, value)
            try:
                for name, value in zip(self._pieces, given[:count], strict=True):
                    setattr(self, name, _kept(value))
                yield scope
            finally:
                vars(self).update(kept)

    def _held_in(self, scope: StandIns) -> list[Any]:
        pieces = [self._piece(name)._alias() for name in self._pieces]
        return [*pieces, *scope.values(self._variables)]

    def value(self) -> Any:
        result = self.result()
        if is_tensor(result):
            return float(result.item()) if result.numel() == 1 else result._array().copy()
        return result

    def get_config(self) -> dict[str, Any]:
        """The arguments to make another one with."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """One with these arguments."""
        return cls(**config)


class Mean(streaming.Mean, Metric):
    """The weighted mean of values.

    >>> m = Mean()
    >>> m.update_state([1, 3, 5, 7], sample_weight=[1, 1, 0, 0])
    >>> m.result()
    tensor(2.)
    """

    direction = Metric.direction
    _pieces = ("_total", "_count")

    def __init__(self, name: str = "mean", dtype: Any = None) -> None:
        Metric.__init__(self, dtype=dtype, name=name)
        self._total = self._count = 0.0
        self._pending = []

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        streaming.Mean.update_state(self, values, _weights(sample_weight))

    def result(self) -> Any:
        return creation.tensor(self.value(), dtype=config.as_dtype(self._dtype))

    @property
    def variables(self) -> list[Any]:
        """Total and count."""
        self._settle()
        return super().variables

    def stateless_update_state(self, metric_variables: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """As of ``Metric``; in tensors throughout, so that it can be part of a compiled function
        (unless there is a ``sample_weight``).
        """
        given = list(metric_variables)
        check_count("metric_variables", self, given, self._pieces)
        total, count = (_tensor(value, self._dtype) for value in given)
        with no_grad():
            with streaming.deferred() as updates:
                self.update_state(*args, **kwargs)
            for _, added, number, scale in updates:
                if hasattr(added, "storage"):
                    added = added.detach().sum().to(total.dtype)
                total = total + (added if scale is None else added * scale)
                count = count + (1.0 if number is None else number)
        return [total, count]

    def stateless_result(self, metric_variables: Any) -> Any:
        """As of ``Metric``; in tensors throughout."""
        given = list(metric_variables)
        check_count("metric_variables", self, given, self._pieces)
        total, count = (_tensor(value, self._dtype) for value in given)
        mean = total / where(count == 0, 1.0, count)
        return self._finished(where(count == 0, mean * 0, mean))

    def stateless_reset_state(self) -> list[Any]:
        """Zeros."""
        return [creation.zeros((), dtype=config.as_dtype(self._dtype)) for _ in self._pieces]

    def _finished(self, mean: Tensor) -> Tensor:
        """The result from the mean."""
        return mean


def _tensor(value: Any, dtype: Any) -> Tensor:
    found: Any = value.detach() if is_tensor(value) else creation.tensor(value)
    return found.to(config.as_dtype(dtype))


def _kept(value: Any) -> Any:
    """A variable's value as a number, or as an array of float64."""
    array = np.array(value.detach()._array() if is_tensor(value) else value, dtype=np.float64)
    return float(array) if array.ndim == 0 else array


def _copied(state: Any) -> Any:
    return state.copy() if isinstance(state, np.ndarray) else state


def _weights(sample_weight: Any) -> Any:
    """Weights as a number or an array of floats; booleans select."""
    if sample_weight is None or isinstance(sample_weight, int | float):
        return sample_weight
    return np.asarray(streaming.as_weight(sample_weight), dtype=np.float64)


class Sum(Metric):
    """The weighted sum of values."""

    _pieces = ("_total",)

    def __init__(self, name: str = "sum", dtype: Any = None) -> None:
        super().__init__(dtype=dtype, name=name)
        self._total = 0.0

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        array = to_tensor(values)._array().astype(np.float64)
        weight = _weights(sample_weight)
        if weight is not None:
            array, weight = streaming.per_weight(array, np.asarray(weight), np.sum)
        self._total += float((array if weight is None else array * weight).sum())

    def reset_state(self) -> None:
        self._total = 0.0

    def value(self) -> float:
        return self._total

    def result(self) -> Any:
        return creation.tensor(self._total, dtype=config.as_dtype(self._dtype))


class MeanMetricWrapper(Mean):
    """The mean of ``fn(y_true, y_pred, **kwargs)`` over samples.

    >>> def gap(y_true, y_pred):
    ...     return (y_true - y_pred).abs()
    >>> m = MeanMetricWrapper(gap, name="gap")
    >>> m.update_state([1.0, 2.0], [1.0, 4.0])
    >>> m.value()
    1.0
    """

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name or default_name(fn), dtype=dtype)
        self._fn, self._fn_kwargs = fn, kwargs

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        before = dispatch.set_grad_enabled(False)
        try:
            mask = mask_of(y_pred)
            if mask is not None:
                sample_weight = masked_weight(sample_weight, mask, config.as_dtype(None))
            values = self._values(to_tensor(y_true), streaming.widened(to_tensor(y_pred)))
            super().update_state(values, sample_weight)
        finally:
            dispatch.set_grad_enabled(before)

    def _values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if len(y_true.shape) != len(y_pred.shape):
            y_true, y_pred = same_rank(y_true, y_pred)
        return self._fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        found = super().get_config()
        if type(self) is MeanMetricWrapper:
            return {**found, "fn": serialize_keras_object(self._fn), **self._fn_kwargs}
        return {**found, **serialize_keras_object(self._fn_kwargs)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        if "fn" in config:
            config = {**config, "fn": deserialize_keras_object(config["fn"])}
        return cls(**config)


def arrays(*tensors: Any) -> tuple[np.ndarray[Any, Any], ...]:
    """The values of tensors, or of anything that can become one."""
    return tuple(streaming.widened(to_tensor(t))._array() for t in tensors)


def need(condition: bool, text: str) -> None:
    """ArgumentError with ``text`` unless ``condition``."""
    if not condition:
        raise ArgumentError(text)
