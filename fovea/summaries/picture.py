"""``fovea.draw_model``: a model as a picture, its layers as boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fovea.errors import ArgumentError
from fovea.graph.drawing import LEGEND
from fovea.graph.svg import Arrow, Card, cut, draw
from fovea.interop.atomic import atomic_write_text
from fovea.nn.module import Module
from fovea.summaries.flow import Step, steps_of
from fovea.summaries.inputs import arguments

__all__ = ["ModelPicture", "draw_model"]

_ENDS = "#ffffff"
_LONGEST, _SHORT = 60, 3  # rows that an arrow may pass, and where there are many arrows
_MANY = 2  # arrows for each box
_FRAMES = 2  # levels of modules with a frame around what they call


class ModelPicture:
    """A picture of a model; notebooks show it.

    Attributes:
        svg: the picture as SVG.
        steps: what is drawn: `fovea.summaries.flow.Step` for each layer, op, input and output.
    """

    def __init__(self, svg: str, steps: list[Step]) -> None:
        self.svg, self.steps = svg, steps

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        layers = sum(step.kind == "layer" for step in self.steps)
        return f"<picture of {layers} layers>"

    def save(self, path: Any) -> None:
        """Write the SVG file.

        Raises:
            ArgumentError: the path ends otherwise.
        """
        if Path(path).suffix.lower() != ".svg":
            raise ArgumentError(f"a model's picture is an .svg file, got {path}.")
        atomic_write_text(Path(path), self.svg)


def draw_model(
    model: Module,
    input_size: Any = None,
    input_data: Any = None,
    *,
    batch_dim: int | None = None,
    depth: int = 3,
    dtypes: Any = None,
    mode: str = "eval",
    path: Any = None,
    **kwargs: Any,
) -> ModelPicture:
    """Run a model once and draw which layers read what which others give, as SVG.

    Boxes are layers with the shapes of what they give and their parameters, and ops that run
    between layers; colors say what counts most within. Frames are modules. Ops that only change
    how numbers lie (views, permutations) are not shown. A browser shows more where one points.
    Where there are many arrows, long ones are cut, and boxes say from where they read.

    Args:
        model: a module, or a Keras model.
        input_size: the shape of the input with the batch's size, or a list of shapes.
        input_data: a tensor, or a list, tuple or dictionary of arguments, instead.
        batch_dim: where to put a batch's size of 1 into shapes that have none.
        depth: modules so many levels down are one box each.
        dtypes: of the inputs made for ``input_size``: one, or a list of them.
        mode: ``"eval"``, ``"train"``, or ``"same"`` to run the model as it is. Its modes, buffers
            and random numbers are afterwards what they were.
        path: the file to write (``.svg``); None writes none.
        **kwargs: passed on to the model.

    Returns:
        The picture; its attribute ``svg`` is the text.

    Raises:
        ArgumentError: no input, or both kinds; an unknown mode; a file that is no ``.svg``.

    >>> import fovea
    >>> net = fovea.nn.Sequential(fovea.nn.Conv2d(3, 8, 3), fovea.nn.ReLU())
    >>> picture = draw_model(net, (1, 3, 8, 8))
    >>> [(step.path, step.shapes) for step in picture.steps][1]
    ('0', [(1, 8, 6, 6)])
    >>> "1 × 8 × 6 × 6" in picture.svg, "224 parameters" in picture.svg
    (True, True)
    """
    if mode not in ("eval", "train", "same"):
        raise ArgumentError(f"draw_model: mode is 'eval', 'train' or 'same', got {mode!r}.")
    args = arguments("draw_model", input_size, input_data, batch_dim, dtypes)
    if args is None:
        raise ArgumentError("draw_model: a picture needs an input.", fix="input_size=(1, 3, H, W)")
    steps = steps_of(model, args, kwargs, depth, mode)
    cards = {step: _card(step) for step in steps}
    arrows = [
        Arrow(cards[source], cards[step], source.path, f"{source.path}  {_shape(shape)}")
        for step in steps
        for source, shape in step.sources.items()
    ]
    longest = _LONGEST if len(arrows) <= _MANY * len(cards) else _SHORT
    svg = draw([*cards.values()], arrows, LEGEND, longest, _FRAMES)
    picture = ModelPicture(svg, steps)
    if path is not None:
        picture.save(path)
    return picture


def _card(step: Step) -> Card:
    shapes = [_shape(s) for s in step.shapes]
    told = [cut(", ".join(shapes))] if shapes else []
    if step.module is None:
        ends = step.kind != "op"
        return Card([step.path, *told], _ENDS if ends else step.color, step.frames,
                    f"{step.kind} {step.path}", ends)  # fmt: skip
    module = step.module
    outer = step.frames[0] + "." if step.frames else ""
    name, kind = step.path.removeprefix(outer), type(module).__name__
    head = kind if name == kind else f"{name}: {kind}"
    count = sum(p.numel() for p in module.parameters())
    weights = [f"{count:,} parameter{'s' if count != 1 else ''}"] if count else []
    title = "\n".join([f"{step.path}: {kind}", *_settings(module), *told, *weights])
    return Card([cut(head), *told, *weights], step.color or _ENDS, step.frames, title)


def _settings(module: Module) -> list[str]:
    text = module.extra_repr()
    return [text] if text else []


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "a number"
