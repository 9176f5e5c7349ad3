"""Names, argument orders and defaults are Keras 3's."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

from fovea import keras as fk

# What Keras has and this package does not offer.
ABSENT = {
    "initializers": {"STFT", "STFTInitializer", "stft"},
    "callbacks": {"OrbaxCheckpoint"},
    "saving": {"KerasFileEditor"},
}
OURS = {"Input", "ModuleWrapper", "TorchModuleWrapper"}  # with signatures of their own
LAYERS = [n for n in fk.layers.__all__ if n[0].isupper() and n not in OURS]
MODULES = (
    "activations",
    "callbacks",
    "constraints",
    "initializers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "optimizers.schedules",
    "regularizers",
    "saving",
)


def arguments(thing: Any) -> list[tuple[str, Any]]:
    """Argument names and defaults, in order; without ``self`` and what collects the rest."""
    return [(p.name, p.default) for p in _parameters(thing)]


def without_more(own: Any, theirs: Any) -> list[tuple[str, Any]]:
    """Our arguments without those that Keras lacks and that are given by name alone."""
    known = {p.name for p in _parameters(theirs)}
    by_name_alone = inspect.Parameter.KEYWORD_ONLY
    return [
        (p.name, p.default)
        for p in _parameters(own)
        if p.name in known or p.kind is not by_name_alone
    ]


def _parameters(thing: Any) -> list[inspect.Parameter]:
    signature = inspect.signature(thing.__init__ if inspect.isclass(thing) else thing)
    return [p for p in signature.parameters.values() if p.name not in ("self", "args", "kwargs")]


def public(module: Any) -> list[str]:
    return [n for n in dir(module) if not n.startswith("_") and callable(getattr(module, n))]


@pytest.mark.parametrize("name", LAYERS)
def test_layers(keras: Any, name: str) -> None:
    own = list(arguments(getattr(fk.layers, name)))
    older = importlib.import_module("keras.src.legacy.layers")
    theirs = getattr(keras.layers, name, None) or getattr(older, name)
    assert own == arguments(theirs)


@pytest.mark.parametrize("module", MODULES)
def test_all_names_are_there(keras: Any, module: str) -> None:
    theirs = importlib.import_module(f"keras.{module}")
    own = importlib.import_module(f"fovea.keras.{module}")
    missing = {n for n in public(theirs) if not hasattr(own, n)}
    assert missing <= ABSENT.get(module, set())


@pytest.mark.parametrize("module", MODULES)
def test_signatures(keras: Any, module: str) -> None:
    theirs = importlib.import_module(f"keras.{module}")
    own = importlib.import_module(f"fovea.keras.{module}")
    wrong = {}
    for name in public(theirs):
        if name in ABSENT.get(module, set()) or not hasattr(own, name):
            continue
        expected = arguments(getattr(theirs, name))
        found = without_more(getattr(own, name), getattr(theirs, name))
        if expected != found:
            wrong[name] = (expected, found)
    assert not wrong


@pytest.mark.parametrize(
    "method",
    [
        "add_loss",
        "build",
        "compile",
        "compute_loss",
        "compute_metrics",
        "count_params",
        "evaluate",
        "fit",
        "get_config",
        "get_layer",
        "get_weights",
        "load_weights",
        "predict",
        "predict_on_batch",
        "save",
        "set_weights",
        "summary",
        "test_on_batch",
        "test_step",
        "train_on_batch",
        "train_step",
    ],
)
def test_model_methods(keras: Any, method: str) -> None:
    own = without_more(getattr(fk.Model, method), getattr(keras.Model, method))
    expected = arguments(getattr(keras.Model, method))
    if method == "build":
        own = [(name, inspect.Parameter.empty) for name, _ in own]
    assert own == expected


def test_input(keras: Any) -> None:
    assert arguments(fk.Input) == arguments(keras.Input)
