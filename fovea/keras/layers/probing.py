"""The output shape of a layer that does not say it: run it on zeros, in two sizes."""

from __future__ import annotations

from typing import Any

from fovea.functions import creation
from fovea.keras.keras_tensor import is_shape
from fovea.keras.tree import map_structure
from fovea.random import fork_rng

__all__ = ["probed_shapes"]

_SIZES = (2, 3)  # stand-ins for the sizes that may vary


def probed_shapes(layer: Any, input_shape: Any) -> Any:
    """The shapes that ``call`` returns, in its structure; None where they follow the input's."""
    first, second = (_run(layer, input_shape, size) for size in _SIZES)
    return _merged(first, second)


def _run(layer: Any, shapes: Any, size: int) -> Any:
    from fovea.keras.layers.layer import without_gradients

    def zeros(shape: Any) -> Any:
        if is_shape(shape):
            sizes = tuple(size if d is None else d for d in shape)
            return creation.zeros(sizes, dtype=layer._dtype)
        if isinstance(shape, dict):
            return {k: zeros(s) for k, s in shape.items()}
        return [zeros(s) for s in shape]

    def run() -> Any:
        losses = list(layer._losses)
        with fork_rng():
            out = layer(zeros(shapes), training=False)
        layer._losses[:] = losses
        return map_structure(lambda t: tuple(t.shape), out)

    return without_gradients(run)


def _merged(first: Any, second: Any) -> Any:
    if is_shape(first):
        return tuple(None if a != b else a for a, b in zip(first, second, strict=True))
    if isinstance(first, dict):
        return {k: _merged(first[k], second[k]) for k in first}
    return type(first)(_merged(a, b) for a, b in zip(first, second, strict=True))
