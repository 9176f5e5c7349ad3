"""Models as pictures: boxes and arrows in the language of Graphviz."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

from fovea.errors import ArgumentError, MissingExtraError
from fovea.interop.atomic import atomic_write_text

__all__ = ["Dot", "model_to_dot", "plot_model"]


class Dot:
    """A drawing: ``str(dot)`` is Graphviz's text; notebooks show it where ``dot`` is installed."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    to_string = __str__

    def create(self, format: str = "svg") -> bytes:
        """The picture's bytes, drawn by Graphviz's ``dot``.

        Raises:
            MissingExtraError: ``dot`` is not installed.
        """
        program = shutil.which("dot")
        if program is None:
            raise MissingExtraError(
                "drawing a model needs Graphviz, whose program `dot` is not there.",
                fix="install Graphviz, or write to a file that ends with .dot",
            )
        done = subprocess.run(
            [program, f"-T{format}"], input=self.text.encode(), capture_output=True, check=True
        )
        return done.stdout

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

    def _repr_svg_(self) -> str | None:
        return self.create("svg").decode() if shutil.which("dot") else None


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
    """Collects the lines of a drawing."""

    def __init__(self, options: dict[str, bool]) -> None:
        self.options, self.lines = options, list[str]()

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
            rows.append(f"input: {_shape_text(layer, 'input')}")
            rows.append(f"output: {_shape_text(layer, 'output')}")
        if o["trainable"]:
            rows.append("trainable" if layer.trainable else "frozen")
        return "\n".join(rows)

    def node(self, key: str, layer: Any) -> None:
        self.lines.append(f"  {_quoted(key)} [label={_quoted(self.label(layer))}];")

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
            self.lines.append(
                f"  {self._end(prefix, source, -1)} -> {self._end(prefix, target, 0)};"
            )

    def _end(self, prefix: str, layer: Any, which: int) -> str:
        """The node that an arrow starts from (-1: a nested model's last) or leads to."""
        key = prefix + layer.name
        if self.options["nested"] and getattr(layer, "layers", None):
            return self._end(key + "/", layer.layers[which], which)
        return _quoted(key)


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
        '  node [shape=box, style="rounded,filled", fillcolor="#eef3fb", fontname="Helvetica"];',
    ]
    return Dot("\n".join([*head, *drawing.lines, "}", ""]))


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
    """Draw a model into a file: a picture by Graphviz's ``dot``, or its text (``.dot``).

    Args: those of `model_to_dot`.

    Raises:
        MissingExtraError: a picture is wanted, and Graphviz is not installed.
    """
    dot = model_to_dot(
        model, show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi, False,
        show_layer_activations, show_trainable, splines,
    )  # fmt: skip
    dot.write(to_file)
    return dot
