"""A trainer's moving average of weights, and when the model holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fovea.autograd import no_grad
from fovea.errors import ArgumentError
from fovea.nn.module import Module
from fovea.optim.swa_utils import AveragedModel

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["MovingAverage"]


class MovingAverage:
    """An exponential moving average of a model's weights and buffers (Polyak and Juditsky 1992).

    After each update ``average = decay * average + (1 - decay) * weight``, the first of which
    copies; buffers of whole numbers (counts, tables of indices) are copied each time. Model and
    average change places in place, so that compiled steps go on.

    Args:
        model: the model.
        decay: how much of the average stays, from 0 to below 1.

    Raises:
        ArgumentError: another ``decay``.

    >>> import fovea
    >>> model = fovea.nn.Linear(1, 1)
    >>> average = MovingAverage(model, 0.9)
    >>> average.update()
    >>> with fovea.no_grad(): _ = model.weight.fill_(5.0)
    >>> with average.used():
    ...     held = float(model.weight)
    >>> held != 5.0, float(model.weight)
    (True, 5.0)
    """

    def __init__(self, model: Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ArgumentError(
                f"Trainer: ema is a decay from 0 to below 1, got {decay}.", fix="such as ema=0.999"
            )

        def average(held: list[Tensor], values: list[Tensor], count: Any) -> None:
            for h, v in zip(held, values, strict=True):
                if h.dtype.is_floating_point:
                    h.copy_(decay * h + (1 - decay) * v)
                else:
                    h.copy_(v)

        self.model = model
        self.averaged = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
        self.averaged.eval()
        self._inside = False

    def update(self) -> None:
        """Let the present weights into the average."""
        self.averaged.update_parameters(self.model)

    def states(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The states of the model with its own weights and of the average, wherever they lie."""
        model, averaged = self.model.state_dict(), self.averaged.state_dict()
        if not self._inside:
            return model, averaged
        count = {k: v for k, v in averaged.items() if not k.startswith("module.")}
        moved = {f"module.{k}": v for k, v in model.items()}
        return dict(self.averaged.module.state_dict()), {**count, **moved}

    def swap(self, inside: bool) -> None:
        """Let the model hold the average, or its own weights again."""
        if inside == self._inside:
            return
        with no_grad():
            for a, b in zip(_tensors(self.model), _tensors(self.averaged.module), strict=True):
                kept = a.clone()
                a.copy_(b)
                b.copy_(kept)
        self._inside = inside

    @contextmanager
    def used(self, inside: bool = True) -> Iterator[None]:
        """The model holds the average (``inside=False``: its own weights) within the block."""
        before = self._inside
        self.swap(inside)
        try:
            yield
        finally:
            self.swap(before)


def _tensors(model: Module) -> list[Tensor]:
    return [t.detach() for t in (*model.parameters(), *model.buffers())]
