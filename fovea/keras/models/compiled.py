"""What ``compile`` was told: losses and metrics, found out from the first batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError
from fovea.keras import losses, metrics
from fovea.keras.losses.functions import default_name
from fovea.keras.tree import flatten

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["CompiledLoss", "CompiledMetrics", "aligned"]

_ACCURACY = ("accuracy", "acc")
_CROSSENTROPY = ("crossentropy", "ce")


def is_nested(value: Any) -> bool:
    """Whether a value is a structure rather than one thing."""
    return isinstance(value, list | tuple | dict)


def output_names(y_pred: Any, names: list[str] | None) -> list[str]:
    """What the outputs are called, in ``flatten``'s order."""
    count = len(flatten(y_pred))
    if isinstance(y_pred, dict) and len(y_pred) == count:
        return sorted(y_pred)
    if names and len(names) == count:
        return list(names)
    return [f"output_{i + 1}" for i in range(count)] if count > 1 else ["output"]


def aligned(value: Any, names: list[str], what: str) -> list[Any]:
    """One entry an output: from a list, from a dictionary by name, or the same for all.

    Raises:
        ArgumentError: entries that fit no output.
    """
    if isinstance(value, dict):
        unknown = sorted(set(value) - set(names))
        if unknown:
            raise ArgumentError(
                f"{what}: there is no output {unknown[0]!r}.", fix=f"the outputs are {names}"
            )
        return [value.get(name) for name in names]
    if isinstance(value, list | tuple):
        found = flatten(value) if what in ("y", "sample_weight") else list(value)
        if len(found) == len(names):
            return found
        if len(found) == 1 and what == "sample_weight":
            return found * len(names)
        raise ArgumentError(
            f"{what}: {len(found)} entries were given for {len(names)} outputs.",
            fix=f"the outputs are {names}",
        )
    return [value] * len(names)


def kind_of(y_true: Any, y_pred: Any) -> str:
    """Which kind of classes target and prediction have, from their shapes."""
    last_true = y_true.shape[-1] if len(y_true.shape) else 0
    last_pred = y_pred.shape[-1] if len(y_pred.shape) else 1
    if last_pred == 1:
        return "binary"
    sparse = len(y_true.shape) < len(y_pred.shape) or last_true == 1
    return "sparse_categorical" if sparse else "categorical"


def find_loss(identifier: Any, y_true: Any, y_pred: Any) -> losses.Loss | None:
    """The loss object that an entry of ``compile(loss=...)`` means."""
    if isinstance(identifier, str) and identifier.lower() in _CROSSENTROPY:
        identifier = f"{kind_of(y_true, y_pred)}_crossentropy"
    found = losses.as_loss(identifier)
    if found is not None and isinstance(identifier, str):
        found.name = identifier
    return found


def find_metric(identifier: Any, y_true: Any, y_pred: Any) -> Any:
    """The metric that an entry of ``compile(metrics=...)`` means."""
    if isinstance(identifier, str) and identifier.lower() in _ACCURACY:
        kinds: dict[str, Callable[..., Any]] = {
            "binary": metrics.BinaryAccuracy,
            "sparse_categorical": metrics.SparseCategoricalAccuracy,
            "categorical": metrics.CategoricalAccuracy,
        }
        return kinds[kind_of(y_true, y_pred)](name=identifier)
    wanted = identifier
    if isinstance(identifier, str) and identifier.lower() in _CROSSENTROPY:
        wanted = f"{kind_of(y_true, y_pred)}_crossentropy"
    found = metrics.get(wanted)
    if found is None:
        raise ArgumentError("metrics: None is no metric.")
    if not hasattr(found, "update_state"):
        found = metrics.MeanMetricWrapper(found, name=default_name(found))
    if isinstance(identifier, str):
        found.name = identifier
    return found


class CompiledLoss:
    """The loss over all outputs.

    Args:
        loss: a loss (or its name) for all outputs, or a list or dictionary with one an output.
        weights: factors, in the same form.
        names: the outputs' names, where the model knows them.
    """

    def __init__(self, loss: Any, weights: Any, names: list[str] | None) -> None:
        self.loss, self.weights, self.names = loss, weights, names
        self.built = False
        self._losses: list[tuple[losses.Loss | None, float | None]] = []
        self._one: losses.Loss | None = None
        self._trackers: list[Any] = []
        self._names: list[str] = []

    @property
    def metrics(self) -> list[Any]:
        """The means of the outputs' losses, if there are several."""
        return [t for t in self._trackers if t is not None]

    def build(self, y: list[Any], y_pred: list[Any], names: list[str]) -> None:
        """Find out the losses from the first targets and predictions."""
        found = [
            find_loss(entry, t, p)
            for entry, t, p in zip(aligned(self.loss, names, "loss"), y, y_pred, strict=True)
        ]
        if all(f is None for f in found):
            raise ArgumentError("compile: no output has a loss.")
        weights = [None] * len(names)
        if self.weights is not None:
            weights = aligned(self.weights, names, "loss_weights")
        self._losses = list(zip(found, weights, strict=True))
        self._names = names
        if len([f for f in found if f is not None]) > 1:
            self._trackers = [
                None if f is None else metrics.Mean(name=f"{n}_loss")
                for f, n in zip(found, names, strict=True)
            ]
        if len(found) == 1 and weights[0] is None:
            self._one = found[0]
        self.built = True

    def __call__(self, y: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """The total of the (weighted) losses."""
        if self._one is not None and not is_nested(y) and not is_nested(y_pred):
            return self._one(y, y_pred, sample_weight)
        predictions = flatten(y_pred)
        names = output_names(y_pred, self.names)
        targets = self._targets(y, names)
        if not self.built:
            self.build(targets, predictions, names)
        weights = aligned(sample_weight, names, "sample_weight")
        total: Any = None
        for i, (loss, factor) in enumerate(self._losses):
            if loss is None:
                continue
            value = loss(targets[i], predictions[i], weights[i])
            if self._trackers:
                self._trackers[i].add_batch(value, predictions[i].shape[0])
            if factor is not None:
                value = value * factor
            total = value if total is None else total + value
        return total

    def _targets(self, y: Any, names: list[str]) -> list[Any]:
        """One target an output; those without a loss may be left out."""
        if is_nested(y) and not isinstance(y, dict) and not isinstance(self.loss, str):
            wanted = aligned(self.loss, names, "loss")
            present = [i for i, entry in enumerate(wanted) if entry is not None]
            if len(flatten(y)) == len(present) < len(names):
                spread: list[Any] = [None] * len(names)
                for i, t in zip(present, flatten(y), strict=True):
                    spread[i] = t
                return spread
        return aligned(y, names, "y")


class CompiledMetrics:
    """The metrics of all outputs.

    Args:
        plain: metrics that see each sample alike.
        weighted: metrics that see sample weights.
        names: the outputs' names, where the model knows them.
    """

    name = "compile_metrics"

    def __init__(self, plain: Any, weighted: Any, names: list[str] | None) -> None:
        for what, given in (("metrics", plain), ("weighted_metrics", weighted)):
            if given is not None and not is_nested(given):
                raise ArgumentError(
                    f"compile: {what} must be a list or a dictionary, got {given!r}.",
                    fix=f"{what}=[{given!r}]",
                )
        self.plain, self.weighted, self.names = plain, weighted, names
        self.built = False
        # (output's number, metric, whether it sees weights)
        self._entries: list[tuple[int, Any, bool]] = []
        self._one: list[Any] | None = None

    @property
    def metrics(self) -> list[Any]:
        """All metrics, in the order in which they were asked for; by name for several outputs."""
        found = [m for _, m, _ in self._entries]
        several = any(place for place, _, _ in self._entries)
        return sorted(found, key=lambda m: m.name) if several else found

    def reset_state(self) -> None:
        """Let all of them forget what they have seen."""
        for metric in self.metrics:
            metric.reset_state()

    def result(self) -> dict[str, Any]:
        """Their values by name."""
        return {metric.name: metric.result() for metric in self.metrics}

    def build(self, y: list[Any], y_pred: list[Any], names: list[str]) -> None:
        """Find out the metrics from the first targets and predictions."""
        used: set[str] = set()
        for given, is_weighted in ((self.plain, False), (self.weighted, True)):
            for i, wanted in enumerate(self._per_output(given, names)):
                for identifier in wanted:
                    metric = find_metric(identifier, y[i], y_pred[i])
                    prefix = f"{names[i]}_" if len(names) > 1 else ""
                    metric.name = self._unused(prefix + metric.name, is_weighted, used)
                    self._entries.append((i, metric, is_weighted))
        if len(names) == 1 and not self.weighted:
            self._one = self.metrics
        self.built = True

    @staticmethod
    def _unused(name: str, is_weighted: bool, used: set[str]) -> str:
        if name in used and is_weighted:
            name = f"weighted_{name}"
        found, number = name, 0
        while found in used:
            number += 1
            found = f"{name}_{number}"
        used.add(found)
        return found

    @staticmethod
    def _per_output(given: Any, names: list[str]) -> list[list[Any]]:
        """A list of metrics for each output."""
        if not given:
            return [[] for _ in names]
        if len(names) == 1:
            return [flatten(given)]
        entries = aligned(given, names, "metrics")
        return [
            [] if entry is None else list(entry) if isinstance(entry, list | tuple) else [entry]
            for entry in entries
        ]

    def update_state(self, y: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in a batch."""
        if self._one is not None and not is_nested(y) and not is_nested(y_pred):
            for metric in self._one:
                metric.update_state(y, y_pred)
            return
        predictions = flatten(y_pred)
        names = output_names(y_pred, self.names)
        targets = aligned(y, names, "y")
        if not self.built:
            self.build(targets, predictions, names)
        weights = aligned(sample_weight, names, "sample_weight")
        for i, metric, is_weighted in self._entries:
            if is_weighted:
                metric.update_state(targets[i], predictions[i], weights[i])
            else:
                metric.update_state(targets[i], predictions[i])
