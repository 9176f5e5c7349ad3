"""Kernels of softmax and its logarithm along rows: the dimension is the innermost in memory.

The maximum is subtracted first. A NaN need not win it: it comes back with the sum.
"""

from __future__ import annotations

from math import factorial

from fovea.targets.cpu import vmath
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.channels import channel_blocks, reduce_row
from fovea.targets.cpu.elements import Element, f64, i32, i64
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value

__all__ = [
    "ROW_WORDS",
    "Row",
    "exp_below",
    "grad_of",
    "grad_term",
    "rows_grad_kernel",
    "rows_kernel",
]

VECTORS = 2
INF = float("inf")
ROW_WORDS = ("rows", "row_grain", "pieces", "columns")
# e^r = 1 + r + r^2 q(r), |r| <= log(2) / 2: the terms that float64 can tell from nothing.
_EXP_64 = tuple(1.0 / factorial(n) for n in range(2, 14))


def exp_below(k: Kernel, x: Value) -> Value:
    """e^x for x <= 0, in fewer steps than `vmath.exp`: below the normal numbers it is 0."""
    if x.element is f64:
        high, low, whole, bits, bias = vmath.LN2_HIGH_64, vmath.LN2_LOW_64, i64, 52, 1023
        magic, lowest, coefficients = 6755399441055744.0, -708.0, _EXP_64
    else:
        high, low, whole, bits, bias = vmath.LN2_HIGH_32, vmath.LN2_LOW_32, i32, 23, 127
        magic, lowest, coefficients = 12582912.0, -87.0, vmath.EXP_32
    kept = k.fast_max(lowest, x)
    shifted = k.fma(kept, vmath.LOG2_E, k.const(magic, x.element, x.lanes))
    n = shifted - magic  # the addition has rounded
    r = k.fma(n, -low, k.fma(n, -high, kept))
    power = k.fma(r * r, vmath.polynomial(k, r, coefficients), r) + 1.0
    scale = k.bitcast((k.bitcast(shifted, whole) << bits) + (bias << bits), x.element)
    return k.select(x < lowest, 0.0, power * scale)


def _add(a: Value, b: Value) -> Value:
    return a + b


class Row:
    """A row of numbers: its maximum, and the sum of the exponentials of what lies below it.

    Args:
        k: the kernel.
        x: the row.
        size: its length.
    """

    def __init__(self, k: Kernel, x: Buffer, size: Index) -> None:
        self.k, self.x, self.size = k, x, size
        self.kind, self.lanes = x.element.compute, k.lanes(x.element)
        lowest = [k.const(-INF, self.kind)]

        def own(c: Value, lanes: int) -> list[Value]:
            return [k.load(x, c, lanes)]

        (self.highest,) = reduce_row(k, size, self.lanes, VECTORS, lowest, k.fast_max, own)

    def below(self, c: Value, lanes: int) -> Value:
        """x - maximum."""
        return self.k.load(self.x, c, lanes) - self.highest

    def total(self, keep: Buffer | None = None) -> Value:
        """The sum of exp(x - maximum), which are kept in a buffer."""
        k = self.k

        def exponential(c: Value, lanes: int) -> list[Value]:
            e = exp_below(k, self.below(c, lanes))
            if keep is not None:
                k.store(e, keep, c)
            return [e]

        zero = [k.const(0.0, self.kind)]
        (total,) = reduce_row(k, self.size, self.lanes, VECTORS, zero, _add, exponential)
        return total

    def write(self, y: Buffer, scale: Value | float = 1.0) -> Value:
        """y = softmax * scale. Returns what exponentials were multiplied by.

        They are kept in y meanwhile, unless it holds half types and would round them twice.
        """
        k = self.k
        kept = y if y.element.compute is y.element else None
        factor = scale / self.total(kept)

        def block(c: Value, vectors: int, lanes: int) -> None:
            for n in range(vectors):
                at = c + n * lanes
                e = k.load(kept, at, lanes) if kept else exp_below(k, self.below(at, lanes))
                k.store(e * factor, y, at)

        channel_blocks(k, 0, self.size, self.lanes, VECTORS, block)
        return factor

    def write_log(self, y: Buffer) -> None:
        """y = log(softmax)."""
        k = self.k
        logarithm = vmath.log(k, self.total())

        def block(c: Value, vectors: int, lanes: int) -> None:
            for n in range(vectors):
                k.store(self.below(c + n * lanes, lanes) - logarithm, y, c + n * lanes)

        channel_blocks(k, 0, self.size, self.lanes, VECTORS, block)


def rows_kernel(element: Element, log: bool) -> Kernel:
    """Softmax of each row, or its logarithm."""
    k = Kernel("softmax", (("x", element), ("y", element)), (*ROW_WORDS, "x_row"))
    rows, grain, pieces, columns, x_row = k.sizes
    with k.parallel(pieces) as piece:
        low = piece * grain
        with k.loop(low, k.smaller(low + grain, rows), unroll=1) as at:
            x, y = k.buffers[0].at(at * x_row), k.buffers[1].at(at * columns)
            row = Row(k, x, columns)
            if log:
                row.write_log(y)
            else:
                row.write(y)
    return k


def grad_term(gy: Value, y: Value, log: bool) -> Value:
    """What a gradient sums over the dimension."""
    return gy if log else gy * y


def grad_of(k: Kernel, gy: Value, y: Value, total: Value, log: bool) -> Value:
    """The gradient, from that sum: y * (gy - total), or gy - exp(y) * total for the logarithm."""
    return gy - exp_below(k, y) * total if log else y * (gy - total)


def rows_grad_kernel(element: Element, log: bool) -> Kernel:
    """The gradient of softmax, or of its logarithm, along rows."""
    buffers = (("gy", element), ("y", element), ("gx", element))
    k = Kernel("softmax_grad", buffers, ROW_WORDS)
    rows, grain, pieces, columns = k.sizes
    lanes, zero = k.lanes(element), [k.const(0.0, element.compute)]
    with k.parallel(pieces) as piece:
        low = piece * grain
        with k.loop(low, k.smaller(low + grain, rows), unroll=1) as row:
            gy, y, gx = (b.at(row * columns) for b in k.buffers)

            def term(c: Value, width: int, gy: Buffer = gy, y: Buffer = y) -> list[Value]:
                return [grad_term(k.load(gy, c, width), k.load(y, c, width), log)]

            (total,) = reduce_row(k, columns, lanes, VECTORS, zero, _add, term)

            def block(c: Value, vectors: int, width: int) -> None:
                for n in range(vectors):
                    at = c + n * width
                    result = grad_of(k, k.load(gy, at, width), k.load(y, at, width), total, log)
                    k.store(result, gx, at)

            channel_blocks(k, 0, columns, lanes, VECTORS, block)
    return k
