"""The base of metrics: a state that batches are added to, and that can be merged with others'."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fovea import dispatch
from fovea.errors import ArgumentError, ShapeError
from fovea.functions import creation, parts
from fovea.metrics.composed import Arithmetic
from fovea.metrics.inputs import as_array
from fovea.tensorbase import is_tensor
from fovea.training import metrics as streaming

__all__ = ["Metric"]

Reduction = str | Callable[[Any], Any] | None
# Settings of several processes in torchmetrics: with one process they change nothing.
_OF_PROCESSES = {
    *("compute_on_cpu", "dist_sync_on_step", "process_group"),
    *("dist_sync_fn", "distributed_available_fn", "sync_on_compute"),
}


class Metric(Arithmetic, streaming.Metric):
    """Base of metrics, with torchmetrics' interface.

    A subclass names its state with ``add_state`` in its constructor, adds a batch to it in
    ``update`` and says in ``compute`` what follows from it. The value over an epoch thus comes from
    all its samples; it is never a mean of values of batches. The states of parts of the data merge
    into that of all (``merge_state``). ``update(preds, target)`` takes predictions first; a Trainer
    and ``fit`` call ``update_state(target, preds)``, as Keras has it.

    Args:
        name: key in logs and histories; the class's name in small letters by default.
        compute_with_cache: keep a value until the next update.
        kwargs: torchmetrics' settings of distributed processes, which change nothing here.

    Shapes: a state is an array (or a tensor), or a list of arrays that grows.

    >>> import fovea
    >>> class Hits(Metric):
    ...     def __init__(self, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.add_state("hits", fovea.tensor(0), dist_reduce_fx="sum")
    ...         self.add_state("seen", fovea.tensor(0), dist_reduce_fx="sum")
    ...     def update(self, preds, target):
    ...         self.hits += (preds == target).sum()
    ...         self.seen += target.numel()
    ...     def compute(self):
    ...         return self.hits / self.seen
    >>> hits = Hits()
    >>> hits(fovea.tensor([1, 2]), fovea.tensor([1, 3]))  # the batch's value
    tensor(0.5000)
    >>> hits.update(fovea.tensor([1, 2]), fovea.tensor([1, 2]))
    >>> hits.compute()  # of all batches
    tensor(0.7500)
    """

    is_differentiable: bool | None = None
    higher_is_better: bool | None = None
    full_state_update: bool | None = None

    def __init__(self, *, name: str | None = None, **kwargs: Any) -> None:
        self.compute_with_cache = bool(kwargs.pop("compute_with_cache", True))
        unknown = sorted(set(kwargs) - _OF_PROCESSES)
        if unknown:
            raise ArgumentError(f"{type(self).__name__} takes no argument {unknown[0]!r}.")
        super().__init__(name=name or _snake(type(self).__name__))
        self._defaults: dict[str, Any] = {}
        self._reductions: dict[str, Reduction] = {}
        self._persistent: dict[str, bool] = {}
        self._update_count = 0
        self._inside = False
        self._computed: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "update" in cls.__dict__:
            cls.update = _counted(cls.__dict__["update"])  # type: ignore[method-assign]
        if "compute" in cls.__dict__:
            cls.compute = _kept(cls.__dict__["compute"])  # type: ignore[method-assign, assignment]

    # -- what a subclass gives ----------------------------------------------------------------

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Add a batch to the state."""
        raise TypeError(f"{type(self).__name__} does not say how it takes in a batch.")

    def compute(self) -> Any:
        """The value over everything added."""
        raise TypeError(f"{type(self).__name__} does not say what its value is.")

    def add_state(
        self,
        name: str,
        default: Any,
        dist_reduce_fx: Reduction = None,
        persistent: bool = True,
    ) -> None:
        """Name a piece of state.

        Args:
            name: the attribute that holds it.
            default: its first value, an array or a tensor, or an empty list.
            dist_reduce_fx: how states merge: ``"sum"``, ``"mean"`` (weighted by updates),
                ``"max"``, ``"min"``, ``"cat"``, or a function of the two stacked. None: lists are
                joined, arrays stacked.
            persistent: whether ``state_dict`` has it.

        Raises:
            ArgumentError: a default that is no state, or an unknown way to merge.
        """
        if isinstance(default, list):
            if default:
                raise ArgumentError(f"add_state: {name} starts as an empty list or an array.")
        elif not is_tensor(default):
            default = as_array(default)
        known = ("sum", "mean", "max", "min", "cat", None)
        if not callable(dist_reduce_fx) and dist_reduce_fx not in known:
            raise ArgumentError(f"add_state: dist_reduce_fx is one of {known} or a function.")
        self._defaults[name] = default
        self._reductions[name], self._persistent[name] = dist_reduce_fx, persistent
        setattr(self, name, _copied(default))

    # -- using it -----------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Add a batch to the state, and return the value over that batch alone."""
        before, count = self.metric_state, self._update_count
        self.reset()
        try:
            self.update(*args, **kwargs)
            value = self.compute()
        except BaseException:
            self._set_state(before, count)
            raise
        batch, after = self.metric_state, self._update_count
        self._set_state(before, count)
        if self.full_state_update or any(
            r is None or callable(r) for r in self._reductions.values()
        ):
            self.update(*args, **kwargs)
        else:
            self._merge(batch, after)
        return value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def reset(self) -> None:
        """Forget everything."""
        self._set_state({name: _copied(value) for name, value in self._defaults.items()}, 0)

    def merge_state(self, incoming_state: Any) -> None:
        """Add what another metric has seen.

        Args:
            incoming_state: a metric of the same class, or its ``metric_state``.

        Raises:
            ArgumentError: it is of another class, or lacks a piece of state.
        """
        count = 1
        if isinstance(incoming_state, Metric):
            if type(incoming_state) is not type(self):
                raise ArgumentError(
                    f"merge_state: {type(self).__name__} cannot take in the state of "
                    f"{type(incoming_state).__name__}."
                )
            count = incoming_state._update_count
            incoming_state = incoming_state.metric_state
        if not isinstance(incoming_state, Mapping):
            raise ArgumentError(f"merge_state: a metric or its state, got {incoming_state!r}.")
        missing = sorted(set(self._defaults) - set(incoming_state))
        if missing:
            raise ArgumentError(f"merge_state: the state lacks {missing[0]!r}.")
        self._merge(dict(incoming_state), count)

    def clone(self, name: str | None = None) -> Any:
        """A metric with a copy of the state."""
        made = copy.deepcopy(self)
        made.name = name or made.name
        return made

    @property
    def metric_state(self) -> dict[str, Any]:
        """The state by name."""
        return {name: getattr(self, name) for name in self._defaults}

    @property
    def update_count(self) -> int:
        """How many batches were added since the last reset."""
        return self._update_count

    @property
    def update_called(self) -> bool:
        """Whether any batch was added since the last reset."""
        return self._update_count > 0

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move tensors of the state; arrays are the host's and stay. Returns the metric."""
        for name, value in self.metric_state.items():
            if is_tensor(value):
                setattr(self, name, value.to(*args, **kwargs))
        return self

    def plot(self, val: Any = None, ax: Any = None) -> tuple[Any, Any]:
        """Draw a value, with Matplotlib: a number, a matrix, curves.

        Args:
            val: a value, or a list of values one after another; what ``compute`` gives by default.
            ax: axes to draw into; new ones by default.

        Returns:
            The figure and the axes.
        """
        from fovea.metrics.plotting import plot

        return plot(self, self.compute() if val is None else val, ax)

    # -- keeping ------------------------------------------------------------------------------

    def state_dict(self, prefix: str = "") -> dict[str, Any]:
        """The state as tensors, lists of tensors, and the number of updates."""
        kept = {
            prefix + name: _as_tensors(value)
            for name, value in self.metric_state.items()
            if self._persistent[name]
        }
        return {**kept, f"{prefix}_update_count": self._update_count}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, prefix: str = ""
    ) -> None:
        """Take over a state that ``state_dict`` gave.

        Raises:
            ArgumentError: with ``strict``, a piece of state is missing or unknown.
            ShapeError: a piece of state has another shape than at the start.
        """
        own = {prefix + n: n for n, kept in self._persistent.items() if kept}
        counter = f"{prefix}_update_count"
        given = {k for k in state_dict if k.startswith(prefix)} - {counter}
        if strict and (missing := sorted(set(own) - given)):
            raise ArgumentError(f"load_state_dict: the state lacks {missing[0]!r}.")
        if strict and (unknown := sorted(given - set(own))):
            raise ArgumentError(f"load_state_dict: {type(self).__name__} has no {unknown[0]!r}.")
        for key in sorted(given & set(own)):
            self._load(own[key], state_dict[key])
        self._update_count = int(state_dict.get(counter, self._update_count))
        self._computed = None

    def persistent(self, mode: bool = False) -> None:
        """Say whether ``state_dict`` has the state."""
        self._persistent = dict.fromkeys(self._persistent, mode)

    def _load(self, name: str, value: Any) -> None:
        default = self._defaults[name]
        if isinstance(default, list):
            parts = value if isinstance(value, list | tuple) else [value]
            setattr(self, name, [as_array(v).copy() for v in parts])
            return
        array = as_array(value)
        if array.shape != tuple(default.shape):
            raise ShapeError(
                f"load_state_dict: {name} is of shape {tuple(default.shape)}, got {array.shape}."
            )
        if is_tensor(default):
            setattr(self, name, creation.tensor(array, dtype=default.dtype))
        else:
            setattr(self, name, array.astype(default.dtype))

    # -- merging ------------------------------------------------------------------------------

    def _set_state(self, state: dict[str, Any], count: int) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._update_count, self._computed = count, None

    def _merge(self, other: dict[str, Any], count: int) -> None:
        merged = {
            name: _merged(reduction, getattr(self, name), other[name], self._update_count, count)
            for name, reduction in self._reductions.items()
        }
        self._set_state(merged, self._update_count + count)

    # -- as a Trainer and Keras's fit call it -------------------------------------------------

    @property
    def direction(self) -> str | None:  # type: ignore[override]
        """``"up"`` or ``"down"``: which way is better."""
        return None if self.higher_is_better is None else "up" if self.higher_is_better else "down"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """``update(y_pred, y_true)``.

        Raises:
            ArgumentError: weights are given: these metrics count samples.
        """
        if sample_weight is not None:
            raise ArgumentError(f"{type(self).__name__} takes no sample_weight.")
        self.update(y_pred, y_true)

    def reset_state(self) -> None:
        """``reset``."""
        self.reset()

    def result(self) -> Any:
        """``compute``."""
        return self.compute()

    def value(self) -> Any:
        """``compute`` as a float or an array, or a dictionary of these."""
        return _plain(self.compute())

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _counted(update: Callable[..., None]) -> Callable[..., None]:
    """``update`` without gradients, counted once however deep it calls its like."""

    @functools.wraps(update)
    def wrapped(self: Metric, *args: Any, **kwargs: Any) -> None:
        if self._inside:
            update(self, *args, **kwargs)
            return
        before = dispatch.set_grad_enabled(False)
        self._inside, self._computed = True, None
        try:
            update(self, *args, **kwargs)
            self._update_count += 1
        finally:
            self._inside = False
            dispatch.set_grad_enabled(before)

    return wrapped


def _kept(compute: Callable[[Metric], Any]) -> Callable[[Metric], Any]:
    """``compute`` whose arrays become tensors, done once for a state."""

    @functools.wraps(compute)
    def wrapped(self: Metric) -> Any:
        if self._computed is not None:
            return self._computed
        with np.errstate(divide="ignore", invalid="ignore"):
            value = _shown(compute(self))
        if self.compute_with_cache:
            self._computed = value
        return value

    return wrapped


def _shown(value: Any) -> Any:
    """Arrays as tensors: float32, int64 or bool."""
    if isinstance(value, dict):
        return {key: _shown(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_shown(v) for v in value)
    if isinstance(value, np.ndarray | np.generic):
        kind = {"f": np.float32, "i": np.int64, "u": np.int64}.get(value.dtype.kind)
        return creation.tensor(np.array(value, kind))
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if is_tensor(value):
        return float(value.item()) if value.numel() == 1 else value._array().copy()
    return value


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return list(value)
    return value.clone() if is_tensor(value) else value.copy()


def _as_tensors(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_tensors(v) for v in value]
    return value.clone() if is_tensor(value) else creation.tensor(np.array(value))


def _merged(reduction: Reduction, a: Any, b: Any, count_a: int, count_b: int) -> Any:
    """Two pieces of state as one."""
    if isinstance(a, list):
        return a + (list(b) if isinstance(b, list | tuple) else [b])
    if not is_tensor(a):
        a, b = np.asarray(a), as_array(b)
    if reduction == "sum":
        return a + b
    if reduction == "mean":
        return (a * count_a + b * count_b) / max(count_a + count_b, 1)
    if reduction in ("max", "min"):
        kept = a > b if reduction == "max" else a < b
        return a.where(kept, b) if is_tensor(a) else np.where(kept, a, b)
    stacked = _stacked(a, b, joined=reduction == "cat")
    return reduction(stacked) if callable(reduction) else stacked


def _stacked(a: Any, b: Any, joined: bool) -> Any:
    if not is_tensor(a):
        return np.concatenate([a, b]) if joined else np.stack([a, b])
    return parts.cat([a, b]) if joined else parts.stack([a, b])


def _snake(name: str) -> str:
    """``BinaryF1Score`` as ``binary_f1_score``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
