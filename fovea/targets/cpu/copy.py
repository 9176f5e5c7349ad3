"""Lowering of ops that move elements: clone, cat, pad, slice_scatter, flip, roll. Each is a few
strided copies.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fovea.ops import rearrange
from fovea.ops import shape as ops
from fovea.ops.op import Op, Spec, contiguous_strides, numel
from fovea.targets.base import Plan
from fovea.targets.cpu import copy_kernels
from fovea.targets.cpu.builder import Kernel, checking
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import Element, element, u8, u16, u32, u64
from fovea.targets.cpu.launch import address_of, caller, launch, maker, run_checked_at
from fovea.targets.cpu.loops import Expression, Ready, Space, collapse, prepare
from fovea.targets.cpu.recipe import Operand, Recipe, call_of, exposed
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.transpose import Turn, transposing
from fovea.targets.cpu.values import Value

__all__ = ["ALONE_BELOW", "BY_SIZE", "PIECE_BYTES", "copied", "copy_ready"]

BY_SIZE: dict[int, Element] = {1: u8, 2: u16, 4: u32, 8: u64}
TRANSPOSE_FROM = 64  # elements; less is copied one by one
PIECE_BYTES = 1 << 17
ALONE_BELOW = 3 << 17  # bytes
MOST_CHANNELS = 4  # pixels of up to so many channels are (un)packed with shuffles


def _same(k: Kernel, values: Sequence[Value], parameters: Sequence[Value]) -> list[Value]:
    return [values[0]]


def _filling(e: Element) -> Expression:
    def body(k: Kernel, values: Sequence[Value], parameters: Sequence[Value]) -> list[Value]:
        return [k.cast(parameters[0], e.compute)]

    return Expression("fill", (), (e,), body, 1)


_COPIES = {n: Expression("copy", (e,), (e,), _same) for n, e in BY_SIZE.items()}


def copy_ready(
    shape: Sequence[int], x_strides: Sequence[int], y_strides: Sequence[int], itemsize: int
) -> Ready | None:
    """The call that copies elements of that many bytes between these layouts; None if there are
    none.
    """
    space = collapse(shape, (x_strides, y_strides))
    if space is None:
        return None
    return _transposing(space, itemsize) or prepare(_COPIES[itemsize], space)


def _transposing(space: Space, itemsize: int) -> Ready | None:
    """A tiled transpose, where x and y lie together along different dimensions."""
    xs, ys = space.strides
    if ys[-1] != 1 or xs[-1] in (0, 1) or 1 not in xs[:-1]:
        return None
    across = xs.index(1)
    down = len(xs) - 1
    if space.sizes[across] * space.sizes[down] < TRANSPOSE_FROM:
        return None
    rest = [d for d in range(len(xs)) if d not in (across, down)]
    outer = [(space.sizes[d], xs[d], ys[d]) for d in rest] or [(1, 0, 0)]
    e = BY_SIZE[itemsize]
    wide, deep = space.sizes[across], space.sizes[down]
    if deep <= MOST_CHANNELS and ys[across] == deep:
        return _pixels(e, outer, wide, deep, xs[down], packs=True)
    if wide <= MOST_CHANNELS and xs[down] == wide:
        return _pixels(e, outer, deep, wide, ys[across], packs=False)
    return transposing(e, Turn(wide, deep, xs[down], ys[across], tuple(outer)))


def _pixels(
    e: Element,
    outer: Sequence[tuple[int, int, int]],
    pixels: int,
    channels: int,
    plane: int,
    packs: bool,
) -> Ready:
    grain = -(-max(1, PIECE_BYTES // (e.bytes * channels)) // 64) * 64
    pieces = -(-pixels // grain)
    rows = numel([n for n, _, _ in outer])
    words = [
        *(n for n, _, _ in outer),
        *(pixels, rows, grain, pieces, plane),
        *(x for _, x, _ in outer),
        *(y for _, _, y in outer),
    ]
    count = len(outer)
    address = load_cached(
        f"pixels/{e}/{channels}/{count}/{packs}",
        lambda: copy_kernels.pixels_kernel(e, channels, count, packs),
    )
    return _call(address, words, rows * pixels * channels * e.bytes)


def _call(address: int, words: Sequence[int], nbytes: int) -> Ready:
    return Ready(address, struct.pack(f"{len(words)}q", *words), nbytes > ALONE_BELOW)


@dataclass(frozen=True)
class Move:
    """One copy (or filling) between parts of tensors.

    Args:
        ready: the call.
        source: the number of the input, or -1 for a filling.
        from_byte, to_byte: where it begins in the input and in the output.
    """

    ready: Ready
    source: int
    from_byte: int
    to_byte: int


def move(
    shape: Sequence[int],
    source: int,
    x_strides: Sequence[int],
    x_offset: int,
    y_strides: Sequence[int],
    y_offset: int,
    itemsize: int,
) -> list[Move]:
    """The copy of a part; none if it has no elements."""
    ready = copy_ready(shape, x_strides, y_strides, itemsize)
    return [] if ready is None else [Move(ready, source, x_offset * itemsize, y_offset * itemsize)]


def filling(spec: Spec, strides: Sequence[int], value: float) -> list[Move]:
    """Set every element of the output."""
    space = collapse(spec.shape, (strides,))
    if space is None:
        return []
    return [Move(prepare(_filling(element(spec.dtype.name)), space, (value,)), -1, 0, 0)]


def moving(moves: Sequence[Move], spec: Spec) -> Plan:
    """A plan that makes an output and fills it with a few copies."""
    run = _run_checked(moves, maker(spec)) if checking() else _run(moves, maker(spec), spec)
    return exposed(run, lambda: _recipe(moves, spec))


def _run(moves: Sequence[Move], make: Callable[[], Any], spec: Spec) -> Plan:
    item = spec.dtype.itemsize
    steps = [
        (caller(m.ready, 1 + (m.source >= 0)), m.source, m.from_byte, m.to_byte) for m in moves
    ]

    def run(inputs: tuple[Any, ...]) -> Any:
        out = make()
        target = out.storage.address
        for call, source, from_byte, to_byte in steps:
            if source < 0:
                call(target + to_byte)
            else:
                x = inputs[source]
                call(x.storage.address + x.offset * item + from_byte, target + to_byte)
        return out

    return run


def _run_checked(moves: Sequence[Move], make: Callable[[], Any]) -> Plan:
    def run(inputs: tuple[Any, ...]) -> Any:
        out = make()
        target = out.storage.address
        for m in moves:
            if m.source < 0:
                run_checked_at(m.ready, (target + m.to_byte,), (out,))
            else:
                x = inputs[m.source]
                addresses = (address_of(x) + m.from_byte, target + m.to_byte)
                run_checked_at(m.ready, addresses, (x, out))
        return out

    return run


def _recipe(moves: Sequence[Move], spec: Spec) -> Recipe:
    calls = []
    for m in moves:
        target = Operand("output", 0, m.to_byte)
        source = () if m.source < 0 else (Operand("input", m.source, m.from_byte),)
        calls.append(call_of(m.ready, (*source, target)))
    return Recipe(tuple(calls), (spec,))


def _strides(spec: Spec) -> tuple[int, ...]:
    return contiguous_strides(spec.shape) if spec.strides is None else spec.strides


def copied(x: Any, spec: Spec) -> Plan:
    """A plan that copies a Tensor like ``x`` into the layout of ``spec``, which has its shape and
    dtype.
    """
    ready = copy_ready(spec.shape, x.strides, _strides(spec), spec.dtype.itemsize)
    return launch(ready, [spec.dtype], spec)


@CPU.lower(ops.clone)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    return copied(inputs[0], specs[0])


@CPU.lower(ops.cat)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (spec,) = specs
    strides, item = _strides(spec), spec.dtype.itemsize
    moves: list[Move] = []
    at = 0
    for n, t in enumerate(inputs):
        moves += move(t.shape, n, t.strides, 0, strides, at * strides[attrs.dim], item)
        at += t.shape[attrs.dim]
    return moving(moves, spec)


@CPU.lower(ops.stack)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (spec,) = specs
    strides, item, d = list(_strides(spec)), spec.dtype.itemsize, attrs.dim
    along = strides.pop(d)
    moves: list[Move] = []
    for n, t in enumerate(inputs):
        moves += move(t.shape, n, t.strides, 0, strides, n * along, item)
    return moving(moves, spec)


@CPU.lower(rearrange.pad)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (x,), (spec,) = inputs, specs
    strides, item = _strides(spec), spec.dtype.itemsize
    kept = [
        max(0, n + min(b, 0) + min(e, 0))
        for n, b, e in zip(x.shape, attrs.before, attrs.after, strict=True)
    ]
    from_x = sum(max(-b, 0) * s for b, s in zip(attrs.before, x.strides, strict=True))
    to_y = sum(max(b, 0) * s for b, s in zip(attrs.before, strides, strict=True))
    grows = any(n > 0 for n in (*attrs.before, *attrs.after))
    moves = filling(spec, strides, attrs.value) if grows else []
    return moving([*moves, *move(kept, 0, x.strides, from_x, strides, to_y, item)], spec)


@CPU.lower(ops.slice_scatter)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (x,), (spec,) = inputs, specs
    strides, item = _strides(spec), spec.dtype.itemsize
    stepped = [s * k for s, k in zip(strides, attrs.step, strict=True)]
    start = sum(f * s for f, s in zip(attrs.start, strides, strict=True))
    moves = [] if tuple(x.shape) == tuple(spec.shape) else filling(spec, strides, 0.0)
    return moving([*moves, *move(x.shape, 0, x.strides, 0, stepped, start, item)], spec)


@CPU.lower(rearrange.flip)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (x,), (spec,) = inputs, specs
    back = [d in attrs.dims for d in range(len(x.shape))]
    steps = [-s if b else s for s, b in zip(x.strides, back, strict=True)]
    start = sum((n - 1) * s for n, s, b in zip(x.shape, x.strides, back, strict=True) if b)
    item = spec.dtype.itemsize
    return moving(move(x.shape, 0, steps, start, _strides(spec), 0, item), spec)


@CPU.lower(rearrange.roll)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (x,), (spec,) = inputs, specs
    strides, item = _strides(spec), spec.dtype.itemsize
    shifts = [0] * len(x.shape)
    for shift, d in zip(attrs.shifts, attrs.dims, strict=True):
        shifts[d] += shift
    # In each dimension the last `shift` elements come first: one or two runs (length, start in x,
    # start in y).
    runs = []
    for n, shift in zip(x.shape, shifts, strict=True):
        s = shift % n if n else 0
        runs.append([(n - s, 0, s), (s, n - s, 0)] if s else [(n, 0, 0)])
    moves: list[Move] = []
    for parts in itertools.product(*runs):
        shape = [length for length, _, _ in parts]
        from_x = sum(f * s for (_, f, _), s in zip(parts, x.strides, strict=True))
        to_y = sum(t * s for (_, _, t), s in zip(parts, strides, strict=True))
        moves += move(shape, 0, x.strides, from_x, strides, to_y, item)
    return moving(moves, spec)
