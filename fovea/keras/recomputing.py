"""Memory for time: results that backward computes again instead of keeping them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fovea.utils.checkpoint import checkpoint

__all__ = ["remat"]


def remat(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function that keeps nothing of what ``f`` computes on its way; backward calls ``f`` again.

    Args:
        f: a function of tensors, or a layer.

    Raises:
        CheckpointError: the second call does not do what the first did.

    Source:
        Chen et al., "Training deep nets with sublinear memory cost", 2016.

    >>> import fovea
    >>> calls = []
    >>> def cube(x):
    ...     calls.append(x)
    ...     return x * x * x
    >>> x = fovea.tensor(2.0, requires_grad=True)
    >>> remat(cube)(x).backward()
    >>> x.grad, len(calls)
    (tensor(12.), 2)
    """

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return checkpoint(f, *args, use_reentrant=False, **kwargs)

    return functools.wraps(f)(wrapped) if hasattr(f, "__name__") else wrapped
