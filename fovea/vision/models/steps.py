"""The steps of a network's forward pass, named by the modules in which they are taken.

A step is a call of a layer ("layer1.0.conv1") or of a function within a module that is no layer
("layer1.0.add", "flatten"); another of the same name gets a number ("layer1.0.relu_1"). They are
seen by watching the pass as it runs, so that whatever Python does in it is allowed.
"""

from __future__ import annotations

import inspect
import re
import sys
import threading
from collections import Counter
from typing import Any

from fovea import nn, watching
from fovea.autograd import no_grad
from fovea.errors import ArgumentError, FoveaError, describe
from fovea.functions.creation import zeros
from fovea.graph.graph import Value
from fovea.graph.tensors import allocated
from fovea.random import fork_rng
from fovea.tensorbase import is_tensor
from fovea.vision import ops

__all__ = ["Over", "Steps", "Survey", "survey"]

_LAYERS = tuple(
    each for each in vars(ops).values() if isinstance(each, type) and issubclass(each, nn.Module)
)
# Code of fovea that a module's forward calls: the outermost of its functions names a step.
_LIBRARY = (
    "fovea.autograd", "fovea.casting", "fovea.dispatch", "fovea.functions", "fovea.methods",
    "fovea.nn.functional", "fovea.ops", "fovea.tensor", "fovea.views", "fovea.vision.ops",
)  # fmt: skip
_SIZES = (224, 299, 32, 28)
_NAMELESS = ("bind", "bind_into", "call")  # wrappers around an op, which then gives the name
_NUMBERED = re.compile(r"(.+)_([0-9]+)$")


class Over(BaseException):
    """Ends a forward pass of which no more is wanted; no error, so that nobody catches it."""


class Steps:
    """A watcher that names steps; all else is left to the watcher that was there before.

    Args:
        model: whose pass it is.
        layers: classes of modules that are one step, beside those of ``fovea.nn`` and
            ``fovea.vision.ops``.

    A class of it says what to do when a step is ``reached``.
    """

    def __init__(self, model: nn.Module, layers: tuple[type, ...] = ()) -> None:
        self.model, self.layers = model, (*layers, *_LAYERS)
        self._inner: Any = watching.watcher or watching.Observer()
        self._thread = threading.get_ident()
        self._paths = {id(module): path for path, module in reversed(list(model.named_modules()))}
        self._path, self._within_layer = "", False
        self._calls: Counter[str] = Counter()
        self._numbers: dict[str, int] = {}
        self._frame: Any = None
        self._step = ""

    def reached(self, step: str, value: Any) -> None:
        """A step is done, or some of it; the last call tells what it made.

        Args:
            step: its name; of a module that is no layer ``"path:n"`` for its n-th call.
            value: what came out.
        """

    def entered(self) -> None:
        """Another step begins."""

    def follow(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model's forward pass under watch; None where it was ended before."""
        self._inner.note_modules(self.model)
        before, watching.watcher = watching.watcher, self
        try:
            names = inspect.signature(self.model.forward).parameters
            for name, value in zip(names, args, strict=False):
                if is_tensor(value):
                    self.reached(self._unique(name), value)
            return self.model._call(args, kwargs)
        except Over:
            return None
        finally:
            watching.watcher = before
            self._frame = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def call_module(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a module, which may be a step or hold some."""
        path = self._paths.get(id(module))
        if path is None or self._elsewhere():
            return self._inner.call_module(module, args, kwargs)
        self.entered()
        layer = self._is_layer(module)
        outer, self._path, self._within_layer = self._path, path, layer
        try:
            out = self._inner.call_module(module, args, kwargs)
        finally:
            self._path, self._within_layer, self._frame = outer, False, None
        if layer:
            self.reached(self._unique(path), out)
        self._calls[path] += 1
        self.reached(f"{path}:{self._calls[path]}", out)
        return out

    def run(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any) -> Any:
        """Run an op, which is a step or part of one."""
        if self._elsewhere():
            return self._inner.run(op, inputs, attrs, plan)
        step = self._function(op)
        out = self._inner.run(op, inputs, attrs, plan)
        self.reached(step, out)
        return out

    def run_into(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any, out: Any) -> None:
        """Run an op that changes a tensor."""
        if self._elsewhere():
            self._inner.run_into(op, inputs, attrs, plan, out)
            return
        step = self._function(op)
        self._inner.run_into(op, inputs, attrs, plan, out)
        self.reached(step, out)

    def _elsewhere(self) -> bool:
        return self._within_layer or threading.get_ident() != self._thread

    def _is_layer(self, module: Any) -> bool:
        own = type(module).__module__.startswith("fovea.nn.")
        return isinstance(module, self.layers) or (own and not isinstance(module, nn.Sequential))

    def _function(self, op: Any) -> str:
        """The step that an op belongs to: a call of one of fovea's functions."""
        frame: Any = sys._getframe(2)
        while frame.f_globals is globals():
            frame = frame.f_back
        found = None
        while frame is not None and frame.f_globals.get("__name__", "").startswith(_LIBRARY):
            frame, found = frame.f_back, frame
        if found is None or found is not self._frame:
            self.entered()
            self._frame = found
            name = op.name if found is None else found.f_code.co_name
            name = op.name if name in _NAMELESS else name.strip("_")
            self._step = self._unique(f"{self._path}.{name}" if self._path else name)
        return self._step

    def _unique(self, name: str) -> str:
        """A name with a number, from 1 on, if it was given before; one that it ends with counts as
        such a number, as torchvision has it.
        """
        numbered = _NUMBERED.match(name)
        base = numbered[1] if numbered else name
        count = self._numbers.get(base)
        self._numbers[base] = 0 if count is None else count + 1
        given = base if count is None else f"{base}_{count + 1}"
        other = _NUMBERED.match(given)
        if other:
            self._numbers[other[1]] = int(other[2])
        return given


class Survey(Steps):
    """Names all steps of a pass in which nothing is computed: tensors have shapes and hold zeros.

    Attributes:
        steps: from the names of steps and calls of modules to the shapes of what came out, in
            order; None for what is no tensor.
        reads: for each of them how many of ``used`` were used by then.
        used: paths of layers that were called and of modules whose parameters were read.
    """

    def __init__(self, model: nn.Module, layers: tuple[type, ...] = ()) -> None:
        super().__init__(model, layers)
        self.steps: dict[str, tuple[int, ...] | None] = {}
        self.reads: dict[str, int] = {}
        self.used: list[str] = []
        self._owners = {
            id(t): path.rpartition(".")[0]
            for named in (model.named_parameters(), model.named_buffers())
            for path, t in named
        }

    @property
    def names(self) -> list[str]:
        """Those of steps, without calls of modules."""
        return [step for step in self.steps if ":" not in step]

    def reached(self, step: str, value: Any) -> None:
        self.steps.pop(step, None)
        self.steps[step] = tuple(value.shape) if is_tensor(value) else None
        self.reads[step] = len(self.used)

    def call_module(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        path = self._paths.get(id(module))
        if path is not None and not self._within_layer and self._is_layer(module):
            self.used.append(path)
        return super().call_module(module, args, kwargs)

    def run(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any) -> Any:
        self.used += [self._owners[id(t)] for t in inputs if id(t) in self._owners]
        if op.view:
            return super().run(op, inputs, attrs, plan)
        return super().run(op, inputs, attrs, lambda given: _shaped(op, given, attrs))

    def run_into(self, op: Any, inputs: tuple[Any, ...], attrs: Any, plan: Any, out: Any) -> None:
        super().run_into(op, inputs, attrs, lambda *_: None, out)


def _shaped(op: Any, inputs: tuple[Any, ...], attrs: Any) -> Any:
    """What an op returns, but zeros."""
    made = tuple(allocated(Value(spec)) for spec in op.specs(inputs, attrs))
    for t in made:
        t._array()[...] = 0
    return made[0] if len(made) == 1 else made or None


def survey(
    model: nn.Module,
    training: bool,
    layers: tuple[type, ...] = (),
    arguments: dict[str, Any] | None = None,
) -> Survey:
    """Look through a model's forward pass; the model stays as it is.

    Args:
        training: in which mode.
        layers: of ``Steps``.
        arguments: of forward, by name; the first argument, if it is missing, is an image of the
            size and channels that the model seems to be made for.

    Raises:
        ArgumentError: the pass failed.
    """
    name = next(iter(inspect.signature(model.forward).parameters), "input")
    given = dict(arguments or {})
    examples = [given.pop(name)] if name in given else examples_for(model)
    modes = [(module, module.training) for module in model.modules()]
    failed: FoveaError | None = None
    try:
        model.train(training)
        with watching.unwatched(), fork_rng(), no_grad():
            for example in examples:
                found = Survey(model, layers)
                try:
                    found.follow(example, **given)
                    return found
                except FoveaError as error:
                    failed = failed or error
    finally:
        for module, mode in modes:
            module.__dict__["training"] = mode
    raise ArgumentError(
        f"{type(model).__name__} does not take {describe(examples[0])}: {failed}",
        fix=f"concrete_args={{{name!r}: an example of what it takes}}",
    ) from failed


def examples_for(model: nn.Module) -> list[Any]:
    """Two images (or rows, for a network of linear layers) of zeros for a network, of sizes that it
    may be made for.
    """
    conv = next((m for m in model.modules() if hasattr(m, "in_channels")), None)
    linear = next((m for m in model.modules() if hasattr(m, "in_features")), None)
    kinds = (p.dtype for p in model.parameters() if p.dtype.is_floating_point)
    dtype = next(kinds, None)
    if conv is None and linear is not None:
        return [zeros(2, linear.in_features, dtype=dtype)]
    channels = 3 if conv is None else conv.in_channels
    own = getattr(model, "image_size", getattr(model, "input_size", None))
    sizes = _SIZES if own is None else [own]
    sides = [(n, n) if isinstance(n, int) else tuple(n) for n in sizes]
    return [zeros(2, channels, *each, dtype=dtype) for each in sides]
