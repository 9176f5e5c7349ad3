"""Where the values of a graph live, and the steps that compute them.

Every value gets a place: a block of memory and an offset. A view lives where its source does; a
changed input's new value takes over the old one's place, unless somebody still reads the old one;
an element-wise result may take the place of an input that nobody reads again; what a state holds in
the end is computed straight into the state's own memory where nothing stands against it. What is
left goes to blocks of the arena, which `arena.pack` arranges once it is known when each is in use.
"""

from __future__ import annotations

from collections.abc import Sequence

from fovea.errors import LoweringError
from fovea.graph.graph import Graph, Node, Value, same_spec
from fovea.ops.op import Spec
from fovea.targets.cpu.lifetimes import Lifetimes, overlapping, refuse_overlaps, unchanging
from fovea.targets.cpu.recipe import Recipe, recipe_of
from fovea.targets.cpu.scalars import SCALARS
from fovea.targets.cpu.steps import Block, Place, PythonStep, Steps
from fovea.targets.cpu.target import CPU

__all__ = ["Placement"]


def span(v: Value | Spec) -> int:
    """The bytes that a value reaches over."""
    if 0 in v.shape:
        return 0
    return (_reach(v, -1) + _reach(v, 1) + 1) * v.dtype.itemsize


def _reach(v: Value | Spec, sign: int) -> int:
    """How many elements it reaches over, from the first one on, in the direction of `sign`."""
    assert v.strides is not None
    steps = (sign * (n - 1) * s for n, s in zip(v.shape, v.strides, strict=True))
    return sum(step for step in steps if step > 0)


class Placement(Steps):
    """Places and steps of a graph.

    Attributes:
        prologue: so many of the steps come first and depend on nothing that changes.
        places: of each value.
        outputs: of each output its value and place.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        first, rest, self._fixed = unchanging(graph)
        refuse_overlaps(graph)
        nodes = [*first, *rest]
        self.life = Lifetimes(graph, nodes, overlapping(graph))
        self.updates = {old: new for old, new in graph.updates if old is not new}
        self.places: dict[Value, Place] = {}
        self.prologue = 0
        self._frozen: set[Block] = set()  # of the prologue's results
        self._steady: set[Block] = set()  # that hold the same from call to call
        self._taken: set[Block] = set()
        self._place_leaves()
        self._updated = {self.places[old].block for old in self.updates}
        self._homes: dict[Value, Value] = {}
        for n, node in enumerate(nodes):
            if n == len(first):
                self._end_prologue()
            self._add(n, node)
        if len(nodes) == len(first):
            self._end_prologue()
        found = {v: self._output(v) for v in dict.fromkeys(graph.outputs)}
        self.outputs = [found[v] for v in graph.outputs]
        self._write_back()
        for block in self._frozen:
            if block.kind == "arena" and block.last >= self.prologue:
                block.kind = "kept"
        self.steps[self.prologue : self.prologue] = self.early
        self.prologue += len(self.early)

    def _place_leaves(self) -> None:
        g = self.graph
        leaves = (
            ("input", g.inputs),
            ("state", [s.value for s in g.states]),
            ("constant", [c.value for c in g.constants]),
        )
        for kind, values in leaves:
            for number, v in enumerate(values):
                self.places[v] = Place(Block(kind, span(v), number))

    def _end_prologue(self) -> None:
        self.prologue = len(self.steps)
        self._frozen = set(self.blocks)
        self._steady = {self.places[v].block for v in self._fixed} | self._frozen
        self._homes = self._find_homes()

    def comes_early(self, buffers: Sequence[Place]) -> bool:
        """Whether a call that packs the last of these buffers can be part of the prologue."""
        packed = buffers[-1].block
        sources = [p.block for p in buffers[:-1]]
        if not self._steady or not all(b in self._steady or b.kind == "table" for b in sources):
            return False
        self._steady.add(packed)
        for block in (*sources, packed):
            if block.kind == "arena":
                block.kind = "kept"
        return True

    def _find_homes(self) -> dict[Value, Value]:
        """For values whose changed successors end up in a leaf: that leaf, whose memory they should
        be made in.
        """
        makers, homes = self.graph.producers(), {}
        for leaf, v in self.updates.items():
            base = v
            while (node := makers.get(base)) is not None and base in node.renewed:
                old = node.inputs[node.mutated[node.renewed.index(base)]]
                assert old is not None
                base = old
            made = node is not None and not node.op.view
            if made and same_spec(base, leaf) and base not in homes:
                homes[base] = leaf
        return homes

    # -- nodes ------------------------------------------------------------------------------------

    def _add(self, n: int, node: Node) -> None:
        if node.op.view:
            self._add_view(node)
            return
        inputs = self._renew(n, node)
        specs = self._specs(node)
        plan = CPU.plan(node.op, node.inputs, node.attrs, specs)
        recipe = recipe_of(plan)
        made: list[tuple[Value, Place]] = []
        moves: list[tuple[Place, Value, Value]] = []
        for v, spec in zip(node.results, specs, strict=True):
            if same_spec(v, spec):
                made.append((v, self._result(n, node, v, recipe, {p.block for _, p in made})))
                self.places[v] = made[-1][1]
            else:  # the op gives another layout than the graph asks for
                made.append((Value(spec, v.name), self._new_place(spec)))
                self.places[v] = self._new_place(v)
                moves.append((made[-1][1], made[-1][0], v))
        if recipe is None:
            self.append(PythonStep(node, plan, tuple(inputs), tuple(made)))
        else:
            given = [i[1] for i in inputs if i is not None]
            self.add_calls(node, recipe, given, [place for _, place in made])
        for source, x, v in moves:
            self.copy(node, source, x, self.places[v], v)

    def _add_view(self, node: Node) -> None:
        (x,), (v,) = node.inputs, node.outputs
        rule = node.op.strided_rule
        assert x is not None and rule is not None
        _, strides, offset = rule(x, node.attrs) if node.op.attrs_class else rule(x)
        if not same_spec(v, Spec(tuple(v.shape), v.dtype, tuple(strides))):
            raise LoweringError(f"{node.op.name}: the graph's value has other strides than a view.")
        place = self.places[x]
        self.places[v] = Place(place.block, place.offset + offset * x.dtype.itemsize)

    def _renew(self, n: int, node: Node) -> list[tuple[Value, Place] | None]:
        """The node's inputs and their places; new values of changed ones get theirs."""
        inputs = [None if v is None else (v, self.places[v]) for v in node.inputs]
        for at, new in zip(node.mutated, node.renewed, strict=True):
            found = inputs[at]
            assert found is not None
            old, place = found
            if not (self._writable(place.block) and self.life.last[self.life.root[old]] <= n):
                aside = self._new_place(new)
                self.copy(node, place, old, aside, new)
                inputs[at], place = (new, aside), aside
            self._taken.add(place.block)
            self.places[new] = place
        return inputs

    def _writable(self, block: Block) -> bool:
        """Whether what a block holds may be written over once nobody reads it."""
        if block.kind in ("input", "state"):
            return block in self._updated
        return block.kind == "arena" and block not in self._frozen

    def _specs(self, node: Node) -> tuple[Spec, ...]:
        """What the op's kernels make: what the graph asks for where they can."""
        own = node.op.specs(node.inputs, node.attrs)
        wanted = tuple(v.spec for v in node.results)
        for spec, v in zip(own, wanted, strict=True):
            if tuple(spec.shape) != tuple(v.shape) or spec.dtype is not v.dtype:
                raise LoweringError(
                    f"{node.op.name}: it makes {spec.dtype.name} {tuple(spec.shape)}, the graph "
                    f"says {v.dtype.name} {tuple(v.shape)}."
                )
        alike = all(same_spec(_strided(a), _strided(b)) for a, b in zip(own, wanted, strict=True))
        chosen = wanted if alike or node.op in SCALARS else own
        return tuple(_strided(s) for s in chosen)

    def _result(
        self, n: int, node: Node, v: Value, recipe: Recipe | None, used: set[Block]
    ) -> Place:
        """A place for a result: a leaf's memory, that of a dying input, or a new block.

        ``used``: by the results before it.
        """
        home = self._homes.get(v)
        if home is not None and self._home_is_free(n, node, home, recipe):
            self._taken.add(self.places[home].block)
            return self.places[home]
        given = list(node.operands())
        for i in recipe.in_place if recipe is not None else ():
            place = self.places[given[i]]
            if (
                self.life.last[self.life.root[given[i]]] <= n
                and place.block.kind == "arena"
                and self._writable(place.block)
                and (place.offset, place.block.nbytes) == (0, span(v))
                and self._may_replace(given, i, v)
                and place.block not in used
            ):
                return place
        return self._new_place(v)

    def _home_is_free(self, n: int, node: Node, leaf: Value, recipe: Recipe | None) -> bool:
        """Whether a result may be written into a leaf's memory now."""
        last = self.life.last[self.life.root[leaf]]
        if self.places[leaf].block in self._taken or last > n:
            return False
        if last < n:
            return True
        given, allowed = list(node.operands()), recipe.in_place if recipe is not None else ()
        return any(given[i] is leaf and self._may_replace(given, i, leaf) for i in allowed)

    def _may_replace(self, given: Sequence[Value], i: int, v: Value) -> bool:
        """Whether a result like `v` may be written over operand `i`, element by element."""
        old, root = given[i], self.life.root[given[i]]
        alike = Spec(tuple(v.shape), old.dtype, v.strides)
        if old.dtype.itemsize != v.dtype.itemsize or not same_spec(old, alike):
            return False
        block = self.places[old].block
        others = [u for u in given if u is not old]
        return all(self.places[u].block is not block for u in others) and all(
            self.life.root[u] is not root for u in others
        )

    def _new_place(self, v: Value | Spec) -> Place:
        """A block of the arena for a value. (Where strides are negative, elements lie before the
        first one.)
        """
        return Place(self.block(span(v)), 0 if 0 in v.shape else _reach(v, -1) * v.dtype.itemsize)

    # -- the end ----------------------------------------------------------------------------------

    def _output(self, v: Value) -> tuple[Value, Place]:
        """An output and its place: a new block, or that of an input or a state that is handed
        through.
        """
        place = self.places[v]
        block = place.block
        if block.kind == "arena" and block not in self._frozen:
            block.kind = "output"
        if block.kind == "output" or (
            block.kind in ("input", "state") and not self._writable(block)
        ):
            return v, place
        made = Place(Block("output", span(v)), _reach(v, -1) * v.dtype.itemsize)
        once = _unrepeated(v)
        self.copy(None, place, once, made, once)
        return v, made

    def _write_back(self) -> None:
        """Copy into states what they hold in the end and is elsewhere, all reads before all
        writes.
        """
        pending = [
            (old, new, self.places[new])
            for old, new in self.updates.items()
            if self.places[new] != self.places[old]
        ]
        targets = {self.places[old].block for old, _, _ in pending}
        ready = []
        for old, new, place in pending:
            if place.block in targets:
                aside = self._new_place(new)
                self.copy(None, place, new, aside, new)
                place = aside
            ready.append((old, new, place))
        for old, new, place in ready:
            self.copy(None, place, new, self.places[old], old)


def _unrepeated(v: Value) -> Spec:
    """What a value shows, without the dimensions along which it shows the same again."""
    shape = tuple(n if s else min(n, 1) for n, s in zip(v.shape, v.strides, strict=True))
    return Spec(shape, v.dtype, v.strides)


def _strided(spec: Spec) -> Spec:
    """The spec with its strides spelled out."""
    return spec._replace(shape=tuple(spec.shape), strides=Value(spec).strides)
