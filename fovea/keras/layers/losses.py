"""The part of a layer that adds to the loss: what calls add, and penalties."""

from __future__ import annotations

import weakref
from typing import Any

from fovea.errors import GradientError
from fovea.keras import standins
from fovea.keras.layers.building import Building
from fovea.keras.tree import flatten
from fovea.tensorbase import is_tensor

__all__ = ["Losses", "with_losses"]

# Layers that hold losses of a call: where there are none, no call looks for some to forget.
with_losses: weakref.WeakSet[Any] = weakref.WeakSet()


class Losses(Building):
    """``add_loss`` and ``losses``."""

    activity_regularizer: Any
    _losses: list[Any]

    def add_loss(self, loss: Any) -> None:
        """Add a number to the loss of the step that is being computed.

        Raises:
            GradientError: a tensor with more than one element.
        """
        for part in flatten(loss):
            if is_tensor(part) and part.numel() != 1:
                raise GradientError(f"add_loss: one number is needed, got shape {part.shape}.")
            scope = standins.current()
            if scope is None:
                self._losses.append(part)
                with_losses.add(self)
            elif scope.collect_losses:
                scope.add_loss(part)

    def _penalize(self, outputs: Any) -> None:
        for output in flatten(outputs):
            if is_tensor(output):
                penalty = self.activity_regularizer(output)
                self.add_loss(
                    penalty / output.shape[0] if output.ndim and output.shape[0] else penalty
                )

    @property
    def losses(self) -> list[Any]:
        """The losses of the last call, then the penalties on weights."""
        return self.losses_of(self.trainable_weights)

    def losses_of(self, weights: list[Any]) -> list[Any]:
        """The losses of the last call, then the penalties on these weights."""
        scope = standins.current()
        found: list[Any] = []
        if scope is not None and scope.collect_losses:
            found.extend(scope.losses)
        else:
            for module in self.modules():
                found.extend(getattr(module, "_losses", ()))
        for w in weights:
            regularizer = getattr(w, "regularizer", None)
            if regularizer is not None:
                found.append(regularizer(w))
        return found

    def _clear_losses(self) -> None:
        """Forget the losses of the call before, here and within."""
        for module in self.modules():
            if module in with_losses:
                module._forget_losses()

    def _forget_losses(self) -> None:
        self._losses.clear()
        with_losses.discard(self)
