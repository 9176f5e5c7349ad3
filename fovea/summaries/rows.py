"""One run of a model, as a row for each module that it calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fovea import watching
from fovea.autograd import no_grad
from fovea.nn.module import Module
from fovea.ops.counting import multiply_adds
from fovea.random import fork_rng
from fovea.tensorbase import is_tensor

__all__ = ["Row", "bytes_of", "rows_of", "run_under"]


def rows_of(model: Module, args: Any, kwargs: dict[str, Any], mode: str) -> list[Row]:
    """The rows of a run with these arguments; without any, those of all modules."""
    watch = _Watch(model)
    if args is not None:
        run_under(watch, model, args, kwargs, mode)
    return watch.finished()


def run_under(
    watch: watching.Observer, model: Module, args: Any, kwargs: dict[str, Any], mode: str
) -> Any:
    """Run a model under watch, and leave its modes, buffers and random numbers as they were.

    Args:
        watch: what looks on.
        args: a list of arguments, or a dictionary.
        kwargs: further arguments.
        mode: ``"eval"``, ``"train"`` or ``"same"``.

    Returns:
        What the model returns.
    """
    modes = [(m, m.training) for m in model.modules()]
    buffers = [(b, b.detach().clone()) for b in model.buffers()] if mode != "eval" else []
    if mode != "same":
        model.train(mode == "train")
    try:
        with fork_rng(), no_grad(), watch:
            if isinstance(args, dict):
                return model(**args, **kwargs)
            return model(*args, **kwargs)
    finally:
        for module, training in modes:
            module.__dict__["training"] = training
        with no_grad():
            for buffer, held in buffers:
                buffer.copy_(held)


@dataclass(eq=False)
class Row:
    """One module at one place in the run.

    Attributes:
        module: the module; ``name`` is its attribute's name, ``path`` the dotted one, ``depth`` the
            level.
        input_size, output_size: shapes; lists or dictionaries of them where there are several,
            None for a module that was not called.
        own_params: numbers in its own parameters, ``params`` in all within; ``repeated`` tells that
            they were counted in an earlier row.
        mult_adds: multiply-adds of the contractions within.
        own_bytes: of outputs of modules that hold no others.
    """

    module: Module
    name: str
    path: str
    depth: int
    repeated: bool = False
    input_size: Any = None
    output_size: Any = None
    mult_adds: int = 0
    own_bytes: int = 0
    children: list[Row] = field(default_factory=list)

    @property
    def type(self) -> str:
        """The name of the module's class."""
        return type(self.module).__name__

    @property
    def own_params(self) -> int:
        return sum(p.numel() for p in self.module.parameters(recurse=False))

    @property
    def params(self) -> int:
        return sum(p.numel() for p in self.module.parameters())

    @property
    def own_mult_adds(self) -> int:
        """Those of ops that the module itself calls."""
        return self.mult_adds - sum(child.mult_adds for child in self.children)

    @property
    def trainable(self) -> bool | None:
        """Whether its parameters are learned; None for some of them, or if there are none."""
        flags = {p.requires_grad for p in self.module.parameters()}
        return flags.pop() if len(flags) == 1 else None

    @property
    def kernel_size(self) -> tuple[int, ...] | None:
        """The size of its window, if it has one."""
        size = getattr(self.module, "kernel_size", None)
        return tuple(size) if isinstance(size, tuple | list) else (size,) if size else None

    def walk(self) -> Iterator[Row]:
        """This row and those within."""
        yield self
        for child in self.children:
            yield from child.walk()


class _Watch(watching.Observer):
    """Notes the modules as they are called, and the work of the ops within."""

    def __init__(self, model: Module) -> None:
        self.model, self.thread = model, threading.get_ident()
        self.names = {id(m): name for name, m in model.named_modules()}
        self.root: Row | None = None
        self.stack: list[Row] = []
        self.met: set[int] = set()

    def _row(self, module: Module) -> Row:
        path = self.names.get(id(module), type(module).__name__)
        outer = f"{self.stack[-1].path}." if self.stack and self.stack[-1].path else ""
        name = path.removeprefix(outer)
        row = Row(module, name, path, len(self.stack), id(module) in self.met)
        self.met.add(id(module))
        return row

    def call_module(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if threading.get_ident() != self.thread:
            return module._call(args, kwargs)
        row = self._row(module)
        if self.stack:
            self.stack[-1].children.append(row)
        elif self.root is None:
            self.root = row
        self.stack.append(row)
        try:
            out = module._call(args, kwargs)
        finally:
            self.stack.pop()
        given = [*args, *(v for v in kwargs.values() if is_tensor(v))]
        row.input_size, row.output_size = _sizes(given), _sizes(out)
        if not row.children:
            row.own_bytes = bytes_of(out)
        if self.stack:
            self.stack[-1].mult_adds += row.mult_adds
        return out

    def _count(self, op: Any, inputs: tuple[Any, ...], attrs: Any, out: Any) -> None:
        if self.stack and threading.get_ident() == self.thread:
            first = out[0] if isinstance(out, tuple) else out
            shapes = [tuple(t.shape) for t in inputs if t is not None]
            self.stack[-1].mult_adds += multiply_adds(op.name, shapes, tuple(first.shape), attrs)

    def run(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any) -> Any:
        out = plan(inputs)
        if out is not None:
            self._count(op, inputs, attrs, out)
        return out

    def run_into(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any, out: Any) -> None:
        plan(inputs, out)
        self._count(op, inputs, attrs, out)

    def finished(self) -> list[Row]:
        """All rows in order, and modules that were not called beside their siblings."""
        if self.root is None:
            self.root = self._row(self.model)
        self._add_uncalled(self.root)
        return list(self.root.walk())

    def _add_uncalled(self, row: Row) -> None:
        for name, child in _held(row.module):
            if id(child) not in self.met:
                path = f"{row.path}.{name}" if row.path else name
                self.met.add(id(child))
                row.children.append(Row(child, name, path, row.depth + 1))
        for child_row in row.children:
            if not child_row.repeated:
                self._add_uncalled(child_row)


def _held(module: Module) -> Iterator[tuple[str, Module]]:
    """The modules within, and those within lists, which are never called themselves."""
    for name, child in module.named_children():
        if type(child).forward is Module.forward:
            yield from ((f"{name}.{inner}", m) for inner, m in _held(child))
        else:
            yield name, child


def _sizes(value: Any) -> Any:
    if is_tensor(value):
        return tuple(value.shape)
    if isinstance(value, dict):
        return {k: _sizes(v) for k, v in value.items() if is_tensor(v)}
    if isinstance(value, list | tuple):
        found = [_sizes(v) for v in value if is_tensor(v) or isinstance(v, list | tuple | dict)]
        return found[0] if len(found) == 1 else found
    return None


def bytes_of(value: Any) -> int:
    """The bytes of all tensors in a structure."""
    if is_tensor(value):
        return int(value.numel() * value.dtype.itemsize)
    if isinstance(value, dict):
        return sum(bytes_of(v) for v in value.values())
    return sum(bytes_of(v) for v in value) if isinstance(value, list | tuple) else 0
