"""Tensors as a graph's values want them: of their shape, dtype and strides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.dtypes import DType
from fovea.errors import GraphError
from fovea.graph.graph import Constant, Value, same_spec
from fovea.graph.printer import format_type
from fovea.ops.op import numel
from fovea.size import Size
from fovea.storage import Storage
from fovea.targets.base import make_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "allocated",
    "constant_tensor",
    "copied",
    "elements_of",
    "extent",
    "laid_out",
    "memory_of",
]


def extent(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """How many elements of memory a tensor reaches over.

    >>> extent((2, 3), (4, 1)), extent((2, 3), (0, 1)), extent((0, 3), (3, 1))
    (7, 3, 0)
    """
    if 0 in shape:
        return 0
    return 1 + sum((n - 1) * abs(s) for n, s in zip(shape, strides, strict=True))


def allocated(value: Value, storage: Storage | None = None) -> Tensor:
    """A tensor like a value, over just the memory that it reaches over: new, or given."""
    spec, strides = value.spec, value.strides
    elements = extent(spec.shape, strides)
    backwards = [(n, s) for n, s in zip(spec.shape, strides, strict=True) if s < 0]
    first = sum((n - 1) * -s for n, s in backwards) if elements else 0
    if storage is None:
        storage = Storage(elements * spec.dtype.itemsize)
    return make_tensor(storage, Size(spec.shape), strides, first, spec.dtype)


def copied(tensor: Tensor, value: Value) -> Tensor:
    """A copy with a value's strides.

    Raises:
        GraphError: with these strides elements would share memory.
    """
    shares = extent(value.shape, value.strides) < numel(value.shape)
    if shares and not same_spec(tensor, value):  # type: ignore[arg-type]
        raise GraphError(
            f"a tensor with strides {tensor.strides} cannot take the place of "
            f"{format_type(value)}, whose elements share memory."
        )
    copy = allocated(value)
    copy._array()[...] = tensor.detach()._array()
    return copy


def laid_out(tensor: Tensor, value: Value) -> Tensor:
    """The tensor, or where its strides are others than the value's, a copy with those."""
    return tensor if same_spec(tensor, value) else copied(tensor, value)  # type: ignore[arg-type]


def memory_of(tensor: Tensor) -> np.ndarray[Any, Any]:
    """The elements that a tensor from ``allocated`` reaches over, as they lie in memory."""
    return elements_of(tensor.storage, tensor.dtype)


def elements_of(storage: Storage, dtype: DType) -> np.ndarray[Any, Any]:
    """A storage as a row of elements."""
    return storage.array((storage.nbytes // dtype.itemsize,), (1,), 0, dtype.numpy)


def constant_tensor(constant: Constant) -> Tensor:
    """A new tensor that holds a constant's elements."""
    tensor = allocated(constant.value)
    memory_of(tensor)[...] = constant.array.reshape(-1)
    return tensor
