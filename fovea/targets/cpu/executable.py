"""`Executable`: a graph as one program for the CPU, run in one call from Python.

Ops are lowered as in eager mode, to the same kernels, and give the same bits. What is saved is
Python: one call walks through the list of all kernel calls, whose parameters were written when the
program was made. Intermediate results lie in one arena. Ops that only Python can run (NumPy
fallbacks) are run from there, between parts of the list.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from contextlib import nullcontext
from operator import attrgetter
from typing import Any

import numpy as np

from fovea import watching
from fovea.errors import LoweringError, ShapeError, describe
from fovea.form import form_of, interned
from fovea.graph.graph import Graph, Value, same_spec
from fovea.size import Size
from fovea.storage import Storage
from fovea.targets.base import empty, make_tensor
from fovea.targets.cpu import arena as arenas
from fovea.targets.cpu import threads
from fovea.targets.cpu.arena import MemoryPlan
from fovea.targets.cpu.builder import checking
from fovea.targets.cpu.listing import Listing, Segment
from fovea.targets.cpu.outputs import Outputs
from fovea.targets.cpu.placement import Placement
from fovea.targets.cpu.profile import Clock, Profile, Timing
from fovea.targets.cpu.run_list import run_list
from fovea.targets.cpu.steps import Block, Place, PythonStep
from fovea.targets.cpu.target import CPU

__all__ = ["Executable"]

_where = attrgetter("storage", "_form", "offset")
_version = attrgetter("version")


class Executable:
    """A graph that was made into a program.

    Nodes that depend on constants and unchanged states alone are run once, and again when one of
    these states has changed (as far as its version tells; see `refresh`).

    Args:
        graph: what to run. Its states must have their tensors.

    Attributes:
        graph: the graph.
        memory: how its intermediate results are packed.

    Raises:
        LoweringError: the graph cannot be run, or not safely, on the CPU.

    >>> import fovea
    >>> from fovea.graph import Graph, Node, Value
    >>> from fovea.ops.elementwise import relu
    >>> from fovea.ops.op import Spec
    >>> x, y = (Value(Spec((2,), fovea.float32)) for _ in range(2))
    >>> program = Executable(Graph((x,), (), (), (Node(relu, (x,), None, (y,)),), (y,)))
    >>> program.run([fovea.tensor([-1.0, 2.0])])
    [tensor([0., 2.])]
    """

    memory: MemoryPlan

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        placement = Placement(graph)
        self._lock = threading.Lock()
        self._places, self._blocks = placement.places, placement.blocks
        self._tables = placement.tables
        self._outputs = Outputs(graph, placement.outputs)
        self._list = Listing(
            placement.steps, placement.prologue, self._outputs.slot, self._outputs.slots
        )
        self._checked = checking()
        self._input_forms = [interned(tuple(v.shape), v.strides, v.dtype) for v in graph.inputs]
        self._states = [s.tensor for s in graph.states]
        updated = dict(graph.updates)
        self._changed_states = [n for n, s in enumerate(graph.states) if s.value in updated]
        self._watched_states = _states_of(placement.steps[: placement.prologue])
        self._constants = [_constant_storage(c.array) for c in graph.constants]
        self._kept = {b: Storage(max(b.nbytes, 1)) for b in self._blocks if b.kind == "kept"}
        self._given: Sequence[Any] = []
        self._made: list[Any] = []
        # Held while it is used; afterwards a larger one may take its place.
        self._arena: arenas.Arena | None = None
        self._bound_to: weakref.ref[arenas.Arena] | None = None
        self._fresh: list[int] | None = None  # versions of what the prologue read
        self._epoch = -1  # of the last look at where states lie
        self._bound: list[tuple[Any, ...]] = []
        self._changed: list[Storage] = []
        self._watched: list[Storage] = []
        self._write_fixed()
        self._arrange()
        self.rebind()
        arenas.keep_while(self)

    def __repr__(self) -> str:
        return f"<program of {len(self._list.calls) - 1} kernel calls, {self.memory}>"

    @property
    def kept_bytes(self) -> int:
        """Bytes of what is computed once and kept, such as packed weights."""
        return sum(s.nbytes for s in self._kept.values())

    # -- running ----------------------------------------------------------------------------------

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """Run the program.

        Args:
            inputs: a Tensor for each input of the graph, with its shape and dtype; one with other
                strides is copied.

        Returns:
            The outputs, in memory of their own; where the graph returns an input or an unchanged
            state, that tensor.

        Raises:
            ShapeError: an input does not fit.
        """
        if watching.watcher is not None:
            return watching.watcher.run_program(self, inputs)
        return self._run_alone(inputs, None)

    def run_unwatched(self, inputs: Sequence[Any]) -> list[Any]:
        """``run``, for whoever watches."""
        return self._run_alone(inputs, None)

    def run_timed(self, inputs: Sequence[Any]) -> tuple[list[Any], list[Timing], int]:
        """``run``, with the times of the kernels, and of the first one's beginning in nanoseconds
        on the monotonic clock.
        """
        clock = Clock(len(self._list.calls))
        results = self._run_alone(inputs, clock)
        timings = clock.timings(self._list.main, self._list.calls)
        return results, timings, clock.start

    def profile(self, inputs: Sequence[Any], runs: int = 5) -> Profile:
        """Run the program a few times (really: states change) and time each kernel.

        Args:
            inputs: as for `run`.
            runs: how often.

        >>> import fovea
        >>> from fovea.graph import Graph, Node, Value
        >>> from fovea.ops.elementwise import relu
        >>> from fovea.ops.op import Spec
        >>> x, y = (Value(Spec((2,), fovea.float32)) for _ in range(2))
        >>> program = Executable(Graph((x,), (), (), (Node(relu, (x,), None, (y,)),), (y,)))
        >>> [t.op for t in program.profile([fovea.tensor([-1.0, 2.0])]).timings]
        ['relu']
        """
        found = []
        for _ in range(max(runs, 1)):
            clock = Clock(len(self._list.calls))
            self._run_alone(inputs, clock)
            found.append(clock.timings(self._list.main, self._list.calls))
        return Profile(found, self._threads)

    def _run_alone(self, inputs: Sequence[Any], clock: Clock | None) -> list[Any]:
        """Run with an arena, while nobody else runs this program."""
        with self._lock:
            if threads.get_num_threads() != self._threads:
                self._arrange()
            arena = arenas.take(self.memory.peak)
            try:
                self._arena = arena
                if self._bound_to is None or self._bound_to() is not arena:
                    self._bind_arena(arena)
                return self._run(inputs, clock)
            finally:
                self._given, self._made, self._arena = [], [], None
                arenas.giving_back(arena)

    def _run(self, inputs: Sequence[Any], clock: Clock | None) -> list[Any]:
        if watching.epoch != self._epoch:  # else no tensor got other memory
            if list(map(_where, self._states)) != self._bound:
                self.rebind()
            self._epoch = watching.epoch
        as_they_are = [t._form for t in inputs] == self._input_forms
        self._given = given = inputs if as_they_are else self._fitting(inputs)
        self._made = made = self._outputs.make()
        self._list.set_addresses(
            *[t.storage.address + t.offset * t.dtype.itemsize for t in given],
            *[t.storage.address for t in made],
        )
        if self._fresh is None or (
            self._watched and list(map(_version, self._watched)) != self._fresh
        ):
            self._prepare()
        try:
            self._run_segments(self._list.main, clock)
        finally:
            for storage in self._changed:
                storage.version += 1
        if self._outputs.plain:
            return made
        return self._outputs.collect(made, given, self._states, self._tensor)

    def _prepare(self) -> None:
        """Run the prologue."""
        versions = list(map(_version, self._watched))
        self._fresh = None
        self._run_segments(self._list.prologue, None)
        self._fresh = versions

    def _run_segments(self, segments: Sequence[Segment], clock: Clock | None) -> None:
        base, times = self._list.base, 0 if clock is None else clock.address
        for segment in segments:
            if isinstance(segment, PythonStep):
                with nullcontext() if clock is None else clock.around(segment):
                    self._call(segment)
            elif self._checked:
                self._run_checked(*segment, clock)
            else:
                at, last = segment
                while at < last:  # a slice at a time: Python looks for interrupts in between
                    at = run_list(base, at, last, times)
                    if at < 0:
                        self._fail(-at - 1)

    def _fitting(self, inputs: Sequence[Any]) -> list[Any]:
        """The inputs, copied where their strides are not those of the graph's values."""
        if len(inputs) != len(self._input_forms):
            raise TypeError(
                f"the program takes {len(self._input_forms)} inputs, got {len(inputs)}."
            )
        return [
            t if (t._form or form_of(t)) is form else _adapted(t, v)
            for t, form, v in zip(inputs, self._input_forms, self.graph.inputs, strict=True)
        ]

    def _call(self, step: PythonStep) -> None:
        """Run a plan that is no kernels, and put its results into their places."""
        tensors = tuple([None if i is None else self._tensor(*i) for i in step.inputs])
        made = step.plan(tensors)
        results = () if made is None else made if isinstance(made, tuple) else (made,)
        for (v, place), result in zip(step.results, results, strict=True):
            CPU.copy(result, self._tensor(v, place))

    def _run_checked(self, first: int, last: int, clock: Clock | None) -> None:
        """Kernels that check bounds: one by one, with the ranges of their buffers."""
        from fovea.targets.cpu.checks import run_checked

        for row in range(first, last):
            call = self._list.calls[row]
            if call is None:
                self._list.patch()
                continue
            ranges = [self._range(p.block) for p in call.buffers]
            count = 0 if call.parallel else 1
            with nullcontext() if clock is None else clock.around(row):
                run_checked(call.address, self._list.parameters(row), ranges, count)
            if call.flag is not None and self._list.flag(call.flag):
                self._fail(row)

    def _fail(self, row: int) -> None:
        """Raise the error that a kernel noted in its flag."""
        step = self._list.calls[row]
        assert step is not None and step.flag is not None
        assert step.node is not None and step.recipe is not None
        self._list.clear(step.flag)
        inputs = step.node.inputs
        tensors = [None if v is None else self._tensor(v, self._places[v]) for v in inputs]
        if step.recipe.complain is not None:
            step.recipe.complain(tuple(tensors))
        raise LoweringError(f"{step.node.op.name}: a kernel met an index that is out of range.")

    # -- memory -----------------------------------------------------------------------------------

    def rebind(self) -> None:
        """Look up the memory of the states anew; `run` does when a state's storage is another one.

        Raises:
            LoweringError: a state has another shape, dtype or layout than in the graph.
        """
        for s in self.graph.states:
            if s.tensor is None or not same_spec(s.tensor, s.value):
                found = "nothing" if s.tensor is None else describe(s.tensor)
                raise LoweringError(
                    f"state {s.name or s.value.number}: the graph was made for another tensor.",
                    {"state": repr(s.value), "tensor": found},
                )
            form_of(s.tensor)
        self._epoch, self._bound = watching.epoch, list(map(_where, self._states))
        self._changed = [self._states[n].storage for n in self._changed_states]
        self._watched = [self._states[n].storage for n in self._watched_states]
        at = [t.storage.address + t.offset * t.dtype.itemsize for t in self._states]
        self._list.write("state", lambda block: at[block.number])
        self.refresh()

    def refresh(self) -> None:
        """Compute what depends on constants and unchanged states alone anew, in the next run.

        Needed only where such a state was changed behind its version's back (through NumPy).
        """
        self._fresh = None

    def _arrange(self) -> None:
        """Pack the arena, for the present number of threads."""
        self._threads = threads.get_num_threads()
        packed = [b for b in self._blocks if b.kind == "arena" and b.first >= 0]
        for b in packed:
            b.nbytes = b.per_thread * self._threads or b.nbytes
        self.memory = arenas.pack(
            [b.nbytes for b in packed], [b.first for b in packed], [b.last for b in packed]
        )
        self._offsets = dict(zip(packed, self.memory.offsets, strict=True))
        self._bound_to = None

    def _bind_arena(self, arena: arenas.Arena) -> None:
        self._bound_to = weakref.ref(arena)
        start, offsets = arena.address, self._offsets
        self._list.write("arena", lambda block: start + offsets[block])

    def _write_fixed(self) -> None:
        """The addresses that never change."""
        for kind in ("constant", "kept", "table", "words"):
            self._list.write(kind, lambda block: self._range(block)[0])

    def _storage(self, block: Block) -> tuple[Storage, int]:
        """The storage that a block is part of, and its address."""
        if block.kind == "arena":
            assert self._arena is not None
            return self._arena.storage, self._arena.address + self._offsets.get(block, 0)
        if block.kind in ("kept", "constant"):
            own = self._kept[block] if block.kind == "kept" else self._constants[block.number]
            return own, own.address
        if block.kind == "state":
            t = self._states[block.number]
        else:
            slot = self._outputs.slot(block)
            assert slot is not None
            t = [*self._given, *self._made][slot]
        return t.storage, t.storage.address + t.offset * t.dtype.itemsize

    def _range(self, block: Block) -> tuple[int, int]:
        """The bytes that a kernel may touch when it works on a block."""
        if block.kind == "table":
            start = self._tables[block.number].ctypes.data
            return start, start + block.nbytes
        if block.kind == "words":
            start = self._list.region(block)
            return start, start + block.nbytes
        storage, start = self._storage(block)
        if block.kind == "arena":
            return start, start + block.nbytes
        return storage.address, storage.address + storage.nbytes

    def _tensor(self, v: Value, place: Place) -> Any:
        """A Tensor over a value's place."""
        storage, start = self._storage(place.block)
        offset = (start - storage.address + place.offset) // v.dtype.itemsize
        return make_tensor(storage, Size(v.shape), v.strides, offset, v.dtype)


def _states_of(steps: Sequence[Any]) -> list[int]:
    """The numbers of the states that steps read."""
    found: set[int] = set()
    for step in steps:
        if isinstance(step, PythonStep):
            blocks = [i[1].block for i in step.inputs if i is not None]
        else:
            blocks = [p.block for p in step.buffers]
        found.update(b.number for b in blocks if b.kind == "state")
    return sorted(found)


def _constant_storage(array: np.ndarray[Any, Any]) -> Storage:
    """A constant's elements in the order of memory, in a storage of their own."""
    storage = Storage(max(array.nbytes, 1))
    flat = storage.array((array.size,), (1,), 0, array.dtype)
    flat[...] = array.reshape(-1)
    return storage


def _adapted(t: Any, v: Value) -> Any:
    """A tensor that is laid out as the graph wants it: itself, or a copy."""
    if tuple(t.shape) != tuple(v.shape) or t.dtype is not v.dtype:
        raise ShapeError(
            "the program was made for another shape or dtype.",
            {"wanted": f"{v.dtype.name} {tuple(v.shape)}", "got": describe(t)},
        )
    if same_spec(t, v):
        return t
    copy = empty(v.spec)
    CPU.copy(t, copy)
    return copy
