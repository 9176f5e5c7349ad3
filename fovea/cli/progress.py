"""Progress of a run: a table that grows by a row an epoch, and under it one line that moves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TextIO

from fovea.training import Callback
from fovea.training.progress import format_eta

if TYPE_CHECKING:
    from fovea.cli.console import Console

__all__ = ["EpochTable", "MeasureBar"]

_INTERVAL = 0.1  # seconds between two drawings
_WIDTH = 24


class _Line:
    """A line that is drawn over again, on terminals only."""

    def __init__(self, stream: TextIO, wanted: bool) -> None:
        self.stream = stream
        self.live = wanted and stream.isatty()
        self.drawn_at = 0.0
        self.width = 0
        encoding = getattr(stream, "encoding", None) or "ascii"
        self.fill = "━" if "utf" in encoding.lower() else "="

    def due(self) -> bool:
        return self.live and time.monotonic() - self.drawn_at >= _INTERVAL

    def draw(self, text: str) -> None:
        self.drawn_at = time.monotonic()
        self.stream.write(f"\r{text:<{self.width}}")
        self.stream.flush()
        self.width = len(text)

    def clear(self) -> None:
        if self.width:
            self.stream.write(f"\r{'':<{self.width}}\r")
            self.stream.flush()
            self.width = 0

    def bar(self, part: float) -> str:
        done = round(_WIDTH * min(1.0, part))
        return self.fill * done + " " * (_WIDTH - done)


class EpochTable(Callback):
    """Prints a table with a row an epoch; on a terminal a progress bar moves under it.

    Args:
        console: where to.
        epochs: how many there will be.
        steps: training steps in an epoch.
        validated: whether there are columns for validation.
    """

    def __init__(self, console: Console, epochs: int, steps: int, validated: bool) -> None:
        super().__init__()
        self.console, self.epochs, self.steps, self.validated = console, epochs, steps, validated
        self.line = _Line(console.stream, not console.quiet)
        self.epoch = 0
        self.first: int | None = None  # step of this process; a run may have gone on
        self.begun = self.epoch_begun = time.monotonic()

    def wants_batch_logs(self) -> bool:
        return self.line.due()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.begun = time.monotonic()
        columns = ["loss", "accuracy"] + ["val loss", "val acc."] * self.validated
        self.console.say(f"{'epoch':>9}" + "".join(f"{c:>11}" for c in columns) + f"{'time':>9}")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch, self.epoch_begun = epoch, time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        done = self.epoch * self.steps + batch + 1
        if self.first is None:
            self.first = done
        if not self.line.due():
            return
        total = self.epochs * self.steps
        left = (time.monotonic() - self.begun) / (done - self.first + 1) * (total - done)
        numbers = logs or {}
        self.line.draw(
            f"{self.epoch + 1:>4}/{self.epochs:<4}{numbers.get('loss', 0.0):>11.4f}"
            f"{numbers.get('accuracy', 0.0):>11.2%}  {self.line.bar(done / total)}"
            f" {done / total:4.0%}  {format_eta(left)} left"
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.line.clear()
        numbers = logs or {}
        cells = [f"{numbers['loss']:>11.4f}", f"{numbers['accuracy']:>11.2%}"]
        if self.validated:
            cells += [f"{numbers['val_loss']:>11.4f}", f"{numbers['val_accuracy']:>11.2%}"]
        seconds = time.monotonic() - self.epoch_begun
        self.console.say(f"{epoch + 1:>4}/{self.epochs:<4}" + "".join(cells) + f"{seconds:>8.1f}s")

    def interrupt(self) -> None:
        """Leave no half-drawn line."""
        self.line.clear()


class MeasureBar(Callback):
    """A progress bar for one pass over a dataset, on terminals."""

    def __init__(self, console: Console, steps: int) -> None:
        super().__init__()
        self.line = _Line(console.stream, not console.quiet)
        self.steps = steps

    def wants_batch_logs(self) -> bool:
        return False

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.line.due():
            part = (batch + 1) / self.steps
            self.line.draw(f"  {self.line.bar(part)} {part:4.0%}")

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self.line.clear()

    def interrupt(self) -> None:
        """Leave no half-drawn line."""
        self.line.clear()
