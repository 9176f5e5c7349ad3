"""Random tensors. Each op reads and advances ``state``, the (seed, offset) of a generator.

Element i of a result depends on the seed, the offset and i alone; i counts in row-major order
whatever the memory layout. A 32-bit float takes one word of a counter's four, a float64 or an
integer takes two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.dtypes import DType
from fovea.errors import ArgumentError, DTypeError, ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec, numel
from fovea.ops.philox import NumpyMath, box_muller, exponential, random_words
from fovea.ops.philox import uniform as unit_uniform

Array = np.ndarray[Any, Any]

__all__ = [
    "ExponentialAttrs",
    "IntegersAttrs",
    "MultinomialAttrs",
    "NormalAttrs",
    "PermutationAttrs",
    "UniformAttrs",
    "below",
    "permutation",
    "random_exponential",
    "random_integers",
    "random_multinomial",
    "random_normal",
    "random_permutation",
    "random_poisson",
    "random_uniform",
    "take_counters",
    "uniform_digits",
]


@dataclass(frozen=True, eq=False)
class UniformAttrs(Attrs):
    shape: tuple[int, ...]
    dtype: DType
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class NormalAttrs(Attrs):
    shape: tuple[int, ...]
    dtype: DType
    mean: float
    std: float


@dataclass(frozen=True, eq=False)
class ExponentialAttrs(Attrs):
    shape: tuple[int, ...]
    dtype: DType
    rate: float


@dataclass(frozen=True, eq=False)
class PoissonAttrs(Attrs):
    """Nothing: the rates say all."""


@dataclass(frozen=True, eq=False)
class IntegersAttrs(Attrs):
    """``low`` to ``high`` - 1."""

    shape: tuple[int, ...]
    dtype: DType
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class PermutationAttrs(Attrs):
    n: int
    dtype: DType


@dataclass(frozen=True, eq=False)
class MultinomialAttrs(Attrs):
    count: int
    replacement: bool


def _random_op(name: str, attrs: type[Attrs], inputs: tuple[str, ...] = ("state",)) -> Op:
    op = Op(name, inputs, attrs, mutates=("state",))

    @op.grad()
    def _(ctx: Any, gy: Any) -> tuple[None, ...]:
        # What the numbers are written over no longer matters: its gradient stops here.
        return (None,) * len(inputs)

    return op


def take_counters(state: Array, count: int) -> tuple[int, int]:
    """The seed and the first of ``count`` counters, which are used up."""
    seed, offset = (int(v) for v in state.view(np.uint64))
    state.view(np.uint64)[1] = (offset + count) & (1 << 64) - 1
    return seed, offset


def uniform_digits(dtype: DType) -> int:
    """Binary digits of a uniform number: what the type resolves below 1, so that 1 never comes."""
    return {dtypes.float64: 53, dtypes.float32: 24, dtypes.float16: 11, dtypes.bfloat16: 8}[dtype]


def below(high: float, low: float, dtype: DType) -> float:
    """The number before ``high``, seen from ``low``; ``low`` where the type tells no difference."""
    top, bottom = np.array([high, low]).astype(dtype.numpy)
    if top == bottom:
        return float(bottom)
    if dtype in (dtypes.float32, dtypes.float64):
        return float(np.nextafter(top, bottom))
    # NumPy has no nextafter for bfloat16: step through the bits, which order numbers of one sign.
    bits = int(top.view(np.uint16))
    if bits & 0x7FFF == 0:
        bits = 0x8001
    else:
        bits += 1 if bits & 0x8000 else -1
    return float(np.asarray(bits, np.uint16).view(dtype.numpy))


def _words(state: Array, n: int, dtype: DType) -> Array:
    """A word for each of (at least) ``n`` elements: uint64 for float64, else uint32."""
    each = 2 if dtype is dtypes.float64 else 4
    count = -(-n // each)
    words = random_words(*take_counters(state, count), count).reshape(-1)
    return words.view(np.uint64) if each == 2 else words


def _check_state(state: Shaped) -> None:
    """Kernels read it as two words that lie together."""
    plain = state.strides is None or state.strides == (1,)
    if state.dtype is not dtypes.int64 or tuple(state.shape) != (2,) or not plain:
        raise ShapeError(
            "random: the state must be a generator's, int64 (2,).",
            {"state": describe(state)},
            "pass fovea.Generator().state",
        )


def _sized(name: str, a: Any) -> Spec:
    if any(n < 0 for n in a.shape):
        raise ShapeError(f"{name}: a size cannot be negative, got {tuple(a.shape)}.")
    return Spec(a.shape, a.dtype)


def _floating(name: str, a: Any) -> Spec:
    if not a.dtype.is_floating_point:
        raise DTypeError(f"{name}: the dtype must be floating point, got {a.dtype.name}.")
    return _sized(name, a)


random_uniform = _random_op("random_uniform", UniformAttrs)


@random_uniform.shape
def _(state: Shaped, a: UniformAttrs) -> Spec:
    _check_state(state)
    spec = _floating("uniform", a)
    most = dtypes.finfo(a.dtype).max
    if not -most <= a.low <= a.high <= most or a.high - a.low > most:
        raise ArgumentError(
            f"uniform: from {a.low} to {a.high} is no range that {a.dtype.name} can hold."
        )
    return spec


@random_uniform.reference
def _(state: Array, a: UniformAttrs) -> Array:
    n = numel(a.shape)
    words = _words(state, n, a.dtype)[:n]
    m = NumpyMath(words.itemsize * 8)
    kind = m.float.type
    unit = unit_uniform(m, words, uniform_digits(a.dtype))
    y = unit * kind(a.high - a.low) + kind(a.low)
    return np.minimum(y, kind(below(a.high, a.low, a.dtype))).reshape(a.shape)


random_normal = _random_op("random_normal", NormalAttrs)


@random_normal.shape
def _(state: Shaped, a: NormalAttrs) -> Spec:
    _check_state(state)
    if not a.std >= 0:
        raise ArgumentError(f"normal: std must not be negative, got {a.std}.")
    return _floating("normal", a)


@random_normal.reference
def _(state: Array, a: NormalAttrs) -> Array:
    n = numel(a.shape)
    words = _words(state, n, a.dtype)
    m = NumpyMath(words.itemsize * 8)
    pairs = np.stack(box_muller(m, words[0::2].copy(), words[1::2].copy()), axis=1)
    y = pairs.reshape(-1)[:n] * m.float.type(a.std) + m.float.type(a.mean)
    return y.reshape(a.shape)


random_exponential = _random_op("random_exponential", ExponentialAttrs)


@random_exponential.shape
def _(state: Shaped, a: ExponentialAttrs) -> Spec:
    _check_state(state)
    if not a.rate > 0:
        raise ArgumentError(f"exponential: lambd must be positive, got {a.rate}.")
    return _floating("exponential", a)


@random_exponential.reference
def _(state: Array, a: ExponentialAttrs) -> Array:
    n = numel(a.shape)
    words = _words(state, n, a.dtype)[:n]
    m = NumpyMath(words.itemsize * 8)
    return (exponential(m, words) * m.float.type(1 / a.rate)).reshape(a.shape)


random_integers = _random_op("random_integers", IntegersAttrs)


@random_integers.shape
def _(state: Shaped, a: IntegersAttrs) -> Spec:
    _check_state(state)
    if not a.low < a.high:
        raise ArgumentError(f"randint: low must be less than high, got {a.low} and {a.high}.")
    limits = _integer_limits(a.dtype)
    if a.low < limits[0] or a.high - 1 > limits[1]:
        raise ArgumentError(f"randint: {a.low} to {a.high - 1} does not fit {a.dtype.name}.")
    return _sized("randint", a)


def _integer_limits(dtype: DType) -> tuple[int, int]:
    if dtype is dtypes.bool_:
        return 0, 1
    info = dtypes.iinfo(dtypes.int64 if dtype.is_floating_point else dtype)
    return info.min, info.max


@random_integers.reference
def _(state: Array, a: IntegersAttrs) -> Array:
    n, span = numel(a.shape), a.high - a.low
    if span <= 1 << 32:
        count = -(-n // 2)
        words = (
            random_words(*take_counters(state, count), count).reshape(-1, 2)[:n].astype(np.uint64)
        )
        # The top 64 bits of a 64-bit word times the span (at most 2^32): the bias is below 2^-32.
        low, high = words[:, 0] * np.uint64(span), words[:, 1] * np.uint64(span)
        picked = (high + (low >> 32)) >> 32
    else:
        picked = _wide_integers(random_words(*take_counters(state, n), n).view(np.uint64), span)
    values = (picked + np.uint64(a.low & (1 << 64) - 1)).view(np.int64)
    return values.astype(a.dtype.numpy).reshape(a.shape)


def _wide_integers(words: Array, span: int) -> Array:
    """For spans beyond 32 bits, a 128-bit word each: the top of word times span."""
    low, high = words[:, 0], words[:, 1]
    if span == 1 << 64:
        return high
    top, bottom = _product(high, span)
    carried, _ = _product(low, span)
    return np.asarray(top + (bottom + carried < bottom))


def _product(x: Array, y: int) -> tuple[Array, Array]:
    """The upper and the lower 64 bits of x * y."""
    x0, x1, y0, y1 = x & 0xFFFFFFFF, x >> 32, np.uint64(y & 0xFFFFFFFF), np.uint64(y >> 32)
    middle = x1 * y0 + (x0 * y0 >> 32)
    upper = x0 * y1 + (middle & 0xFFFFFFFF)
    return x1 * y1 + (middle >> 32) + (upper >> 32), x * np.uint64(y)


random_permutation = _random_op("random_permutation", PermutationAttrs)


@random_permutation.shape
def _(state: Shaped, a: PermutationAttrs) -> Spec:
    _check_state(state)
    if a.dtype is dtypes.bool_:
        raise DTypeError("randperm: truth values cannot count.", fix="dtype=fovea.int64")
    if a.n < 0:
        raise ArgumentError(f"randperm: n must not be negative, got {a.n}.")
    if a.n - 1 > (dtypes.iinfo(a.dtype).max if not a.dtype.is_floating_point else 1 << 53):
        raise ArgumentError(f"randperm: {a.n} numbers do not fit {a.dtype.name}.")
    return Spec((a.n,), a.dtype)


@random_permutation.reference
def _(state: Array, a: PermutationAttrs) -> Array:
    count = -(-a.n // 2)
    keys = random_words(*take_counters(state, count), count).reshape(-1).view(np.uint64)[: a.n]
    return permutation(keys).astype(a.dtype.numpy)


def permutation(keys: Array) -> Array:
    """Sort 64-bit random keys; each number sits in the low bits of its key, so no two are equal."""
    n = len(keys)
    low = np.uint64((1 << max(n - 1, 1).bit_length()) - 1)
    return np.sort(keys & ~low | np.arange(n, dtype=np.uint64)) & low


random_multinomial = _random_op("random_multinomial", MultinomialAttrs, ("state", "weights"))


@random_multinomial.shape
def _(state: Shaped, weights: Shaped, a: MultinomialAttrs) -> Spec:
    _check_state(state)
    shape = tuple(weights.shape)
    if len(shape) not in (1, 2) or not shape[-1]:
        raise ShapeError(
            "multinomial: the weights must be a vector or a matrix of one or more columns.",
            {"input": describe(weights)},
        )
    if not weights.dtype.is_floating_point:
        raise DTypeError(
            f"multinomial: the weights must be floating point, got {weights.dtype.name}."
        )
    if a.count <= 0:
        raise ArgumentError(f"multinomial: num_samples must be positive, got {a.count}.")
    if not a.replacement and a.count > shape[-1]:
        raise ArgumentError(
            f"multinomial: cannot draw {a.count} of {shape[-1]} without replacement.",
            fix="replacement=True",
        )
    return Spec((*shape[:-1], a.count), dtypes.int64)


@random_multinomial.reference
def _(state: Array, weights: Array, a: MultinomialAttrs) -> Array:
    w = np.atleast_2d(weights.astype(np.float64))
    if not np.isfinite(w).all() or (w < 0).any():
        raise ArgumentError("multinomial: a weight is negative, infinite or NaN.")
    possible = (w > 0).sum(axis=1)
    if (possible < (1 if a.replacement else a.count)).any():
        raise ArgumentError("multinomial: a row has fewer weights above zero than numbers to draw.")
    m, rows = NumpyMath(64), len(w)
    n = rows * (a.count if a.replacement else w.shape[1])
    words = _words(state, n, dtypes.float64)[:n].reshape(rows, -1)
    if a.replacement:
        sums = np.cumsum(w, axis=1)
        at = unit_uniform(m, words, 53) * sums[:, -1:]
        found = [np.searchsorted(s, u, side="right") for s, u in zip(sums, at, strict=True)]
        last = (
            w.shape[1] - 1 - np.argmax(w[:, ::-1] > 0, axis=1)
        )  # rounding must not lead past the last weight
        picked = np.minimum(np.stack(found), last[:, None])
    else:
        # Of exponential times with these rates the smallest comes first, and so on
        # (Efraimidis and Spirakis 2006).
        with np.errstate(divide="ignore"):
            times = np.where(w > 0, exponential(m, words) / w, np.inf)
        picked = np.argsort(times, axis=1, kind="stable")[:, : a.count]
    return picked.reshape(*weights.shape[:-1], a.count)


random_poisson = _random_op("random_poisson", PoissonAttrs, ("state", "rates"))
_CHUNK = 400.0  # a rate at which exp(-rate) is far from underflow


@random_poisson.shape
def _(state: Shaped, rates: Shaped, a: PoissonAttrs) -> Spec:
    _check_state(state)
    if not rates.dtype.is_floating_point:
        raise DTypeError(f"poisson: the rates must be floating point, got {describe(rates)}.")
    return Spec(tuple(rates.shape), rates.dtype)


@random_poisson.reference
def _(state: Array, rates: Array, a: PoissonAttrs) -> Array:
    """By inversion: the first count whose cumulative probability exceeds a uniform number. A large
    rate is a sum of smaller ones.
    """
    left = rates.astype(np.float64)
    if not (np.isfinite(left).all() and (left >= 0).all()):
        raise ArgumentError("poisson: a rate is negative, infinite or NaN.")
    total = np.zeros(left.shape)
    for _ in range(int(left.max(initial=0.0) // _CHUNK) + 1):
        rate = np.minimum(left, _CHUNK)
        words = _words(state, rate.size, dtypes.float64)[: rate.size].reshape(rate.shape)
        total += _poisson(rate, unit_uniform(NumpyMath(64), words, 53))
        left = left - rate
    return total


def _poisson(rate: Array, uniform: Array) -> Array:
    count, chance = np.zeros(rate.shape), np.exp(-rate)
    below_it = chance.copy()
    for k in range(1, int(2 * _CHUNK)):  # a count of 800 at rate 400 never comes
        beyond = uniform >= below_it
        if not beyond.any():
            break
        count += beyond
        chance = chance * rate / k
        below_it += chance
    return count
