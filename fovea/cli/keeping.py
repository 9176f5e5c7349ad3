"""What a run leaves on the way: the checkpoint of the best epoch so far, and its whole state."""

from __future__ import annotations

import contextlib
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovea.cli.classifier import save_classifier
from fovea.cli.learned import save_learned
from fovea.interop import load
from fovea.training import Callback
from fovea.training.best_files import BestFiles

if TYPE_CHECKING:
    from fovea.cli.classifier import Classifier
    from fovea.cli.fitting import Plan
    from fovea.cli.learned import Learned

__all__ = [
    "JUDGED",
    "KeepBest",
    "KeepScenes",
    "Keeper",
    "begin_or_go_on",
    "said_if_interrupted",
    "said_on_interrupt",
    "state_path",
]

# The number of validation that an epoch counts by.
JUDGED = {"detection": "val_AP", "segmentation": "val_mean_iou"}


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


class Keeper(Callback, ABC):
    """Writes a model after each epoch that did better than those before.

    Among equals the later one is taken: its learning rate was lower. Before any epoch has been
    measured the last one is.

    Args:
        kept: what is written, with the averages of its weights if the trainer keeps any.
        path: where.
        keep: ``"last"``: the last epoch is written, however good; a number: so many of the best
            are kept in a folder ``checkpoints`` beside it, and the last; ``"best"`` or None:
            neither.
        beside: keep the last there in any case.

    Attributes:
        best: the number of the epoch that is written, from 1; 0 if none has ended.
    """

    def __init__(
        self, kept: Any, path: Path, keep: int | str | None = None, beside: bool = False
    ) -> None:
        super().__init__()
        self.kept, self.path, self.beside = kept, path, beside
        self.count = keep if isinstance(keep, int) else 0
        self.only_last = keep == "last"
        self.best, self.value = 0, -math.inf
        self._files = BestFiles(self.count, operator.gt)

    @abstractmethod
    def judged(self, numbers: dict[str, float]) -> float | None:
        """What an epoch counts by, the more the better; None if it was not measured."""

    @abstractmethod
    def facts(self, epoch: int, numbers: dict[str, float]) -> dict[str, Any]:
        """What is written of an epoch (from 0)."""

    @abstractmethod
    def write(self, path: Path) -> None:
        """Write the model as it is."""

    def wants_batch_logs(self) -> bool:
        return False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        numbers = {name: float(value) for name, value in (logs or {}).items()}
        value = self.judged(numbers)
        facts = self.kept.training
        self.kept.training = self.facts(epoch, numbers)
        with self.model._averaging():
            if self.count or self.beside:
                self._keep(epoch, value)
            if self._takes(value):
                self.best = epoch + 1
                if value is not None and not math.isnan(value):
                    self.value = value
                self.write(self.path)
                return
        self.kept.training = facts

    def _takes(self, value: float | None) -> bool:
        if self.only_last or self.best == 0:
            return True
        return self.value == -math.inf if value is None else value >= self.value

    def _keep(self, epoch: int, value: float | None) -> None:
        folder = self.path.parent / "checkpoints"
        folder.mkdir(exist_ok=True)
        self.write(folder / "last.pt")
        if value is not None and self.count and self._files.wants(value):
            path = folder / f"epoch-{epoch + 1:03d}.pt"
            self.write(path)
            self._files.add(str(path), value)

    def state_dict(self) -> dict[str, Any]:
        """For a run that goes on."""
        return {
            "best": self.best,
            "value": self.value,
            "training": self.kept.training,
            "files": dict(self._files.files),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.value = state["best"], state["value"]
        self.kept.training = state["training"]
        self._files.files = dict(state["files"])

    def restore(self) -> None:
        """Give the model the weights that were written."""
        self.kept.model.load_state_dict(load(self.path)["state_dict"])

    def said_on_interrupt(self) -> str:
        """What is left after Ctrl-C."""
        return said_on_interrupt(self.best, self.path)


class KeepBest(Keeper):
    """Keeps a classifier: better is a higher accuracy on the validation images (on the training
    images if there are none).

    Args:
        classifier, path, keep: as of `Keeper`.
        plan: how it is trained.
    """

    def __init__(
        self, classifier: Classifier, path: Path, plan: Plan, keep: int | str | None = None
    ) -> None:
        super().__init__(classifier, path, keep)
        self.plan = plan

    def judged(self, numbers: dict[str, float]) -> float | None:
        return numbers.get("val_accuracy", numbers["accuracy"])

    def write(self, path: Path) -> None:
        save_classifier(path, self.kept)

    def facts(self, epoch: int, numbers: dict[str, float]) -> dict[str, Any]:
        return {
            "epoch": epoch + 1,
            "epochs": self.plan.epochs,
            "batch_size": self.plan.batch_size,
            "optimizer": self.plan.optimizer,
            "lr": self.plan.lr,
            "precision": self.plan.precision,
            **numbers,
        }


class KeepScenes(Keeper):
    """Keeps a detector or a segmenter: better is a higher average precision, or mean intersection
    over union, on the validation images.

    Args:
        learned, path, keep, beside: as of `Keeper`.
    """

    def __init__(
        self, learned: Learned, path: Path, keep: int | str | None = None, beside: bool = False
    ) -> None:
        super().__init__(learned, path, keep, beside)
        self.common = dict(learned.training)
        self.name = JUDGED[learned.task]

    def judged(self, numbers: dict[str, float]) -> float | None:
        return numbers.get(self.name)

    def write(self, path: Path) -> None:
        save_learned(path, self.kept)

    def facts(self, epoch: int, numbers: dict[str, float]) -> dict[str, Any]:
        return {**self.common, "epoch": epoch + 1, **numbers}


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
