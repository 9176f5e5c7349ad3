"""Streams and events of a CUDA device: there is none, so that work is done when it is asked for.

An event keeps the time at which it was recorded, so that programs that time themselves by events
measure the CPU instead.
"""

from __future__ import annotations

import time
from typing import Any

from fovea.errors import ArgumentError

__all__ = ["Event", "Stream", "current_stream", "default_stream", "stream"]


class Event:
    """A point in time.

    Args:
        enable_timing: whether ``elapsed_time`` may be asked.
        blocking, interprocess: accepted.

    >>> start, end = Event(enable_timing=True), Event(enable_timing=True)
    >>> start.record()
    >>> end.record()
    >>> start.elapsed_time(end) >= 0
    True
    """

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ) -> None:
        self.enable_timing = enable_timing
        self.time: float | None = None

    def record(self, stream: Any = None) -> None:
        """Now."""
        self.time = time.perf_counter()

    def query(self) -> bool:
        """True: work recorded before is done."""
        return True

    def wait(self, stream: Any = None) -> None:
        """Nothing to wait for."""

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to the other.

        Raises:
            ArgumentError: one of them was not recorded, or not made with ``enable_timing=True``.
        """
        if not (self.enable_timing and end_event.enable_timing):
            raise ArgumentError(
                "Event: both must be made with enable_timing=True to be timed.",
                fix="Event(enable_timing=True)",
            )
        if self.time is None or end_event.time is None:
            raise ArgumentError("Event: both must be recorded to be timed.", fix="event.record()")
        return (end_event.time - self.time) * 1e3


class Stream:
    """A queue of work, done when it is asked for."""

    def __init__(self, device: Any = None, priority: int = 0, **kwargs: Any) -> None:
        self.device, self.priority = device, priority

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def query(self) -> bool:
        """True: the work is done."""
        return True

    def record_event(self, event: Event | None = None) -> Event:
        """An event of now."""
        event = event or Event()
        event.record()
        return event

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def wait_event(self, event: Event) -> None:
        """Nothing to wait for."""

    def wait_stream(self, stream: Stream) -> None:
        """Nothing to wait for."""


_DEFAULT = Stream()


def current_stream(device: Any = None) -> Stream:
    """The one stream."""
    return _DEFAULT


def default_stream(device: Any = None) -> Stream:
    """The one stream."""
    return _DEFAULT


def stream(stream: Stream | None) -> Any:
    """A region whose work is in ``stream``."""
    return stream or _DEFAULT
