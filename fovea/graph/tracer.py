"""`Tracer`: records what runs, while it runs.

A call is captured by letting it run once, eagerly and for good: its result is what an uncaptured
call would have given. The tracer watches (`fovea.watching`) and writes a graph. Tensors share
memory and change in place, values do not; so the tracer keeps, for each block of memory, the value
that it holds now, and which value each view of it is.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fovea import watching
from fovea.errors import is_users
from fovea.form import Form, form_of
from fovea.graph.graph import Constant, Graph, Node, Source, State, Value, spec_of
from fovea.ops import memory
from fovea.ops.elementwise import CastAttrs, cast
from fovea.ops.op import Op, Spec, numel
from fovea.size import Size
from fovea.storage import Storage

__all__ = ["Check", "Tracer", "Uncapturable", "tracing"]

_lock = threading.Lock()


@dataclass(frozen=True)
class Uncapturable:
    """Why a call cannot become a program.

    Args:
        reason: what happened.
        line: ``file:line`` of the user's program.
        fix: what to do about it.
    """

    reason: str
    line: str
    fix: str = ""


@dataclass(frozen=True)
class Check:
    """A look at a tensor's values that must be repeated for each call.

    Args:
        value: the tensor.
        see: what looks; raises where values are not allowed.
        result: what it returned, and must return again.
        essential: False if the program may do without.
        line: the user's line.
    """

    value: Value
    see: Callable[[Any], Any]
    result: Any
    essential: bool
    line: str


@dataclass
class _Block:
    """What a tracer knows of a block of memory.

    Args:
        storage: the block (weakly).
        form, offset: how ``value`` lies in it. It fills the whole block.
        value: what the block holds, at ``version``.
        views: other values of that version, by form and offset.
    """

    storage: weakref.ref[Any]
    form: Form
    offset: int
    value: Value
    version: int
    views: dict[tuple[Form, int], Value] = field(default_factory=dict)


class Tracer:
    """Records ops into a graph.

    Args:
        keeps: whether to copy arguments and states as they are found, so that the call can be
            undone.

    Attributes:
        found: where it keeps: arguments and states, each with its copy.
        parts: tensors that lie within states.
    """

    captures = True

    def __init__(self, keeps: bool = False) -> None:
        self.keeps = keeps
        self.found: list[tuple[Any, Any]] = []
        self.parts: list[Any] = []
        self._outer: set[int] = set()  # the memory of states
        self.thread = threading.get_ident()
        self.inputs: list[Value] = []
        self.states: list[State] = []
        self.constants: list[Constant] = []
        self.nodes: list[Node] = []
        self.checks: list[Check] = []
        self.refused: Uncapturable | None = None
        self.on_refusal: Callable[[Uncapturable], None] | None = None
        self.on_module: Callable[[Any], None] = lambda module: None
        self.on_optimizer: Callable[[Any], None] = lambda optimizer: None
        self.on_gradient: Callable[[Any], None] = lambda leaf: None
        self.on_drop: Callable[[Any], None] = lambda leaf: None
        self._blocks: dict[int, _Block] = {}
        self._names: dict[int, str] = {}
        self._made: dict[int, weakref.ref[Any]] = {}
        self._depth = 0
        self._casts: dict[Any, Any] = {}
        self._path: list[str] = []
        self._module_stack: list[Any] = []
        self._sources: weakref.WeakKeyDictionary[Any, Source] = weakref.WeakKeyDictionary()
        self._backward: Source | None = None
        self._reruns = 0

    # -- what is watched --------------------------------------------------------------------------

    def _elsewhere(self) -> bool:
        """Whether this is another thread, or within an op that is recorded as a whole."""
        return self._depth > 0 or threading.get_ident() != self.thread

    def run(self, op: Op, inputs: tuple[Any, ...], attrs: Any, plan: Any) -> Any:
        if self._elsewhere() or any(t is not None and t._level for t in inputs):  # runs other ops
            return plan(inputs)
        values = tuple([None if t is None else self.value_of(t) for t in inputs])
        mutated = self._mutated(op, inputs)
        with self.quietly():
            out = plan(inputs)
        outs = () if out is None else out if isinstance(out, tuple) else (out,)
        if not op.view and not mutated and any(self._knows(t.storage) for t in outs):
            return out  # the op gave back what it was given
        results = [Value(spec_of(t)) for t in outs]
        renewed = [Value(spec_of(inputs[i])) for i in mutated]
        self._add(op, values, attrs, [*results, *renewed], mutated)
        for t, v in zip(outs, results, strict=True):
            if op.view:
                self._see(t, v)
            else:
                self._hold(t, v, t.storage.version)
        for i, v in zip(mutated, renewed, strict=True):
            self._write(inputs[i], v, inputs[i].storage.version + 1)
        return out

    def run_into(self, op: Op, inputs: tuple[Any, ...], attrs: Any, plan: Any, out: Any) -> None:
        if self._elsewhere() or out._level or any(t is not None and t._level for t in inputs):
            plan(inputs, out)
            return
        values = tuple([None if t is None else self.value_of(t) for t in inputs])
        mutated = self._mutated(op, inputs)
        self.value_of(out)  # what its memory held, if only part of it changes
        specs = op.specs(inputs, attrs)
        with self.quietly():
            plan(inputs, out)
        result = Value(specs[0])
        renewed = [Value(spec_of(inputs[i])) for i in mutated]
        extra = [Value(s) for s in specs[1:]]
        self._add(op, values, attrs, [result, *extra, *renewed], mutated)
        for i, v in zip(mutated, renewed, strict=True):
            self._write(inputs[i], v, inputs[i].storage.version + 1)
        if result.dtype is not out.dtype:
            narrow = Value(result.spec._replace(dtype=out.dtype))
            self._add(cast, (result,), CastAttrs.of(out.dtype), [narrow])
            result = narrow
        self._write(out, result, out.storage.version + 1)

    def update(
        self, op: Op, inputs: tuple[Any, ...], attrs: Any, written: int, run: Callable[[], None]
    ) -> None:
        if self._elsewhere():
            run()
            return
        values = tuple([self.value_of(t) for t in inputs])
        # scalars, parameters, gradients, states: parameters and states change
        mutated = (*range(1, 1 + written), *range(1 + 2 * written, len(inputs)))
        with self.quietly():
            run()
        renewed = [Value(spec_of(inputs[i]), _name(values[i])) for i in mutated]
        self._add(op, values, attrs, renewed, mutated)
        for i, v in zip(mutated, renewed, strict=True):
            self._write(inputs[i], v, inputs[i].storage.version + 1)

    def recorded(self, out: Any) -> None:
        if self._elsewhere() or not self.nodes:
            return
        first = out[0] if isinstance(out, tuple) else out
        if first is not None and first._node is not None:
            self._sources[first._node] = self.nodes[-1].source

    def backward_of(self, node: Any) -> None:
        if self._elsewhere():
            return
        if node is None:
            self._backward = None
            return
        found = self._sources.get(node)
        self._backward = Source(backward=True) if found is None else Source(
            found.file, found.line, found.module, True
        )  # fmt: skip

    def made(self, storage: Any) -> None:
        if not self._elsewhere():
            self._made[id(storage)] = weakref.ref(storage)

    def read(self, storage: Any) -> None:
        """Python looks at bytes: fine for what it made itself in this call, as yet unused."""
        if self._elsewhere() or self._is_made(storage) or storage in watching.shared:
            return
        self.refuse(
            "Python looks at the values of a tensor", "compute with tensors (where, minimum ...)"
        )

    def look(self, t: Any, see: Callable[[Any], Any], essential: bool) -> Any:
        if self._elsewhere():
            return see(t._array())
        value = self.value_of(t)
        with self.quietly():
            result = see(t._array())
        self.checks.append(Check(value, see, result, essential, _user_line()))
        return result

    def call_module(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if threading.get_ident() != self.thread:
            return module._call(args, kwargs)
        self.on_module(module)
        if self._module_stack:
            name = _child_name(self._module_stack[-1], module)
        else:
            name = ""
            self._note_names(module)
        self._module_stack.append(module)
        self._path.append(name)
        try:
            return module._call(args, kwargs)
        finally:
            self._module_stack.pop()
            self._path.pop()

    def runs_again(self) -> int:
        self._reruns += 1
        return self._reruns

    def note_modules(self, module: Any) -> None:
        for inner in module.modules():
            self.on_module(inner)

    def _note_names(self, module: Any) -> None:
        """The names of a module's tensors are those of states."""
        for found in (module.named_parameters(), module.named_buffers()):
            for name, t in found:
                self._names.setdefault(id(t.storage), name)

    def run_program(self, program: Any, inputs: Any) -> Any:
        return program.run_unwatched(inputs)

    def optimizer(self, optimizer: Any) -> None:
        if not self._elsewhere():
            self.on_optimizer(optimizer)

    def accumulates(self, leaf: Any) -> None:
        if not self._elsewhere():
            self.on_gradient(leaf)

    def drops_gradient(self, leaf: Any) -> None:
        if not self._elsewhere():
            self.on_drop(leaf)

    def casts(self) -> dict[Any, Any] | None:
        return None if self._elsewhere() else self._casts

    # -- values -----------------------------------------------------------------------------------

    def add_input(self, t: Any, name: str) -> Value:
        """Take a tensor as an argument of the graph."""
        value = Value(spec_of(t), name)
        self.inputs.append(value)
        if self._knows(t.storage):  # two arguments share memory: each reads its own
            self._see(t, value)
            return value
        self._hold(t, value, t.storage.version)
        return value

    def value_of(self, t: Any) -> Value:
        """The value that a tensor has now."""
        form: Form = t._form or form_of(t)
        block = self._blocks.get(id(t.storage))
        storage: Storage = t.storage
        if block is None or block.storage() is not storage:
            return self._leaf(t, form)
        if block.version != storage.version:
            self.refuse("memory was changed without an op", "")
            block.version = storage.version
        if form is block.form and t.offset == block.offset:
            return block.value
        found = block.views.get((form, t.offset))
        if found is None:
            if id(storage) in self._outer:
                self.parts.append(t)
            found = self._region(block, t)
            block.views[form, t.offset] = found
        return found

    def refuse(self, reason: str, fix: str) -> None:
        """This call cannot become a program; the first reason is kept."""
        if threading.get_ident() == self.thread and self.refused is None:
            self.refused = Uncapturable(reason, _user_line(), fix)
            if self.on_refusal is not None:
                self.on_refusal(self.refused)

    def states_and_updates(self) -> tuple[tuple[State, ...], tuple[tuple[Value, Value], ...]]:
        """All states, and what the changed ones hold now."""
        updates = []
        for state in self.states:
            now = self._now(state)
            if now is not None and now is not state.value:
                updates.append((state.value, now))
        return tuple(self.states), tuple(updates)

    def _now(self, state: State) -> Value | None:
        block = self._blocks.get(id(state.tensor.storage))
        return None if block is None else block.value

    def graph(self, outputs: Sequence[Value]) -> Graph:
        """What was recorded."""
        states, updates = self.states_and_updates()
        return Graph(
            tuple(self.inputs), states, tuple(self.constants), tuple(self.nodes), tuple(outputs),
            updates,
        )  # fmt: skip

    def alive(self) -> list[tuple[Any, Value]]:
        """The blocks of memory made in this call that somebody still holds, and their values."""
        self._casts.clear()
        leaves = {s.value for s in self.states} | set(self.inputs)
        first = {id(s.tensor.storage) for s in self.states}
        found = []
        for block in self._blocks.values():
            storage = block.storage()
            if storage is None or id(storage) in first or storage in watching.shared:
                continue
            if block.value not in leaves:
                found.append((storage, block.value))
        return found

    # -- memory -----------------------------------------------------------------------------------

    def _mutated(self, op: Op, inputs: tuple[Any, ...]) -> tuple[int, ...]:
        return tuple(op.inputs.index(name) for name in op.mutates)

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Do not record what a block does."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def _is_made(self, storage: Any) -> bool:
        made = self._made.get(id(storage))
        return made is not None and made() is storage and not self._knows(storage)

    def _knows(self, storage: Any) -> bool:
        block = self._blocks.get(id(storage))
        return block is not None and block.storage() is storage

    def _leaf(self, t: Any, form: Form) -> Value:
        """A tensor that no recorded op made: constant if this call made it, else state."""
        constant = self._is_made(t.storage) or t.storage in watching.shared
        whole = _whole(t)
        name = "" if constant else self._names.get(id(t.storage)) or _name(t)
        value = Value(spec_of(whole), name)
        if constant:
            with self.quietly():
                self.constants.append(Constant(value, _snapshot(whole)))
        else:
            self.states.append(State(value, whole, name))
            self._outer.add(id(t.storage))
            self.keep(whole)
        self._hold(whole, value, t.storage.version)
        return self.value_of(t)

    def keep(self, t: Any) -> None:
        """Copy an argument or a state, if this is to be undone."""
        if self.keeps:
            with self.quietly():
                self.found.append((t, t.detach().clone()))

    def _hold(self, t: Any, value: Value, version: int) -> None:
        """The block of ``t`` holds ``value``, as ``t`` lies in it."""
        self._blocks[id(t.storage)] = _Block(
            weakref.ref(t.storage), t._form or form_of(t), t.offset, value, version
        )

    def _see(self, t: Any, value: Value) -> None:
        """A view: another value of the same block."""
        block = self._blocks[id(t.storage)]
        form = t._form or form_of(t)
        if not (form is block.form and t.offset == block.offset):
            block.views[form, t.offset] = value

    def _region(self, block: _Block, t: Any) -> Value:
        attrs = self._attrs(block, t)
        value = Value(Spec(tuple(t.shape), t.dtype, tuple(t.strides)))
        self._add(memory.strided, (block.value,), attrs, [value])
        return value

    def _attrs(self, block: _Block, t: Any) -> memory.RegionAttrs:
        """Where ``t`` lies in what is known of its block."""
        shape, strides, first = tuple(t.shape), tuple(t.strides), t.offset - block.offset
        last = first + sum(s * (n - 1) for n, s in zip(shape, strides, strict=True))
        known = block.value
        inside = first >= 0 and last < numel(known.shape) and t.dtype is known.dtype
        if not (inside or 0 in shape) or not memory.is_dense(known.shape, known.strides):
            self.refuse(
                "an argument shares memory with another tensor that is used", "pass a clone of it"
            )
        attrs: memory.RegionAttrs = memory.RegionAttrs.of(shape, strides, first)
        return attrs

    def _write(self, t: Any, value: Value, version: int) -> None:
        """The memory of ``t`` was changed and now holds ``value``."""
        block = self._blocks[id(t.storage)]
        form = t._form or form_of(t)
        if form is block.form and t.offset == block.offset:
            if tuple(value.strides) != tuple(t.strides):
                value = self._laid_out(value, tuple(t.strides))
            self._hold(t, value, version)
            return
        base = block.value
        whole = Value(base.spec)
        self._add(memory.strided_scatter, (base, value), self._attrs(block, t), [whole])
        block.value, block.version = whole, version
        block.views = {}
        if tuple(value.strides) == tuple(t.strides):
            block.views[form, t.offset] = value

    def _laid_out(self, value: Value, strides: tuple[int, ...]) -> Value:
        moved = Value(Spec(value.shape, value.dtype, strides))
        self._add(memory.lay_out, (value,), memory.StridesAttrs.of(strides), [moved])
        return moved

    def _add(
        self,
        op: Op,
        inputs: tuple[Value | None, ...],
        attrs: Any,
        outputs: Sequence[Value],
        mutated: tuple[int, ...] = (),
    ) -> None:
        self.nodes.append(Node(op, inputs, attrs, tuple(outputs), mutated, self._source()))

    def _source(self) -> Source:
        if self._backward is not None:
            found = self._backward
            return replace(found, again=watching.rerun) if watching.rerun else found
        file, line = _user_place()
        path = ".".join(p for p in self._path if p)
        return Source(file, line, path, again=watching.rerun)


def _whole(t: Any) -> Any:
    """A tensor that fills its block: ``t`` itself, or a flat one over all of its memory."""
    item = t.dtype.itemsize
    count = t.storage.nbytes // item
    if t.offset == 0 and t.numel() == count and memory.is_dense(tuple(t.shape), tuple(t.strides)):
        return t
    from fovea.targets.base import make_tensor

    return make_tensor(t.storage, Size((count,)), (1,), 0, t.dtype)


def _snapshot(t: Any) -> np.ndarray[Any, Any]:
    """The elements of a tensor that fills its block, in the order of memory."""
    flat: np.ndarray[Any, Any] = t.storage.array((t.numel(),), (1,), 0, t.dtype.numpy)
    return flat.copy()


def _name(t: Any) -> str:
    name = getattr(t, "name", "")
    return name if isinstance(name, str) else ""


def _child_name(parent: Any, child: Any) -> str:
    """By which name a module holds another; through containers, the whole path."""
    for name, module in parent._modules.items():
        if module is child:
            return str(name)
    for name, module in parent.named_modules():
        if module is child:
            return str(name)
    return type(child).__name__


def _user_place() -> tuple[str, int]:
    """File and line of the innermost frame outside the package."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if is_users(name) and not name.startswith("<"):
            return name, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return "", 0


def _user_line() -> str:
    file, line = _user_place()
    return f"{file.rpartition('/')[2]}:{line}" if file else ""


class tracing:  # noqa: N801 - a context manager, named like a statement
    """``with tracing(tracer):`` lets it watch. One call is captured at a time in a process."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self._before: watching.Watcher | None = None

    def __enter__(self) -> Tracer:
        _lock.acquire()
        self._before, watching.watcher = watching.watcher, self.tracer
        return self.tracer

    def __exit__(self, *error: object) -> None:
        watching.watcher = self._before
        _lock.release()
