"""What this machine can do at most: multiply-adds in registers, and bytes copied through memory.

Both are loops of fovea's kernel builder. Every other rate is a share of these.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import numpy as np

from fovea.targets.cpu import threads
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.compile import load
from fovea.targets.cpu.elements import f32

__all__ = ["Peak", "copy_bandwidth", "fma_rate", "measure"]

Peak = dict[int, tuple[float, float]]  # threads: (GFLOP/s, GB/s)

_CHAINS = 12  # two multiply-adds a cycle, each four or five cycles long
_PIECES = 64
_TURNS = 20_000
_COPIED = 1 << 28  # bytes: far more than caches hold
_COPY_PIECE = 1 << 16


def _fma_kernel() -> Kernel:
    """Each piece: ``turns`` times ``_CHAINS`` independent multiply-adds of whole vectors."""
    k = Kernel("fma_loop", (("x", f32), ("sink", f32)), ("pieces", "turns"))
    (x, sink), (pieces, turns) = k.buffers, k.sizes
    lanes = k.lanes(f32)
    with k.parallel(pieces) as piece:
        factor, term = (k.load_broadcast(x, i, lanes) for i in range(2))
        sums = [k.var(k.const(float(i), f32, lanes)) for i in range(_CHAINS)]
        with k.loop(0, turns, unroll=1):
            for total in sums:
                total.set(k.fma(total.get(), factor, term))
        result = sums[0].get()
        for total in sums[1:]:
            result = result + total.get()
        k.store(result, sink, piece * lanes)
    return k


def _copy_kernel() -> Kernel:
    """y = x, in pieces of ``run`` elements."""
    k = Kernel("copy_loop", (("x", f32), ("y", f32)), ("pieces", "run"))
    (x, y), (pieces, run) = k.buffers, k.sizes
    lanes = k.lanes(f32)
    with k.parallel(pieces) as piece:
        first = piece * run
        with k.loop(0, run, 4 * lanes) as i:
            values = [k.load(x, first + i + n * lanes, lanes) for n in range(4)]
            for n, value in enumerate(values):
                k.store(value, y, first + i + n * lanes)
    return k


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def _seconds(run: Callable[[], None], rounds: int) -> float:
    run()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)  # a ceiling: what disturbs does not count


def fma_rate(count: int, rounds: int = 7) -> float:
    """GFLOP/s of multiply-adds on float32 on ``count`` threads."""
    kernel = _fma_kernel()
    lanes = kernel.lanes(f32)
    x = np.array([0.999, 0.001], np.float32)
    sink = np.zeros(_PIECES * lanes, np.float32)
    words = struct.pack("4q", _address(x), _address(sink), _PIECES, _TURNS)
    address = load(kernel)
    seconds = _on(count, lambda: threads.run(address, words), rounds)
    assert np.isfinite(sink).all() and sink.all()
    return 2 * _CHAINS * lanes * _PIECES * _TURNS / seconds / 1e9


def copy_bandwidth(count: int, rounds: int = 7) -> float:
    """GB/s of a copy through memory on ``count`` threads, reading and writing counted."""
    n = _COPIED // 4
    x, y = np.ones(n, np.float32), np.zeros(n, np.float32)
    run = _COPY_PIECE // 4
    words = struct.pack("4q", _address(x), _address(y), n // run, run)
    address = load(_copy_kernel())
    seconds = _on(count, lambda: threads.run(address, words), rounds)
    assert y[0] == y[-1] == 1
    return 2 * _COPIED / seconds / 1e9


def _on(count: int, run: Callable[[], None], rounds: int) -> float:
    """Seconds of ``run`` with that many of fovea's threads."""
    before = threads.get_num_threads()
    threads.set_num_threads(count)
    try:
        return _seconds(run, rounds)
    finally:
        threads.set_num_threads(before)


def measure(counts: tuple[int, ...] = (1, 2), rounds: int = 7) -> Peak:
    """The machine's peaks for each number of threads."""
    return {n: (fma_rate(n, rounds), copy_bandwidth(n, rounds)) for n in counts}
