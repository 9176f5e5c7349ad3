"""Worker threads: cheap to start, nothing to copy. Decoding, NumPy and compiled kernels release the
interpreter lock.
"""

from __future__ import annotations

import copy
import threading
import time
import weakref
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

from fovea.utils.data.dataset import Dataset
from fovea.utils.data.fetch import Cancelled
from fovea.utils.data.worker import Begin, Done, Task, Worker, WorkerSpec

__all__ = ["ThreadPool"]

GRACE_SECONDS = 5.0  # how long closing waits for the sample that a worker is in the middle of


@dataclass
class _Shared:
    """What the loader tells its threads without a message."""

    epoch: int = 0
    closed: bool = False


class ThreadPool:
    """Workers of a loader as threads.

    Args:
        spec: what the workers share.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self._shared = _Shared()
        self._tasks: list[SimpleQueue[Any]] = [SimpleQueue() for _ in range(spec.num_workers)]
        # The threads know the queues, not the pool, so that dropping the pool (a `break` in the
        # loop) closes it.
        self._threads = [
            threading.Thread(
                target=_serve,
                args=(_own_spec(spec), number, tasks, self.inbox, self._shared),
                name=f"fovea-loader-{number}",
                daemon=True,
            )
            for number, tasks in enumerate(self._tasks)
        ]
        self._finalizer = weakref.finalize(self, _close, self._shared, self._tasks, self._threads)
        for thread in self._threads:
            thread.start()

    @property
    def closed(self) -> bool:
        return self._shared.closed

    @property
    def epoch(self) -> int:
        return self._shared.epoch

    def begin(self, epoch: int, seed: int) -> None:
        """Start an epoch; tasks of an earlier one are dropped."""
        self._shared.epoch = epoch
        for tasks in self._tasks:
            tasks.put(Begin(epoch, seed))

    def submit(self, worker: int, task: Task) -> None:
        """Queue a task."""
        self._tasks[worker].put(task)

    def obituary(self, worker: int) -> str:
        """Why a worker is gone; threads are not killed from outside."""
        return f"DataLoader worker thread {worker} ended unexpectedly."

    def close(self) -> None:
        """Stop the threads; a sample being made is waited for, up to a few seconds."""
        self._finalizer()


def _own_spec(spec: WorkerSpec) -> WorkerSpec:
    """The spec with a shallow copy of the dataset, so that attributes set in a worker stay in
    it.
    """
    dataset = spec.plan.dataset
    if not isinstance(dataset, Dataset):
        return spec
    try:
        return replace(spec, plan=replace(spec.plan, dataset=copy.copy(dataset)))
    except TypeError:  # a dataset that cannot be copied is shared
        return spec


def _serve(
    spec: WorkerSpec, number: int, tasks: SimpleQueue[Any], inbox: SimpleQueue[Any], shared: _Shared
) -> None:
    """A worker thread, from start to end."""
    epoch = 0
    worker = Worker(spec, number, lambda: shared.closed or shared.epoch != epoch)
    worker.start()
    while (message := tasks.get()) is not None:
        if isinstance(message, Begin):
            epoch = message.epoch
            worker.begin(message)
            continue
        if worker.cancelled():
            continue
        try:
            payload = worker.run(message)
        except Cancelled:
            continue
        inbox.put(Done(number, message.epoch, message.number, payload))
        del payload  # or the batch would live until the next one is made


def _close(shared: _Shared, tasks: list[SimpleQueue[Any]], threads: list[threading.Thread]) -> None:
    shared.closed = True
    for queue in tasks:
        queue.put(None)
    deadline = time.monotonic() + GRACE_SECONDS
    for thread in threads:
        # The garbage collector may close a pool from inside one of its own threads.
        if thread is not threading.current_thread() and thread.ident is not None:
            thread.join(max(0.0, deadline - time.monotonic()))
