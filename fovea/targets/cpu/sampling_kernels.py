"""Kernels that read channels-last images at places between their pixels.

A piece is a run of pixels of the result. Their places are turned into the pixels to read and their
shares a vector of places at a time, into a small table; then each pixel's channels are mixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fovea.ops.sampling import FARTHEST
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.channels import channel_blocks
from fovea.targets.cpu.elements import Element, i32, i64
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value

__all__ = ["TOGETHER", "Sample", "SampleKernel", "Table", "Tap", "sample_kernel"]

VECTORS = 4
TOGETHER = 4  # vectors of places whose arithmetic overlaps


@dataclass(frozen=True)
class SampleKernel:
    """How places are read.

    Args:
        element: of x and y.
        places: of the places.
        mode, outside, grid: see `fovea.ops.sampling`.
        channels: how many there are, where they do not fill a vector; else 0.
    """

    element: Element
    places: Element
    mode: str
    outside: str
    grid: str
    channels: int = 0

    @property
    def key(self) -> str:
        how = f"{self.mode}/{self.outside}/{self.grid}/{self.channels}"
        return f"sample/{self.element}/{self.places}/{how}"


def sample_kernel(v: SampleKernel) -> Kernel:
    """The kernel of `v`."""
    return Sample(v).k


class Tap(NamedTuple):
    """A pixel read along one dimension."""

    place: Value
    share: Value | None
    inside: Value | None


class Table:
    """What is known of some places: for each tap where it lies, its share, and whether it lies
    within the image.
    """

    def __init__(self, k: Kernel, taps: int, lanes: int, share: Element) -> None:
        self.lanes, self.size = lanes, lanes * TOGETHER
        self.offsets = [k.scratch(i32, self.size) for _ in range(taps)]
        self.shares = [k.scratch(share, self.size) for _ in range(taps)]
        self.inside = k.scratch(i32, self.size)  # a bit for each tap


class Sample:
    """Builds a `SampleKernel`."""

    def __init__(self, v: SampleKernel) -> None:
        self.v = v
        self.k = k = Kernel(
            f"sample_{v.mode}",
            [("x", v.element), ("places", v.places), ("y", v.element), ("fill", v.element.compute)],
            ("pieces", "splits", "grain", "pixels", "channels", "height", "width", "x_image",
             "x_row", "x_column"),
        )  # fmt: skip
        (pieces, splits, grain, self.pixels, self.channels, self.height, self.width, self.x_image,
         self.x_row, self.x_column) = k.sizes  # fmt: skip
        self.x, self.places, self.y, fill = k.buffers
        taps = 1 if v.mode == "nearest" else 4
        self.table = Table(k, taps, k.lanes(v.places), v.element.compute)
        with k.parallel(pieces) as piece:
            self.fill = k.load(fill) if v.outside == "constant" else None
            first = piece % splits * grain
            end = k.index(k.smaller(first + grain, self.pixels))
            self._run(piece // splits, first, end)

    def _run(self, image: Value, first: Value, end: Value) -> None:
        k, size = self.k, self.table.size
        source = self.x.at(image * self.x_image)
        base = image * self.pixels
        with k.loop(first, end, size, unroll=1) as start:
            count = k.index(k.smaller(end - start, size))
            for number in range(TOGETHER):
                self._fill_table(self.places.at((base + start) * 2), count, number)
            to = self.y.at((base + start) * self.channels)
            with k.loop(0, count, unroll=1) as i:
                self._pixel(source, to.at(i * self.channels), i)

    # -- places ---------------------------------------------------------------------------------

    def _fill_table(self, places: Buffer, count: Value, vector: int) -> None:
        """Vector number `vector` of the table, of which `count` places are there."""
        k, lanes = self.k, self.table.lanes
        first = vector * lanes
        low, high = (
            k.load(places, start, lanes, k.smaller(k.larger(count * 2 - start, 0), lanes))
            for start in (2 * first, 2 * first + lanes)
        )
        x, y = (k.shuffle(low, high, [2 * i + odd for i in range(lanes)]) for odd in (0, 1))
        row_stride, column_stride = (
            k.broadcast(k.cast(k.index(s), i32), lanes) for s in (self.x_row, self.x_column)
        )
        rows, columns = self._taps(y, self.height), self._taps(x, self.width)
        self._note(rows, columns, first)
        taps = [(row, column) for row in rows for column in columns]
        bits: Value | None = None
        for number, (row, column) in enumerate(taps):
            at = row.place * row_stride + column.place * column_stride
            k.store(at, self.table.offsets[number], first)
            if row.share is not None and column.share is not None:
                share = k.cast(row.share * column.share, self.v.element.compute)
                k.store(share, self.table.shares[number], first)
            if row.inside is not None and column.inside is not None:
                bit = k.cast(row.inside & column.inside, i32) << number
                bits = bit if bits is None else bits | bit
        if bits is not None:
            k.store(bits, self.table.inside, first)

    def _note(self, rows: list[Tap], columns: list[Tap], first: Index) -> None:
        """What else is kept of a vector of places."""

    def _taps(self, place: Value, size: Index) -> list[Tap]:
        """The pixels read along a dimension of this size."""
        k, e = self.k, self.v.places
        n = k.broadcast(k.cast(k.index(size), e), place.lanes)
        if self.v.grid == "corners":
            place = (place + 1.0) * ((n - 1.0) * 0.5)
        elif self.v.grid == "edges":
            place = ((place + 1.0) * n - 1.0) * 0.5
        place = k.fast_min(k.fast_max(place, -FARTHEST), FARTHEST)  # NaN is far outside
        if self.v.mode == "nearest":
            return [self._tap(k.round_even(place), n, None)]
        low = k.floor(place)
        part = place - low
        return [self._tap(low, n, 1.0 - part), self._tap(low + 1.0, n, part)]

    def _tap(self, at: Value, n: Value, share: Value | None) -> Tap:
        k = self.k
        inside = (at >= 0.0) & (at < n) if self.v.outside == "constant" else None
        place = k.fast_min(k.fast_max(self._mapped(at, n), 0.0), n - 1.0)
        return Tap(self._whole(place), share, inside)

    def _whole(self, place: Value) -> Value:
        """Whole numbers from 0 to `FARTHEST` as i32: where 1 is the last bit, they are the bits."""
        k = self.k
        one, bits = (float(1 << 23), i32) if place.element.bytes == 4 else (float(1 << 52), i64)
        base = k.bitcast(k.const(one, place.element), bits)
        return k.cast(k.bitcast(place + one, bits) - k.broadcast(base, place.lanes), i32)

    def _mapped(self, at: Value, n: Value) -> Value:
        """Pixels outside as those of the image that stand for them."""
        k, how = self.k, self.v.outside

        def rest(value: Value, period: Value) -> Value:
            return value - k.floor(value / period) * period

        if how == "wrap":
            return rest(at, n)
        if how == "mirror":
            last = n - 1.0
            return k.abs(rest(at + last, k.fast_max(last * 2.0, 1.0)) - last)
        if how == "reflect":
            turn = rest(at, n * 2.0)
            return k.fast_min(turn, n * 2.0 - 1.0 - turn)
        return at

    # -- pixels ---------------------------------------------------------------------------------

    def _pixel(self, source: Buffer, to: Buffer, i: Value) -> None:
        """All channels of one pixel of the result."""
        k, table = self.k, self.table
        pixels = [source.at(k.cast(k.load(offsets, i), i64)) for offsets in table.offsets]
        shares = [k.load(s, i) for s in table.shares] if self.v.mode == "bilinear" else []
        if self.fill is None:
            self._mix(pixels, shares, to, None)
            return
        bits = k.load(table.inside, i)
        inside = [(bits & (1 << number)).ne(0) for number in range(len(pixels))]
        if len(pixels) == 1:
            self._mix(pixels, shares, to, inside)
            return
        with k.if_else(bits.eq((1 << len(pixels)) - 1)) as (whole, partly):
            with whole:
                self._mix(pixels, shares, to, None)
            with partly:
                self._mix(pixels, shares, to, inside)

    def _mix(
        self, pixels: list[Buffer], shares: list[Value], to: Buffer, inside: list[Value] | None
    ) -> None:
        """The sum of pixels by their shares; those that are not `inside` are `fill`."""
        k, few = self.k, self.v.channels

        def value(number: int, c: Index, lanes: int, count: Index | None) -> Value:
            found = k.load(pixels[number], c, lanes, count)
            if inside is None or self.fill is None:
                return found
            mask = k.broadcast(inside[number], lanes)
            return k.select(mask, found, k.broadcast(self.fill, lanes))

        def mixed(c: Index, lanes: int, count: Index | None = None) -> Value:
            total = value(0, c, lanes, count)
            if not shares:
                return total
            total = total * shares[0]
            for number in range(1, len(pixels)):
                total = k.fma(value(number, c, lanes, count), shares[number], total)
            return total

        def block(c: Value, vectors: int, lanes: int) -> None:
            for n in range(vectors):
                k.store(mixed(c + n * lanes, lanes), to, c + n * lanes)

        if few:
            lanes = 1 << (few - 1).bit_length()
            count = None if lanes == few else few
            k.store(mixed(0, lanes, count), to, 0, count)
        else:
            channel_blocks(k, 0, self.channels, k.lanes(self.v.element), VECTORS, block)
