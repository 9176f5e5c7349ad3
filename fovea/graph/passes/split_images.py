"""A few images at a time, from the input on until results are small: they stay in a cache.

The first layers of a network make the largest results. Of a whole batch these go to memory and come
back for the next layer; of one or two images they are still in the last cache when that begins. So
nodes that treat each image by itself are repeated for parts of the batch, up to the last one that
moves much, and one result of all parts is put together again. Networks of dense convolutions are
left as they are: these wait for products, and read large weights for each part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fovea.graph.counting import flops_of
from fovea.graph.graph import Graph, Node, Value
from fovea.graph.matching import Parts
from fovea.ops.conv import conv2d
from fovea.ops.elementwise import add, mul, sub
from fovea.ops.epilogue import ACTIVATIONS
from fovea.ops.fused import conv2d_fused
from fovea.ops.fused_conv_pool import conv2d_max_pool
from fovea.ops.fused_norm import batch_norm_apply
from fovea.ops.fused_pointwise import pointwise
from fovea.ops.norm import batch_norm_infer
from fovea.ops.op import Spec, numel
from fovea.ops.pool import avg_pool2d, max_pool2d
from fovea.ops.reduce import ReduceAttrs, mean
from fovea.ops.shape import DimAttrs, SliceAttrs, cat, slice_

__all__ = ["split_images"]

LARGE = 12 << 20  # bytes that a node moves, from which on it is worth while
PART = 12 << 20  # bytes that a node moves of a part: what stays in the last cache
BUSY = 16.0  # operations a byte: with more, memory is not what layers wait for

# Ops that treat each image by itself, with the places of operands that may be images.
_BY_IMAGE = {
    conv2d: (0,), conv2d_fused: (0, 4), conv2d_max_pool: (0,), max_pool2d: (0,), avg_pool2d: (0,),
    mean: (0,), batch_norm_infer: (0,), batch_norm_apply: (0, 5),
}  # fmt: skip
_ELEMENTWISE = {add, sub, mul, pointwise, *ACTIVATIONS.values()}


def split_images(graph: Graph, large: int = LARGE, part: int = PART, busy: float = BUSY) -> Graph:
    """The graph with its first layers repeated for parts of the images.

    Args:
        large, part: bytes of images that a node moves, from which on it is worth while, and of a
            part.
        busy: operations a byte, from which on it is not.
    """
    images = [v for v in graph.inputs if v.ndim == 4 and v.shape[0] > 1]
    changing = graph.updates or any(node.mutated for node in graph.nodes)
    if len(images) != 1 or changing or not _outermost(images[0]):
        return graph
    count, by_image = images[0].shape[0], dict(_by_image(graph, images[0]))
    nodes, moved = list(by_image), list(by_image.values())
    last = max((n for n, nbytes in enumerate(moved) if nbytes >= large), default=-1)
    if last < 0:
        return graph
    most = max(1, part * count // max(moved))
    size = max(n for n in range(1, count + 1) if count % n == 0 and n <= max(most, 1))
    end = _end(graph, nodes, last, max(moved)) if size < count else None
    if end is None or sum(map(flops_of, nodes[:end])) > busy * sum(moved[:end]):
        return graph
    return _Split(graph, nodes[:end], images[0], size).graph


def _outermost(v: Value) -> bool:
    """Whether images follow each other in memory."""
    return v.strides[0] == numel(v.shape[1:]) and min(v.strides) > 0


def _by_image(graph: Graph, images: Value) -> Iterator[tuple[Node, int]]:
    """The nodes that compute, image by image, what depends on the images alone and on what is the
    same for all; with the bytes of images that each reads and makes.
    """
    found, others = {images}, set[Value]()
    for node in graph.nodes:
        given = set(node.operands())
        if not given & (found | others):
            continue
        if not given & others and _separates(node, found, images.shape[0]):
            found.update(node.outputs)
            values = dict.fromkeys([*node.operands(), *node.outputs])
            yield node, sum(v.nbytes for v in values if v in found)
        else:
            others.update(node.outputs)


def _separates(node: Node, found: set[Value], count: int) -> bool:
    """Whether a node that reads some of these images treats each by itself."""
    places = [i for i, v in enumerate(node.inputs) if v in found]
    if node.op in _ELEMENTWISE:
        same = [v for v in node.operands() if v not in found]
        fitting = all(v.ndim < 4 or v.shape[0] == 1 for v in same)
    else:
        fitting = all(i in _BY_IMAGE.get(node.op, ()) for i in places)
        a = node.attrs
        if isinstance(a, ReduceAttrs):
            fitting = fitting and a.keepdim and 0 not in a.dims and -4 not in a.dims
    return fitting and all(
        v.ndim == 4 and v.shape[0] == count and _outermost(v) for v in node.outputs
    )


def _end(graph: Graph, nodes: Sequence[Node], last: int, most: int) -> int | None:
    """How many of the nodes to repeat: up to the first place behind the last large one where a
    single, small result is needed by what follows.
    """
    place = {node: n for n, node in enumerate(nodes)}
    users, kept, after = graph.users(), graph.kept(), len(nodes)
    needed = {  # until where each result is
        v: max([place.get(u, after) for u in users.get(v, [])] + [after] * (v in kept), default=0)
        for node in nodes
        for v in node.outputs
    }
    live: list[Value] = []
    for n, node in enumerate(nodes):
        live = [v for v in (*live, *node.outputs) if needed[v] > n]
        if n >= last and len(live) == 1 and 4 * live[0].nbytes <= most:
            return n + 1
    return None


@dataclass
class _Split:
    """Repeats the first nodes for parts of so many images."""

    whole: Graph
    nodes: Sequence[Node]
    images: Value
    size: int

    @property
    def graph(self) -> Graph:
        """The graph."""
        region, parts = set(self.nodes), Parts()
        inside = {v for node in self.nodes for v in node.outputs}
        readers = [n for n in self.whole.nodes if n not in region]
        needed = [v for n in readers for v in n.operands() if v in inside]
        (result,) = dict.fromkeys(needed + [v for v in self.whole.outputs if v in inside])
        pieces = []
        for first in range(0, self.images.shape[0], self.size):
            pieces.append(self._part(first, result, parts))
        joined = Node(cat, tuple(pieces), DimAttrs.of(0), (result,), source=self.nodes[-1].source)
        later, now = {result}, []
        for node in readers:
            if later.isdisjoint(node.operands()):
                now.append(node)
            else:
                later.update(node.outputs)
        rest = [n for n in readers if not later.isdisjoint(n.outputs)]
        return self.whole.replace(nodes=(*now, *parts.nodes, joined, *rest))

    def _part(self, first: int, result: Value, parts: Parts) -> Value:
        """Add the nodes for the images from this one on; their result."""
        _, *shape = self.images.shape
        where = SliceAttrs.of((first, 0, 0, 0), (self.size, *shape), (1, 1, 1, 1))
        made = {self.images: parts.make(slice_, self.images, attrs=where)}
        for node in self.nodes:
            for v in node.outputs:
                made[v] = Value(Spec((self.size, *v.shape[1:]), v.dtype, v.strides), v.name)
            inputs = tuple(None if v is None else made.get(v, v) for v in node.inputs)
            outputs = tuple(made[v] for v in node.outputs)
            parts.nodes.append(replace(node, inputs=inputs, outputs=outputs))
        return made[result]
