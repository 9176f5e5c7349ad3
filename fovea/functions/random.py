"""Random tensors, with PyTorch's signatures.

`fovea.random` has the generators, `fovea.ops.random` what the functions mean.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import devices, dispatch, dtypes
from fovea import random as generators
from fovea.dtypes import DType
from fovea.errors import ArgumentError, DTypeError, describe
from fovea.functions.complex_numbers import view_as_complex
from fovea.functions.creation import _into as into_out
from fovea.functions.creation import empty_like, finish
from fovea.functions.sizes import parse_size
from fovea.ops import random as ops
from fovea.ops.op import Attrs, Op
from fovea.ops.rules import broadcast_shapes
from fovea.size import Size
from fovea.tensorbase import is_tensor
from fovea.watching import look

if TYPE_CHECKING:
    from fovea.random import Generator
    from fovea.tensor import Tensor

__all__ = [
    "bernoulli",
    "bernoulli_",
    "exponential_",
    "multinomial",
    "normal",
    "normal_",
    "poisson",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "random_",
    "randperm",
    "uniform_",
]


def _state(generator: Generator | None) -> Tensor:
    state = (generator or generators.default_generator).state
    return state if generators.inside_vmap is None else generators.inside_vmap(state)


def _float_dtype(dtype: Any) -> DType:
    return dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)


def _draw(
    op: Op,
    attrs: Attrs,
    generator: Generator | None,
    out: Tensor | None = None,
    requires_grad: bool = False,
) -> Tensor:
    drawn = op.bind((_state(generator),), attrs)
    return into_out(out, drawn) if out is not None else finish(drawn, requires_grad)


def _fill(x: Tensor, op: Op, attrs: Attrs, generator: Generator | None) -> Tensor:
    return dispatch.bind_into(op, x, (_state(generator),), attrs)


def _size(name: str, shape: tuple[Any, ...], size: Any) -> tuple[int, ...]:
    if size is not None and shape:
        raise ArgumentError(f"{name}: the size was given twice.")
    return tuple(parse_size(*shape) if size is None else parse_size(size))


def _complex(parts: Tensor, out: Tensor | None, requires_grad: bool) -> Tensor:
    """Complex numbers from (..., 2) parts."""
    made = view_as_complex(parts)
    return into_out(out, made) if out is not None else finish(made, requires_grad)


def rand(
    *shape: Any,
    size: Any = None,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Numbers evenly spread over [0, 1); of a complex dtype both parts are.

    Args:
        shape: ints, or one sequence of ints (``size=`` works, too).
        generator: where the numbers come from (default: the one that ``manual_seed`` seeds).
        out: a tensor of that shape to write them into.
        dtype: a floating-point or complex type (default: the default dtype).
        requires_grad: whether backward computes the result's gradient.

    Raises:
        DTypeError: ``dtype`` is a type of integers.

    >>> x = rand(2, 3)
    >>> x.shape, bool((x >= 0).all()), bool((x < 1).all())
    (fovea.Size([2, 3]), True, True)
    """
    devices.as_device(device)
    shape, kind = _size("rand", shape, size), _float_dtype(dtype)
    if kind.is_complex:
        parts = rand(*shape, 2, generator=generator, dtype=kind.to_real())
        return _complex(parts, out, requires_grad)
    attrs = ops.UniformAttrs.of(shape, kind, 0.0, 1.0)
    return _draw(ops.random_uniform, attrs, generator, out, requires_grad)


def randn(
    *shape: Any,
    size: Any = None,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Numbers of the normal distribution with mean 0 and variance 1 (in the complex plane, too);
    arguments as of ``rand``.

    >>> randn(2, 3).shape
    fovea.Size([2, 3])
    """
    devices.as_device(device)
    shape, kind = _size("randn", shape, size), _float_dtype(dtype)
    if kind.is_complex:
        parts = randn(*shape, 2, generator=generator, dtype=kind.to_real())
        return _complex(parts * math.sqrt(0.5), out, requires_grad)
    attrs = ops.NormalAttrs.of(shape, kind, 0.0, 1.0)
    return _draw(ops.random_normal, attrs, generator, out, requires_grad)


def randint(
    *args: Any,
    low: int | None = None,
    high: int | None = None,
    size: Any = None,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Whole numbers evenly spread from ``low`` (0 unless given) up to, not including, ``high``.

    Call it as ``randint(high, size)`` or ``randint(low, high, size)``: int64 unless told.

    Raises:
        ArgumentError: an empty range, or one that does not fit the dtype.

    >>> x = randint(3, 5, (100,))
    >>> int(x.min()), int(x.max())
    (3, 4)
    """
    devices.as_device(device)
    names = ["low", "high", "size"]
    given = {"low": low, "high": high, "size": size}
    free = [n for n in names if given[n] is None]
    if len(args) < len(free):
        free = [n for n in free if n != "low"]
    if len(args) != len(free):
        raise TypeError("randint takes (high, size) or (low, high, size).")
    given.update(zip(free, args, strict=True))
    kind = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
    attrs = ops.IntegersAttrs.of(
        parse_size(given["size"]), kind, int(given["low"] or 0), int(given["high"])
    )
    return _draw(ops.random_integers, attrs, generator, out, requires_grad)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """The numbers from 0 to ``n - 1`` in random order (sorted by random keys).

    Raises:
        ArgumentError: ``n`` is negative, or too large for the dtype (int64 unless given).

    >>> sorted(randperm(4).tolist())
    [0, 1, 2, 3]
    """
    devices.as_device(device)
    kind = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
    return _draw(
        ops.random_permutation, ops.PermutationAttrs.of(int(n), kind), generator, out, requires_grad
    )


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers of the normal distribution with this mean and standard deviation.

    Args:
        mean, std: numbers, with ``size``; or a tensor for either or both.

    Raises:
        ArgumentError: a negative ``std``; two numbers without a size.

    >>> normal(0.0, 1.0, (2, 2)).shape
    fovea.Size([2, 2])
    """
    devices.as_device(device)
    if not is_tensor(mean) and not is_tensor(std):
        if size is None:
            raise ArgumentError(
                "normal: numbers for mean and std need a size.", fix="normal(mean, std, (2, 3))"
            )
        attrs = ops.NormalAttrs.of(
            tuple(parse_size(size)), _float_dtype(dtype), float(mean), float(std)
        )
        return _draw(ops.random_normal, attrs, generator, out, requires_grad)
    if look(std, _has_negative, essential=False) if is_tensor(std) else std < 0:
        raise ArgumentError("normal: std must not be negative.")
    like = mean if is_tensor(mean) else std
    shape: Any = like.shape
    if is_tensor(mean) and is_tensor(std):
        if std.numel() == mean.numel():
            std = std.reshape(mean.shape)
        shape = broadcast_shapes("normal", mean.shape, std.shape)
    unit = randn(shape, generator=generator, dtype=like.dtype)
    result: Tensor = unit * (std.detach() if is_tensor(std) else std) + (
        mean.detach() if is_tensor(mean) else mean
    )
    return into_out(out, result) if out is not None else result


def bernoulli(
    input: Tensor,
    p: float | None = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """1 with the probability that stands in ``input`` (or with ``p`` everywhere), else 0.

    Raises:
        ArgumentError: a probability outside [0, 1].

    >>> import fovea
    >>> bernoulli(fovea.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    result = _hits(input.shape, input.detach() if p is None else p, generator).to(input.dtype)
    return into_out(out, result) if out is not None else result


def _hits(shape: Size, p: Any, generator: Generator | None) -> Tensor:
    """Booleans that hold with probability ``p``."""
    if is_tensor(p):
        kind = dtypes.float64 if p.dtype is dtypes.float64 else dtypes.float32
        wrong = p.dtype.is_floating_point and look(p, _improbable, essential=False)
    else:
        kind, wrong = dtypes.float32, not 0 <= p <= 1
    if wrong:
        raise ArgumentError("bernoulli: probabilities lie between 0 and 1.")
    draw = rand(shape, generator=generator, dtype=kind)
    return draw < (p.to(kind) if is_tensor(p) else p)


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Column numbers drawn with the weights that stand in each row.

    Args:
        input: weights, shape (n,) or (rows, n); they need not sum to one.
        num_samples: how many to draw from each row.
        replacement: whether a column can be drawn again.

    Returns: int64, shape (num_samples,) or (rows, num_samples), in the order drawn.

    Raises:
        ArgumentError: negative or infinite weights, or fewer above zero than numbers to draw.

    >>> import fovea
    >>> multinomial(fovea.tensor([0.0, 3.0, 0.0]), 2, replacement=True)
    tensor([1, 1])
    """
    attrs = ops.MultinomialAttrs.of(int(num_samples), bool(replacement))
    drawn = ops.random_multinomial.bind((_state(generator), input.detach()), attrs)
    return into_out(out, drawn) if out is not None else drawn


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Counts of events whose mean numbers are given: noise of light.

    Args:
        input: means, floating point.

    Raises:
        ArgumentError: a mean is negative, infinite or NaN.

    >>> import fovea
    >>> poisson(fovea.zeros(2))
    tensor([0., 0.])
    """
    drawn: Tensor = ops.random_poisson.bind(
        (_state(generator), input.detach()), ops.PoissonAttrs.of()
    )
    return drawn


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """``rand`` with the shape, the layout and, unless given, the dtype of ``input``."""
    x = empty_like(input, dtype=dtype, device=device)
    if x.dtype.is_complex:
        x.copy_(rand(*x.shape, generator=generator, dtype=x.dtype))
        return finish(x, requires_grad)
    return finish(uniform_(x, generator=generator), requires_grad)


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """``randn`` with the shape, the layout and, unless given, the dtype of ``input``."""
    x = empty_like(input, dtype=dtype, device=device)
    return finish(normal_(x, generator=generator), requires_grad)


def randint_like(
    input: Tensor,
    *args: int,
    low: int | None = None,
    high: int | None = None,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """``randint`` with the shape and dtype of ``input``; ``(x, high)`` or ``(x, low, high)``."""
    return randint(
        *args,
        low=low,
        high=high,
        size=input.shape,
        generator=generator,
        dtype=input.dtype if dtype is None else dtype,
        device=device,
        requires_grad=requires_grad,
    )


def uniform_(
    input: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers evenly spread over [``from_``, ``to``).

    >>> import fovea
    >>> bool((fovea.empty(100).uniform_(-2, -1) < -1).all())
    True
    """
    if input.dtype.is_complex:
        raise DTypeError(f"uniform_: complex tensors have no range, got {describe(input)}.")
    attrs = ops.UniformAttrs.of(tuple(input.shape), input.dtype, float(from_), float(to))
    return _fill(input, ops.random_uniform, attrs, generator)


def normal_(
    input: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers of the normal distribution (in the complex plane, of a complex tensor)."""
    if input.dtype.is_complex:
        drawn = randn(*input.shape, generator=generator, dtype=input.dtype)
        return input.copy_(drawn * std + mean)
    attrs = ops.NormalAttrs.of(tuple(input.shape), input.dtype, float(mean), float(std))
    return _fill(input, ops.random_normal, attrs, generator)


def exponential_(
    input: Tensor, lambd: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers of density ``lambd * exp(-lambd * x)``."""
    attrs = ops.ExponentialAttrs.of(tuple(input.shape), input.dtype, float(lambd))
    return _fill(input, ops.random_exponential, attrs, generator)


def random_(
    input: Tensor,
    from_: int | None = None,
    to: int | None = None,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Fill with whole numbers from ``from_`` to ``to`` - 1; ``random_(to)`` starts at 0.

    Without a range, all that the dtype holds exactly and that are not negative.
    """
    if to is None:
        from_, to = 0, from_
    if to is None:
        to = _whole_numbers(input.dtype)
    attrs = ops.IntegersAttrs.of(tuple(input.shape), input.dtype, int(from_ or 0), int(to))
    return _fill(input, ops.random_integers, attrs, generator)


def _whole_numbers(dtype: DType) -> int:
    """How many whole numbers from 0 up the type holds without a gap."""
    if dtype.is_floating_point:
        return (1 << ops.uniform_digits(dtype)) + 1
    return 2 if dtype is dtypes.bool_ else dtypes.iinfo(dtype).max + 1


def _has_negative(std: np.ndarray[Any, Any]) -> bool:
    return bool((std < 0).any())


def _improbable(p: np.ndarray[Any, Any]) -> bool:
    """Whether a probability is outside [0, 1]."""
    return not bool(((p >= 0) & (p <= 1)).all())


def bernoulli_(input: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with 1 with probability ``p`` (a number, or a tensor that broadcasts), else 0."""
    return input.copy_(_hits(input.shape, p, generator))
