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
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from fovea.ops.op import Attrs, Op, Spec, numel
from fovea.ops.optim import (
    SCALAR_STATES,
    UpdateAttrs,
    adagrad_update,
    adam_update,
    adamax_update,
    by_parameter,
    nadam_update,
    rmsprop_update,
    sgd_update,
)
from fovea.targets.base import Plan
from fovea.targets.cpu import threads, vmath
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
from fovea.targets.cpu.values import Value
from fovea.targets.reference import REFERENCE

LINE = 64  # bytes of a cache line
AHEAD = (
    12  # how many lines ahead is fetched: a handful of streams is more than the hardware follows
)

Numbers = SimpleNamespace  # by name


@dataclass(frozen=True)
class Rule:
    """How a kernel computes an update.

    Args:
        prepare: ``(k, c, t, a) -> numbers``: once a chunk, in float64, from the scalars ``c`` and
            the states that are numbers ``t`` (the step already counted).
        update: ``(k, p, g, s, n, a) -> p``: for each element; sets the new states in ``s``.
    """

    prepare: Callable[[Kernel, Numbers, Numbers, Any], Numbers]
    update: Callable[[Kernel, Value, Value, Numbers, Numbers, Any], Value]


def _sgd_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    return Numbers(lr=c.lr, momentum=c.momentum, kept=1.0 - c.dampening)


def _sgd(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    if not a.momentum:
        return p - n.lr * g
    if a.lr_in_velocity:
        s.momentum_buffer = v = n.momentum * s.momentum_buffer - n.lr * g
        return p + (n.momentum * v - n.lr * g if a.nesterov else v)
    s.momentum_buffer = v = g if a.first else k.fma(n.momentum, s.momentum_buffer, n.kept * g)
    return p - n.lr * (k.fma(n.momentum, v, g) if a.nesterov else v)


def _adam_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    step = c.lr / (1.0 - vmath.pow(k, c.beta1, t.step))
    root = k.sqrt(1.0 - vmath.pow(k, c.beta2, t.step))
    raw = a.eps_mode == "raw"
    return Numbers(
        step=step * root if raw else step,
        scale=k.const(1.0, f64) if raw else 1.0 / root,
        eps=c.eps,
        new1=1.0 - c.beta1,
        old2=c.beta2,
        new2=1.0 - c.beta2,
    )


def _adam(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    s.exp_avg = k.fma(n.new1, g - s.exp_avg, s.exp_avg)
    s.exp_avg_sq = square = k.fma(n.old2, s.exp_avg_sq, n.new2 * g * g)
    if a.amsgrad:
        s.max_exp_avg_sq = square = k.maximum(s.max_exp_avg_sq, square)
    return p - n.step * s.exp_avg / k.fma(k.sqrt(square), n.scale, n.eps)


def _rmsprop_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    return Numbers(
        lr=c.lr, old=c.alpha, new=1.0 - c.alpha, eps=c.eps, momentum=c.momentum
    )  # fmt: skip


def _rmsprop(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    s.square_avg = square = k.fma(n.old, s.square_avg, n.new * g * g)
    if a.centered:
        s.grad_avg = k.fma(n.new, g - s.grad_avg, s.grad_avg)
        square = square - s.grad_avg * s.grad_avg
    root = k.sqrt(square + n.eps) if a.eps_mode == "inside" else k.sqrt(square) + n.eps
    if not a.momentum:
        return p - n.lr * g / root
    if a.lr_in_velocity:
        s.momentum_buffer = k.fma(n.momentum, s.momentum_buffer, n.lr * g / root)
        return p - s.momentum_buffer
    s.momentum_buffer = k.fma(n.momentum, s.momentum_buffer, g / root)
    return p - n.lr * s.momentum_buffer


def _adagrad_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    return Numbers(lr=c.lr / (1.0 + (t.step - 1.0) * c.lr_decay), eps=c.eps)


def _adagrad(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    s.sum = k.fma(g, g, s.sum)
    root = k.sqrt(s.sum + n.eps) if a.eps_mode == "inside" else k.sqrt(s.sum) + n.eps
    return p - n.lr * g / root


def _adamax_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    return Numbers(
        step=c.lr / (1.0 - vmath.pow(k, c.beta1, t.step)),
        new1=1.0 - c.beta1,
        old2=c.beta2,
        eps=c.eps,
    )


def _adamax(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    s.exp_avg = k.fma(n.new1, g - s.exp_avg, s.exp_avg)
    norm = k.abs(g) if a.eps_mode == "ratio" else k.abs(g) + n.eps
    s.exp_inf = k.maximum(n.old2 * s.exp_inf, norm)
    divisor = s.exp_inf + n.eps if a.eps_mode == "ratio" else s.exp_inf
    return p - n.step * s.exp_avg / divisor


def _nadam_mu(k: Kernel, c: Numbers, step: Value) -> Value:
    decay = vmath.pow(k, k.const(0.96, f64), step * c.momentum_decay)
    return c.beta1 * (1.0 - 0.5 * decay)


def _nadam_numbers(k: Kernel, c: Numbers, t: Numbers, a: Any) -> Numbers:
    mu, following = _nadam_mu(k, c, t.step), _nadam_mu(k, c, t.step + 1.0)
    return Numbers(
        now=c.lr * (1.0 - mu) / (1.0 - t.mu_product),
        ahead=c.lr * following / (1.0 - t.mu_product * following),
        scale=1.0 / (1.0 - vmath.pow(k, c.beta2, t.step)),
        eps=c.eps,
        new1=1.0 - c.beta1,
        old2=c.beta2,
        new2=1.0 - c.beta2,
    )


def _nadam(k: Kernel, p: Value, g: Value, s: Numbers, n: Numbers, a: Any) -> Value:
    s.exp_avg = k.fma(n.new1, g - s.exp_avg, s.exp_avg)
    s.exp_avg_sq = k.fma(n.old2, s.exp_avg_sq, n.new2 * g * g)
    root = k.sqrt(s.exp_avg_sq * n.scale) + n.eps
    return p - (n.now * g + n.ahead * s.exp_avg) / root


RULES: dict[Op, Rule] = {
    sgd_update: Rule(_sgd_numbers, _sgd),
    adam_update: Rule(_adam_numbers, _adam),
    rmsprop_update: Rule(_rmsprop_numbers, _rmsprop),
    adagrad_update: Rule(_adagrad_numbers, _adagrad),
    adamax_update: Rule(_adamax_numbers, _adamax),
    nadam_update: Rule(_nadam_numbers, _nadam),
}


def _scalars(k: Kernel, buffer: Buffer, a: UpdateAttrs) -> Numbers:
    return Numbers(**{name: k.load(buffer, i) for i, name in enumerate(a.scalars)})


def _counted(k: Kernel, c: Numbers, numbers: Numbers) -> Numbers:
    """The states that are numbers, one step on."""
    after = Numbers()
    if hasattr(numbers, "step"):
        after.step = k.cast(numbers.step + 1.0, f64)
    if hasattr(numbers, "mu_product"):
        mu = k.cast(_nadam_mu(k, c, after.step), f32)
        after.mu_product = k.cast(numbers.mu_product * mu, f64)
    return after


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
        prepared = vars(rule.prepare(k, c, _counted(k, c, numbers), a))
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
        after = _counted(k, c, Numbers(**{n: k.load(b) for n, b in held.items()}))
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
