"""What a compiled function notices: whatever a call reads, changed between two calls."""

from __future__ import annotations

import copy
import functools
import importlib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fovea
from fovea import nn
from fovea.nn.hooks import register_module_forward_hook
from tests.compiler.test_functions import same

X = fovea.tensor([1.0, -2.0, 3.0])


class Config:
    """An object that is no module."""

    def __init__(self) -> None:
        self.scale, self.table = 2.0, fovea.tensor([1.0, 2.0, 3.0])


class Net(nn.Module):
    """A module that reads all kinds of attributes."""

    shift: Any
    late: Any
    _more = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", fovea.ones(3))
        self.register_buffer("late", None)
        self.register_parameter("bias", None)
        self.table, self.act = fovea.tensor([1.0, 2.0, 3.0]), fovea.relu
        self.sizes, self.options, self.config = [1, 2], {"add": 1.0}, Config()
        self._scale = 2.0
        self.layers, self.named = nn.ModuleList([nn.Linear(3, 3)]), nn.ModuleDict()

    def forward(self, x: Any) -> Any:
        for layer in (*self.layers, *self.named.values()):
            x = layer(x)
        x = self.act(x + self.shift) * self.table * self._scale * self.config.scale
        x = x + self.sizes[0] + self.options["add"] + self.extra()
        for more in (self.late, self.bias):
            x = x if more is None else x + more
        return x

    def extra(self) -> Any:
        return self._more


def _other_forward(self: Net, x: Any) -> Any:
    return x * 7.0


CHANGES: dict[str, Callable[[Net], Any]] = {
    "a buffer": lambda m: setattr(m, "shift", fovea.full((3,), 5.0)),
    "a buffer that was None": lambda m: setattr(m, "late", fovea.full((3,), 5.0)),
    "a buffer by name": lambda m: m.register_buffer("shift", fovea.full((3,), 5.0)),
    "a parameter that was None": lambda m: m.register_parameter(
        "bias", nn.Parameter(fovea.full((3,), 5.0))
    ),
    "a tensor": lambda m: setattr(m, "table", fovea.full((3,), 5.0)),
    "a function": lambda m: setattr(m, "act", fovea.tanh),
    "a private number": lambda m: setattr(m, "_scale", 5.0),
    "a new private number": lambda m: setattr(m, "_more", 5.0),
    "an item of a list": lambda m: m.sizes.__setitem__(0, 5),
    "an item of a dictionary": lambda m: m.options.update(add=5.0),
    "an attribute of an object": lambda m: setattr(m.config, "scale", 5.0),
    "another object": lambda m: setattr(m, "config", types.SimpleNamespace(scale=5.0)),
    "another forward": lambda m: setattr(m, "forward", types.MethodType(_other_forward, m)),
    "one more layer": lambda m: m.layers.append(nn.Linear(3, 3)),
    "another layer": lambda m: m.layers.__setitem__(0, nn.Linear(3, 3)),
    "no layer": lambda m: m.layers.__delitem__(0),
    "a named layer": lambda m: m.named.update({"more": nn.Linear(3, 3)}),
    "an attribute of the class": lambda m: setattr(type(m), "_more", 5.0),
    "a hook": lambda m: m.layers[0].register_forward_hook(lambda *a: a[2] + 5),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_changes_of_modules(change: Callable[[Net], Any]) -> None:
    model = Net()
    f = fovea.compile(model)
    for _ in range(3):
        same(f(X), model(X))
    before = f(X)
    change(model)
    for _ in range(2):
        same(f(X), model(X))
    assert not fovea.equal(f(X), before)
    Net._more = 0.0


def test_a_layer_that_goes() -> None:
    model = Net()
    model.named["more"] = nn.Linear(3, 3)
    f = fovea.compile(model)
    for change in (lambda: model.named.pop("more"), lambda: model.layers.pop()):
        same(f(X), model(X))
        change()
        same(f(X), model(X))


@pytest.mark.parametrize("swapped", [False, True])
def test_hooks_that_go(swapped: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    f = fovea.compile(model)
    for module in (model, model[0]):
        handle = module.register_forward_hook(lambda m, args, y: y + 1)
        for _ in range(2):
            same(f(X), model(X))
        handle.remove()
        if swapped:
            module.register_forward_hook(lambda m, args, y: y + 5)
        same(f(X), model(X))


def test_hooks_of_all_modules() -> None:
    model = nn.Linear(3, 3)
    f = fovea.compile(model)
    same(f(X), model(X))
    handle = register_module_forward_hook(lambda m, args, y: y + 1)
    try:
        for _ in range(2):
            same(f(X), model(X))
    finally:
        handle.remove()
    same(f(X), model(X))


def test_hooks_of_gradients() -> None:
    model = nn.Linear(3, 1)

    @fovea.compile
    def step() -> None:
        model.zero_grad()
        model(X).sum().backward()

    def gradient() -> Any:
        step()
        assert model.weight.grad is not None
        return model.weight.grad.reshape(3)

    for _ in range(2):
        same(gradient(), X)
    handle = model.weight.register_hook(lambda g: g * 10)
    for _ in range(2):
        same(gradient(), X * 10)
    handle.remove()
    same(gradient(), X)


def test_gradients_that_are_asked_for() -> None:
    w = fovea.tensor([1.0, 2.0, 3.0])
    f = fovea.compile(lambda x: (x * w).sum())
    assert not f(X).requires_grad
    w.requires_grad_(True)
    for _ in range(2):
        w.grad = None
        f(X).backward()
        assert w.grad is not None
        same(w.grad, X)
    w.requires_grad_(False)
    assert not f(X).requires_grad


def test_places_in_a_table() -> None:
    table, w = fovea.arange(6.0).reshape(2, 3), nn.Parameter(fovea.ones(3))
    f = fovea.compile(lambda x: x * w)
    for row in (table[0], table[1], fovea.ones(3), table[0]):
        w.data = row
        for _ in range(2):
            same(f(X), X * row)


def test_attributes_of_objects() -> None:
    config, held = Config(), types.SimpleNamespace(config=Config())

    def f(x: Any) -> Any:
        return x * config.scale + config.table * held.config.scale

    g = fovea.compile(f)
    for change in (
        lambda: setattr(config, "scale", 5.0),
        lambda: setattr(config, "table", fovea.ones(3)),
        lambda: setattr(held.config, "scale", 7.0),
        lambda: setattr(held, "config", Config()),
    ):
        for _ in range(2):
            same(g(X), f(X))
        programs = len(g.programs)
        change()
        same(g(X), f(X))
        assert len(g.programs) == programs + 1


class Slots:
    __slots__ = ("scale",)

    def __init__(self) -> None:
        self.scale = 2.0

    def doubled(self) -> float:
        return self.scale * 2


def times(config: Any, x: Any) -> Any:
    return x * config.scale


def times_usual(x: Any, options: Any = {"scale": 2.0}, *, config: Any = Config()) -> Any:  # noqa: B006, B008
    return x * options["scale"] * config.scale


def test_objects_wherever_they_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments, those of a partial function, usual values, and the user's own files."""
    (tmp_path / "settings_of_guards.py").write_text("scale = 2.0\ndef get(): return scale\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings = importlib.import_module("settings_of_guards")
    for config in (Config(), Slots()):
        f, g = fovea.compile(times), fovea.compile(functools.partial(times, config))
        for scale in (2.0, 2.0, 5.0):
            config.scale = scale
            same(f(config, X), X * scale)
            same(g(X), X * scale)
        assert len(f.programs) == len(g.programs) == 2
    usual = fovea.compile(times_usual)
    defaults, keywords = times_usual.__defaults__, times_usual.__kwdefaults__
    assert defaults is not None and keywords is not None
    for scale in (2.0, 3.0):
        defaults[0]["scale"] = scale
        same(usual(X), X * scale * 2)
        keywords["config"].scale = scale
        same(usual(X), X * scale * scale)
        keywords["config"].scale = 2.0
    file, slots = fovea.compile(lambda x: x * settings.scale + settings.get()), Slots()
    method = fovea.compile(lambda x: x * slots.doubled())
    for scale in (2.0, 2.0, 5.0):
        settings.scale = slots.scale = scale  # type: ignore[attr-defined]
        same(file(X), X * scale + scale)
        same(method(X), X * scale * 2)
    assert len(file.programs) == 2


def test_what_nobody_reads_is_not_compared() -> None:
    config = Config()
    f = fovea.compile(lambda x: x * config.scale)
    for n in range(3):
        config.other = n  # type: ignore[attr-defined]
        f(X)
    assert len(f.programs) == 1


def test_tensors_of_the_object_whose_method_it_is() -> None:
    class Scaler(Config):
        def run(self, x: Any) -> Any:
            return x * self.table * self.scale

    scaler = Scaler()
    f = fovea.compile(scaler.run)
    same(f(X), scaler.run(X))
    scaler.table = fovea.ones(3)
    same(f(X), scaler.run(X))


def test_what_the_first_call_makes_ready() -> None:
    class Norm(nn.Module):
        """Takes its scale from the first batch."""

        scale: Any

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", fovea.ones(()))
            self.ready = False

        def forward(self, x: Any) -> Any:
            if not self.ready:
                self.scale.copy_(x.abs().mean())
                self.ready = True
            return x / self.scale

    one, other = Norm(), Norm()
    f = fovea.compile(one)
    for factor in (1.0, 2.0, 3.0):
        same(f(X * factor), other(X * factor))
    assert len(f.programs) == 2


def test_deep_copies_have_programs_of_their_own() -> None:
    model = Net()
    f = fovea.compile(model)
    f(X)
    other = copy.deepcopy(model)
    other._scale = 9.0
    g = fovea.compile(other)
    for _ in range(2):
        same(g(X), other(X))
        same(f(X), model(X))
