"""Blocks of memory: allocated once, recycled by size, shared by views.

A training step asks for the same sizes again and again. Fresh memory from the system costs a page
fault every 4 KiB, more than many kernels cost, so freed blocks wait on a shelf for their size
class. Once a new size is asked for, waiting blocks of other sizes are given back rather than that
the process grows.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from sys import getrefcount
from typing import Any

import numpy as np

from fovea import watching

__all__ = [
    "Shelf",
    "Storage",
    "empty_cache",
    "memory_allocated",
    "memory_reserved",
    "set_cache_limit",
    "shelf_of",
]

ALIGNMENT = 64
_SMALL = 1 << 16  # blocks up to this size are not counted against the limit
_LARGE = 1 << 20  # for blocks from this size on, others are given back

# A block: the array that holds its bytes (64 more than its class, for alignment) and the aligned
# address.
Block = tuple[np.ndarray[Any, Any], int]


class Shelf:
    """The free blocks of one size class.

    Attributes:
        size: bytes of each block.
        free: the blocks.
        made: how many blocks of this class exist, free or in use.
        put: takes a block back.
    """

    __slots__ = ("free", "made", "put", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.free: list[Block] = []
        self.made = 0
        self.put: Callable[[Block], None] = self.free.append
        self.choose()

    def choose(self) -> None:
        """Small blocks come back without further ado, unless the limit is low."""
        plain = self.size <= _SMALL and _limit >= 1 << 30
        self.put = self.free.append if plain else self._put_within_limit

    def _put_within_limit(self, block: Block) -> None:
        if _cached() + self.size <= _limit:
            self.free.append(block)
        else:
            self.made -= 1

    def make(self) -> Block:
        """A new block."""
        if self.size >= _LARGE:
            _make_room(self.size)
        self.made += 1
        raw = np.empty(self.size + ALIGNMENT, np.uint8)
        start: int = raw.__array_interface__["data"][0]
        return raw, (start + ALIGNMENT - 1) & -ALIGNMENT


_shelves: dict[int, Shelf] = {}
_limit = int(os.environ.get("FOVEA_CACHE_LIMIT_MB", "4096")) << 20
# glibc keeps what is freed between blocks in use, hundreds of megabytes after a large model's first
# step, until it is told not to.
_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def _size_class(nbytes: int) -> int:
    """Round up to 64 bytes, or to an eighth of the power of two below: 12.5% waste at most."""
    if nbytes <= 1024:
        return (nbytes + 63) & ~63 or 64
    step = 1 << (nbytes.bit_length() - 4)
    return (nbytes + step - 1) & -step


def shelf_of(nbytes: int) -> Shelf:
    """The shelf whose blocks hold ``nbytes``."""
    size = _size_class(nbytes)
    shelf = _shelves.get(size)
    if shelf is None:
        shelf = _shelves.setdefault(size, Shelf(size))
    return shelf


class Storage:
    """A block of bytes with an address, and the version counter that all views of it share.

    Args:
        nbytes: how many bytes.
        owner: a NumPy array whose memory is borrowed instead of allocated; ``address`` must lie in
            it.
        address: where the bytes start, with ``owner``.
    """

    __slots__ = ("__weakref__", "address", "block", "nbytes", "owner", "shelf", "version")

    owner: Any
    shelf: Shelf | None
    block: Any

    def __init__(self, nbytes: int, owner: Any = None, address: int = 0) -> None:
        self.nbytes = nbytes
        self.version = 0
        if watching.watcher is not None:
            watching.watcher.made(self)
        if owner is not None:
            self.shelf = self.block = None
            self.owner, self.address = owner, address
            return
        self.shelf = shelf = shelf_of(nbytes)
        try:
            self.block = block = shelf.free.pop()
        except IndexError:
            self.block = block = shelf.make()
        self.address = block[1]

    def __del__(self) -> None:
        try:
            shelf = self.shelf
            if shelf is None:
                return
            # Two references: the block's and getrefcount's. More means that a NumPy array still
            # looks at the bytes.
            if getrefcount(self.block[0]) == 2:
                shelf.put(self.block)
            else:
                shelf.made -= 1
        except (AttributeError, TypeError):  # the interpreter is shutting down, or __init__ failed
            return

    def array(
        self, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, dtype: np.dtype[Any]
    ) -> np.ndarray[Any, Any]:
        """A NumPy array over these bytes; ``strides`` and ``offset`` count elements."""
        if watching.watcher is not None:
            watching.watcher.read(self)
        item = dtype.itemsize
        byte_strides = tuple(s * item for s in strides)
        if self.shelf is not None:
            raw, address = self.block
            start = address - raw.__array_interface__["data"][0] + offset * item
            return np.ndarray(shape, dtype, raw, start, byte_strides)
        view = np.asarray(_Bytes(self)) if self.nbytes else np.empty(0, np.uint8)
        return np.ndarray(shape, dtype, view, offset * item, byte_strides)


class _Bytes:
    """Shows borrowed bytes to NumPy and keeps their owner alive."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        writable = getattr(getattr(storage.owner, "flags", None), "writeable", True)
        self.__array_interface__ = {
            "version": 3,
            "shape": (storage.nbytes,),
            "typestr": "|u1",
            "data": (storage.address, not writable),
        }


_most_reserved = 0


def _make_room(nbytes: int) -> None:
    """Before so many bytes are asked for: give back free blocks, the largest first, as far as more
    than ever would be held otherwise.
    """
    global _most_reserved
    held = memory_reserved() + nbytes
    for shelf in sorted(_shelves.values(), key=lambda s: -s.size):
        while held > _most_reserved and shelf.size >= _LARGE:
            try:
                shelf.free.pop()
            except IndexError:
                break
            shelf.made -= 1
            held -= shelf.size
    _most_reserved = max(_most_reserved, held)


def _cached() -> int:
    return sum(len(s.free) * s.size for s in tuple(_shelves.values()))


def memory_allocated() -> int:
    """Bytes that live tensors hold (recycled blocks not counted)."""
    return memory_reserved() - _cached()


def memory_reserved() -> int:
    """Bytes held from the system: by live tensors and in free blocks."""
    return sum(s.made * s.size for s in tuple(_shelves.values()))


def set_cache_limit(nbytes: int) -> None:
    """Set how many bytes of freed blocks may wait for reuse."""
    global _limit
    _limit = nbytes
    if _cached() > nbytes:
        empty_cache()
    for shelf in tuple(_shelves.values()):
        shelf.choose()


def empty_cache() -> None:
    """Give all recycled blocks back to the system."""
    for shelf in tuple(_shelves.values()):
        shelf.made -= len(shelf.free)
        shelf.free.clear()
    if _trim is not None:
        _trim(0)
