"""The output shape of a layer that does not say it: run it on zeros, in two sizes."""

from __future__ import annotations

from typing import Any

from fovea.dtypes import as_dtype
from fovea.functions import creation
from fovea.keras.keras_tensor import KerasTensor, is_shape
from fovea.keras.tree import flatten, map_structure, pack_as
from fovea.random import fork_rng

__all__ = ["probed_shapes", "probed_symbols"]

_SIZES = (2, 3)  # stand-ins for the sizes that may vary
_BATCHES = (2, 4)  # in calls of functions, which may split the batch into halves
_LARGE_SIZES = (64, 96)  # for sides of images that a module halves a few times


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
        layer._forget_losses()
        layer.add_loss(losses)
        return map_structure(lambda t: tuple(t.shape), out)

    return without_gradients(run)


def _merged(first: Any, second: Any) -> Any:
    if is_shape(first):
        return tuple(None if a != b else a for a, b in zip(first, second, strict=True))
    if isinstance(first, dict):
        return {k: _merged(first[k], second[k]) for k in first}
    return type(first)(_merged(a, b) for a, b in zip(first, second, strict=True))


def probed_symbols(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a call with symbolic tensors among its arguments returns, as symbolic tensors."""
    from fovea.keras.layers.layer import without_gradients

    def run(batch: int, size: int) -> Any:
        def filled(value: Any) -> Any:
            if not isinstance(value, KerasTensor):
                return value
            sizes = [size if d is None else d for d in value.shape]
            if value.shape and value.shape[0] is None:
                sizes[0] = batch
            kind = as_dtype(value.dtype)
            if kind.is_floating_point and len(sizes) > 1 and sizes[-1] == sizes[-2]:
                return creation.eye(sizes[-1], dtype=kind).expand(*sizes).contiguous()
            return creation.ones(sizes, dtype=kind)  # or unit matrices, which can be inverted

        with fork_rng():
            return call(*map_structure(filled, args), **map_structure(filled, kwargs))

    first, second = (
        without_gradients(run, *sizes) for sizes in zip(_BATCHES, _LARGE_SIZES, strict=True)
    )
    symbols = [
        KerasTensor(_merged(tuple(a.shape), tuple(b.shape)), a.dtype.name)
        for a, b in zip(flatten(first), flatten(second), strict=True)
    ]
    return pack_as(first, symbols)
