"""``fovea.utils.benchmark``: timing a statement, with the names of ``torch.utils.benchmark``."""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable, Sequence
from typing import Any

from fovea.errors import ArgumentError

__all__ = ["Compare", "Measurement", "Timer"]

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (0.0, "ns"))


def _written(seconds: float) -> str:
    scale, unit = next((s, u) for s, u in _UNITS if seconds >= s)
    return f"{seconds / (scale or 1e-9):.2f} {unit}"


class Measurement:
    """Times of a statement.

    Attributes:
        number_per_run: how often it ran each time.
        raw_times: seconds of each time.
        stmt, label, sub_label, description, num_threads: as the timer was told.
    """

    def __init__(self, number_per_run: int, raw_times: Sequence[float], timer: Timer) -> None:
        self.number_per_run, self.raw_times = number_per_run, list(raw_times)
        self.stmt, self.num_threads = timer.stmt, timer.num_threads
        self.label, self.sub_label = timer.label, timer.sub_label
        self.description = timer.description

    @property
    def times(self) -> list[float]:
        """Seconds of one run, from each time."""
        return [t / self.number_per_run for t in self.raw_times]

    @property
    def mean(self) -> float:
        """The mean of ``times``."""
        return statistics.fmean(self.times)

    @property
    def median(self) -> float:
        """The middle of ``times``."""
        return statistics.median(self.times)

    @property
    def iqr(self) -> float:
        """How far apart the quarters of ``times`` are."""
        if len(self.times) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.times, n=4, method="inclusive")
        return high - low

    @property
    def title(self) -> str:
        """What was timed, in words."""
        names = (self.label or self.stmt, self.sub_label)
        return ": ".join(name for name in names if name)

    def __repr__(self) -> str:
        count = len(self.raw_times)
        lines = [f"<Measurement>\n{self.title}"]
        if count > 1:
            lines.append(f"  Median: {_written(self.median)}\n  IQR:    {_written(self.iqr)}")
        else:
            lines.append(f"  {_written(self.median)}")
        several = "s" if count > 1 else ""
        threads = f"{self.num_threads} thread{'s' if self.num_threads > 1 else ''}"
        lines.append(f"  {count} measurement{several}, {self.number_per_run} runs, {threads}")
        return "\n".join(lines)


class Timer:
    """Times a statement, after a run that nobody counts, on as many threads as it is told.

    Args:
        stmt: the statement.
        setup: what runs once before it.
        global_setup: accepted.
        timer: gives the time in seconds.
        globals: what the statement can name.
        label, sub_label, description: words for what is timed.
        env, language: accepted; the language is Python.
        num_threads: threads that ops use meanwhile.

    >>> import fovea
    >>> timed = Timer("x.sum()", globals={"x": fovea.ones(3)}).timeit(4)
    >>> timed.number_per_run, timed.median > 0
    (4, True)
    """

    def __init__(
        self,
        stmt: str = "pass",
        setup: str = "pass",
        global_setup: str = "",
        timer: Callable[[], float] = timeit.default_timer,
        globals: dict[str, Any] | None = None,
        label: str | None = None,
        sub_label: str | None = None,
        description: str | None = None,
        env: str | None = None,
        num_threads: int = 1,
        language: Any = None,
    ) -> None:
        self.stmt, self.label, self.sub_label = stmt, label, sub_label
        self.description, self.num_threads = description, num_threads
        import fovea

        names = {"fovea": fovea, "torch": fovea, **(globals or {})}
        self._timer = timeit.Timer(stmt, setup, timer, names)

    def _times(self, number: int, enough: Callable[[list[float]], bool]) -> Measurement:
        from fovea.targets.cpu.threads import get_num_threads, set_num_threads

        before = get_num_threads()
        set_num_threads(self.num_threads)
        try:
            self._timer.timeit(min(number, 2))
            times: list[float] = []
            while not times or not enough(times):
                times.append(self._timer.timeit(number))
        finally:
            set_num_threads(before)
        return Measurement(number, times, self)

    def timeit(self, number: int = 1_000_000) -> Measurement:
        """One time of ``number`` runs."""
        if number < 1:
            raise ArgumentError(f"timeit: number must be at least 1, got {number}.")
        return self._times(number, lambda times: True)

    def blocked_autorange(self, callback: Any = None, min_run_time: float = 0.2) -> Measurement:
        """Times of as many runs as fill a hundredth of a second, until ``min_run_time`` is over."""
        self._timer.timeit(1)
        once = max(self._timer.timeit(1), 1e-9)
        number = max(1, int(min(0.01, min_run_time) / once))
        return self._times(number, lambda times: sum(times) >= min_run_time)

    def adaptive_autorange(
        self,
        threshold: float = 0.1,
        *,
        min_run_time: float = 0.01,
        max_run_time: float = 10.0,
        callback: Any = None,
    ) -> Measurement:
        """As ``blocked_autorange``, until times vary by less than ``threshold`` of their middle."""
        number = max(1, int(min_run_time / 5 / max(self._timer.timeit(1), 1e-9)))

        def enough(times: list[float]) -> bool:
            total, steady = sum(times), Measurement(number, times, self)
            settled = len(times) > 3 and steady.iqr < threshold * steady.median
            return total >= max_run_time or (total >= min_run_time and settled)

        return self._times(number, enough)


class Compare:
    """A table of measurements: a row for each ``sub_label``, a column for each ``description``.

    Args:
        results: the measurements.
    """

    def __init__(self, results: Sequence[Measurement]) -> None:
        self._results = list(results)

    def extend_results(self, results: Sequence[Measurement]) -> None:
        """Add more."""
        self._results.extend(results)

    def trim_significant_figures(self) -> None:
        """Accepted."""

    def colorize(self, rowwise: bool = False) -> None:
        """Accepted."""

    def __str__(self) -> str:
        columns = list(dict.fromkeys(r.description or "" for r in self._results))
        rows: dict[str, dict[str, str]] = {}
        for r in self._results:
            cells = rows.setdefault(r.sub_label or r.stmt, {})
            cells[r.description or ""] = _written(r.median)
        body = [[name, *(cells.get(k, "") for k in columns)] for name, cells in rows.items()]
        table = [["", *columns], *body]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join(
            "  ".join(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True)) for row in table
        )

    def print(self) -> None:
        """Print the table."""
        print(self)
