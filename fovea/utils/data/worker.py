"""What a worker does, wherever it runs: seed itself, make batches, and hand its errors over with
their traceback.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from fovea.utils.data import seeding
from fovea.utils.data.fetch import Cancelled, Fetcher, FetchPlan, is_iterable

__all__ = [
    "Begin",
    "Died",
    "Done",
    "End",
    "Task",
    "Worker",
    "WorkerError",
    "WorkerInfo",
    "WorkerSpec",
    "get_worker_info",
]


@dataclass(frozen=True)
class WorkerInfo:
    """What ``get_worker_info()`` says inside a worker.

    Attributes:
        id: the worker's number, from 0.
        num_workers: how many there are.
        seed: the seed of this worker (base seed + id); Python's and NumPy's generators start from
            it in a process.
        dataset: this worker's copy of the dataset. Worker processes have a full copy. Worker
            threads have a shallow one: attributes that a worker sets stay its own, the objects they
            pointed to are shared.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


_here = threading.local()
_process_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """Which worker this is; None outside a worker (and with ``num_workers=0``).

    >>> get_worker_info() is None
    True
    """
    info: WorkerInfo | None = getattr(_here, "info", None)
    return info or _process_info


class Task(NamedTuple):
    """One batch to make: ``number`` counts the epoch's batches, ``index`` says which samples."""

    epoch: int
    number: int
    index: Any


class Begin(NamedTuple):
    """A new epoch: what is left of the one before is dropped."""

    epoch: int
    seed: int


class Done(NamedTuple):
    """A task's result: a batch, a ``WorkerError`` or ``End``."""

    worker: int
    epoch: int
    number: int
    payload: Any


class Died(NamedTuple):
    """A worker process is gone."""

    worker: int


class End:
    """The worker's share of an iterable dataset is exhausted."""


class _Verbatim(str):
    """Text that ``KeyError`` (which shows its argument's repr) prints with its line breaks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class WorkerError:
    """An exception from a worker: its type, and its traceback as text (frames would keep their data
    alive).
    """

    kind: type[BaseException] | None
    text: str

    @classmethod
    def caught(cls, error: BaseException, where: str) -> WorkerError:
        """Of an exception being handled; ``where`` names worker and batch."""
        shown = "".join(traceback.format_exception(error)).rstrip()
        name = type(error).__name__
        # Only errors keep their type: SystemExit or KeyboardInterrupt must not end the parent.
        kind = type(error) if isinstance(error, Exception) else None
        return cls(kind, f"Caught {name} in {where}.\nOriginal {shown}")

    def reraise(self) -> NoReturn:
        """Raise an error of the same type that tells the worker and the original traceback."""
        text = _Verbatim(self.text) if self.kind is KeyError else self.text
        error: BaseException
        try:
            error = RuntimeError(text) if self.kind is None else self.kind(text)
        except Exception:  # a type whose constructor wants something else
            error = RuntimeError(text)
        raise error from None


@dataclass(frozen=True)
class WorkerSpec:
    """What all workers of a loader share.

    Attributes:
        plan: dataset and collation.
        init_fn: the user's ``worker_init_fn``, called with the worker's id.
        num_workers: how many workers there are.
        seed: base seed; a worker's own is this plus its id.
        kind: ``"thread"`` or ``"process"``.
        nice: by how much a process gives way to others.
    """

    plan: FetchPlan
    init_fn: Callable[[int], Any] | None
    num_workers: int
    seed: int
    kind: str
    nice: int = 0


class Worker:
    """One worker's state between tasks.

    Args:
        spec: what all workers share.
        number: this worker's id.
        cancelled: asked between samples; true makes the task stop with ``Cancelled``.
    """

    def __init__(self, spec: WorkerSpec, number: int, cancelled: Callable[[], bool]) -> None:
        self.spec = spec
        self.number = number
        self.cancelled = cancelled
        self.fetcher: Fetcher | None = None
        self.broken: WorkerError | None = None
        self.epoch_seed = spec.seed

    def start(self) -> None:
        """Seed the worker and call ``worker_init_fn``; an error there becomes the result of every
        task.
        """
        global _process_info
        spec = self.spec
        seed = spec.seed + self.number
        info = WorkerInfo(self.number, spec.num_workers, seed, spec.plan.dataset)
        _here.info = info
        if spec.kind == "process":
            _process_info = info
            seeding.seed_process(seed)
            if hasattr(os, "nice"):
                os.nice(spec.nice)
        self.stream = seeding.install_stream(seed)
        try:
            if spec.init_fn is not None:
                spec.init_fn(self.number)
        except BaseException as error:
            self.broken = WorkerError.caught(error, f"{self.place} (worker_init_fn)")
        self.stream.note_user_seed()

    @property
    def place(self) -> str:
        """How errors name this worker."""
        return f"DataLoader worker {self.spec.kind} {self.number}"

    def begin(self, message: Begin) -> None:
        """Start an epoch."""
        self.fetcher = None
        self.epoch_seed = message.seed

    def run(self, task: Task) -> Any:
        """The task's batch, or the ``WorkerError`` or ``End`` that came instead."""
        if self.broken is not None:
            return self.broken
        try:
            self.stream.seek(self.epoch_seed, task.number)
            if self.fetcher is None:
                self.fetcher = self.spec.plan.open(self.cancelled)
            return self.fetcher(task.index)
        except Cancelled:
            raise
        except BaseException as error:
            if isinstance(error, StopIteration) and is_iterable(self.spec.plan.dataset):
                return End()
            return WorkerError.caught(error, f"{self.place}, batch {task.number}")
