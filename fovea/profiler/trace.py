"""Events as a trace for Chrome (chrome://tracing, Perfetto, TensorBoard)."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fovea.profiler.recorder import Event

__all__ = ["chrome_trace", "write_stacks", "write_trace"]

_CATEGORIES = {
    "op": "cpu_op", "module": "python_function", "user": "user_annotation", "program": "program",
    "kernel": "kernel",
}  # fmt: skip


def chrome_trace(events: Sequence[Event], metadata: dict[str, Any]) -> dict[str, Any]:
    """The trace as plain data."""
    process = os.getpid()
    start = min((e.begin for e in events), default=0)
    found = [_event(e, process, start) for e in events]
    for thread in sorted({e.thread for e in events}):
        name = "main" if thread == process else f"thread {thread}"
        found.append(
            {"ph": "M", "name": "thread_name", "pid": process, "tid": thread,
             "args": {"name": name}}
        )  # fmt: skip
    return {"schemaVersion": 1, "displayTimeUnit": "ms", "traceEvents": found, **metadata}


def _event(e: Event, process: int, start: int) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if e.module:
        details["module"] = e.module + (" backward" if e.backward else "")
    if e.shapes:
        details["Input Dims"] = [list(s) for s in e.shapes]
    if e.flops:
        details["flops"] = e.flops
    if e.bytes:
        details["bytes"] = e.bytes
    if e.stack:
        details["Call stack"] = ";".join(e.stack)
    name = f"{e.name} {e.module}".rstrip() if e.kind == "module" else e.name
    return {
        "ph": "X",
        "cat": _CATEGORIES[e.kind],
        "name": name,
        "pid": process,
        "tid": e.thread,
        "ts": (e.begin - start) / 1e3,
        "dur": e.ns / 1e3,
        "args": details,
    }


def write_trace(path: Any, trace: dict[str, Any]) -> None:
    """Write a trace as JSON; compressed if the name ends in ``.gz``."""
    target = Path(os.fspath(path))
    text = json.dumps(trace).encode("utf-8")
    target.write_bytes(gzip.compress(text) if target.suffix == ".gz" else text)


def write_stacks(path: Any, events: Sequence[Event]) -> None:
    """Write stacks and their own times in microseconds, as flame graphs take them."""
    totals: dict[str, int] = {}
    for e in events:
        if e.stack and e.self_ns > 0:
            stack = ";".join([*reversed(e.stack), e.name])
            totals[stack] = totals.get(stack, 0) + e.self_ns
    lines = [f"{stack} {ns // 1000}\n" for stack, ns in totals.items() if ns >= 1000]
    Path(os.fspath(path)).write_text("".join(lines), encoding="utf-8")
