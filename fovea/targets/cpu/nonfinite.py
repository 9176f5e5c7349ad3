"""One pass over many tensors that finds infinities and NaNs."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from fovea.ops.nonfinite import nonfinite
from fovea.ops.op import Attrs, Op, Spec, numel
from fovea.targets.base import Plan
from fovea.targets.cpu import threads
from fovea.targets.cpu.builder import Kernel, checking
from fovea.targets.cpu.checks import run_checked
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import Element, element, f32, i64
from fovea.targets.cpu.launch import address_of, maker, ranges_of
from fovea.targets.cpu.recipe import Call, Operand, Recipe
from fovea.targets.cpu.tables import CHUNK, addresses, chunks_of, is_run, pointer
from fovea.targets.cpu.target import CPU
from fovea.targets.reference import reference_plan

UNROLL = 4  # sums side by side, so that no addition waits for another


def flag_kernel(kind: Element) -> Kernel:
    """Set the flag to 1 if an element is not finite: 0 times it is then NaN, and so is the sum."""
    name = f"nonfinite_{kind}"
    k = Kernel(name, (("table", i64), ("chunks", i64), ("flag", f32)), ("pieces",))
    (table, chunks, flag), (pieces,) = k.buffers, k.sizes
    lanes = k.lanes(kind)
    with k.parallel(pieces) as piece:
        which, start, length = (k.load(chunks, piece * 3 + i) for i in range(3))
        tensor = pointer(k, k.load(table, which), kind, start + length).at(start)
        zero = k.const(0.0, kind.compute)
        sums = [k.var(k.broadcast(zero, lanes)) for _ in range(UNROLL)]
        step = UNROLL * lanes
        full = length // step * step
        with k.loop(0, full, step) as i:
            for n, total in enumerate(sums):
                x = k.load(tensor, i + n * lanes, lanes)
                total.set(k.fma(x, k.broadcast(zero, lanes), total.get()))
        rest = k.var(zero)
        with k.loop(full, length) as i:
            rest.set(k.fma(k.load(tensor, i), zero, rest.get()))
        whole = sums[0].get()
        for total in sums[1:]:
            whole = whole + total.get()
        found = rest.get() + k.reduce_add(whole)
        with k.if_(found.ne(0.0)):  # every thread that writes, writes the same
            k.store(k.const(1.0, f32), flag)
    return k


def clear_kernel() -> Kernel:
    """Set the flag to 0: before all chunks, which threads take in no order."""
    k = Kernel("nonfinite_clear", (("flag", f32),))
    k.store(k.const(0.0, f32), k.buffers[0])
    return k


@CPU.lower(nonfinite)
def _(op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, specs: Sequence[Spec]) -> Plan:
    kinds = {t.dtype.name for t in inputs}
    if len(kinds) != 1 or not all(map(is_run, inputs)):
        return reference_plan(op, attrs, specs)
    return _Check(element(kinds.pop()), [numel(t.shape) for t in inputs], specs[0])


class _Check:
    """The plan: clear the flag, look at every chunk."""

    def __init__(self, kind: Element, sizes: Sequence[int], spec: Spec) -> None:
        self.clear = load_cached("nonfinite/clear", clear_kernel)
        self.look = load_cached(f"nonfinite/{kind}", lambda: flag_kernel(kind))
        self.chunks, self.tensors, self.spec = chunks_of(sizes), len(sizes), spec
        self.threads = 0 if sum(sizes) > CHUNK else 1
        self.make = maker(spec)

    def __call__(self, tensors: tuple[Any, ...]) -> Any:
        flag, table = self.make(), addresses(tensors)
        (at, length), pieces = table.buffer_info(), self.chunks.__array_interface__["data"][0]
        clear = struct.pack("q", address_of(flag))
        look = struct.pack("4q", at, pieces, address_of(flag), len(self.chunks))
        if checking():
            own = ranges_of([flag])
            run_checked(self.clear, clear, own, 1)
            known = [(at, at + 8 * length), (pieces, pieces + self.chunks.nbytes), *own]
            run_checked(self.look, look, known, self.threads)
        else:
            threads.run(self.clear, clear, 1)
            threads.run(self.look, look, self.threads)
        return flag

    def recipe(self) -> Recipe:
        """The calls, for others to run."""
        flag = Operand("output")
        operands = (Operand("pointers"), Operand("table"), flag)
        clear = Call(self.clear, (flag,), (), False)
        look = Call(self.look, operands, (len(self.chunks),), self.threads == 0)
        pointers = tuple(Operand("input", i) for i in range(self.tensors))
        return Recipe((clear, look), (self.spec,), tables=(self.chunks,), pointers=(pointers,))
