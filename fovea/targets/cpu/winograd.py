"""Planning of 3 x 3 convolutions in Winograd form: weights once, then images a few at a time.

Each group of images goes through three calls (input transform, 36 products, output transform) whose
intermediate results are meant to stay in the shared cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from fovea.targets.cpu import schedule
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.correlation import Correlation, band_source
from fovea.targets.cpu.elements import Element, f32, f64
from fovea.targets.cpu.epilogue import Epilogue
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.matmul import PackedProduct
from fovea.targets.cpu.options import OPTIONS
from fovea.targets.cpu.program import Draft, KernelCall
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.views import View
from fovea.targets.cpu.winograd_kernel import (
    PATCH,
    POINTS,
    TILE,
    InputVariant,
    input_kernel,
    output_kernel,
    weight_kernel,
)

CHUNK_BYTES = 6 * 1024 * 1024  # of transformed inputs and outputs at a time
LEAST_TILES = 64  # at a time, if there are as many: with few rows, products mostly read weights


def suits(c: Correlation) -> bool:
    """Whether a correlation can be, and is worth being, computed in Winograd form.

    Transforming the weights costs as much as some ten tiles of the direct form, and tiles that
    stick out of small images are wasted.
    """
    lanes = active().lanes(4)
    rows, columns = _tiles(c)
    return (
        OPTIONS.winograd and c.taps == (3, 3) and c.stride == c.step == c.spacing == (1, 1)
        and c.y_offset == 0 and c.groups == 1 and c.x.element is not f64
        and min(c.channels, c.outputs) >= 16 and c.channels % lanes == c.outputs % lanes == 0
        and c.grid[0] * c.grid[1] * 2 >= rows * columns * TILE * TILE
        and c.x.shape[0] * rows * columns >= LEAST_TILES // 2
    )  # fmt: skip


def _tiles(c: Correlation) -> tuple[int, int]:
    return -(-c.grid[0] // TILE), -(-c.grid[1] // TILE)


def _spread(elements: int) -> int:
    """A distance between the 36 matrices (in float32 elements) that puts them on different cache
    sets.
    """
    return ((-(-elements // 16)) | 1) * 16


@dataclass(frozen=True)
class WinogradForm:
    """A correlation in Winograd form: tiles a row and a column, images a chunk."""

    c: Correlation
    rows: int
    columns: int
    chunk: int
    tile: Tile
    compute: Element = f32

    @staticmethod
    def of(c: Correlation) -> WinogradForm:
        """The form of a correlation that `suits`."""
        images, (rows, columns) = c.x.shape[0], _tiles(c)
        image_bytes = POINTS * rows * columns * (c.channels + c.outputs) * 4
        chunk = max(1, CHUNK_BYTES // image_bytes, -(-LEAST_TILES // (rows * columns)))
        chunk = -(-images // -(-images // chunk))
        tile = schedule.tile(active(), f32, chunk * rows * columns, c.outputs)
        return WinogradForm(c, rows, columns, chunk, tile)

    @property
    def per_image(self) -> int:
        return self.rows * self.columns

    @property
    def width(self) -> int:
        return self.tile.columns(active(), f32)

    @property
    def panels(self) -> int:
        return -(-self.c.outputs // self.width)

    @property
    def strides(self) -> tuple[int, int, int]:
        """Of transformed inputs, transformed weights and products, by point."""
        tiles = self.chunk * self.per_image
        return (
            _spread(tiles * self.c.channels),
            _spread(self.panels * self.width * self.c.channels),
            _spread(tiles * self.c.outputs),
        )

    @property
    def packed(self) -> int:
        """How many numbers the transformed weights are."""
        return POINTS * self.strides[1]

    def pack(self, weight: View, buffers: tuple[int, int]) -> KernelCall:
        """The call that transforms the weights."""
        c = self.c
        _, output, channel, row, column = c.weight_strides
        words = (
            c.channels, c.outputs, self.panels, c.weight_offset, output, channel, row, column,
            self.strides[1],
        )  # fmt: skip
        key = f"winograd/weights/{weight.element}/{self.width}"
        address = load_cached(key, partial(weight_kernel, weight.element, self.width))
        return KernelCall(address, buffers, words, packs=True)

    def compute_into(
        self, draft: Draft, operands: Sequence[int], result: int, epilogue: Epilogue
    ) -> None:
        """Add the calls that compute the result from images, transformed weights and what the
        epilogue reads.
        """
        x, weights, *extras = operands
        inputs, _, products = (4 * POINTS * n for n in self.strides)
        v, m = draft.scratch(inputs), draft.scratch(products)
        own = draft.thread_scratch(self._band_bytes)
        images = self.c.x.shape[0]
        for first in range(0, images, self.chunk):
            part = (first, min(self.chunk, images - first))
            draft.add(self._inputs((x, v, own.number), part, own.stride))
            draft.add(self._products((v, weights, m), part[1]))
            draft.add(self._outputs((m, *extras, result), part, epilogue))

    @property
    def _band_bytes(self) -> int:
        return PATCH * (self.columns * TILE + PATCH - TILE) * self.c.channels * 4

    def _inputs(
        self, buffers: tuple[int, int, int], images: tuple[int, int], scratch_stride: int
    ) -> KernelCall:
        """The call that transforms some images."""
        c = self.c
        image, channel, row, column = c.x.strides
        words = (
            *images, *c.x.shape[2:], c.channels, self.rows, self.columns,
            image, row, column, channel, *c.origin, self.strides[0], scratch_stride,
        )  # fmt: skip
        v = InputVariant(c.x.element, band_source(c, f32))
        return KernelCall(load_cached(v.key, partial(input_kernel, v)), buffers, words)

    def _products(self, buffers: tuple[int, int, int], images: int) -> KernelCall:
        """The call that multiplies, for all 36 points."""
        c = self.c
        tiles = images * self.per_image
        product = PackedProduct(self.tile, POINTS, tiles, c.channels, c.outputs, self.strides)
        return product.call(buffers)

    def _outputs(
        self, buffers: tuple[int, ...], images: tuple[int, int], epilogue: Epilogue
    ) -> KernelCall:
        """The call that transforms products into results."""
        c = self.c
        image, _, row, column = c.y.strides
        words = (
            *images, *c.grid, c.outputs, self.rows, self.columns,
            image, row, column, self.strides[2], *epilogue.words,
        )  # fmt: skip
        key = f"winograd/output/{c.y.element}/{epilogue.key}"
        address = load_cached(key, partial(output_kernel, c.y.element, epilogue))
        return KernelCall(address, buffers, words)
