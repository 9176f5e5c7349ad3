"""The steps that a program consists of, and the blocks of memory that they work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fovea.graph.graph import Node, Value
from fovea.ops import elementwise
from fovea.ops.op import Spec
from fovea.targets.base import Plan
from fovea.targets.cpu import threads
from fovea.targets.cpu.copy import copy_ready
from fovea.targets.cpu.pointwise import ready as pointwise_ready
from fovea.targets.cpu.recipe import Operand, Recipe

__all__ = ["Block", "KernelStep", "Place", "PythonStep", "Step", "Steps"]


@dataclass(eq=False)
class Block:
    """A run of memory.

    Args:
        kind: ``"arena"``; ``"output"``: new in each call; ``"kept"``: for as long as the program
            lives; the memory of an ``"input"``, a ``"state"`` or a ``"constant"``; ``"table"``: a
            kernel's numbers; ``"words"``: part of the program's own parameters.
        nbytes: its size; `per_thread` bytes for each thread where that is set.
        number: which input, state, constant or table.
        first, last: the steps between which it is in use.
        contents: addresses that it holds (of ``"words"``).
    """

    kind: str
    nbytes: int
    number: int = 0
    first: int = -1
    last: int = -1
    per_thread: int = 0
    contents: tuple[Place, ...] = ()


class Place(NamedTuple):
    """Where a value begins: so many bytes behind the start of a block."""

    block: Block
    offset: int = 0


@dataclass(frozen=True)
class KernelStep:
    """One kernel call.

    Args:
        node: whose.
        address, buffers, words, parallel: the call.
        flag: the word in which the kernel notes an error, and the recipe that explains it.
    """

    node: Node | None
    address: int
    buffers: tuple[Place, ...]
    words: tuple[int, ...]
    parallel: bool
    flag: Block | None = None
    recipe: Recipe | None = None


@dataclass(frozen=True)
class PythonStep:
    """A plan that can only be called, on tensors over the places of its operands."""

    node: Node
    plan: Plan
    inputs: tuple[tuple[Value, Place] | None, ...]
    results: tuple[tuple[Value, Place], ...]


Step = KernelStep | PythonStep


class Steps:
    """A list of steps in the making.

    Attributes:
        steps: in order.
        blocks: those whose place is still to be found.
        tables: the numbers of the blocks that are tables.
        early: steps that need to be run only when what never changes has changed.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.blocks: list[Block] = []
        self.tables: list[np.ndarray[Any, Any]] = []
        self.early: list[Step] = []
        self._packed: dict[Any, Place] = {}  # by the call that packs it and what that reads

    def comes_early(self, buffers: Sequence[Place]) -> bool:
        """Whether a call that packs the last of these buffers belongs into the prologue; if so,
        they are kept.
        """
        return False

    def block(self, nbytes: int, per_thread: int = 0) -> Block:
        block = Block("arena", nbytes, per_thread=per_thread)
        self.blocks.append(block)
        return block

    def append(self, step: Step) -> None:
        """Add a step, and note that it uses its blocks."""
        if isinstance(step, KernelStep):
            used = [p.block for p in step.buffers]
        else:
            used = [t[1].block for t in (*step.inputs, *step.results) if t is not None]
        for block in used:
            for b in (block, *(p.block for p in block.contents)):
                self._use(b)
        self.steps.append(step)

    def _use(self, block: Block) -> None:
        now = len(self.steps)
        if block.first < 0:
            block.first = now
        block.last = now

    def add_calls(
        self, node: Node | None, recipe: Recipe, inputs: Sequence[Place], results: Sequence[Place]
    ) -> None:
        """The calls of a recipe on these inputs and results."""
        own: dict[Operand, Place] = {}
        roles = {"input": inputs, "output": results}

        def place(o: Operand) -> Place:
            if o.kind in roles:
                found = roles[o.kind][o.number]
            else:
                key = o._replace(offset=0)
                if key not in own:
                    own[key] = Place(self._own_block(recipe, key, place))
                found = own[key]
            return found._replace(offset=found.offset + o.offset)

        for c in recipe.calls:
            packs = c.packs and c.operands[-1].kind == "scratch"
            key = (c.address, c.words, tuple(place(o) for o in c.operands[:-1])) if packs else None
            if key in self._packed:  # for a node before: nobody changes what was packed
                own[c.operands[-1]._replace(offset=0)] = self._packed[key]
                continue
            buffers = tuple(place(o) for o in c.operands)
            if key is not None and self.comes_early(buffers):
                self.early.append(KernelStep(node, c.address, buffers, c.words, c.parallel))
                self._packed[key] = own[c.operands[-1]._replace(offset=0)]
                continue
            flags = [b.block for o, b in zip(c.operands, buffers, strict=True) if o.kind == "flag"]
            flag = flags[0] if flags else None
            self.append(KernelStep(node, c.address, buffers, c.words, c.parallel, flag, recipe))

    def _own_block(self, recipe: Recipe, o: Operand, place: Any) -> Block:
        """The block of an operand that is neither input nor result."""
        if o.kind == "scratch":
            return self.block(recipe.scratch[o.number])
        if o.kind == "threads":
            each = recipe.thread_scratch
            return self.block(each * threads.get_num_threads(), per_thread=each)
        if o.kind == "table":
            self.tables.append(recipe.tables[o.number])
            return Block("table", self.tables[-1].nbytes, len(self.tables) - 1)
        if o.kind == "pointers":
            held = tuple(place(p) for p in recipe.pointers[o.number])
            return Block("words", 8 * len(held), contents=held)
        assert o.kind == "flag", o
        return Block("words", 8)

    def copy(
        self, node: Node | None, source: Place, x: Value | Spec, target: Place, y: Value | Spec
    ) -> None:
        """Copy a value from one place to another, with a cast if need be."""
        assert x.strides is not None and y.strides is not None
        if x.dtype is y.dtype:
            ready = copy_ready(y.shape, x.strides, y.strides, x.dtype.itemsize)
        else:
            cast = elementwise.cast
            ready = pointwise_ready(cast, None, [x], y.dtype, y.dtype, y.strides, y.shape)
        recipe = Recipe.of_ready(ready, 1, Spec(tuple(y.shape), y.dtype, tuple(y.strides)))
        self.add_calls(node, recipe, [source], [target])
