"""``profile``: when to record, and what to do with what was recorded."""

from __future__ import annotations

import enum
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

from fovea.errors import ArgumentError
from fovea.profiler.averages import EventList, averages, nested
from fovea.profiler.recorder import Event, Recorder, record_function
from fovea.profiler.trace import chrome_trace, write_stacks, write_trace

__all__ = [
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]


class ProfilerActivity(enum.Enum):
    """Where things run. Here everything does on the CPU."""

    CPU = 0
    XPU = 1
    CUDA = 2


class ProfilerAction(enum.Enum):
    """What a profiler does in a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """What can be recorded: the CPU."""
    return {ProfilerActivity.CPU}


def schedule(
    *,
    wait: int,
    warmup: int,
    active: int,
    repeat: int = 0,
    skip_first: int = 0,
    skip_first_wait: int = 0,
) -> Callable[[int], ProfilerAction]:
    """What to do in each step: after ``skip_first`` steps wait, warm up and record, in turns.

    Args:
        repeat: how many turns; 0 for no end.
        skip_first_wait: 1 leaves the first turn's wait out.

    Raises:
        ArgumentError: nothing is recorded, or a negative number.

    >>> plan = schedule(wait=1, warmup=1, active=2, repeat=1)
    >>> [plan(n).name for n in range(5)]
    ['NONE', 'WARMUP', 'RECORD', 'RECORD_AND_SAVE', 'NONE']
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active < 1:
        raise ArgumentError("schedule: active is at least 1, and nothing is negative.")
    length = wait + warmup + active

    def plan(step: int) -> ProfilerAction:
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        if repeat and step // length >= repeat:
            return ProfilerAction.NONE
        at = step % length
        if at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        last = at == length - 1
        return ProfilerAction.RECORD_AND_SAVE if last else ProfilerAction.RECORD

    return plan


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[[Any], None]:
    """For ``on_trace_ready``: write each trace to a folder that TensorBoard reads.

    Args:
        dir_name: the folder; it is made.
        worker_name: part of the file's name; by default the machine's name and the process.
        use_gzip: compress.
    """
    worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"

    def write(prof: Any) -> None:
        folder = Path(dir_name)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{worker}.{time.time_ns()}.pt.trace.json" + (".gz" if use_gzip else "")
        prof.export_chrome_trace(folder / name)

    return write


def _always(step: int) -> ProfilerAction:
    return ProfilerAction.RECORD


_RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


class profile:  # noqa: N801 - a context manager, named like a statement
    """``with profile() as prof:`` times ops, modules, compiled programs and named ranges.

    Args:
        activities: accepted; there is the CPU.
        schedule: what to do in each step, from `schedule`; call ``step()`` after each. Without it
            everything is recorded.
        on_trace_ready: called with the profiler when a turn of the schedule, or all, is recorded.
        record_shapes: note the shapes of inputs.
        profile_memory, with_flops: accepted; bytes of results and floating-point operations are
            always noted.
        with_modules: have ``key_averages`` list modules by their classes, too.
        with_stack: note the lines of the program.
        acc_events: keep the events of earlier turns of the schedule.
        **kwargs: PyTorch's other options, which change nothing here.

    >>> import fovea
    >>> model = fovea.nn.Linear(3, 2)
    >>> with profile() as prof:
    ...     for _ in range(2):
    ...         y = model(fovea.ones(4, 3))
    ...         prof.step()
    >>> {row.key: row.count for row in prof.key_averages()}["linear"]
    2
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[Any], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        acc_events: bool = False,
        **kwargs: Any,
    ) -> None:
        chosen = set(activities) if activities is not None else supported_activities()
        missing = chosen - supported_activities()
        if missing:
            names = ", ".join(sorted(a.name for a in missing))
            warnings.warn(f"profile: there is no {names}; the CPU is recorded.", stacklevel=2)
        self._schedule, self.on_trace_ready = schedule or _always, on_trace_ready
        self._scheduled, self._acc_events = schedule is not None, acc_events
        self._options, self._with_modules = (record_shapes, with_stack), with_modules
        self._metadata: dict[str, Any] = {}
        self._events: list[Event] = []
        self._recorder: Recorder | None = None
        self._range: record_function | None = None
        self.step_num, self.current_action = 0, ProfilerAction.NONE

    # -- when ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin with the first step."""
        self._enter_step()

    def stop(self) -> None:
        """End, and hand over what is recorded."""
        self._leave_step()
        if self._recorder is not None:
            self._finish(handing_over=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def step(self) -> None:
        """A step is over; the next one begins."""
        self._leave_step()
        before = self.current_action
        self.step_num += 1
        after = self._schedule(self.step_num)
        if self._recorder is not None and (
            before is ProfilerAction.RECORD_AND_SAVE or after not in _RECORDING
        ):
            self._finish(handing_over=before is ProfilerAction.RECORD_AND_SAVE)
        self._enter_step()

    def _enter_step(self) -> None:
        self.current_action = self._schedule(self.step_num)
        if self.current_action in _RECORDING and self._recorder is None:
            self._recorder = Recorder(*self._options)
            self._recorder.__enter__()
        if self._recorder is not None and self._scheduled:
            self._range = record_function(f"ProfilerStep#{self.step_num}")
            self._range.__enter__()

    def _leave_step(self) -> None:
        if self._range is not None:
            self._range.__exit__(None, None, None)
            self._range = None

    def _finish(self, handing_over: bool) -> None:
        assert self._recorder is not None
        self._recorder.__exit__(None, None, None)
        found = nested(self._recorder.events)
        self._events = [*self._events, *found] if self._acc_events else found
        self._recorder = None
        if handing_over and self.on_trace_ready is not None:
            self.on_trace_ready(self)

    # -- what ---------------------------------------------------------------------------------

    def events(self) -> list[Event]:
        """Everything that was recorded last, by its beginning."""
        if self._recorder is not None:
            return nested(self._recorder.events)
        return self._events

    def key_averages(
        self,
        group_by_input_shape: bool = False,
        group_by_stack_n: int = 0,
        group_by_overload_name: bool = False,
        *,
        by: str = "name",
    ) -> EventList:
        """The events summed up by name; see `EventList.table`.

        Args:
            group_by_input_shape: tell shapes of inputs apart (``record_shapes=True``).
            group_by_stack_n: tell apart by so many lines of the program (``with_stack=True``).
            group_by_overload_name: accepted; ops have one form.
            by: ``"module"`` sums up the ops of each module instead.
        """
        shapes, lines = group_by_input_shape, group_by_stack_n
        return averages(self.events(), by, shapes, lines, self._with_modules)

    def export_chrome_trace(self, path: Any) -> None:
        """Write the events as a trace; compressed if the name ends in ``.gz``."""
        write_trace(path, chrome_trace(self.events(), self._metadata))

    def export_stacks(self, path: Any, metric: str = "self_cpu_time_total") -> None:
        """Write stacks for a flame graph (``with_stack=True``).

        Raises:
            ArgumentError: another metric.
        """
        if not metric.startswith("self_") or not metric.endswith("_time_total"):
            raise ArgumentError(f"export_stacks: the metric is self_cpu_time_total, not {metric}.")
        write_stacks(path, self.events())

    def add_metadata(self, key: str, value: str) -> None:
        """Add a text to the trace."""
        self._metadata[key] = value

    def add_metadata_json(self, key: str, value: str) -> None:
        """Add a text that holds JSON to the trace."""
        self._metadata[key] = value

    def preset_metadata_json(self, key: str, value: str) -> None:
        """``add_metadata_json``, before the start."""
        self._metadata[key] = value
