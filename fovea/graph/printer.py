"""A graph as text: one line a node, values by name, and where each node comes from."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, Final

from fovea import dtypes
from fovea.dtypes import DType
from fovea.graph.graph import Constant, Graph, Node, Value
from fovea.ops.op import contiguous_strides, numel
from fovea.ops.rules import channels_last_strides
from fovea.size import Size

__all__ = ["format_attrs", "format_graph", "format_node", "format_type", "value_names"]

_SHORT: Final = {
    dtypes.bool_: "bool",
    dtypes.uint8: "u8",
    dtypes.int8: "i8",
    dtypes.int16: "i16",
    dtypes.int32: "i32",
    dtypes.int64: "i64",
    dtypes.float16: "f16",
    dtypes.bfloat16: "bf16",
    dtypes.float32: "f32",
    dtypes.float64: "f64",
}
_COMMENT_COLUMN = 72
_FEW = 4  # elements of a constant that are shown


def format_graph(graph: Graph, *, most_operands: int | None = 12) -> str:
    """The graph as text.

    Args:
        graph: any graph, also one that ``verify`` refuses.
        most_operands: how many operands and results of a node are shown before the rest is only
            counted (an optimizer's update has hundreds); None shows all.

    >>> from fovea.graph.graph import Graph, Node, Value
    >>> from fovea.ops.elementwise import relu
    >>> from fovea.ops.op import Spec
    >>> x, y = (Value(Spec((2, 3), dtypes.float32), name) for name in ("x", ""))
    >>> print(format_graph(Graph((x,), (), (), (Node(relu, (x,), None, (y,)),), (y,))))
    graph(%x f32[2, 3])
      %0 f32[2, 3] = relu(%x)
      return %0
    """
    names = value_names(graph)
    inputs = ", ".join(f"{names[v]} {format_type(v)}" for v in graph.inputs)
    lines = [f"graph({inputs})"]
    lines += [f"  state {names[s.value]} {format_type(s.value)}" for s in graph.states]
    lines += [f"  constant {names[c.value]} {_constant(c)}" for c in graph.constants]
    lines += [f"  {format_node(node, names, most_operands=most_operands)}" for node in graph.nodes]
    lines.append(f"  return {', '.join(_name(v, names) for v in graph.outputs)}".rstrip())
    lines += [f"  update {_name(a, names)} = {_name(b, names)}" for a, b in graph.updates]
    return "\n".join(lines)


def format_node(
    node: Node, names: dict[Value, str], *, most_operands: int | None = None, source: bool = True
) -> str:
    """One node as a line, with values by the names that ``value_names`` found."""
    operands = ["None" if v is None else _name(v, names) for v in node.inputs]
    arguments = [*_shortened(operands, most_operands), *format_attrs(node.attrs)]
    results = [f"{_name(v, names)} {format_type(v)}" for v in node.results]
    renewed = [_name(v, names) for v in node.renewed]
    made = ", ".join([*results, *_shortened(renewed, most_operands)])
    call = f"{node.op.name}({', '.join(arguments)})"
    line = f"{made} = {call}" if made else call
    comment = str(node.source) if source else ""
    return f"{line:<{_COMMENT_COLUMN}}  # {comment}" if comment else line


def _shortened(parts: list[str], most: int | None) -> list[str]:
    if most is None or len(parts) <= most:
        return parts
    return [*parts[:most], f"... {len(parts) - most} more"]


def format_attrs(attrs: Any) -> list[str]:
    """A node's attributes, each as ``name=value``; those that have a text of their own as that."""
    if attrs is None:
        return []
    if "__str__" in vars(type(attrs)):
        return [str(attrs)]
    return [f"{f.name}={_plain(getattr(attrs, f.name))}" for f in dataclasses.fields(attrs)]


def _plain(value: Any) -> str:
    if isinstance(value, Size):  # of equal attributes the first ones made are kept, tuple or size
        value = tuple(value)
    return value.name if isinstance(value, DType) else repr(value)


def format_type(value: Value) -> str:
    """Dtype, shape and layout: ``f32[8, 64, 32, 32]nhwc``; other than row-major and channels-last
    strides stand in braces."""
    shape = tuple(value.shape)
    text = f"{_SHORT[value.dtype]}[{', '.join(map(str, shape))}]"
    if _same_layout(shape, value.strides, contiguous_strides(shape)):
        return text
    if len(shape) == 4 and _same_layout(shape, value.strides, channels_last_strides(shape)):
        return text + "nhwc"
    return f"{text}{{{', '.join(map(str, value.strides))}}}"


def _same_layout(shape: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    if numel(shape) == 0:
        return True
    return all(n == 1 or s == t for n, s, t in zip(shape, a, b, strict=True))


def _constant(constant: Constant) -> str:
    kind = format_type(constant.value)
    if constant.array.size > _FEW:
        return kind
    values = constant.array.reshape(-1).tolist()
    return f"{kind} = {values[0] if not constant.value.shape else values}"


def value_names(graph: Graph) -> dict[Value, str]:
    """A short unique name for each value: ``%x`` for an input, a parameter's path for a state,
    ``%3`` for what has no name, and a state's name with a prime for its value after a change."""
    return dict(_named(graph))


def _named(graph: Graph) -> Iterator[tuple[Value, str]]:
    taken: set[str] = set()
    found: dict[Value, str] = {}
    counters: dict[str, Iterator[int]] = {}

    def claim(value: Value, wanted: str, fallback: str) -> tuple[Value, str]:
        name = wanted
        if not wanted:
            numbers = counters.setdefault(fallback, itertools.count())
            name = next(n for i in numbers if (n := f"{fallback}{i}") not in taken)
        for i in itertools.count(2):
            if name not in taken:
                break
            name = f"{wanted}.{i}"
        taken.add(name)
        found[value] = name
        return value, name

    for v in graph.inputs:
        yield claim(v, f"%{v.name}" if v.name else "", "%")
    for s in graph.states:
        yield claim(s.value, s.name or s.value.name, "state")
    for c in graph.constants:
        yield claim(c.value, f"%{c.value.name}" if c.value.name else "", "%c")
    for node in graph.nodes:
        for v in node.results:
            yield claim(v, f"%{v.name}" if v.name else "", "%")
        for place, v in zip(node.mutated, node.renewed, strict=True):
            old = node.inputs[place] if place < len(node.inputs) else None
            before = found.get(old, "") if old is not None else ""
            yield claim(v, f"{before}'" if before else "", "%")


def _name(value: Value, names: dict[Value, str]) -> str:
    return names.get(value) or f"<unknown {value.number}>"
