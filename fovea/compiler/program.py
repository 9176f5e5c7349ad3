"""A captured call as a program: arguments in, results and gradients out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fovea import dispatch
from fovea.compiler.capture import Capture, reassemble
from fovea.compiler.guards import Guards
from fovea.compiler.joint import Joint, ProgramNode, fuse, split
from fovea.graph.graph import Graph
from fovea.graph.passes import optimize
from fovea.tape import place_into
from fovea.targets.cpu.executable import Executable

if TYPE_CHECKING:
    from fovea.compiler.dynamic import Family

__all__ = ["Program"]


class Program:
    """Runs what a call did.

    Args:
        made: the capture; it has a graph.
        memory_limit: bytes that forward's intermediate results may take.
        exact: forward gives the same bits as a call that is not compiled.

    Attributes:
        graph: what was captured.
        guards: what must hold.
        forward, backward: what is run; there is no backward if none can come.
        made: the capture.
        looks: checks, each with the values that it reads: see `fits`.
        family: the captures of calls that differ in a batch size, where there are any.
    """

    def __init__(self, made: Capture, memory_limit: int | None = None, exact: bool = False) -> None:
        assert made.graph is not None
        made.result = None
        self.guards: Guards = made.guards
        self.graph: Graph = made.graph
        self.made = made
        self.family: Family | None = None
        self._joint: Joint | None = made.joint
        self.backward: Executable | None = None
        forward = made.graph
        if made.joint is not None:
            forward, backward = split(*fuse(made.graph, made.joint))
            self._read = tuple(s.tensor for s in backward.states)
            self._order = {v: n for n, v in enumerate(backward.outputs)}
            self.backward = Executable(optimize(backward))
        self.forward = Executable(optimize(forward, exact=exact, memory_limit=memory_limit))
        self.looks = self._needs()
        # Whether nothing is left to do with what the program returned, and whether that is the
        # result itself, in which case that is which output.
        self._pure = made.joint is None and not (made.slots or made.dropped or made.changed)
        single = made.structure == ("tensor",) and isinstance(made.sources[0], int)
        self._result = made.sources[0] if single else None

    def _needs(self) -> list[Any]:
        """Checks, each with the values that it reads: where they come from."""
        places: dict[Any, Any] = {v: n for n, v in enumerate(self.graph.inputs)}
        places.update((s.value, s.tensor) for s in self.graph.states)
        needs = []
        for look in self.made.looks:
            reads = {v for node in look.nodes for v in node.operands()} | {look.check.value}
            needs.append((look, [(v, places[v]) for v in reads if v in places]))
        return needs

    def fits(self, tensors: Sequence[Any]) -> bool:
        """Whether the checks hold for these arguments; raises what they raise."""
        for look, needs in self.looks:
            values = {v: tensors[at] if isinstance(at, int) else at for v, at in needs}
            if not look.holds(values):
                return False
        return True

    def run(self, tensors: Sequence[Any]) -> Any:
        """Run on arguments for which guards and checks hold."""
        made, joint = self.made, self._joint
        for leaf in made.slots:  # what will be replaced need not wait beside what replaces it
            leaf.grad = None
        outputs = self.forward.run(tensors)
        if self._pure and self._result is not None:
            return outputs[self._result]
        if made.slots or made.dropped or made.changed:
            self._leave(outputs, tensors)
        if joint is not None:
            self._put_on_tape(outputs, tensors, joint)
        return reassemble(made, outputs, tensors)

    def _leave(self, outputs: Sequence[Any], tensors: Sequence[Any]) -> None:
        """Gradients into leaves, changes into arguments."""
        made = self.made
        first = len(self.graph.outputs) - len(made.slots) - len(made.changed)
        after = first + len(made.slots)
        for leaf, g in zip(made.slots, outputs[first:after], strict=True):
            leaf.grad = g
        for leaf in made.dropped:
            leaf.grad = None
        last = after + len(made.changed)
        before = dispatch.set_grad_enabled(False)  # what belongs on the tape, the call put there
        try:
            for n, value in zip(made.changed, outputs[after:last], strict=True):
                tensors[n].copy_(value)
        finally:
            dispatch.set_grad_enabled(before)

    # -- backward ---------------------------------------------------------------------------------

    def _put_on_tape(self, outputs: Sequence[Any], tensors: Sequence[Any], joint: Joint) -> None:
        made = self.made
        live = [outputs[made.sources[n]] for n in joint.results]
        live += [tensors[n] for n in joint.changed]
        leaves = [tensors[at] if isinstance(at, int) else at for at in made.leaves]
        saved = outputs[len(self.graph.outputs) :]
        node = ProgramNode(self, leaves, live, saved)
        for n, t in enumerate(live):
            place_into(node, n, t)

    def state_versions(self) -> list[int]:
        """The versions of what backward reads beside the saved values."""
        return [t.storage.version for t in self._read]

    def run_backward(self, saved: Sequence[Any], seeds: Sequence[Any]) -> tuple[Any, ...]:
        """The gradients of the leaves."""
        assert self.backward is not None and self._joint is not None
        found = self.backward.run([*saved, *seeds])
        return tuple(None if g is None else found[self._order[g]] for g in self._joint.gradients)
