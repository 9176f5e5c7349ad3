"""Writing PyTorch's file format: a zip archive with a pickle of the structure and an entry a
storage.

Source: the archives that ``torch.save`` writes, and the documentation of
``torch.load(weights_only=True)``.
"""

from __future__ import annotations

import os
import zipfile
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from fovea.dtypes import DType
from fovea.errors import ArgumentError
from fovea.interop.atomic import atomic_write
from fovea.interop.pickle_write import write_pickle
from fovea.interop.stored_zip import write_entry
from fovea.interop.streams import bytes_of
from fovea.nn.module import Module
from fovea.storage import Storage
from fovea.tensorbase import is_tensor

__all__ = ["save"]

_FOLDER = "archive"


@dataclass
class _Place:
    """Where a tensor's elements lie: entry, its length, and the tensor's offset and strides in it,
    in elements."""

    key: str
    elements: int
    offset: int
    strides: tuple[int, ...]


class _Storages:
    """The entries of the file, in the order in which tensors were met.

    Tensors of one type over the same storage get the same entry, the whole storage, and share
    memory again after loading. A tensor that is alone on its storage takes with it only its own
    elements, in the order in which they lie in memory.
    """

    def __init__(self, obj: Any) -> None:
        self.tensors_on = Counter((id(t.storage), t.dtype) for t in _tensors(obj))
        self.entries: list[Any] = []
        self.shared: dict[tuple[int, DType], str] = {}
        self.placed: dict[int, _Place] = {}

    def place(self, tensor: Any) -> _Place:
        """The entry for a tensor, made when it is met first."""
        if id(tensor) not in self.placed:
            self.placed[id(tensor)] = self._find(tensor)
        return self.placed[id(tensor)]

    def _find(self, tensor: Any) -> _Place:
        storage, itemsize = tensor.storage, tensor.dtype.itemsize
        owner = (id(storage), tensor.dtype)
        if self.tensors_on[owner] > 1 and storage.nbytes % itemsize == 0:
            if owner not in self.shared:
                self.shared[owner] = self._add(storage)
            elements = storage.nbytes // itemsize
            return _Place(self.shared[owner], elements, tensor.offset, tensor.strides)
        if _is_dense(tensor):
            return _Place(self._add(tensor), tensor.numel(), 0, tensor.strides)
        array = np.ascontiguousarray(tensor._array())
        return _Place(self._add(array), tensor.numel(), 0, _row_major(tensor.shape))

    def _add(self, data: Any) -> str:
        self.entries.append(data)
        return str(len(self.entries) - 1)


def _tensors(obj: Any) -> Iterator[Any]:
    """All different tensors in a nesting, however deep or circular."""
    seen, waiting = set(), [obj]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        if is_tensor(item):
            seen.add(id(item))
            yield item
        elif isinstance(item, Mapping | list | tuple):
            seen.add(id(item))
            waiting += item.values() if isinstance(item, Mapping) else item
        elif isinstance(item, Namespace | Module):
            seen.add(id(item))
            waiting.append(vars(item))


def _is_dense(tensor: Any) -> bool:
    """Whether the elements lie without gaps or overlaps from the offset on, in any order."""
    expected = 1
    for stride, size in sorted(zip(tensor.strides, tensor.shape, strict=True)):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def _bytes_of(data: Any) -> memoryview:
    """The bytes of a storage, of a dense tensor in memory order, or of a contiguous array."""
    if isinstance(data, Storage):
        return bytes_of(data)
    if not isinstance(data, np.ndarray):
        data = data.storage.array((data.numel(),), (1,), data.offset, data.dtype.numpy)
    flat: np.ndarray[Any, np.dtype[np.uint8]] = data.reshape(-1).view(np.uint8)
    return flat.data


def save(obj: Any, f: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write ``obj`` in PyTorch's format to a path (atomically) or an open file.

    Raises:
        ArgumentError: a value that such a file cannot hold.
    """
    storages = _Storages(obj)
    pickled = write_pickle(obj, storages)
    if isinstance(f, str | os.PathLike):
        with atomic_write(f) as file:
            _write(file, pickled, storages)
    elif hasattr(f, "write"):
        _write(f, pickled, storages)
    else:
        raise ArgumentError(
            f"save: expected a path or an open binary file, got {type(f).__name__}."
        )


def _write(file: IO[bytes], pickled: bytes, storages: _Storages) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        write_entry(archive, file, f"{_FOLDER}/data.pkl", memoryview(pickled))
        write_entry(archive, file, f"{_FOLDER}/byteorder", memoryview(b"little"))
        for key, data in enumerate(storages.entries):
            write_entry(archive, file, f"{_FOLDER}/data/{key}", _bytes_of(data))
        write_entry(archive, file, f"{_FOLDER}/version", memoryview(b"3\n"))
