"""`KernelProgram`: a fixed sequence of kernel calls on buffers that are given later.

Planners return programs; whoever has Tensors runs them with addresses. Running is as cheap as
Python allows: everything but the addresses is packed beforehand.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fovea.targets.cpu import threads
from fovea.targets.cpu.builder import checking


@dataclass(frozen=True)
class KernelCall:
    """One kernel call of a program.

    Args:
        address: the compiled kernel.
        buffers: for each of the kernel's buffers, its number among the program's inputs, outputs
            and scratch.
        words: the sizes that follow the buffers, then the bits of the scalars (`double_bits`).
        parallel: whether all threads take part.
        packs: it makes its last buffer, scratch that no other call writes, from the others: where
            those stay the same, so does that.
    """

    address: int
    buffers: tuple[int, ...]
    words: tuple[int, ...] = ()
    parallel: bool = True
    packs: bool = False


def double_bits(value: float) -> int:
    """A scalar argument as the word that holds it.

    >>> hex(double_bits(1.0))
    '0x3ff0000000000000'
    """
    return int.from_bytes(struct.pack("<d", value), "little", signed=True)


class _Arena(threading.local):
    """Scratch memory of one Python thread, grown to the largest program it has run."""

    def __init__(self) -> None:
        self.size = 0
        self.start = 0
        self._memory: ctypes.Array[ctypes.c_char] | None = None

    def reserve(self, size: int) -> int:
        """The address of at least `size` bytes."""
        if size > self.size:
            self._memory = None
            self._memory = (ctypes.c_char * (size + 64))()
            self.start = -(-ctypes.addressof(self._memory) // 64) * 64
            self.size = size
        return self.start


_arena = _Arena()


class KernelProgram:
    """A sequence of kernel calls.

    Args:
        calls: in order; each may read what earlier ones wrote.
        external: how many inputs and outputs there are.
        scratch: the byte size of each scratch buffer, numbered after inputs and outputs.
        thread_scratch: bytes that each thread gets of one more scratch buffer, numbered last;
            thread `tid` uses those from `tid * thread_scratch` on.
    """

    def __init__(
        self,
        calls: Sequence[KernelCall],
        external: int,
        scratch: Sequence[int] = (),
        thread_scratch: int = 0,
    ) -> None:
        self.calls = tuple(calls)
        self.scratch = tuple(scratch)
        self.external = external
        self.thread_scratch = thread_scratch
        self._offsets: list[int] = []
        end = 0
        for size in self.scratch:
            self._offsets.append(end)
            end += -(-size // 64) * 64
        self._offsets.append(end)
        self._bytes = end
        self._checked = checking()
        self._plain = not self.scratch and not thread_scratch
        self._steps = [
            (
                c.address,
                struct.Struct(f"{len(c.buffers)}q").pack,
                c.buffers,
                struct.pack(f"{len(c.words)}q", *c.words),
                0 if c.parallel else 1,
            )
            for c in self.calls
        ]
        straight = tuple(range(external))
        self._single = len(calls) == 1 and self._plain and self.calls[0].buffers == straight

    def run(
        self, addresses: Sequence[int], ranges: Sequence[tuple[int, int]] | None = None
    ) -> None:
        """Run on the inputs and outputs at `addresses`.

        Args:
            addresses: of each input, then of each output.
            ranges: the byte range (first, one past last) of each; needed when kernels check bounds.

        Raises:
            KernelBoundsError: with bounds checks, where a kernel reaches outside a buffer.
        """
        if self._checked:
            self._run_checked(addresses, ranges)
            return
        if self._single:
            address, pack, _, words, count = self._steps[0]
            threads.run(address, pack(*addresses) + words, count)
            return
        where, all_threads = addresses, 0
        if not self._plain:
            all_threads = threads.get_num_threads()
            start = _arena.reserve(self._bytes + self.thread_scratch * all_threads)
            where = [*addresses, *[start + offset for offset in self._offsets]]
        for address, pack, buffers, words, count in self._steps:
            params = pack(*[where[b] for b in buffers]) + words
            threads.run(address, params, count or all_threads)

    @property
    def single(self) -> KernelCall | None:
        """The only call, if it takes inputs and outputs as they come."""
        return self.calls[0] if self._single and not self._checked else None

    def _run_checked(
        self, addresses: Sequence[int], ranges: Sequence[tuple[int, int]] | None
    ) -> None:
        from fovea.targets.cpu.checks import run_checked

        if ranges is None:
            raise ValueError("FOVEA_CPU_CHECK=1: KernelProgram.run needs the range of each buffer")
        all_threads = threads.get_num_threads()
        sizes = [*self.scratch, self.thread_scratch * all_threads]
        start = _arena.reserve(self._bytes + sizes[-1])
        own = [start + offset for offset in self._offsets]
        where = [*addresses, *own]
        limits = [*ranges, *((a, a + size) for a, size in zip(own, sizes, strict=True))]
        for address, pack, buffers, words, count in self._steps:
            params = pack(*[where[b] for b in buffers]) + words
            run_checked(address, params, [limits[b] for b in buffers], count or all_threads)

    def __repr__(self) -> str:
        return (
            f"<program of {len(self.calls)} kernel calls, {sum(self.scratch)} scratch bytes, "
            f"{self.thread_scratch} a thread>"
        )


class ThreadScratch(NamedTuple):
    """Scratch memory of each thread: its buffer's number, and the bytes between two threads'."""

    number: int
    stride: int


class Draft:
    """A program in the making, whose scratch is numbered as it is asked for.

    Args:
        external: how many inputs and outputs there are.
        calls: the first ones.
    """

    _THREADS = -1  # stands for the last buffer until their number is known

    def __init__(self, external: int, calls: Sequence[KernelCall] = ()) -> None:
        self.external = external
        self._calls = list(calls)
        self._scratch: list[int] = []
        self._thread_scratch = 0

    def scratch(self, nbytes: int) -> int:
        """The number of a new scratch buffer."""
        self._scratch.append(nbytes)
        return self.external + len(self._scratch) - 1

    def thread_scratch(self, nbytes: int) -> ThreadScratch:
        """Scratch of each thread for one call: thread `tid` has it from `tid * stride` on. Other
        calls get the same memory.
        """
        stride = -(-nbytes // 64) * 64
        self._thread_scratch = max(self._thread_scratch, stride)
        return ThreadScratch(self._THREADS, stride)

    def add(self, call: KernelCall) -> None:
        """Add a call."""
        self._calls.append(call)

    def program(self) -> KernelProgram:
        """The program of all calls."""
        last = self.external + len(self._scratch)
        calls = [
            replace(c, buffers=tuple(last if b == self._THREADS else b for b in c.buffers))
            for c in self._calls
        ]
        return KernelProgram(calls, self.external, self._scratch, self._thread_scratch)
