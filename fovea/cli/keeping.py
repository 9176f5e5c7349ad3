"""The checkpoint of the best epoch so far."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovea.cli.classifier import save_classifier
from fovea.interop import load
from fovea.training import Callback

if TYPE_CHECKING:
    from fovea.cli.classifier import Classifier
    from fovea.cli.fitting import Plan

__all__ = ["KeepBest"]


class KeepBest(Callback):
    """Writes the classifier after each epoch that did better than those before.

    Better is a higher accuracy on the validation images (on the training images if there are
    none). Among equals the later one is taken: its learning rate was lower.

    Attributes:
        best: the number of the best epoch so far, from 1; 0 if none has ended.
    """

    def __init__(self, classifier: Classifier, path: Path, plan: Plan) -> None:
        super().__init__()
        self.classifier, self.path, self.plan = classifier, path, plan
        self.best = 0
        self.accuracy = -1.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        numbers = {name: float(value) for name, value in (logs or {}).items()}
        accuracy = numbers.get("val_accuracy", numbers["accuracy"])
        if accuracy < self.accuracy:
            return
        self.accuracy, self.best = accuracy, epoch + 1
        self.classifier.training = {
            "epoch": self.best,
            "epochs": self.plan.epochs,
            "batch_size": self.plan.batch_size,
            "optimizer": self.plan.optimizer,
            "lr": self.plan.lr,
            "precision": self.plan.precision,
            **numbers,
        }
        save_classifier(self.path, self.classifier)

    def restore(self) -> None:
        """Give the model the weights of the best epoch, as they were written."""
        self.classifier.model.load_state_dict(load(self.path)["state_dict"])

    def said_on_interrupt(self) -> str:
        """What is left after Ctrl-C."""
        if not self.best:
            return "interrupted before the first epoch ended: nothing was saved"
        return f"interrupted; the checkpoint of epoch {self.best} is kept: {self.path}"
