"""Files written whole or not at all, and the callback that saves a model as it trains."""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fovea.errors import ArgumentError
from fovea.training.best_files import BestFiles, last_path
from fovea.training.monitor import MonitorCallback
from fovea.training.progress import print_message

__all__ = ["ModelCheckpoint", "atomic_path"]


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path to write to; when the block ends well the file is renamed to ``path``.

    Readers see the old file or the new one, never half of one; an error leaves the old one.

    Raises:
        IsADirectoryError: ``path`` is a folder.

    >>> import tempfile, pathlib
    >>> folder = tempfile.TemporaryDirectory()
    >>> target = pathlib.Path(folder.name) / "notes.txt"
    >>> with atomic_path(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> target.read_text(), len(list(target.parent.iterdir()))
    ('whole', 1)
    >>> folder.cleanup()
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; give the name of a file.")
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, _permissions(target))
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    except OSError as error:
        if error.errno and error.filename in (None, name, temporary):
            error.filename = os.fspath(target)  # a full disk does not say where
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _permissions(target: Path) -> int:
    """The old file's permissions, or a new file's."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


class ModelCheckpoint(MonitorCallback):
    """Saves the model after each epoch, or after every so many steps.

    Args:
        filepath: where; ``{epoch:02d}``, ``{val_loss:.2f}`` and so on are filled in.
        monitor: the number that tells which model is best.
        verbose: 1 says what is done.
        save_best_only: keep the file of the best model.
        save_weights_only: call ``model.save_weights`` rather than ``model.save``.
        mode: ``"auto"``, ``"min"`` or ``"max"``.
        save_freq: ``"epoch"``, or a number of steps.
        initial_value_threshold: only models better than this are saved.
        save_top_k: keep so many files, those of the best models; the others are deleted once a
            better one is written. -1 keeps all. ``filepath`` has to tell epochs apart.
        save_last: keep the newest model, too, as ``last`` with the file's ending beside it.

    Raises:
        ArgumentError: a ``save_freq`` or a file name that will not do.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
        *,
        save_top_k: int | None = None,
        save_last: bool = False,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        self.filepath = os.fspath(filepath)
        self.verbose, self.save_freq = verbose, save_freq
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self._epoch = 0
        self._steps_since = 0
        self.save_top_k, self.save_last = save_top_k, save_last
        self._files = BestFiles(-1 if save_top_k is None else save_top_k, self.is_improvement)
        if save_top_k is not None:
            self._check_top_k(save_top_k)
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ArgumentError(
                f"ModelCheckpoint: save_freq must be 'epoch' or an integer, got {save_freq!r}."
            )
        if save_weights_only and self.filepath.endswith(".keras"):
            raise ArgumentError(
                f"ModelCheckpoint: {self.filepath} names a whole model.",
                fix="end the name in .weights.h5, or leave out save_weights_only=True",
            )
        if not save_weights_only and self.filepath.endswith(".weights.h5"):
            raise ArgumentError(
                f"ModelCheckpoint: {self.filepath} names a file of weights.",
                fix="pass save_weights_only=True, or end the name in .keras",
            )

    def _check_top_k(self, count: int) -> None:
        if count < -1 or self.save_best_only:
            raise ArgumentError(
                f"ModelCheckpoint: save_top_k={count} with save_best_only={self.save_best_only}.",
                fix="save_top_k from -1 up, without save_best_only",
            )
        if count > 1 and "{" not in self.filepath:
            raise ArgumentError(
                f"ModelCheckpoint: {self.filepath} is one name for {count} files.",
                fix="a name with {epoch:02d} in it",
            )

    @property
    def best_model_path(self) -> str | None:
        """The file of the best model that was saved, or None."""
        return self._files.best

    def restore_best(self) -> None:
        """Give the model the weights of the best file.

        Raises:
            ArgumentError: there is none.
        """
        path = self.best_model_path
        if path is None:
            raise ArgumentError("ModelCheckpoint: nothing has been saved yet.", fix="fit first")
        self.model.load_weights(path)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "files": dict(self._files.files)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._files.files = dict(state.get("files", {}))

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        check = getattr(model, "check_save_path", None)
        if check is not None:  # a name that will not do is told now, not after the first epoch
            check(self.filepath, self.save_weights_only)

    def wants_batch_logs(self) -> bool:
        return self.save_freq != "epoch" and self._steps_since + 1 >= int(self.save_freq)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.save_freq == "epoch":
            return
        self._steps_since += 1
        if self._steps_since >= int(self.save_freq):
            self._steps_since = 0
            self._save(self._epoch, {"batch": batch + 1, **(logs or {})})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, logs or {})

    def _save(self, epoch: int, logs: dict[str, Any]) -> None:
        path = self._path(epoch, logs)
        if self._should_save(epoch, logs, path):
            self._write(path)
            self._say(epoch, f"finished saving model to {path}")
            value = logs.get(self.monitor)
            if isinstance(value, int | float):
                self._files.add(path, float(value))
            elif self.save_top_k is not None:
                self._files.add(path, math.nan)
        if self.save_last:
            self._write(last_path(path))

    def _write(self, path: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)

    def _should_save(self, epoch: int, logs: dict[str, Any], path: str) -> bool:
        if self.save_top_k is not None:
            return self._files.wants(float(logs.get(self.monitor, math.nan)))
        if not self.save_best_only:
            self._say(epoch, f"saving model to {path}")
            return True
        current = logs.get(self.monitor)
        if not isinstance(current, int | float):
            warnings.warn(
                f"ModelCheckpoint: {self.monitor!r} is not a number in the logs, "
                "so the best model is not known; saving this one.",
                stacklevel=4,
            )
            return True
        best = "None" if self.best is None else f"{self.best:.5f}"
        if self.is_improvement(current, self.best):
            self._say(
                epoch,
                f"{self.monitor} improved from {best} to {current:.5f}, saving model to {path}",
            )
            self.best = current
            return True
        self._say(epoch, f"{self.monitor} did not improve from {best}")
        return False

    def _path(self, epoch: int, logs: dict[str, Any]) -> str:
        try:
            return self.filepath.format(**{**logs, "epoch": epoch + 1})
        except KeyError as error:
            raise ArgumentError(
                f"ModelCheckpoint: {self.filepath!r} names {error}, which is not in the logs.",
                fix=f"one of {sorted([*logs, 'epoch'])}",
            ) from None

    def _say(self, epoch: int, text: str) -> None:
        if self.verbose > 0:
            print_message(f"\nEpoch {epoch + 1}: {text}")
