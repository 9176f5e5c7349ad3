"""Kernels of resizing: rows and columns of channels-last images as weighted sums of a few others.

Which ones, and their weights, come in tables, so that one kernel serves every mode and its
gradient. A resize is two passes. Where rows become more, columns come first: a band of source rows
is brought to the new width in scratch, and each new row is mixed from these. Where they become
fewer, each new row is mixed first and its columns then, so rows that nothing reads cost nothing.
Many channels between two rows and two columns are mixed at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.channels import channel_blocks
from fovea.targets.cpu.elements import Element, i64
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value

__all__ = ["ResizeKernel", "resize_kernel"]

VECTORS = 4
Lines = Callable[[Value], Buffer]
Weighted = list[tuple[Buffer, Value]]


@dataclass(frozen=True)
class ResizeKernel:
    """How images are resized.

    Args:
        element: of x and y.
        order: "across" (columns first), "down" (rows first), "both" (at once), or "rows": each new
            row is one of the source's as it is.
        taps: how many rows and columns a new one reads; 0: said at run time.
        channels: how many there are, where they do not fill a vector; else 0.
    """

    element: Element
    order: str
    taps: tuple[int, int]
    channels: int = 0

    @property
    def key(self) -> str:
        return f"resize/{self.element}/{self.order}/{self.taps}/{self.channels}"

    @property
    def through_lines(self) -> bool:
        """Whether lines are kept in scratch between two passes."""
        return self.order in ("across", "down")


def resize_kernel(v: ResizeKernel) -> Kernel:
    """The kernel of `v`: a piece is a band of new rows of an image."""
    return _Resize(v).k


class _Resize:
    """Builds a `ResizeKernel`."""

    def __init__(self, v: ResizeKernel) -> None:
        e = v.element
        buffers = [("x", e), ("y", e), ("places", i64), ("weights", e.compute), ("bands", i64)]
        buffers += [("lines", e.compute)] if v.through_lines else []
        self.v = v
        self.k = k = Kernel(
            f"resize_{v.order}",
            buffers,
            ("pieces", "bands", "band_rows", "out_rows", "out_columns", "columns", "channels",
             "x_image", "x_row", "row_taps", "column_taps", "thread_elements"),
        )  # fmt: skip
        (pieces, bands, band_rows, self.out_rows, self.out_columns, columns, self.channels,
         x_image, self.x_row, self.row_taps, self.column_taps, own) = k.sizes  # fmt: skip
        self.x, self.y, self.places, self.weights, self.bands = k.buffers[:5]
        self.line, self.out_line = columns * self.channels, self.out_columns * self.channels
        with k.parallel(pieces) as piece:
            image, band = piece // bands, piece % bands
            first = band * band_rows
            end = k.index(k.smaller(first + band_rows, self.out_rows))
            x = self.x.at(image * x_image)
            y = self.y.at(image * self.out_rows * self.out_line)
            if v.through_lines:
                self._band(x, y, k.buffers[-1].at(k.tid * own), band, first, end)
            else:
                with k.loop(first, end, unroll=1) as row:
                    self._row(x, y.at(row * self.out_line), row)

    def _band(
        self, x: Buffer, y: Buffer, lines: Buffer, band: Value, first: Value, end: Value
    ) -> None:
        """New rows through lines in scratch."""
        k = self.k
        if self.v.order == "across":
            low = k.load(self.bands, band * 2)
            with k.loop(low, k.load(self.bands, band * 2 + 1), unroll=1) as row:
                self._across(x.at(row * self.x_row), lines.at((row - low) * self.out_line))
            with k.loop(first, end, unroll=1) as row:
                to = y.at(row * self.out_line)
                self._down(lambda i: lines.at((i - low) * self.out_line), row, to, self.out_line)
            return
        with k.loop(first, end, unroll=1) as row:
            self._down(lambda i: x.at(i * self.x_row), row, lines, self.line)
            self._across(lines, y.at(row * self.out_line))

    def _row(self, x: Buffer, to: Buffer, row: Value) -> None:
        """A new row straight from the source."""
        k, at = self.k, row * self.row_taps
        both = self.v.order == "both"
        taps = range(self.v.taps[0] if both else 1)
        lines = [x.at(k.load(self.places, at + t) * self.x_row) for t in taps]
        weights = [k.load(self.weights, at + t) for t in taps]
        self._across(lines[0], to, list(zip(lines, weights, strict=True)) if both else None)

    def _down(self, line: Lines, row: Value, to: Buffer, size: Index) -> None:
        """A new row: the weighted sum of lines."""
        mixed = _Mixed(self, line, row * self.row_taps, self.row_taps, self.v.taps[0])
        mixed.fill(to, size)

    def _across(self, source: Buffer, to: Buffer, lines: Weighted | None = None) -> None:
        """All new pixels of a line; or of the weighted sum of several."""
        k, few = self.k, self.v.channels
        base = k.index(self.out_rows) * self.row_taps
        with k.loop(0, self.out_columns, unroll=1) as column:
            at = base + column * self.column_taps
            mixed = _Mixed(self, source.at, at, self.column_taps, self.v.taps[1])
            if lines is not None:
                mixed.multiply(lines)
            pixel = to.at(column * self.channels)
            if few:
                lanes = 1 << (few - 1).bit_length()
                count = None if lanes == few else few
                k.store(mixed.at(k.index(0), lanes, count), pixel, 0, count)
            else:
                mixed.fill(pixel, self.channels)


class _Mixed:
    """A weighted sum of lines.

    Args:
        resize: whose tables say which, from place `at` on.
        line: leads to a line by its number in the table.
        count: how many lines there are; `taps` says the same at compile time, or 0.
    """

    def __init__(self, resize: _Resize, line: Lines, at: Value, count: Index, taps: int) -> None:
        self.resize, self.line, self.start, self.count = resize, line, at, count
        self.read: Weighted = [self._tap(at + t) for t in range(taps)]

    def _tap(self, at: Value) -> tuple[Buffer, Value]:
        r = self.resize
        return self.line(r.k.load(r.places, at)), r.k.load(r.weights, at)

    def multiply(self, lines: Weighted) -> None:
        """Read the same places of several lines, each with a weight."""
        r, taps = self.resize, range(len(self.read))
        places = [r.k.load(r.places, self.start + t) for t in taps]
        self.read = [
            (line.at(place), weight * of_line)
            for line, of_line in lines
            for place, (_, weight) in zip(places, self.read, strict=True)
        ]

    def at(self, c: Value, lanes: int, count: Index | None = None) -> Value:
        """The sum at elements `c` and following (only the first `count`)."""
        k = self.resize.k
        if self.read:
            (first, weight), *others = self.read
            total = k.load(first, c, lanes, count) * weight
            for line, weight in others:
                total = k.fma(k.load(line, c, lanes, count), weight, total)
            return total
        sums = k.var(k.const(0.0, self.resize.v.element.compute, lanes))
        with k.loop(self.start, self.start + self.count, unroll=1) as at:
            line, weight = self._tap(at)
            sums.set(k.fma(k.load(line, c, lanes, count), weight, sums.get()))
        return sums.get()

    def fill(self, to: Buffer, size: Index) -> None:
        """Write so many elements of the sum."""
        k = self.resize.k

        def block(c: Value, vectors: int, lanes: int) -> None:
            for n in range(vectors):
                k.store(self.at(c + n * lanes, lanes), to, c + n * lanes)

        channel_blocks(k, 0, size, k.lanes(self.resize.v.element), VECTORS, block)
