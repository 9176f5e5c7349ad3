"""Images are flattened as they lie in memory: the dense layer's weights are turned instead.

Images lie channels-last, but the features that flattening makes are counted channel by channel, so
it copies. Their order does not matter to a product if both operands have the same one: here that of
memory. Weights that do not change are turned once and not in each call; in training, weights and
their gradient are turned in each step, which is less than images and theirs where a batch is larger
than the layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fovea.graph.graph import Graph, Node, Value, same_spec, substitute
from fovea.graph.matching import Matcher, Parts
from fovea.graph.order import legal_order, owner
from fovea.ops.elementwise import relu_grad
from fovea.ops.fused_pool import relu_max_pool2d_grad
from fovea.ops.linalg import linear, matmul
from fovea.ops.memory import lay_out
from fovea.ops.op import Spec, numel
from fovea.ops.pool import adaptive_avg_pool2d_grad, avg_pool2d_grad, max_pool2d_grad
from fovea.ops.rules import channels_last_strides
from fovea.ops.shape import LayoutAttrs, PermuteAttrs, ShapeAttrs, clone, permute, view

__all__ = ["absorb_flatten"]

# What reads the gradient of an image in any layout.
_READERS = (
    lay_out, clone, relu_grad, max_pool2d_grad, relu_max_pool2d_grad, avg_pool2d_grad,
    adaptive_avg_pool2d_grad,
)  # fmt: skip


@dataclass
class _Flatten:
    """A flattened image and the dense layer that reads it.

    Args:
        copy, flat: the nodes that copy and view it.
        layer: the layer.
        products: those that make the weights' gradient.
        back: the product that makes the image's gradient, and its view as an image.
    """

    copy: Node
    flat: Node
    layer: Node
    products: list[Node]
    back: list[tuple[Node, Node]]


def absorb_flatten(graph: Graph) -> Graph:
    """The graph with dense layers that read images in the order of memory."""
    for copy in graph.nodes:
        if copy.op is clone or copy.op is lay_out:
            found = _match(copy, Matcher(graph))
            if found is not None and _pays(found, graph):
                graph = _turned(graph, found)
    return graph


def _match(copy: Node, m: Matcher) -> _Flatten | None:
    (x,), (y,) = copy.inputs, copy.outputs
    assert x is not None
    wanted = Value(Spec(x.shape, x.dtype, channels_last_strides(x.shape) if x.ndim == 4 else None))
    flat = m.reader(y)
    if x.ndim != 4 or numel(x.shape[2:]) == 1 or not same_spec(x, wanted) or flat is None:
        return None
    if flat.op is not view or flat.outputs[0].shape != (x.shape[0], numel(x.shape[1:])):
        return None
    return _around(copy, flat, m)


def _around(copy: Node, flat: Node, m: Matcher) -> _Flatten | None:
    """The nodes around a flattened image, if they are a layer and its gradients."""
    v = flat.outputs[0]
    readers = m.readers(v)
    layers = [n for n in readers or () if n.op is linear and n.inputs[0] is v]
    products = [n for n in readers or () if n.op is matmul and n.inputs[1] is v]
    if readers is None or len(layers) != 1 or len(layers) + len(products) != len(readers):
        return None
    (layer,) = layers
    weight = layer.inputs[1]
    assert weight is not None
    if any(n.inputs[0] is v or n.inputs[0].ndim != 2 for n in products):  # type: ignore[union-attr]
        return None
    back = [
        (n, image)
        for n in m.users.get(weight, ())
        if n.op is matmul and n.inputs[1] is weight and (image := _image_of(n, copy, m)) is not None
    ]
    return _Flatten(copy, flat, layer, products, back)


def _image_of(product: Node, copy: Node, m: Matcher) -> Node | None:
    """The view of a gradient as an image, if nothing reads that which minds its layout."""
    image = m.reader(product.outputs[0])
    if image is None or image.op is not view:
        return None
    u = image.outputs[0]
    readers = m.readers(u)
    if tuple(u.shape) != tuple(copy.outputs[0].shape) or readers is None:
        return None
    return image if all(n.op in _READERS for n in readers) else None


def _pays(found: _Flatten, graph: Graph) -> bool:
    """Whether fewer bytes are turned than before."""
    makers = {v: n for n, node in enumerate(graph.nodes) for v in node.outputs}
    weight = found.layer.inputs[1]
    assert weight is not None
    changed = {
        owner(v, graph.nodes, makers)
        for node in graph.nodes
        for i in node.mutated
        if (v := node.inputs[i]) is not None
    }
    fixed = owner(weight, graph.nodes, makers)
    leaves = {*(s.value for s in graph.states), *(c.value for c in graph.constants)}
    each_call = fixed in changed or fixed not in leaves
    after = weight.nbytes * (each_call + len(found.products))
    return after < found.copy.outputs[0].nbytes * (1 + len(found.back))


def _turned(graph: Graph, found: _Flatten) -> Graph:
    """The graph with the layer, and its gradients, in the order of memory."""
    x, weight = found.copy.inputs[0], found.layer.inputs[1]
    assert x is not None and weight is not None
    n, c, h, w = x.shape
    outputs, size = weight.shape
    first, later, replaced = Parts(), {}, {}
    own = _view(first, _permute(first, x, 0, 2, 3, 1), n, size)
    image = _permute(first, _view(first, weight, outputs, c, h, w), 0, 2, 3, 1)
    turned = _view(first, _copy(first, image), outputs, size)
    bias = found.layer.inputs[2:]
    later[found.layer] = [*first.nodes, replace(found.layer, inputs=(own, turned, *bias))]
    for node in found.products:
        parts = Parts()
        gw = parts.make(matmul, node.inputs[0], own)  # type: ignore[arg-type]
        back = _permute(parts, _view(parts, gw, outputs, h, w, c), 0, 3, 1, 2)
        made = _view(parts, _copy(parts, back), outputs, size)
        replaced[node.outputs[0]] = made
        later[node] = _from(parts, node)
    for node, seen in found.back:
        parts = Parts()
        gx = parts.make(matmul, node.inputs[0], turned)  # type: ignore[arg-type]
        replaced[seen.outputs[0]] = _permute(parts, _view(parts, gx, n, h, w, c), 0, 3, 1, 2)
        later[node], later[seen] = _from(parts, node), []
    later[found.copy], later[found.flat] = [], []
    return _ordered(graph, later, replaced)


def _ordered(
    graph: Graph, later: Mapping[Node, list[Node]], replaced: Mapping[Value, Value]
) -> Graph:
    nodes = [new for node in graph.nodes for new in later.get(node, [node])]
    changed = substitute(graph.replace(nodes=tuple(nodes)), replaced)
    return changed.replace(nodes=legal_order(changed.nodes))


def _from(parts: Parts, node: Node) -> list[Node]:
    """New nodes, which come from where an old one did."""
    return [replace(new, source=node.source) for new in parts.nodes]


def _view(parts: Parts, v: Value, *shape: int) -> Value:
    return parts.make(view, v, attrs=ShapeAttrs.of(shape))


def _permute(parts: Parts, v: Value, *dims: int) -> Value:
    return parts.make(permute, v, attrs=PermuteAttrs.of(dims))


def _copy(parts: Parts, v: Value) -> Value:
    return parts.make(clone, v, attrs=LayoutAttrs.of("contiguous"))
