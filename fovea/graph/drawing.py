"""Graphs as pictures: `to_svg` for a browser, `to_dot` for Graphviz."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from fovea.graph.graph import Graph, Node, Value
from fovea.graph.printer import format_attrs, format_node, format_type, value_names
from fovea.graph.svg import Arrow, Card, cut, draw
from fovea.ops.op import Op

__all__ = ["LEGEND", "color_of", "to_dot", "to_svg"]

_FAMILIES: Final = {
    "products": ("#cfe2f8", ("conv", "linalg", "fused")),
    "normalization": ("#e3d5f3", ("norm",)),
    "elements": ("#d5efd5", ("elementwise", "activation", "fused_pointwise")),
    "reductions, pooling": ("#fbe3c6", ("reduce", "pool", "softmax", "resize", "sampling")),
    "loss": ("#f8cfcf", ("loss",)),
    "copies, indices": ("#e6e6e6", ("shape", "memory", "index")),
    "changes of states": ("#f6efb5", ("update", "random")),
}
_COLORS: Final = {file: color for color, files in _FAMILIES.values() for file in files}
LEGEND: Final = {color: name for name, (color, _) in _FAMILIES.items()}
_OTHER, _ENDS = "#f4f4f4", "#ffffff"


@dataclass(eq=False)
class _Item(Card):
    """An input, a node, or an output; backward's modules are others.

    Args:
        reads, makes: values.
    """

    reads: list[Value] = field(default_factory=list)
    makes: list[Value] = field(default_factory=list)


def to_svg(graph: Graph, *, longest: int = 8, depth: int = 2) -> str:
    """The graph as an SVG picture, from top to bottom.

    Boxes are inputs, nodes and outputs, colored by what kind of op they are; parameters stand
    inside the nodes that read them. Frames show modules.

    Args:
        graph: any graph that keeps the rules.
        longest: arrows that would pass more rows than this are cut, and both ends show the value's
            name instead (backward reads much of what forward made).
        depth: down to which part of a module's path there are frames: 2 frames ``layer1.0``.

    >>> from fovea import dtypes
    >>> from fovea.ops.elementwise import relu
    >>> from fovea.ops.op import Spec
    >>> x, y = (Value(Spec((2, 3), dtypes.float32)) for _ in range(2))
    >>> svg = to_svg(Graph((x,), (), (), (Node(relu, (x,), None, (y,)),), (y,)))
    >>> svg.startswith("<svg"), "relu" in svg
    (True, True)
    """
    names = value_names(graph)
    items = list(_items(graph, names))
    maker = {v: item for item in items for v in item.makes}
    arrows = [
        Arrow(maker[v], item, names[v], f"{names[v]} {format_type(v)}")
        for item in items
        for v in dict.fromkeys(item.reads)
        if v in maker
    ]
    return draw(items, arrows, LEGEND, longest, depth)


def _items(graph: Graph, names: dict[Value, str]) -> Iterator[_Item]:
    leaves = {s.value for s in graph.states} | {c.value for c in graph.constants}
    numbers = {c.value: str(c.array.reshape(-1)[0]) for c in graph.constants if c.value.shape == ()}
    for v in graph.inputs:
        lines = [names[v], format_type(v)]
        yield _Item(lines, _ENDS, title=" ".join(lines), rounded=True, makes=[v])
    for node in graph.nodes:
        lines = [node.op.name, *(cut(format_type(v)) for v in node.results[:1])]
        inside: dict[str, list[str]] = {}
        for v in node.operands():
            if v in numbers:
                inside.setdefault("", []).append(numbers[v])
            elif v in leaves:
                inside.setdefault(format_type(v), []).append(_last(names[v]))
        told = [cut(f"{', '.join(found)} {kind}".strip()) for kind, found in inside.items()]
        lines += told if len(told) < 4 else [*told[:3], f"and {len(told) - 3} more kinds"]
        yield _Item(
            lines,
            color_of(node.op),
            _modules(node),
            "\n".join([format_node(node, names, most_operands=12), *format_attrs(node.attrs)]),
            reads=list(node.operands()),
            makes=list(node.outputs),
        )
    for i, v in enumerate(graph.outputs):
        lines = ["result" if len(graph.outputs) == 1 else f"result {i}", format_type(v)]
        title = " ".join([names[v], *lines])
        yield _Item(lines, _ENDS, title=title, rounded=True, reads=[v])


def _modules(node: Node) -> tuple[str, ...]:
    """``layer1``, ``layer1.0``, ``layer1.0.conv1``."""
    parts = node.source.module.split(".") if node.source.module else []
    suffix = " backward" if node.source.backward else ""
    return tuple(".".join(parts[: i + 1]) + suffix for i in range(len(parts)))


def color_of(op: Op) -> str:
    """The color of an op's family."""
    rule = op.shape_rule
    return _COLORS.get(rule.__module__.rpartition(".")[2], _OTHER) if rule else _OTHER


def _last(path: str) -> str:
    """The end of a state's path: its module is framed anyway."""
    return path.rpartition(".")[2] or path


def to_dot(graph: Graph) -> str:
    """The graph in Graphviz's language, modules as clusters.

    >>> from fovea import dtypes
    >>> from fovea.ops.elementwise import relu
    >>> from fovea.ops.op import Spec
    >>> x, y = (Value(Spec((2, 3), dtypes.float32), name) for name in ("x", ""))
    >>> print(to_dot(Graph((x,), (), (), (Node(relu, (x,), None, (y,)),), (y,))))
    digraph {
      node [shape=box, style=filled, fontname=monospace, fontsize=10]
      n0 [label="%x\\nf32[2, 3]", fillcolor="#ffffff", shape=oval]
      n1 [label="relu\\nf32[2, 3]", fillcolor="#d5efd5"]
      n2 [label="result\\nf32[2, 3]", fillcolor="#ffffff", shape=oval]
      n0 -> n1
      n1 -> n2
    }
    """
    items = list(_items(graph, value_names(graph)))
    number = {v: i for i, item in enumerate(items) for v in item.makes}
    lines = ["digraph {", "  node [shape=box, style=filled, fontname=monospace, fontsize=10]"]
    modules: dict[tuple[str, ...], list[str]] = {}
    for i, item in enumerate(items):
        label = "\\n".join(_quoted(line) for line in item.lines)
        shape = ", shape=oval" if item.rounded else ""
        line = f'n{i} [label="{label}", fillcolor="{item.color}"{shape}]'
        modules.setdefault(item.module, []).append(line)
    for n, (module, inside) in enumerate(modules.items()):
        if module:
            label = f'subgraph cluster_{n} {{ label="{_quoted(module[-1])}"'
            lines += [f"  {label}", *(f"    {line}" for line in inside), "  }"]
        else:
            lines += [f"  {line}" for line in inside]
    for i, item in enumerate(items):
        lines += [f"  n{number[v]} -> n{i}" for v in dict.fromkeys(item.reads) if v in number]
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
