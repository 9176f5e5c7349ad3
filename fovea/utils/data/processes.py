"""Worker processes: for datasets whose Python code holds the interpreter lock.

Each worker has a connection of its own, so a worker that is killed cannot leave a shared lock
behind, and its end is seen at once as the connection closing. The same holds the other way round:
workers end when the parent is gone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
import weakref
from collections import deque
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any, cast

from fovea.errors import ArgumentError
from fovea.utils.data.transport import receive, send
from fovea.utils.data.worker import Begin, Died, Done, Task, Worker, WorkerError, WorkerSpec

__all__ = ["ProcessPool"]

GRACE_SECONDS = 2.0  # how long closing waits for a worker before it is terminated


class ProcessPool:
    """Workers of a loader as processes.

    Args:
        spec: what the workers share; it must pickle, unless the workers are forked.
        context: a ``multiprocessing`` context or the name of a start method. Default:
            ``forkserver`` where there is one, else ``spawn`` (a plain fork would copy locks that
            other threads hold).

    Raises:
        ArgumentError: the dataset, ``collate_fn`` or ``worker_init_fn`` cannot be pickled.
    """

    def __init__(self, spec: WorkerSpec, context: Any = None) -> None:
        ctx = _context(context)
        # Forked workers have it already, pickled or not.
        payload = spec if ctx.get_start_method() == "fork" else _pickled(spec)
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self.epoch = 0
        self._connections: list[Connection] = []
        self._processes: list[Any] = []
        reader = threading.Thread(
            target=_receive_all,
            args=(self._connections, self.inbox),
            name="fovea-loader-reader",
            daemon=True,
        )
        self._finalizer = weakref.finalize(
            self, _close, os.getpid(), self._connections, self._processes, reader
        )
        try:
            for number in range(spec.num_workers):
                self._start(ctx, number, payload)
        except BaseException:
            self.close()
            raise
        # Batches are received beside the training step, not inside `next(loader)`.
        reader.start()

    def _start(self, ctx: Any, number: int, payload: WorkerSpec | bytes) -> None:
        ours, theirs = ctx.Pipe(duplex=True)
        self._connections.append(ours)
        # A forked child holds copies of the parent's ends and must drop them, or it would never see
        # the parent's end.
        inherited = list(self._connections) if ctx.get_start_method() == "fork" else []
        process = ctx.Process(
            target=_main,
            args=(theirs, number, payload, inherited),
            name=f"fovea-loader-{number}",
            daemon=True,
        )
        process.start()
        theirs.close()
        self._processes.append(process)

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def begin(self, epoch: int, seed: int) -> None:
        """Start an epoch; tasks of an earlier one are dropped."""
        self.epoch = epoch
        for connection in self._connections:
            _tell(connection, Begin(epoch, seed))

    def submit(self, worker: int, task: Task) -> None:
        """Send a task."""
        _tell(self._connections[worker], task)

    def obituary(self, worker: int) -> str:
        """How a worker that is gone came to its end."""
        process = self._processes[worker]
        process.join(GRACE_SECONDS)
        code = process.exitcode
        head = f"DataLoader worker process {worker} (pid {process.pid}) exited unexpectedly"
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            head += f": it was killed by {name}"
            if name == "SIGKILL":
                return head + ". Running out of memory is the usual cause; try fewer workers."
            return head + "."
        return (
            f"{head} with exit code {code}. A script that uses worker processes must guard its"
            " entry point with"
            ' `if __name__ == "__main__":`.'
        )

    def close(self) -> None:
        """Stop the processes and wait for them; one that does not end within seconds is
        terminated.
        """
        self._finalizer()


def _context(context: Any) -> Any:
    if context is None:
        known = multiprocessing.get_all_start_methods()
        context = "forkserver" if "forkserver" in known else "spawn"
        _preload()
    if isinstance(context, str):
        try:
            return multiprocessing.get_context(context)
        except ValueError:
            raise ArgumentError(
                f"DataLoader: multiprocessing_context must be one of"
                f" {multiprocessing.get_all_start_methods()}, got {context!r}."
            ) from None
    return context


def _preload() -> None:
    """Let the fork server import fovea once, unless the user chose its imports: workers start in
    milliseconds.
    """
    from multiprocessing import forkserver

    server = getattr(forkserver, "_forkserver", None)
    if getattr(server, "_preload_modules", None) == ["__main__"]:
        multiprocessing.set_forkserver_preload(["__main__", __name__])


def _pickled(spec: WorkerSpec) -> bytes:
    try:
        return pickle.dumps(spec, protocol=5)
    except Exception as error:
        raise ArgumentError(
            f"DataLoader: the dataset cannot be sent to worker processes: {error}",
            fix="define its classes and functions at the top of a module (no lambda), or use"
            " worker_type='thread'",
        ) from error


def _tell(connection: Connection, message: Any) -> None:
    # A worker that is gone is reported by the reader, with the reason.
    with contextlib.suppress(OSError):
        connection.send(message)


def _receive_all(connections: list[Connection], inbox: SimpleQueue[Any]) -> None:
    """Move messages from the workers into ``inbox`` until all connections have closed."""
    numbers = {connection: i for i, connection in enumerate(connections)}
    while numbers:
        for ready in cast("list[Connection]", wait(list(numbers))):
            try:
                inbox.put(receive(ready))
            except (EOFError, OSError):
                inbox.put(Died(numbers.pop(ready)))
                ready.close()
            except Exception as error:
                text = f"worker {numbers[ready]}'s result; it cannot be rebuilt in this process"
                inbox.put(WorkerError.caught(error, text))


def _close(
    owner: int, connections: list[Connection], processes: list[Any], reader: threading.Thread
) -> None:
    if os.getpid() != owner:  # a worker forked later, which found the pool among what it inherited
        return
    for connection in connections:
        with contextlib.suppress(OSError, ValueError):
            connection.send(None)
    deadline = time.monotonic() + GRACE_SECONDS
    for stop in (None, "terminate", "kill"):
        for process in processes:
            if stop is not None and process.is_alive():
                getattr(process, stop)()
                deadline = time.monotonic() + 1.0
            process.join(max(0.0, deadline - time.monotonic()))
        if not any(process.is_alive() for process in processes):
            break
    if reader.ident is not None and reader is not threading.current_thread():
        reader.join(GRACE_SECONDS)  # it ends with the last connection


def _main(
    connection: Connection, number: int, payload: WorkerSpec | bytes, inherited: list[Connection]
) -> None:
    """A worker process, from start to end."""
    import fovea

    # Ctrl-C reaches the whole group of processes; the parent decides when its workers stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The workers are the parallelism: their kernels shall not each ask for all cores as well.
    if "FOVEA_NUM_THREADS" not in os.environ:
        os.environ["FOVEA_NUM_THREADS"] = "1"
        fovea.set_num_threads(1)  # a forked one has read the variable already
    for other in inherited:
        other.close()
    with contextlib.suppress(EOFError, OSError):  # the parent is gone: so is the work
        _serve(connection, number, payload)


def _serve(connection: Connection, number: int, payload: WorkerSpec | bytes) -> None:
    worker = _open_worker(payload, number)
    pending: deque[Begin | Task] = deque()
    while True:
        while not pending or connection.poll():
            message = connection.recv()
            if message is None:
                return
            if isinstance(message, Begin):
                pending.clear()  # the epoch before was left early
            pending.append(message)
        item = pending.popleft()
        if isinstance(item, Begin):
            if isinstance(worker, Worker):
                worker.begin(item)
            continue
        batch = worker.run(item) if isinstance(worker, Worker) else worker
        if isinstance(batch, WorkerError):
            batch = _portable(batch)
        try:
            send(connection, Done(number, item.epoch, item.number, batch))
        except OSError:
            raise
        except Exception as error:  # the batch does not pickle
            failed = WorkerError.caught(
                error, f"DataLoader worker process {number}, sending batch {item.number}"
            )
            send(connection, Done(number, item.epoch, item.number, _portable(failed)))


def _open_worker(payload: WorkerSpec | bytes, number: int) -> Worker | WorkerError:
    try:
        spec = pickle.loads(payload) if isinstance(payload, bytes) else payload
        worker = Worker(spec, number, lambda: False)
        worker.start()
    except BaseException as error:
        return WorkerError.caught(error, f"DataLoader worker process {number}")
    return worker


def _portable(error: WorkerError) -> WorkerError:
    """The error without its type if the type does not pickle."""
    try:
        pickle.dumps(error.kind)
    except Exception:
        return WorkerError(None, error.text)
    return error
