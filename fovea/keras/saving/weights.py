"""Weights by path, as Keras's files name them: ``layers/conv2d/vars/0``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from fovea.errors import FileFormatError, ShapeError
from fovea.keras.layers.tracking import _Holder
from fovea.keras.layers.wrapper import TorchModuleWrapper
from fovea.keras.models.model import Model
from fovea.keras.models.sequential import Sequential
from fovea.keras.naming import snake_case
from fovea.keras.optimizers.base import Optimizer
from fovea.keras.variables import assign
from fovea.nn.module import Module

__all__ = ["load_into", "refuse_unfit", "weight_entries"]


Own = dict[str, Any]  # weights by what a file calls them: "0", "1" ..., or a module's own names


def weight_entries(model: Any, by_layers: bool = True) -> Iterator[tuple[str, str, Own]]:
    """For every part of a model: its path, its name, its own weights in order.

    Layers within a list are called by their classes, numbered as they come. A wrapped module is one
    part, whose weights have the names of its state.

    Args:
        model: the model.
        by_layers: as Keras does, find a subclass's layers by its list ``layers``, unless the
            names of their attributes come before that; else all by their attributes, as fovea did.
    """
    yield from _entries(model, "", set(), by_layers)


def _entries(
    part: Any, path: str, seen: set[int], by_layers: bool
) -> Iterator[tuple[str, str, Own]]:
    if id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, Optimizer):
        yield path, part.name, _numbered(part.variables)
        return
    if isinstance(part, TorchModuleWrapper):
        yield path, part.name, part.module.state_dict(keep_vars=True)
        return
    yield path, getattr(part, "name", type(part).__name__), _own(part)
    for name, child in _children(part, by_layers):
        inner = f"{path}/{name}" if path else name
        if isinstance(child, list):
            yield from _listed(child, inner, seen, by_layers)
        else:
            yield from _entries(child, inner, seen, by_layers)


def _own(module: Module) -> Own:
    both = (*module._parameters.values(), *module._buffers.values())
    return _numbered([w for w in both if w is not None])


def _numbered(weights: list[Any]) -> Own:
    return {str(i): w for i, w in enumerate(weights)}


def _children(module: Any, by_layers: bool) -> Iterator[tuple[str, Any]]:
    """The parts directly within, by the attribute that holds them; lists as lists."""
    graph = module.__dict__.get("_graph")
    first = graph is not None or isinstance(module, Sequential)
    if first:
        yield "layers", list(module.layers)
    inside = {id(layer) for layer in module.layers} if graph is not None else set()
    found = {
        name: list(child) if isinstance(child, _Holder) else child
        for name, child in module._modules.items()
        if child is not None and id(child) not in inside
    }
    if by_layers and not first and isinstance(module, Model):
        found["layers"] = list(module.layers)
    yield from sorted(found.items(), key=lambda item: (item[0].startswith("_"), item[0]))
    optimizer = getattr(module, "optimizer", None)
    if isinstance(optimizer, Optimizer):
        yield "optimizer", optimizer


def _listed(
    parts: list[Any], path: str, seen: set[int], by_layers: bool
) -> Iterator[tuple[str, str, Own]]:
    used: dict[str, int] = {}
    for part in parts:
        name = snake_case(type(part).__name__)
        number = used.get(name, -1) + 1
        used[name] = number
        full = f"{name}_{number}" if number else name
        yield from _entries(part, f"{path}/{full}", seen, by_layers)


def load_into(model: Any, store: Any, skip_mismatch: bool = False) -> None:
    """Take all weights from a store: ``store.get(path)`` gives shape and reader by name.

    Nothing is changed unless everything fits.

    Raises:
        FileFormatError: weights that are missing. ShapeError: weights of another shape.
    """
    plan, problems = _plan(model, store, by_layers=True)
    if problems:
        older, others = _plan(model, store, by_layers=False)
        if not others:
            plan, problems = older, []
    if problems and not skip_mismatch:
        refuse_unfit(model, problems)
    for target, value in plan:
        if isinstance(target, Optimizer):
            target.set_weights(value)
        else:
            assign(target, np.asarray(value()))


def _plan(model: Any, store: Any, by_layers: bool) -> tuple[list[tuple[Any, Any]], list[str]]:
    """What goes where, and what does not fit."""
    plan: list[tuple[Any, Any]] = []
    problems: list[str] = []
    for path, name, weights in weight_entries(model, by_layers):
        if not weights:
            continue
        held = store.get(path)
        if path == "optimizer" or path.endswith("/optimizer"):
            if len(held) != len(weights):
                warnings.warn(
                    f"{name}: the optimizer has {len(weights)} variables, the file {len(held)}: "
                    "they are left out, and it starts anew.",
                    stacklevel=4,
                )
            else:
                plan.append((_optimizer_of(model, path), [read() for _, read in held.values()]))
            continue
        if held.keys() != weights.keys():
            problems.append(_other_names(name, path, weights, held))
            continue
        for key, w in weights.items():
            shape, read = held[key]
            if tuple(shape) != tuple(w.shape):
                problems.append(f"{name}: a weight of {tuple(w.shape)}, the file has {shape}")
            else:
                plan.append((w, read))
    return plan, problems


def refuse_unfit(model: Any, problems: list[str]) -> None:
    """Say which of a file's weights do not fit.

    Raises:
        FileFormatError: some are missing. ShapeError: they have other shapes or numbers.
    """
    kind = FileFormatError if any("the file has 0" in p for p in problems) else ShapeError
    shown = "\n".join(problems[:10])
    raise kind(
        f"the weights do not fit {model.name}: {len(problems)} of them.",
        {"mismatches": shown.replace("\n", "\n" + " " * 14)},
        "build the same architecture, or pass skip_mismatch=True to load what fits",
    )


def _other_names(name: str, path: str, weights: Own, held: Own) -> str:
    if len(held) != len(weights):
        return f"{name}: {len(weights)} weights, the file has {len(held)} at {path!r}"
    missing = sorted(weights.keys() - held.keys())
    return f"{name}: no weight {missing[0]!r} in the file, which has {sorted(held)} at {path!r}"


def _optimizer_of(model: Any, path: str) -> Any:
    part = model
    for name in path.split("/")[:-1]:
        part = part._modules[name]
    return part.optimizer
