"""``Dataset``: a chain of steps from samples to batches, drawn anew in each epoch.

It has the methods that programs call on what ``image_dataset_from_directory`` gives them; nothing
is read before somebody iterates.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions.creation import tensor
from fovea.functions.joining import stack
from fovea.keras.tree import flatten, map_structure, pack_as
from fovea.tensorbase import is_tensor

__all__ = ["Dataset"]

_END = object()


class Dataset:
    """Elements (tensors, tuples or dictionaries of them) that can be iterated over again and again.

    Args:
        make: gives an iterator over the elements of one epoch.
        length: how many they are; None if nobody knows.

    Each method gives a new dataset.

    >>> squares = Dataset.from_tensor_slices([1.0, 2.0, 3.0]).map(lambda x: x * x).batch(2)
    >>> [batch.tolist() for batch in squares]
    [[1.0, 4.0], [9.0]]
    >>> len(squares)
    2
    """

    def __init__(self, make: Callable[[], Iterator[Any]], length: int | None = None) -> None:
        self._make, self._length = make, length

    @classmethod
    def from_tensor_slices(cls, tensors: Any) -> Dataset:
        """The slices along the first dimension of an array, or of each array of a structure."""
        whole = map_structure(lambda t: t if is_tensor(t) else tensor(np.asarray(t)), tensors)
        if isinstance(tensors, list):  # a list is one array
            whole = tensor(np.asarray(tensors, dtype=np.asarray(tensors[0]).dtype))
            whole = whole.float() if whole.dtype.name == "float64" else whole
        sizes = {t.shape[0] for t in flatten(whole)}
        if len(sizes) != 1:
            raise ArgumentError(f"from_tensor_slices: arrays of different lengths {sorted(sizes)}.")
        (n,) = sizes
        return cls(lambda: (_row(whole, i) for i in range(n)), n)

    def __iter__(self) -> Iterator[Any]:
        return self._make()

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("the dataset's length is not known before it has been iterated over.")
        return self._length

    def cardinality(self) -> int:
        """How many elements there are; -2 if nobody knows (TensorFlow's number for that)."""
        return -2 if self._length is None else self._length

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._length if self._length is not None else '?'}>"

    def _then(self, step: Callable[[Iterator[Any]], Iterator[Any]], length: int | None) -> Dataset:
        make = self._make
        return Dataset(lambda: step(make()), length)

    def map(
        self,
        map_func: Callable[..., Any],
        num_parallel_calls: int | None = None,
        deterministic: bool | None = None,
    ) -> Dataset:
        """``map_func`` of each element; of a tuple, with its items as arguments.

        Args:
            num_parallel_calls: threads to call it in, in order; below 0: as many as there are
                cores.
        """

        def call(element: Any) -> Any:
            return map_func(*element) if isinstance(element, tuple) else map_func(element)

        if num_parallel_calls is None or num_parallel_calls == 1:
            return self._then(lambda elements: map(call, elements), self._length)
        workers = num_parallel_calls if num_parallel_calls > 0 else None
        return self._then(lambda elements: _in_threads(call, elements, workers), self._length)

    def filter(self, predicate: Callable[..., Any]) -> Dataset:
        """The elements for which ``predicate`` holds."""

        def fits(element: Any) -> bool:
            found = predicate(*element) if isinstance(element, tuple) else predicate(element)
            return bool(found)

        return self._then(lambda elements: filter(fits, elements), None)

    def batch(self, batch_size: int, drop_remainder: bool = False, **kwargs: Any) -> Dataset:
        """Groups of ``batch_size`` elements, stacked; the last may be smaller."""
        if batch_size < 1:
            raise ArgumentError(f"batch: batch_size must be at least 1, got {batch_size}.")

        def step(elements: Iterator[Any]) -> Iterator[Any]:
            while group := list(itertools.islice(elements, batch_size)):
                if len(group) == batch_size or not drop_remainder:
                    yield _batched(group)

        n = self._length
        more = 0 if drop_remainder or n is None or n % batch_size == 0 else 1
        return self._then(step, None if n is None else n // batch_size + more)

    def unbatch(self) -> Dataset:
        """The elements of batches, one by one."""

        def step(batches: Iterator[Any]) -> Iterator[Any]:
            for batch in batches:
                for i in range(flatten(batch)[0].shape[0]):
                    yield _row(batch, i)

        return self._then(step, None)

    def take(self, count: int) -> Dataset:
        """The first ``count`` elements; -1 takes all."""
        if count < 0:
            return self
        n = self._length
        return self._then(
            lambda elements: itertools.islice(elements, count), None if n is None else min(n, count)
        )

    def skip(self, count: int) -> Dataset:
        """All but the first ``count`` elements."""
        n = self._length
        return self._then(
            lambda elements: itertools.islice(elements, count, None),
            None if n is None else max(n - count, 0),
        )

    def shuffle(
        self, buffer_size: int, seed: int | None = None, reshuffle_each_iteration: bool = True
    ) -> Dataset:
        """Elements in random order: each is drawn from the next ``buffer_size``."""
        if buffer_size < 1:
            raise ArgumentError(f"shuffle: buffer_size must be at least 1, got {buffer_size}.")
        start = int(np.random.default_rng().integers(2**31)) if seed is None else seed
        epoch = itertools.count()

        def step(elements: Iterator[Any]) -> Iterator[Any]:
            rng = np.random.default_rng((start, next(epoch) if reshuffle_each_iteration else 0))
            waiting = list(itertools.islice(elements, buffer_size))
            for element in elements:
                i = int(rng.integers(len(waiting)))
                waiting[i], drawn = element, waiting[i]
                yield drawn
            rng.shuffle(waiting)
            yield from waiting

        return self._then(step, self._length)

    def repeat(self, count: int | None = None) -> Dataset:
        """The elements ``count`` times over; None or -1: without end."""
        make, n = self._make, self._length

        def over_and_over() -> Iterator[Any]:
            times = itertools.count() if count is None or count < 0 else range(count)
            for _ in times:
                yield from make()

        endless = count is None or count < 0
        return Dataset(over_and_over, None if endless or n is None else n * (count or 0))

    def cache(self, filename: str = "") -> Dataset:
        """Keep the elements in memory once all were drawn."""
        make, kept = self._make, list[Any]()
        whole = threading.Event()

        def elements() -> Iterator[Any]:
            if whole.is_set():
                yield from kept
                return
            drawn = []
            for element in make():
                drawn.append(element)
                yield element
            if not whole.is_set():
                kept.extend(drawn)
                whole.set()

        return Dataset(elements, self._length)

    def prefetch(self, buffer_size: int = -1) -> Dataset:
        """Draw up to ``buffer_size`` elements ahead, in a thread; below 1: two."""
        return self._then(
            lambda elements: _ahead(elements, buffer_size if buffer_size > 0 else 2), self._length
        )

    def concatenate(self, dataset: Dataset) -> Dataset:
        """The elements of this dataset, then those of another."""
        first, second = self._make, dataset._make
        known = self._length is not None and dataset._length is not None
        length = len(self) + len(dataset) if known else None
        return Dataset(lambda: itertools.chain(first(), second()), length)

    def enumerate(self, start: int = 0) -> Dataset:
        """Pairs of a number and an element."""
        return self._then(lambda elements: enumerate(elements, start), self._length)

    def as_numpy_iterator(self) -> Iterator[Any]:
        """The elements as NumPy arrays."""
        for element in self:
            yield map_structure(lambda t: t.numpy() if is_tensor(t) else t, element)

    def with_options(self, options: Any) -> Dataset:
        """The dataset itself."""
        return self


def _row(structure: Any, i: int) -> Any:
    return map_structure(lambda t: t[i], structure)


def _batched(group: list[Any]) -> Any:
    """Equal structures as one, of stacked leaves."""
    columns = zip(*map(flatten, group), strict=True)
    return pack_as(group[0], [_stacked(*column) for column in columns])


def _stacked(*items: Any) -> Any:
    if is_tensor(items[0]):
        return stack(list(items), 0)
    array = np.asarray(items)
    return tensor(array.astype(np.float32) if array.dtype == np.float64 else array)


def _in_threads(
    call: Callable[[Any], Any], elements: Iterator[Any], workers: int | None
) -> Iterator[Any]:
    """``map`` in threads, in order, a few elements ahead."""
    with ThreadPoolExecutor(workers) as pool:
        ahead = 2 * pool._max_workers
        waiting = [pool.submit(call, e) for e in itertools.islice(elements, ahead)]
        try:
            for element in elements:
                yield waiting.pop(0).result()
                waiting.append(pool.submit(call, element))
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()


def _ahead(elements: Iterator[Any], count: int) -> Iterator[Any]:
    """The elements, drawn in a thread that is at most ``count`` of them ahead."""
    ready: queue.Queue[Any] = queue.Queue(count)
    stop = threading.Event()

    def put(item: Any) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def draw() -> None:
        try:
            for element in elements:
                if not put((element, None)):
                    return
            put((_END, None))
        except BaseException as error:  # goes to whoever iterates
            put((_END, error))

    thread = threading.Thread(target=draw, daemon=True, name="prefetch")
    thread.start()
    try:
        while True:
            element, error = ready.get()
            if error is not None:
                raise error
            if element is _END:
                return
            yield element
    finally:
        stop.set()
        thread.join()
