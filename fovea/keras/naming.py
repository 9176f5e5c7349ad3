"""Names for layers that got none: ``conv2d``, ``conv2d_1`` ... counted as Keras counts."""

from __future__ import annotations

import difflib
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from fovea.errors import ArgumentError

__all__ = [
    "auto_name",
    "get_uid",
    "name_scope",
    "nearest",
    "open_scopes",
    "reset_names",
    "snake_case",
    "uniquify",
]

_used: Counter[str] = Counter()
_uids: Counter[str] = Counter()
_scopes = threading.local()


def snake_case(name: str) -> str:
    """A class name in lower case, words joined by underscores.

    >>> snake_case("MaxPooling2D"), snake_case("Conv2DTranspose"), snake_case("ReLU")
    ('max_pooling2d', 'conv2d_transpose', 're_lu')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def uniquify(name: str) -> str:
    """The name itself the first time, then with a number."""
    count = _used[name]
    _used[name] += 1
    return f"{name}_{count}" if count else name


def auto_name(prefix: str) -> str:
    """A name from a class name.

    >>> reset_names()
    >>> auto_name("Dense"), auto_name("Dense")
    ('dense', 'dense_1')
    """
    return uniquify(snake_case(prefix))


def get_uid(prefix: str = "") -> int:
    """How often this has been asked of a prefix, from 1.

    >>> reset_names()
    >>> get_uid("dense"), get_uid("dense"), get_uid("conv")
    (1, 2, 1)
    """
    _uids[prefix] += 1
    return _uids[prefix]


def reset_names() -> None:
    """Start counting anew."""
    _used.clear()
    _uids.clear()


class name_scope:  # noqa: N801 - Keras's name
    """Within the block, the paths of weights that layers make hold ``name``.

    Args:
        name: a part of a path.
        caller: accepted for Keras's sake.

    Raises:
        ArgumentError: a name with ``/``.

    >>> from fovea.keras import layers
    >>> with name_scope("encoder"):
    ...     dense = layers.Dense(2, name="first")
    ...     dense.build((None, 3))
    >>> [w.path for w in dense.weights]
    ['encoder/first/kernel', 'encoder/first/bias']
    """

    def __init__(self, name: str, caller: Any = None) -> None:
        if not isinstance(name, str) or "/" in name:
            raise ArgumentError(f"name_scope: a name is a string without `/`, got {name!r}.")
        self.name = name

    def __enter__(self) -> name_scope:
        _scopes.__dict__.setdefault("open", []).append((id(sys._getframe(1)), self.name))
        return self

    def __exit__(self, *exc: object) -> None:
        _scopes.open.pop()


def open_scopes() -> list[tuple[int, str]]:
    """The blocks of ``name_scope`` that this thread is in: the frame of each, and its name."""
    return list(getattr(_scopes, "open", ()))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that ``name`` was probably meant to be.

    >>> nearest("activaton", ["units", "activation"])
    'activation'
    """
    options = list(known)
    found = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    if found:
        return found[0]
    lowered = {option.lower(): option for option in options}
    return lowered.get(name.lower())
