"""Planning of 3 x 3 convolutions in Winograd form.

Rows of tiles are numbered through all images and come in groups, each of which takes three calls
(input transform, 36 products, output transform) whose intermediate results are meant to stay in the
shared cache. Transformed weights are four times as large as the weights: where they would not stay
there, and all tiles are one group, outputs are computed slab by slab, each with its weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from fovea.targets.cpu import schedule
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.correlation import Correlation, band_source
from fovea.targets.cpu.elements import Element, f32, f64
from fovea.targets.cpu.epilogue import Epilogue
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.moments import Parts
from fovea.targets.cpu.options import OPTIONS
from fovea.targets.cpu.program import Draft, KernelCall
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.views import View
from fovea.targets.cpu.winograd_kernel import (
    WeightVariant,
    output_kernel,
    products_kernel,
    weight_kernel,
)
from fovea.targets.cpu.winograd_matrices import PATCH, POINTS, TILE
from fovea.targets.cpu.winograd_transform import Variant, transform_kernel

GROUP_BYTES = 3 * 1024 * 1024  # of transformed inputs and products at a time, but
GROUP_TILES = 96  # at least: with few rows, products mostly read weights
SLAB_BYTES = 5 * 1024 * 1024  # of transformed weights at a time, where all of them are twice that
LEAST_TILES = 32  # transforming the weights costs as much as some ten tiles of the direct form
WEIGHT_BLOCK = 16  # channels of a piece of the weights' transform


def suits(c: Correlation) -> bool:
    """Whether a correlation can be, and is worth being, computed in Winograd form.

    Tiles that stick out of small images are wasted.
    """
    lanes = active().lanes(4)
    rows, columns = _tiles(c)
    return (
        OPTIONS.winograd and c.taps == (3, 3) and c.stride == c.step == c.spacing == (1, 1)
        and c.y_offset == 0 and c.groups == 1 and c.x.element is not f64
        and min(c.channels, c.outputs) >= 16 and c.channels % lanes == c.outputs % lanes == 0
        and c.grid[0] * c.grid[1] * 2 >= rows * columns * TILE * TILE
        and c.x.shape[0] * rows * columns >= LEAST_TILES
    )  # fmt: skip


def _tiles(c: Correlation) -> tuple[int, int]:
    return -(-c.grid[0] // TILE), -(-c.grid[1] // TILE)


@dataclass(frozen=True)
class _Span:
    """A part of the panels of outputs: the first, how many."""

    first: int
    count: int


@dataclass(frozen=True)
class WinogradForm:
    """A correlation in Winograd form.

    Args:
        rows, columns: of tiles in an image.
        group: rows of tiles at a time.
        slab: panels of outputs at a time, where weights are transformed for this call alone.
    """

    c: Correlation
    rows: int
    columns: int
    group: int
    slab: int
    tile: Tile
    compute: Element = f32

    @staticmethod
    def of(c: Correlation) -> WinogradForm:
        """The form of a correlation that `suits`."""
        rows, columns = _tiles(c)
        total = c.x.shape[0] * rows
        row_bytes = POINTS * columns * (c.channels + c.outputs) * 4
        group = max(1, min(total, max(GROUP_BYTES // row_bytes, -(-GROUP_TILES // columns))))
        group = -(-total // -(-total // group))
        tile = schedule.tile(active(), f32, group * columns, c.outputs)
        width = tile.columns(active(), f32)
        panels = -(-c.outputs // width)
        panel_bytes = POINTS * c.channels * width * 4
        slab = panels
        if group == total and panels * panel_bytes >= 2 * SLAB_BYTES:
            slab = max(1, SLAB_BYTES // panel_bytes)
        return WinogradForm(c, rows, columns, group, slab, tile)

    @property
    def width(self) -> int:
        return self.tile.columns(active(), f32)

    @property
    def panels(self) -> int:
        return -(-self.c.outputs // self.width)

    @property
    def in_slabs(self) -> bool:
        """Whether `compute_by_slabs` is the better way to compute with weights used once."""
        return self.slab < self.panels

    @property
    def tiles(self) -> int:
        """Of a group."""
        return self.group * self.columns

    @property
    def packed(self) -> int:
        """How many numbers the transformed weights are."""
        return POINTS * self._weight_point(self.panels)

    @property
    def numbers(self) -> int:
        """How many float32 hold them between ops."""
        return self.packed

    @property
    def packing(self) -> str:
        """Names how they lie."""
        return f"winograd{self.width}"

    @property
    def parts(self) -> Parts:
        """How moments are gathered: a row of tiles at a time."""
        return Parts((self.c.x.shape[0], *self.c.grid), 1, TILE)

    def pack(self, weight: View, buffers: tuple[int, int]) -> KernelCall:
        """The call that transforms the weights."""
        return replace(self._pack(weight, buffers, _Span(0, self.panels)), packs=True)

    def compute_into(
        self, draft: Draft, operands: Sequence[int], results: Sequence[int], epilogue: Epilogue
    ) -> None:
        """Add the calls that compute the results (y, and partial moments if asked for) from images,
        transformed weights and what the epilogue reads.
        """
        x, weights, *extras = operands
        everything = _Span(0, self.panels)
        v, m = self._scratch(draft, everything)
        for first in range(0, self.c.x.shape[0] * self.rows, self.group):
            rows = self._rows(first)
            self._inputs(draft, (x, v), rows)
            draft.add(self._products((v, weights, m), rows, everything))
            draft.add(self._outputs((m, *extras, *results), rows, everything, epilogue))

    def compute_by_slabs(
        self,
        draft: Draft,
        weight: View,
        operands: Sequence[int],
        results: Sequence[int],
        epilogue: Epilogue,
    ) -> None:
        """The same, from weights as they are, some panels of outputs after the other."""
        x, weights, *extras = operands
        v, m = self._scratch(draft, _Span(0, self.slab))
        u = draft.scratch(4 * POINTS * self._weight_point(self.slab))
        rows = self._rows(0)
        self._inputs(draft, (x, v), rows)
        for first in range(0, self.panels, self.slab):
            span = _Span(first, min(self.slab, self.panels - first))
            draft.add(self._pack(weight, (weights, u), span))
            draft.add(self._products((v, u, m), rows, span))
            draft.add(self._outputs((m, *extras, *results), rows, span, epilogue))

    # -- distances and calls -----------------------------------------------------------------------

    def _rows(self, first: int) -> tuple[int, int]:
        return first, min(self.group, self.c.x.shape[0] * self.rows - first)

    def _weight_point(self, panels: int) -> int:
        """Between the transformed weights of two points."""
        return schedule.spread(panels * self.width * self.c.channels)

    def _input_point(self) -> int:
        return schedule.spread(self.tiles * self.c.channels)

    def _product_point(self, span: _Span) -> int:
        return schedule.spread(self.tiles * span.count * self.width)

    def _scratch(self, draft: Draft, span: _Span) -> tuple[int, int]:
        """Buffers of transformed inputs and of products."""
        sizes = self._input_point(), self._product_point(span)
        v, m = (draft.scratch(4 * POINTS * n) for n in sizes)
        return v, m

    def _pack(self, weight: View, buffers: tuple[int, int], span: _Span) -> KernelCall:
        c, first = self.c, span.first * self.width
        _, output, channel, row, column = c.weight_strides
        words = (
            c.channels, min(c.outputs - first, span.count * self.width), span.count,
            c.weight_offset + first * output, output, channel, row, column,
            self._weight_point(span.count), WEIGHT_BLOCK,
        )  # fmt: skip
        step = column if column in (1, -1) and row == 3 * column else 0
        v = WeightVariant(weight.element, step, self.width)
        return KernelCall(load_cached(v.key, partial(weight_kernel, v)), buffers, words)

    def _inputs(self, draft: Draft, buffers: tuple[int, int], rows: tuple[int, int]) -> None:
        """Add the call that transforms some rows of tiles."""
        c = self.c
        own = draft.thread_scratch(PATCH * (self.columns * TILE + PATCH - TILE) * c.channels * 4)
        image, channel, row, column = c.x.strides
        words = (
            *rows, self.rows, self.columns, *c.x.shape[2:], c.channels,
            image, row, column, channel, *c.origin,
            1, c.channels, self._input_point(), 0, c.channels, own.stride,
        )  # fmt: skip
        v = Variant(c.x.element, band_source(c, f32))
        address = load_cached(v.key, partial(transform_kernel, v))
        draft.add(KernelCall(address, (*buffers, own.number), words))

    def _products(
        self, buffers: tuple[int, int, int], rows: tuple[int, int], span: _Span
    ) -> KernelCall:
        """The call that multiplies, for all 36 points."""
        c, tiles = self.c, rows[1] * self.columns
        block = min(tiles, max(8 * self.tile.rows, schedule.L2_BYTES // (c.channels * 4)))
        words = (
            tiles, c.channels, span.count, self._input_point(), self._weight_point(span.count),
            self._product_point(span), block, -(-tiles // block),
            -(-4 * self.tile.rows // span.count),
        )  # fmt: skip
        key = f"winograd/products/{self.tile.rows}x{self.tile.vectors}"
        return KernelCall(load_cached(key, partial(products_kernel, self.tile)), buffers, words)

    def _outputs(
        self, buffers: tuple[int, ...], rows: tuple[int, int], span: _Span, epilogue: Epilogue
    ) -> KernelCall:
        """The call that transforms products into results."""
        c, first = self.c, span.first * self.width
        image, _, row, column = c.y.strides
        words = (
            *rows, *c.grid, first, min(c.outputs - first, span.count * self.width),
            self.rows, self.columns, image, row, column,
            self._product_point(span), span.count * self.width, c.outputs, *epilogue.words,
        )  # fmt: skip
        key = f"winograd/output/{c.y.element}/{epilogue.key}"
        address = load_cached(key, partial(output_kernel, c.y.element, epilogue))
        return KernelCall(address, buffers, words)
