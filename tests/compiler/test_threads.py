"""Captures while other threads run."""

from __future__ import annotations

import threading
from typing import Any

import fovea
from fovea import watching
from tests.compiler.test_functions import same


def test_other_threads_leave_a_capture_alone() -> None:
    began, go_on = threading.Event(), threading.Event()

    def other() -> None:
        with watching.unwatched():
            began.set()
            go_on.wait(10)

    def f(x: Any) -> Any:
        y = x + 1
        go_on.set()
        thread.join(10)
        with watching.unwatched():
            pass
        return y * 2

    thread = threading.Thread(target=other)
    thread.start()
    began.wait(10)
    compiled = fovea.compile(f, fullgraph=True)
    for value in (1.0, 2.0):
        x = fovea.full((3,), value)
        same(compiled(x), f(x))
    assert watching.watcher is None
