"""Element-wise ops that feed one another, or read the same values, become regions: one loop each.

A region grows greedily in the order of the nodes: a node joins the regions of its operands' makers,
and those that read nearby what it reads, where all of them

- have one iteration space: the results' shape and memory order;
- can run at one time: no other node stands between them;
- do not become too large: operands and results are streams of memory, steps are code.

A node whose operands lie across the order of memory stays alone, since one such operand would slow
down a whole region. What a region makes for other regions only, they make themselves if it is cheap
and moves fewer bytes than to store and load it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fovea.graph.graph import Graph, Node, Value
from fovea.graph.order import followers, rewritten
from fovea.graph.regions import (
    Region,
    cheap,
    is_member,
    numbers_of,
    reads_along,
    space_of,
    steps_of,
)

__all__ = ["fuse_pointwise"]

MOST_STREAMS = 16  # operands and results of a region
MOST_STEPS = 48
NEAR = 16  # nodes: how far apart those may be that share no more than an operand
MOST_REPEATED = 4  # steps


@dataclass(eq=False)
class Group:
    """Nodes that become one, by their places: ``members``, and what is ``repeated`` from others."""

    members: set[int]
    repeated: set[int] = field(default_factory=set)

    @property
    def all(self) -> set[int]:
        return self.members | self.repeated


def fuse_pointwise(graph: Graph) -> Graph:
    """The graph with regions of element-wise nodes as `pointwise` nodes."""
    groups = _Groups(graph)
    groups.grow()
    groups.repeat()
    return rewritten(graph, groups.replacements())


class _Groups:
    """The groups of a graph's nodes."""

    def __init__(self, graph: Graph) -> None:
        self.nodes = graph.nodes
        self.numbers = numbers_of(graph)
        self.after = followers(graph.nodes)
        place = {node: n for n, node in enumerate(graph.nodes)}
        self.maker = {v: n for n, node in enumerate(graph.nodes) for v in node.outputs}
        self.readers = {v: [place[node] for node in users] for v, users in graph.users().items()}
        self.kept = graph.kept()
        self.group: dict[int, Group] = {}

    # -- growing ------------------------------------------------------------------------------

    def grow(self) -> None:
        """Put each node that can be a member into a group."""
        for n, node in enumerate(self.nodes):
            if not is_member(node) or not reads_along(node):
                continue
            self.group[n] = Group({n})
            for neighbor in self._neighbors(n):
                mine, other = self.group[n], self.group[neighbor]
                union = Group(mine.members | other.members)
                if mine is not other and self._fits(union) and self._runs_at_once(union, n):
                    self.group.update(dict.fromkeys(union.members, union))

    def _neighbors(self, n: int) -> Iterator[int]:
        """Nodes before `n` that it could be run with."""
        space = space_of(self.nodes[n].outputs[0])
        operands = list(dict.fromkeys(self.nodes[n].operands()))
        found = {self.maker[v] for v in operands if v in self.maker}
        for v in operands:
            if v.shape == space[0]:
                found.update(m for m in self.readers[v] if n - NEAR <= m < n)
        for m in sorted(found, reverse=True):
            if m in self.group and space_of(self.nodes[m].outputs[0]) == space:
                yield m

    def _fits(self, group: Group) -> bool:
        """Whether a group is small enough."""
        steps = sum(steps_of(self.nodes[n]) for n in group.all)
        streams = len(self._operands(group.all)) + len(self._results(group))
        return steps <= MOST_STEPS and streams <= MOST_STREAMS

    def _operands(self, places: set[int]) -> dict[Value, None]:
        """What these nodes read but do not make, numbers left out."""
        return {
            v: None
            for n in sorted(places)
            for v in self.nodes[n].operands()
            if self.maker.get(v) not in places and v not in self.numbers
        }

    def _results(self, group: Group) -> list[Value]:
        """What others need of a group."""
        return [
            v
            for n in sorted(group.members)
            for v in self.nodes[n].outputs
            if v in self.kept or self._loads(v, n, group)
        ]

    def _loads(self, v: Value, maker: int, group: Group) -> bool:
        """Whether another node loads a value, rather than to make it again."""
        outside = (m for m in self.readers.get(v, ()) if m not in group.members)
        return any(m not in self.group or maker not in self.group[m].repeated for m in outside)

    def _runs_at_once(self, group: Group, last: int) -> bool:
        """Whether no other node must run after one of a group and before another of it.

        The groups so far run at once, too; none of them has a node after `last`.
        """
        waiting = [m for n in group.members for m in self.after[n] if m not in group.members]
        seen: set[int] = set()
        while waiting:
            n = waiting.pop()
            if n in group.members:
                return False
            if n in seen or n > last:
                continue
            together = self.group[n].members if n in self.group else {n}
            seen |= together
            waiting.extend(m for k in together for m in self.after[k])
        return True

    # -- making again -------------------------------------------------------------------------

    def repeat(self) -> None:
        """Let groups make again what they load from others, where that moves fewer bytes."""
        changed = {node.inputs[i] for node in self.nodes for i in node.mutated}
        for n in sorted(self.group):
            for v in self.nodes[n].outputs:
                needed = self._needed([v], self.group[n].all)
                operands = self._operands(needed)
                steps = sum(steps_of(self.nodes[m]) for m in needed)
                if (
                    v not in self.kept
                    and all(cheap(self.nodes[m]) for m in needed)
                    and steps <= MOST_REPEATED
                    and changed.isdisjoint(operands)
                ):
                    self._repeat(v, n, needed, operands)

    def _repeat(self, v: Value, maker: int, needed: set[int], operands: dict[Value, None]) -> None:
        """Repeat what makes `v` where it is read, if that pays."""
        mine = self.group[maker]
        outside = [m for m in self.readers.get(v, ()) if m not in mine.members]
        users = {id(g): g for m in outside if (g := self.group.get(m)) is not None}
        cost, willing = 0, []
        for user in users.values():
            first = self.nodes[min(user.members)].outputs[0]
            grown = Group(user.members, user.repeated | (needed - user.members))
            if space_of(first) == space_of(v) and self._fits(grown):
                known = self._operands(user.all)
                more = sum(w.nbytes for w in operands if w not in known)
                willing.append((more, user, grown))
                cost += more
        everyone = len(willing) == len(users) and all(m in self.group for m in outside)
        for more, user, grown in willing:
            if more == 0 or (everyone and cost < v.nbytes * (1 + len(users))):
                user.repeated = grown.repeated

    def _needed(self, values: Iterable[Value], places: set[int]) -> set[int]:
        """Those of the nodes that values depend on."""
        needed: set[int] = set()
        waiting = list(values)
        while waiting:
            n = self.maker.get(waiting.pop())
            if n is not None and n in places and n not in needed:
                needed.add(n)
                waiting.extend(self.nodes[n].operands())
        return needed

    # -- the result ---------------------------------------------------------------------------

    def replacements(self) -> dict[Node, tuple[Node, ...]]:
        """For each node of a group: nothing, or what the whole group becomes for its last."""
        found: dict[Node, tuple[Node, ...]] = {}
        for group in {id(g): g for g in self.group.values()}.values():
            results = self._results(group)
            if len(group.all) == 1 and results:
                continue
            found.update((self.nodes[n], ()) for n in group.members)
            if results:
                region = Region(self.numbers)
                for n in sorted(self._needed(results, group.all)):
                    region.add(self.nodes[n])
                last = self.nodes[max(group.members)]
                found[last] = (region.node(results, last.source),)
        return found
