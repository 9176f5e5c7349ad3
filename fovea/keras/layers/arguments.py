"""What layers do with their constructor's arguments: check, remember, and write them down."""

from __future__ import annotations

import inspect
import types
from functools import lru_cache, partial
from typing import Any

from fovea.errors import ArgumentError
from fovea.keras import activations
from fovea.keras.naming import nearest
from fovea.keras.objects import serialize_keras_object

__all__ = [
    "arguments_of",
    "constructor_config",
    "pair",
    "single",
    "unknown_arguments",
    "with_defaults",
]

_BASE = ("name", "trainable", "dtype", "autocast", "activity_regularizer")


@lru_cache(512)
def arguments_of(cls: type) -> tuple[str, ...]:
    """The names that a layer's constructor takes; its bases' too, where it passes them on."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        init = base.__dict__.get("__init__")
        if init is None:
            continue
        takes_more = False
        for parameter in list(inspect.signature(init).parameters.values())[1:]:
            if parameter.kind is parameter.VAR_KEYWORD:
                takes_more = True
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                names.setdefault(parameter.name)
        if not takes_more or base.__name__ == "Layer":
            break
    return tuple(names)


def unknown_arguments(layer: Any, unknown: dict[str, Any]) -> ArgumentError:
    """An error that names the layer, the argument, and what was probably meant."""
    known = [n for n in arguments_of(type(layer)) if n != "self"]  # type: ignore[arg-type]
    name = next(iter(unknown))
    near = nearest(name, known)
    hint = f"did you mean {near!r}?" if near else f"it takes: {', '.join(known)}"
    return ArgumentError(
        f"{type(layer).__name__}: unknown argument {name!r}.",
        {f"{name}": repr(unknown[name])},
        hint,
    )


def constructor_config(layer: Any) -> dict[str, Any]:
    """The constructor's arguments as plain data: attributes of that name, else what was given."""
    given = _given(layer)
    config: dict[str, Any] = {}
    for name in arguments_of(type(layer)):  # type: ignore[arg-type]
        if name in _BASE:
            continue
        if name in given and not _is_builtin(layer):
            config[name] = written(given[name])
        elif hasattr(layer, name):
            config[name] = written(getattr(layer, name))
        elif name in given:
            config[name] = written(given[name])
    return config


def _is_builtin(layer: Any) -> bool:
    return type(layer).__module__.startswith("fovea.keras.")


def with_defaults(init: Any, **defaults: Any) -> Any:
    """A constructor like ``init`` whose arguments have other defaults.

    >>> class Square:
    ...     def __init__(self, size=(1, 1)):
    ...         self.size = size
    >>> class Line(Square):
    ...     __init__ = with_defaults(Square.__init__, size=1)
    >>> Line().size
    1
    """
    made = types.FunctionType(
        init.__code__, init.__globals__, init.__name__, init.__defaults__, init.__closure__
    )
    given = [p for p in inspect.signature(init).parameters.values() if p.kind is not p.VAR_KEYWORD]
    values = [defaults.get(p.name, p.default) for p in given]
    first = next(i for i, p in enumerate(given) if values[i] is not p.empty)
    made.__defaults__ = tuple(values[first:])
    made.__annotations__, made.__qualname__ = init.__annotations__, init.__qualname__
    return made


def _given(layer: Any) -> dict[str, Any]:
    """The arguments that the constructor was called with, by name."""
    args, kwargs = layer._init_arguments
    names = [
        p.name
        for p in list(inspect.signature(type(layer).__init__).parameters.values())[1:]
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def written(value: Any) -> Any:
    """A value as plain data; this package's activations by their names."""
    if callable(value) and not isinstance(value, type) and not hasattr(value, "get_config"):
        if isinstance(value, partial):
            raise ArgumentError("a partial function cannot be written to a file.")
        return activations.serialize(value)
    return serialize_keras_object(value)


def several(layer: str, what: str, value: Any, n: int, least: int = 1) -> tuple[int, ...]:
    """``n`` integers from one or ``n``.

    Raises:
        ArgumentError: something else, or a number that is too small.
    """
    numbers = (value,) * n if isinstance(value, int) else value
    try:
        found = tuple(int(v) for v in numbers)
        valid = len(found) == n and all(f == v for f, v in zip(found, numbers, strict=True))
    except (TypeError, ValueError):
        found, valid = (), False
    if not valid or min(found) < least:
        kind = "an integer" if n == 1 else f"an integer or {n} of them"
        raise ArgumentError(f"{layer}: {what} must be {kind} of at least {least}, got {value!r}.")
    return found


def pair(layer: str, what: str, value: Any, least: int = 1) -> tuple[int, int]:
    """Two integers from one or two.

    >>> pair("Conv2D", "strides", 2)
    (2, 2)
    """
    first, second = several(layer, what, value, 2, least)
    return first, second


def single(layer: str, what: str, value: Any, least: int = 1) -> int:
    """One integer, also from a sequence of one."""
    return several(layer, what, value, 1, least)[0]


def choice(layer: str, what: str, value: Any, options: tuple[str, ...]) -> str:
    """One of several words, in any case.

    Raises:
        ArgumentError: another word.
    """
    word = str(value).lower()
    if word not in options:
        near = nearest(word, options)
        raise ArgumentError(
            f"{layer}: {what} must be one of {', '.join(options)}, got {value!r}.",
            fix=f"did you mean {near!r}?" if near else None,
        )
    return word
