"""``keras.ops``: NumPy's functions on whole tensors, with Keras's names and arguments."""

from __future__ import annotations

from typing import Any

import fovea
from fovea.keras import config
from fovea.keras.ops.elementwise import floating, tensor
from fovea.keras.ops.symbolic import symbolic

__all__ = [
    "all", "any", "arange", "argmax", "argmin", "argsort", "average", "broadcast_to",
    "concatenate", "count_nonzero", "cumprod", "cumsum", "diag", "dot", "einsum", "expand_dims",
    "eye", "flip", "full", "full_like", "get_item", "hstack", "identity", "linspace", "logsumexp",
    "matmul", "max", "mean", "median", "meshgrid", "min", "moveaxis", "norm", "ones", "ones_like",
    "outer", "pad", "prod", "ravel", "repeat", "reshape", "roll", "shape", "size", "sort", "split",
    "squeeze", "stack", "std", "sum", "swapaxes", "take", "take_along_axis", "tensordot", "tile",
    "trace", "transpose", "tril", "triu", "unstack", "var", "vstack", "zeros", "zeros_like",
]  # fmt: skip


def _reduced(f: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """A reduction over some axes, or over all."""
    axes = tuple(range(x.ndim)) if axis is None else axis
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    return f(x, axes, keepdim=keepdims) if axes else f(x)


@symbolic
def get_item(x: Any, key: Any) -> Any:
    """``x[key]``; a list of indices stands for a tuple of them, as in files."""
    return tensor(x)[tuple(key) if isinstance(key, list) else key]


@symbolic
def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over axes; over all unless given."""
    return _reduced(fovea.sum, tensor(x), axis, keepdims)


@symbolic
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean over axes; integers become floats."""
    return _reduced(fovea.mean, floating(x), axis, keepdims)


@symbolic
def max(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The largest over axes, at least ``initial``."""
    y = _reduced(fovea.amax, tensor(x), axis, keepdims)
    return y if initial is None else y.clamp(min=initial)


@symbolic
def min(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The smallest over axes, at most ``initial``."""
    y = _reduced(fovea.amin, tensor(x), axis, keepdims)
    return y if initial is None else y.clamp(max=initial)


@symbolic
def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean square of the distance from the mean."""
    x = floating(x)
    center = _reduced(fovea.mean, x, axis, True)
    return _reduced(fovea.mean, (x - center) ** 2, axis, keepdims)


@symbolic
def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The root of ``var``."""
    return var(x, axis, keepdims).sqrt()


@symbolic
def prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    """The product over axes."""
    x = tensor(x) if dtype is None else tensor(x).to(config.as_dtype(dtype))
    axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    for d in sorted((a % x.ndim for a in axes), reverse=True):
        x = fovea.prod(x, d, keepdim=keepdims)
    return x


@symbolic
def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether all hold."""
    return _reduced(fovea.amin, tensor(x).to(fovea.bool), axis, keepdims)


@symbolic
def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether one holds."""
    return _reduced(fovea.amax, tensor(x).to(fovea.bool), axis, keepdims)


@symbolic
def count_nonzero(x: Any, axis: Any = None) -> Any:
    """How many are not 0."""
    return _reduced(fovea.sum, (tensor(x) != 0).to(fovea.int32), axis, False).to(fovea.int32)


@symbolic
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The logarithm of the sum of exponentials."""
    return _reduced(fovea.logsumexp, floating(x), axis, keepdims)


@symbolic
def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    """The mean, weighted if weights are given."""
    if weights is None:
        return mean(x, axis)
    x, w = floating(x), floating(weights)
    return sum(x * w, axis) / sum(w.expand(x.shape), axis)


@symbolic
def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle value; the mean of two for an even number."""
    x = floating(x)
    return fovea.quantile(x, 0.5, dim=axis, keepdim=keepdims)


@symbolic
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors or matrices, as NumPy's."""
    return fovea.linalg.norm(floating(x), ord, axis, keepdims)


@symbolic
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where the largest is, in int32."""
    return fovea.argmax(tensor(x), axis, keepdim=keepdims).to(fovea.int32)


@symbolic
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """Where the smallest is, in int32."""
    return fovea.argmin(tensor(x), axis, keepdim=keepdims).to(fovea.int32)


@symbolic
def argsort(x: Any, axis: int | None = -1) -> Any:
    """The places in order of the values, in int32."""
    x = tensor(x)
    return (
        (x.reshape(-1) if axis is None else x).argsort(-1 if axis is None else axis).to(fovea.int32)
    )


@symbolic
def sort(x: Any, axis: int | None = -1) -> Any:
    """The values in order."""
    x = tensor(x)
    return fovea.sort(x.reshape(-1) if axis is None else x, -1 if axis is None else axis)[0]


@symbolic
def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Running sums."""
    x = tensor(x) if dtype is None else tensor(x).to(config.as_dtype(dtype))
    return fovea.cumsum(x.reshape(-1) if axis is None else x, 0 if axis is None else axis)


@symbolic
def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Running products."""
    x = tensor(x) if dtype is None else tensor(x).to(config.as_dtype(dtype))
    return fovea.cumprod(x.reshape(-1) if axis is None else x, 0 if axis is None else axis)


# -- products ------------------------------------------------------------------------------------


@symbolic
def matmul(x1: Any, x2: Any) -> Any:
    """The product of matrices, or of batches of them."""
    return fovea.matmul(tensor(x1), tensor(x2))


@symbolic
def dot(x1: Any, x2: Any) -> Any:
    """NumPy's ``dot``: over the last axis of the first and the second last of the second."""
    a, b = tensor(x1), tensor(x2)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return fovea.tensordot(a, b, ([a.ndim - 1], [b.ndim - 2 if b.ndim > 1 else 0]))


@symbolic
def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    """The sum of products over axes."""
    return fovea.tensordot(tensor(x1), tensor(x2), axes)


@symbolic
def outer(x1: Any, x2: Any) -> Any:
    """All products of two vectors' elements."""
    return fovea.outer(tensor(x1).reshape(-1), tensor(x2).reshape(-1))


@symbolic
def einsum(subscripts: str, *operands: Any, **kwargs: Any) -> Any:
    """Sums of products, by Einstein's notation; hints of how to compute them are not needed."""
    return fovea.einsum(subscripts, *map(tensor, operands))


@symbolic
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a diagonal."""
    return fovea.diagonal(tensor(x), offset, axis1, axis2).sum(-1)


# -- shapes --------------------------------------------------------------------------------------


def shape(x: Any) -> tuple[Any, ...]:
    """The sizes; None for those of a symbolic tensor that vary.

    >>> shape([[1.0, 2.0]])
    (1, 2)
    """
    return tuple(tensor(x).shape)


def size(x: Any) -> Any:
    """How many elements there are."""
    return fovea.tensor(tensor(x).numel())


@symbolic
def reshape(x: Any, newshape: Any) -> Any:
    """The same elements in another shape; one size may be -1."""
    return fovea.reshape(tensor(x), [newshape] if isinstance(newshape, int) else list(newshape))


@symbolic
def ravel(x: Any) -> Any:
    """All elements in one row."""
    return tensor(x).reshape(-1)


@symbolic
def transpose(x: Any, axes: Any = None) -> Any:
    """The axes in another order; reversed unless given."""
    x = tensor(x)
    return x.permute(*(axes if axes is not None else reversed(range(x.ndim))))


@symbolic
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    return fovea.transpose(tensor(x), axis1, axis2)


@symbolic
def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Axes moved to other places."""
    return fovea.movedim(tensor(x), source, destination)


@symbolic
def expand_dims(x: Any, axis: Any) -> Any:
    """With new axes of size 1."""
    x = tensor(x)
    axes = [axis] if isinstance(axis, int) else list(axis)
    for a in sorted(a % (x.ndim + len(axes)) for a in axes):
        x = x.unsqueeze(a)
    return x


@symbolic
def squeeze(x: Any, axis: Any = None) -> Any:
    """Without axes of size 1."""
    x = tensor(x)
    return x.squeeze() if axis is None else x.squeeze(axis)


@symbolic
def broadcast_to(x: Any, shape: Any) -> Any:
    """Repeated along new axes and those of size 1."""
    return fovea.broadcast_to(tensor(x), list(shape))


@symbolic
def concatenate(xs: Any, axis: int = 0) -> Any:
    """Several tensors one after the other."""
    return fovea.cat([tensor(x) for x in xs], axis)


@symbolic
def stack(x: Any, axis: int = 0) -> Any:
    """Several tensors along a new axis."""
    return fovea.stack([tensor(v) for v in x], axis)


@symbolic
def hstack(xs: Any) -> Any:
    """Several tensors side by side."""
    return fovea.hstack([tensor(x) for x in xs])


@symbolic
def vstack(xs: Any) -> Any:
    """Several tensors below one another."""
    return fovea.vstack([tensor(x) for x in xs])


@symbolic
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """Equal parts, or those between indices."""
    parts = fovea.tensor_split(tensor(x), indices_or_sections, axis)
    return list(parts)


@symbolic
def unstack(x: Any, num: int | None = None, axis: int = 0) -> Any:
    """The slices along an axis."""
    return list(tensor(x).unbind(axis))


@symbolic
def tile(x: Any, repeats: Any) -> Any:
    """The whole repeated along each axis."""
    return fovea.tile(tensor(x), (repeats,) if isinstance(repeats, int) else tuple(repeats))


@symbolic
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element repeated."""
    return fovea.repeat_interleave(tensor(x), repeats, axis)


@symbolic
def flip(x: Any, axis: Any = None) -> Any:
    """In reverse order along axes."""
    x = tensor(x)
    axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    return fovea.flip(x, list(axes))


@symbolic
def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """Moved along, and in again at the other end."""
    return fovea.roll(tensor(x), shift, axis)


@symbolic
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    """Bordered; ``pad_width`` is a number, or pairs for the axes."""
    x = tensor(x)
    if isinstance(pad_width, int):
        pad_width = [(pad_width, pad_width)] * x.ndim
    elif isinstance(pad_width[0], int):
        pad_width = [tuple(pad_width)] * x.ndim
    flat = [n for low_high in reversed(list(pad_width)) for n in low_high]
    if mode == "constant":
        return fovea.nn.functional.pad(x, flat, value=constant_values or 0)
    kind = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}.get(mode, mode)
    extra = 4 - x.ndim  # the other modes pad the last axes of images
    for _ in range(extra):
        x = x.unsqueeze(0)
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        flat = flat[:-2]
    y = fovea.nn.functional.pad(x, flat, mode=kind)
    for _ in range(extra):
        y = y.squeeze(0)
    return y


@symbolic
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The elements at indices along an axis."""
    x, i = tensor(x), tensor(indices).to(fovea.int64)
    if axis is None:
        x, axis = x.reshape(-1), 0
    axis %= x.ndim
    i = fovea.where(i < 0, i + x.shape[axis], i)
    y = fovea.index_select(x, axis, i.reshape(-1))
    return y.reshape(*x.shape[:axis], *i.shape, *x.shape[axis + 1 :])


@symbolic
def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """For each place the element that its index names along an axis."""
    return fovea.take_along_dim(tensor(x), tensor(indices).to(fovea.int64), axis)


@symbolic
def diag(x: Any, k: int = 0) -> Any:
    """A matrix's diagonal, or the matrix of one."""
    return fovea.diag(tensor(x), k)


@symbolic
def tril(x: Any, k: int = 0) -> Any:
    """Zeros above a diagonal."""
    return fovea.tril(tensor(x), k)


@symbolic
def triu(x: Any, k: int = 0) -> Any:
    """Zeros below a diagonal."""
    return fovea.triu(tensor(x), k)


def meshgrid(*x: Any, indexing: str = "xy") -> Any:
    """Coordinates of a grid."""
    return list(fovea.meshgrid(*[tensor(v) for v in x], indexing=indexing))


# -- new ones ------------------------------------------------------------------------------------


def zeros(shape: Any, dtype: Any = None) -> Any:
    """Zeros."""
    return fovea.zeros(shape, dtype=config.as_dtype(dtype))


def ones(shape: Any, dtype: Any = None) -> Any:
    """Ones."""
    return fovea.ones(shape, dtype=config.as_dtype(dtype))


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """One value everywhere."""
    return fovea.full(
        [shape] if isinstance(shape, int) else shape, fill_value, dtype=config.as_dtype(dtype)
    )


@symbolic
def zeros_like(x: Any, dtype: Any = None) -> Any:
    """Zeros in the shape of another."""
    return fovea.zeros_like(tensor(x), dtype=None if dtype is None else config.as_dtype(dtype))


@symbolic
def ones_like(x: Any, dtype: Any = None) -> Any:
    """Ones in the shape of another."""
    return fovea.ones_like(tensor(x), dtype=None if dtype is None else config.as_dtype(dtype))


@symbolic
def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """One value in the shape of another."""
    kind = None if dtype is None else config.as_dtype(dtype)
    return fovea.full_like(tensor(x), fill_value, dtype=kind)


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:  # noqa: N803
    """Ones on a diagonal."""
    ones_everywhere = fovea.ones(N, N if M is None else M, dtype=config.as_dtype(dtype))
    return fovea.triu(fovea.tril(ones_everywhere, k), k)


def identity(n: int, dtype: Any = None) -> Any:
    """The unit matrix."""
    return eye(n, dtype=dtype)


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """Numbers from ``start`` to before ``stop``; integers are int32."""
    low, high = (0, start) if stop is None else (start, stop)
    each = 1 if step is None else step
    floats = _any_float(low, high, each)
    kind = (
        config.as_dtype(dtype)
        if dtype is not None
        else (config.as_dtype(None) if floats else fovea.int32)
    )
    return fovea.arange(low, high, each, dtype=kind)


def _any_float(*numbers: Any) -> bool:
    """Whether one of them is no integer."""
    return not {type(n) for n in numbers} <= {int}


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """So many numbers at equal distances, along an axis where the ends are tensors."""
    step = (stop - start) / (num - 1 if endpoint else num) if num > 1 else 0.0 * (stop - start)
    steps = [start + step * i for i in range(num)]
    if num > 1 and endpoint:
        steps[-1] = stop
    kind = config.as_dtype(dtype)
    y = fovea.stack([tensor(v).to(kind) for v in steps], axis) if num else zeros((0,), dtype)
    return (y, step) if retstep else y
