"""A captured call as a program: arguments in, results and gradients out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fovea.compiler.capture import Capture, reassemble
from fovea.compiler.guards import Guards
from fovea.graph.graph import Graph

__all__ = ["Program"]


class Program:
    """Runs what a call did.

    Args:
        made: the capture.

    Attributes:
        graph: what was captured.
        optimized: what is run.
        guards: what must hold.
    """

    def __init__(self, made: Capture) -> None:
        from fovea.graph.passes import optimize
        from fovea.targets.cpu.executable import Executable

        assert made.graph is not None
        self.guards: Guards = made.guards
        self.graph: Graph = made.graph
        self.optimized = optimize(made.graph)
        self.executable = Executable(self.optimized)
        self._made = made
        made.result = None
        states = {s.value: n for n, s in enumerate(made.graph.states)}
        self._looks = []
        for look in made.looks:
            reads = {v for node in look.nodes for v in node.operands()} | {look.check.value}
            given = [(v, n, False) for n, v in enumerate(made.graph.inputs) if v in reads]
            given += [(v, states[v], True) for v in reads if v in states]
            self._looks.append((look, given))

    @classmethod
    def build(cls, made: Capture, tensors: Sequence[Any]) -> tuple[Program, Any]:
        """The program, and what the captured call is to return."""
        result = made.result
        return cls(made), result

    def fits(self, tensors: Sequence[Any]) -> bool:
        """Whether the checks hold for these arguments; raises what they raise."""
        for look, given in self._looks:
            values = {
                v: self.graph.states[n].tensor if state else tensors[n] for v, n, state in given
            }
            if not look.holds(values):
                return False
        return True

    def run(self, tensors: Sequence[Any]) -> Any:
        """Run on arguments for which guards and checks hold."""
        made = self._made
        outputs = self.executable.run(tensors)
        if made.slots or made.dropped or made.changed:
            self._leave(outputs, tensors)
        return reassemble(made, outputs, tensors)

    def _leave(self, outputs: Sequence[Any], tensors: Sequence[Any]) -> None:
        """Gradients into leaves, changes into arguments."""
        made = self._made
        first = len(outputs) - len(made.slots) - len(made.changed)
        for leaf, g in zip(made.slots, outputs[first:], strict=False):
            leaf.grad = g
        for leaf in made.dropped:
            leaf.grad = None
        for n, value in zip(made.changed, outputs[first + len(made.slots) :], strict=True):
            tensors[n].copy_(value)
