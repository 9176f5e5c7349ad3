"""The log of a run as lines of JSON, from which `compare_runs` tells why two runs differ."""

from __future__ import annotations

import json
import math
import os
import platform
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from fovea import random
from fovea.errors import ArgumentError
from fovea.targets.cpu.threads import get_num_threads
from fovea.tensorbase import is_tensor
from fovea.training.callbacks import Callback
from fovea.version import __version__

__all__ = ["JSONLogger", "digest", "run_facts"]


class JSONLogger(Callback):
    """Writes a line of JSON when a run begins, after steps, after epochs, and when it ends.

    The first line has the versions, seeds, options of the optimizer and a checksum of the first
    weights; a step's has its logs and, from a `fovea.Trainer`, a checksum of its batch. NaN and
    infinities are written as the texts ``"nan"``, ``"inf"`` and ``"-inf"``.

    Args:
        filename: the file.
        every: write a line after every so many steps; None writes none for steps. (The numbers of
            a step have to be waited for.)
        append: go on in a file that exists, rather than start it anew.
        config: what else is to be in the first line, such as the program's arguments.

    Raises:
        ArgumentError: ``every`` below 1.
    """

    def __init__(
        self,
        filename: str | os.PathLike[str],
        every: int | None = 1,
        append: bool = False,
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if every is not None and every < 1:
            raise ArgumentError(f"JSONLogger: every is at least 1 step, got {every}.")
        self.filename, self.every, self.append = Path(filename), every, append
        self.config = config
        self._file: IO[str] | None = None
        self._epoch = 0

    def wants_batch_logs(self) -> bool:
        return self.every is not None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._close()
        self.filename.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.filename, "a" if self.append else "w", encoding="utf-8")  # noqa: SIM115
        self._line({"event": "begin", **run_facts(self.model), "config": self.config or {}})

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.every is None or (batch + 1) % self.every:
            return
        found = {"event": "step", "epoch": self._epoch, "step": batch}
        taken = getattr(self.model, "batch", None)
        if taken is not None:
            found["batch"] = digest([taken])
        self._line({**found, "logs": logs or {}})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._line({"event": "epoch", "epoch": epoch, "logs": logs or {}})

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._file is not None:
            self._line({"event": "end"})
        self._close()

    def _line(self, found: dict[str, Any]) -> None:
        if self._file is None:
            return
        self._file.write(json.dumps(_plain(found), allow_nan=False) + "\n")
        self._file.flush()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def run_facts(model: Any) -> dict[str, Any]:
    """What a run depends on before its first step."""
    module = getattr(model, "model", model)
    groups = getattr(getattr(model, "optimizer", None), "param_groups", [])
    facts: dict[str, Any] = {
        "versions": {
            "fovea": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "machine": {
            "system": platform.platform(),
            "threads": get_num_threads(),
        },
        "seed": random.initial_seed(),
        "random": digest([random.get_rng_state()]),
        "optimizer": {
            "kind": type(getattr(model, "optimizer", None)).__name__,
            "groups": [{k: v for k, v in g.items() if k != "params"} for g in groups],
        },
    }
    if hasattr(module, "state_dict") and hasattr(module, "modules"):
        facts["model"] = {
            "kind": type(module).__name__,
            "layers": digest(repr(module)),
            "weights": digest(module.state_dict()),
        }
    learner = getattr(model, "learner", None)
    if learner is not None:
        facts["trainer"] = {"accumulate": learner.accumulate, "clip": learner.clip}
    return facts


def digest(values: Any, start: int = 0) -> int:
    """A checksum (CRC-32) of all tensors, arrays, numbers and texts in a structure.

    >>> import fovea
    >>> digest([fovea.ones(2)]) == digest([fovea.ones(2)]) != digest([fovea.zeros(2)])
    True
    """
    if isinstance(values, dict):
        for key in values:
            start = digest(values[key], zlib.crc32(str(key).encode(), start))
        return start
    if is_tensor(values):
        values = values.detach().contiguous().numpy()
    if isinstance(values, np.ndarray):
        head = f"{values.dtype}{values.shape}".encode()
        flat = np.ascontiguousarray(values).reshape(-1)
        return zlib.crc32(flat.view(np.uint8).data, zlib.crc32(head, start)) if flat.size else start
    if isinstance(values, list | tuple):
        for value in values:
            start = digest(value, start)
        return start
    if values is None or isinstance(values, bool | int | float | str):
        return zlib.crc32(repr(values).encode(), start)
    return start


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if is_tensor(value) or isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, str | bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Iterable):
        return [_plain(v) for v in value]
    return str(value)
