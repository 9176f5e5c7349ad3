"""A contestant's process: reads requests as JSON lines, answers each with one.

``{"do": "prepare", ...}`` makes a case ready, and writes what it computed to the file ``results``;
``{"do": "time", "budget": s}`` answers with the median seconds of a unit; both say how much memory
the process has needed so far.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.unsupported import Unsupported

__all__ = ["CLOCKS", "median_seconds", "peak_megabytes"]


CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def median_seconds(run: Callable[[], Any], budget: float, clock: str = "wall") -> float:
    """The median time of a call, over those that fit ``budget`` seconds (at least one).

    Args:
        clock: ``wall``, or ``processor``: of all threads of this process, where others disturb.
    """
    times: list[float] = []
    now, end = CLOCKS[clock], time.perf_counter() + budget
    while not times or time.perf_counter() < end:
        start = now()
        run()
        times.append(now() - start)
    return statistics.median(times)


def peak_megabytes() -> float:
    """The most memory that was resident in this process."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss starts with that of the parent
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _limit_cores(threads: int) -> None:
    """Stay on that many cores, whatever a framework's threads think."""
    if threads and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


class _Worker:
    def __init__(self, workload: str, module: str, options: dict[str, Any]) -> None:
        self._what = workload, module, options
        self._cases: Any = None
        self._task: Any = None

    def answer(self, do: str, **request: Any) -> dict[str, Any]:
        """What a request is answered with."""
        return getattr(self, f"_{do}")(**request)

    def _prepare(self, results: str | None = None, **case: Any) -> dict[str, Any]:
        self._task = None
        if self._cases is None:
            workload, module, options = self._what
            made = importlib.import_module(f"bench.workloads.{workload}")
            self._cases = made.Workload(module, **options)
        self._task = self._cases.prepare(**case)
        if results is not None:
            from bench.workloads import save_arrays

            save_arrays(results, self._task.results)
        return {"done": self._task.done}

    def _time(self, budget: float, clock: str = "wall") -> dict[str, Any]:
        return {"seconds": median_seconds(self._task.run, budget, clock)}


def main() -> None:
    """Serve requests until standard input ends. What frameworks print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    workload, module, options = sys.argv[1:]
    chosen = json.loads(options)
    _limit_cores(chosen.get("threads", 0))
    worker = _Worker(workload, module, chosen)
    for line in sys.stdin:
        try:
            answer = worker.answer(**json.loads(line))
        except Unsupported as reason:
            answer = {"unsupported": str(reason)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({**answer, "megabytes": peak_megabytes()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
