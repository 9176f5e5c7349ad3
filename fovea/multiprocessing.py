"""``fovea.multiprocessing``: Python's ``multiprocessing``, with what PyTorch's adds to it.

Tensors go to other processes as copies: a gradient or a change in place there is not seen here.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing import *  # noqa: F403 - the same names, as PyTorch's
from typing import Any

from fovea.errors import ArgumentError

__all__ = [
    *multiprocessing.__all__,
    "ProcessContext",
    "ProcessRaisedException",
    "get_all_sharing_strategies",
    "get_sharing_strategy",
    "set_sharing_strategy",
    "spawn",
    "start_processes",
]

_STRATEGIES = {"file_descriptor", "file_system"}
_strategy = ["file_descriptor"]


def get_all_sharing_strategies() -> set[str]:
    """The names of ways to share memory."""
    return set(_STRATEGIES)


def get_sharing_strategy() -> str:
    """What was set."""
    return _strategy[0]


def set_sharing_strategy(new_strategy: str) -> None:
    """Remembered, to no effect: loaders share memory in a way that leaves no files open.

    Raises:
        ArgumentError: a name that is none of ``get_all_sharing_strategies()``.
    """
    if new_strategy not in _STRATEGIES:
        raise ArgumentError(
            f"set_sharing_strategy: {new_strategy!r} is none of {sorted(_STRATEGIES)}."
        )
    _strategy[0] = new_strategy


class ProcessRaisedException(Exception):  # noqa: N818 - PyTorch's name
    """A process that ``spawn`` started raised: the message has its traceback.

    Attributes:
        error_index: which of the processes.
        pid: its number.
    """

    def __init__(self, msg: str, error_index: int, pid: int) -> None:
        super().__init__(msg)
        self.msg, self.error_index, self.error_pid, self.pid = msg, error_index, pid, pid


def _run(fn: Callable[..., Any], i: int, args: Sequence[Any], errors: Any) -> None:
    """In the process: the function, and what it raises as text."""
    try:
        fn(i, *args)
    except KeyboardInterrupt:
        pass
    except Exception:
        import sys
        import traceback

        errors.put(traceback.format_exc())
        errors.close()
        errors.join_thread()
        sys.exit(1)


class ProcessContext:
    """Processes that ``spawn`` started with ``join=False``."""

    def __init__(self, processes: list[Any], errors: list[Any]) -> None:
        self.processes, self.error_queues = processes, errors

    def pids(self) -> list[int]:
        """The processes' numbers."""
        return [int(process.pid) for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait for the processes; whether all have ended.

        Raises:
            ProcessRaisedException: one of them raised or died; the others were ended.
        """
        from multiprocessing import connection

        waiting = {process.sentinel: i for i, process in enumerate(self.processes)}
        waiting = {s: i for s, i in waiting.items() if self.processes[i].is_alive()} or waiting
        ready = connection.wait(list(waiting), timeout)
        failed = [waiting[s] for s in ready if self._code(waiting[s])]
        if not failed:
            return not any(process.is_alive() for process in self.processes)
        for process in self.processes:
            if process.is_alive():
                process.terminate()
            process.join(grace_period)
        i = failed[0]
        pid, code = int(self.processes[i].pid), self.processes[i].exitcode
        told = "" if self.error_queues[i].empty() else str(self.error_queues[i].get())
        text = f"\n\n-- Process {i} terminated with the following error:\n{told}"
        raise ProcessRaisedException(
            text if told else f"process {i} terminated with exit code {code}", i, pid
        )

    def _code(self, i: int) -> int | None:
        self.processes[i].join()
        code: int | None = self.processes[i].exitcode
        return code


def start_processes(
    fn: Callable[..., Any],
    args: Sequence[Any] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Run ``fn(i, *args)`` in ``nprocs`` processes, i from 0.

    Args:
        fn: a function that the processes can import.
        args: its other arguments.
        nprocs: how many processes.
        join: wait for them; otherwise what to wait with is returned.
        daemon: whether they end when this process ends.
        start_method: ``"spawn"``, ``"fork"`` or ``"forkserver"``.

    Raises:
        ProcessRaisedException: one of them raised.
    """
    context: Any = multiprocessing.get_context(start_method)
    processes, errors = [], []
    for i in range(nprocs):
        queue = context.Queue()
        process = context.Process(target=_run, args=(fn, i, args, queue), daemon=daemon)
        process.start()
        processes.append(process)
        errors.append(queue)
    started = ProcessContext(processes, errors)
    if not join:
        return started
    while not started.join():
        pass
    return None


def spawn(
    fn: Callable[..., Any],
    args: Sequence[Any] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """``start_processes`` by starting Python anew in each."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)
