"""Kernels of 8-bit pictures as Pillow holds them: four bytes a pixel, the last of no meaning.

`shrink_kernel` resizes to the bit as Pillow does: along rows and along columns by weights in fixed
point, with a rounding to 8 bits in between. The weights are computed here as well: where crops are
random, each picture has its own. `floats_kernel` gives three floats a pixel.
"""

from __future__ import annotations

from collections.abc import Callable

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import f32, f64, i32, i64, u8
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value

__all__ = ["LANES", "LINE_ALIGN", "floats_kernel", "shrink_kernel"]

PIXEL = 4  # bytes
LINE_ALIGN = 64  # bytes: lines in scratch begin at multiples
TOGETHER = 4  # rows whose columns are mixed at once
LANES = 16  # bytes, or pixels, that go together
BITS = 22  # of a weight's fraction


def shrink_kernel(rows_first: bool) -> Kernel:
    """A picture resized by the triangle filter, stretched where it shrinks, or a part of it alone;
    rows are mixed before columns, or after.
    """
    return _Shrink(rows_first).k


class _Shrink:
    """Builds the kernel.

    What is made are `rows` and `columns` of the new picture, the first of them `top` and `left`.
    `places` holds the first source and the count of sources of each new column, then of each new
    row; `weights` theirs, `most` for each. `curve` is room for a filter's values.
    """

    def __init__(self, rows_first: bool) -> None:
        self.k = k = Kernel(
            "shrink_picture",
            (("x", u8), ("y", u8), ("lines", u8), ("places", i64), ("weights", i32),
             ("curve", f64)),
            ("x_row", "height", "width", "rows", "columns", "line", "most", "top", "left"),
            ("x_scale", "y_scale"),
        )  # fmt: skip
        x, y, lines, self.places, self.weights, self.curve = k.buffers
        x_row, height, width, self.rows, self.columns, line, self.most, top, left = k.sizes
        y_row = k.index(self.columns) * PIXEL
        with k.parallel(1):
            down = self._down_tables()
            self._weigh(self.places, self.weights, width, left, self.columns, k.scalars[0])
            self._weigh(*down, height, top, self.rows, k.scalars[1])
            if rows_first:
                self._down(x, x_row, k.index(0), lines, line, k.index(width) * PIXEL)
                self._across(lines, line, k.index(self.rows), y, y_row)
            else:
                last = (k.index(self.rows) - 1) * 2
                low = k.load(down[0], 0)
                count = k.load(down[0], last) + k.load(down[0], last + 1) - low
                self._across(x.at(low * x_row), x_row, count, lines, line)
                self._down(lines, line, low, y, y_row, y_row)

    def _down_tables(self) -> tuple[Buffer, Buffer]:
        """Places and weights of rows, behind those of columns."""
        columns = self.k.index(self.columns)
        return self.places.at(columns * 2), self.weights.at(columns * self.most)

    def _weigh(
        self,
        places: Buffer,
        weights: Buffer,
        size: Index,
        start: Index,
        count: Index,
        scale: Value,
    ) -> None:
        """Which sources each of so many new lines from a first one on reads, and their weights."""
        k = self.k
        stretch = k.fast_max(scale, 1.0)
        inverse = 1.0 / stretch
        with k.loop(0, count, unroll=1) as i:
            center = (k.cast(i + start, f64) + 0.5) * scale
            low = k.index(k.larger(k.cast(center - stretch + 0.5, i64), 0))
            high = k.index(k.smaller(k.cast(center + stretch + 0.5, i64), size))
            k.store(low, places, i * 2)
            k.store(high - low, places, i * 2 + 1)
            total = k.var(k.const(0.0, f64))
            with k.loop(low, high, unroll=1) as at:
                distance = k.abs((k.cast(at, f64) - center + 0.5) * inverse)
                weight = k.fast_max(1.0 - distance, 0.0)
                k.store(weight, self.curve, at - low)
                total.set(total.get() + weight)
            with k.loop(0, high - low, unroll=1) as t:
                share = k.load(self.curve, t) / total.get()
                k.store(k.cast(share * float(1 << BITS) + 0.5, i32), weights, i * self.most + t)

    def _across(self, source: Buffer, step: Index, count: Value, to: Buffer, line: Index) -> None:
        """So many rows with the new columns."""
        k = self.k
        with k.loop(0, count, TOGETHER, unroll=1) as row:
            # Past the end, the last row is made once more.
            rows = [k.index(k.smaller(row + n, count - 1)) for n in range(TOGETHER)]
            sources, lines = [source.at(r * step) for r in rows], [to.at(r * line) for r in rows]
            with k.loop(0, self.columns, unroll=1) as column:
                first = k.load(self.places, column * 2) * PIXEL
                sums = [k.var(k.const(1 << (BITS - 1), i32, PIXEL)) for _ in rows]
                with k.loop(0, k.load(self.places, column * 2 + 1), unroll=1) as t:
                    weight = k.load(self.weights, column * self.most + t)
                    for total, row_there in zip(sums, sources, strict=True):
                        pixel = k.cast(k.load(row_there, first + t * PIXEL, PIXEL), i32)
                        total.set(total.get() + pixel * weight)
                for total, new in zip(sums, lines, strict=True):
                    k.store(k.cast(total.get() >> BITS, u8), new, column * PIXEL)

    def _down(
        self, source: Buffer, step: Index, low: Value, to: Buffer, line: Index, size: Value
    ) -> None:
        """The new rows of so many bytes, of a source that begins with row `low`."""
        k = self.k
        places, weights = self._down_tables()
        with k.loop(0, self.rows, unroll=1) as row:
            first = source.at((k.load(places, row * 2) - low) * step)
            taps, new = k.load(places, row * 2 + 1), to.at(row * line)

            def mix(
                at: Value,
                lanes: int,
                row: Value = row,
                first: Buffer = first,
                taps: Value = taps,
                new: Buffer = new,
            ) -> None:
                total = k.var(k.const(1 << (BITS - 1), i32, lanes))
                with k.loop(0, taps, unroll=1) as t:
                    weight = k.load(weights, row * self.most + t)
                    values = k.cast(k.load(first, t * step + at, lanes), i32)
                    total.set(total.get() + values * weight)
                k.store(k.cast(total.get() >> BITS, u8), new, at)

            _in_blocks(k, size, LANES, PIXEL, mix)


def _in_blocks(
    k: Kernel, size: Value, lanes: int, few: int, block: Callable[[Value, int], None]
) -> None:
    """`block` on all elements, as many together as fit; the last ones `few` at a time."""
    full = size // lanes * lanes
    with k.loop(0, full, lanes, unroll=1) as at:
        block(at, lanes)
    with k.loop(full, size, few, unroll=1) as at:
        block(at, few)


def floats_kernel(normalized: bool) -> Kernel:
    """Three floats in [0, 1] for each pixel of `x`; normalized: less `shift`, by `width`, which
    hold the three channels' again and again for as many pixels as go together.
    """
    tables = (("shift", f32), ("width", f32)) if normalized else ()
    k = Kernel("picture_to_floats", (("x", u8), ("y", f32), *tables), ("pixels",))
    x, y, *constants = k.buffers
    kept = [4 * n + c for n in range(LANES) for c in range(3)]

    def value(bytes: Value, at: int) -> Value:
        found = k.cast(bytes, f32) / 255.0
        if constants:
            shift, width = (k.load(b, at, bytes.lanes) for b in constants)
            found = (found - shift) / width
        return found

    def block(at: Value, lanes: int) -> None:
        if lanes == 1:
            for c in range(3):
                k.store(value(k.load(x, at * PIXEL + c), c), y, at * 3 + c)
            return
        bytes = k.load(x, at * PIXEL, PIXEL * lanes)
        for first in range(0, 3 * lanes, lanes):
            chosen = k.shuffle(bytes, None, kept[first : first + lanes])
            k.store(value(chosen, first), y, at * 3 + first)

    with k.parallel(1):
        _in_blocks(k, k.index(k.sizes[0]), LANES, 1, block)
    return k
