"""A peer's process: reads cases as JSON lines, answers with the median seconds of each."""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["median_seconds"]


def median_seconds(run: Callable[[], Any], budget: float, least: int = 3) -> float:
    """The median time of a call, over those that fit ``budget`` seconds (at least ``least``)."""
    run()
    times = []
    end = time.perf_counter() + budget
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Serve cases until standard input ends. Prints of the frameworks go to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    workload, module = sys.argv[1:]
    cases = importlib.import_module(f"bench.workloads.{workload}").Workload(module)
    ready: dict[str, Callable[[], Any]] = {}
    for line in sys.stdin:
        case = json.loads(line)
        budget = case.pop("budget")
        key = json.dumps(case, sort_keys=True)
        try:
            if key not in ready:
                ready.clear()
                ready[key] = cases.prepare(**case)
            answer: dict[str, Any] = {"seconds": median_seconds(ready[key], budget)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
