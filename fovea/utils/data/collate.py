"""Samples to batches: ``default_collate`` stacks tensors, arrays and numbers inside any nest of
containers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.errors import ShapeError, describe
from fovea.functions.creation import as_tensor, from_numpy, tensor
from fovea.functions.parts import stack
from fovea.tensor import Tensor

__all__ = ["collate", "default_collate", "default_convert", "gather_rows"]

CollateMap = Mapping[Any, Callable[..., Any]]


def default_collate(batch: Sequence[Any]) -> Any:
    """Join a list of samples into a batch with a new first dimension.

    Tensors and NumPy arrays are stacked; numbers become a tensor (int64, float64, bool); strings
    and bytes stay a list; mappings, named tuples, tuples and lists are joined member by member (a
    plain tuple becomes a list, as in PyTorch).

    Raises:
        ShapeError: samples of different shapes or lengths.
        TypeError: a sample holds something else, such as a PIL image.

    >>> default_collate([{"x": 1, "name": "a"}, {"x": 2, "name": "b"}])
    {'x': tensor([1, 2]), 'name': ['a', 'b']}
    """
    return collate(batch)


def collate(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """``default_collate`` with more types: ``collate_fn_map`` maps a type (or a tuple of them) to
    its function.

    A function takes the list of samples and the keyword ``collate_fn_map``; a type met first in the
    map wins.

    >>> collate([1 + 2j, 3j], collate_fn_map={complex: lambda batch, collate_fn_map: sum(batch)})
    (1+5j)
    """
    first = batch[0]
    for types, function in (collate_fn_map or {}).items():
        if isinstance(first, types):
            return function(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Tensor):
        return _stack_tensors(batch)
    if isinstance(first, np.ndarray | np.generic) and not isinstance(first, str | bytes):
        return _stack_arrays(batch)
    if isinstance(first, bool | int | float):
        return _numbers(batch)
    if isinstance(first, str | bytes):
        return batch
    return _collate_container(batch, collate_fn_map)


def _collate_container(batch: Sequence[Any], fns: CollateMap | None) -> Any:
    first = batch[0]
    if isinstance(first, Mapping):
        joined = {key: collate([s[key] for s in batch], collate_fn_map=fns) for key in first}
        return _same_kind(first, joined)
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise ShapeError(
                "default_collate: samples have different lengths"
                f" ({sorted({len(s) for s in batch})}): each element in list of batch should be"
                " of equal size."
            )
        columns = [collate(list(c), collate_fn_map=fns) for c in zip(*batch, strict=True)]
        if isinstance(first, tuple):
            return type(first)(*columns) if hasattr(first, "_fields") else columns
        return _same_kind(first, columns)
    raise TypeError(_no_rule(first))


def _same_kind(model: Any, content: Any) -> Any:
    """``content`` as the type of ``model``, where that type can be built from it."""
    if type(model) is type(content):
        return content
    try:
        return type(model)(content)
    except TypeError:
        return content


def _no_rule(sample: Any) -> str:
    kind = f"{type(sample).__module__}.{type(sample).__qualname__}"
    text = (
        f"default_collate: a sample holds a {kind}; it joins tensors, arrays, numbers, strings,"
        " dicts and lists."
    )
    if kind.startswith("PIL."):
        return text + " Give the dataset a transform that ends in ToTensor()."
    return text + " Convert it in the dataset, or pass a collate_fn to DataLoader."


def _numbers(batch: Sequence[Any]) -> Tensor:
    return tensor(batch, dtype=dtypes.float64 if isinstance(batch[0], float) else None)


def _stack_arrays(batch: Sequence[Any]) -> Tensor:
    arrays = [np.asarray(sample) for sample in batch]
    if arrays[0].dtype.kind in "OSUV" and arrays[0].dtype.names is None:
        # bfloat16 is of kind "V" too, but is an element type of fovea's.
        try:
            as_tensor(arrays[0])
        except TypeError:
            raise TypeError(
                f"default_collate: an array of dtype {arrays[0].dtype} cannot become a tensor."
            ) from None
    _check_shapes(arrays)
    return from_numpy(_stack(arrays))


def _stack_tensors(batch: Sequence[Any]) -> Tensor:
    _check_shapes(batch)
    if any(t.requires_grad for t in batch) or any(t.dtype is not batch[0].dtype for t in batch):
        return stack(list(batch), 0)
    return from_numpy(_stack([t.numpy() for t in batch]))


def _stack(arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Stack equal shapes, keeping the samples' order in memory (images stay channels-last)."""
    order = _memory_order(arrays[0])
    back = tuple(int(i) for i in np.argsort(order))
    joined = np.stack([a.transpose(order) for a in arrays])
    return joined.transpose(0, *(i + 1 for i in back))


def _memory_order(array: np.ndarray[Any, Any]) -> tuple[int, ...]:
    """Dimensions from the widest stride to the narrowest."""
    return tuple(sorted(range(array.ndim), key=lambda i: (-abs(array.strides[i]), i)))


def gather_rows(values: Tensor, indices: Sequence[int]) -> Tensor:
    """``values[indices]`` as a fresh tensor, the order in memory of each row kept.

    >>> import fovea
    >>> gather_rows(fovea.arange(5) * 2, [3, 1]).tolist()
    [6, 2]
    """
    array = values.numpy()
    order = (0, *(i + 1 for i in _memory_order(array[0]))) if array.shape[0] else range(array.ndim)
    order = tuple(order)
    rows = array.transpose(order)[np.asarray(indices, np.int64)]
    return from_numpy(rows.transpose(np.argsort(order)))


def _check_shapes(batch: Sequence[Any]) -> None:
    first = batch[0]
    for i, sample in enumerate(batch):
        if sample.shape != first.shape:
            raise ShapeError(
                "default_collate: samples have different shapes and cannot be stacked.",
                {"sample 0": describe(first), f"sample {i}": describe(sample)},
                fix="bring them to one size (transforms.Resize, RandomResizedCrop ...) or pass a"
                " collate_fn",
            )


def default_convert(data: Any) -> Any:
    """NumPy arrays inside any nest of containers to tensors; everything else stays. Used with
    ``batch_size=None``.

    >>> import numpy as np
    >>> default_convert([np.zeros(2, np.int64), "a", 3])
    [tensor([0, 0]), 'a', 3]
    """
    if isinstance(data, np.ndarray | np.generic) and not isinstance(data, str | bytes):
        return data if np.asarray(data).dtype.kind in "OSU" else as_tensor(data)
    if isinstance(data, Mapping):
        return _same_kind(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(value) for value in data))
    if isinstance(data, tuple):
        return [default_convert(value) for value in data]
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _same_kind(data, [default_convert(value) for value in data])
    return data
