"""Names for layers that got none: ``conv2d``, ``conv2d_1`` ... counted as Keras counts."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable

__all__ = ["auto_name", "get_uid", "nearest", "reset_names", "snake_case", "uniquify"]

_used: Counter[str] = Counter()
_uids: Counter[str] = Counter()


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
