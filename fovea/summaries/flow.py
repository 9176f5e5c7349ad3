"""Which layers of a model read what which others give, found in one run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fovea import watching
from fovea.graph.drawing import LEGEND, color_of
from fovea.nn.module import Module
from fovea.summaries.rows import run_under
from fovea.tensorbase import is_tensor

__all__ = ["Step", "steps_of"]

_RANKS = {color: rank for rank, color in enumerate(LEGEND)}
_FORMS = ("shape", "memory")  # ops that only change how numbers lie


@dataclass(eq=False)
class Step:
    """A call of a layer, an op between layers, an input, or an output.

    Attributes:
        kind: ``"layer"``, ``"op"``, ``"input"`` or ``"output"``.
        path: the module's path; of others a name.
        module: the module, of a layer.
        frames: the modules that called it, outermost first.
        shapes: of what it gives.
        sources: the steps whose results it reads, each with the shape of what is read.
        color: of the family of ops that counts most within.
    """

    kind: str
    path: str
    module: Module | None = None
    frames: tuple[str, ...] = ()
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    sources: dict[Step, tuple[int, ...]] = field(default_factory=dict)
    color: str = ""


def steps_of(model: Module, args: Any, kwargs: dict[str, Any], depth: int, mode: str) -> list[Step]:
    """The steps of a run, in order.

    Args:
        model: a module, or a Keras model.
        args: a list of arguments, or a dictionary; ``kwargs`` further ones.
        depth: modules so many levels down are steps, and what is within them is not shown.
        mode: ``"eval"``, ``"train"`` or ``"same"``.
    """
    watch = _Watch(model, depth)
    given = args if isinstance(args, dict) else dict(enumerate(args))
    for name, value in {**given, **kwargs}.items():
        watch.begin(f"input {name}" if isinstance(name, int) and len(given) > 1 else
                    "input" if isinstance(name, int) else name, value)  # fmt: skip
    eager, watching.eager = watching.eager, True
    try:
        watch.end(run_under(watch, model, args, kwargs, mode))
    finally:
        watching.eager = eager
    return watch.steps


class _Watch(watching.Observer):
    """Notes which step made each tensor that steps give to each other."""

    def __init__(self, model: Module, depth: int) -> None:
        self.depth, self.thread = depth, threading.get_ident()
        self.names = {id(m): name for name, m in model.named_modules()}
        self.steps: list[Step] = []
        self.frames: list[str] = []
        self.level = 0
        self.inside: Step | None = None  # the layer that is running
        self.makers: dict[int, Step] = {}
        self.alive: list[Any] = []  # so that no other tensor gets the id of one that is known

    def begin(self, name: str, value: Any) -> None:
        """Note an input."""
        if found := list(_tensors(value)):
            step = Step("input", name)
            self.steps.append(step)
            self._gives(step, found)

    def end(self, value: Any) -> None:
        """Note the outputs."""
        found = list(_tensors(value))
        for number, t in enumerate(found):
            step = Step("output", "output" if len(found) == 1 else f"output {number}")
            self._reads(step, [t])
            step.shapes = [tuple(t.shape)]
            self.steps.append(step)

    def _gives(self, step: Step, tensors: list[Any]) -> None:
        step.shapes = [tuple(t.shape) for t in tensors]
        self.alive += tensors
        self.makers.update((id(t), step) for t in tensors)

    def _reads(self, step: Step, tensors: list[Any]) -> None:
        for t in tensors:
            maker = self.makers.get(id(t))
            if maker is not None and maker is not step:
                step.sources.setdefault(maker, tuple(t.shape))

    def call_module(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a module: a step, a frame around steps, or a part of a step."""
        if self.inside is not None or threading.get_ident() != self.thread:
            return module._call(args, kwargs)
        path = self.names.get(id(module), type(module).__name__)
        if self.level < self.depth and _has_layers(module):
            return self._within(module, path, args, kwargs)
        step = Step("layer", path or type(module).__name__, module, tuple(self.frames))
        self._reads(step, list(_tensors((args, kwargs))))
        self.inside = step
        try:
            out = module._call(args, kwargs)
        finally:
            self.inside = None
        self.steps.append(step)
        self._gives(step, list(_tensors(out)))
        return out

    def _within(self, module: Any, path: str, args: Any, kwargs: Any) -> Any:
        if path:
            self.frames.append(path)
        self.level += 1
        try:
            return module._call(args, kwargs)
        finally:
            self.level -= 1
            if path:
                self.frames.pop()

    def run(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any) -> Any:
        """Run an op: a part of the running layer, or a step between layers."""
        out = plan(inputs)
        if out is not None:
            self._note(op, inputs, list(_tensors(out)))
        return out

    def run_into(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any, out: Any) -> None:
        """Run an op whose result stands in ``out``."""
        plan(inputs, out)
        self._note(op, inputs, [out])

    def _note(self, op: Any, inputs: tuple[Any, ...], made: list[Any]) -> None:
        if threading.get_ident() != self.thread:
            return
        read = [t for t in inputs if t is not None and id(t) in self.makers]
        color = color_of(op)
        if self.inside is not None:
            self._reads(self.inside, read)
            known = _RANKS.get(self.inside.color, len(_RANKS))
            if _RANKS.get(color, len(_RANKS)) < known or not self.inside.color:
                self.inside.color = color
            return
        makers = {self.makers[id(t)] for t in read}
        rule = op.shape_rule
        if len(makers) == 1 and rule and rule.__module__.rpartition(".")[2] in _FORMS:
            (maker,) = makers  # the same numbers: whoever reads them reads what the maker gave
            self.alive += made
            self.makers.update((id(t), maker) for t in made)
        elif makers:
            step = Step("op", op.name, None, tuple(self.frames), color=color)
            self._reads(step, read)
            self.steps.append(step)
            self._gives(step, made)


def _has_layers(module: Module) -> bool:
    """Whether a module's parts are shown: not of one that is a layer although it has some."""
    from fovea.nn.attention import MultiheadAttention

    return not isinstance(module, MultiheadAttention) and any(True for _ in module.children())


def _tensors(value: Any, deep: bool = True) -> Iterator[Any]:
    """All tensors in a structure, attributes of an object in it included."""
    if is_tensor(value):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part, deep)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part, deep)
    elif deep and hasattr(value, "__dict__") and not isinstance(value, Module | type):
        yield from _tensors(vars(value), deep=False)
