"""What a model is run with to be looked at."""

from __future__ import annotations

from typing import Any

from fovea.dtypes import as_dtype
from fovea.errors import ArgumentError
from fovea.functions import creation, random
from fovea.random import fork_rng

__all__ = ["arguments"]


def arguments(name: str, size: Any, data: Any, batch_dim: int | None, dtypes: Any) -> Any:
    """The arguments: those given, or made of sizes; None if there are neither.

    Raises:
        ArgumentError: both are given, or another number of dtypes than of shapes.
    """
    if size is not None and data is not None:
        raise ArgumentError(f"{name}: give input_size or input_data, not both.")
    if data is not None:
        return data if isinstance(data, list | tuple | dict) else [data]
    if size is None:
        return None
    with fork_rng():
        return _made(name, size, batch_dim, dtypes)


def _made(name: str, size: Any, batch_dim: int | None, kinds: Any) -> list[Any]:
    """Inputs of these shapes: numbers in [0, 1), or zeros of an integer type."""
    shapes = [size] if all(isinstance(n, int) for n in size) else list(size)
    kinds = list(kinds) if isinstance(kinds, list | tuple) else [kinds] * len(shapes)
    if len(kinds) != len(shapes):
        raise ArgumentError(f"{name}: {len(shapes)} inputs, but {len(kinds)} dtypes.")
    made = []
    for shape, kind in zip(shapes, kinds, strict=True):
        sizes = list(shape)
        if batch_dim is not None:
            sizes.insert(batch_dim, 1)
        dtype = as_dtype(kind) if kind is not None else None
        if dtype is not None and not dtype.is_floating_point:
            made.append(creation.zeros(sizes, dtype=dtype))
        else:
            made.append(random.rand(sizes, dtype=dtype))
    return made
