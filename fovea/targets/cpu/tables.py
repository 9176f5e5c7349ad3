"""Kernels over many tensors at once: a table of their addresses, and a list of the pieces to do.

A tensor whose elements are a run of memory, in whatever order, is cut into chunks; a kernel takes
chunk after chunk, so that one call serves tensors of all sizes.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from fovea.ops.memory import is_dense
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Value

CHUNK = 32768  # elements: some 20 us of work, and 128 KiB of each float32 tensor


def pointer(k: Kernel, word: Value, kind: Element, count: Any = 1) -> Buffer:
    """A buffer at an address that was loaded; ``count`` elements of it are meant to be used."""
    name = k.fresh("%p")
    k.emit(f"{name} = inttoptr {word.typed} to ptr")
    bounds = (word, word + k.index(count) * kind.bytes) if k.checked else None
    return Buffer(k, kind, name, "tensors", 0, bounds)


def chunks_of(sizes: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(tensor, start, length) of each piece."""
    rows = [
        (which, start, min(CHUNK, size - start))
        for which, size in enumerate(sizes)
        for start in range(0, size, CHUNK)
    ]
    return np.array(rows, np.int64).reshape(-1, 3)


def addresses(tensors: Sequence[Any]) -> array[int]:
    """The addresses of the tensors' first elements."""
    return array("q", [t.storage.address + t.offset * t.dtype.itemsize for t in tensors])


def is_run(t: Any) -> bool:
    """Whether a tensor's elements fill a run of memory."""
    return is_dense(tuple(t.shape), tuple(t.strides))
