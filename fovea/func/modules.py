"""Modules as functions of their parameters and buffers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from fovea import watching
from fovea.errors import ArgumentError
from fovea.functions.parts import stack
from fovea.nn.batch_norm import _BatchNorm
from fovea.nn.module import Module

__all__ = ["functional_call", "replace_all_batch_norm_modules_", "stack_module_state"]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module with other parameters and buffers than its own.

    Args:
        parameter_and_buffer_dicts: a dictionary from dotted names to tensors, or a sequence of
            them. What ``forward`` puts into a buffer is put into the dictionary.
        args: the argument, or a tuple of them.
        kwargs: keyword arguments.
        tie_weights: a tensor that the module has under several names is replaced under all of
            them by what is given for one.
        strict: raise for names that are missing, and for names that the module does not have
            (which are ignored otherwise).

    >>> import fovea
    >>> layer = fovea.nn.Linear(2, 1)
    >>> weights = {"weight": fovea.ones(1, 2), "bias": fovea.zeros(1)}
    >>> functional_call(layer, weights, fovea.tensor([1.0, 2.0]))
    tensor([3.])
    """
    given = _merged(parameter_and_buffer_dicts)
    inputs = () if args is None else args if isinstance(args, tuple) else (args,)
    places = _places(module)
    values = _tied(places, given) if tie_weights else dict(given)
    if strict:
        _check_names(module, places, given, values)
    if watching.watcher is not None:  # a program depends on the modules as they are now
        watching.watcher.note_modules(module)
    with _replaced(places, given, values):
        return module(*inputs, **(kwargs or {}))


def _merged(dictionaries: Any) -> dict[str, Any]:
    if isinstance(dictionaries, dict):
        return dictionaries
    if not isinstance(dictionaries, list | tuple) or not all(
        isinstance(d, dict) for d in dictionaries
    ):
        raise ArgumentError(
            "functional_call: a dictionary of parameters and buffers is needed, or a sequence of "
            f"them, got {type(dictionaries).__name__}."
        )
    merged: dict[str, Any] = {}
    for d in dictionaries:
        twice = [name for name in d if name in merged]
        if twice:
            raise ArgumentError(f"functional_call: {twice} are in several dictionaries.")
        merged.update(d)
    return merged


Places = dict[str, tuple[dict[str, Any], str]]  # dotted name: the registry, and the name in it


def _places(module: Module) -> Places:
    return {
        f"{prefix}.{name}" if prefix else name: (registry, name)
        for prefix, inner in module.named_modules(remove_duplicate=False)
        for registry in (inner._parameters, inner._buffers)
        for name in registry
    }


def _tied(places: Places, given: dict[str, Any]) -> dict[str, Any]:
    """What is given, also under the other names of the same tensors."""
    held = {name: registry[key] for name, (registry, key) in places.items()}
    names: dict[int, list[str]] = {}
    for name, t in held.items():
        if t is not None:
            names.setdefault(id(t), []).append(name)
    values = dict(given)
    for name, value in given.items():
        for other in names.get(id(held.get(name)), ()):
            if other in given and given[other] is not value:
                raise ArgumentError(
                    f"functional_call: {name!r} and {other!r} are one tensor in the module, and "
                    "two are given.",
                    fix="give one, or pass tie_weights=False",
                )
            values[other] = value
    return values


def _check_names(
    module: Module, places: Places, given: dict[str, Any], values: dict[str, Any]
) -> None:
    missing = [
        name for name, (r, key) in places.items() if name not in values and r[key] is not None
    ]
    unknown = [name for name in given if name not in places]
    rows = {"missing": missing, "unknown": unknown}
    if missing or unknown:
        raise ArgumentError(
            f"functional_call: the names do not fit {type(module).__name__}.",
            {what: ", ".join(names) for what, names in rows.items() if names},
        )


@contextlib.contextmanager
def _replaced(places: Places, given: dict[str, Any], values: dict[str, Any]) -> Iterator[None]:
    """The values stand in the module for a while; then its own again."""
    before = {
        name: (*places[name], places[name][0][places[name][1]]) for name in values if name in places
    }
    try:
        for name, (registry, key, _) in before.items():
            registry[key] = values[name]
        yield
        for name in given:
            if name in before:
                given[name] = before[name][0][before[name][1]]
    finally:
        for registry, key, own in before.values():
            registry[key] = own


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and the buffers of several equal models, stacked along a new first dimension:
    what `fovea.vmap` of a `functional_call` runs them at once with.

    Args:
        models: modules of one class, in one mode.

    >>> import fovea
    >>> weights, _ = stack_module_state([fovea.nn.Linear(2, 1) for _ in range(3)])
    >>> weights["weight"].shape
    fovea.Size([3, 1, 2])
    """
    held = list(models)
    if not held:
        raise ArgumentError("stack_module_state: at least one model is needed.")
    if any(m.training != held[0].training for m in held):
        raise ArgumentError("stack_module_state: all models must be in the same mode.")
    if any(type(m) is not type(held[0]) for m in held):
        raise ArgumentError("stack_module_state: all models must be of the same class.")
    parameters = {
        name: _stacked([m.get_parameter(name) for m in held])
        for name, _ in held[0].named_parameters()
    }
    buffers = {
        name: stack([m.get_buffer(name) for m in held]) for name, _ in held[0].named_buffers()
    }
    return parameters, buffers


def _stacked(tensors: list[Any]) -> Any:
    """Parameters as one leaf, which requires a gradient where they do."""
    joined = stack([t.detach() for t in tensors])
    return joined.requires_grad_(tensors[0].requires_grad)


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Take the running statistics from all batch normalizations: they use each batch's own, and
    change nothing in place.
    """
    for module in root.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
