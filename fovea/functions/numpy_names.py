"""NumPy's names of arguments, which PyTorch's functions take beside their own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["numpy_names"]

Call = TypeVar("Call", bound=Callable[..., Any])
_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def numpy_names(function: Call) -> Call:
    """The function, which also takes ``axis`` for ``dim`` and ``keepdims`` for ``keepdim``.

    What is called a million times a second says ``axis`` in its own signature instead.

    >>> import fovea
    >>> fovea.ones(2, 3).cumsum(axis=1)
    tensor([[1., 2., 3.],
            [1., 2., 3.]])
    """

    @functools.wraps(function)
    def named(*args: Any, **kwargs: Any) -> Any:
        if "axis" in kwargs or "keepdims" in kwargs:
            kwargs = {_NAMES.get(name, name): value for name, value in kwargs.items()}
        return function(*args, **kwargs)

    return named  # type: ignore[return-value]
