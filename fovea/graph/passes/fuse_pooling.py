"""ReLU, max pooling and their gradients: one op forward, one backward, a byte a window between.

Apart, the gradients read what the ReLU made twice and write an image twice. Where nothing else
reads it, `relu_max_pool2d` keeps which element each window chose, and the image is never stored.
Without a gradient, pooling comes first: its result is smaller than its input. (A convolution or a
normalization before the ReLU takes that in at no cost: see `fuse_contractions`.)
"""

from __future__ import annotations

from dataclasses import replace

from fovea import dtypes
from fovea.graph.graph import Graph, Node, Value, same_spec
from fovea.graph.order import owner
from fovea.ops import fused_pool as fused
from fovea.ops.conv import conv2d
from fovea.ops.elementwise import relu, relu_grad
from fovea.ops.norm import batch_norm_infer, batch_norm_train
from fovea.ops.op import Spec
from fovea.ops.pool import PoolAttrs, max_pool2d, max_pool2d_grad

__all__ = ["fuse_pooling"]

_FINISHING = (conv2d, batch_norm_infer, batch_norm_train)


def fuse_pooling(graph: Graph) -> Graph:
    """The graph with ReLUs and max poolings that belong together as one."""
    users, kept = graph.users(), graph.kept()
    makers = {v: node for node in graph.nodes for v in node.outputs}
    changing = _changing(graph)
    instead: dict[Node, list[Node]] = {}
    for pool in graph.nodes:
        if pool.op is not max_pool2d:
            continue
        (r,) = pool.operands()
        activation = makers.get(r)
        if activation is None or activation.op is not relu or r in kept:
            continue
        (x,) = activation.operands()
        if x in changing or not x.dtype.is_floating_point:
            continue
        gradients = _gradients(pool, r, users, kept)
        if gradients is None:
            continue
        if not gradients:
            before = makers.get(x)
            if before is None or before.op not in _FINISHING or len(users[x]) > 1 or x in kept:
                instead.update(_turned(activation, pool, x))
        elif fused.suits(tuple(x.shape), pool.attrs):  # type: ignore[arg-type]
            instead.update(_joined(activation, pool, x, gradients))
    if not instead:
        return graph
    return graph.replace(nodes=tuple(n for node in graph.nodes for n in instead.get(node, [node])))


def _changing(graph: Graph) -> set[Value]:
    """Values whose memory some node overwrites."""
    places = {v: n for n, node in enumerate(graph.nodes) for v in node.outputs}
    changed = {
        owner(v, graph.nodes, places)
        for node in graph.nodes
        for v in (node.inputs[i] for i in node.mutated)
        if v is not None
    }
    return {v for v in graph.values() if owner(v, graph.nodes, places) in changed}


def _gradients(
    pool: Node, r: Value, users: dict[Value, list[Node]], kept: set[Value]
) -> list[tuple[Node, Node]] | None:
    """The gradients of the pooling, each with that of the ReLU; None where others read ``r``."""
    pairs = []
    readers = [node for node in users[r] if node is not pool]
    for node in readers:
        if node.op is max_pool2d_grad:
            (g,) = node.outputs
            after = users.get(g, [])
            right = node.inputs[1:] == (r, pool.outputs[0]) and node.attrs is pool.attrs
            alone = len(after) == 1 and after[0].op is relu_grad and g not in kept
            if not right or not alone or after[0].inputs != (g, r):
                return None
            pairs.append((node, after[0]))
        elif node.op is not relu_grad:
            return None
    masked = {second for _, second in pairs}
    if any(node.op is relu_grad and node not in masked for node in readers):
        return None
    return pairs


def _turned(activation: Node, pool: Node, x: Value) -> dict[Node, list[Node]]:
    """Pooling first, then the ReLU."""
    (y,) = pool.outputs
    largest = Value(y.spec)
    first = replace(pool, inputs=(x,), outputs=(largest,))
    return {activation: [], pool: [first, replace(activation, inputs=(largest,), outputs=(y,))]}


def _joined(
    activation: Node, pool: Node, x: Value, gradients: list[tuple[Node, Node]]
) -> dict[Node, list[Node]]:
    """One op forward, and one for each gradient."""
    a = pool.attrs
    assert isinstance(a, PoolAttrs)
    (y,) = pool.outputs
    if not all(same_spec(last.outputs[0], first.outputs[0]) for first, last in gradients):
        return {}
    choice = Value(Spec(y.shape, dtypes.uint8, y.spec.strides))
    instead = {
        activation: [],
        pool: [replace(pool, op=fused.relu_max_pool2d, inputs=(x,), outputs=(y, choice))],
    }
    size = (x.shape[2], x.shape[3])
    attrs = fused.ChoiceGradAttrs.of(a.kernel, a.stride, size)
    for first, last in gradients:
        inputs = (first.inputs[0], choice)
        joined = replace(last, op=fused.relu_max_pool2d_grad, inputs=inputs, attrs=attrs)
        instead[first], instead[last] = [], [joined]
    return instead
