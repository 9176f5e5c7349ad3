"""Batches for ``fit``, ``evaluate`` and ``predict``: from arrays, datasets, any iterable."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError, ShapeError
from fovea.functions.random import randperm
from fovea.keras import config
from fovea.keras.layers.layer import as_tensor
from fovea.keras.tree import flatten, map_structure, pack_as
from fovea.ops.op import Spec
from fovea.size import Size
from fovea.targets.base import empty
from fovea.tensorbase import is_tensor
from fovea.training.batches import Batches
from fovea.utils.data import DataLoader

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ArrayData", "PyDataset", "batches_of", "split_arrays", "unpack_x_y_sample_weight"]

Array = np.ndarray[Any, Any]


class PyDataset:
    """A dataset that gives batches by number: override ``__getitem__`` and ``__len__``.

    Args:
        workers: more than 1: ``fit`` has so many threads make batches ahead, in the order in
            which it takes them.
        use_multiprocessing: have processes make them instead, even with one worker.
        max_queue_size: how many batches are made ahead.

    A subclass that does not call ``super().__init__()`` has none of these.

    >>> class Squares(PyDataset):
    ...     def __len__(self):
    ...         return 2
    ...     def __getitem__(self, i):
    ...         return np.full((4, 1), i), np.full((4, 1), i * i)
    >>> Squares().num_batches
    2
    """

    workers = 1
    use_multiprocessing = False
    max_queue_size = 10

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ) -> None:
        self.workers, self.use_multiprocessing = workers, use_multiprocessing
        self.max_queue_size = max_queue_size

    def __len__(self) -> int:
        raise TypeError(f"{type(self).__name__} must define __len__: how many batches it has.")

    def __getitem__(self, index: int) -> Any:
        raise TypeError(f"{type(self).__name__} must define __getitem__: batch number index.")

    @property
    def num_batches(self) -> int:
        """How many batches there are."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """A batch as (x, y, sample_weight); what is missing is None.

    >>> unpack_x_y_sample_weight((1, 2))
    (1, 2, None)
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ArgumentError(
            f"a batch is x, (x, y) or (x, y, sample_weight), got a tuple of {len(data)}."
        )
    x, y, weight = (*data, None, None)[:3]
    return x, y, weight


# -- arrays -----------------------------------------------------------------------------------


def _as_array(value: Any) -> Array:
    """An array whose floats are ``floatx()``; integers that the engine has as they are."""
    array = value.detach()._array() if is_tensor(value) else np.asarray(value)
    if array.dtype == object:
        raise ArgumentError(
            "data must be numbers, got an array of objects.", fix="check that rows have one length"
        )
    wanted = config.as_dtype(None).numpy
    if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
        return array if array.dtype == wanted else array.astype(wanted)
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        return array.astype(np.int64)
    if array.dtype.kind not in "iub":
        raise ArgumentError(f"data must be numbers, got dtype {array.dtype}.")
    return array


def _is_array(value: Any) -> bool:
    """An array, a tensor, a table with columns, or a list of numbers."""
    if is_tensor(value) or isinstance(value, np.ndarray) or hasattr(value, "iloc"):
        return True
    first = value
    while isinstance(first, list | tuple) and first:
        first = first[0]
    return isinstance(value, list | tuple) and isinstance(first, int | float | np.generic)


def are_arrays(value: Any) -> bool:
    """Whether ``value`` is an array, or a structure of nothing but arrays."""
    if _is_array(value):
        return True
    if isinstance(value, list | tuple | dict):
        parts = list(value.values()) if isinstance(value, dict) else list(value)
        return bool(parts) and all(are_arrays(p) for p in parts)
    return False


def _is_list_of_batches(value: Any) -> bool:
    """Whether a list holds tuples: batches (x, y), not the arrays of several inputs."""
    return isinstance(value, list) and all(isinstance(v, tuple) and len(v) > 1 for v in value)


def _arrays(value: Any) -> Any:
    if value is None:
        return None
    if _is_array(value):
        return _as_array(value)
    if isinstance(value, dict):
        return {k: _arrays(v) for k, v in value.items()}
    return [_arrays(v) for v in value]


def _count(structure: Any) -> int:
    """How many samples all arrays have.

    Raises:
        ShapeError: they differ.
    """
    arrays = [a for a in flatten(structure) if a is not None]
    if any(a.ndim == 0 for a in arrays):
        raise ShapeError("data needs a first dimension: one row a sample.")
    sizes = sorted({len(a) for a in arrays})
    if len(sizes) != 1:
        shapes = ", ".join(str(a.shape) for a in arrays)
        raise ShapeError(
            f"x, y and sample_weight must have the same number of samples, got {sizes}.",
            {"shapes": shapes},
        )
    return sizes[0]


def rows(array: Array, picked: Any) -> Tensor:
    """The picked rows (a slice or an array of numbers) as a tensor of their own."""
    count = picked.stop - picked.start if isinstance(picked, slice) else len(picked)
    out = empty(Spec(Size((count, *array.shape[1:])), dtypes.as_dtype(array.dtype)))
    if isinstance(picked, slice):
        out._array()[...] = array[picked]
    else:
        np.take(array, picked, axis=0, out=out._array(), mode="clip")
    return out


class ArrayData:
    """Arrays in batches, in order or shuffled anew for each pass.

    Args:
        x, y, sample_weight: arrays, or structures of arrays.
        batch_size: samples a batch; the last may be smaller.
        shuffle: ``"batch"`` shuffles whole batches.
    """

    def __init__(
        self, x: Any, y: Any, sample_weight: Any, batch_size: int, shuffle: bool | str
    ) -> None:
        self.data = (_arrays(x), _arrays(y), _arrays(sample_weight))
        self.count = _count(self.data)
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise ArgumentError(f"batch_size must be an integer of at least 1, got {batch_size!r}.")
        self.batch_size, self.shuffle = int(batch_size), shuffle
        self._parts = [a for a in flatten(list(self.data)) if a is not None]
        self._plain = all(a is None or isinstance(a, np.ndarray) for a in self.data)

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
        size, order = self.batch_size, None
        starts = range(0, self.count, size)
        if self.shuffle == "batch":
            starts = [starts[i] for i in randperm(len(starts)).tolist()]  # type: ignore[assignment]
        elif self.shuffle:
            order = randperm(self.count)._array()
        for start in starts:
            stop = min(start + size, self.count)
            yield self._batch(slice(start, stop) if order is None else order[start:stop])

    def _batch(self, picked: Any) -> tuple[Any, Any, Any]:
        if self._plain:
            x, y, weight = self.data
            return (
                rows(x, picked),
                None if y is None else rows(y, picked),
                None if weight is None else rows(weight, picked),
            )
        found = map_structure(lambda a: None if a is None else rows(a, picked), list(self.data))
        return tuple(found)


def split_arrays(x: Any, y: Any, sample_weight: Any, share: float) -> tuple[Any, Any]:
    """Everything but the last ``share`` of the samples, and those.

    Raises:
        ArgumentError: a share outside (0, 1), no arrays, or one part that would be empty.
    """
    if not 0 < share < 1:
        raise ArgumentError(f"validation_split must lie in (0, 1), got {share}.")
    if not are_arrays(x):
        raise ArgumentError(
            "validation_split needs arrays.", fix="pass validation_data for other kinds of data"
        )
    parts = [_arrays(x), _arrays(y), _arrays(sample_weight)]
    count = _count(parts)
    at = math.floor(count * (1.0 - share))
    if at in (0, count):
        raise ArgumentError(
            f"validation_split={share} of {count} samples would leave a part without samples."
        )
    leaves = flatten(parts)
    first = pack_as(parts, [None if a is None else a[:at] for a in leaves])
    last = pack_as(parts, [None if a is None else a[at:] for a in leaves])
    return tuple(first), tuple(last)


# -- weights ----------------------------------------------------------------------------------


def class_weights(y: Any, class_weight: dict[int, float]) -> Array:
    """One weight a sample, by its class (the highest of one-hot rows).

    >>> class_weights(np.array([0, 1, 1]), {1: 5.0})
    array([1., 5., 5.], dtype=float32)
    """
    labels = y._array() if is_tensor(y) else np.asarray(y)
    if labels.ndim > 1:
        labels = labels[..., 0] if labels.shape[-1] == 1 else labels.argmax(-1)
    labels = labels.round().astype(np.int64)
    weights = np.ones(labels.shape, config.as_dtype(None).numpy)
    for label, weight in class_weight.items():
        weights[labels == int(label)] = weight
    return weights


def _checked_class_weight(y: Any, class_weight: Any, sample_weight: Any) -> None:
    if sample_weight is not None:
        raise ArgumentError("class_weight and sample_weight cannot be given together.")
    if isinstance(y, list | tuple | dict) and not _is_array(y):
        raise ArgumentError("class_weight works with a single target.")
    if not isinstance(class_weight, dict):
        raise ArgumentError(f"class_weight must be a dictionary, got {class_weight!r}.")


# -- iterables --------------------------------------------------------------------------------


class IterableData:
    """Batches from an iterable, as tensors."""

    def __init__(self, source: Iterable[Any], class_weight: dict[int, float] | None) -> None:
        self.source, self.class_weight = source, class_weight

    def __len__(self) -> int:
        return len(self.source)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
        for batch in self.source:
            yield as_batch(batch, self.class_weight)

    def on_epoch_end(self) -> None:
        """Pass the end of an epoch on."""
        end = getattr(self.source, "on_epoch_end", None)
        if end is not None:
            end()


def _as_it_is(batch: Any) -> Any:
    return batch


class _IndexedData(IterableData):
    """Batches of a ``PyDataset``."""

    def __init__(
        self, source: PyDataset, class_weight: dict[int, float] | None, shuffle: bool | str
    ) -> None:
        super().__init__(source, class_weight)  # type: ignore[arg-type]
        self.dataset, self.shuffle = source, shuffle

    def __len__(self) -> int:
        return self.dataset.num_batches

    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
        order: Sequence[int] = range(len(self))
        if self.shuffle:
            order = randperm(len(order)).tolist()
        for batch in self._made(order):
            yield as_batch(batch, self.class_weight)

    def _made(self, order: Sequence[int]) -> Iterator[Any]:
        """Batches by their numbers, made here or ahead by workers."""
        source = self.dataset
        if source.workers <= (0 if source.use_multiprocessing else 1):
            yield from (source[i] for i in order)
            return
        yield from DataLoader(
            source,
            batch_size=None,
            sampler=order,
            num_workers=source.workers,
            worker_type="process" if source.use_multiprocessing else "thread",
            prefetch_factor=max(source.max_queue_size // source.workers, 1),
            collate_fn=_as_it_is,
        )


class _OneShot(Iterator[Any]):
    """Batches of an iterator, which goes on where it stopped."""

    def __init__(self, source: Iterator[Any], class_weight: dict[int, float] | None) -> None:
        self.source, self.class_weight = source, class_weight

    def __iter__(self) -> _OneShot:
        return self

    def __next__(self) -> Any:
        return as_batch(next(self.source), self.class_weight)


def as_batch(batch: Any, class_weight: dict[int, float] | None = None) -> tuple[Any, Any, Any]:
    """A batch as (x, y, sample_weight) of tensors."""
    x, y, weight = unpack_x_y_sample_weight(batch)
    if class_weight is not None and y is not None:
        weight = class_weights(y, class_weight)
    return leaves_as_tensors(x), leaves_as_tensors(y), leaves_as_tensors(weight)


def leaves_as_tensors(value: Any) -> Any:
    """The structure with tensors in place of arrays and lists of numbers."""
    if value is None or is_tensor(value):
        return value
    if _is_array(value):
        return as_tensor(_as_array(value))
    if isinstance(value, dict):
        return {k: leaves_as_tensors(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [leaves_as_tensors(v) for v in value]
    return as_tensor(np.asarray(value))


# -- all of them ------------------------------------------------------------------------------


def batches_of(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    batch_size: int | None = None,
    steps: int | None = None,
    shuffle: bool | str = False,
    class_weight: dict[int, float] | None = None,
) -> Batches:
    """Whatever ``fit`` was given, as batches for one epoch after another.

    Raises:
        ArgumentError: arguments that do not go together.
    """
    if x is None:
        raise ArgumentError("fit, evaluate and predict need data: x is None.")
    if class_weight is not None:
        _checked_class_weight(y, class_weight, sample_weight)
    if are_arrays(x) and not (y is None and _is_list_of_batches(x)):
        if class_weight is not None and y is not None:
            sample_weight = class_weights(y, class_weight)
        return Batches(ArrayData(x, y, sample_weight, batch_size or 32, shuffle), steps)
    if y is not None or sample_weight is not None:
        raise ArgumentError(
            f"with x of type {type(x).__name__}, y and sample_weight must not be given.",
            fix="let each batch be a tuple (x, y) or (x, y, sample_weight)",
        )
    if batch_size is not None:
        warnings.warn(
            f"batch_size has no effect: {type(x).__name__} makes the batches.", stacklevel=4
        )
    if isinstance(x, PyDataset):
        return Batches(_IndexedData(x, class_weight, shuffle), steps)
    if isinstance(x, Iterator):
        return Batches(_OneShot(x, class_weight), steps)
    if not hasattr(x, "__iter__") and not hasattr(x, "__getitem__"):
        raise ArgumentError(
            f"x of type {type(x).__name__} is no data.",
            fix="an array, a tensor, a DataLoader, a PyDataset or an iterable of batches",
        )
    return Batches(IterableData(x, class_weight), steps)
