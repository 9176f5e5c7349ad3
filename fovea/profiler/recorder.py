"""`Recorder`: notes what runs while a profiler is on."""

from __future__ import annotations

import functools
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from fovea import watching
from fovea.errors import is_users
from fovea.ops.counting import multiply_adds

__all__ = ["Event", "Recorder", "record_function"]

_now = time.monotonic_ns


@dataclass(slots=True, eq=False)
class Event:
    """Something that ran.

    Attributes:
        name: of the op, of the module's class, or what the user called it.
        kind: ``"op"``, ``"module"``, ``"user"``, ``"program"`` (a compiled one) or ``"kernel"``
            (in a program: named by its op).
        begin, end: nanoseconds on the machine's monotonic clock.
        thread: the thread's number in the system.
        module: the path of the module that was running, such as ``"layer1.0.conv1"``; for
            gradients that of the forward pass, with ``backward`` true.
        shapes: of the inputs, if they were to be recorded.
        flops: multiplications and additions of contractions.
        bytes: of the results.
        stack: lines of the program that led here, innermost first, if they were to be recorded.
        self_ns: the time outside of events within.
    """

    name: str
    kind: str
    begin: int
    end: int
    thread: int
    module: str = ""
    backward: bool = False
    shapes: tuple[Any, ...] = ()
    flops: int = 0
    bytes: int = 0
    stack: tuple[str, ...] = ()
    self_ns: int = 0
    children: list[Event] = field(default_factory=list)

    @property
    def ns(self) -> int:
        """How long it took."""
        return self.end - self.begin

    @property
    def cpu_time_total(self) -> float:
        """How long it took, in microseconds."""
        return self.ns / 1e3

    @property
    def self_cpu_time_total(self) -> float:
        """The time outside of events within, in microseconds."""
        return self.self_ns / 1e3


class _Place(threading.local):
    """Which module is running in a thread, or which is gone back through."""

    def __init__(self) -> None:
        self.path, self.backward = "", ""
        self.owner: Any = None


class Recorder(watching.Observer):
    """Times ops, modules and programs.

    Args:
        shapes: note the shapes of inputs.
        stacks: note the lines of the program.
    """

    def __init__(self, shapes: bool = False, stacks: bool = False) -> None:
        self.events: list[Event] = []
        self.shapes, self.stacks = shapes, stacks
        self._place = _Place()
        self._names: weakref.WeakKeyDictionary[Any, dict[int, str]] = weakref.WeakKeyDictionary()
        self._forward: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()

    def add(self, name: str, kind: str, begin: int, **rest: Any) -> Event:
        """Note an event that ends now."""
        end = rest.pop("end", None) or _now()
        place = self._place
        event = Event(name, kind, begin, end, threading.get_native_id(), **rest)
        if not event.module:
            event.module, event.backward = place.path or place.backward, bool(place.backward)
        if self.stacks:
            event.stack = _lines()
        self.events.append(event)
        return event

    # -- what runs ----------------------------------------------------------------------------

    def _op(self, op: Any, inputs: Iterable[Any], attrs: Any, results: Any, begin: int) -> None:
        end = _now()
        given = [() if t is None else tuple(t.shape) for t in inputs]
        outs = [t for t in (results if isinstance(results, tuple) else (results,)) if t is not None]
        work = 2 * multiply_adds(op.name, given, tuple(outs[0].shape), attrs) if outs else 0
        made = 0 if op.view else sum(t.numel() * t.dtype.itemsize for t in outs)
        shapes = tuple(given) if self.shapes else ()
        self.add(op.name, "op", begin, end=end, shapes=shapes, flops=work, bytes=made)

    def run(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any) -> Any:
        begin = _now()
        out = plan(inputs)
        self._op(op, inputs, attrs, out, begin)
        return out

    def run_into(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any, out: Any) -> None:
        begin = _now()
        plan(inputs, out)
        self._op(op, inputs, attrs, out, begin)

    def update(
        self, op: Any, inputs: tuple[Any, ...], attrs: Any, written: int, run: Callable[[], None]
    ) -> None:
        begin = _now()
        run()
        self.add(op.name, "op", begin, shapes=((written,),) if self.shapes else ())

    def run_program(self, program: Any, inputs: Any) -> Any:
        begin = _now()
        results, timings, start = program.run_timed(inputs)
        self.add("program", "program", begin)
        counted: set[Any] = set()
        for t in timings:
            first = start + round(1e9 * t.begin)
            rest: dict[str, Any] = {"flops": 0}
            if t.node is not None:
                source = t.node.source
                rest |= {"module": source.module, "backward": source.backward}
                shapes = tuple(tuple(v.shape) for v in t.node.operands())
                rest["shapes"] = shapes if self.shapes else ()
                rest["flops"] = 0 if t.node in counted else t.flops
                counted.add(t.node)
            self.add(t.op, "kernel", first, end=first + round(1e9 * t.seconds), **rest)
        return results

    # -- where --------------------------------------------------------------------------------

    def call_module(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        place, begin = self._place, _now()
        before = place.path, place.owner
        if place.owner is None:
            place.owner = module
        place.path = self._path(place.owner, module)
        try:
            return module._call(args, kwargs)
        finally:
            self.add(type(module).__name__, "module", begin)
            place.path, place.owner = before

    def _path(self, owner: Any, module: Any) -> str:
        names = self._names.get(owner)
        if names is None:
            names = self._names[owner] = {id(m): name for name, m in owner.named_modules()}
        return names.get(id(module), self._place.path)

    def recorded(self, out: Any) -> None:
        first = out[0] if isinstance(out, tuple) else out
        if self._place.path and first is not None and first._node is not None:
            self._forward[first._node] = self._place.path

    def backward_of(self, node: Any) -> None:
        self._place.backward = "" if node is None else self._forward.get(node, "(backward)")


def _lines() -> tuple[str, ...]:
    """``file:line function`` of the frames outside the package, innermost first."""
    found: list[str] = []
    frame = sys._getframe(2)
    while frame is not None and len(found) < 32:
        code = frame.f_code
        if is_users(code.co_filename) and not code.co_filename.startswith("<"):
            found.append(f"{code.co_filename}({frame.f_lineno}): {code.co_name}")
        frame = frame.f_back  # type: ignore[assignment]
    return tuple(found)


class record_function:  # noqa: N801 - a context manager, named like a statement
    """``with record_function("name"):`` names a part of a program in profiles; also a decorator.

    Args:
        name: what it is called.
        args: accepted for PyTorch's sake.

    >>> @record_function("double")
    ... def double(x):
    ...     return 2 * x
    >>> double(4)
    8
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self._recorder: Recorder | None = None
        self._begin = 0

    def __enter__(self) -> record_function:
        watcher = watching.watcher
        self._recorder = watcher if isinstance(watcher, Recorder) else None
        if self._recorder is not None:
            self._begin = _now()
        return self

    def __exit__(self, *error: object) -> None:
        if self._recorder is not None:
            self._recorder.add(self.name, "user", self._begin)
            self._recorder = None

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
                return function(*args, **kwargs)

        return run
