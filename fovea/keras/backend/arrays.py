"""Functions of Keras's older backend (``K.sum`` ...): numbers, shapes, variables.

They take tensors, arrays and, in graphs, symbolic tensors, and stand beside those of ``keras.ops``
for programs that are older than these.
"""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.keras import config
from fovea.keras import ops as keras_ops
from fovea.keras import random as keras_random
from fovea.keras.variables import Variable
from fovea.tensorbase import is_tensor

# Keras's names hide some of Python's here: those are not used below.
__all__ = [
    "abs", "all", "any", "arange", "argmax", "argmin", "batch_dot", "batch_flatten",
    "batch_get_value", "batch_set_value", "cast", "cast_to_floatx", "clip", "concatenate",
    "constant", "cos", "count_params", "cumprod", "cumsum", "dot", "dtype", "equal", "eval",
    "exp", "expand_dims", "eye", "flatten", "foldl", "foldr", "gather", "get_value", "greater",
    "greater_equal", "int_shape", "is_sparse", "less", "less_equal", "log", "map_fn", "max",
    "maximum", "mean", "min", "minimum", "moving_average_update", "ndim", "not_equal", "one_hot",
    "ones", "ones_like", "permute_dimensions", "pow", "prod", "random_bernoulli",
    "random_normal", "random_normal_variable", "random_uniform", "random_uniform_variable",
    "repeat", "repeat_elements", "reshape", "reverse", "round", "set_value", "shape", "sign",
    "sin", "sqrt", "square", "squeeze", "stack", "std", "stop_gradient", "sum", "switch", "tile",
    "to_dense", "transpose", "truncated_normal", "update", "update_add", "update_sub", "var",
    "variable", "zeros", "zeros_like",
]  # fmt: skip

ops: Any = keras_ops  # its functions are made from tables


def _same(name: str, function: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A function of one or two tensors that ``keras.ops`` has, too."""
    inner = function or getattr(ops, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``keras.ops.{inner.__name__}``."
    return call


abs = _same("abs")
cos, sin, exp, log, sign = (_same(n) for n in ("cos", "sin", "exp", "log", "sign"))
round, square = _same("round"), _same("square")
maximum, minimum, dot = _same("maximum"), _same("minimum"), _same("dot")
equal, not_equal = _same("equal"), _same("not_equal")
greater, greater_equal = _same("greater"), _same("greater_equal")
less, less_equal = _same("less"), _same("less_equal")
transpose, stop_gradient, shape = _same("transpose"), _same("stop_gradient"), _same("shape")
pow = _same("pow", ops.power)


def sqrt(x: Any) -> Any:
    """The square root; of negative numbers, 0."""
    return ops.sqrt(ops.maximum(x, 0.0))


def clip(x: Any, min_value: float | None, max_value: float | None) -> Any:
    """Numbers cut to a range; None is no limit, and the lower one goes first."""
    low = -np.inf if min_value is None else min_value
    high = np.inf if max_value is None else max_value
    return ops.clip(x, low, low if high < low else high)


def cast(x: Any, dtype: Any) -> Any:
    """Values in another dtype."""
    return ops.cast(x, dtype)


def cast_to_floatx(x: Any) -> Any:
    """A tensor, or an array, in ``floatx()``."""
    if is_tensor(x) or hasattr(x, "keras_history"):
        return ops.cast(x, config.floatx())
    return np.asarray(x, dtype=config.as_dtype(None).numpy)


# -- reductions -----------------------------------------------------------------------------------


def _floats(x: Any) -> Any:
    """Booleans as floats."""
    x = ops.convert_to_tensor(x)
    return ops.cast(x, config.floatx()) if config.standardize_dtype(x.dtype) == "bool" else x


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over axes.

    >>> sum([[1.0, 2.0], [3.0, 4.0]], axis=-1)
    tensor([3., 7.])
    """
    return ops.sum(x, axis=axis, keepdims=keepdims)


def prod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The product over axes."""
    return ops.prod(x, axis=axis, keepdims=keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean over axes; of booleans, the share of those that are true."""
    return ops.mean(_floats(x), axis=axis, keepdims=keepdims)


def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The variance over axes."""
    return ops.var(_floats(x), axis=axis, keepdims=keepdims)


def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The standard deviation over axes."""
    return ops.std(_floats(x), axis=axis, keepdims=keepdims)


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest value over axes."""
    return ops.max(x, axis=axis, keepdims=keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest value over axes."""
    return ops.min(x, axis=axis, keepdims=keepdims)


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether one is true, over axes."""
    return ops.any(ops.cast(x, "bool"), axis=axis, keepdims=keepdims)


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether all are true, over axes."""
    return ops.all(ops.cast(x, "bool"), axis=axis, keepdims=keepdims)


def argmax(x: Any, axis: int = -1) -> Any:
    """Where the largest value is."""
    return ops.argmax(x, axis=axis)


def argmin(x: Any, axis: int = -1) -> Any:
    """Where the smallest value is."""
    return ops.argmin(x, axis=axis)


def cumsum(x: Any, axis: int = 0) -> Any:
    """Sums so far."""
    return ops.cumsum(x, axis=axis)


def cumprod(x: Any, axis: int = 0) -> Any:
    """Products so far."""
    return ops.cumprod(x, axis=axis)


# -- shapes ---------------------------------------------------------------------------------------


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The shape; None for sizes that may vary.

    >>> int_shape(np.ones((2, 3)))
    (2, 3)
    """
    return tuple(None if d is None else int(d) for d in x.shape)


def ndim(x: Any) -> int:
    """The number of dimensions."""
    return len(x.shape)


def count_params(x: Any) -> int:
    """How many numbers there are."""
    return math.prod(x.shape)


def dtype(x: Any) -> str:
    """The name of the dtype."""
    return config.standardize_dtype(x.dtype)


def reshape(x: Any, shape: Any) -> Any:
    """The same values in another shape."""
    return ops.reshape(x, tuple(shape))


def flatten(x: Any) -> Any:
    """All values in one dimension."""
    return ops.reshape(x, (-1,))


def batch_flatten(x: Any) -> Any:
    """Each sample's values in one dimension."""
    x = ops.convert_to_tensor(x)
    return ops.reshape(x, (-1, math.prod(x.shape[1:])))


def expand_dims(x: Any, axis: int = -1) -> Any:
    """A dimension of size 1 put in."""
    return ops.expand_dims(x, axis)


def squeeze(x: Any, axis: int) -> Any:
    """A dimension of size 1 taken out."""
    return ops.squeeze(x, axis)


def permute_dimensions(x: Any, pattern: Sequence[int]) -> Any:
    """Dimensions in another order."""
    return ops.transpose(x, tuple(pattern))


def concatenate(tensors: Sequence[Any], axis: int = -1) -> Any:
    """Tensors one after another along an axis."""
    return ops.concatenate(list(tensors), axis=axis)


def stack(x: Sequence[Any], axis: int = 0) -> Any:
    """Tensors along a new axis."""
    return ops.stack(list(x), axis=axis)


def repeat(x: Any, n: int) -> Any:
    """(N, D) as (N, n, D), n times the same.

    Raises:
        ShapeError: not two dimensions.
    """
    x = ops.convert_to_tensor(x)
    if ndim(x) != 2:
        raise ShapeError(f"repeat: two dimensions are needed, got {int_shape(x)}.")
    return ops.tile(ops.expand_dims(x, 1), (1, n, 1))


def repeat_elements(x: Any, rep: int, axis: int) -> Any:
    """Each element so many times along an axis."""
    return ops.repeat(x, rep, axis=axis)


def tile(x: Any, n: Any) -> Any:
    """The whole so many times along each axis."""
    return ops.tile(x, (n,) if isinstance(n, int) else tuple(n))


def reverse(x: Any, axes: Any) -> Any:
    """The other way round along axes."""
    return ops.flip(x, axis=(axes,) if isinstance(axes, int) else tuple(axes))


def gather(reference: Any, indices: Any) -> Any:
    """Rows by their numbers."""
    return ops.take(reference, indices, axis=0)


def one_hot(indices: Any, num_classes: int) -> Any:
    """Rows with a one at the index."""
    return ops.one_hot(indices, num_classes)


def batch_dot(x: Any, y: Any, axes: Any = None) -> Any:
    """For each sample the product of two tensors, summed over one axis of each.

    Args:
        x, y: (N, ...): at least two dimensions.
        axes: the axis of each, or one for both; x's last and y's last but one unless given.

    Shapes: the other axes of x, then those of y; (N, 1) if there are none.

    >>> batch_dot(np.ones((2, 3)), np.ones((2, 3)), axes=1)
    tensor([[3.],
            [3.]])
    """
    x, y = ops.convert_to_tensor(x), ops.convert_to_tensor(y)
    m, n = ndim(x), ndim(y)
    if m < 2 or n < 2:
        raise ShapeError(f"batch_dot: two dimensions are needed, got {x.shape} and {y.shape}.")
    if axes is None:
        axes = (m - 1, n - 1 if n == 2 else n - 2)
    first, second = (axes, axes) if isinstance(axes, int) else tuple(axes)
    first, second = first % m, second % n
    if 0 in (first, second):
        raise ArgumentError("batch_dot: axis 0 is that of the samples.", fix="expand_dims(x, 0)")
    letters = iter(string.ascii_lowercase[2:])
    a = ["b", *(next(letters) for _ in range(m - 1))]
    b = ["b", *(next(letters) for _ in range(n - 1))]
    a[first] = b[second] = "a"
    kept = [c for c in (*a[1:], *b[1:]) if c != "a"]
    found = ops.einsum(f"{''.join(a)},{''.join(b)}->b{''.join(kept)}", x, y)
    return found if kept else ops.expand_dims(found, 1)


# -- making ---------------------------------------------------------------------------------------


def _kind(dtype: Any) -> str:
    return config.standardize_dtype(dtype)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = "int32") -> Any:
    """Numbers from ``start`` to before ``stop``."""
    return ops.arange(start, stop, step, dtype=dtype)


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Any:
    """A tensor of a value, or of an array's."""
    made = ops.convert_to_tensor(value, dtype=_kind(dtype))
    return made if shape is None else ops.broadcast_to(made, tuple(shape))


def zeros(shape: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Zeros."""
    return ops.zeros(shape, dtype=_kind(dtype))


def ones(shape: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Ones."""
    return ops.ones(shape, dtype=_kind(dtype))


def zeros_like(x: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Zeros in the shape of a tensor."""
    return ops.zeros_like(x, dtype=dtype)


def ones_like(x: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Ones in the shape of a tensor."""
    return ops.ones_like(x, dtype=dtype)


def eye(size: int, dtype: Any = None, name: str | None = None) -> Any:
    """The unit matrix."""
    return ops.eye(size, dtype=_kind(dtype))


def random_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Normal numbers."""
    return keras_random.normal(shape, mean, stddev, dtype=_kind(dtype), seed=seed)


def truncated_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Normal numbers within two deviations of the mean."""
    return keras_random.truncated_normal(shape, mean, stddev, dtype=_kind(dtype), seed=seed)


def random_uniform(
    shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Numbers from ``minval`` to before ``maxval``."""
    return keras_random.uniform(shape, minval, maxval, dtype=_kind(dtype), seed=seed)


def random_bernoulli(shape: Any, p: float = 0.0, dtype: Any = None, seed: Any = None) -> Any:
    """Ones with the probability ``p``, else zeros."""
    return ops.cast(keras_random.uniform(shape, seed=seed) <= p, _kind(dtype))


# -- variables ------------------------------------------------------------------------------------


def variable(value: Any, dtype: Any = None, name: str | None = None, constraint: Any = None) -> Any:
    """A variable with these values."""
    made = Variable(np.asarray(value), dtype=_kind(dtype), name=name)
    made.constraint = constraint
    return made


def random_normal_variable(
    shape: Any, mean: float, scale: float, dtype: Any = None, name: Any = None, seed: Any = None
) -> Any:
    """A variable of normal numbers."""
    return variable(get_value(random_normal(shape, mean, scale, dtype, seed)), dtype, name)


def random_uniform_variable(
    shape: Any, low: float, high: float, dtype: Any = None, name: Any = None, seed: Any = None
) -> Any:
    """A variable of numbers from ``low`` to before ``high``."""
    return variable(get_value(random_uniform(shape, low, high, dtype, seed)), dtype, name)


def get_value(x: Any) -> Any:
    """A tensor's or variable's values as an array.

    >>> get_value(ones((2,)))
    array([1., 1.], dtype=float32)
    """
    return ops.convert_to_numpy(x) if is_tensor(x) else x


eval = _same("eval", get_value)
eval.__doc__ = "``get_value``."


def set_value(x: Any, value: Any) -> None:
    """Give a variable other values.

    >>> v = variable([1.0, 2.0])
    >>> set_value(v, [3.0, 4.0])
    >>> get_value(v)
    array([3., 4.], dtype=float32)
    """
    x.assign(np.asarray(value, dtype=config.as_dtype(dtype(x)).numpy))


def batch_get_value(tensors: Sequence[Any]) -> list[Any]:
    """The values of several variables."""
    return [get_value(t) for t in tensors]


def batch_set_value(tuples: Sequence[tuple[Any, Any]]) -> None:
    """Give several variables other values: pairs (variable, values)."""
    for x, value in tuples:
        set_value(x, value)


def update(x: Any, new_x: Any) -> Any:
    """Give a variable the values of a tensor."""
    return x.assign(new_x)


def update_add(x: Any, increment: Any) -> Any:
    """Add to a variable."""
    return x.assign_add(increment)


def update_sub(x: Any, decrement: Any) -> Any:
    """Subtract from a variable."""
    return x.assign_sub(decrement)


def moving_average_update(x: Any, value: Any, momentum: float) -> Any:
    """Let a variable be ``momentum`` of itself and the rest of ``value``."""
    return x.assign(x * momentum + ops.convert_to_tensor(value) * (1.0 - momentum))


def is_sparse(tensor: Any) -> bool:
    """False: no tensor is sparse."""
    return False


def to_dense(tensor: Any) -> Any:
    """The tensor itself, as none is sparse."""
    return tensor


# -- functions of functions -----------------------------------------------------------------------


def map_fn(fn: Callable[[Any], Any], elems: Any, name: Any = None, dtype: Any = None) -> Any:
    """``fn`` of each slice along the first axis."""
    return ops.map(fn, ops.convert_to_tensor(elems))


def foldl(fn: Any, elems: Any, initializer: Any = None, name: Any = None) -> Any:
    """``fn(so_far, slice)`` over the slices along the first axis, from the first to the last."""
    return _folded(fn, ops.unstack(ops.convert_to_tensor(elems)), initializer)


def foldr(fn: Any, elems: Any, initializer: Any = None, name: Any = None) -> Any:
    """The same from the last to the first."""
    return _folded(fn, ops.unstack(ops.convert_to_tensor(elems))[::-1], initializer)


def _folded(fn: Any, slices: Any, initializer: Any) -> Any:
    slices = list(slices)
    start = slices.pop(0) if initializer is None else initializer
    return functools.reduce(fn, slices, start)


def switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    """One of two tensors, or of what two functions give, by a condition: a single one, or one for
    each of their first elements.

    Raises:
        ShapeError: the condition has more dimensions than they.

    >>> switch(np.array([True, False]), np.ones((2, 2)), np.zeros((2, 2)))
    tensor([[1., 1.],
            [0., 0.]])
    """
    condition = ops.cast(condition, "bool")
    if not ndim(condition) and not hasattr(condition, "keras_history"):
        chosen = then_expression if bool(condition) else else_expression
        return chosen() if callable(chosen) else chosen
    pair = [
        ops.convert_to_tensor(e() if callable(e) else e) for e in (then_expression, else_expression)
    ]
    more = ndim(pair[0]) - ndim(condition)
    if more < 0:
        raise ShapeError(
            f"switch: the condition has {ndim(condition)} dimensions, the others {ndim(pair[0])}."
        )
    for _ in range(more):
        condition = ops.expand_dims(condition, -1)
    return ops.where(condition, *pair)
