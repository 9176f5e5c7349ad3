"""What a run leaves on the way: the checkpoint of the best epoch so far, and its whole state."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovea.cli.classifier import save_classifier
from fovea.interop import load
from fovea.training import Callback
from fovea.training.best_files import BestFiles

if TYPE_CHECKING:
    from fovea.cli.classifier import Classifier
    from fovea.cli.fitting import Plan

__all__ = [
    "KeepBest",
    "begin_or_go_on",
    "said_if_interrupted",
    "said_on_interrupt",
    "state_path",
]


def state_path(folder: Path) -> Path:
    """The file in which an unfinished run is kept."""
    return folder / "state.pt"


def begin_or_go_on(folder: Path, resume: bool) -> Path:
    """The file to keep a run in: it is there if the run is to go on from it.

    What an earlier run that was killed half-way through writing left in the folder is removed.
    """
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)
    path = state_path(folder)
    if not resume:
        path.unlink(missing_ok=True)
    return path


class KeepBest(Callback):
    """Writes the classifier after each epoch that did better than those before.

    Better is a higher accuracy on the validation images (on the training images if there are
    none). Among equals the later one is taken: its learning rate was lower.

    Args:
        classifier: what is written, with the averages of its weights if the trainer keeps any.
        path: where.
        plan: how it is trained.
        keep: so many of the best are kept in a folder ``checkpoints`` beside it, and the last.

    Attributes:
        best: the number of the best epoch so far, from 1; 0 if none has ended.
    """

    def __init__(self, classifier: Classifier, path: Path, plan: Plan, keep: int = 0) -> None:
        super().__init__()
        self.classifier, self.path, self.plan, self.keep = classifier, path, plan, keep
        self.best = 0
        self.accuracy = -1.0
        self._files = BestFiles(keep, operator.gt)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        numbers = {name: float(value) for name, value in (logs or {}).items()}
        accuracy = numbers.get("val_accuracy", numbers["accuracy"])
        facts = self.classifier.training
        self.classifier.training = self._facts(epoch, numbers)
        with self.model._averaging():
            if self.keep:
                self._keep(epoch, accuracy)
            if accuracy >= self.accuracy:
                self.accuracy, self.best = accuracy, epoch + 1
                save_classifier(self.path, self.classifier)
                return
        self.classifier.training = facts

    def _keep(self, epoch: int, accuracy: float) -> None:
        folder = self.path.parent / "checkpoints"
        folder.mkdir(exist_ok=True)
        save_classifier(folder / "last.pt", self.classifier)
        if self._files.wants(accuracy):
            path = folder / f"epoch-{epoch + 1:03d}.pt"
            save_classifier(path, self.classifier)
            self._files.add(str(path), accuracy)

    def _facts(self, epoch: int, numbers: dict[str, float]) -> dict[str, Any]:
        return {
            "epoch": epoch + 1,
            "epochs": self.plan.epochs,
            "batch_size": self.plan.batch_size,
            "optimizer": self.plan.optimizer,
            "lr": self.plan.lr,
            "precision": self.plan.precision,
            **numbers,
        }

    def state_dict(self) -> dict[str, Any]:
        """For a run that goes on."""
        return {
            "best": self.best,
            "accuracy": self.accuracy,
            "training": self.classifier.training,
            "files": dict(self._files.files),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.accuracy = state["best"], state["accuracy"]
        self.classifier.training = state["training"]
        self._files.files = dict(state["files"])

    def restore(self) -> None:
        """Give the model the weights of the best epoch, as they were written."""
        self.classifier.model.load_state_dict(load(self.path)["state_dict"])

    def said_on_interrupt(self) -> str:
        """What is left after Ctrl-C."""
        return said_on_interrupt(self.best, self.path)


@contextlib.contextmanager
def said_if_interrupted(said: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C within the block, during training or what comes after it, tells what is left."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(said()) from None


def said_on_interrupt(epoch: int, checkpoint: Path) -> str:
    """What is left after Ctrl-C: the checkpoint of an epoch, if one has ended, and the state."""
    folder = checkpoint.parent
    said = f"the checkpoint of epoch {epoch} is kept: {checkpoint}" if epoch else "no epoch ended"
    if state_path(folder).exists():
        return f"interrupted; {said}; go on with: fovea train --resume {folder}"
    return f"interrupted; {said}" if epoch else "interrupted before the first epoch ended"
