"""Kernels of pooling: loop nests over windows of channels-last images.

Where the windows lie comes in a table of spans (first row or column, one past the last), so that
one kernel serves every kernel size, stride, padding and adaptive bins. Only small windows without
dilation are written out, for speed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.channels import channel_blocks
from fovea.targets.cpu.elements import Element, f64, i32, i64
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value

__all__ = ["Plane", "Span", "WindowKernel", "each_tap", "span", "where_full", "window_kernel"]

Pair = tuple[int, int]
Tap = Callable[[Index, Index, Sequence[Buffer]], None]
VECTORS = 4


@dataclass(frozen=True)
class WindowKernel:
    """What is made of each window.

    Args:
        kind: "max"; "argmax", which also says where it is; "average", the sum over a divisor;
            "spread", the sum of elements each over its own divisor (the gradient of an average:
            a window is what holds one pixel).
        element: of x and y.
        taps: the size of the windows that are written out.
        index: the element that "argmax" counts in.
        narrow: whether there are fewer channels than a vector has lanes.
    """

    kind: str
    element: Element
    taps: Pair | None = None
    index: Element = i32
    narrow: bool = False

    @property
    def key(self) -> str:
        narrow = "narrow" if self.narrow else "wide"
        return f"pool/{self.kind}/{self.element}/{self.taps}/{self.index}/{narrow}"

    def written_out(self, lanes: int, full_lanes: int) -> Pair | None:
        """`taps` where channels in blocks of so many lanes are worth it."""
        return self.taps if lanes == full_lanes or self.narrow else None

    @property
    def divides(self) -> bool:
        return self.kind in ("average", "spread")


# -- windows ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """A window along one dimension."""

    first: Value
    end: Value

    def is_full(self, size: int) -> Value:
        return (self.end - self.first).eq(size)


def span(k: Kernel, table: Buffer, number: Index, words: int = 2) -> Span:
    """The span of that number, in a table of `words` words a span."""
    at = k.index(number) * words
    return Span(k.load(table, at), k.load(table, at + 1))


class Plane:
    """An image as a window sees it: `pixel` leads to the channels of one of its elements."""

    def __init__(self, k: Kernel, image: Buffer, row: Index, column: Index) -> None:
        self.k, self.image, self.row_stride, self.column_stride = k, image, row, column
        self.lines: list[Buffer] = []

    def over(self, down: Span, across: Span, taps: Pair | None) -> Plane:
        """Prepare for a window, outside the loop over channels that runs in it."""
        if taps is not None:
            left = across.first * self.column_stride
            corner = self.line(down.first).at(left)
            self.lines = [corner.at(self.k.index(i) * self.row_stride) for i in range(taps[0])]
        return self

    def line(self, i: Index) -> Buffer:
        """Row `i` of the image, or row number `i` of a window that is written out."""
        if isinstance(i, int):
            return self.lines[i]
        return self.image.at(i * self.row_stride)

    def column(self, j: Index) -> Value:
        """Where column `j` is in a line."""
        return self.k.index(j) * self.column_stride


def each_tap(
    k: Kernel,
    down: Span,
    across: Span,
    taps: Pair | None,
    planes: Sequence[Plane],
    body: Tap,
    end_row: Callable[[], None] = lambda: None,
    step: tuple[Index, Index] = (1, 1),
) -> None:
    """`body(i, j, pixels)` for each element of a window, with the planes' pixels there.

    Where the window is written out (`taps`), i and j count within it, otherwise in the image.
    """
    if taps is not None:
        for i in range(taps[0]):
            for j in range(taps[1]):
                body(i, j, [p.line(i).at(p.column(j)) for p in planes])
            end_row()
        return
    with k.loop(down.first, down.end, step[0], unroll=1) as row:
        lines = [p.line(row) for p in planes]
        with k.loop(across.first, across.end, step[1], unroll=1) as column:
            each = zip(lines, planes, strict=True)
            body(row, column, [line.at(p.column(column)) for line, p in each])
        end_row()


def where_full(
    k: Kernel, taps: Pair | None, full: Value | None, emit: Callable[[Pair | None], None]
) -> None:
    """`emit(taps)` for windows of that size, which `full` tells, `emit(None)` for the others."""
    if taps is None or full is None:
        emit(None)
        return
    with k.if_else(full) as (then, otherwise):
        with then:
            emit(taps)
        with otherwise:
            emit(None)


# -- what a window comes to -------------------------------------------------------------------


class State(Protocol):
    """What a window has come to so far."""

    def add(self, x: Value, i: Index, j: Index) -> None: ...
    def end_row(self) -> None: ...
    def result(self) -> Value: ...


class Maximum:
    """The maximum; NaN beats all."""

    def __init__(self, k: Kernel, first: Value) -> None:
        self.k, self.best = k, k.var(first)

    def add(self, x: Value, i: Index, j: Index) -> None:
        self.best.set(self.k.maximum(x, self.best.get()))

    def end_row(self) -> None:
        pass

    def result(self) -> Value:
        return self.best.get()


class Place(Maximum):
    """The maximum, and which element of the plane is the first to have it."""

    def __init__(self, k: Kernel, first: Value, at: Value, width: Index, index: Element) -> None:
        super().__init__(k, first)
        self.index, self.width = index, k.index(width)
        self.place = k.var(k.broadcast(k.cast(at, index), first.lanes))

    def add(self, x: Value, i: Index, j: Index) -> None:
        k, best = self.k, self.best.get()
        wins = x > best
        if x.element.is_float:
            wins = wins | (x.ne(x) & best.eq(best))
        at = k.cast(k.index(i * self.width + j), self.index)
        self.best.set(k.select(wins, x, best))
        self.place.set(k.select(wins, k.broadcast(at, x.lanes), self.place.get()))


class Sum:
    """The sum, row by row (rounding errors grow with height + width), over a divisor."""

    def __init__(self, k: Kernel, element: Element, lanes: int, divisor: Value | None) -> None:
        zero = k.const(0.0, element, lanes)
        self.total, self.row, self.divisor = k.var(zero), k.var(zero), divisor

    def add(self, x: Value, i: Index, j: Index) -> None:
        self.row.set(self.row.get() + x)

    def end_row(self) -> None:
        self.total.set(self.total.get() + self.row.get())
        self.row.set(0.0)

    def result(self) -> Value:
        total = self.total.get()
        return total if self.divisor is None else total / self.divisor


# -- the loop nest ----------------------------------------------------------------------------


def window_kernel(v: WindowKernel) -> Kernel:
    """The kernel of `v`: a piece is a few rows of windows of some of the channels."""
    return _Windows(v).k


class _Windows:
    """Builds a `WindowKernel`."""

    def __init__(self, v: WindowKernel) -> None:
        buffers = [("x", v.element), ("y", v.element), ("spans", i64)]
        buffers += [("places", i64)] if v.kind == "argmax" else []
        buffers += [("divisors", f64)] if v.divides else []
        self.v = v
        self.k = k = Kernel(
            f"pool_{v.kind}",
            buffers,
            ("rows", "row_grain", "channels", "channel_grain", "splits", "pieces", "out_rows",
             "out_columns", "x_image", "x_row", "x_column", "step_i", "step_j", "width",
             "divisor_columns"),
        )  # fmt: skip
        (self.rows, self.row_grain, self.channels, self.channel_grain, self.splits, pieces,
         self.out_rows, self.out_columns, self.x_image, self.x_row, self.x_column, *step,
         self.width, self.divisor_columns) = k.sizes  # fmt: skip
        self.step = (step[0], step[1])
        self.x, self.y, self.spans = k.buffers[:3]
        self.extra = k.buffers[-1]
        with k.parallel(pieces) as piece:
            self._piece(piece)

    def _piece(self, piece: Value) -> None:
        k = self.k
        low = piece % self.splits * self.channel_grain
        self.some = low, k.smaller(low + self.channel_grain, self.channels)
        first = piece // self.splits * self.row_grain
        with k.loop(first, k.smaller(first + self.row_grain, self.rows), unroll=1) as row:
            image, out_row = row // self.out_rows, row % self.out_rows
            down, x = span(k, self.spans, out_row), self.x.at(image * self.x_image)
            with k.loop(0, self.out_columns, unroll=1) as column:
                across = span(k, self.spans, k.index(self.out_rows) + column)
                to = (row * self.out_columns + column) * self.channels
                divisor = self._divisor(out_row, column) if self.v.kind == "average" else None
                self._window(x, down, across, to, divisor)

    def _divisor(self, i: Index, j: Index) -> Value:
        k = self.k
        row, column = k.load(self.extra, i), k.load(self.extra, k.index(self.divisor_columns) + j)
        return k.cast(row * column, self.v.element.compute)

    def _window(
        self, x: Buffer, down: Span, across: Span, to: Value, divisor: Value | None
    ) -> None:
        """One window, all channels of the piece."""
        k, v = self.k, self.v

        full = down.is_full(v.taps[0]) & across.is_full(v.taps[1]) if v.taps else None
        plane = Plane(k, x, self.x_row, self.x_column).over(down, across, v.taps)
        first = x.at(down.first * self.x_row + across.first * self.x_column)

        def block(c: Value, vectors: int, lanes: int) -> None:
            at = [c + n * lanes for n in range(vectors)]

            def emit(taps: Pair | None) -> None:
                states = [self._start(first, down, across, a, lanes, divisor) for a in at]

                def tap(i: Index, j: Index, pixels: Sequence[Buffer]) -> None:
                    share = self._divisor(i, j) if v.kind == "spread" else None
                    for a, state in zip(at, states, strict=True):
                        value = k.load(pixels[0], a, lanes)
                        state.add(value if share is None else value * share, i, j)

                def end_row() -> None:
                    for state in states:
                        state.end_row()

                each_tap(k, down, across, taps, [plane], tap, end_row, self.step)
                for a, state in zip(at, states, strict=True):
                    k.store(state.result(), self.y, to + a)
                    if isinstance(state, Place):
                        k.store(k.cast(state.place.get(), i64), self.extra, to + a)

            where_full(k, v.written_out(lanes, k.lanes(v.element)), full, emit)

        vectors = 1 if v.kind == "argmax" or v.narrow else VECTORS
        channel_blocks(k, *self.some, k.lanes(v.element), vectors, block)

    def _start(
        self, pixel: Buffer, down: Span, across: Span, c: Value, lanes: int, divisor: Value | None
    ) -> State:
        k, v = self.k, self.v
        if v.divides:
            return Sum(k, v.element.compute, lanes, divisor)
        first = k.load(pixel, c, lanes)
        if v.kind == "max":
            return Maximum(k, first)
        return Place(k, first, down.first * self.width + across.first, self.width, v.index)
