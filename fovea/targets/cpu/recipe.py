"""`Recipe`: what a plan does, as data: kernel calls on operands that are named by their role.

A plan makes its outputs and runs its kernels by itself. Who runs many ops in one go (`Executable`)
needs the calls alone, to put them into one list over memory of its own. A plan that can be taken
apart offers its recipe, which is only made when it is asked for; one that cannot stays a callable.
"""

from __future__ import annotations

import dataclasses
import struct
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fovea.ops.op import Spec, numel
from fovea.targets.base import Plan
from fovea.targets.cpu.loops import Ready
from fovea.targets.cpu.program import KernelProgram

__all__ = ["Call", "Operand", "Recipe", "after", "call_of", "exposed", "prepared", "recipe_of"]


class Operand(NamedTuple):
    """What a kernel call works on.

    Args:
        kind: ``"input"`` (numbered without those left out), ``"output"``, ``"table"``,
            ``"scratch"``; ``"threads"``: scratch of which each thread has its part; ``"pointers"``:
            a table of addresses; ``"flag"``: the word in which an error is noted.
        number: which one.
        offset: how many bytes behind its start.
    """

    kind: str
    number: int = 0
    offset: int = 0


class Call(NamedTuple):
    """One kernel call.

    Args:
        address: the compiled kernel.
        operands: its buffers.
        words: the sizes and scalars that follow them.
        parallel: whether all threads take part.
        packs: it makes its last operand, scratch that no other call writes, from the others: where
            those stay the same, so does that.
    """

    address: int
    operands: tuple[Operand, ...]
    words: tuple[int, ...] = ()
    parallel: bool = True
    packs: bool = False


@dataclass(frozen=True)
class Recipe:
    """Kernel calls, one after the other, and what they need besides inputs.

    Args:
        calls: in order.
        outputs: what is made.
        scratch: bytes of each scratch buffer.
        thread_scratch: bytes that each thread needs for itself.
        tables: constant numbers.
        pointers: the operands whose addresses each table of addresses holds.
        in_place: inputs whose memory the output may take, where both are laid out alike.
        complain: raises the error that a set flag stands for, from the op's inputs.
    """

    calls: tuple[Call, ...]
    outputs: tuple[Spec, ...]
    scratch: tuple[int, ...] = ()
    thread_scratch: int = 0
    tables: tuple[np.ndarray[Any, Any], ...] = ()
    pointers: tuple[tuple[Operand, ...], ...] = ()
    in_place: tuple[int, ...] = ()
    complain: Callable[[tuple[Any, ...]], None] | None = None

    @staticmethod
    def of_ready(
        ready: Ready | None, inputs: int, output: Spec, in_place: Sequence[int] = ()
    ) -> Recipe:
        """One call on the inputs and the output; none without a kernel."""
        operands = (*(Operand("input", i) for i in range(inputs)), Operand("output"))
        calls = () if ready is None else (call_of(ready, operands),)
        return Recipe(calls, (output,), in_place=tuple(in_place))

    @staticmethod
    def of_program(
        program: KernelProgram,
        inputs: int,
        outputs: Sequence[Spec],
        tables: Sequence[np.ndarray[Any, Any]] = (),
    ) -> Recipe:
        """The calls of a program whose buffers are inputs, outputs, tables and scratch."""
        roles = [Operand("input", i) for i in range(inputs)]
        roles += [Operand("output", i) for i in range(len(outputs))]
        roles += [Operand("table", i) for i in range(len(tables))]
        roles += [Operand("scratch", i) for i in range(len(program.scratch))]
        roles.append(Operand("threads"))
        calls = [
            Call(c.address, tuple(roles[b] for b in c.buffers), c.words, c.parallel, c.packs)
            for c in program.calls
        ]
        return Recipe(
            tuple(calls), tuple(outputs), program.scratch, program.thread_scratch, tuple(tables)
        )


def call_of(ready: Ready, operands: Sequence[Operand]) -> Call:
    """A prepared kernel as a call on these operands."""
    words = struct.unpack(f"{len(ready.words) // 8}q", ready.words)
    return Call(ready.address, tuple(operands), words, ready.parallel)


# Of functions. Not attributes: built-in ones have none.
_recipes: weakref.WeakKeyDictionary[Plan, Callable[[], Recipe | None]] = weakref.WeakKeyDictionary()


def exposed(plan: Plan, recipe: Callable[[], Recipe | None]) -> Plan:
    """The plan, a function, with the recipe that it offers (None: on second thoughts, none)."""
    _recipes[plan] = recipe
    return plan


def recipe_of(plan: Plan) -> Recipe | None:
    """What a plan does, or None if it can only be called."""
    make = getattr(plan, "recipe", None) or _recipes.get(plan)  # an object's own, or a function's
    recipe: Recipe | None = make() if make is not None else None
    return recipe


def prepared(plan: Plan, firsts: Mapping[int, Plan]) -> Plan:
    """A plan on inputs of which some (by number) go through plans of their own first."""

    def run(inputs: tuple[Any, ...]) -> Any:
        given = list(inputs)
        for number, first in firsts.items():
            given[number] = first((given[number],))
        return plan(tuple(given))

    def recipe() -> Recipe | None:
        rest = recipe_of(plan)
        found = {number: recipe_of(first) for number, first in firsts.items()}
        known = {number: r for number, r in found.items() if r is not None}
        return None if rest is None or len(known) < len(found) else after(known, rest)

    return exposed(run, recipe)


def after(first: Mapping[int, Recipe], rest: Recipe) -> Recipe:
    """`rest` on inputs of which some are prepared first.

    Args:
        first: for the numbers of such inputs, the recipe that makes from the input of that number
            the one that `rest` wants: one input, one output.
        rest: the recipe of the op.

    >>> copy = Recipe((Call(7, (Operand("input"), Operand("output"))),), ())
    >>> use = Recipe((Call(8, (Operand("input", 0), Operand("input", 1))),), ())
    >>> [c.operands for c in after({}, use).calls] == [c.operands for c in use.calls]
    True
    """
    calls: list[Call] = []
    scratch, tables, made = [*rest.scratch], [*rest.tables], {}
    thread_scratch = rest.thread_scratch
    for number, recipe in first.items():
        (spec,) = recipe.outputs
        made[number] = Operand("scratch", len(scratch))
        shifts = {"scratch": len(scratch) + 1, "table": len(tables)}
        for c in recipe.calls:
            moved = [_moved(o, number, made[number], shifts) for o in c.operands]
            alone = len(recipe.calls) == 1 and moved[-1] == made[number]
            calls.append(c._replace(operands=tuple(moved), packs=c.packs or alone))
        scratch += [max(numel(spec.shape) * spec.dtype.itemsize, 1), *recipe.scratch]
        tables += recipe.tables
        thread_scratch = max(thread_scratch, recipe.thread_scratch)
    for c in rest.calls:
        read = [_read(o, made) for o in c.operands]
        calls.append(c._replace(operands=tuple(read)))
    return dataclasses.replace(
        rest,
        calls=tuple(calls),
        scratch=tuple(scratch),
        thread_scratch=thread_scratch,
        tables=tuple(tables),
        in_place=tuple(i for i in rest.in_place if i not in made),
    )


def _read(o: Operand, made: Mapping[int, Operand]) -> Operand:
    """An operand of the op itself, whose prepared inputs are read where they were made."""
    prepared = o.kind == "input" and o.number in made
    return made[o.number]._replace(offset=o.offset) if prepared else o


def _moved(o: Operand, number: int, made: Operand, shifts: Mapping[str, int]) -> Operand:
    """An operand of the recipe that prepares input `number`, as one of the whole."""
    if o.kind == "input":
        return o._replace(number=number)
    if o.kind == "output":
        return made._replace(offset=o.offset)
    return o._replace(number=o.number + shifts.get(o.kind, 0))
