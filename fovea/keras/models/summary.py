"""The table that ``model.summary()`` prints, laid out as Keras 3 lays it out."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from fovea.errors import ArgumentError
from fovea.keras.keras_tensor import spec_shapes
from fovea.keras.models.graph import Graph
from fovea.training.progress import print_message

__all__ = ["print_summary", "readable_size"]


def print_summary(
    model: Any,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Any = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Any = None,
) -> None:
    """Print a model's layers; see ``Model.summary``."""
    graph = model.__dict__.get("_graph")
    branched = graph is not None and type(model).__name__ != "Sequential" and _is_branched(graph)
    header, align = ["Layer (type)", "Output Shape", "Param #"], ["left", "left", "right"]
    length, stops = 88, list(positions or (0.45, 0.80, 1.0))
    if branched:
        header, align = [*header, "Connected to"], [*align, "left"]
        length, stops = 108, list(positions or (0.3, 0.56, 0.74, 1.0))
    if show_trainable:
        header, align = [*header, "Trainable"], [*align, "center"]
        length, stops = length + 12, [s * 0.90 for s in stops] + [1.0]
    length = line_length or min(length, shutil.get_terminal_size().columns - 4)
    widths = _column_widths(stops, length)
    fields = _Fields(graph if branched else None, expand_nested, show_trainable)
    layers = model.layers if type(model).__name__ == "Sequential" else model.operations
    first, last = _range(layers, layer_range)
    rows = [row for layer in layers[first:last] for row in fields.rows(layer)]
    lines = [f'Model: "{model.name}"', *_table(header, rows, widths, align), *_totals(model)]
    text = "\n".join(lines) + "\n"
    if print_fn is None:
        print_message(text, end="")
    else:
        print_fn(text)


def _class_of(layer: Any) -> str:
    """The name of a layer's class; for a call of ``keras.ops`` that of Keras's operation."""
    return str(layer.class_name) if layer.is_operation else type(layer).__name__


def _is_branched(graph: Graph) -> bool:
    """Whether layers have several inputs or branches, or are shared."""
    nodes = []
    for group in graph.nodes_by_depth():
        if len(group) > 1 or len(group[0].input_tensors) > 1:
            return True
        nodes.extend(group)
    layers = [node.operation for node in nodes]
    return len({id(layer) for layer in layers}) < len(layers)


# -- cells ------------------------------------------------------------------------------------


class _Fields:
    """What a layer's row says."""

    def __init__(self, graph: Graph | None, expand: bool, show_trainable: bool) -> None:
        self.graph, self.expand, self.show_trainable = graph, expand, show_trainable
        self.nodes = {id(node) for node in graph.nodes} if graph is not None else set()

    def rows(self, layer: Any, level: int = 0) -> list[list[str]]:
        """The layer's row, and those of the layers within."""
        prefix = "   " * level + "└ " if level else ""
        found = [self._row(layer, prefix)]
        if self.expand:
            for inner in getattr(layer, "layers", ()):
                found.extend(self.rows(inner, level + 1))
        return found

    def _row(self, layer: Any, prefix: str) -> list[str]:
        params = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
        row = [f"{prefix}{layer.name} ({_class_of(layer)})", _shape_text(layer), params]
        if self.graph is not None:
            row.append(self._connections(layer))
        if self.show_trainable:
            row.append(("Y" if layer.trainable else "N") if layer.weights else "-")
        return row

    def _connections(self, layer: Any) -> str:
        found = []
        for node in layer._inbound_nodes:
            if id(node) in self.nodes:
                for t in node.input_tensors:
                    source, index, place = t.keras_history
                    found.append(f"{source.name}[{index}][{place}]")
        return ", ".join(found) or "-"


def _shape_text(layer: Any) -> str:
    """The output's shape, or shapes."""
    nodes = layer._inbound_nodes
    if nodes:
        shapes = [t.shape for t in nodes[-1].output_tensors]
    elif getattr(layer, "_graph", None) is not None:
        shapes = [t.shape for t in layer.outputs]
    elif getattr(layer, "_build_shapes", None):
        shapes = _shapes_of_built(layer)
    else:
        return "?"
    if not shapes:
        return "?"
    texts = [f"({', '.join(str(d) for d in shape)})" for shape in shapes]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _shapes_of_built(layer: Any) -> list[Any]:
    given = layer._build_shapes
    if len(given) == 1:
        return spec_shapes(layer.compute_output_shape(next(iter(given.values()))))
    return spec_shapes(layer.compute_output_shape(**given))


def _range(layers: list[Any], wanted: Any) -> tuple[int, int]:
    """Numbers of the first layer to show and of the one after the last."""
    if wanted is None:
        return 0, len(layers)
    if len(wanted) != 2 or not all(isinstance(w, str) for w in wanted):
        raise ArgumentError(f"summary: layer_range must be two names or patterns, got {wanted!r}.")
    found = []
    for pattern in wanted:
        matches = [i for i, layer in enumerate(layers) if re.match(pattern, layer.name)]
        if not matches:
            raise ArgumentError(f"summary: no layer matches {pattern!r} of layer_range.")
        found.append((min(matches), max(matches)))
    low = min(found[0][0], found[1][0])
    return low, max(found[0][1], found[1][1]) + 1


# -- the table --------------------------------------------------------------------------------


def _column_widths(stops: Sequence[float], length: int) -> list[int]:
    """Characters of each column with its padding, so that the table is ``length`` wide.

    Raises:
        ArgumentError: the line is too short.
    """
    widths, current = [], 0
    for stop in stops:
        width = int(stop * length) - current
        if width < 4:
            raise ArgumentError("summary: the line is too short for the table.")
        widths.append(width + 2)
        current += width
    room = length - len(widths) - 1
    if sum(widths) > room:
        return _reduced(widths, sum(widths) - room)
    return _extended(widths, room - sum(widths))


def _reduced(widths: list[int], excess: int) -> list[int]:
    """Take the excess off all columns alike."""
    found, left, columns = [], excess, len(widths)
    for width in widths:
        part = min(width, round(left / columns))
        found.append(width - part)
        left, columns = left - part, columns - 1
    return found


def _extended(widths: list[int], spare: int) -> list[int]:
    """Give spare room to the columns in proportion."""
    found, total = [], sum(widths)
    for width in widths:
        part = math.ceil(width * spare / total) if total else 0
        found.append(width + part)
        spare, total = spare - part, total - width
    return found


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most ``width``, broken at spaces; what does not fit ends in an ellipsis.

    >>> _wrapped("max_pooling2d (MaxPooling2D)", 16)
    ['max_pooling2d', '(MaxPooling2D)']
    """
    width = max(width, 1)
    breaks: list[int] = []
    used = 0
    for match in re.finditer(r"\s*\S+\s*", text):
        word = match.group()
        if len(word.rstrip()) <= width - used:
            used += len(word)
            continue
        if match.start():
            breaks.append(match.start())
        used = len(word)
    edges = [0, *breaks, len(text)]
    lines = [text[a:b].rstrip() for a, b in pairwise(edges)]
    return [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines]


def _placed(text: str, width: int, align: str) -> str:
    if align == "right":
        return text.rjust(width)
    if align == "center":
        left = (width - len(text)) // 2
        return " " * left + text + " " * (width - len(text) - left)
    return text.ljust(width)


def _row_lines(
    row: Sequence[str], widths: Sequence[int], align: Sequence[str], edge: str
) -> list[str]:
    cells = [_wrapped(text, w - 2) for text, w in zip(row, widths, strict=True)]
    lines = []
    for i in range(max(len(c) for c in cells)):
        parts = [
            f" {_placed(c[i] if i < len(c) else '', w - 2, a)} "
            for c, w, a in zip(cells, widths, align, strict=True)
        ]
        lines.append(edge + edge.join(parts) + edge)
    return lines


def _table(
    header: Sequence[str], rows: list[list[str]], widths: Sequence[int], align: Sequence[str]
) -> list[str]:
    """The lines of the table, frame and all."""

    def rule(left: str, fill: str, middle: str, right: str) -> str:
        return left + middle.join(fill * w for w in widths) + right

    lines = [rule("┏", "━", "┳", "┓"), *_row_lines(header, widths, align, "┃")]
    lines.append(rule("┡", "━", "╇", "┩"))
    for i, row in enumerate(rows):
        if i:
            lines.append(rule("├", "─", "┼", "┤"))
        lines.extend(_row_lines(row, widths, align, "│"))
    lines.append(rule("└", "─", "┴", "┘"))
    return lines


# -- totals -----------------------------------------------------------------------------------


def readable_size(size: float) -> str:
    """Bytes in the unit that suits them.

    >>> readable_size(44), readable_size(698_000)
    ('44.00 B', '681.64 KB')
    """
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} PB"


def _measure(weights: Sequence[Any]) -> tuple[int, int]:
    """How many numbers, how many bytes."""
    unique = list({id(w): w for w in weights}.values())
    return sum(w.numel() for w in unique), sum(w.numel() * w.dtype.itemsize for w in unique)


def _totals(model: Any) -> list[str]:
    trainable, fixed = _measure(model.trainable_weights), _measure(model.non_trainable_weights)
    optimizer = getattr(model, "optimizer", None)
    states = None
    if model.compiled and optimizer is not None and getattr(optimizer, "built", False):
        states = _measure(optimizer.variables)
    parts = [trainable, fixed, states or (0, 0)]
    total = (sum(p[0] for p in parts), sum(p[1] for p in parts))
    lines = [
        _total_line("Total params", total),
        _total_line("Trainable params", trainable),
        _total_line("Non-trainable params", fixed),
    ]
    return lines + ([_total_line("Optimizer params", states)] if states is not None else [])


def _total_line(what: str, measure: tuple[int, int]) -> str:
    return f" {what}: {measure[0]:,} ({readable_size(measure[1])})"
