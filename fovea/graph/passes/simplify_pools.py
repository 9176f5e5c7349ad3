"""Gradients of max-pooling: do before it, on a value a window, what would follow on whole images.

A gradient of max-pooling gives each window's gradient to the element that won it, so

- the slope of a ReLU before the pooling can be taken from the maxima: ``relu_grad(grad(gy, x, y),
  x) = grad(relu_grad(gy, y), x, y)``, since the winner's sign is the maximum's;
- sums over whole images are sums over windows: ``sum(grad(gy, x, y)) = sum(gy)``, which rounds
  differently. With `relu_max_pool2d_grad`, windows that chose nothing do not count.

What these gradients would copy into the layout of images inside becomes a copy in the graph, so
that it is made once.
"""

from __future__ import annotations

from fovea import dtypes
from fovea.graph.graph import Graph, Node, Value, same_spec
from fovea.graph.passes.rewriting import Rewriter, Rules, parts, rewrite
from fovea.ops.elementwise import ne, relu_grad, where
from fovea.ops.fused_pool import NOTHING, relu_max_pool2d_grad
from fovea.ops.memory import StridesAttrs, lay_out
from fovea.ops.op import Spec
from fovea.ops.pool import max_pool2d_grad
from fovea.ops.reduce import sum_
from fovea.ops.rules import channels_last_strides

__all__ = ["simplify_pools"]

_rules = Rules()


def simplify_pools(graph: Graph) -> Graph:
    """The graph with less to do on the images that were pooled."""
    return rewrite(graph, _rules)


@_rules.on(relu_grad)
def _(node: Node, r: Rewriter) -> Node | None:
    spread, slope = node.inputs
    assert spread is not None
    inner = r.producer(spread, max_pool2d_grad)
    if inner is None or not r.read_once(spread):
        return None
    gy, x, y = inner.inputs
    assert gy is not None and x is not None and y is not None
    if slope is not x:
        return None
    return Node(max_pool2d_grad, (r.make(relu_grad, gy, y), x, y), inner.attrs, node.outputs)


@_rules.on(sum_)
def _(node: Node, r: Rewriter) -> Node | None:
    x, a, _ = parts(node)
    inner = r.producer(x, max_pool2d_grad, relu_max_pool2d_grad)
    if inner is None or not {2, 3} <= set(a.dims):
        return None
    gy = inner.inputs[0]
    assert gy is not None
    if inner.op is relu_max_pool2d_grad:
        choice = inner.inputs[1]
        assert choice is not None
        chosen = r.make(ne, choice, r.constant(NOTHING, dtypes.uint8))
        gy = r.make(where, chosen, gy, r.constant(0.0, gy.dtype))
    return Node(sum_, (gy,), a, node.outputs)


@_rules.on(max_pool2d_grad, relu_max_pool2d_grad)
def _(node: Node, r: Rewriter) -> Node | None:
    gy, *others = node.inputs
    assert gy is not None
    wanted = Value(Spec(gy.shape, gy.dtype, channels_last_strides(gy.shape)))
    if same_spec(gy, wanted):
        return None
    laid = r.make(lay_out, gy, attrs=StridesAttrs.of(wanted.strides))
    return Node(node.op, (laid, *others), node.attrs, node.outputs)
