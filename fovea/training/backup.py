"""The callback that lets an interrupted run go on."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

from fovea.errors import ArgumentError, FoveaError
from fovea.training.callbacks import Callback
from fovea.training.checkpoint import atomic_path

__all__ = ["BackupAndRestore"]


class BackupAndRestore(Callback):
    """Keeps the state of a run in a folder; the same ``fit`` after an interruption goes on from it.

    Weights, the optimizer's state and the epoch's number are kept. An interrupted epoch begins
    anew, with the weights of the last backup.

    Args:
        backup_dir: the folder; a run of its own needs one of its own.
        save_freq: ``"epoch"``, or a number of steps.
        double_checkpoint: keep the backup before the last one, for when that is damaged.
        delete_checkpoint: remove the folder when the run has ended well.

    Raises:
        ArgumentError: no folder, a ``save_freq`` that is none, or a model without weights yet.
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not os.fspath(backup_dir):
            raise ArgumentError("BackupAndRestore: backup_dir is empty.")
        if save_freq != "epoch" and not (isinstance(save_freq, int) and save_freq > 0):
            raise ArgumentError(
                "BackupAndRestore: save_freq must be 'epoch' or a number of steps, "
                f"got {save_freq!r}."
            )
        self.backup_dir, self.save_freq = Path(backup_dir), save_freq
        self.double_checkpoint, self.delete_checkpoint = double_checkpoint, delete_checkpoint
        self._weights = self.backup_dir / "latest.weights.h5"
        self._metadata = self.backup_dir / "training_metadata.json"
        self._epoch = self._since = 0
        self._interrupted = False

    def wants_batch_logs(self) -> bool:
        return False

    def _files(self) -> tuple[tuple[Path, Path], ...]:
        """Each file, and where the one before it is kept."""
        return tuple((p, p.with_name(f"{p.name}.bkp")) for p in (self._weights, self._metadata))

    def interrupt(self) -> None:
        """Keep the backup: the run did not end well."""
        self._interrupted = True

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._interrupted = False
        if not self.model.built:
            raise ArgumentError(
                "BackupAndRestore: the model has no weights to restore yet.",
                fix="call the model on a batch, or give it an Input layer, before fit",
            )
        if not self._weights.exists():
            return
        try:
            self._restore()
        except (OSError, ValueError, KeyError, FoveaError) as error:
            if not all(old.exists() for _, old in self._files()):
                raise
            warnings.warn(
                f"the last backup is damaged ({error}); going on from the one before.", stacklevel=2
            )
            for path, old in self._files():
                shutil.copyfile(old, path)
            self._restore()

    def _restore(self) -> None:
        with open(self._metadata, encoding="utf-8") as file:
            epoch = json.load(file)["epoch"]
        if not isinstance(epoch, int) or epoch < 0:
            raise ValueError(f"{self._metadata}: the epoch is {epoch!r}")
        optimizer = getattr(self.model, "optimizer", None)
        if optimizer is not None and not getattr(optimizer, "built", True):
            optimizer.build(self.model.trainable_weights)
        self.model.load_weights(str(self._weights))
        self.model._initial_epoch = self._epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.save_freq == "epoch":
            return
        self._since += 1
        if self._since >= int(self.save_freq):
            self._since = 0
            self._save(batch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch + 1
        if self.save_freq == "epoch":
            self._save(0)

    def _save(self, batch: int) -> None:
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        if self.double_checkpoint:
            for path, old in self._files():
                if path.exists():
                    shutil.copyfile(path, old)
        self.model.save_weights(str(self._weights), overwrite=True)
        with atomic_path(self._metadata) as path:
            path.write_text(json.dumps({"epoch": self._epoch, "batch": batch}), encoding="utf-8")

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.delete_checkpoint and not self._interrupted and self.backup_dir.exists():
            shutil.rmtree(self.backup_dir)
