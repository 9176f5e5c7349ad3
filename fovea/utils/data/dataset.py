"""Datasets: what a sample is, and how datasets are cut, joined and stacked."""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fovea.errors import ArgumentError, OutOfRangeError, ShapeError, describe
from fovea.functions.random import randperm
from fovea.utils.data.collate import gather_rows

if TYPE_CHECKING:
    from fovea.random import Generator
    from fovea.tensor import Tensor

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "faster_method",
    "get_samples",
    "random_split",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """A dataset read by index: subclasses define ``__getitem__`` and, nearly always, ``__len__``.

    Two optional methods make it faster. ``__getitems__(indices)`` returns a list of samples at
    once. ``__getbatch__(indices)`` returns what ``default_collate`` would make of those samples (or
    None where it cannot); the loader uses it when ``collate_fn`` is the default. A subclass that
    overrides ``__getitem__`` alone does without.

    >>> class Squares(Dataset):
    ...     def __len__(self): return 5
    ...     def __getitem__(self, index): return index * index
    >>> Squares()[3], len(Squares() + Squares())
    (9, 10)
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} should define __getitem__(self, index).")

    def __add__(self, other: Dataset[T_co]) -> ConcatDataset[T_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """A dataset read in order: subclasses define ``__iter__``.

    Every worker of a loader iterates the whole of it unless ``__iter__`` asks ``get_worker_info()``
    for its share.

    >>> class Count(IterableDataset):
    ...     def __iter__(self): return iter(range(3))
    >>> list(Count() + Count())
    [0, 1, 2, 0, 1, 2]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} should define __iter__(self).")

    def __add__(self, other: Dataset[T_co]) -> ChainDataset[T_co]:  # type: ignore[override]
        return ChainDataset([self, other])


def faster_method(dataset: Any, name: str) -> Callable[[Sequence[int]], Any] | None:
    """The method ``name`` (``__getitems__`` or ``__getbatch__``), if it agrees with the dataset's
    ``__getitem__``.

    A subclass that overrides ``__getitem__`` alone changes what a sample is, so what it inherits is
    passed over.
    """
    for cls in type(dataset).__mro__:
        if name in vars(cls):
            method: Callable[[Sequence[int]], Any] = getattr(dataset, name)
            return method
        if "__getitem__" in vars(cls):
            return None
    return None


class TensorDataset(Dataset["tuple[Tensor, ...]"]):
    """Tensors that run along their first dimension together; a sample is the tuple of their rows.

    Args:
        *tensors: tensors with the same first dimension.

    Raises:
        ShapeError: their first dimensions differ, or a tensor has none.

    >>> import fovea
    >>> data = TensorDataset(fovea.zeros(4, 3), fovea.arange(4))
    >>> len(data), data[2][1].item()
    (4, 2)
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ArgumentError("TensorDataset: give at least one tensor.")
        if any(t.dim() == 0 or t.shape[0] != tensors[0].shape[0] for t in tensors):
            raise ShapeError(
                "TensorDataset: the tensors' first dimensions differ (size mismatch between"
                " tensors).",
                {f"tensor {i}": describe(t) for i, t in enumerate(tensors)},
                fix="give tensors with one row a sample each",
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __getbatch__(self, indices: Sequence[int]) -> list[Tensor] | None:
        if any(t.requires_grad for t in self.tensors):
            return None
        return [gather_rows(t, indices) for t in self.tensors]

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


class StackDataset(Dataset[Any]):
    """Datasets read in step: a sample is the tuple (or, with names, the dict) of their samples.

    Args:
        *args: datasets of one length, for tuple samples.
        **kwargs: named datasets of one length, for dict samples (not both).

    >>> StackDataset(image=["a", "b"], label=[0, 1])[1]
    {'image': 'b', 'label': 1}
    """

    datasets: tuple[Any, ...] | dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ArgumentError("StackDataset: give datasets either by position or by name.")
        self.datasets = args or kwargs
        lengths = {len(d) for d in self._parts()}
        if len(lengths) > 1:
            raise ArgumentError(
                f"StackDataset: the datasets have different lengths {sorted(lengths)}."
            )
        self._length: int = lengths.pop()

    def _parts(self) -> list[Any]:
        return list(self.datasets.values() if isinstance(self.datasets, dict) else self.datasets)

    def _join(self, parts: Iterable[Any]) -> Any:
        if isinstance(self.datasets, dict):
            return dict(zip(self.datasets, parts, strict=True))
        return tuple(parts)

    def __getitem__(self, index: int) -> Any:
        return self._join(part[index] for part in self._parts())

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        columns = [get_samples(part, indices) for part in self._parts()]
        return [self._join(row) for row in zip(*columns, strict=True)]

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[T_co]):
    """Datasets one after the other.

    Args:
        datasets: at least one dataset read by index.

    >>> joined = ConcatDataset([["a", "b"], ["c"]])
    >>> len(joined), joined[2], joined[-3]
    (3, 'c', 'a')
    """

    datasets: list[Dataset[T_co]]
    cumulative_sizes: list[int]

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError("ConcatDataset: give at least one dataset.")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise ArgumentError("ConcatDataset: an IterableDataset has no index; use ChainDataset.")
        self.cumulative_sizes = self.cumsum(self.datasets)

    @staticmethod
    def cumsum(sequence: Iterable[Any]) -> list[int]:
        """Where each dataset ends in the whole."""
        return list(itertools.accumulate(len(part) for part in sequence))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, idx: int) -> T_co:
        size = len(self)
        if not -size <= idx < size:
            raise OutOfRangeError(
                f"ConcatDataset: index {idx} is outside a dataset of {size} samples."
            )
        idx = idx % size
        which = bisect.bisect_right(self.cumulative_sizes, idx)
        start = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][idx - start]


class ChainDataset(IterableDataset[T_co]):
    """Iterable datasets one after the other.

    >>> class Count(IterableDataset):
    ...     def __iter__(self): return iter(range(2))
    >>> list(ChainDataset([Count(), Count()]))
    [0, 1, 0, 1]
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[T_co]:
        for part in self.datasets:
            if not isinstance(part, IterableDataset):
                raise ArgumentError(f"ChainDataset: {type(part).__name__} is no IterableDataset.")
            yield from part

    def __len__(self) -> int:
        lengths: list[int] = [len(part) for part in self.datasets]
        return sum(lengths)


class Subset(Dataset[T_co]):
    """The samples of a dataset at given indices.

    Args:
        dataset: a dataset read by index.
        indices: which samples, in order.

    >>> Subset(["a", "b", "c"], [2, 0])[0]
    'c'
    """

    dataset: Dataset[T_co]
    indices: Sequence[int]

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, idx: Any) -> Any:
        if isinstance(idx, list):
            return self.dataset[[self.indices[i] for i in idx]]
        return self.dataset[self.indices[idx]]

    def __getitems__(self, indices: Sequence[int]) -> list[T_co]:
        return get_samples(self.dataset, [self.indices[i] for i in indices])

    def __getbatch__(self, indices: Sequence[int]) -> Any:
        inner = faster_method(self.dataset, "__getbatch__")
        return None if inner is None else inner([self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


def get_samples(dataset: Any, indices: Sequence[int]) -> list[Any]:
    """The samples at ``indices``, through ``__getitems__`` where the dataset has it."""
    getter = faster_method(dataset, "__getitems__")
    if getter is None:
        return [dataset[i] for i in indices]
    samples = getter(indices)
    if len(samples) != len(indices):
        raise ArgumentError(
            f"{type(dataset).__name__}.__getitems__ returned {len(samples)} samples"
            f" for {len(indices)} indices."
        )
    return list(samples)


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset[Any]]:
    """Cut a dataset at random into parts that do not overlap.

    Args:
        dataset: a dataset with a length.
        lengths: how many samples each part gets, or fractions that sum to 1. Fractions are rounded
            down and the samples left over go to the first parts, one each.
        generator: where the randomness comes from (default: fovea's own).

    Raises:
        ArgumentError: the lengths do not sum to the dataset's, or a fraction is outside [0, 1].

    >>> import fovea
    >>> train, test = random_split(range(10), [0.75, 0.25], fovea.Generator().manual_seed(0))
    >>> len(train), len(test), sorted([*train, *test]) == list(range(10))
    (8, 2, True)
    """
    total = len(dataset)
    counts = _split_counts(total, lengths)
    if sum(counts) != total:
        raise ArgumentError(
            f"random_split: lengths sum to {sum(counts)}, the dataset has {total} samples.",
            fix="give counts that sum to the dataset's length, or fractions that sum to 1",
        )
    order: list[int] = randperm(total, generator=generator).tolist()
    ends = itertools.accumulate(counts)
    return [Subset(dataset, order[end - n : end]) for end, n in zip(ends, counts, strict=True)]


def _split_counts(total: int, lengths: Sequence[int | float]) -> list[int]:
    """Whole numbers of samples from counts or fractions."""
    whole = sum(lengths)
    if not (math.isclose(whole, 1) and whole <= 1):
        counts = [int(n) for n in lengths]
        if any(n < 0 or n != given for n, given in zip(counts, lengths, strict=True)):
            raise ArgumentError(
                f"random_split: {list(lengths)} are neither counts nor fractions that sum to 1."
            )
        return counts
    if any(not 0 <= f <= 1 for f in lengths):
        raise ArgumentError(f"random_split: fractions must lie in [0, 1], got {list(lengths)}.")
    counts = [math.floor(total * f) for f in lengths]
    for i in range(total - sum(counts)):
        counts[i % len(counts)] += 1
    for i, n in enumerate(counts):
        if n == 0:
            warnings.warn(f"random_split: part {i} of {len(counts)} is empty.", stacklevel=3)
    return counts
