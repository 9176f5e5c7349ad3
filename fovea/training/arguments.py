"""What a trainer was given, made into what it works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fovea import optim
from fovea.errors import ArgumentError
from fovea.training.metrics import Accuracy, MeanOf, Metric

__all__ = ["as_metrics", "listed", "optimizer_and_scheduler"]

_NAMED_METRICS: dict[str, Callable[[], Metric]] = {"accuracy": Accuracy, "acc": Accuracy}


def optimizer_and_scheduler(model: Any, optimizer: Any, scheduler: Any) -> tuple[Any, Any]:
    if optimizer is None and hasattr(model, "configure_optimizers"):
        optimizer, own = _configured(model.configure_optimizers())
        scheduler = own if scheduler is None else scheduler
    if optimizer is None:
        raise ArgumentError(
            "Trainer: there is no optimizer.",
            fix="pass one, such as fovea.optim.AdamW(model.parameters())",
        )
    if not isinstance(optimizer, optim.Optimizer):
        if not callable(optimizer):
            raise ArgumentError(
                f"Trainer: {optimizer!r} is no optimizer.",
                fix="fovea.optim.AdamW(model.parameters()), or a function of the parameters",
            )
        optimizer = optimizer(model.parameters())
    if scheduler is not None and not hasattr(scheduler, "step"):
        scheduler = scheduler(optimizer)
    return optimizer, scheduler


def _configured(found: Any) -> tuple[Any, Any]:
    """Optimizer and scheduler from what ``configure_optimizers`` returned."""
    if isinstance(found, dict):
        scheduler = found.get("lr_scheduler")
        held = scheduler.get("scheduler") if isinstance(scheduler, dict) else scheduler
        return found["optimizer"], held
    if isinstance(found, list | tuple):
        parts = [p[0] if isinstance(p, list | tuple) and p else p for p in found]
        return parts[0], parts[1] if len(parts) > 1 else None
    return found, None


def as_metrics(metrics: Any) -> list[Any]:
    if metrics is None:
        return []
    if isinstance(metrics, Mapping):
        return [_as_metric(m, name) for name, m in metrics.items()]
    return [_as_metric(m) for m in (metrics if isinstance(metrics, list | tuple) else [metrics])]


def _as_metric(metric: Any, name: str | None = None) -> Any:
    if isinstance(metric, str):
        if metric not in _NAMED_METRICS:
            raise ArgumentError(
                f"Trainer: unknown metric {metric!r}.", fix=f"one of {sorted(_NAMED_METRICS)}"
            )
        metric = _NAMED_METRICS[metric]()
    elif not hasattr(metric, "update_state"):
        if not callable(metric):
            raise ArgumentError(f"Trainer: {metric!r} is no metric.")
        function = metric
        metric = MeanOf(lambda t, p: function(p, t), getattr(function, "__name__", None))
    if name is not None:
        metric.name = name
    return metric


def listed(*callbacks: Any) -> list[Any]:
    found: list[Any] = []
    for c in callbacks:
        found += [] if c is None else list(c) if isinstance(c, list | tuple) else [c]
    return found
