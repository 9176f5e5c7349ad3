"""Where the time of a program goes: a time for each kernel call, as a table or a trace."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from fovea.graph.counting import bytes_of, flops_of
from fovea.graph.graph import Node
from fovea.targets.cpu.compile import describe
from fovea.targets.cpu.listing import Segment
from fovea.targets.cpu.steps import KernelStep, PythonStep

__all__ = ["Clock", "Profile", "Timing"]


@dataclass(frozen=True)
class Timing:
    """One call of a kernel, or of a plan that only Python can run.

    Args:
        node: the node that it is part of; None for copies into outputs and states.
        kernel: its name.
        begin: seconds from the beginning of the run.
        seconds: how long it took.
        parallel: whether all threads took part.
    """

    node: Node | None
    kernel: str
    begin: float
    seconds: float
    parallel: bool = False

    @property
    def op(self) -> str:
        """The name of the op."""
        return "copy" if self.node is None else self.node.op.name

    @property
    def flops(self) -> int:
        """As of `flops_of`, for the node."""
        return 0 if self.node is None else flops_of(self.node)

    @property
    def where(self) -> str:
        """The module and the line that ran the op."""
        return "" if self.node is None else str(self.node.source)


class Clock:
    """Times of one run: of rows of the list, and of what Python runs in between.

    Args:
        rows: how many rows the list has.
    """

    def __init__(self, rows: int) -> None:
        self._rows = np.zeros((rows, 2), np.int64)
        self.address: int = self._rows.ctypes.data
        self._steps: dict[Any, tuple[int, int]] = {}
        self.start = 0  # of the first, in nanoseconds on the monotonic clock

    @contextmanager
    def around(self, step: PythonStep | int) -> Iterator[None]:
        """Time what is run inside: a step of Python, or a row that Python runs."""
        begin = time.monotonic_ns()
        yield
        self._steps[step] = (begin, time.monotonic_ns())

    def timings(
        self, segments: Sequence[Segment], calls: Sequence[KernelStep | None]
    ) -> list[Timing]:
        """What was timed, in order."""
        found: list[tuple[Node | None, str, bool, tuple[int, int]]] = []
        for segment in segments:
            if isinstance(segment, PythonStep):
                found.append((segment.node, "python", False, self._steps[segment]))
                continue
            for row in range(*segment):
                call = calls[row]
                if call is not None:
                    began, ended = self._steps.get(row) or map(int, self._rows[row])
                    name = describe(call.address)[0]
                    found.append((call.node, name, call.parallel, (began, ended)))
        start = self.start = min((when[0] for *_, when in found), default=0)
        return [
            Timing(node, name, (began - start) * 1e-9, (ended - began) * 1e-9, parallel)
            for node, name, parallel, (began, ended) in found
        ]


class Profile:
    """Times of a few runs of a program.

    Args:
        runs: for each run the timings, in order; the same calls in each.
        threads: how many threads there were.

    Attributes:
        timings: of the last run.
    """

    def __init__(self, runs: Sequence[Sequence[Timing]], threads: int) -> None:
        self.timings = list(runs[-1])
        self.threads = threads
        self._medians = [median(t.seconds for t in calls) for calls in zip(*runs, strict=True)]
        self.seconds = sum(self._medians)

    def rows(self, by: str = "node") -> list[dict[str, Any]]:
        """Times summed up, the longest first.

        Args:
            by: ``"node"``, ``"op"``, ``"kernel"`` or ``"module"``.

        Returns:
            For each its ``name``, ``where``, ``calls``, ``seconds`` (the median of all runs),
            ``gflops`` and ``gbytes`` (a second; 0 where unknown).

        Raises:
            ValueError: ``by`` is none of these.
        """
        key = _KEYS.get(by)
        if key is None:
            raise ValueError(f"by: one of {', '.join(_KEYS)}, got {by!r}.")
        groups: dict[Any, list[int]] = {}
        for n, t in enumerate(self.timings):
            groups.setdefault(key(t), []).append(n)
        rows = [self._row(by, members) for members in groups.values()]
        return sorted(rows, key=lambda row: -row["seconds"])

    def _row(self, by: str, members: Sequence[int]) -> dict[str, Any]:
        timings = [self.timings[n] for n in members]
        seconds = sum(self._medians[n] for n in members)
        nodes = [n for n in dict.fromkeys(t.node for t in timings) if n is not None]
        whole = by != "kernel"  # a kernel is only part of what its node does
        rate = 1e-9 / seconds if seconds and whole else 0.0
        first = timings[0]
        names = {"kernel": first.kernel, "module": first.node.source.module if first.node else ""}
        return {
            "name": names.get(by, first.op),
            "where": first.where if by == "node" else "",
            "calls": len(members),
            "seconds": seconds,
            "gflops": rate * sum(flops_of(n) for n in nodes),
            "gbytes": rate * sum(bytes_of(n) for n in nodes),
        }

    def table(self, by: str = "node", limit: int = 30) -> str:
        """The rows as text; see `rows`."""
        found = self.rows(by)
        lines = [f"{'ms':>9} {'%':>5} {'calls':>5} {'GFLOP/s':>8} {'GB/s':>6}  what"]
        for row in found[:limit]:
            share = 100 * row["seconds"] / self.seconds if self.seconds else 0.0
            what = f"{row['name']}  {row['where']}".rstrip()
            rates = f"{_rate(row['gflops']):>8} {_rate(row['gbytes']):>6}"
            head = f"{1e3 * row['seconds']:9.3f} {share:5.1f} {row['calls']:5d}"
            lines.append(f"{head} {rates}  {what}")
        rest = found[limit:]
        if rest:
            lines.append(f"{1e3 * sum(r['seconds'] for r in rest):9.3f}  {len(rest)} more")
        lines.append(f"{1e3 * self.seconds:9.3f}  in all, {self.threads} threads")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()

    def chrome_trace(self) -> dict[str, Any]:
        """The last run in the format of Chrome's tracing (chrome://tracing, Perfetto)."""
        return {"traceEvents": [_event(t) for t in self.timings], "displayTimeUnit": "ms"}

    def save(self, path: str | Path) -> None:
        """Write the trace as JSON."""
        Path(path).write_text(json.dumps(self.chrome_trace()), encoding="utf-8")


_KEYS: dict[str, Callable[[Timing], Any]] = {
    "node": lambda t: t.node,
    "op": lambda t: t.op,
    "kernel": lambda t: t.kernel,
    "module": lambda t: t.node.source.module if t.node is not None else "",
}


def _rate(value: float) -> str:
    return f"{value:.1f}" if value else ""


def _event(t: Timing) -> dict[str, Any]:
    details: dict[str, Any] = {"kernel": t.kernel, "threads": "all" if t.parallel else "one"}
    if t.node is not None:
        details["shapes"] = _shapes(t.node.operands()) + " -> " + _shapes(t.node.outputs)
        details["where"] = t.where
    return {
        "name": t.op,
        "cat": t.node.source.module if t.node is not None else "",
        "ph": "X",
        "ts": 1e6 * t.begin,
        "dur": 1e6 * t.seconds,
        "pid": 0,
        "tid": 0,
        "args": details,
    }


def _shapes(values: Iterable[Any]) -> str:
    return ", ".join(f"{v.dtype.name}{list(v.shape)}" for v in values)
