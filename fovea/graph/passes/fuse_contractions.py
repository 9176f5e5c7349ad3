"""What follows a convolution becomes part of it: results are finished on their way to memory.

``act((conv(x, weight) + inner) * scale + bias + residual)`` is one op, `conv2d_fused`. Its scale
and bias take in a batch normalization with given statistics; where these are states that do not
change, both are computed once and not in each call. A normalization that follows something else
takes in activation and residual itself.

In float32 and float64 all this keeps every bit, so that a network computes the same in evaluation
whether it is compiled or not. Half types are rounded once, where separate ops round each result;
with ``exact`` they are left as they are.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field, replace

from fovea.graph.graph import Graph, Node, Value
from fovea.graph.matching import Matcher, Parts
from fovea.graph.order import Change, rewritten
from fovea.ops.conv import ConvAttrs, conv2d
from fovea.ops.elementwise import CastAttrs, add, cast, mul, rsqrt, sub
from fovea.ops.epilogue import NONE, Activation, activation_of
from fovea.ops.fused import FusedConvAttrs, conv2d_fused
from fovea.ops.fused_norm import NormApplyAttrs, batch_norm_apply
from fovea.ops.norm import NormAttrs, batch_norm_infer, statistics_dtype

__all__ = ["Chain", "fuse_contractions"]


def fuse_contractions(graph: Graph, exact: bool = False) -> Graph:
    """The graph with convolutions and normalizations that finish their results."""
    matcher, parts = Matcher(graph), Parts()
    changes: list[Change] = []
    taken: set[Node] = set()
    for node in graph.nodes:
        if node.op not in (conv2d, batch_norm_infer) or node in taken:
            continue
        if exact and node.outputs[0].dtype.itemsize < 4:
            continue
        chain = Chain(node)
        while chain.extend(matcher, taken):
            pass
        if len(chain.nodes) > 1:
            parts.nodes = []
            fused = _fused_conv(chain, parts) if node.op is conv2d else _fused_norm(chain)
            taken.update(chain.nodes)
            change: dict[Node, tuple[Node, ...]] = dict.fromkeys(chain.nodes, ())
            change[chain.nodes[-1]] = (*parts.nodes, fused)
            changes.append(change)
    graph = graph.replace(constants=(*graph.constants, *parts.constants))
    return rewritten(graph, *changes)


@dataclass
class Chain:
    """A node and those after it that can be part of it.

    Attributes:
        nodes: the chain, in order.
        norm: a batch normalization in it, after the first node.
        residual, after: what is added, and whether the activation comes before that.
        activation: applied to the sum.
    """

    first: Node
    nodes: list[Node] = field(default_factory=list)
    norm: Node | None = None
    residual: Value | None = None
    activation: Activation = NONE
    after: bool = False

    def __post_init__(self) -> None:
        self.nodes = [self.first]

    def extend(self, matcher: Matcher, taken: Container[Node]) -> bool:
        """Take one more node, if the only reader of the last one can be part."""
        y = self.nodes[-1].outputs[0]
        node = matcher.reader(y)
        if node is None or node.mutated or node in taken or not self._take(node, y):
            return False
        self.nodes.append(node)
        return True

    def _take(self, node: Node, y: Value) -> bool:
        """Whether a node fits behind what there is; if so, note what it does."""
        if node.op is add:
            return self._add(node, y)
        if node.op is batch_norm_infer:
            return self._normalize(node, y)
        found = activation_of(node.op, node.attrs)
        if found is None or self.activation != NONE:
            return False
        self.activation = found
        return True

    def _add(self, node: Node, y: Value) -> bool:
        others = [v for v in node.operands() if v is not y]
        if self.residual is not None or len(others) != 1:
            return False
        (other,) = others
        if tuple(other.shape) != tuple(y.shape) or other.dtype is not y.dtype:
            return False
        self.residual, self.after = other, self.activation != NONE
        return True

    def _normalize(self, node: Node, y: Value) -> bool:
        plain = self.residual is None and self.activation == NONE and self.norm is None
        assert isinstance(node.attrs, NormAttrs)
        follows = self.first.op is conv2d and node.attrs.axis == 1 and node.inputs[0] is y
        if not plain or not follows:
            return False
        self.norm = node
        return True


def _fused_conv(chain: Chain, parts: Parts) -> Node:
    x, weight, bias = chain.first.inputs
    a, scale, inner = chain.first.attrs, None, None
    assert isinstance(a, ConvAttrs)
    if chain.norm is not None:
        inner = bias
        scale, bias = _affine(chain.norm, parts)
    attrs = FusedConvAttrs.of(
        a.stride, a.padding, a.dilation, a.groups, chain.activation, chain.after
    )
    inputs = (x, weight, bias, scale, chain.residual, inner)
    last = chain.nodes[-1]
    return Node(conv2d_fused, inputs, attrs, last.outputs, source=chain.first.source)


def _affine(norm: Node, parts: Parts) -> tuple[Value, Value]:
    """The scale and the shift of a normalization with given statistics, as its kernel has them."""
    x, mean, var, weight, shift = norm.inputs
    assert x is not None and mean is not None and var is not None
    assert isinstance(norm.attrs, NormAttrs)
    kind = statistics_dtype(x.dtype)

    def wide(v: Value) -> Value:
        return v if v.dtype is kind else parts.make(cast, v, attrs=CastAttrs.of(kind))

    scale = parts.make(rsqrt, parts.make(add, wide(var), parts.number(norm.attrs.eps, kind)))
    if weight is not None:
        scale = parts.make(mul, scale, wide(weight))
    moved = parts.make(mul, wide(mean), scale)
    if shift is None:
        return scale, parts.make(mul, moved, parts.number(-1.0, kind))
    return scale, parts.make(sub, wide(shift), moved)


def _fused_norm(chain: Chain) -> Node:
    x, mean, var, weight, bias = chain.first.inputs
    a, last = chain.first.attrs, chain.nodes[-1]
    assert isinstance(a, NormAttrs)
    attrs = NormApplyAttrs.of(a.eps, a.axis, chain.activation, chain.after, True)
    return replace(
        chain.first,
        op=batch_norm_apply,
        inputs=(x, mean, var, weight, bias, chain.residual),
        attrs=attrs,
        outputs=last.outputs,
    )
