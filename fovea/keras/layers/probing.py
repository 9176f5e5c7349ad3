"""The outputs of a call that does not say them: run it on made up values, in two sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fovea.dtypes import as_dtype
from fovea.functions import creation, ranges
from fovea.keras.keras_tensor import KerasTensor, is_shape
from fovea.keras.layers.context import without_gradients
from fovea.keras.tree import flatten, map_structure, pack_as
from fovea.random import fork_rng
from fovea.tensorbase import is_tensor

__all__ = ["probed_outputs", "probed_shapes", "probed_symbols"]

_BATCHES = (2, 4)  # a function may split the batch into halves
# Stand-ins for other sizes that may vary: sides of images that are halved a few times, or where
# those do not fit, lengths for which a table of positions is long enough.
_SIZES = ((64, 96), (2, 3))


def probed_symbols(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a call with symbolic tensors among its arguments returns, as symbolic tensors."""
    return _probed(call, args, kwargs, _regular)


def probed_outputs(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a layer returns for arguments with symbolic tensors, as symbolic tensors: they may
    stand anywhere among the arguments.
    """
    kwargs = {**kwargs, "training": False}

    def call(*args: Any, **kwargs: Any) -> Any:
        losses = list(layer._losses)
        try:
            return layer(*args, **kwargs)
        finally:
            layer._clear_losses()
            layer.add_loss(losses)

    return _probed(call, args, kwargs, _zeros)


def probed_shapes(layer: Any, input_shape: Any) -> Any:
    """The shapes that a layer returns, in its structure; None where they follow the input's."""
    symbols = _symbols_of(input_shape, layer.compute_dtype)
    return map_structure(lambda t: t.shape, probed_outputs(layer, (symbols,), {}))


def _symbols_of(shapes: Any, dtype: str) -> Any:
    if is_shape(shapes):
        return KerasTensor(shapes, dtype)
    if isinstance(shapes, dict):
        return {key: _symbols_of(shape, dtype) for key, shape in shapes.items()}
    return [_symbols_of(shape, dtype) for shape in shapes]


def _probed(call: Any, args: Any, kwargs: Any, values: Callable[[list[int], Any], Any]) -> Any:
    """The outputs of a call on ``values`` of two sizes, as symbolic tensors.

    Raises:
        whatever the call raises for all sizes.
    """

    def run(batch: int, size: int) -> Any:
        def filled(value: Any) -> Any:
            if not isinstance(value, KerasTensor):
                return value
            sizes = [size if d is None else d for d in value.shape]
            if value.shape and value.shape[0] is None:
                sizes[0] = batch
            return values(sizes, as_dtype(value.dtype))

        with fork_rng():
            return call(*map_structure(filled, args), **map_structure(filled, kwargs))

    def pair(sizes: tuple[int, int]) -> tuple[Any, Any]:
        batch, other = _BATCHES
        return without_gradients(run, batch, sizes[0]), without_gradients(run, other, sizes[1])

    try:
        first, second = pair(_SIZES[0])
    except Exception:
        try:
            first, second = pair(_SIZES[1])
        except Exception:
            first = None
        if first is None:
            raise
    outputs = [_merged(a, b) for a, b in zip(flatten(first), flatten(second), strict=True)]
    return pack_as(first, outputs)


def _regular(sizes: list[int], kind: Any) -> Any:
    """Ones, or unit matrices, which can be inverted."""
    if kind.is_floating_point and len(sizes) > 1 and sizes[-1] == sizes[-2]:
        return ranges.eye(sizes[-1], dtype=kind).expand(*sizes).contiguous()
    return creation.ones(sizes, dtype=kind)


def _zeros(sizes: list[int], kind: Any) -> Any:
    return creation.zeros(sizes, dtype=kind)


def _merged(a: Any, b: Any) -> Any:
    """Two sizes of an output as one symbolic tensor; what is no tensor stays as it is."""
    if not is_tensor(a):
        return a
    sizes = (m if m == n else None for m, n in zip(a.shape, b.shape, strict=True))
    return KerasTensor(tuple(sizes), a.dtype.name)
