"""Models by name."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from fovea.errors import ArgumentError
from fovea.nn import Module

__all__ = ["get_model", "get_model_builder", "list_models", "load_weights", "register_model"]

Builder = TypeVar("Builder", bound=Callable[..., Module])

_builders: dict[str, Callable[..., Module]] = {}


def register_model(name: str | None = None) -> Callable[[Builder], Builder]:
    """Decorate a function that makes a model, so that ``get_model`` finds it.

    Args:
        name: its name (default: the function's).

    Raises:
        ArgumentError: the name is taken.
    """

    def register(builder: Builder) -> Builder:
        chosen = name or builder.__name__
        if chosen in _builders:
            raise ArgumentError(f"register_model: there is already a model named {chosen!r}.")
        _builders[chosen] = builder
        return builder

    return register


def list_models(
    include: str | Iterable[str] | None = None, exclude: str | Iterable[str] | None = None
) -> list[str]:
    """The names that ``get_model`` takes, sorted.

    Args:
        include, exclude: a pattern such as ``"resnet*"``, or several.

    >>> list_models("resnet*", exclude=["resnet1*", "*50"])
    ['resnet34']
    """
    return sorted(
        name
        for name in _builders
        if (include is None or _matches(name, include))
        and (exclude is None or not _matches(name, exclude))
    )


def _matches(name: str, patterns: str | Iterable[str]) -> bool:
    wanted = [patterns] if isinstance(patterns, str) else patterns
    return any(fnmatch.fnmatch(name, pattern) for pattern in wanted)


def get_model_builder(name: str) -> Callable[..., Module]:
    """The function that makes the model called ``name``.

    Raises:
        ArgumentError: there is none; the message lists those there are.
    """
    found = _builders.get(name.lower())
    if found is None:
        raise ArgumentError(
            f"there is no model named {name!r}.", fix=f"one of {', '.join(list_models())}"
        )
    return found


def get_model(name: str, **config: Any) -> Module:
    """Make a model by its name.

    Args:
        name: one of ``list_models()``, in any case.
        **config: arguments of the model's function, such as ``num_classes``.

    >>> get_model("simple_cnn", num_classes=3, in_channels=1).classifier.out_features
    3
    """
    return get_model_builder(name)(**config)


def load_weights(model: Module, weights: str | os.PathLike[str] | None) -> None:
    """Fill a new model from a file of weights; None leaves it as it is.

    Raises:
        ArgumentError: a name such as ``"DEFAULT"``: trained weights do not come with fovea.
    """
    if weights is None:
        return
    from fovea.interop import load

    if isinstance(weights, str) and not os.path.exists(weights) and "." not in weights:
        raise ArgumentError(
            f"weights={weights!r}: trained weights do not come with fovea.",
            fix="give the path of a file of weights (.pth or .safetensors), torchvision's say"
            " example",
        )
    model.load_state_dict(load(weights))
