"""Models as pictures: boxes and arrows in the language of Graphviz, and as SVG without it."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fovea.errors import ArgumentError, MissingExtraError
from fovea.graph.svg import Arrow, Card, cut, draw
from fovea.interop.atomic import atomic_write_text

__all__ = ["Dot", "model_to_dot", "plot_model"]

_FILL = "#eef3fb"


class Dot:
    """A drawing: ``str(dot)`` is Graphviz's text; notebooks show it.

    Args:
        text: Graphviz's.
        cards, arrows: the same boxes and arrows, for SVG where Graphviz is not installed.
    """

    def __init__(self, text: str, cards: Sequence[Card] = (), arrows: Sequence[Arrow] = ()) -> None:
        self.text, self.cards, self.arrows = text, list(cards), list(arrows)

    def __str__(self) -> str:
        return self.text

    to_string = __str__

    def create(self, format: str = "svg") -> bytes:
        """The picture's bytes, drawn by Graphviz's ``dot``; SVG without it, too.

        Raises:
            MissingExtraError: another format is wanted, and ``dot`` is not installed.
        """
        program = shutil.which("dot")
        if program is None and format == "svg":
            return self._own_svg().encode()
        if program is None:
            raise MissingExtraError(
                "drawing a model needs Graphviz, whose program `dot` is not there.",
                fix="write to a file that ends with .svg or .dot, or install Graphviz",
            )
        done = subprocess.run(
            [program, f"-T{format}"], input=self.text.encode(), capture_output=True, check=True
        )
        return done.stdout

    def _own_svg(self) -> str:
        """Without arrows that lead back to a layer that is called twice."""
        place = {card: n for n, card in enumerate(self.cards)}
        down = [a for a in self.arrows if place[a.source] < place[a.target]]
        return draw(self.cards, down, {}, len(self.cards), 2)

    def write(self, path: Any, format: str | None = None) -> None:
        """Write the text (``.dot``, ``.gv``) or a picture, by the path's ending."""
        target = Path(path)
        kind = (format or target.suffix.lstrip(".") or "png").lower()
        if kind in ("dot", "gv"):
            atomic_write_text(target, self.text)
            return
        from fovea.interop.atomic import atomic_write

        picture = self.create(kind)
        with atomic_write(target) as file:
            file.write(picture)

    def _repr_svg_(self) -> str:
        return self.create("svg").decode()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _shape_text(layer: Any, which: str) -> str:
    try:
        value = getattr(layer, which)
    except (AttributeError, ArgumentError):
        return "?"
    symbols = value if isinstance(value, list | tuple) else [value]
    return ", ".join(str(tuple(s.shape)) for s in symbols)


def _dtype_text(layer: Any) -> str:
    return str(getattr(layer, "compute_dtype", ""))


class _Drawing:
    """Collects the lines of a drawing, and its boxes and arrows."""

    def __init__(self, options: dict[str, bool]) -> None:
        self.options, self.lines = options, list[str]()
        self.cards: dict[str, Card] = {}
        self.arrows: list[Arrow] = []

    def label(self, layer: Any) -> str:
        o = self.options
        rows = [type(layer).__name__]
        if o["names"]:
            rows[0] = f"{layer.name} ({rows[0]})"
        activation = getattr(layer, "activation", None)
        if o["activations"] and activation is not None:
            rows.append(f"activation: {getattr(activation, '__name__', activation)}")
        if o["dtype"]:
            rows.append(f"dtype: {_dtype_text(layer)}")
        if o["shapes"]:
            shapes = {which: _shape_text(layer, which) for which in ("input", "output")}
            rows += [f"{which}: {text}" for which, text in shapes.items() if text]
        if o["trainable"]:
            rows.append("trainable" if layer.trainable else "frozen")
        return "\n".join(rows)

    def node(self, key: str, layer: Any) -> None:
        label = self.label(layer)
        self.lines.append(f"  {_quoted(key)} [label={_quoted(label)}];")
        frames = list(itertools.accumulate(key.split("/")[:-1], "{}.{}".format))
        self.cards[key] = Card([cut(line) for line in label.split("\n")], _FILL, tuple(frames), key)

    def model(self, model: Any, prefix: str, indent: str = "") -> None:
        for layer in model.layers:
            key = prefix + layer.name
            if self.options["nested"] and getattr(layer, "layers", None):
                self.lines.append(f"  subgraph {_quoted('cluster_' + key)} {{")
                self.lines.append(f"  label={_quoted(layer.name)};")
                self.model(layer, key + "/")
                self.lines.append("  }")
            else:
                self.node(key, layer)
        for source, target in _edges(model):
            start, end = self._end(prefix, source, -1), self._end(prefix, target, 0)
            self.lines.append(f"  {_quoted(start)} -> {_quoted(end)};")
            self.arrows.append(Arrow(self.cards[start], self.cards[end], start))

    def _end(self, prefix: str, layer: Any, which: int) -> str:
        """The node that an arrow starts from (-1: a nested model's last) or leads to."""
        key = prefix + layer.name
        if self.options["nested"] and getattr(layer, "layers", None):
            return self._end(key + "/", layer.layers[which], which)
        return key


def _edges(model: Any) -> list[tuple[Any, Any]]:
    """Pairs of layers, the second of which reads what the first gives."""
    inside = set(map(id, model.layers))
    found = [
        (parent.operation, layer)
        for layer in model.layers
        for node in layer._inbound_nodes
        for parent in node.parents
        if id(parent.operation) in inside
    ]
    distinct = list(dict.fromkeys(found))
    return distinct or list(itertools.pairwise(model.layers))


def model_to_dot(
    model: Any,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs: Any,
) -> Dot:
    """A model as a drawing: a box a layer, an arrow from each to those that read it.

    Args:
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable: what
            the boxes say.
        rankdir: ``"TB"`` from top to bottom, ``"LR"`` from left to right.
        expand_nested: draw what models within the model are made of.
        dpi: dots an inch of a picture.
    """
    if not getattr(model, "layers", None):
        raise ArgumentError(f"model_to_dot: {type(model).__name__} has no layers that it shows.")
    if not getattr(model, "built", True):
        raise ArgumentError(
            f"model_to_dot: {model.name} is not built yet.", fix="call it once, or give its Input"
        )
    drawing = _Drawing(
        {
            "shapes": show_shapes,
            "dtype": show_dtype,
            "names": show_layer_names,
            "activations": show_layer_activations,
            "trainable": show_trainable,
            "nested": expand_nested,
        }
    )
    drawing.model(model, "")
    head = [
        f"digraph {_quoted(model.name)} {{",
        f"  graph [rankdir={rankdir}, dpi={dpi}, splines={splines}];",
        f'  node [shape=box, style="rounded,filled", fillcolor="{_FILL}", fontname="Helvetica"];',
    ]
    text = "\n".join([*head, *drawing.lines, "}", ""])
    return Dot(text, list(drawing.cards.values()), drawing.arrows)


def plot_model(
    model: Any,
    to_file: Any = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs: Any,
) -> Dot:
    """Draw a model into a file: an ``.svg``, other pictures by Graphviz's ``dot``, or its text
    (``.dot``).

    Args: those of `model_to_dot`. Without Graphviz, pictures are from top to bottom.

    Raises:
        MissingExtraError: a picture other than SVG is wanted, and Graphviz is not installed.
    """
    dot = model_to_dot(
        model, show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi, False,
        show_layer_activations, show_trainable, splines,
    )  # fmt: skip
    dot.write(to_file)
    return dot
