"""Memory of compiled programs: who lies where in one arena, and the arenas themselves.

`pack` gives each block of a program its place, so that blocks which are in use at the same time do
not overlap. Programs share arenas: each takes one for a run and hands it back, so a training and
an evaluation program that run in turn need the memory of the larger one.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.storage import Storage, empty_cache

__all__ = ["ALIGNMENT", "MemoryPlan", "giving_back", "keep_while", "pack", "take"]

ALIGNMENT = 64

Array = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class MemoryPlan:
    """Where blocks lie.

    Args:
        offsets: of each block.
        peak: bytes of the arena.
        lower_bound: bytes of the blocks in use at the busiest time: no plan can do with less.
        total: bytes of all blocks, which is what they would take side by side.
    """

    offsets: tuple[int, ...]
    peak: int
    lower_bound: int
    total: int

    def __str__(self) -> str:
        over = 100 * (self.peak - self.lower_bound) / max(self.lower_bound, 1)
        return (
            f"{len(self.offsets)} blocks of {_megabytes(self.total)} in "
            f"{_megabytes(self.peak)}, {over:.1f}% over the lower bound"
        )


def _megabytes(nbytes: int) -> str:
    return f"{nbytes / 2**20:.1f} MiB"


def pack(sizes: Sequence[int], first: Sequence[int], last: Sequence[int]) -> MemoryPlan:
    """Place blocks of these sizes, in use from time `first` to `last` (both included).

    Two orders are tried, large blocks first and long-lived large ones first; each block goes to the
    smallest gap among those placed before that are in use with it. The better result counts.

    >>> plan = pack([64, 128, 64], first=[0, 1, 2], last=[1, 2, 3])
    >>> plan.peak, plan.lower_bound
    (192, 192)
    """
    rounded = -(-np.maximum(np.asarray(sizes, np.int64), 1) // ALIGNMENT) * ALIGNMENT
    begin, end = np.asarray(first, np.int64), np.asarray(last, np.int64)
    bound = _busiest(rounded, begin, end)
    best: Array | None = None
    peak = 0
    for weight in (rounded, rounded * (end - begin + 1)):
        order = np.lexsort((begin, -weight))
        offsets = _place(rounded, begin, end, order)
        height = int((offsets + rounded).max(initial=0))
        if best is None or height < peak:
            best, peak = offsets, height
        if peak == bound:
            break
    assert best is not None
    return MemoryPlan(tuple(best.tolist()), peak, bound, int(rounded.sum()))


def _busiest(sizes: Array, begin: Array, end: Array) -> int:
    """The most bytes that are in use at one time."""
    if len(sizes) == 0:
        return 0
    change = np.zeros(int(end.max()) + 2, np.int64)
    np.add.at(change, begin, sizes)
    np.subtract.at(change, end + 1, sizes)
    return int(change.cumsum().max())


def _place(sizes: Array, begin: Array, end: Array, order: Array) -> Array:
    offsets = np.zeros(len(sizes), np.int64)
    placed = np.zeros(len(sizes), bool)
    for block in order.tolist():
        beside = np.flatnonzero(placed & (begin <= end[block]) & (end >= begin[block]))
        offsets[block] = _gap(offsets[beside], sizes[beside], int(sizes[block]))
        placed[block] = True
    return offsets


def _gap(offsets: Array, sizes: Array, size: int) -> int:
    """The start of the smallest gap that holds `size` bytes, else the end of all."""
    if len(offsets) == 0:
        return 0
    order = np.argsort(offsets, kind="stable")
    low = offsets[order]
    reach = np.maximum.accumulate(low + sizes[order])
    starts = np.concatenate(([0], reach[:-1]))
    room = low - starts
    fitting = np.flatnonzero(room >= size)
    if len(fitting) == 0:
        return int(reach[-1])
    return int(starts[fitting[np.argmin(room[fitting])]])


class Arena:
    """A block of memory that one program at a time uses."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.raw = np.empty(nbytes + ALIGNMENT, np.uint8)
        start: int = self.raw.__array_interface__["data"][0]
        self.address = -(-start // ALIGNMENT) * ALIGNMENT
        self.storage = Storage(nbytes, self.raw, self.address)


_LARGE = 1 << 20  # bytes of an arena that others should make room for
_free: list[Arena] = []
_programs = 0


def keep_while(program: Any) -> None:
    """Keep free arenas for as long as this program (or another) lives."""
    global _programs
    _programs += 1
    weakref.finalize(program, _release)


def _release() -> None:
    global _programs
    _programs -= 1
    if not _programs:
        _free.clear()


def take(nbytes: int) -> Arena:
    """An arena of at least so many bytes, for this thread alone until it is given back.

    Before a new one is made, the free blocks of eager calls are given back: those of the call that
    was captured would stay beside it.
    """
    try:
        arena = _free.pop()
    except IndexError:
        pass
    else:
        if arena.nbytes >= nbytes:
            return arena
        del arena
    if nbytes >= _LARGE:
        empty_cache()
    return Arena(nbytes)


giving_back = _free.append
