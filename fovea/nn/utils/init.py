"""Modules without first values."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from fovea.nn.init import skipped
from fovea.nn.module import Module

__all__ = ["skip_init"]

M = TypeVar("M", bound=Module)


def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """A module whose parameters hold whatever was in their memory: for weights that are loaded.

    The functions of ``fovea.nn.init`` do nothing meanwhile.

    Args:
        module_cls: its class, whose constructor takes a ``device``.
        args, kwargs: for the constructor.

    Raises:
        RuntimeError: no class of a module, or one that takes no ``device``.

    >>> import fovea
    >>> skip_init(fovea.nn.Linear, 3, 2).weight.shape
    fovea.Size([2, 3])
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"skip_init: {module_cls.__name__} is no class of a module.")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError(f"skip_init: {module_cls.__name__} takes no device.")
    with skipped():
        return module_cls(*args, **kwargs)
