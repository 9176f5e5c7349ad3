"""The races over whole networks: training steps, inference, and the time to the first step."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import weights
from bench.cases import Case
from bench.flops import operations
from bench.peak import Peak
from bench.peers import Peer
from bench.race import Result, Timing, compete, limits
from bench.tables import Report
from bench.unsupported import Unsupported

__all__ = ["TITLES", "race_cases", "race_starts"]

TITLES = {"train": "Training steps", "infer": "Inference"}
_HEAD = (
    "case", "contestant", "ms", "times fovea", "GFLOP/s", "of the peak", "peak memory, MB",
    "difference",
)  # fmt: skip


def _request(case: Case, folder: Path) -> dict[str, Any]:
    """A case as workloads take it."""
    state, data = weights.save(folder, case)
    fields = case.as_dict()
    return {"kind": fields.pop("mode"), **fields, "weights": state, "data": data}


def race_cases(
    report: Report,
    mode: str,
    cases: Iterable[Case],
    peers: Sequence[Peer],
    timing: Timing,
    peak: Peak,
) -> None:
    """A table of cases of one mode; each contestant gets a new process for each case."""
    report.start(mode, f"{TITLES[mode]} (milliseconds, {timing.clock} clock)", _HEAD)
    notes: dict[str, list[str]] = {}
    for case in cases:
        racing = [peer.on(case.threads) for peer in peers]
        with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
            for peer in racing:
                stack.callback(peer.stop)
            folder = Path(name)
            request = _request(case, folder)
            results = compete(racing, request, timing, folder, limits(case.dtype))
        for result in results:
            _row(report, case, result, results, peak)
            if result.note:
                notes.setdefault(f"{result.contestant}: {result.note}", []).append(str(case))
    report.say(
        "Operations are those of convolutions in the direct form. Winograd's form does with fewer: "
        "its share of the peak may exceed 100%."
    )
    for note, where in notes.items():
        report.say(f"{note} ({'; '.join(where)})")


def _row(report: Report, case: Case, result: Result, results: Sequence[Result], peak: Peak) -> None:
    record = {**case.as_dict(), **asdict(result)}
    if result.seconds is None:
        report.content[case.mode].append(record)
        return
    ours = next((r.seconds for r in results if r.contestant == "fovea"), None)
    ratio = "" if ours is None or result.contestant == "fovea" else f"{result.seconds / ours:.2f}"
    rate = operations(case) / result.seconds / 1e9
    record |= {"gflops": rate}
    share = ""
    if case.threads in peak:
        record["share"] = rate / peak[case.threads][0]
        share = f"{record['share']:.0%}"
    cells = (
        str(case), result.contestant, f"{result.seconds * 1e3:.2f}", ratio, f"{rate:.0f}", share,
        f"{result.megabytes:.0f}", f"{result.difference:.1g}",
    )  # fmt: skip
    report.row(case.mode, record, cells)


# What a second start may find: fovea's kernels, PyTorch's compiled graphs.
_CACHES = {
    "fovea": "FOVEA_CACHE_DIR",
    "fovea.compile": "FOVEA_CACHE_DIR",
    "torch.compile": "TORCHINDUCTOR_CACHE_DIR",
}


def race_starts(
    report: Report, cases: Iterable[Case], peers: Sequence[Peer], timing: Timing
) -> None:
    """Seconds from the start of a process to the end of its first step."""
    head = ("case", "contestant", "first start, s", "second start, s", "peak memory, MB")
    report.start("startup", "From the start of a process to the end of its first step", head)
    for case in cases:
        with tempfile.TemporaryDirectory() as name:
            request = _request(case, Path(name))
            for peer in peers:
                _start_row(report, case, peer, request, timing.rounds)


def _start_row(
    report: Report, case: Case, peer: Peer, request: dict[str, Any], rounds: int
) -> None:
    record: dict[str, Any] = {**case.as_dict(), "contestant": peer.name}
    variable = _CACHES.get(peer.name)
    try:
        cold, warm, megabytes = [], [], 0.0
        for _ in range(rounds if variable else 1):
            with tempfile.TemporaryDirectory() as cache:
                environment = {variable: cache} if variable else {}
                cold.append(_start(peer.on(case.threads, **environment), request)[0])
                seconds, megabytes = _start(peer.on(case.threads, **environment), request)
                warm.append(seconds)
    except (Unsupported, RuntimeError) as error:
        report.content["startup"].append({**record, "note": str(error)})
        return
    record |= {"first": min(cold), "second": min(warm), "megabytes": megabytes}
    cells = (str(case), peer.name, f"{min(cold):.2f}", f"{min(warm):.2f}", f"{megabytes:.0f}")
    report.row("startup", record, cells)


def _start(peer: Peer, request: dict[str, Any]) -> tuple[float, float]:
    """Seconds to the first step, and megabytes."""
    start = time.time()
    try:
        answer = peer.ask("prepare", **request)
    finally:
        peer.stop()
    return answer["done"] - start, answer["megabytes"]
