"""Native threads: workers parked in compiled code, woken without Python's interpreter lock.

`run(address, params)` publishes a kernel, runs it on the calling thread, and lets every worker that
is awake in time join in. Threads take pieces from one counter, so nobody waits for a worker that
the system has not scheduled yet: when the pieces are gone, the gate is shut, and only those who
came in are waited for.

The state is a block of 64-bit words, each on a cache line of its own:

    gate      generation << 32 | open << 16 | number of workers inside
    counter   the next piece
    job       kernel, params, number of threads
    sleepers  workers asleep in futex (on the gate's generation)
    busy      1 while a caller owns the pool; others run their kernel alone (with the same bits)
    stop      1 when workers are to return
    awake     1 while a list of kernels runs: workers wait longer for the next before they sleep
    home      the core that the caller runs on
    joining   1 while the caller sleeps until no worker is inside
    cores     a bit for each core that this process may run on

The system likes to wake a worker on the core of whoever wakes it, and programs of less than a
millisecond are over before it moves one of the two elsewhere: a worker that finds itself on the
caller's core leaves it.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import platform
import sys
import threading
from collections.abc import Callable

from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import i32, i64, u64
from fovea.targets.cpu.flow import Var
from fovea.targets.cpu.routine import Routine
from fovea.targets.cpu.values import Value

_GATE, _GENERATION, _COUNTER, _JOB, _SLEEPERS, _BUSY, _STOP = 0, 4, 64, 128, 192, 256, 320
AWAKE, _HOME, _JOINING, _CORES = 384, 448, 512, 576
_MASK_WORDS = 16  # bits for 1024 cores
_STATE_BYTES = _CORES + 8 * _MASK_WORDS
_OPEN = 1 << 16
_INSIDE = _OPEN - 1
_WORKER_SPINS = 3000  # about 50 us awake after the last job
_LIST_SPINS = 60000  # about 1 ms, while a list runs
_JOIN_SPINS = 2000  # then the caller sleeps until the last worker leaves
_FUTEX = {"x86_64": 202, "aarch64": 98}
_SET_AFFINITY = {"x86_64": 203, "aarch64": 122}
_FUTEX_WAIT, _FUTEX_WAKE = 128, 129  # private
_MAX_THREADS = 1024


def _syscall(k: Routine, number: int, *arguments: Value) -> None:
    k.call_libc("syscall", [k.const(number, i64), *arguments])


def _sleep(k: Routine, word: Value, expected: Value) -> None:
    """Until someone wakes who sleeps on a word of 32 bits; not at all where it is another one."""
    low = k.cast(k.cast(expected, i32), i64)
    number = _FUTEX[platform.machine()]
    _syscall(k, number, word, k.const(_FUTEX_WAIT, i64), low, k.const(0, i64))


def _wake(k: Routine, word: Value, count: int) -> None:
    """At most so many of those who sleep on a word."""
    number = _FUTEX[platform.machine()]
    _syscall(k, number, word, k.const(_FUTEX_WAKE, i64), k.const(count, i64))


def _worker() -> Routine:
    """`worker(state)`: wait for a new generation, join it while its gate is open, and so on."""
    k = Routine("worker", ("state",))
    (state,) = k.parameters
    gate = k.pointer(state, _GATE)
    last, seen = k.var(0), k.var(0)
    with k.repeat() as turn:
        _await_generation(k, state, last, seen)
        last.set(_generation(k, seen.get()))
        turn.leave_if(k.atomic_load(k.pointer(state, _STOP)).ne(0))
        _leave_home(k, state)
        with k.repeat() as attempt:
            now = seen.get()
            is_open = (now & _OPEN).ne(0) & _generation(k, now).eq(last.get())
            attempt.leave_if(~is_open)
            old, joined = k.compare_exchange(gate, now, now + 1)
            seen.set(old)
            with k.if_(joined):
                _work(k, state, (now & _INSIDE) + 1)
                is_last = (k.atomic_add(gate, -1, "seq_cst") & _INSIDE).eq(1)
                with k.if_(is_last & k.atomic_load(k.pointer(state, _JOINING), "seq_cst").ne(0)):
                    _wake(k, state + _GATE, 1)
            attempt.leave_if(joined)
    return k


def _core(k: Routine) -> Value:
    """The core that this thread runs on."""
    return k.cast(k.call_libc("sched_getcpu", [k.const(0, i64)], i32), i64)


def _leave_home(k: Routine, state: Value) -> None:
    """Go to another core than the caller's: be forbidden that one for a moment."""
    core, allowed = _core(k), state + _CORES
    here = core.eq(k.atomic_load(k.pointer(state, _HOME), "monotonic"))
    with k.if_(here & (core >= 0) & (core < 64 * _MASK_WORDS)):
        slot = k.slot(f"[{_MASK_WORDS} x i64]")
        others = k.assign(i64, 1, f"ptrtoint ptr {slot} to i64")
        for word in range(0, 8 * _MASK_WORDS, 8):
            bits = k.atomic_load(k.pointer(allowed, word), "monotonic")
            k.atomic_store(bits, k.pointer(others, word), "monotonic")
        place = k.pointer(others + (core >> 6) * 8)
        bits = k.atomic_load(place, "monotonic")
        k.atomic_store(bits ^ (k.const(1, i64) << (core & 63)), place, "monotonic")
        for mask in (others, allowed):
            number = _SET_AFFINITY[platform.machine()]
            _syscall(k, number, k.const(0, i64), k.const(8 * _MASK_WORDS, i64), mask)


def _generation(k: Routine, gate: Value) -> Value:
    return k.cast(k.cast(gate, u64) >> 32, i64)


def _await_generation(k: Routine, state: Value, last: Var, seen: Var) -> None:
    """Spin until the gate's generation differs from `last`; asleep after a while."""
    spins = k.var(0)
    sleepers = k.pointer(state, _SLEEPERS)
    with k.repeat() as wait:
        now = k.atomic_load(k.pointer(state, _GATE))
        seen.set(now)
        wait.leave_if(_generation(k, now).ne(last.get()))
        k.pause()
        spins.set(spins.get() + 1)
        listed = k.atomic_load(k.pointer(state, AWAKE), "monotonic").ne(0)
        with k.if_(spins.get() > k.select(listed, k.const(_LIST_SPINS, i64), _WORKER_SPINS)):
            k.atomic_add(sleepers, 1, "seq_cst")
            _sleep(k, state + _GENERATION, last.get())
            k.atomic_add(sleepers, -1, "seq_cst")
            spins.set(0)


def _work(k: Routine, state: Value, tid: Value) -> None:
    """Call the published kernel, unless it wants fewer threads than there are."""
    kernel, params, count = (
        k.atomic_load(k.pointer(state, _JOB + 8 * n), "monotonic") for n in range(3)
    )
    with k.if_(tid < count):
        k.call_address(kernel, (params, tid, count, state + _COUNTER))


def _runner() -> Routine:
    """`run(state, kernel, params, threads)`: publish, take part, shut the gate, wait for those
    inside.
    """
    k = Routine("run", ("state", "kernel", "params", "threads"))
    state, kernel, params, count = k.parameters
    mine = acquire(k, state, count)
    with k.if_else(mine.get().ne(0)) as (together, alone):
        with together:
            share(k, state, kernel, params, count)
            release(k, state)
        with alone:
            run_here(k, kernel, params)
    return k


def acquire(k: Routine, state: Value, count: Value) -> Var:
    """Take the pool, if more than one thread is wanted and nobody else has it: 1, else 0."""
    mine = k.var(0)
    with k.if_(count > 1):
        _, got = k.compare_exchange(k.pointer(state, _BUSY), 0, 1)
        mine.set(k.cast(got, i64))
    return mine


def release(k: Routine, state: Value) -> None:
    """Leave the pool to others."""
    k.atomic_store(0, k.pointer(state, _BUSY))


def share(k: Routine, state: Value, kernel: Value, params: Value, count: Value) -> None:
    """Run a kernel on all threads; the pool is taken."""
    _publish(k, state, kernel, params, count)
    k.call_address(kernel, (params, k.const(0, i64), count, state + _COUNTER))
    k.atomic_and(k.pointer(state, _GATE), ~_OPEN)
    _join(k, state)


def run_here(k: Routine, kernel: Value, params: Value) -> None:
    """Run a kernel on the calling thread alone."""
    counter = k.slot("i64")
    k.emit(f"store i64 0, ptr {counter}")
    local = k.assign(i64, 1, f"ptrtoint ptr {counter} to i64")
    k.call_address(kernel, (params, k.const(0, i64), k.const(1, i64), local))


def _publish(k: Routine, state: Value, kernel: Value, params: Value, count: Value) -> None:
    k.atomic_store(_core(k), k.pointer(state, _HOME), "monotonic")
    for n, word in enumerate((kernel, params, count)):
        k.atomic_store(word, k.pointer(state, _JOB + 8 * n), "monotonic")
    k.atomic_store(0, k.pointer(state, _COUNTER), "monotonic")
    gate = k.pointer(state, _GATE)
    generation = _generation(k, k.atomic_load(gate)) + 1
    k.atomic_store((generation << 32) | _OPEN, gate, "seq_cst")
    with k.if_(k.atomic_load(k.pointer(state, _SLEEPERS), "seq_cst").ne(0)):
        _wake(k, state + _GENERATION, 0x7FFFFFFF)


def _join(k: Routine, state: Value) -> None:
    """Wait until no worker is inside; asleep after a while, so that the system has a core for a
    worker that it has paused.
    """
    spins = k.var(0)
    gate, joining = k.pointer(state, _GATE), k.pointer(state, _JOINING)
    with k.repeat() as wait:
        wait.leave_if((k.atomic_load(gate) & _INSIDE).eq(0))
        k.pause()
        spins.set(spins.get() + 1)
        with k.if_(spins.get() > _JOIN_SPINS):
            k.atomic_store(1, joining, "seq_cst")
            now = k.atomic_load(gate, "seq_cst")
            with k.if_((now & _INSIDE).ne(0)):
                _sleep(k, state + _GATE, now)
            k.atomic_store(0, joining, "seq_cst")


class _Pool:
    """The workers and the compiled `run`; made on first use, made anew in a forked child."""

    def __init__(self) -> None:
        self.call: Callable[[int, int, bytes, int], None] | None = None
        self.state = 0
        self.workers = 0
        self._threads: list[threading.Thread] = []
        self.lock = threading.Lock()

    def prepare(self) -> Callable[[int, int, bytes, int], None]:
        """The compiled `run`, with its state."""
        memory = ctypes.create_string_buffer(_STATE_BYTES + 64)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))  # workers may outlive Python's objects
        self.state = -(-ctypes.addressof(memory) // 64) * 64
        cores = ctypes.c_uint64 * _MASK_WORDS
        mask = cores.from_address(self.state + _CORES)
        for core in os.sched_getaffinity(0):
            if core < 64 * _MASK_WORDS:
                mask[core // 64] |= 1 << core % 64
        address = load_cached("threads/run", _runner)
        prototype = ctypes.CFUNCTYPE(
            None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64
        )
        self.call = prototype(address)
        return self.call

    def start(self, workers: int) -> None:
        """Have that many workers."""
        with self.lock:
            if workers == self.workers:
                return
            self.stop()
            self.prepare()
            address = load_cached("threads/worker", _worker)
            body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
            self._threads = [
                threading.Thread(
                    target=body, args=(self.state,), name=f"fovea-worker-{n}", daemon=True
                )
                for n in range(workers)
            ]
            for thread in self._threads:
                thread.start()
            self.workers = workers

    def stop(self) -> None:
        """Let the workers return, and wait for them."""
        if not self.workers:
            return
        assert self.call is not None
        ctypes.c_int64.from_address(self.state + _STOP).value = 1
        self.call(self.state, load_cached("threads/nothing", _nothing), b"", 2)
        for thread in self._threads:
            thread.join(timeout=1.0)
        self._threads, self.workers = [], 0


def _nothing() -> Routine:
    return Routine("nothing", ("params", "tid", "nthreads", "counter"))


def _available() -> int:
    """How many threads to use unless told: `FOVEA_NUM_THREADS`, or the cores that this process may
    run on.
    """
    chosen = os.environ.get("FOVEA_NUM_THREADS", "")
    if chosen:
        if not chosen.isdecimal():
            raise ValueError(f"FOVEA_NUM_THREADS: {chosen!r} is not a number of threads")
        return _checked_count(int(chosen))
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _checked_count(count: int) -> int:
    if not 1 <= count <= _MAX_THREADS:
        raise ValueError(f"number of threads: {count} is not between 1 and {_MAX_THREADS}")
    return count


NATIVE = sys.platform.startswith("linux") and platform.machine() in _FUTEX
_pool = _Pool()
_count = _available()


def set_num_threads(count: int) -> None:
    """Use that many threads for kernels from now on (1 on systems without futexes, whatever is
    asked for).

    Raises:
        ValueError: fewer than one, or absurdly many.
    """
    global _count
    _count = _checked_count(count)


def get_num_threads() -> int:
    """How many threads kernels run on."""
    return _count if NATIVE else 1


def run(address: int, params: bytes, threads: int = 0) -> None:
    """Run the kernel at `address`.

    Args:
        address: from `compile.load` or `compile.load_cached`.
        params: the kernel's words, packed with `struct`.
        threads: at most that many take part; 0 is all, 1 the calling one alone.
    """
    if not NATIVE:
        run_alone(address, params)
        return
    call = _pool.call or _pool.prepare()
    if threads != 1 and _count != 1:
        if _pool.workers != _count - 1:
            _pool.start(_count - 1)
            call = _pool.call or call
        call(_pool.state, address, params, threads or _count)
    else:
        call(_pool.state, address, params, 1)


def pool() -> tuple[int, int]:
    """The address of the pool's state and the number of threads, the workers started."""
    if _pool.call is None:
        _pool.prepare()
    if _pool.workers != _count - 1 and _count != 1:
        _pool.start(_count - 1)
    return _pool.state, _count


_ALONE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)


def run_alone(address: int, params: bytes | int) -> None:
    """Run the kernel at `address` on the calling thread; `params`: its words, or where they are."""
    counter = ctypes.c_int64(0)
    _ALONE(address)(params, 0, 1, ctypes.addressof(counter))


def _after_fork() -> None:
    """Workers do not survive a fork: the child makes its own when it needs them."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(lambda: _pool.stop())
