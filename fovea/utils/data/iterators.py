"""One pass over a loader: in this thread, or ordering and prefetching what a pool of workers
makes.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from fovea.profiler.recorder import record_function
from fovea.utils.data import seeding
from fovea.utils.data.fetch import is_iterable
from fovea.utils.data.worker import Died, Done, End, Task, WorkerError

if TYPE_CHECKING:
    from fovea.utils.data.dataloader import DataLoader

__all__ = ["InlineIterator", "LoaderIterator", "Pool", "PoolIterator"]

POLL_SECONDS = 1.0  # waiting wakes up this often, so that Ctrl-C is seen on every system


class Pool(Protocol):
    """Workers, as an iterator sees them."""

    inbox: SimpleQueue[Any]

    @property
    def epoch(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def begin(self, epoch: int, seed: int) -> None: ...
    def submit(self, worker: int, task: Task) -> None: ...
    def obituary(self, worker: int) -> str: ...
    def close(self) -> None: ...


class LoaderIterator(Iterator[Any]):
    """What ``iter(loader)`` gives.

    Args:
        loader: the loader.
        seed: the pass's seed.
        first: the number of the first batch; those before are not made.
    """

    def __init__(self, loader: DataLoader[Any], seed: int, first: int = 0) -> None:
        self._loader = loader
        self._seed = seed
        self._indices = iter(loader.index_sampler)
        for _ in itertools.islice(self._indices, first):
            pass
        self._yielded = first

    def __len__(self) -> int:
        return len(self._loader)

    def __next__(self) -> Any:
        with record_function(f"enumerate(DataLoader)#{type(self).__name__}.__next__"):
            batch = self._next_batch()
        self._yielded += 1
        if is_iterable(self._loader.dataset):
            self._check_length()
        return batch

    def _next_batch(self) -> Any:
        raise NotImplementedError

    def _check_length(self) -> None:
        """Warn once if an iterable dataset gives more than its ``__len__`` says."""
        with suppress(TypeError):
            stated = len(self._loader)
            if self._yielded == stated + 1:
                hint = (
                    " Every worker iterates the whole dataset unless its __iter__ asks"
                    " get_worker_info() for a share."
                    if self._loader.num_workers
                    else ""
                )
                warnings.warn(
                    f"DataLoader: the dataset's length promised {stated} batches, and more are"
                    f" coming.{hint}",
                    stacklevel=3,
                )


class InlineIterator(LoaderIterator):
    """Batches made in the calling thread (``num_workers=0``)."""

    def __init__(self, loader: DataLoader[Any], seed: int, first: int = 0) -> None:
        super().__init__(loader, seed, first)
        self._stream = seeding.Stream(self._seed)
        self._fetch = loader.fetch_plan.open(lambda: False)

    def _next_batch(self) -> Any:
        index = next(self._indices)
        self._stream.seek(self._seed, self._yielded)
        with self._stream:
            return self._fetch(index)


class PoolIterator(LoaderIterator):
    """Batches made by workers: up to ``prefetch_factor`` tasks a worker are under way, handed out
    round robin.

    Args:
        loader: the loader.
        seed: the pass's seed.
        pool: the workers; closed at the end of the pass unless they are persistent.
        first: the number of the first batch.
    """

    def __init__(self, loader: DataLoader[Any], seed: int, pool: Pool, first: int = 0) -> None:
        super().__init__(loader, seed, first)
        self._pool = pool
        # The number tells this pass's results from those of a pass that was left early.
        self._epoch = pool.epoch + 1
        self._finished = False
        self._active = [True] * loader.num_workers
        self._load = [0] * loader.num_workers
        self._turn = 0
        self._sent = first
        self._due = first  # in order: the task whose batch comes next
        self._ready: dict[int, Any] = {}
        pool.begin(self._epoch, seed)
        for _ in range((loader.prefetch_factor or 1) * loader.num_workers):
            self._submit()

    def _submit(self) -> None:
        """Give the next task to the next active worker."""
        worker = self._choose_worker()
        if worker is None:
            return
        try:
            index = next(self._indices)
        except StopIteration:
            return
        self._pool.submit(worker, Task(self._epoch, self._sent, index))
        self._load[worker] += 1
        self._sent += 1

    def _choose_worker(self) -> int | None:
        count = len(self._active)
        turns = [(self._turn + i) % count for i in range(count)]
        able = [w for w in turns if self._active[w]]
        if not able:
            return None
        # Out of order, a slow worker gets less; in order, who makes which batch must not depend on
        # speed.
        worker = able[0] if self._loader.in_order else min(able, key=self._load.__getitem__)
        self._turn = (worker + 1) % count
        return worker

    def _next_batch(self) -> Any:
        if self._finished or self._pool.closed:
            raise StopIteration
        if self._epoch != self._pool.epoch:
            raise RuntimeError(
                "DataLoader: a newer iteration took over its persistent workers; finish one pass"
                " before the next."
            )
        try:
            payload = self._take()
        except StopIteration:
            self._finished = True
            if not self._loader.persistent_workers:
                self._pool.close()
            raise
        except BaseException:
            self._pool.close()
            raise
        if isinstance(payload, WorkerError):
            payload.reraise()
        return payload

    def _take(self) -> Any:
        timeout = self._loader.timeout
        deadline = time.monotonic() + timeout if timeout > 0 else None
        while True:
            number = self._find()
            if number is not None:
                payload = self._ready.pop(number)
                self._due = max(self._due, number + 1)
                self._submit()
                if not isinstance(payload, End):
                    return payload
            elif not any(self._load):
                raise StopIteration
            else:
                self._receive(deadline)

    def _find(self) -> int | None:
        """A task whose result may be handed out now."""
        if self._loader.in_order:
            return self._due if self._due in self._ready else None
        return next(iter(self._ready), None)

    def _receive(self, deadline: float | None) -> None:
        """Wait for one message from a worker."""
        message = self._wait(deadline)
        if isinstance(message, Done):
            if message.epoch != self._epoch:
                return
            self._load[message.worker] -= 1
            if isinstance(message.payload, End):
                self._active[message.worker] = False
            self._ready[message.number] = message.payload
        elif isinstance(message, Died):
            raise RuntimeError(self._pool.obituary(message.worker))
        else:
            message.reraise()

    def _wait(self, deadline: float | None) -> Any:
        while True:
            wait = POLL_SECONDS
            if deadline is not None:
                wait = min(wait, max(0.0, deadline - time.monotonic()))
            try:
                return self._pool.inbox.get(timeout=wait)
            except Empty:
                if deadline is not None and time.monotonic() >= deadline:
                    raise RuntimeError(
                        f"DataLoader timed out after {self._loader.timeout} seconds: no worker"
                        " delivered batch"
                        f" {self._due}. A sample takes too long or waits for something; raise"
                        " `timeout`, or use"
                        " num_workers=0 to see where."
                    ) from None
