"""The parameters of all kernel calls of a program, in one array that compiled code walks through.

The array holds the rows of the list (see `run_list`), then the words of each call, tables of
addresses and flags, and last the addresses of the inputs and outputs of the present call with the
places where they go. The first row of the main part is a kernel that puts them there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import i64
from fovea.targets.cpu.run_list import ROW_WORDS
from fovea.targets.cpu.steps import Block, KernelStep, Place, PythonStep, Step

__all__ = ["Listing", "Segment"]

Segment = tuple[int, int] | PythonStep
Words = np.ndarray[Any, np.dtype[np.int64]]


def patch_kernel() -> Kernel:
    """words[place] = addresses[which] + offset, for each (place, which, offset)."""
    buffers = (("words", i64), ("patches", i64), ("addresses", i64))
    k = Kernel("patch", buffers, ("count",), may_alias=True)
    (words, patches, addresses), (count,) = k.buffers, k.sizes
    with k.loop(0, count, unroll=1) as i:
        place, which, offset = (k.load(patches, i * 3 + n) for n in range(3))
        k.store(k.load(addresses, which) + offset, words, place)
    return k


class Listing:
    """The array and where its addresses are.

    Args:
        steps: the steps of the program.
        prologue: how many of them are the prologue.
        slot: the number of an input's or output's block among the addresses of a call, None for
            other blocks.
        slots: how many there are.

    Attributes:
        words: the array.
        prologue, main: what is run: rows from one number to another, or a step of Python.
        calls: the step of each row (None for the patches).
        base: its address.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        prologue: int,
        slot: Callable[[Block], int | None],
        slots: int,
    ) -> None:
        self.calls: list[KernelStep | None] = []
        self.prologue = self._segments([], steps[:prologue])
        self._patch_row = len(self.calls)
        self.calls.append(None)
        self.main = self._segments([(self._patch_row, len(self.calls))], steps[prologue:])
        self._end = ROW_WORDS * len(self.calls)
        self._params = [self._reserve(_length(call)) for call in self.calls]
        self._regions = self._own_regions()
        places = list(self._places())
        patches = [(at, n, p.offset) for at, p in places if (n := slot(p.block)) is not None]
        self._sites = _by_kind([(at, p) for at, p in places if slot(p.block) is None])
        pack = struct.Struct(f"{slots}q").pack_into
        self._addresses = self._reserve(slots)
        self._patches = self._reserve(3 * len(patches))
        self.words: Words = np.zeros(self._end, np.int64)
        self.words[self._patches :] = np.array(patches, np.int64).reshape(-1)
        self.base = self.address(0)
        # `set_addresses(*those of the present call's inputs and outputs)`
        words = memoryview(self.words)  # type: ignore[arg-type]
        self.set_addresses: Callable[..., None] = partial(pack, words, 8 * self._addresses)
        self._fill(len(patches))

    def _segments(self, segments: list[Segment], steps: Sequence[Step]) -> list[Segment]:
        """Runs of kernel steps, which become rows, and steps of Python between them."""
        for step in steps:
            if isinstance(step, PythonStep):
                segments.append(step)
                continue
            row = len(self.calls)
            self.calls.append(step)
            if segments and isinstance(segments[-1], tuple):
                segments[-1] = (segments[-1][0], row + 1)
            else:
                segments.append((row, row + 1))
        return segments

    def _reserve(self, count: int) -> int:
        """The index of so many words more."""
        at, self._end = self._end, self._end + count
        return at

    def _own_regions(self) -> dict[Block, int]:
        """The indices of blocks that are part of the array."""
        regions: dict[Block, int] = {}
        for call in self.calls:
            for place in call.buffers if call is not None else ():
                if place.block.kind == "words" and place.block not in regions:
                    regions[place.block] = self._reserve(place.block.nbytes // 8)
        return regions

    def _places(self) -> Iterator[tuple[int, Place]]:
        """The words that are addresses, and of what."""
        for at, call in zip(self._params, self.calls, strict=True):
            for n, place in enumerate(call.buffers if call is not None else ()):
                yield at + n, place
        for block, at in self._regions.items():
            for n, place in enumerate(block.contents):
                yield at + n, place

    def _fill(self, patches: int) -> None:
        for number, (call, at) in enumerate(zip(self.calls, self._params, strict=True)):
            row = slice(number * ROW_WORDS, (number + 1) * ROW_WORDS)
            if call is None:
                where = (0, self._patches, self._addresses)
                self.words[at : at + 4] = (*(self.address(w) for w in where), patches)
                kernel = load_cached("list/patch", patch_kernel)
                self.words[row] = (kernel, self.address(at), 1, 0)
                continue
            first = at + len(call.buffers)
            self.words[first : first + len(call.words)] = call.words
            flag = 0 if call.flag is None else self.region(call.flag)
            self.words[row] = (call.address, self.address(at), 0 if call.parallel else 1, flag)

    def address(self, index: int) -> int:
        """The address of a word."""
        return int(self.words.ctypes.data) + 8 * index

    def region(self, block: Block) -> int:
        """The address of a block that is part of the array."""
        return self.address(self._regions[block])

    # -- writing ----------------------------------------------------------------------------------

    def write(self, kind: str, address: Callable[[Block], int]) -> None:
        """Write the addresses of all blocks of a kind that stays the same from call to call."""
        if kind in self._sites:
            at, offsets, blocks = self._sites[kind]
            self.words[at] = offsets + [address(block) for block in blocks]

    def clear(self, flag: Block) -> None:
        """Take a flag back."""
        self.words[self._regions[flag]] = 0

    # -- row by row, for kernels that check bounds ------------------------------------------------

    def patch(self) -> None:
        """What the row of patches does."""
        places, which, offsets = self.words[self._patches :].reshape(-1, 3).T
        self.words[places] = self.words[self._addresses + which] + offsets

    def parameters(self, row: int) -> bytes:
        """The parameters of a row's kernel."""
        at = self._params[row]
        return self.words[at : at + _length(self.calls[row])].tobytes()

    def flag(self, flag: Block) -> bool:
        """Whether a flag is set."""
        return bool(self.words[self._regions[flag]])


def _by_kind(sites: Sequence[tuple[int, Place]]) -> dict[str, tuple[Words, Words, list[Block]]]:
    """For each kind of block the words with addresses of such, the offsets, and the blocks."""
    kinds: dict[str, list[tuple[int, Place]]] = {}
    for at, place in sites:
        kinds.setdefault(place.block.kind, []).append((at, place))
    return {
        kind: (
            np.array([at for at, _ in found], np.int64),
            np.array([p.offset for _, p in found], np.int64),
            [p.block for _, p in found],
        )
        for kind, found in kinds.items()
    }


def _length(call: KernelStep | None) -> int:
    """How many words a call's parameters are."""
    return 4 if call is None else len(call.buffers) + len(call.words)
