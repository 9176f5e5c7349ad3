"""Graphs as pictures: `to_svg` for a browser, `to_dot` for Graphviz."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from fovea.graph.graph import Graph, Node, Value
from fovea.graph.layers import Box, place, ranked
from fovea.graph.printer import format_attrs, format_node, format_type, value_names

__all__ = ["to_dot", "to_svg"]

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
_OTHER, _ENDS = "#f4f4f4", "#ffffff"
_FONT, _LINE, _CHARACTER = 11, 14, 6.7  # pixels
_WIDEST = 48  # characters


@dataclass(eq=False)
class _Item:
    """A box of the drawing: an input, a node, or an output.

    Args:
        lines: what it says, the first in bold.
        color: of the box.
        reads, makes: values.
        module: the modules that it belongs to, outermost first; backward's are others.
        title: what a browser shows when one points at it.
    """

    lines: list[str]
    color: str
    reads: list[Value]
    makes: list[Value]
    module: tuple[str, ...] = ()
    title: str = ""
    rounded: bool = False

    def box(self) -> Box:
        longest = max(map(len, self.lines))
        return Box(longest * _CHARACTER + 16, len(self.lines) * _LINE + 8)


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
    return _Picture(graph, longest, depth).svg()


class _Picture:
    def __init__(self, graph: Graph, longest: int, depth: int) -> None:
        self.graph, self.depth = graph, depth
        self.names = value_names(graph)
        self.items = list(_items(graph, self.names))
        self.boxes = {item: item.box() for item in self.items}
        maker = {v: item for item in self.items for v in item.makes}
        arrows = [
            (maker[v], item, v)
            for item in self.items
            for v in dict.fromkeys(item.reads)
            if v in maker
        ]
        ranked([*self.boxes.values()], [(self.boxes[a], self.boxes[b]) for a, b, _ in arrows])
        self.drawn = [a for a in arrows if self._rows(a) <= longest]
        self._tag([a for a in arrows if self._rows(a) > longest])
        ends = [(self.boxes[a], self.boxes[b]) for a, b, _ in self.drawn]
        self.paths = place([*self.boxes.values()], ends, (26.0, 26.0))

    def _rows(self, arrow: tuple[_Item, _Item, Value]) -> int:
        return self.boxes[arrow[1]].rank - self.boxes[arrow[0]].rank

    def _tag(self, cut: list[tuple[_Item, _Item, Value]]) -> None:
        """Name the values of arrows that are not drawn, at both ends."""
        for item in self.items:
            coming = [self.names[v] for _, b, v in cut if b is item]
            going = list(dict.fromkeys(self.names[v] for a, _, v in cut if a is item))
            for mark, found in (("from", coming), ("as", going)):
                if found:
                    item.lines.append(_cut(f"{mark} {', '.join(found)}"))
            if coming or going:
                new, old = item.box(), self.boxes[item]
                old.width, old.height = new.width, new.height

    def svg(self) -> str:
        boxes = self.boxes.values()
        outer, inner = (
            max((len(name) for i in self.items for name in i.module[d : d + 1]), default=0)
            for d in (0, 1)
        )
        left, right = 20 + _CHARACTER * outer, 20 + _CHARACTER * inner
        width = max((b.x + b.width / 2 for b in boxes), default=0.0) + left + right
        height = max((b.y + b.height / 2 for b in boxes), default=0.0) + 80
        body = [*self._frames(), *self._arrows(), *(self._drawn_item(i) for i in self.items)]
        inside = "\n".join(body)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{max(width, 860):.0f}" '
            f'height="{height:.0f}" font-size="{_FONT}" '
            'font-family="ui-monospace, Menlo, Consolas, monospace">\n'
            f'{_STYLE}\n<rect width="100%" height="100%" fill="#fff"/>\n{self._legend()}\n'
            f'<g transform="translate({left:.0f} 60)">\n{inside}\n</g>\n</svg>\n'
        )

    def _legend(self) -> str:
        used = {item.color for item in self.items}
        parts, x = [], 20.0
        for name, (color, _) in _FAMILIES.items():
            if color in used:
                parts.append(f'<rect x="{x:.0f}" y="12" width="12" height="12" fill="{color}"/>')
                parts.append(f'<text x="{x + 18:.0f}" y="22">{name}</text>')
                x += 40 + len(name) * _CHARACTER
        return "\n".join(parts)

    def _frames(self) -> Iterator[str]:
        """A frame around the boxes of each module that stand together."""
        groups: dict[str, list[Box]] = {}
        for item in self.items:
            for name in item.module[: self.depth]:
                groups.setdefault(name, []).append(self.boxes[item])
        for name, group in sorted(groups.items(), key=lambda g: g[0].count(".")):
            if len(group) < 2:
                continue
            margin = 12 - 4 * name.count(".")
            left = min(b.x - b.width / 2 for b in group) - margin
            right = max(b.x + b.width / 2 for b in group) + margin
            top = min(b.y - b.height / 2 for b in group) - margin
            bottom = max(b.y + b.height / 2 for b in group) + margin
            at, side = (right + 4, "start") if "." in name else (left - 4, "end")
            yield (
                f'<rect class="frame" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
                f'height="{bottom - top:.1f}" rx="6"/><text class="module" x="{at:.1f}" '
                f'y="{top + 10:.1f}" text-anchor="{side}">{escape(name)}</text>'
            )

    def _arrows(self) -> Iterator[str]:
        for path, (_, _, value) in zip(self.paths, self.drawn, strict=True):
            line = ""
            for a, b in pairwise(path):  # straight through rows, curved between
                start, end = a.y + a.height / 2, b.y - b.height / 2 - (0 if b.bend else 4)
                half = (start + end) / 2
                line += f"{'L' if line else 'M'}{a.x:.1f} {start:.1f}"
                line += f"C{a.x:.1f} {half:.1f} {b.x:.1f} {half:.1f} {b.x:.1f} {end:.1f}"
            title = escape(f"{self.names[value]} {format_type(value)}")
            yield f'<path class="arrow" d="{line}"><title>{title}</title></path>'

    def _drawn_item(self, item: _Item) -> str:
        box = self.boxes[item]
        left, top = box.x - box.width / 2, box.y - box.height / 2
        corner = box.height / 2 if item.rounded else 3
        text = "".join(
            f'<text class="{"line" if i else "head"}" x="{box.x:.1f}" '
            f'y="{top + (i + 1) * _LINE + 1:.1f}">{escape(line)}</text>'
            for i, line in enumerate(item.lines)
        )
        return (
            f'<g><title>{escape(item.title)}</title><rect class="box" x="{left:.1f}" '
            f'y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" '
            f'rx="{corner:.0f}" fill="{item.color}"/>{text}</g>'
        )


_STYLE = (
    "<defs>"
    '<marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0L8 4L0 8z" fill="#666"/></marker>'
    "</defs><style>"
    ".head,.line{text-anchor:middle} .head{font-weight:bold} .box{stroke:#888} "
    ".arrow{fill:none;stroke:#666;marker-end:url(#tip)} "
    ".frame{fill:#000;fill-opacity:.025;stroke:#bbb;stroke-dasharray:4 3} .module{fill:#777}"
    "</style>"
)


def _items(graph: Graph, names: dict[Value, str]) -> Iterator[_Item]:
    leaves = {s.value for s in graph.states} | {c.value for c in graph.constants}
    numbers = {c.value: str(c.array.reshape(-1)[0]) for c in graph.constants if c.value.shape == ()}
    for v in graph.inputs:
        lines = [names[v], format_type(v)]
        yield _Item(lines, _ENDS, [], [v], title=" ".join(lines), rounded=True)
    for node in graph.nodes:
        lines = [node.op.name, *(_cut(format_type(v)) for v in node.results[:1])]
        inside: dict[str, list[str]] = {}
        for v in node.operands():
            if v in numbers:
                inside.setdefault("", []).append(numbers[v])
            elif v in leaves:
                inside.setdefault(format_type(v), []).append(_last(names[v]))
        told = [_cut(f"{', '.join(found)} {kind}".strip()) for kind, found in inside.items()]
        lines += told if len(told) < 4 else [*told[:3], f"and {len(told) - 3} more kinds"]
        yield _Item(
            lines,
            _color(node),
            list(node.operands()),
            list(node.outputs),
            _modules(node),
            "\n".join([format_node(node, names, most_operands=12), *format_attrs(node.attrs)]),
        )
    for i, v in enumerate(graph.outputs):
        lines = ["result" if len(graph.outputs) == 1 else f"result {i}", format_type(v)]
        yield _Item(lines, _ENDS, [v], [], title=" ".join([names[v], *lines]), rounded=True)


def _modules(node: Node) -> tuple[str, ...]:
    """``layer1``, ``layer1.0``, ``layer1.0.conv1``."""
    parts = node.source.module.split(".") if node.source.module else []
    suffix = " backward" if node.source.backward else ""
    return tuple(".".join(parts[: i + 1]) + suffix for i in range(len(parts)))


def _color(node: Node) -> str:
    rule = node.op.shape_rule
    return _COLORS.get(rule.__module__.rpartition(".")[2], _OTHER) if rule else _OTHER


def _last(path: str) -> str:
    """The end of a state's path: its module is framed anyway."""
    return path.rpartition(".")[2] or path


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


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
