"""Several metrics fed with the same batches."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fovea.errors import ArgumentError
from fovea.metrics.metric import Metric

__all__ = ["MetricCollection"]


class MetricCollection(Mapping[str, Any]):
    """Metrics by name that are updated, computed and reset together.

    Args:
        metrics: a metric, several, or a dictionary of them; those of a list are called by their
            classes' names.
        additional_metrics: more.
        prefix: put before the names in results.
        postfix: put after them.

    Raises:
        ArgumentError: something that is no metric, or two of one name.

    >>> from fovea.metrics import MulticlassAccuracy, MulticlassRecall
    >>> both = MetricCollection([MulticlassAccuracy(3, average="micro"), MulticlassRecall(3)])
    >>> both([0, 2, 1], [0, 1, 1])
    {'MulticlassAccuracy': tensor(0.6667), 'MulticlassRecall': tensor(0.5000)}
    """

    def __init__(
        self,
        metrics: Any,
        *additional_metrics: Any,
        prefix: str | None = None,
        postfix: str | None = None,
    ) -> None:
        self.prefix, self.postfix = prefix, postfix
        self._metrics: dict[str, Metric] = {}
        self.add_metrics(metrics, *additional_metrics)

    def add_metrics(self, metrics: Any, *additional_metrics: Any) -> None:
        """Take in more metrics."""
        if isinstance(metrics, Mapping):
            named = list(metrics.items())
        else:
            several = list(metrics) if isinstance(metrics, Sequence) else [metrics]
            named = [(type(m).__name__, m) for m in several]
        named += [(type(m).__name__, m) for m in additional_metrics]
        for name, metric in named:
            if isinstance(metric, MetricCollection):
                self.add_metrics({f"{name}_{k}": m for k, m in metric.items(keep_base=False)})
                continue
            if not isinstance(metric, Metric):
                raise ArgumentError(f"MetricCollection: {metric!r} is no metric.")
            if name in self._metrics:
                raise ArgumentError(
                    f"MetricCollection: two metrics are called {name}.",
                    fix='give a dictionary: {"one": ..., "other": ...}',
                )
            self._metrics[name] = metric

    def _shown(self, name: str) -> str:
        return f"{self.prefix or ''}{name}{self.postfix or ''}"

    def __getitem__(self, name: str) -> Any:
        for key, metric in self._metrics.items():
            if name in (key, self._shown(key)):
                return metric
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._metrics)

    def keys(self, keep_base: bool = False) -> Any:
        """The names, with prefix and postfix unless ``keep_base``."""
        return dict.fromkeys(n if keep_base else self._shown(n) for n in self._metrics).keys()

    def items(self, keep_base: bool = False) -> Any:
        """The metrics with their names."""
        return dict(zip(self.keys(keep_base), self._metrics.values(), strict=True)).items()

    def values(self) -> Any:
        """The metrics."""
        return self._metrics.values()

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Add a batch to all."""
        for metric in self._metrics.values():
            metric.update(*args, **kwargs)

    def compute(self) -> dict[str, Any]:
        """The values by name; those of a metric that gives several are among them."""
        return self._flat({n: m.compute() for n, m in self._metrics.items()})

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Add a batch to all, and return the values over that batch alone."""
        return self._flat({n: m.forward(*args, **kwargs) for n, m in self._metrics.items()})

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self.forward(*args, **kwargs)

    def _flat(self, values: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, value in values.items():
            several = value if isinstance(value, Mapping) else {name: value}
            result.update({self._shown(key): v for key, v in several.items()})
        return result

    def reset(self) -> None:
        """Forget everything."""
        for metric in self._metrics.values():
            metric.reset()

    def merge_state(self, other: MetricCollection) -> None:
        """Add what another collection of the same metrics has seen."""
        for name, metric in self._metrics.items():
            metric.merge_state(other._metrics[name])

    def to(self, *args: Any, **kwargs: Any) -> MetricCollection:
        """Move tensors of the states."""
        for metric in self._metrics.values():
            metric.to(*args, **kwargs)
        return self

    def clone(self, prefix: str | None = None, postfix: str | None = None) -> MetricCollection:
        """Copies of the metrics, with another prefix or postfix if given."""
        made = copy.deepcopy(self)
        made.prefix = self.prefix if prefix is None else prefix
        made.postfix = self.postfix if postfix is None else postfix
        return made

    def state_dict(self, prefix: str = "") -> dict[str, Any]:
        """The states of all."""
        result: dict[str, Any] = {}
        for name, metric in self._metrics.items():
            result.update(metric.state_dict(f"{prefix}{name}."))
        return result

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Take over states that ``state_dict`` gave."""
        for name, metric in self._metrics.items():
            metric.load_state_dict(state_dict, strict, f"{name}.")

    def __repr__(self) -> str:
        inside = ", ".join(f"{name!r}: {metric!r}" for name, metric in self.items())
        return f"MetricCollection({{{inside}}})"
