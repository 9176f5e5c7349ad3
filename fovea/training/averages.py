"""The callback that evaluates with moving averages of the weights."""

from __future__ import annotations

from typing import Any

from fovea.autograd import no_grad
from fovea.errors import ArgumentError
from fovea.training.callbacks import Callback

__all__ = ["SwapEMAWeights"]


class SwapEMAWeights(Callback):
    """Puts the optimizer's moving averages into the model while it is evaluated or predicts.

    Args:
        swap_on_epoch: do so between epochs, too, for callbacks that come later, as
            ``ModelCheckpoint``.

    Raises:
        ArgumentError: an optimizer without ``use_ema=True``.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._swapped = False

    def wants_batch_logs(self) -> bool:
        return False

    def _pairs(self) -> list[tuple[Any, Any]]:
        """Each weight with its average."""
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        if not getattr(optimizer, "use_ema", False):
            raise ArgumentError(
                "SwapEMAWeights: the optimizer keeps no averages.",
                fix="give it use_ema=True",
            )
        return list(zip(optimizer._parameters, optimizer._averages, strict=True))

    def _swap(self, wanted: bool) -> None:
        if self._swapped == wanted:
            return
        with no_grad():
            for weight, average in self._pairs():
                held = weight.detach().clone()
                weight.detach().copy_(average)
                average.copy_(held)
        self._swapped = wanted

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.swap_on_epoch:
            self._swap(False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.swap_on_epoch:
            return
        self._swap(True)
        if epoch == self.params["epochs"] - 1:
            # The end of `fit` puts the averages into the weights, where they are already.
            with no_grad():
                for weight, average in self._pairs():
                    average.copy_(weight.detach())

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._swap(True)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._swap(False)

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._swap(True)

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        self._swap(False)
