"""Batch normalization in training takes in the residual and the activation that follow it, and its
gradient takes in theirs.

Forward, ``act(batch_norm(x) + residual)`` is one pass after that which gathers the statistics.
Backward, the activation's slope is taken while the sums of the gradient are gathered: from the
result, or from x anew, and then nothing but x is kept between the two. A slope that takes long is
computed once, and its product with the gradient stored for the second pass.

Where that gradient is a sum which a region makes, the region takes the slope at less cost; only a
slope that is had from x costs still less.

All this keeps every bit. Statistics that a convolution gathers on the way to memory are rounded
otherwise; it does so where its result is too large to be read again from a cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fovea.graph.graph import Graph, Node, Value
from fovea.graph.matching import Matcher
from fovea.graph.order import Change, rewritten
from fovea.graph.regions import cheap, is_member
from fovea.ops.conv import ConvAttrs, conv2d
from fovea.ops.elementwise import add, relu_grad
from fovea.ops.epilogue import NONE, RELU, Activation, activation_of
from fovea.ops.fused import ConvMomentsAttrs, conv2d_moments
from fovea.ops.fused_norm import (
    FusedNormAttrs,
    NormApplyAttrs,
    NormGradAttrs,
    batch_norm_apply,
    batch_norm_grad_fused,
    batch_norm_train_fused,
)
from fovea.ops.norm import NormAttrs, batch_norm_train, batch_norm_train_grad

__all__ = ["fuse_batch_norm"]

MOMENTS_FROM = 4 << 20  # bytes of a convolution's result


def fuse_batch_norm(graph: Graph) -> Graph:
    """The graph with batch normalizations that finish their results, and gradients that begin with
    those of finished ones.
    """
    matcher = Matcher(graph)
    changes: list[Change] = []
    finished: dict[Value, Finish] = {}
    taken: set[Node] = set()
    for node in graph.nodes:
        if node.op is batch_norm_train and (found := Finish.of(node, matcher, taken)) is not None:
            finished[found.result] = found
            changes.append(found.change())
            taken.update(changes[-1])
    for node in graph.nodes:
        if node.op is batch_norm_train_grad and node not in taken:
            change = _from_result(node, matcher, finished, taken)
            if change is not None:
                changes.append(change)
                taken.update(change)
    return rewritten(graph, *changes)


@dataclass
class Finish:
    """What follows a batch normalization, as far as it can be part of it.

    Attributes:
        norm: the normalization.
        nodes: those after it, in order.
        residual, activation, after: as in `FusedNormAttrs`.
        slopes: the gradients of the activation that read what it was applied to, each with the
            gradient of the normalization, which alone reads it.
        convolution: what made x, where it is to gather the statistics.
    """

    norm: Node
    nodes: list[Node] = field(default_factory=list)
    residual: Value | None = None
    activation: Activation = NONE
    after: bool = False
    slopes: list[tuple[Node, Node]] = field(default_factory=list)
    convolution: Node | None = None

    @staticmethod
    def of(norm: Node, matcher: Matcher, taken: set[Node]) -> Finish | None:
        """What follows, or None if nothing does that fits."""
        found = Finish(norm)
        found._add(matcher, taken)
        found._activate(matcher, taken)
        if found.residual is None:
            found._add(matcher, taken)
        found._gather(matcher, taken)
        return found if found.nodes or found.convolution else None

    @property
    def result(self) -> Value:
        """The value that comes out in the end."""
        return (self.nodes[-1] if self.nodes else self.norm).outputs[0]

    def _add(self, matcher: Matcher, taken: set[Node]) -> None:
        """Take in a sum with something like the result."""
        y = self.result
        node = matcher.reader(y)
        if node is None or node.op is not add or node.mutated or node in taken:
            return
        others = [v for v in node.operands() if v is not y]
        if len(others) == 1 and others[0].shape == y.shape and others[0].dtype is y.dtype:
            self.residual, self.after = others[0], self.activation != NONE
            self.nodes.append(node)

    def _activate(self, matcher: Matcher, taken: set[Node]) -> None:
        """Take in an activation, whose slope must not be needed elsewhere."""
        y = self.result
        readers = matcher.readers(y) or []
        found = [(n, a) for n in readers if (a := activation_of(n.op, n.attrs)) is not None]
        if len(found) != 1 or found[0][0].mutated or found[0][0] in taken:
            return
        (node, activation), slopes = found[0], []
        for reader in readers:
            if reader is node:
                continue
            gradient = self._gradient_behind(reader, node, y, matcher)
            if gradient is None or self.residual is not None:
                return
            slopes.append((reader, gradient))
        self.nodes.append(node)
        self.activation, self.slopes = activation, slopes

    def _gradient_behind(
        self, slope: Node, activation: Node, y: Value, matcher: Matcher
    ) -> Node | None:
        """The gradient of the normalization, if it alone reads this gradient of the activation."""
        named = slope.op.name == f"{activation.op.name}_grad" and slope.attrs is activation.attrs
        if not named or slope.inputs[1] is not y or slope.inputs[0] is y:
            return None
        node = matcher.reader(slope.outputs[0])
        if node is None or node.op is not batch_norm_train_grad:
            return None
        _, mean, rstd, _ = self.norm.outputs
        x, weight, _ = self.norm.inputs
        same = node.inputs[1:] == (x, weight, mean, rstd) and node.attrs is self.norm.attrs
        return node if same and node.inputs[0] is slope.outputs[0] else None

    def _gather(self, matcher: Matcher, taken: set[Node]) -> None:
        """Let a convolution with a large result gather the statistics."""
        x, a = self.norm.inputs[0], self.norm.attrs
        node = matcher.maker(x, conv2d)
        assert x is not None and isinstance(a, NormAttrs)
        if node is not None and node not in taken and a.axis == 1 and x.nbytes >= MOMENTS_FROM:
            self.convolution = node

    def change(self) -> Change:
        """What becomes of the nodes."""
        change: dict[Node, Sequence[Node]] = dict.fromkeys((self.norm, *self.nodes), ())
        last = self.nodes[-1] if self.nodes else self.norm
        if self.convolution is None:
            change[last] = [self._whole()]
        else:
            gathered, rest = self._parts(self.convolution)
            change[self.convolution], change[last] = [gathered], [rest]
        for slope, gradient in self.slopes:
            change[slope] = ()
            gy, bias = slope.inputs[0], self.norm.inputs[2]
            store = not cheap(slope)
            change[gradient] = [_fused(gradient, gy, self.activation, bias, None, slope, store)]
        return change

    def _whole(self) -> Node:
        """The normalization with what follows it."""
        a = self.norm.attrs
        assert isinstance(a, NormAttrs)
        return Node(
            batch_norm_train_fused,
            (*self.norm.inputs, self.residual),
            FusedNormAttrs.of(a.eps, a.axis, self.activation, self.after),
            (self.result, *self.norm.outputs[1:]),
            source=self.norm.source,
        )

    def _parts(self, convolution: Node) -> tuple[Node, Node]:
        """The convolution with statistics, and what is left to do with these."""
        a, own = self.norm.attrs, convolution.attrs
        assert isinstance(a, NormAttrs) and isinstance(own, ConvAttrs)
        (x, weight, bias), (_, mean, rstd, _) = self.norm.inputs, self.norm.outputs
        gathered = Node(
            conv2d_moments,
            convolution.inputs,
            ConvMomentsAttrs.of(own.stride, own.padding, own.dilation, own.groups, a.eps),
            (*convolution.outputs, *self.norm.outputs[1:]),
            source=convolution.source,
        )
        rest = Node(
            batch_norm_apply,
            (x, mean, rstd, weight, bias, self.residual),
            NormApplyAttrs.of(a.eps, a.axis, self.activation, self.after, False),
            (self.result,),
            source=self.norm.source,
        )
        return gathered, rest


def _fused(
    gradient: Node,
    gy: Value | None,
    activation: Activation,
    bias: Value | None,
    y: Value | None,
    slope: Node,
    store: bool,
) -> Node:
    """A gradient that begins with an activation's; with ``store``, that one is a result, too."""
    _, x, weight, mean, rstd = gradient.inputs
    a = gradient.attrs
    assert isinstance(a, NormAttrs)
    outputs = (*gradient.outputs, *(slope.outputs if store else ()))
    attrs = NormGradAttrs.of(a.eps, a.axis, activation, store)
    inputs = (gy, x, weight, bias, mean, rstd, y)
    return Node(batch_norm_grad_fused, inputs, attrs, outputs, source=gradient.source)


def _from_result(
    gradient: Node, matcher: Matcher, finished: dict[Value, Finish], taken: set[Node]
) -> Change | None:
    """How the gradient of a normalization takes in that of a ReLU after it, if that is better."""
    g = gradient.inputs[0]
    slope = matcher.maker(g, relu_grad)
    if slope is None or slope in taken:
        return None
    gy, y = slope.inputs
    assert gy is not None and y is not None and g is not None
    if y.shape != g.shape or gy.shape != g.shape or gradient.inputs[1] is gy:
        return None
    alone = matcher.reader(g) is gradient
    forward = finished.get(y)
    own = forward is not None and forward.norm.inputs[0] is gradient.inputs[1]
    if alone and own and forward is not None and _plain_relu(forward):
        fused = _fused(gradient, gy, RELU, forward.norm.inputs[2], None, slope, False)
        return {slope: (), gradient: (fused,)}
    maker = matcher.makers.get(gy)
    if maker is not None and is_member(maker) and matcher.reader(gy) is slope:
        return None
    fused = _fused(gradient, gy, RELU, None, y, slope, not alone)
    return {slope: (), gradient: (fused,)}


def _plain_relu(forward: Finish) -> bool:
    """Whether the sign of a result is that of the normalization's."""
    return forward.activation == RELU and forward.residual is None
