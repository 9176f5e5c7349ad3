"""Copies into another layout beside PyTorch's ``.contiguous()``: ``python -m bench copies``.

Both libraries run in this process, by turns, on as many threads as asked for. On one thread a time
is the shortest of a few by processor time, on more by the clock. Results are compared first, and a
plain copy of as many bytes (``clone``) shows what the memory allows.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.tables import Report

__all__ = ["time_copies"]

TO_LAST, TO_FIRST, TURNED = (0, 2, 3, 1), (0, 3, 1, 2), (1, 0)
CASES = [
    (dtype, shape, order)
    for dtype in ("float32", "float16", "uint8")
    for shape, order in (
        ((16, 64, 56, 56), TO_LAST),
        ((16, 56, 56, 64), TO_FIRST),
        ((16, 64, 112, 112), TO_LAST),
        ((16, 112, 112, 64), TO_FIRST),
        ((16, 3, 224, 224), TO_LAST),
        ((16, 224, 224, 3), TO_FIRST),
        ((16, 512, 7, 7), TO_LAST),
        ((16, 7, 7, 512), TO_FIRST),
        ((4, 7, 7, 2048), TO_FIRST),
        ((2, 37, 57, 61), TO_LAST),
        ((2048, 2048), TURNED),
        ((1000, 1000), TURNED),
        ((3000, 4001), TURNED),
    )
] + [("float64", (2048, 1024), TURNED), ("int64", (1000, 1000), TURNED)]
SECONDS, REPETITIONS = 0.02, 7
Call = Callable[[], Any]


def _shortest(calls: Sequence[Call], clock: Callable[[], float]) -> list[float]:
    start = time.perf_counter()
    for call in calls:
        call()
    spent = (time.perf_counter() - start) / len(calls)
    count = max(1, min(500, int(SECONDS / max(spent, 1e-6))))
    best = [float("inf")] * len(calls)
    for _ in range(REPETITIONS):
        for i, call in enumerate(calls):
            start = clock()
            for _ in range(count):
                call()
            best[i] = min(best[i], (clock() - start) / count)
    return best


def _rates(case: tuple[str, tuple[int, ...], tuple[int, ...]], threads: int) -> list[float]:
    """GB/s, read and written: fovea, PyTorch, a plain copy."""
    dtype, shape, order = case
    values = (np.random.default_rng(0).standard_normal(shape) * 100).astype(dtype)
    calls: list[Call] = []
    for name in ("fovea", "torch"):
        lib = importlib.import_module(name)
        lib.set_num_threads(threads)
        calls.append(lib.from_numpy(values).permute(order).contiguous)
        if not np.array_equal(calls[-1]().numpy(), values.transpose(order)):
            raise RuntimeError(f"{name}: a wrong copy of {dtype} {shape}.")
    calls.append(importlib.import_module("fovea").from_numpy(values).clone)
    clock = time.process_time if threads == 1 else time.perf_counter
    return [2e-9 * values.nbytes / seconds for seconds in _shortest(calls, clock)]


def time_copies(report: Report, threads: Sequence[int]) -> None:
    """The table of all cases."""
    for count in threads:
        head = ("copy", "fovea", "PyTorch", "times", "plain copy")
        title = f"Copies into another layout, {count} threads (GB/s read and written)"
        report.start("copies", title, head)
        for case in CASES:
            ours, theirs, plain = _rates(case, count)
            name = f"{case[0]} {case[1]}, permuted {case[2]}"
            record = {"copy": name, "threads": count, "fovea": ours, "PyTorch": theirs}
            cells = (f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.2f}", f"{plain:.1f}")
            report.row("copies", record, (name, *cells))
