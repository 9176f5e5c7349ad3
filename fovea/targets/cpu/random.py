"""Random tensors: `fovea.ops.philox`, for vectors of counters at a time.

The numbers are those of the NumPy reference, bit by bit, on every vector unit and for any number
of threads.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from fovea.dtypes import DType, int64
from fovea.ops import random as ops
from fovea.ops.op import Attrs, Op, Spec, contiguous_strides, numel
from fovea.ops.philox import MASK, box_muller, exponential, philox, uniform
from fovea.targets.base import Plan, PlanInto
from fovea.targets.cpu import threads
from fovea.targets.cpu.builder import Kernel, checking
from fovea.targets.cpu.checks import run_checked
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import Element, element, f32, f64, i32, i64, u32, u64
from fovea.targets.cpu.launch import address_of, caller, maker, ranges_of
from fovea.targets.cpu.loops import Ready
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.recipe import Operand, Recipe, call_of, exposed
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.values import Value, ir_type
from fovea.targets.reference import REFERENCE

PIECE = 8192  # elements: some 10 us of work; a multiple of what any vector unit makes at a time
VECTORS = 4  # of counters at a time: enough independent chains to keep the multipliers busy

# Turns vectors of 64-bit words (two 32-bit words each, in the order of memory) into numbers.
Emit = Callable[[Kernel, list[Value], Sequence[Value]], list[Value]]


class KernelMath:
    """`fovea.ops.philox.Math` on the values of a kernel."""

    def __init__(self, k: Kernel, bits: int) -> None:
        self.k, self.bits = k, bits
        self.float, self.int = (f32, i32) if bits == 32 else (f64, i64)

    def number(self, word: Any) -> Any:
        return self.k.cast(word, self.float)

    def sqrt(self, x: Any) -> Any:
        return self.k.sqrt(x)

    def select(self, condition: Any, yes: Any, no: Any) -> Any:
        return self.k.select(condition, yes, no)

    def signed_bits(self, x: Any) -> Any:
        return self.k.bitcast(x, self.int)

    def from_signed_bits(self, bits: Any) -> Any:
        return self.k.bitcast(bits, self.float)

    def signed(self, word: Any) -> Any:
        return self.k.bitcast(word, self.int)


def _interleaved(k: Kernel, a: Value, b: Value) -> list[Value]:
    """a0 b0 a1 b1 ..., as two vectors."""
    order = [lane + side * a.lanes for lane in range(a.lanes) for side in (0, 1)]
    return [k.shuffle(a, b, order[: a.lanes]), k.shuffle(a, b, order[a.lanes :])]


def _halves(k: Kernel, words: Value) -> Value:
    """The 32-bit words in a vector of 64-bit ones."""
    wide = 2 * words.lanes
    return k.assign(u32, wide, f"bitcast {words.typed} to {ir_type(u32, wide)}")


def words_of(k: Kernel, first: Value, key: tuple[Value, Value], vectors: int) -> list[Value]:
    """The random 64-bit words of `vectors` vectors of counters from `first` on, in order."""
    lanes = k.lanes(u64)
    zero = k.const(0, u64, lanes)
    out = []
    for v in range(vectors):
        at = k.vector([lane + v * lanes for lane in range(lanes)], u64) + first
        w0, w1, w2, w3 = philox((at & MASK, at >> 32, zero, zero), key)
        out += _interleaved(k, w0 | (w1 << 32), w2 | (w3 << 32))
    return out


def emit_uniform(digits: int) -> Emit:
    """Numbers in [low, high), from the scalars high - low, low and the number below high."""

    def emit(k: Kernel, words: list[Value], scalars: Sequence[Value]) -> list[Value]:
        scale, low, limit = scalars
        m = KernelMath(k, 64 if digits == 53 else 32)
        parts = words if m.bits == 64 else [_halves(k, w) for w in words]
        numbers = [uniform(m, w, digits) * scale + low for w in parts]
        return [k.fast_min(y, k.broadcast(limit, y.lanes)) for y in numbers]

    return emit


def emit_exponential(bits: int) -> Emit:
    """Exponential numbers, times the first scalar."""

    def emit(k: Kernel, words: list[Value], scalars: Sequence[Value]) -> list[Value]:
        m = KernelMath(k, bits)
        parts = words if bits == 64 else [_halves(k, w) for w in words]
        return [exponential(m, w) * scalars[0] for w in parts]

    return emit


def emit_normal(bits: int) -> Emit:
    """Normal numbers, times the first scalar, plus the second."""

    def emit(k: Kernel, words: list[Value], scalars: Sequence[Value]) -> list[Value]:
        m, out = KernelMath(k, bits), []
        std, mean = scalars[:2]
        for a, b in zip(words[0::2], words[1::2], strict=True):
            if bits == 64:
                lanes = range(a.lanes)
                first = k.shuffle(a, b, [2 * lane for lane in lanes])
                second = k.shuffle(a, b, [2 * lane + 1 for lane in lanes])
            else:
                both = k.shuffle(a, b, range(2 * a.lanes))
                first, second = k.cast(both, u32), k.cast(both >> 32, u32)
            out += [y * std + mean for y in _interleaved(k, *box_muller(m, first, second))]
        return out

    return emit


def emit_integers(kind: Element) -> Emit:
    """Integers below the first size, plus the second."""

    def emit(k: Kernel, words: list[Value], scalars: Sequence[Value]) -> list[Value]:
        span, low = scalars
        picked = [((w >> 32) * span + ((w & MASK) * span >> 32)) >> 32 for w in words]
        return [k.cast(k.cast(p + low, i64), kind.compute) for p in picked]

    return emit


def emit_words(k: Kernel, words: list[Value], scalars: Sequence[Value]) -> list[Value]:
    """The words themselves."""
    return [k.cast(w, i64) for w in words]


def random_kernel(
    name: str, kind: Element, emit: Emit, each: int, scalars: int, integers: bool, held: bool
) -> Kernel:
    """A kernel that fills ``y`` with ``n`` numbers, ``each`` of them from one counter.

    The seed and the first counter are sizes, or (``held``) in a buffer that `take_kernel` filled.
    """
    numbers = tuple(f"s{i}" for i in range(scalars))
    buffers = (("y", kind), *((("start", i64),) if held else ()))
    sizes = ("n", *(() if held else ("seed", "offset")), *(numbers if integers else ()))
    k = Kernel(name, buffers, sizes, () if integers else numbers)
    y, (n, *rest) = k.buffers[0], k.sizes
    if held:
        rest = [*(k.load(k.buffers[1], i) for i in range(2)), *rest]
    seed, offset, *rest = rest
    chosen = rest if integers else k.scalars
    compute = u64 if integers else kind.compute
    given = [k.cast(k.index(s), compute) for s in chosen]
    key_word, start = k.cast(k.index(seed), u64), k.cast(k.index(offset), u64)
    key = (key_word & MASK, key_word >> 32)
    group = VECTORS * k.lanes(u64) * each

    def fill(target: Buffer, at: Value, base: Value) -> None:
        words = words_of(k, start + k.cast(at, u64) // each, key, VECTORS)
        for value in emit(k, words, given):
            k.store(value, target, base)
            base = base + value.lanes

    with k.parallel((k.index(n) + (PIECE - 1)) // PIECE) as piece:
        low = piece * PIECE
        high = k.index(k.smaller(low + PIECE, n))
        full = low + (high - low) // group * group
        with k.loop(low, full, group) as at:
            fill(y, at, at)
        with k.if_(full < high):
            spare = k.scratch(kind, group)
            fill(spare, full, k.index(0))
            with k.loop(full, high) as i:
                k.store(k.load(spare, i - full), y, i)
    return k


def take_kernel() -> Kernel:
    """The seed and the first of ``count`` counters of a state into ``start``; no other thread will
    get them.
    """
    k = Kernel("take", (("state", i64), ("start", i64)), ("count",))
    (state, start), (count,) = k.buffers, k.sizes
    k.store(k.load(state, 0), start, 0)
    k.store(k.atomic_add(k.address(state, 1), k.index(count)), start, 1)
    return k


class _Start(threading.local):
    """Where `take_kernel` leaves what it took, for one Python thread."""

    def __init__(self) -> None:
        self.words = (ctypes.c_int64 * 2)()
        self.address = ctypes.addressof(self.words)


_start = _Start()


class _Filler:
    """Fills memory with ``n`` numbers.

    Args:
        build: makes the kernel, held or not, and ``key`` names it.
        n: how many numbers; ``each`` of them come from one counter.
        tail: the words of the kernel's own numbers.
    """

    def __init__(
        self, key: str, build: Callable[[bool], Kernel], n: int, each: int, tail: bytes
    ) -> None:
        self.address, self.n, self.tail = load_cached(key, lambda: build(False)), n, tail
        self.key, self.build = key, build
        self.parallel = n > PIECE
        count = struct.pack("q", -(-n // each))
        self.taking = Ready(load_cached("random/take", take_kernel), count, False)
        self.take = caller(self.taking, 2)
        self.checked = checking()

    def __call__(self, state: Any, out: Any) -> None:
        start = _start
        if self.checked:
            taken = (start.address, start.address + 16)
            params = struct.pack("2q", address_of(state), start.address) + self.taking.words
            run_checked(self.taking.address, params, [*ranges_of([state]), taken], 1)
        else:
            self.take(address_of(state), start.address)
        if self.n == 0:
            return
        words = struct.pack("4q", address_of(out), self.n, *start.words) + self.tail
        if self.checked:
            run_checked(self.address, words, ranges_of([out]), 0 if self.parallel else 1)
        else:
            threads.run(self.address, words, 0 if self.parallel else 1)

    def recipe(self, spec: Spec) -> Recipe:
        """The calls, for others to run."""
        start = Operand("scratch")
        calls = [call_of(self.taking, (Operand("input"), start))]
        if self.n:
            held = load_cached(f"{self.key}/held", lambda: self.build(True))
            ready = Ready(held, struct.pack("q", self.n) + self.tail, self.parallel)
            calls.append(call_of(ready, (Operand("output"), start)))
        return Recipe(tuple(calls), (spec,), scratch=(16,))


def _filler(op: Op, a: Any) -> _Filler | None:
    """The kernel and its numbers for one of the ops; None where there is no kernel."""
    dtype: DType = a.dtype
    kind, n = element(dtype.name), numel(a.shape)
    bits = 64 if kind is f64 else 32
    each = 2 if bits == 64 else 4
    numbers: tuple[float, ...]
    if op is ops.random_integers:
        if a.high - a.low > 1 << 32:
            return None
        tail = struct.pack("qq", a.high - a.low, a.low)
        emit, each, count = emit_integers(kind), 2, 2
    elif op is ops.random_uniform:
        numbers = (a.high - a.low, a.low, ops.below(a.high, a.low, dtype))
        emit, tail, count = emit_uniform(ops.uniform_digits(dtype)), struct.pack("3d", *numbers), 3
    elif op is ops.random_normal:
        emit, tail, count = emit_normal(bits), struct.pack("2d", a.std, a.mean), 2
    else:
        emit, tail, count = emit_exponential(bits), struct.pack("d", 1 / a.rate), 1
    integers = op is ops.random_integers
    build = partial(random_kernel, op.name, kind, emit, each, count, integers)
    return _Filler(f"random/{op.name}/{kind}", build, n, each, tail)


_KERNELS = (ops.random_uniform, ops.random_normal, ops.random_exponential, ops.random_integers)


@CPU.lower(*_KERNELS)
def _(op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, specs: Sequence[Spec]) -> Plan:
    fill = _filler(op, attrs)
    if fill is None:
        return REFERENCE.plan(op, inputs, attrs, specs)
    make = maker(specs[0])

    def run(tensors: tuple[Any, ...]) -> Any:
        out = make()
        fill(tensors[0], out)
        return out

    return exposed(run, lambda: fill.recipe(specs[0]))


@CPU.lower_into(*_KERNELS)
def _(
    op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, specs: Sequence[Spec], out: Any
) -> PlanInto:
    fill = _filler(op, attrs)
    if (
        fill is None
        or out.strides != contiguous_strides(out.shape)
        or out.dtype is not specs[0].dtype
    ):
        return CPU.through_temporary(CPU.plan(op, inputs, attrs, specs))
    return lambda tensors, target: fill(tensors[0], target)


@CPU.lower(ops.random_permutation)
def _(op: Op, inputs: tuple[Any, ...], attrs: Attrs | None, specs: Sequence[Spec]) -> Plan:
    assert isinstance(attrs, ops.PermutationAttrs)
    n, dtype = attrs.n, attrs.dtype.numpy
    build = partial(random_kernel, "words", i64, emit_words, 2, 0, True)
    fill, make = _Filler("random/words", build, n, 2, b""), maker(specs[0])
    keys_of = maker(Spec((n,), int64))

    def run(tensors: tuple[Any, ...]) -> Any:
        keys, out = keys_of(), make()
        fill(tensors[0], keys)
        out._array()[...] = ops.permutation(keys._array().view(np.uint64)).astype(dtype)
        return out

    return run
