"""Many kernel calls in one: a list of rows that compiled code walks through.

A row has four words: the kernel, the address of its parameters, how many threads take part (0: all,
1: the calling one) and the address of a flag (0: none). A flag that a kernel sets ends the walk. So
does time: after a slice of some milliseconds the walk returns, so that Python sees an interrupt,
and is taken up again where it stopped.
"""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Callable
from functools import cache

from fovea.targets.cpu import threads
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.direct import Builtin, available, function
from fovea.targets.cpu.elements import i64
from fovea.targets.cpu.routine import Routine
from fovea.targets.cpu.values import Value

__all__ = ["ROW_WORDS", "run_list"]

ROW_WORDS = 4
SLICE = 20_000_000  # nanoseconds
_MONOTONIC = 1
_SECOND = 1_000_000_000


def _walk() -> Routine:
    """`walk(state, rows, first, last, threads, slice, times, report)`.

    Writes into `report` the number of the row to go on with and whether a flag was set; into
    `times`, if it is not 0, when each row began and when it ended.
    """
    names = ("state", "rows", "first", "last", "threads", "slice", "times", "report")
    k = Routine("run_list", names)
    state, rows, first, last, count, budget, times, report = k.parameters
    mine = threads.acquire(k, state, count)
    with k.if_(mine.get().ne(0)):
        k.atomic_store(1, k.pointer(state, threads.AWAKE), "monotonic")
    start, at, flag = _now(k), k.var(first), k.var(0)
    with k.repeat() as turn:
        row = rows + at.get() * (8 * ROW_WORDS)
        kernel, params, wanted, check = (_word(k, row, n) for n in range(ROW_WORDS))
        _note(k, times, at.get() * 2)
        with k.if_else(mine.get().ne(0) & wanted.ne(1)) as (together, alone):
            with together:
                threads.share(k, state, kernel, params, count)
            with alone:
                threads.run_here(k, kernel, params)
        _note(k, times, at.get() * 2 + 1)
        at.set(at.get() + 1)
        with k.if_(check.ne(0)):
            flag.set(_word(k, check, 0))
        turn.leave_if((at.get() >= last) | flag.get().ne(0))
        turn.leave_if(_now(k) - start > budget)
    with k.if_(mine.get().ne(0)):
        k.atomic_store(0, k.pointer(state, threads.AWAKE), "monotonic")
        threads.release(k, state)
    _store(k, at.get(), report, 0)
    _store(k, flag.get(), report, 1)
    return k


def _word(k: Routine, base: Value, number: int) -> Value:
    return k.assign(i64, 1, f"load i64, ptr {k.pointer(base, 8 * number)}")


def _store(k: Routine, value: Value, base: Value, number: int) -> None:
    k.emit(f"store {value.typed}, ptr {k.pointer(base, 8 * number)}")


def _now(k: Routine) -> Value:
    """Nanoseconds of the system's steady clock."""
    moment = k.assign(i64, 1, f"ptrtoint ptr {k.slot('[2 x i64]')} to i64")
    k.call_libc("clock_gettime", [k.const(_MONOTONIC, i64), moment])
    return _word(k, moment, 0) * _SECOND + _word(k, moment, 1)


def _note(k: Routine, times: Value, place: Value) -> None:
    """Write down the time, if times are asked for."""
    with k.if_(times.ne(0)):
        _store(k, _now(k), times + place * 8, 0)


def _builtin() -> Builtin:
    """`run_list(state, rows, first, last, threads, slice, times)`: walk without the interpreter
    lock; the row to go on with, negative if a flag was set. ``self``: where `walk` is.
    """
    k = Builtin()
    owner, arguments, _ = k.parameters
    given = k.memory(arguments)
    words = [k.call("PyLong_AsLongLong", k.load(given, n)) for n in range(7)]
    walk = k.load(k.memory(k.call("PyBytes_AsString", owner)), 0)
    report = k.assign(i64, 1, f"ptrtoint ptr {k.slot('[2 x i64]')} to i64")
    thread = k.call("PyEval_SaveThread")
    k.call_address(walk, (*words, report))
    k.call("PyEval_RestoreThread", thread)
    at, flag = _word(k, report, 0), _word(k, report, 1)
    k.result = k.call("PyLong_FromLongLong", k.select(flag.ne(0), 0 - at, at))
    return k


@cache
def _native() -> Callable[..., int]:
    """The walk as a function of Python."""
    address = load_cached("threads/run_list", _walk)
    if available():
        return function("run_list", _builtin, struct.pack("q", address))
    walk = ctypes.CFUNCTYPE(None, *([ctypes.c_int64] * 8))(address)

    def run(*words: int) -> int:
        report = (ctypes.c_int64 * 2)()
        walk(*words, ctypes.addressof(report))
        return -report[0] if report[1] else report[0]

    return run


def run_list(rows: int, first: int, last: int, times: int = 0) -> int:
    """Run the rows from `first` on, but not longer than a slice.

    Args:
        rows: the address of the list.
        first, last: the row to begin with, and the one before which to end.
        times: the address of two words a row, for the times (in nanoseconds) at which it began and
            ended; 0 if nobody wants to know.

    Returns:
        The row to go on with; negative if the last one set its flag.
    """
    if not threads.NATIVE:
        return _walk_here(rows, first, last, times)
    state, count = threads.pool()
    return _native()(state, rows, first, last, count, SLICE, times)


def _walk_here(rows: int, first: int, last: int, times: int) -> int:
    """The same from Python, for systems without native threads."""
    begin = time.monotonic_ns()
    for at in range(first, last):
        words = ctypes.string_at(rows + 8 * ROW_WORDS * at, 8 * ROW_WORDS)
        kernel, params, _, flag = struct.unpack("4q", words)
        started = time.monotonic_ns()
        threads.run_alone(kernel, params)
        now = time.monotonic_ns()
        if times:
            (ctypes.c_int64 * 2).from_address(times + 16 * at)[:] = [started, now]
        if flag and ctypes.c_int64.from_address(flag).value:
            return -(at + 1)
        if now - begin > SLICE:
            return at + 1
    return last
