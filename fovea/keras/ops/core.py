"""``keras.ops``: conversions, slices and control flow, with Keras's names and arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import fovea
from fovea.errors import ArgumentError
from fovea.keras import config
from fovea.keras.keras_tensor import KerasTensor
from fovea.keras.ops.elementwise import tensor, where
from fovea.keras.ops.symbolic import shapes_of, symbolic
from fovea.keras.tree import flatten, map_structure
from fovea.tensorbase import is_tensor as _is_tensor

__all__ = [
    "cast", "cond", "convert_to_numpy", "convert_to_tensor", "copy", "dtype", "fori_loop",
    "is_tensor", "map", "ndim", "scan", "scatter", "scatter_update", "slice", "slice_update",
    "stop_gradient", "switch", "vectorized_map", "while_loop",
]  # fmt: skip


@symbolic
def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    """A tensor: floats in ``floatx()`` unless a dtype is given."""
    t = tensor(x)
    return t if dtype is None else t.to(config.as_dtype(dtype))


def convert_to_numpy(x: Any) -> np.ndarray[Any, Any]:
    """An array of a tensor's values, without its gradients."""
    return np.array(x.detach().numpy()) if _is_tensor(x) else np.asarray(x)


def is_tensor(x: Any) -> bool:
    """Whether something is a tensor, with values or without."""
    return _is_tensor(x) or isinstance(x, KerasTensor)


def dtype(x: Any) -> str:
    """The name of a tensor's dtype."""
    t = tensor(x)
    return t.dtype if isinstance(t, KerasTensor) else t.dtype.name


def ndim(x: Any) -> int:
    """The number of dimensions."""
    return len(tensor(x).shape)


@symbolic
def cast(x: Any, dtype: Any) -> Any:
    """The same values in another dtype."""
    return tensor(x).to(config.as_dtype(dtype))


@symbolic
def copy(x: Any) -> Any:
    """A copy."""
    return tensor(x).clone()


@symbolic
def stop_gradient(variable: Any) -> Any:
    """The same values, through which no gradient flows."""
    return tensor(variable).detach()


@symbolic
def slice(inputs: Any, start_indices: Any, shape: Any) -> Any:
    """The block of a shape that begins at these indices."""
    x = tensor(inputs)
    for d, (start, size) in enumerate(zip(start_indices, shape, strict=True)):
        x = x.narrow(d, int(start), int(size))
    return x


@symbolic
def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """The same with a block replaced."""
    x = tensor(inputs).clone()
    u = tensor(updates).to(x.dtype)
    at = tuple(
        np.s_[int(start) : int(start) + size]
        for start, size in zip(start_indices, u.shape, strict=True)
    )
    x[at] = u
    return x


@symbolic
def scatter(indices: Any, values: Any, shape: Any) -> Any:
    """Zeros of a shape, with values added at indices (one row of numbers each)."""
    v = tensor(values)
    return _at(fovea.zeros(shape, dtype=v.dtype), indices, v, True)


@symbolic
def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Any:
    """The same with other values at indices (one row of numbers each), or combined with them.

    Args:
        reduction: what is there takes the ``"max"``, ``"min"``, product (``"mul"``) or sum
            (``"add"``) with the updates; without it, they replace it.

    >>> scatter_update([1.0, 5.0, 2.0], [[0], [1]], [3.0, 3.0], reduction="max")
    tensor([3., 5., 2.])
    """
    x, u = tensor(inputs), tensor(updates)
    if reduction in (None, "add"):
        return _at(x, indices, u, reduction == "add")
    if reduction not in _REDUCTIONS:
        raise ArgumentError(
            f"scatter_update: reduction is None, 'add', 'max', 'min' or 'mul', got {reduction!r}."
        )
    i = tensor(indices).to(fovea.int64)
    rank = i.shape[-1]
    place = i[..., 0]
    for d in range(1, rank):
        place = place * x.shape[d] + i[..., d]
    rows = x.reshape(math.prod(x.shape[:rank]), *x.shape[rank:])
    place = place.reshape(-1, *(1,) * (rows.ndim - 1))
    u = u.to(x.dtype).reshape(place.shape[0], *rows.shape[1:])
    made = rows.scatter_reduce(0, place.expand(u.shape), u, _REDUCTIONS[reduction])
    return made.reshape(x.shape)


_REDUCTIONS = {"max": "amax", "min": "amin", "mul": "prod"}


def _at(x: Any, indices: Any, values: Any, accumulate: bool) -> Any:
    i = tensor(indices).to(fovea.int64)
    return fovea.index_put(x, tuple(i.unbind(-1)), values.to(x.dtype), accumulate=accumulate)


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """What one of two functions returns; where ``pred`` is symbolic, both are part of the graph and
    `where` picks: they may use symbolic tensors.

    >>> from fovea.keras import Input
    >>> x = Input((4,))
    >>> cond(x[0, 0] > 0, lambda: x + 1, lambda: -x).shape
    (None, 4)
    """
    if not isinstance(pred, KerasTensor):
        return true_fn() if bool(pred) else false_fn()
    found, other = true_fn(), false_fn()
    if found is None and other is None:
        return None
    leaves = flatten(other)
    if len(flatten(found)) != len(leaves):
        raise ArgumentError(
            "cond: both functions must return the same structure.",
            {"true_fn": repr(found), "false_fn": repr(other)},
        )
    others = iter(leaves)
    return map_structure(lambda t: where(pred, t, next(others)), found)


@symbolic
def switch(index: Any, branches: Any, *operands: Any) -> Any:
    """What one of several functions returns; an index too large takes the last."""
    return branches[min(max(int(index), 0), len(branches) - 1)](*operands)


@symbolic
def while_loop(cond: Any, body: Any, loop_vars: Any, maximum_iterations: int | None = None) -> Any:
    """``body`` again and again while ``cond`` holds."""
    several = isinstance(loop_vars, list | tuple)
    now, done = tuple(loop_vars) if several else (loop_vars,), 0
    while bool(cond(*now)) and (maximum_iterations is None or done < maximum_iterations):
        after = body(*now)
        now = tuple(after) if isinstance(after, list | tuple) else (after,)
        done += 1
    return type(loop_vars)(now) if several else now[0]


@shapes_of(while_loop)
def _(cond: Any, body: Any, loop_vars: Any, maximum_iterations: int | None = None) -> Any:
    return map_structure(_alike, loop_vars)


def _alike(value: Any) -> KerasTensor:
    """A symbolic tensor like another one or like a value."""
    known = value if isinstance(value, KerasTensor) else tensor(value)
    return KerasTensor(known.shape, dtype(known))


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """``body_fun(i, value)`` for each i."""
    for i in range(int(lower), int(upper)):
        init_val = body_fun(i, init_val)
    return init_val


@symbolic
def scan(
    f: Any,
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: Any = 1,
) -> tuple[Any, Any]:
    """``carry, y = f(carry, x)`` along the first axis; the last carry and all y."""
    count = length if xs is None else len(_leaves(xs)[0])
    found, carry = [], init
    for n in reversed(range(count or 0)) if reverse else range(count or 0):
        carry, y = f(carry, None if xs is None else map_structure(lambda t, n=n: tensor(t)[n], xs))
        found.append(y)
    return carry, _stacked(found[::-1] if reverse else found)


def _leaves(xs: Any) -> list[Any]:
    """The tensors in a structure."""
    return [tensor(t) for t in flatten(xs)]


@symbolic
def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """``f`` of each slice along the first axis."""
    count = len(_leaves(xs)[0])
    return _stacked([f(map_structure(lambda t, n=n: tensor(t)[n], xs)) for n in range(count)])


@symbolic
def vectorized_map(function: Callable[[Any], Any], elements: Any) -> Any:
    """``map`` with all slices at once: `fovea.vmap`."""
    return fovea.vmap(function, randomness="different")(map_structure(tensor, elements))


def _stacked(found: list[Any]) -> Any:
    """What was found for each slice, as one structure."""
    if not found or found[0] is None:
        return None
    columns = iter(zip(*[_leaves(structure) for structure in found], strict=True))
    return map_structure(lambda _: fovea.stack(list(next(columns))), found[0])
