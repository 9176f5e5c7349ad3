"""Optimizer updates: one kernel call for all parameters of a group.

The kernel gets a table of addresses (those of the op's tensors, in its order) and a list of chunks,
each a piece of one parameter. A parameter, its gradient and its states have one memory layout, so
that a chunk is a run of numbers.
"""

from __future__ import annotations

import dataclasses
import struct
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from fovea.ops.op import Attrs, Op, Spec, numel
from fovea.ops.update import SCALAR_STATES, UpdateAttrs, by_parameter
from fovea.targets.base import Plan
from fovea.targets.cpu import threads
from fovea.targets.cpu.builder import Kernel, checking
from fovea.targets.cpu.checks import run_checked
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import Element, element, f32, f64, i64
from fovea.targets.cpu.launch import address_of, ranges_of
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.recipe import Call, Operand, Recipe
from fovea.targets.cpu.stages import same_strides
from fovea.targets.cpu.tables import CHUNK, addresses, chunks_of, is_run, pointer
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.update_rules import RULES, Numbers, Rule, counted
from fovea.targets.cpu.values import Value
from fovea.targets.reference import REFERENCE

LINE = 64  # bytes of a cache line
# How many lines ahead is fetched: a handful of streams is more than the hardware follows.
AHEAD = 12


def _scalars(k: Kernel, buffer: Buffer, a: UpdateAttrs) -> Numbers:
    return Numbers(**{name: k.load(buffer, i) for i, name in enumerate(a.scalars)})


def update_kernel(op: Op, a: UpdateAttrs, kind: Element) -> Kernel:
    """The update of all elements; states that are numbers are read as before the step."""
    k = Kernel(op.name, (("table", i64), ("chunks", i64), ("scalars", f64)), ("tensors", "pieces"))
    (table, chunks, scalars), (count, pieces) = k.buffers, k.sizes
    rule, lanes, compute = RULES[op], k.lanes(kind), kind.compute
    with k.parallel(pieces) as piece:
        which, start, length = (k.load(chunks, piece * 3 + i) for i in range(3))
        words = [k.load(table, count * i + which) for i in range(2 + len(a.states))]
        named = dict(zip(a.states, words[2:], strict=True))
        c = _scalars(k, scalars, a)
        length = k.select(c.skip.eq(0.0), length, 0)
        numbers = Numbers(
            **{n: k.load(pointer(k, named.pop(n), f32)) for n in SCALAR_STATES if n in named}
        )
        prepared = vars(rule.prepare(k, c, counted(k, c, numbers), a))
        prepared["weight_decay"], prepared["shrink"] = c.weight_decay, 1.0 - c.lr * c.weight_decay
        n = Numbers(**{name: k.cast(v, compute) for name, v in prepared.items()})
        words = [*words[:2], *named.values()]
        tensors = [pointer(k, w, kind, start + length).at(start) for w in words]
        line = LINE // kind.bytes
        full = length // line * line
        with k.loop(0, full, line) as i:
            for t in tensors:
                k.prefetch(t, i + line * AHEAD)
            for at in range(0, line, lanes):
                _element(k, rule, a, tensors, list(named), n, i + at, lanes)
        with k.loop(full, length) as i:
            _element(k, rule, a, tensors, list(named), n, i, 1)
    return k


def _element(
    k: Kernel,
    rule: Rule,
    a: UpdateAttrs,
    tensors: Sequence[Buffer],
    names: Sequence[str],
    n: Numbers,
    i: Value,
    lanes: int,
) -> None:
    """Update `lanes` elements from `i` on."""
    p, g, *states = (k.load(t, i, lanes) for t in tensors)
    s = Numbers(**dict(zip(names, states, strict=True)))
    n = Numbers(**{name: k.broadcast(v, lanes) for name, v in vars(n).items()})
    if a.maximize:
        g = -g
    if a.decay == "l2":
        g = k.fma(n.weight_decay, p, g)
    elif a.decay == "decoupled":
        p = p * n.shrink
    k.store(rule.update(k, p, g, s, n, a), tensors[0], i)
    for name, t in zip(names, tensors[2:], strict=True):
        k.store(getattr(s, name), t, i)


def count_kernel(op: Op, a: UpdateAttrs) -> Kernel:
    """Count the step: after the update, since every chunk of a parameter reads the same number."""
    k = Kernel(f"{op.name}_count", (("table", i64), ("scalars", f64)), ("tensors",))
    (table, scalars), (count,) = k.buffers, k.sizes
    c = _scalars(k, scalars, a)
    places = {n: 2 + a.states.index(n) for n in SCALAR_STATES if n in a.states}
    with k.loop(0, k.select(c.skip.eq(0.0), count, 0)) as which:
        held = {n: pointer(k, k.load(table, count * at + which), f32) for n, at in places.items()}
        after = counted(k, c, Numbers(**{n: k.load(b) for n, b in held.items()}))
        for name, buffer in held.items():
            k.store(k.cast(getattr(after, name), f32), buffer)
    return k


def _same_layout(tensors: Sequence[Any], a: UpdateAttrs) -> bool:
    """Whether each parameter is a run of memory, and its gradient and states lie as it does."""
    for p, *others in by_parameter(tensors, a):
        if p.dtype is not tensors[0].dtype:
            return False
        if not is_run(p):
            return False
        for name, t in zip(("gradient", *a.states), others, strict=True):
            if name not in SCALAR_STATES and not same_strides(p.shape, t.strides, p.strides):
                return False
    return True


@CPU.lower(*RULES)
def _(op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, specs: Sequence[Spec]) -> Plan:
    assert isinstance(attrs, UpdateAttrs)
    a, tensors = attrs, inputs[1:]
    plain = inputs[0].strides == (1,) and bool(tensors)
    if not plain or not _same_layout(tensors, a):
        return REFERENCE.plan(op, inputs, attrs, specs)
    params = tensors[: len(tensors) // (2 + len(a.states))]
    kind = element(params[0].dtype.name)
    key = "/".join(map(str, (op.name, kind, *dataclasses.astuple(a))))
    update = load_cached(f"optim/{key}", lambda: update_kernel(op, a, kind))
    counted = any(n in a.states for n in SCALAR_STATES)
    count = load_cached(f"optim/count/{key}", lambda: count_kernel(op, a)) if counted else 0
    return _Launch(a, update, count, [numel(p.shape) for p in params])


class _Launch:
    """The plan: gather the addresses, update, count."""

    def __init__(self, a: UpdateAttrs, update: int, count: int, sizes: Sequence[int]) -> None:
        self.update, self.count, self.params = update, count, len(sizes)
        self.states = len(a.states)
        self.chunks = chunks_of(sizes)
        self.chunk_address = self.chunks.__array_interface__["data"][0]
        self.threads = 0 if sum(sizes) > CHUNK else 1
        self.run = self._run_checked if checking() else self._run

    def __call__(self, inputs: tuple[Any, ...]) -> None:
        self.run(inputs[0], addresses(inputs[1:]))

    def with_gradients_later(self, inputs: tuple[Any, ...]) -> Callable[[Sequence[Any]], None]:
        """The plan for these inputs but for the gradients, which are given at each call."""
        scalars, table = inputs[0], addresses(inputs[1:])
        first, last = self.params, 2 * self.params

        def run(grads: Sequence[Any]) -> None:
            table[first:last] = addresses(grads)
            self.run(scalars, table)

        return run

    def recipe(self) -> Recipe:
        """The calls, for others to run."""
        tensors = self.params * (2 + self.states)
        table, pieces, scalars = Operand("pointers"), Operand("table"), Operand("input")
        words = (self.params, len(self.chunks))
        calls = [Call(self.update, (table, pieces, scalars), words, self.threads == 0)]
        if self.count:
            calls.append(Call(self.count, (table, scalars), (self.params,), False))
        pointers = tuple(Operand("input", 1 + i) for i in range(tensors))
        return Recipe(tuple(calls), (), tables=(self.chunks,), pointers=(pointers,))

    def _words(self, scalars: Any, table: array[int]) -> tuple[bytes, bytes]:
        where, _ = table.buffer_info()
        at = address_of(scalars)
        pieces = len(self.chunks)
        update = struct.pack("5q", where, self.chunk_address, at, self.params, pieces)
        return update, struct.pack("3q", where, at, self.params)

    def _run(self, scalars: Any, table: array[int]) -> None:
        update, count = self._words(scalars, table)
        threads.run(self.update, update, self.threads)
        if self.count:
            threads.run(self.count, count, 1)

    def _run_checked(self, scalars: Any, table: array[int]) -> None:
        update, count = self._words(scalars, table)
        where, length = table.buffer_info()
        tables, numbers = (where, where + 8 * length), ranges_of([scalars])[0]
        pieces = (self.chunk_address, self.chunk_address + self.chunks.nbytes)
        run_checked(self.update, update, [tables, pieces, numbers], self.threads)
        if self.count:
            run_checked(self.count, count, [tables, numbers], 1)
