"""The native thread pool: callers at once, forks, exits, changes of thread count."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from fovea.targets.cpu import threads
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import i64

PIECES = 64


def build() -> Kernel:
    """y[piece] += sum of 0 ... n - 1 (a data race would lose some)."""
    k = Kernel("sums", (("y", i64),), ("n",))
    (y,), (n,) = k.buffers, k.sizes
    with k.parallel(PIECES) as piece:
        total = k.var(0)
        with k.loop(0, n) as i:
            total.set((total.get() + i) ^ 0)
        k.store(k.load(y, piece) + total.get(), y, piece)
    return k


def run(y: np.ndarray, n: int, count: int = 0) -> None:
    address = load_cached("test/threads/sums", build)
    threads.run(address, struct.pack("2q", y.ctypes.data, n), count)


@pytest.fixture(autouse=True)
def four_threads() -> object:
    before = threads.get_num_threads()
    threads.set_num_threads(4)
    yield
    threads.set_num_threads(before)


def test_many_jobs_in_a_row() -> None:
    y = np.zeros(PIECES, np.int64)
    for _ in range(3000):
        run(y, 10)
    np.testing.assert_array_equal(y, 3000 * 45)


def test_a_caller_that_fell_asleep_is_woken_by_the_last_worker() -> None:
    """One piece in eight takes a millisecond: callers sleep until it is done."""

    def uneven() -> Kernel:
        k = Kernel("uneven", (("y", i64),), ())
        (y,) = k.buffers
        with k.parallel(PIECES) as piece:
            total = k.var(0)
            with k.loop(0, k.select((piece & 7).eq(7), k.const(1_000_002, i64), 10)) as i:
                total.set(total.get() ^ i)  # 1 in the end
            k.store(k.load(y, piece) + total.get(), y, piece)
        return k

    address = load_cached("test/threads/uneven_pieces", uneven)
    y = np.zeros(PIECES, np.int64)

    def call() -> None:
        for _ in range(100):
            threads.run(address, struct.pack("q", y.ctypes.data), 0)

    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    caller.join(timeout=60)
    assert not caller.is_alive(), "it sleeps forever"
    np.testing.assert_array_equal(y, 100)


def test_python_threads_call_at_once() -> None:
    results = [np.zeros(PIECES, np.int64) for _ in range(6)]

    def work(y: np.ndarray) -> None:
        for _ in range(300):
            run(y, 50)

    callers = [threading.Thread(target=work, args=(y,)) for y in results]
    for c in callers:
        c.start()
    for c in callers:
        c.join()
    for y in results:
        np.testing.assert_array_equal(y, 300 * 49 * 25)


def test_thread_count_changes_between_jobs() -> None:
    y = np.zeros(PIECES, np.int64)
    for count in (1, 2, 5, 2, 1, 3):
        threads.set_num_threads(count)
        assert threads.get_num_threads() == count
        run(y, 10)
        run(y, 10, 1)
    np.testing.assert_array_equal(y, 12 * 45)


@pytest.mark.parametrize("count", [0, -1, 10**6])
def test_absurd_thread_counts_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="number of threads"):
        threads.set_num_threads(count)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_its_own_workers() -> None:
    script = """
import os, sys
sys.path.insert(0, {root!r})
import numpy as np
from tests.targets.cpu.test_threads import run, PIECES, threads
threads.set_num_threads(3)
y = np.zeros(PIECES, np.int64)
run(y, 10)
child = os.fork()
run(y, 10)
ok = (y == 90).all()
if child == 0:
    os._exit(0 if ok else 3)
_, status = os.waitpid(child, 0)
sys.exit(0 if ok and status == 0 else 4)
"""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    done = subprocess.run([sys.executable, "-c", script.format(root=root)], cwd=root, timeout=60)
    assert done.returncode == 0


@pytest.mark.parametrize("text", ["0", "many", "-2"])
def test_an_unusable_environment_variable_is_named(text: str) -> None:
    script = "import fovea.targets.cpu.threads"
    environment = {**os.environ, "FOVEA_NUM_THREADS": text}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "number of threads" in done.stderr


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
def test_workers_that_left_the_callers_core_may_come_back() -> None:
    y = np.zeros(PIECES, np.int64)
    for _ in range(2000):
        run(y, 200)
    allowed = os.sched_getaffinity(0)
    others = [t.native_id for t in threading.enumerate() if t.name.startswith("fovea-worker")]
    assert len(others) == 3
    for _ in range(500):  # one may be on its way right now
        if all(os.sched_getaffinity(task or 0) == allowed for task in others):
            return
        time.sleep(0.01)
    raise AssertionError("a worker stays away from the caller's core")
