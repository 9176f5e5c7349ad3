"""Plans of several kernel calls, on tensors brought into the layout that their kernels want.

A lowering asks for its operands (`read`, `write`, `scratch`, `table`), adds calls on them, and
takes the plan. Where an input or an output lies otherwise in memory than a kernel wants, a copy is
put in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fovea.ops.op import Spec, contiguous_strides, numel
from fovea.ops.rules import channels_last_strides
from fovea.targets.base import Plan
from fovea.targets.cpu.builder import Kernel, checking
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.copy import copy_ready
from fovea.targets.cpu.elements import Element, element
from fovea.targets.cpu.launch import launched_alone, maker, ranges_of
from fovea.targets.cpu.loops import Ready, broadcast_strides
from fovea.targets.cpu.program import KernelCall, KernelProgram
from fovea.targets.cpu.recipe import Call, Operand, Recipe, call_of, exposed

__all__ = ["Operand", "Stages", "same_strides", "worth_sharing"]

# The calling thread moves fewer bytes in less time than it takes to share them out.
ALONE_BELOW = 98304


def worth_sharing(nbytes: int) -> bool:
    """Whether a call that moves so many bytes should go to all threads."""
    return nbytes >= ALONE_BELOW


class Stages:
    """A plan in the making.

    Args:
        inputs: the op's inputs, None for those left out.
        specs: its outputs.

    Attributes:
        in_place: inputs whose memory an output may take, where both are laid out alike.
    """

    def __init__(self, inputs: Sequence[Any], specs: Sequence[Spec]) -> None:
        self.inputs = inputs
        self.specs = specs
        self._calls: list[Call] = []
        self._last: list[Call] = []
        self._scratch: list[int] = []
        self._tables: list[np.ndarray[Any, Any]] = []
        self._thread_scratch = 0
        self.in_place: tuple[int, ...] = ()

    # -- operands ---------------------------------------------------------------------------------

    def read(self, i: int, strides: Sequence[int] | None = None) -> Operand:
        """Input `i`, or a copy of it if it has not these strides."""
        t = self.inputs[i]
        own = Operand("input", sum(u is not None for u in self.inputs[:i]))
        if strides is None or same_strides(t.shape, t.strides, strides):
            return own
        kind = element(t.dtype.name)
        copy = self.scratch(numel(t.shape) * kind.bytes)
        self._copy(self._calls, own, t.strides, copy, strides, t.shape, kind)
        return copy

    def read_dense(self, i: int, shape: Sequence[int] | None = None) -> Operand:
        """Input `i`, row-major; broadcast to `shape` if given."""
        t = self.inputs[i]
        if shape is None or tuple(shape) == tuple(t.shape):
            return self.read(i, contiguous_strides(t.shape))
        kind = element(t.dtype.name)
        copy = self.scratch(numel(shape) * kind.bytes)
        strides = broadcast_strides(shape, t.shape, t.strides)
        self._copy(self._calls, self.read(i), strides, copy, contiguous_strides(shape), shape, kind)
        return copy

    def read_image(self, i: int) -> tuple[Operand, tuple[int, int, int]]:
        """Input `i`, an image batch with its channels side by side; its strides along N, H, W."""
        t = self.inputs[i]
        n, c, h, w = t.strides
        if c == 1 or t.shape[1] == 1:
            return self.read(i), (n, h, w)
        n, c, h, w = strides = channels_last_strides(t.shape)
        return self.read(i, strides), (n, h, w)

    def write(self, i: int, strides: Sequence[int]) -> Operand:
        """Output `i`; if it shall have other strides, scratch that is copied to it in the end."""
        spec = self.specs[i]
        own = Operand("output", i)
        wanted = contiguous_strides(spec.shape) if spec.strides is None else spec.strides
        if same_strides(spec.shape, wanted, strides):
            return own
        kind = element(spec.dtype.name)
        made = self.scratch(numel(spec.shape) * kind.bytes)
        self._copy(self._last, made, strides, own, wanted, spec.shape, kind)
        return made

    def scratch(self, nbytes: int) -> Operand:
        """Memory for this call only."""
        self._scratch.append(max(nbytes, 1))
        return Operand("scratch", len(self._scratch) - 1)

    def thread_scratch(self, nbytes: int) -> Operand:
        """Memory of each thread: thread `tid` has it from `tid * nbytes` on. Other calls get the
        same memory.
        """
        self._thread_scratch = max(self._thread_scratch, nbytes)
        return Operand("threads", 0)

    def table(self, values: Any) -> Operand:
        """Constant numbers."""
        self._tables.append(np.ascontiguousarray(values))
        return Operand("table", len(self._tables) - 1)

    # -- calls ------------------------------------------------------------------------------------

    def call(
        self,
        key: str,
        build: Callable[[], Kernel],
        operands: Sequence[Operand],
        words: Sequence[int],
        parallel: bool,
        packs: bool = False,
    ) -> None:
        """Add a call of the kernel named `key` on these operands; `words` follow them."""
        address = load_cached(key, build)
        self._calls.append(Call(address, tuple(operands), tuple(words), parallel, packs))

    def ready(self, ready: Ready, operands: Sequence[Operand]) -> None:
        """Add a call that is prepared but for the addresses of these operands."""
        self._calls.append(call_of(ready, operands))

    def embed(self, program: KernelProgram, operands: Sequence[Operand]) -> None:
        """Add a program's calls, on these inputs and outputs of it."""
        own = [self.scratch(nbytes) for nbytes in program.scratch]
        where = [*operands, *own]
        if program.thread_scratch:
            where.append(self.thread_scratch(program.thread_scratch))
        for c in program.calls:
            buffers = tuple(where[b] for b in c.buffers)
            self._calls.append(Call(c.address, buffers, c.words, c.parallel, c.packs))

    def _copy(
        self,
        calls: list[Call],
        source: Operand,
        strides: Sequence[int],
        target: Operand,
        target_strides: Sequence[int],
        shape: Sequence[int],
        kind: Element,
    ) -> None:
        ready = copy_ready(shape, strides, target_strides, kind.bytes)
        if ready is not None:
            packs = target.kind == "scratch"
            calls.append(call_of(ready, (source, target))._replace(packs=packs))

    def plan(self) -> Plan:
        """The plan: makes the outputs, runs the calls."""
        first = {"input": 0, "output": sum(t is not None for t in self.inputs)}
        first["table"] = first["output"] + len(self.specs)
        external = first["scratch"] = first["table"] + len(self._tables)
        first["threads"] = external + len(self._scratch)
        calls = [
            KernelCall(
                c.address, tuple(first[o.kind] + o.number for o in c.operands), c.words, c.parallel
            )
            for c in self._calls + self._last
        ]
        program = KernelProgram(calls, external, self._scratch, self._thread_scratch)
        alone = len(self.specs) == 1 and not self._tables
        plan = launched_alone(program, self.specs[0]) if alone else None
        plan = plan or _runner(program, [maker(s) for s in self.specs], self._tables)
        made = (*self._calls, *self._last)
        tables, outputs, in_place = tuple(self._tables), tuple(self.specs), self.in_place
        scratch, per_thread = program.scratch, program.thread_scratch
        return exposed(  # with a recipe that does not keep the inputs
            plan,
            lambda: Recipe(made, outputs, scratch, per_thread, tables, in_place=in_place),
        )


def _runner(
    program: KernelProgram, makers: Sequence[Callable[[], Any]], tables: Sequence[Any]
) -> Plan:
    fixed = [t.ctypes.data for t in tables]
    extents = [(t.ctypes.data, t.ctypes.data + t.nbytes) for t in tables]
    single = makers[0] if len(makers) == 1 else None
    call, checked = program.run, checking()

    def run(inputs: tuple[Any, ...]) -> Any:
        outs = (single(),) if single is not None else tuple([make() for make in makers])
        tensors = [t for t in inputs + outs if t is not None]
        where = [t.storage.address + t.offset * t.dtype.itemsize for t in tensors]
        call(where + fixed, [*ranges_of(tensors), *extents] if checked else None)
        return outs[0] if single is not None else outs or None

    run.__dict__["tables"] = tables  # as long as the plan lives, so do they
    return run


def same_strides(shape: Sequence[int], a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two strides lead to the same elements of a tensor of this shape.

    >>> same_strides((4, 1, 3), (3, 99, 1), (3, 3, 1))
    True
    """
    return all(n <= 1 or s == t for n, s, t in zip(shape, a, b, strict=True)) or 0 in shape
