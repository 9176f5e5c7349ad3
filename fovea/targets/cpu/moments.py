"""Means and variances of a convolution's channels, gathered while its results are in a cache.

A kernel that has written a block of pixels reads it again, a few vectors of channels at a time, and
leaves the mean and the sum of squares about it: a part. Sums are taken about the block's first
pixel, which keeps the variance exact however large the mean is. Parts are put together in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.channels import channel_blocks
from fovea.targets.cpu.elements import Element, f64
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value

__all__ = ["WAYS", "Moments", "Parts", "merge_kernel"]

WAYS = 2  # sums that are kept apart, so that additions need not wait for one another
INF = float("inf")


@dataclass(frozen=True)
class Parts:
    """How a batch of images is cut into parts: blocks of images, then blocks of rows.

    Args:
        shape: images, rows and columns of the batch.
        images, rows: of one part; the last ones may be smaller.
    """

    shape: tuple[int, int, int]
    images: int
    rows: int

    @property
    def count(self) -> int:
        return -(-self.shape[0] // self.images) * -(-self.shape[1] // self.rows)

    @property
    def words(self) -> tuple[int, ...]:
        """The merging kernel's sizes that say so."""
        images, rows, columns = self.shape
        return (images, rows, columns, self.images, self.rows,
                -(-images // self.images), -(-rows // self.rows))  # fmt: skip


class Moments:
    """Emits the moments of some vectors of channels over a block of pixels.

    Args:
        k: the kernel.
        kind: what is computed with.
        vectors: how many vectors.
        count: how many of their channels exist, if not all.
        lanes: of a vector; 0: the vector unit's.
    """

    def __init__(
        self, k: Kernel, kind: Element, vectors: int, count: Index | None = None, lanes: int = 0
    ) -> None:
        self.k, self.kind, self.lanes = k, kind, lanes or k.isa.lanes(kind.bytes)
        self.places: list[tuple[int, Index | None]] = []
        for at in range(0, vectors * self.lanes, self.lanes):
            left = None if count is None else k.smaller(k.larger(count - at, 0), self.lanes)
            self.places.append((at, left))
        zero = k.const(0.0, kind, self.lanes)
        self.sums = [[k.var(zero) for _ in self.places] for _ in range(WAYS)]
        self.squares = [[k.var(zero) for _ in self.places] for _ in range(WAYS)]
        self.origins: list[Value] = []

    def start(self, first: Buffer) -> None:
        """Count from this pixel."""
        for value in self._load(first):
            self.origins.append(self.k.select(self.k.abs(value) < INF, value, 0.0))

    def add(self, pixel: Buffer, way: int = 0) -> None:
        """Add a pixel to the sums of that number."""
        sums, squares = self.sums[way], self.squares[way]
        for n, value in enumerate(self._load(pixel)):
            off = value - self.origins[n]
            sums[n].set(sums[n].get() + off)
            squares[n].set(self.k.fma(off, off, squares[n].get()))

    def _load(self, pixel: Buffer) -> list[Value]:
        return [self.k.load(pixel, at, self.lanes, count=left) for at, left in self.places]

    def store(self, pixels: Index, means: Buffer, squares: Buffer) -> None:
        """Store what so many pixels make."""
        k = self.k
        count = k.cast(k.index(pixels), self.kind)
        for n, (at, left) in enumerate(self.places):
            total, square = self.sums[0][n].get(), self.squares[0][n].get()
            for way in range(1, WAYS):
                total = total + self.sums[way][n].get()
                square = square + self.squares[way][n].get()
            off = total / count
            k.store(self.origins[n] + off, means, at, count=left)
            k.store(k.fast_max(0.0, square - total * off), squares, at, count=left)


SIZES = (
    "channels", "grain", "pieces", "images", "rows", "columns", "part_images", "part_rows",
    "image_parts", "row_parts",
)  # fmt: skip


@contextmanager
def _each_part(k: Kernel) -> Iterator[tuple[Value, Value]]:
    """Each part's number, and how many pixels it has."""
    images, rows, columns, part_images, part_rows, image_parts, row_parts = k.sizes[3:]
    with k.loop(0, image_parts, unroll=1) as i, k.loop(0, row_parts, unroll=1) as r:
        high = k.smaller(k.index(images) - i * part_images, part_images)
        wide = k.smaller(k.index(rows) - r * part_rows, part_rows)
        yield i * row_parts + r, k.cast(k.index(high) * wide * columns, f64)


def merge_kernel(kind: Element, statistic: Element) -> Kernel:
    """mean, rstd and var from partials[part][mean, squares][channel]; a piece is a few channels."""
    buffers = [("partials", kind), *((n, statistic) for n in ("mean", "rstd", "var"))]
    k = Kernel("moments_merge", buffers, SIZES, ("eps",))
    partials, *results = k.buffers
    channels, grain, pieces, images, rows, columns = k.sizes[:6]
    total = k.cast(k.index(images) * rows * columns, f64)

    def block(c: Value, vectors: int, lanes: int) -> None:
        zero = k.const(0.0, f64, lanes)
        means = [k.var(zero) for _ in range(vectors)]
        squares = [k.var(zero) for _ in range(vectors)]
        places = [c + n * lanes for n in range(vectors)]

        def load(part: Value, which: int, at: Value) -> Value:
            return k.cast(k.load(partials, (part * 2 + which) * channels + at, lanes), f64)

        with _each_part(k) as (part, count):
            for mean, at in zip(means, places, strict=True):
                mean.set(k.fma(load(part, 0, at), k.broadcast(count, lanes), mean.get()))
        centers = [mean.get() / total for mean in means]
        with _each_part(k) as (part, count):
            for square, center, at in zip(squares, centers, places, strict=True):
                off = load(part, 0, at) - center
                own = k.fma(off * off, k.broadcast(count, lanes), load(part, 1, at))
                square.set(square.get() + own)
        for center, square, at in zip(centers, squares, places, strict=True):
            var = square.get() / total
            rstd = 1.0 / k.sqrt(var + k.scalars[0])
            for value, buffer in zip((center, rstd, var), results, strict=True):
                k.store(k.cast(value, buffer.element.compute), buffer, at)

    with k.parallel(pieces) as piece:
        low = piece * grain
        high = k.smaller(low + grain, channels)
        channel_blocks(k, low, high, k.lanes(f64), 4, block)
    return k
