"""From indices to one batch: the part of loading that runs wherever the worker is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fovea.utils.data.collate import default_collate
from fovea.utils.data.dataset import IterableDataset, faster_method, get_samples

__all__ = ["Cancelled", "FetchPlan", "Fetcher", "IterableFetcher", "MapFetcher", "is_iterable"]


class Cancelled(Exception):  # noqa: N818 - a signal between threads, never shown to a user
    """The loader was closed while a batch was being made."""


@dataclass(frozen=True)
class FetchPlan:
    """What a worker needs to know to make batches.

    Attributes:
        dataset: the dataset.
        batched: whether an index stands for a list of samples (else for one sample).
        collate_fn: from a list of samples (or from one sample) to what the loader yields.
        drop_last: whether an iterable dataset's last, short batch is left out.
    """

    dataset: Any
    batched: bool
    collate_fn: Callable[[Any], Any]
    drop_last: bool

    def open(self, cancelled: Callable[[], bool]) -> Fetcher:
        """A fetcher at the start of an epoch; ``cancelled`` is asked between samples."""
        if is_iterable(self.dataset):
            return IterableFetcher(self, cancelled)
        return MapFetcher(self, cancelled)


def is_iterable(dataset: Any) -> bool:
    """Whether the dataset is read in order rather than by index."""
    return isinstance(dataset, IterableDataset)


class MapFetcher:
    """Batches of a dataset read by index."""

    def __init__(self, plan: FetchPlan, cancelled: Callable[[], bool]) -> None:
        self.plan = plan
        self.cancelled = cancelled
        # Where the default collation can be had in one gather, no sample is ever built.
        whole = plan.batched and plan.collate_fn is default_collate
        self.get_batch = faster_method(plan.dataset, "__getbatch__") if whole else None

    def __call__(self, index: Any) -> Any:
        plan = self.plan
        if not plan.batched:
            return plan.collate_fn(plan.dataset[index])
        if self.get_batch is not None:
            batch = self.get_batch(index)
            if batch is not None:
                return batch
        return plan.collate_fn(self._samples(index))

    def _samples(self, indices: Sequence[Any]) -> list[Any]:
        dataset = self.plan.dataset
        if faster_method(dataset, "__getitems__") is not None:
            return get_samples(dataset, indices)
        samples = []
        for i in indices:
            if self.cancelled():
                raise Cancelled
            samples.append(dataset[i])
        return samples


class IterableFetcher:
    """Batches of a dataset read in order; ``StopIteration`` at its end."""

    def __init__(self, plan: FetchPlan, cancelled: Callable[[], bool]) -> None:
        self.plan = plan
        self.cancelled = cancelled
        self.samples: Iterator[Any] = iter(plan.dataset)

    def __call__(self, index: Sequence[Any] | None) -> Any:
        if not self.plan.batched:
            return self.plan.collate_fn(next(self.samples))
        wanted = len(index) if index is not None else 1
        batch = []
        for sample in itertools.islice(self.samples, wanted):
            if self.cancelled():
                raise Cancelled
            batch.append(sample)
        if not batch or (self.plan.drop_last and len(batch) < wanted):
            raise StopIteration
        return self.plan.collate_fn(batch)


Fetcher = MapFetcher | IterableFetcher
