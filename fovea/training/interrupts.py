"""Ctrl-C while an object is being finalized: Python loses it; a loop must not.

Python runs the handler of SIGINT between two bytecodes of the main thread. If those are of a
``__del__``, the ``KeyboardInterrupt`` is printed as "Exception ignored in ..." and gone, and a
training run goes on for hours. Here such an interrupt waits until `check` is called.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["check", "kept"]

_waiting = False


@contextmanager
def kept() -> Iterator[None]:
    """While inside, an interrupt that would be lost waits for `check` (main thread only).

    A program's own handler of SIGINT stays.
    """
    global _waiting
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not ours:
        yield
        return
    _waiting = False
    signal.signal(signal.SIGINT, _handle)
    try:
        yield
        check()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def check() -> None:
    """Raise the interrupt that waits, if any.

    Raises:
        KeyboardInterrupt: Ctrl-C came while an object was being finalized.
    """
    global _waiting
    if _waiting:
        _waiting = False
        raise KeyboardInterrupt


def _handle(number: int, frame: FrameType | None) -> None:
    global _waiting
    at = frame
    while at is not None:
        if at.f_code.co_name == "__del__":
            _waiting = True
            return
        at = at.f_back
    signal.default_int_handler(number, frame)
