"""What a program returns: tensors that are new in each call, and some that it was given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fovea import dtypes
from fovea.graph.graph import Graph, Value, same_spec
from fovea.ops.op import Spec
from fovea.ops.rules import dense_strides
from fovea.targets.cpu.launch import maker
from fovea.targets.cpu.steps import Block, Place

__all__ = ["Outputs"]


class Outputs:
    """The outputs of a graph and the blocks that are allocated for them in each call.

    Args:
        graph: the graph.
        placed: for each output its value and place.

    Attributes:
        slots: how many inputs and such blocks there are.
        plain: whether what `make` makes are the outputs, in order: nothing to `collect`.
    """

    def __init__(self, graph: Graph, placed: Sequence[tuple[Value, Place]]) -> None:
        self._inputs = len(graph.inputs)
        self._leaves = {v: ("input", n) for n, v in enumerate(graph.inputs)}
        self._leaves.update((s.value, ("state", n)) for n, s in enumerate(graph.states))
        self._placed = list(placed)
        within: dict[Block, list[tuple[Value, Place]]] = {}
        for v, place in placed:
            if place.block.kind == "output":
                within.setdefault(place.block, []).append((v, place))
        self._numbers = {block: n for n, block in enumerate(within)}
        specs = [_whole(block, found) for block, found in within.items()]
        self._makers = [maker(spec) for spec in specs]
        self._specs = specs
        self.plain = [p.block for _, p in placed] == list(self._numbers) and all(
            place.offset == 0 and same_spec(v, spec)
            for (v, place), spec in zip(placed, specs, strict=False)
        )
        self.slots = self._inputs + len(specs)

    def slot(self, block: Block) -> int | None:
        """The number of an input's or an output's block among the addresses of a call."""
        if block.kind == "input":
            return block.number
        return self._inputs + self._numbers[block] if block.kind == "output" else None

    def make(self) -> list[Any]:
        """A new tensor for each block."""
        return [make() for make in self._makers]

    def collect(
        self,
        made: list[Any],
        given: Sequence[Any],
        states: Sequence[Any],
        tensor: Callable[[Value, Place], Any],
    ) -> list[Any]:
        """The outputs.

        Args:
            made: what `make` made.
            given, states: the tensors of inputs and states.
            tensor: makes one over a place.
        """
        found: dict[Value, Any] = {}
        for v, place in self._placed:
            if v in found:
                continue
            if place.block.kind == "output":
                n = self._numbers[place.block]
                whole = place.offset == 0 and same_spec(v, self._specs[n])
                found[v] = made[n] if whole else tensor(v, place)
            elif v in self._leaves:
                kind, n = self._leaves[v]
                found[v] = (given if kind == "input" else states)[n]
            else:
                found[v] = tensor(v, place)
        return [found[v] for v, _ in self._placed]


def _whole(block: Block, within: Sequence[tuple[Value, Place]]) -> Spec:
    """What fills a block: the first of the outputs in it that does, else bytes."""
    for v, place in within:
        dense = v.strides == dense_strides(tuple(v.shape), v.strides)
        if place.offset == 0 and v.nbytes == block.nbytes and dense:
            return Spec(tuple(v.shape), v.dtype, v.strides)
    return Spec((block.nbytes,), dtypes.uint8, (1,))
