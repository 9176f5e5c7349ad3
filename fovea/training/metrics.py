"""Metrics with a state: an epoch's value comes from all its samples, however they were batched."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dispatch
from fovea.errors import ShapeError, describe
from fovea.functions import creation

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "Accuracy",
    "ConfusionMatrix",
    "Mean",
    "MeanOf",
    "Metric",
    "as_weight",
    "deferred",
    "deliver",
    "widened",
]

PENDING_LIMIT = 512
# A mean, a sum, the count of what was summed, and a factor; None is that of the batch.
Update = tuple[Any, Any, float | None, float | None]


class _Deferred(threading.local):
    """Where means leave what they take in, while a step runs that may become a program."""

    updates: list[Update] | None = None


_deferred = _Deferred()


@contextlib.contextmanager
def deferred() -> Iterator[list[Update]]:
    """Within the block means take in nothing: what they are given goes on the list, so that the
    results of a program can tell it. `deliver` gives it to them.

    >>> mean = Mean()
    >>> with deferred() as updates:
    ...     mean.update_state(4.0)
    >>> deliver(updates, batch=2)
    >>> mean.value()
    4.0
    """
    before = _deferred.updates
    updates: list[Update] = []
    _deferred.updates = updates
    try:
        yield updates
    finally:
        _deferred.updates = before


def deliver(updates: list[Update], batch: float) -> None:
    """Let means take in what they were given in `deferred`.

    Args:
        updates: the list.
        batch: how many samples the batch had.
    """
    for mean, total, count, scale in updates:
        mean.add_sum(
            total, batch if count is None else count, float(batch) if scale is None else scale
        )


class Metric:
    """Base of metrics: ``update_state`` with each batch, ``value`` at any time, ``reset_state``.

    Attributes:
        name: its key in logs and histories.
        direction: "up" or "down": which way is better, None if nobody can say.
    """

    direction: str | None = None

    def __init__(self, name: str | None = None) -> None:
        self.name = name or type(self).__name__.lower()

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in a batch."""
        raise TypeError(f"{type(self).__name__} does not say how it takes in a batch.")

    def value(self) -> Any:
        """The metric over everything taken in: a float, or an array."""
        raise TypeError(f"{type(self).__name__} does not say what its value is.")

    def reset_state(self) -> None:
        """Forget everything."""
        raise TypeError(f"{type(self).__name__} does not say how it is reset.")

    def result(self) -> Any:
        """``value`` as a tensor."""
        return creation.tensor(self.value())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.update_state(*args, **kwargs)
        return self.result()

    def __float__(self) -> float:
        return float(self.value())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def as_weight(weight: Any) -> Any:
    """A sample weight as a number or a NumPy array."""
    if weight is None or isinstance(weight, int | float):
        return weight
    return weight._array() if hasattr(weight, "_array") else np.asarray(weight)


def widened(t: Tensor) -> Tensor:
    """Half types as float32, in which sums and comparisons keep their precision."""
    return t.float() if t.dtype.is_floating_point and t.dtype.itemsize == 2 else t


class Mean(Metric):
    """The weighted mean of values.

    Nothing is computed until somebody asks: one-element tensors wait with their weights, and are
    summed in float64.

    >>> m = Mean("loss")
    >>> m.update_state(1.0, sample_weight=3)
    >>> m.update_state(5.0, sample_weight=1)
    >>> m.value()
    2.0
    """

    def __init__(self, name: str | None = "mean") -> None:
        super().__init__(name=name)
        self._total = 0.0
        self._count = 0.0
        self._pending: list[tuple[Tensor, float]] = []  # one-element tensors, what to multiply with

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Take in ``values`` (a number, or a tensor or an array of any shape), weighted.

        A weight counts once, however many values it weighs: those count as their mean.
        """
        weight = as_weight(sample_weight)
        if hasattr(values, "storage"):
            if values.requires_grad:
                values = values.detach()
            values = widened(values)
            n = values.numel()
            if weight is None or isinstance(weight, int | float):
                count = n if weight is None else float(weight)
                self.add_sum(values if n == 1 else values.sum(), count, count / n if n else 0.0)
                return
            values = values._array()
        self._add_array(np.asarray(values), weight)

    def add_batch(self, value: Any, count: int) -> None:
        """Take in the mean of a batch of ``count`` samples: a number or a one-element tensor."""
        updates = _deferred.updates
        if updates is None:
            self.update_state(value, count)
        else:  # the program that this becomes may be one of batches of other sizes
            updates.append(
                (self, value.detach() if hasattr(value, "detach") else value, None, None)
            )

    def add_sum(self, total: Any, count: float, scale: float = 1.0) -> None:
        """Take in ``scale * total``, the sum of values whose weights sum to ``count``."""
        updates = _deferred.updates
        if updates is not None:
            updates.append((self, total, count, scale))
            return
        if not hasattr(total, "storage"):
            self._total += scale * total
            self._count += count
            return
        self._pending.append((total, scale))
        self._count += count
        if len(self._pending) >= PENDING_LIMIT:
            self._settle()

    def _add_array(self, values: np.ndarray[Any, Any], weight: Any) -> None:
        values = values.astype(np.float64)
        if weight is None:
            self.add_sum(float(values.sum()), values.size)
            return
        values, weight = per_weight(values, np.asarray(weight, np.float64), np.mean)
        self.add_sum(float((values * weight).sum()), float(weight.sum()))

    def _take_back(self) -> list[Update]:
        """What was deferred of this mean, which is no longer."""
        updates = _deferred.updates
        if not updates:
            return []
        own = [u for u in updates if u[0] is self]
        updates[:] = [u for u in updates if u[0] is not self]
        return own

    def _settle(self) -> None:
        own = self._take_back()
        if own:  # somebody looks at the value before the step is over
            before, _deferred.updates = _deferred.updates, None
            try:
                deliver(own, 1)
            finally:
                _deferred.updates = before
        for tensor, scale in self._pending:
            self._total += scale * float(tensor.item())
        self._pending.clear()

    @property
    def total(self) -> float:
        """The weighted sum so far."""
        self._settle()
        return self._total

    @property
    def count(self) -> float:
        """The sum of the weights so far."""
        self._settle()
        return self._count

    def value(self) -> float:
        total = self.total
        return total / self._count if self._count else 0.0

    def reset_state(self) -> None:
        self._take_back()
        self._total = self._count = 0.0
        self._pending.clear()

    def state_dict(self) -> dict[str, Any]:
        """The sums so far."""
        return {"total": self.total, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take sums of ``state_dict``."""
        self.reset_state()
        self._total, self._count = float(state["total"]), float(state["count"])


def per_weight(
    values: np.ndarray[Any, Any], weight: np.ndarray[Any, Any], reduce: Any
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Values reduced to one a weight, and the weights in their shape.

    Raises:
        ShapeError: weights that do not fit.
    """
    if weight.ndim == values.ndim + 1 and weight.shape[-1] == 1:
        weight = weight[..., 0]
    if weight.ndim == values.ndim - 1 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim > weight.ndim:
        values = reduce(values, axis=tuple(range(weight.ndim, values.ndim)))
    try:
        return values, np.broadcast_to(weight, values.shape)
    except ValueError:
        raise ShapeError(
            f"sample_weight of shape {weight.shape} does not fit values of shape {values.shape}."
        ) from None


class MeanOf(Mean):
    """The mean of ``fn(y_true, y_pred)`` over samples.

    Args:
        fn: from targets and predictions (tensors) to a tensor of values.
        name: key in logs.

    >>> import fovea
    >>> error = MeanOf(lambda t, p: (t - p).abs(), "error")
    >>> error.update_state(fovea.tensor([1.0, 2.0]), fovea.tensor([1.0, 4.0]))
    >>> error.value()
    1.0
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None) -> None:
        super().__init__(name=name or getattr(fn, "__name__", "mean"))
        self.fn = fn

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        before = dispatch.set_grad_enabled(False)
        try:
            values = self.fn(y_true, y_pred)
        finally:
            dispatch.set_grad_enabled(before)
        super().update_state(values, sample_weight)


class Accuracy(Mean):
    """How often the largest of ``y_pred``'s classes is the label.

    Args:
        name: key in logs.
        axis: where the classes are: 1 for (N, C, ...) as PyTorch has them, -1 for (N, ..., C).

    >>> import fovea
    >>> a = Accuracy()
    >>> a.update_state(fovea.tensor([0, 1]), fovea.tensor([[2.0, 1.0], [2.0, 1.0]]))
    >>> a.value()
    0.5
    """

    direction = "up"

    def __init__(self, name: str = "accuracy", axis: int = 1) -> None:
        super().__init__(name=name)
        self.axis = axis

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        before = dispatch.set_grad_enabled(False)
        try:
            hits = y_pred.argmax(self.axis) == y_true
            if sample_weight is None:
                self.add_sum(hits.sum(), hits.numel())
            else:
                super().update_state(hits._array(), sample_weight)
        finally:
            dispatch.set_grad_enabled(before)


class ConfusionMatrix(Metric):
    """Counts of (true class, predicted class).

    Args:
        classes: how many there are.

    >>> import fovea
    >>> m = ConfusionMatrix(2)
    >>> m.update_state(fovea.tensor([0, 1, 1]), fovea.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
    >>> m.value()
    array([[1, 0],
           [1, 1]])
    """

    def __init__(self, classes: int, name: str = "confusion_matrix") -> None:
        super().__init__(name=name)
        self.classes = classes
        self.counts = np.zeros((classes, classes), np.int64)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth = np.asarray(y_true._array() if hasattr(y_true, "_array") else y_true).ravel()
        scores = y_pred._array() if hasattr(y_pred, "_array") else np.asarray(y_pred)
        picked = scores.argmax(1).ravel() if scores.ndim > 1 else scores.ravel()
        if truth.shape != picked.shape:
            raise ShapeError(
                "ConfusionMatrix: labels and predictions differ in number.",
                {"y_true": describe(y_true), "y_pred": describe(y_pred)},
            )
        np.add.at(self.counts, (truth, picked), 1)

    def value(self) -> np.ndarray[Any, Any]:
        return self.counts.copy()

    def reset_state(self) -> None:
        self.counts[...] = 0
