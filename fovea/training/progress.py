"""The progress bar of ``fit``, laid out as Keras 3 prints it."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

__all__ = ["Progbar", "print_message"]

_BOLD, _GREEN, _WHITE, _PLAIN = "\x1b[1m", "\x1b[32m", "\x1b[37m", "\x1b[0m"


def print_message(text: str, end: str = "\n") -> None:
    """Print and flush; characters that the terminal's encoding lacks are replaced."""
    out = sys.stdout
    encoding = getattr(out, "encoding", None) or "utf-8"
    out.write((text + end).encode(encoding, "replace").decode(encoding, "replace"))
    out.flush()


def _is_live(out: TextIO) -> bool:
    """Whether a line can be drawn over: a terminal or a notebook."""
    isatty = getattr(out, "isatty", None)
    return bool(isatty and isatty()) or "ipykernel" in sys.modules or "PYCHARM_HOSTED" in os.environ


def _takes(out: TextIO, text: str) -> bool:
    try:
        text.encode(getattr(out, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


class Progbar:
    """One line that counts steps and shows metrics.

    On a terminal the line is redrawn at most every ``interval`` seconds, in Keras's colors;
    elsewhere (a pipe, a log file) only the finished line is written, without control characters.

    Args:
        target: how many steps there will be; None if nobody knows.
        width: characters of the bar.
        verbose: 0 prints nothing, 1 a bar, 2 one line when finished.
        interval: seconds between two drawings.
        stateful_metrics: names to show as given; others are averaged over the steps.
        stateless_metrics: names to average; all others are shown as given.
        unit_name: what is counted.

    >>> bar = Progbar(2, verbose=2)
    >>> bar.update(2, [("loss", 0.5)])  # doctest: +ELLIPSIS
    2/2 - 0s - .../step - loss: 0.5000
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError("Progbar: give stateful_metrics or stateless_metrics, not both.")
        self.target, self.width, self.verbose = target, width, verbose
        self.interval, self.unit_name = interval, unit_name
        self.stateful = None if stateful_metrics is None else set(stateful_metrics)
        self.stateless = None if stateless_metrics is None else set(stateless_metrics)
        out = sys.stdout
        self._live = _is_live(out)
        self._colors = self._live and "NO_COLOR" not in os.environ
        self._fill = "━" if _takes(out, "━") else "="
        self._values: dict[str, list[float]] = {}
        self._seen = 0
        self._start = time.time()
        self._first_step_at: float | None = None
        self._drawn_at = 0.0
        self._drawn_width = 0

    def due(self) -> bool:
        """Whether the next ``update`` would draw, so that its values are worth computing."""
        return self.verbose == 1 and self._live and time.time() - self._drawn_at >= self.interval

    def update(
        self,
        current: int,
        values: Iterable[tuple[str, float]] | None = None,
        finalize: bool | None = None,
    ) -> None:
        """Note that ``current`` steps are done, and draw if it is time.

        Args:
            current: steps done so far.
            values: pairs of a name and its value.
            finalize: whether this is the last call (default: ``current >= target``).
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        for name, value in values or ():
            self._note(name, value, current, finalize)
        self._seen = current
        now = time.time()
        duration = self._step_duration(current, now)
        if self.verbose == 1:
            self._draw(current, now, duration, finalize)
        elif self.verbose == 2 and finalize and self.target:
            count = f"{current:{len(str(self.target))}d}/{self.target}"
            time_taken = f"{now - self._start:.0f}s"
            step = format_duration(duration, self.unit_name)
            print_message(f"{count} - {time_taken} - {step}{format_metrics(self._shown())}")

    def add(self, n: int, values: Iterable[tuple[str, float]] | None = None) -> None:
        """``n`` more steps are done."""
        self.update(self._seen + n, values)

    def interrupt(self) -> None:
        """Leave the half-drawn line, so that what is printed next starts on its own."""
        if self.verbose == 1 and self._drawn_width:
            self._drawn_width = 0
            print_message("")

    def _note(self, name: str, value: float, current: int, finalize: bool) -> None:
        averaged = name in self.stateless if self.stateless is not None else True
        if self.stateful is not None:
            averaged = name not in self.stateful
        if not averaged or finalize:
            self._values[name] = [float(value), 1]
            return
        steps = max(current - self._seen, 1)
        total = self._values.setdefault(name, [0.0, 0])
        total[0] += float(value) * steps
        total[1] += steps

    def _shown(self) -> dict[str, float]:
        return {name: total / max(1, count) for name, (total, count) in self._values.items()}

    def _step_duration(self, current: int, now: float) -> float:
        """Seconds a step; the first, which warms things up, is left out once there are others."""
        if not current:
            return 0.0
        if self._first_step_at is not None and current > 1:
            duration = (now - self._first_step_at) / (current - 1)
        else:
            duration = (now - self._start) / current
        if current == 1:
            self._first_step_at = now
        return duration

    def _draw(self, current: int, now: float, duration: float, finalize: bool) -> None:
        if not finalize and (not self._live or now - self._drawn_at < self.interval):
            return
        known = self.target is not None and self.target > 0
        bar = self._bar(current) if known else f"{current:7d}/Unknown"
        if known and not finalize:
            assert self.target is not None
            clock = format_eta(duration * (self.target - current))
        else:
            clock = f"{now - self._start:.0f}s"
        info = f" {self._in(_BOLD, clock)} {format_duration(duration, self.unit_name)}"
        line = f"{bar}{info}{format_metrics(self._shown())}"
        width = _visible(line)
        padding = " " * max(0, self._drawn_width - width)
        start = "\r" if self._live else ""
        print_message(f"{start}{line}{padding}", end="\n" if finalize else "")
        self._drawn_width = 0 if finalize else width
        self._drawn_at = now

    def _bar(self, current: int) -> str:
        assert self.target is not None
        count = f"{current:{int(math.log10(self.target)) + 1}d}/{self.target}"
        done = min(self.width, int(self.width * current / self.target))
        filled = self._in(_GREEN, self._fill * done) if done else ""
        rest = self._fill if self._colors else " "  # without color, what is left to do is blank
        return f"{self._in(_BOLD, count)} {filled}{self._in(_WHITE, rest * (self.width - done))}"

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{_PLAIN}" if self._colors else text


def _visible(line: str) -> int:
    """Characters that take room on the screen."""
    for code in (_BOLD, _GREEN, _WHITE, _PLAIN):
        line = line.replace(code, "")
    return len(line)


def format_eta(seconds: float) -> str:
    """How long the rest will take.

    >>> format_eta(42), format_eta(125), format_eta(7325)
    ('42s', '2:05', '2:02:05')
    """
    s = int(seconds)
    if seconds > 3600:
        return f"{s // 3600}:{s % 3600 // 60:02d}:{s % 60:02d}"
    return f"{s // 60}:{s % 60:02d}" if seconds > 60 else f"{s}s"


def format_duration(seconds: float, unit: str) -> str:
    """Time a step, in the unit that suits it.

    >>> format_duration(0.0123, "step"), format_duration(0.0000456, "step")
    ('12ms/step', '46us/step')
    """
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/{unit}"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms/{unit}"
    return f"{seconds * 1e6:.0f}us/{unit}"


def format_metrics(values: Mapping[str, Any]) -> str:
    """Names and values, as they follow the time.

    >>> format_metrics({"accuracy": 0.5, "loss": 0.0001})
    ' - accuracy: 0.5000 - loss: 1.0000e-04'
    """
    parts = []
    for name, value in values.items():
        text = f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"
        parts.append(f" - {name}: {text}")
    return "".join(parts)
