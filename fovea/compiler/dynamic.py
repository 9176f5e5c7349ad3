"""Programs for batch sizes that were never captured: made from captures at two others.

Calls that differ in nothing but one number of their arguments' shapes are a *family*. Once two of
them are captured, `fovea.graph.symbolic` compares the graphs; what it derives makes the graph of
any further size, so that Python runs no more. A third capture at yet another size is asked for
where the user's code decides by sizes (see ``sizes``), unless the user vouches for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fovea.compiler.capture import Alias, Capture, Derived, Look
from fovea.compiler.sizes import decides_by_size
from fovea.errors import GraphError
from fovea.graph.formulas import Formula, NoFormulaError, fit
from fovea.graph.graph import Graph, Node, Value
from fovea.graph.symbolic import Template, batch_sizes, derive
from fovea.size import Size

__all__ = ["Family", "mark_dynamic"]

_MOST_FAILURES = 3


def mark_dynamic(t: Any, index: int | Sequence[int] = 0) -> None:
    """Say that a dimension of an argument varies from call to call.

    A compiled function then takes sizes that it has not seen from what it knows of two others, even
    if its code compares sizes.

    Args:
        t: the tensor that will be an argument.
        index: its dimension, or several. Dimensions that vary must all have one size.

    >>> import fovea
    >>> x = fovea.ones(4, 3)
    >>> mark_dynamic(x, 0)
    """
    t._varies = True


class Family:
    """The captures of calls that differ in a batch size, and what follows for other sizes.

    Args:
        vouched: take two captures to tell all sizes, even if code decides by sizes.

    Attributes:
        why: why there is no template, once that is known.
    """

    def __init__(self, vouched: bool) -> None:
        self.vouched = vouched
        self.why = ""
        self._captures: list[tuple[Capture, Graph]] = []
        self._template: _Pattern | None = None
        self._failures = 0

    def note(self, made: Capture) -> None:
        """Take in a capture."""
        if self._failures >= _MOST_FAILURES:
            return
        self._template = None
        shapes = _shapes(made)
        self._captures = [(c, g) for c, g in self._captures if _shapes(c) != shapes][-2:]
        self._captures.append((made, _whole(made)))
        telling = _without_single(self._captures)
        if len(telling) < 2:
            return
        try:
            self._template = _Pattern(telling, self.vouched)
        except GraphError as error:
            self._failures += 1
            self.why = error.summary

    def forget_failed(self) -> None:
        """Drop captures whose guards fail. Only before a call: it leaves gradients behind."""
        if any(c.guards.failed() for c, _ in self._captures):
            self._captures.clear()
            self._template = None

    def told_by(self) -> list[Capture]:
        """The captures that tell other sizes; none if they do not."""
        return [] if self._template is None else [c for c, _ in _without_single(self._captures)]

    def instantiate(self, tensors: Sequence[Any]) -> Capture | None:
        """What a call with these arguments would have left, where that can be told."""
        pattern = self._template
        if pattern is None:
            return None
        if pattern.made.guards.failed():
            self._template = None
            self._captures.clear()
            return None
        try:
            return pattern.instantiate(tensors)
        except GraphError as error:
            self.why = error.summary
            return None


def _shapes(made: Capture) -> list[tuple[int, ...]]:
    assert made.graph is not None
    return [tuple(v.shape) for v in made.graph.inputs]


def _without_single(captures: Sequence[tuple[Capture, Graph]]) -> list[tuple[Capture, Graph]]:
    """Those whose batch is no single sample, which broadcasts and tells nothing of other sizes."""
    sizes = batch_sizes([g for _, g in captures])
    if sizes is None:
        return list(captures)
    return [capture for capture, n in zip(captures, sizes, strict=True) if n > 1]


def _whole(made: Capture) -> Graph:
    """A capture's graph with backward's seeds among the inputs, its gradients among the outputs."""
    graph, joint = made.graph, made.joint
    assert graph is not None
    if joint is None:
        return graph
    gradients = tuple(g for g in joint.gradients if g is not None)
    return graph.replace(inputs=(*graph.inputs, *joint.seeds), outputs=(*graph.outputs, *gradients))


class _Pattern:
    """A template with the rest of a capture.

    Args:
        captures: two or more with their whole graphs, the newest last.

    Raises:
        GraphError: they do not tell other sizes.
    """

    def __init__(self, captures: Sequence[tuple[Capture, Graph]], vouched: bool) -> None:
        self.made, whole = captures[-1]
        others = captures[:-1]
        found = batch_sizes([whole, *(g for _, g in others)])
        if found is None:
            raise GraphError("symbolic: the arguments differ in several sizes.")
        for other, _ in others:
            _check_alike(self.made, other)
        if not vouched and len(captures) < 3 and _decides(self.made):
            raise GraphError("symbolic: the code decides by sizes.")
        sizes = [(n, g) for n, g in zip(found, [whole, *(g for _, g in others)], strict=True)]
        self.template: Template = derive(sizes)
        alike = zip(*(c.sources for c in (self.made, *(c for c, _ in others))), strict=True)
        self.sources = [_source(found, sources) for sources in alike]

    def instantiate(self, tensors: Sequence[Any]) -> Capture:
        """The capture for arguments of another size.

        Raises:
            GraphError: they differ in something else, too, or there is no valid graph.
        """
        size = self.template.size_of([t.shape for t in tensors])
        graph, values = self.template.instantiate(size)
        for t, v in zip(tensors, graph.inputs, strict=False):
            if tuple(t.shape) != tuple(v.shape) or tuple(t.strides) != tuple(v.strides):
                raise GraphError(f"symbolic: an argument is {t!r} instead of {v!r}.")
        made = self._captured(graph, values)
        return replace(made, sources=[source(size) for source in self.sources])

    def _captured(self, graph: Graph, values: dict[Value, Value]) -> Capture:
        made, joint = self.made, self.made.joint
        looks = self._looks(graph, values)
        if joint is not None:
            seeds, count = len(joint.seeds), len([g for g in joint.gradients if g is not None])
            assert made.graph is not None
            joint = replace(
                joint,
                seeds=graph.inputs[len(graph.inputs) - seeds :],
                gradients=tuple(None if g is None else values[g] for g in joint.gradients),
            )
            graph = graph.replace(
                inputs=graph.inputs[: len(graph.inputs) - seeds],
                outputs=graph.outputs[: len(graph.outputs) - count],
            )
        return replace(made, result=None, graph=graph, joint=joint, looks=looks)

    def _looks(self, graph: Graph, values: dict[Value, Value]) -> list[Look]:
        numbers = {id(node): n for n, node in enumerate(self.made.graph.nodes)}  # type: ignore[union-attr]
        found = []
        for look in self.made.looks:
            nodes: list[Node] = [graph.nodes[numbers[id(node)]] for node in look.nodes]
            if look.check.value not in values:
                raise GraphError("symbolic: a constant is checked.")
            check = replace(look.check, value=values[look.check.value])
            found.append(Look(tuple(nodes), check))
        return found


def _source(sizes: Sequence[int], sources: Sequence[Any]) -> Formula:
    """Where a tensor of the result comes from, at any batch size."""
    first = sources[0]
    try:
        if isinstance(first, Alias):
            places = fit(sizes, [(tuple(s.shape), s.strides, s.offset) for s in sources])
            return lambda n: _moved(first, *places(n))
        if isinstance(first, Derived):
            replay = fit(sizes, [s.replay for s in sources])
            return lambda n: replace(first, replay=replay(n))
    except NoFormulaError as error:
        raise GraphError(f"symbolic: a view of an argument: {error}.") from None
    return lambda n: first


def _moved(alias: Alias, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Alias:
    return replace(alias, shape=Size(shape), strides=strides, offset=offset)


def _decides(made: Capture) -> bool:
    """Whether the code that a call came through decides by sizes."""
    assert made.graph is not None
    places = {(n.source.file, n.source.line) for n in made.graph.nodes if n.source.file}
    return decides_by_size(made.guards.functions(), places)


def _check_alike(a: Capture, b: Capture) -> None:
    """GraphError unless two calls left the same, but for sizes."""
    same = (
        a.structure == b.structure
        and _sources(a) == _sources(b)
        and list(map(id, a.slots)) == list(map(id, b.slots))
        and list(map(id, a.dropped)) == list(map(id, b.dropped))
        and list(a.changed) == list(b.changed)
        and (a.joint is None) == (b.joint is None)
        and _ids(a.leaves) == _ids(b.leaves)
        and _checks(a) == _checks(b)
    )
    if a.joint is not None and b.joint is not None:
        given = [[g is None for g in made.joint.gradients] for made in (a, b)]  # type: ignore[union-attr]
        same = same and a.joint.results == b.joint.results and a.joint.first == b.joint.first
        same = same and a.joint.changed == b.joint.changed
        same = same and given[0] == given[1]
    if not same:
        raise GraphError("symbolic: calls of two sizes left other things behind.")


def _ids(items: Sequence[Any]) -> list[Any]:
    return [item if isinstance(item, int) else id(item) for item in items]


def _sources(made: Capture) -> list[Any]:
    found: list[Any] = []
    for s in made.sources:
        if isinstance(s, Alias | Derived):
            found.append((type(s), s.argument, s.output))
        elif isinstance(s, int | tuple):
            found.append(s)
        else:
            found.append((id(s.storage), s.offset, tuple(s.shape), tuple(s.strides)))
    return found


def _checks(made: Capture) -> list[Any]:
    return [(len(look.nodes), look.check.line, look.check.result) for look in made.looks]
