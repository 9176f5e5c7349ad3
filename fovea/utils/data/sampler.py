"""Samplers: in which order a dataset is read, and which samples make a batch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from fovea.errors import ArgumentError
from fovea.functions.random import randint, randperm
from fovea.utils.data import seeding

if TYPE_CHECKING:
    from fovea.random import Generator

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """Base of samplers: subclasses define ``__iter__`` (indices, or lists of them) and often
    ``__len__``.

    >>> class EverySecond(Sampler):
    ...     def __init__(self, data): self.data = data
    ...     def __iter__(self): return iter(range(0, len(self.data), 2))
    >>> list(EverySecond("abcde"))
    [0, 2, 4]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} should define __iter__(self).")


class SequentialSampler(Sampler[int]):
    """Every index in order.

    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Indices in random order.

    Args:
        data_source: the dataset (only its length is read).
        replacement: whether an index may come up again before all others have.
        num_samples: how many to draw (default: the dataset's length). Without replacement, more
            than the dataset holds means one shuffled pass after another.
        generator: where the randomness comes from. By default each pass takes a fresh seed from
            fovea's generator.

    Raises:
        ArgumentError: ``replacement`` is no bool, or ``num_samples`` is not positive.

    >>> import fovea
    >>> sorted(RandomSampler(range(4), generator=fovea.Generator().manual_seed(0)))
    [0, 1, 2, 3]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise ArgumentError(f"RandomSampler: replacement must be a bool, got {replacement!r}.")
        if num_samples is not None:
            _check_count("RandomSampler", "num_samples", num_samples)
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator

    @property
    def num_samples(self) -> int:
        """How many indices a pass draws."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, wanted = len(self.data_source), self.num_samples
        if n == 0:
            if wanted:
                raise ArgumentError(f"RandomSampler: {wanted} samples asked of an empty dataset.")
            return
        generator = self.generator or seeding.fresh_generator()
        if self.replacement:
            for start in range(0, wanted, 1024):
                size = (min(1024, wanted - start),)
                yield from randint(0, n, size, generator=generator).tolist()
            return
        for start in range(0, wanted, n):
            yield from randperm(n, generator=generator).tolist()[: wanted - start]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """Given indices in random order.

    >>> sorted(SubsetRandomSampler([4, 7, 9]))
    [4, 7, 9]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices drawn with given weights.

    Args:
        weights: one non-negative weight an index; they need not sum to 1.
        num_samples: how many to draw.
        replacement: whether an index may be drawn more than once.
        generator: where the randomness comes from (default: fovea's own).

    Raises:
        ArgumentError: a weight is negative or not finite, all are zero, ``num_samples`` is not
            positive, or more samples are asked for, without replacement, than weights are positive.

    Source: without replacement, the indices with the largest log(u) / weight are taken (Efraimidis
    and Spirakis, 2006).

    >>> set(WeightedRandomSampler([0.0, 1.0, 0.0], num_samples=5))
    {1}
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        _check_count("WeightedRandomSampler", "num_samples", num_samples)
        if not isinstance(replacement, bool):
            raise ArgumentError(
                f"WeightedRandomSampler: replacement must be a bool, got {replacement!r}."
            )
        values = np.asarray(_as_array(weights), np.float64)
        if values.ndim != 1:
            raise ArgumentError(
                f"WeightedRandomSampler: weights must have one dimension, got shape {values.shape}."
            )
        if not np.isfinite(values).all() or (values < 0).any() or not values.any():
            raise ArgumentError(
                "WeightedRandomSampler: weights must be finite, none negative, and one positive."
            )
        if not replacement and num_samples > np.count_nonzero(values):
            raise ArgumentError(
                f"WeightedRandomSampler: {num_samples} samples without replacement need as many"
                " positive weights;"
                f" there are {np.count_nonzero(values)}."
            )
        self.weights = values
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        positive = np.flatnonzero(self.weights)
        weights = self.weights[positive] / self.weights.max()
        if self.replacement:
            edges = np.cumsum(weights)
            u = seeding.uniforms(self.num_samples, self.generator)
            places = np.searchsorted(edges, u * edges[-1], side="right")
            # u * total can round up to the total itself, which lies behind the last index.
            chosen = positive[np.minimum(places, len(positive) - 1)]
        else:
            u = seeding.uniforms(len(positive), self.generator)
            keys = np.log1p(-u) / weights
            chosen = positive[np.argsort(-keys, kind="stable")[: self.num_samples]]
        yield from chosen.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of a sampler's indices.

    Args:
        sampler: a sampler, or any iterable of indices.
        batch_size: indices a batch.
        drop_last: leave out a last batch that is not full.

    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        _check_count("BatchSampler", "batch_size", batch_size)
        if not isinstance(drop_last, bool):
            raise ArgumentError(f"BatchSampler: drop_last must be a bool, got {drop_last!r}.")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        full, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return full + (1 if rest and not self.drop_last else 0)


def _check_count(owner: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value <= 0:
        raise ArgumentError(f"{owner}: {name} must be a positive integer, got {value!r}.")


def _as_array(values: Any) -> Any:
    return values.numpy() if hasattr(values, "numpy") else values
