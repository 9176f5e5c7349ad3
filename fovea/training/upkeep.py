"""What a trainer does between epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.nn.utils.freezing import train_unfrozen
from fovea.optim.lr_scheduler import ReduceLROnPlateau
from fovea.training.callbacks import Callback

if TYPE_CHECKING:
    from fovea.training.trainer import Trainer

__all__ = ["Upkeep"]


class Upkeep(Callback):
    """What a trainer does between epochs: modes, schedule, counting."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__()
        self.trainer = trainer

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.trainer._gathered = 0

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.trainer._end_of_steps()
        self.trainer.model.eval()
        self.trainer._use_average(True)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self.trainer._use_average(False)
        train_unfrozen(self.trainer.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        trainer, found = self.trainer, {} if logs is None else logs
        trainer._end_of_steps()  # if there was no validation
        train_unfrozen(trainer.model)
        trainer.epoch, trainer._step = epoch + 1, 0
        scheduler = trainer.scheduler
        if scheduler is None:
            return
        found["learning_rate"] = float(trainer.optimizer.param_groups[0]["lr"])
        if trainer.schedule_by == "step":
            return
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(found.get("val_loss", found.get("loss")))
        else:
            scheduler.step()
