"""Max pooling becomes part of the convolution before it, whose result is then never stored.

Apart, the larger image is written and read once each: four times what the windows leave of it.
"""

from __future__ import annotations

from fovea.graph.graph import Graph, Node
from fovea.graph.matching import Matcher
from fovea.graph.order import Change, rewritten
from fovea.ops.conv import ConvAttrs, conv2d
from fovea.ops.epilogue import NONE
from fovea.ops.fused import FusedConvAttrs, conv2d_fused
from fovea.ops.fused_conv_pool import ConvPoolAttrs, conv2d_max_pool
from fovea.ops.fused_pool import suits
from fovea.ops.pool import PoolAttrs, max_pool2d

__all__ = ["fuse_conv_pooling"]


def fuse_conv_pooling(graph: Graph) -> Graph:
    """The graph with convolutions that pool their results."""
    matcher = Matcher(graph)
    changes: list[Change] = []
    for node in graph.nodes:
        if node.op not in (conv2d, conv2d_fused):
            continue
        pool = matcher.reader(node.outputs[0])
        if pool is not None and pool.op is max_pool2d and _fit(node, pool):
            changes.append({node: (), pool: (_joined(node, pool),)})
    return rewritten(graph, *changes)


def _fit(node: Node, pool: Node) -> bool:
    """Whether nothing but scale, bias and activation comes between, and windows lie apart."""
    a = pool.attrs
    assert isinstance(a, PoolAttrs)
    plain = node.op is conv2d or node.inputs[4] is None
    y = node.outputs[0]
    return plain and y.dtype.is_floating_point and suits(tuple(y.shape), a)


def _joined(node: Node, pool: Node) -> Node:
    a, p = node.attrs, pool.attrs
    assert isinstance(a, ConvAttrs) and isinstance(p, PoolAttrs)
    activation = a.activation if isinstance(a, FusedConvAttrs) else NONE
    attrs = ConvPoolAttrs.of(
        a.stride, a.padding, a.dilation, a.groups, activation, False, p.kernel, p.stride
    )
    x, weight, bias = node.inputs[:3]
    scale, inner = (node.inputs[3], node.inputs[5]) if node.op is conv2d_fused else (None, None)
    inputs = (x, weight, bias, scale, inner)
    return Node(conv2d_max_pool, inputs, attrs, pool.outputs, source=node.source)
