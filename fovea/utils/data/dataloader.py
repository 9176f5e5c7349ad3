"""``DataLoader``: a dataset, a sampler and workers become an iterable of batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from fovea.errors import ArgumentError
from fovea.utils.data import seeding
from fovea.utils.data.collate import default_collate, default_convert
from fovea.utils.data.fetch import FetchPlan, is_iterable
from fovea.utils.data.iterators import InlineIterator, LoaderIterator, Pool, PoolIterator
from fovea.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from fovea.utils.data.worker import WorkerSpec

if TYPE_CHECKING:
    from fovea.random import Generator

__all__ = ["DataLoader"]

_SETTLED = (
    "batch_size",
    "batch_sampler",
    "sampler",
    "drop_last",
    "dataset",
    "persistent_workers",
)

T_co = TypeVar("T_co", covariant=True)


class _Endless:
    """The index "next sample", forever: what an iterable dataset is asked with."""

    def __iter__(self) -> Iterator[None]:
        while True:
            yield None


def _forks() -> bool:
    """Whether this program's processes start by fork."""
    import multiprocessing

    known = multiprocessing.get_all_start_methods()  # the system's own first
    return (multiprocessing.get_start_method(allow_none=True) or known[0]) == "fork"


class DataLoader(Generic[T_co]):
    """Batches of a dataset.

    The random numbers that a dataset draws from fovea (as fovea's transforms do) depend on the seed
    and the batch alone: ``fovea.manual_seed(0)``, or a seeded ``generator``, gives the same batches
    for any ``num_workers`` and ``worker_type``. Python's ``random`` and NumPy's global generator
    are seeded in each worker process; threads share them with the whole program, so there their
    draws are not reproducible. A ``worker_init_fn`` is mostly there to seed them, or to change
    something else that a process has to itself: where programs fork, as on Linux, workers that have
    one are forked processes, as PyTorch's are.

    Args:
        dataset: anything with ``__getitem__`` and ``__len__``, or an ``IterableDataset``.
        batch_size: samples a batch; None gives single samples, not joined.
        shuffle: whether each pass takes a new random order.
        sampler: indices in the order wanted (instead of ``shuffle``).
        batch_sampler: lists of indices (instead of ``batch_size``, ``shuffle``, ``sampler`` and
            ``drop_last``).
        num_workers: how many workers make batches ahead; 0 makes them when asked, in the caller's
            thread.
        collate_fn: from a list of samples to a batch (default ``default_collate``).
        pin_memory: accepted for compatibility; memory of the CPU needs no pinning.
        drop_last: leave out a last batch that is not full.
        timeout: seconds to wait for a batch of a worker before giving up; 0 waits forever.
        worker_init_fn: called in each worker with its id, after seeding.
        multiprocessing_context: how processes start, a context or ``"forkserver"``, ``"spawn"``,
            ``"fork"``.
        generator: where shuffling and the workers' seeds come from (default: fovea's own).
        prefetch_factor: batches a worker has under way (default 2; only with workers).
        persistent_workers: keep the workers from one pass to the next.
        pin_memory_device: accepted for compatibility.
        in_order: yield batches in the sampler's order rather than as they become ready.
        worker_type: ``"thread"`` (default) or ``"process"`` (default where
            ``multiprocessing_context`` is given, or ``worker_init_fn`` and processes fork).
        worker_nice: by how much worker processes give way to others (as ``os.nice``; 0: not at
            all). Kernels wait for the slowest of their threads: one that a worker has put aside
            holds up the others, while the worker loses nothing by waiting until they are done.

    Raises:
        ArgumentError: arguments out of range or at odds with each other.

    >>> import fovea
    >>> seeded = fovea.Generator().manual_seed(0)
    >>> loader = DataLoader(range(5), batch_size=2, shuffle=True, generator=seeded)
    >>> len(loader), sorted(i for batch in loader for i in batch.tolist())
    (3, [0, 1, 2, 3, 4])
    """

    _ready = False

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        worker_type: Literal["thread", "process"] | None = None,
        worker_nice: int = 10,
    ) -> None:
        self.dataset = dataset
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers > 0 else prefetch_factor
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self.worker_nice = worker_nice
        if num_workers and worker_init_fn is not None and worker_type is None and _forks():
            self.multiprocessing_context = multiprocessing_context or "fork"
        given = self.multiprocessing_context is not None
        self.worker_type = worker_type or ("process" if given else "thread")
        self._check_workers()
        self._set_sampling(batch_size, shuffle, sampler, batch_sampler, drop_last)
        batched = self.batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self._pool: Pool | None = None
        self._ready = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._ready and name in _SETTLED:
            raise ArgumentError(
                f"DataLoader: {name} is settled when the loader is made.",
                fix=f"make another: DataLoader(dataset, {name}=...)",
            )
        super().__setattr__(name, value)

    def _check_workers(self) -> None:
        workers = self.num_workers
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
            raise ArgumentError(
                f"DataLoader: num_workers must be an integer >= 0, got {workers!r}."
            )
        if not isinstance(self.worker_nice, int) or not 0 <= self.worker_nice < 20:
            raise ArgumentError(
                f"DataLoader: worker_nice is an integer from 0 to 19, got {self.worker_nice!r}."
            )
        if self.timeout < 0:
            raise ArgumentError(f"DataLoader: timeout must be >= 0, got {self.timeout}.")
        if self.worker_type not in ("thread", "process"):
            raise ArgumentError(
                f"DataLoader: worker_type must be 'thread' or 'process', got {self.worker_type!r}."
            )
        if workers == 0:
            for name in ("prefetch_factor", "persistent_workers", "multiprocessing_context"):
                if getattr(self, name):
                    raise ArgumentError(
                        f"DataLoader: {name} needs workers.", fix="set num_workers > 0"
                    )
        elif self.prefetch_factor is not None and self.prefetch_factor < 1:
            raise ArgumentError(
                f"DataLoader: prefetch_factor must be >= 1, got {self.prefetch_factor}."
            )

    def _set_sampling(
        self,
        batch_size: int | None,
        shuffle: bool | None,
        sampler: Iterable[Any] | None,
        batch_sampler: Iterable[Any] | None,
        drop_last: bool,
    ) -> None:
        """Decide ``sampler``, ``batch_sampler``, ``batch_size`` and ``drop_last`` from what was
        given.
        """
        if is_iterable(self.dataset):
            given = {"shuffle": shuffle, "sampler": sampler, "batch_sampler": batch_sampler}
            for name, value in given.items():
                if value is not None and value is not False:
                    raise ArgumentError(
                        f"DataLoader: an IterableDataset decides its own order and takes no {name}."
                    )
        if sampler is not None and shuffle:
            raise ArgumentError(
                "DataLoader: sampler excludes shuffle (the sampler decides the order)."
            )
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ArgumentError(
                    "DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last."
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ArgumentError("DataLoader: batch_size=None gives single samples: no drop_last.")
        if sampler is None:
            sampler = self._default_sampler(bool(shuffle))
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler: Any = sampler
        self.batch_sampler: Any = batch_sampler

    def _default_sampler(self, shuffle: bool) -> Any:
        if is_iterable(self.dataset):
            return _Endless()
        if shuffle:
            if len(self.dataset) == 0:
                raise ArgumentError(
                    "DataLoader: the dataset is empty; there is nothing to shuffle."
                )
            return RandomSampler(self.dataset, generator=self.generator)
        return SequentialSampler(self.dataset)

    @property
    def index_sampler(self) -> Any:
        """What a pass iterates: lists of indices, or single indices with ``batch_size=None``."""
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    @property
    def fetch_plan(self) -> FetchPlan:
        """What a worker needs to know."""
        batched = self.batch_sampler is not None
        return FetchPlan(self.dataset, batched, self.collate_fn, self.drop_last)

    def __iter__(self) -> LoaderIterator:
        return self._pass(0)

    def starting_at(self, batch: int) -> LoaderIterator:
        """A pass that begins with a batch by its number: the batches that ``iter`` gives after so
        many others, whatever the workers. Those before are not made, unless the dataset is an
        ``IterableDataset``.

        >>> [batch.tolist() for batch in DataLoader(range(6), 2).starting_at(1)]
        [[2, 3], [4, 5]]
        """
        if batch < 0:
            raise ArgumentError(f"DataLoader: batches are numbered from 0, got {batch}.")
        if not is_iterable(self.dataset):
            return self._pass(batch)
        started = self._pass(0)
        for _ in itertools.islice(started, batch):
            pass
        return started

    def _pass(self, first: int) -> LoaderIterator:
        # One draw a pass whatever the number of workers, so that it does not change what follows.
        seed = seeding.draw_seed(self.generator)
        if self.num_workers == 0:
            return InlineIterator(self, seed, first)
        pool = self._pool if self.persistent_workers else None
        if pool is None or pool.closed:
            pool = self._open_pool(seed)
        if self.persistent_workers:
            self._pool = pool
        try:
            return PoolIterator(self, seed, pool, first)
        except BaseException:  # the sampler's, say: the traceback would keep the workers alive
            pool.close()
            raise

    def _open_pool(self, seed: int) -> Pool:
        spec = WorkerSpec(
            self.fetch_plan, self.worker_init_fn, self.num_workers, seed, self.worker_type,
            self.worker_nice,
        )  # fmt: skip
        if self.worker_type == "thread":
            from fovea.utils.data.threads import ThreadPool

            return ThreadPool(spec)
        from fovea.utils.data.processes import ProcessPool

        return ProcessPool(spec, self.multiprocessing_context)

    def __len__(self) -> int:
        """Batches a pass yields (for an ``IterableDataset`` with a length: how many it
        promises).
        """
        if not is_iterable(self.dataset):
            return len(self.index_sampler)
        length = len(self.dataset)
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pool": None}
