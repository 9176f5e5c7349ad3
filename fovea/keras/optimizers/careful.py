"""What an update does besides its rule: gradients are scaled, accumulated and clipped, weights
averaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.dtypes import float32
from fovea.functions.indexing import copy_
from fovea.functions.pointwise import where
from fovea.keras.variables import assign
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Careful"]


class Careful:
    """The part of ``Optimizer`` that is needed where one of these options is used.

    The number of steps is a number; in a stateless update it is a tensor, and what depends on it is
    computed both ways and chosen from, so that a program can be captured.
    """

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    _parameters: list[Any]
    _averages: list[Tensor]
    _accumulated: list[Tensor]
    _iterations: Any
    _engine: Any
    built: bool

    def _done(self) -> Any:
        """How many updates have been made."""
        every = self.gradient_accumulation_steps
        return self._iterations if every is None else self._iterations // every

    def _plain(self) -> bool:
        """Whether an update is its rule, no more."""
        return (
            self.clipnorm is None
            and self.clipvalue is None
            and self.global_clipnorm is None
            and not self.use_ema
            and self.loss_scale_factor is None
            and self.gradient_accumulation_steps is None
        )

    def _careful_step(self, skip: Tensor | None) -> None:
        """An update with scaling, accumulation, clipping or averages."""
        params = [p for p in self._parameters if p.grad is not None]
        originals = [p.grad for p in params]
        try:
            if self.loss_scale_factor is not None:
                for p in params:
                    p.grad = p.grad / self.loss_scale_factor
            waits = self._accumulate(params)
            if waits is not True:
                self._clip(params)
                self._engine.step_unless(skip if waits is False else waits)
        finally:
            for p, g in zip(params, originals, strict=True):
                p.grad = g
        if self.use_ema:
            self._average()

    def _accumulate(self, params: list[Any]) -> Any:
        """Add up gradients. Whether it is not yet time for an update: True or False, or a tensor
        that is 1 or 0.
        """
        steps = self.gradient_accumulation_steps
        if steps is None:
            return False
        totals = {id(p): t for p, t in zip(self._parameters, self._accumulated, strict=True)}
        for p in params:
            p.grad = totals[id(p)].add_(p.grad) / steps
        waits = (self._iterations + 1) % steps != 0
        for total in self._accumulated:
            if is_tensor(waits):
                copy_(total, where(waits, total, 0.0))
            elif not waits:
                total.zero_()
        return waits.to(float32) if is_tensor(waits) else waits

    def _clip(self, params: list[Any]) -> None:
        if self.clipvalue is not None:
            for p in params:
                p.grad = p.grad.clamp(-self.clipvalue, self.clipvalue)
        elif self.clipnorm is not None:
            for p in params:
                norm = (p.grad * p.grad).sum().sqrt()
                p.grad = p.grad * (self.clipnorm / norm.clamp(min=self.clipnorm))
        elif self.global_clipnorm is not None and params:
            norm = sum((p.grad * p.grad).sum() for p in params).sqrt()
            factor = self.global_clipnorm / norm.clamp(min=self.global_clipnorm)
            for p in params:
                p.grad = p.grad * factor

    def _average(self) -> None:
        done, every = self._done(), self.ema_overwrite_frequency
        later: Any = done != 0
        kept = (later.to(float32) if is_tensor(later) else float(later)) * self.ema_momentum
        for average, p in zip(self._averages, self._parameters, strict=True):
            average.mul_(kept).add_(p.detach() * (1.0 - kept))
        if every:
            self._take_averages((done + 1) % every == 0)

    def _take_averages(self, due: Any = True) -> None:
        """Put the averages into the weights, if that is due: a truth value or a tensor of one."""
        for average, p in zip(self._averages, self._parameters, strict=True):
            if is_tensor(due):
                assign(p, where(due, average, p.detach()))
            elif due:
                assign(p, average)

    def finalize_variable_values(self, var_list: Any = None) -> None:
        """At the end of ``fit``: put the moving averages, if there are any, into the weights."""
        if self.use_ema and self.built:
            self._take_averages()
