"""Blocks of memory: allocated once, recycled by size, shared by views.

A training step asks for the same sizes again and again. Fresh memory from the system costs a page fault every
4 KiB, more than many kernels cost, so freed blocks wait in free lists by size class.
"""

from __future__ import annotations

import os
from sys import getrefcount
from typing import Any

import numpy as np

__all__ = ["Storage", "empty_cache", "memory_allocated", "memory_reserved", "set_cache_limit"]

ALIGNMENT = 64

_free: dict[int, list[tuple[np.ndarray[Any, Any], int]]] = {}
_cached_bytes = 0
_live_bytes = 0
_cache_limit = int(os.environ.get("FOVEA_CACHE_LIMIT_MB", "4096")) << 20


def _size_class(nbytes: int) -> int:
    """Round up to 64 bytes, then to an eighth of the power of two below: at most 12.5% is wasted."""
    if nbytes <= 1024:
        return (nbytes + 63) & ~63 or 64
    step = 1 << (nbytes.bit_length() - 4)
    return (nbytes + step - 1) & -step


class Storage:
    """A block of bytes with an address, and the version counter that all views of it share.

    Args:
        nbytes: how many bytes.
        owner: a NumPy array whose memory is borrowed instead of allocated; ``address`` must lie in it.
        address: where the bytes start, with ``owner``.
    """

    __slots__ = ("__weakref__", "address", "capacity", "nbytes", "owner", "pooled", "version")

    def __init__(self, nbytes: int, owner: Any = None, address: int = 0) -> None:
        global _cached_bytes, _live_bytes
        self.nbytes = nbytes
        self.version = 0
        self.pooled = owner is None
        if owner is not None:
            self.owner, self.address, self.capacity = owner, address, nbytes
            return
        self.capacity = size = _size_class(nbytes)
        _live_bytes += size
        blocks = _free.get(size)
        if blocks:
            _cached_bytes -= size
            self.owner, self.address = blocks.pop()
        else:
            self.owner = raw = np.empty(size + ALIGNMENT, np.uint8)
            start: int = raw.__array_interface__["data"][0]
            self.address = (start + ALIGNMENT - 1) & -ALIGNMENT

    def __del__(self) -> None:
        global _cached_bytes, _live_bytes
        try:
            if not self.pooled:
                return
            size = self.capacity
            _live_bytes -= size
            # Two references: this object's and getrefcount's. More means that a NumPy array still looks at the bytes.
            if getrefcount(self.owner) == 2 and _cached_bytes + size <= _cache_limit:
                _cached_bytes += size
                _free.setdefault(size, []).append((self.owner, self.address))
        except (AttributeError, TypeError):  # the interpreter is shutting down, or __init__ failed
            return

    def array(
        self, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, dtype: np.dtype[Any]
    ) -> np.ndarray[Any, Any]:
        """A NumPy array over these bytes; ``strides`` and ``offset`` count elements."""
        item = dtype.itemsize
        byte_strides = tuple(s * item for s in strides)
        if self.pooled:
            start = self.address - self.owner.__array_interface__["data"][0] + offset * item
            return np.ndarray(shape, dtype, self.owner, start, byte_strides)
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


def memory_allocated() -> int:
    """Bytes that live tensors hold (recycled blocks not counted)."""
    return _live_bytes


def memory_reserved() -> int:
    """Bytes held from the system: by live tensors and in free lists."""
    return _live_bytes + _cached_bytes


def set_cache_limit(nbytes: int) -> None:
    """Set how many bytes of freed blocks may wait for reuse."""
    global _cache_limit
    _cache_limit = nbytes
    if _cached_bytes > nbytes:
        empty_cache()


def empty_cache() -> None:
    """Give all recycled blocks back to the system."""
    global _cached_bytes
    _free.clear()
    _cached_bytes = 0
