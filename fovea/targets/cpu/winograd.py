"""Planning of 3 x 3 convolutions in Winograd form: weights once, then images a few at a time.

Each group of images goes through three calls (input transform, 36 products, output transform) whose
intermediate results are meant to stay in the shared cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from fovea.targets.cpu import schedule
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.contraction import Epilogue
from fovea.targets.cpu.elements import f32, f64
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.matmul import PackedProduct
from fovea.targets.cpu.options import OPTIONS
from fovea.targets.cpu.program import KernelCall, KernelProgram
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

if TYPE_CHECKING:
    from fovea.targets.cpu.conv import Correlation

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
class _Plan:
    """A correlation in Winograd form: tiles a row and a column, images a chunk, distances between
    points.
    """

    c: Correlation
    rows: int
    columns: int
    chunk: int
    tile: Tile

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
    def band_bytes(self) -> int:
        line = (self.columns * TILE + PATCH - TILE) * self.c.channels * 4
        return -(-PATCH * line // 64) * 64

    def weights(self, buffers: tuple[int, int], weight: View) -> KernelCall:
        """The call that transforms the weights."""
        c = self.c
        _, output, channel, row, column = c.weight_strides
        words = (
            c.channels, c.outputs, self.panels, c.weight_offset, output, channel, row, column,
            self.strides[1],
        )  # fmt: skip
        key = f"winograd/weights/{weight.element}/{self.width}"
        address = load_cached(key, partial(weight_kernel, weight.element, self.width))
        return KernelCall(address, buffers, words)

    def inputs(
        self, buffers: tuple[int, int, int], images: tuple[int, int], source: str
    ) -> KernelCall:
        """The call that transforms some images."""
        c = self.c
        image, channel, row, column = c.x.strides
        words = (
            *images, *c.x.shape[2:], c.channels, self.rows, self.columns,
            image, row, column, channel, *c.origin, self.strides[0], self.band_bytes,
        )  # fmt: skip
        v = InputVariant(c.x.element, source)
        return KernelCall(load_cached(v.key, partial(input_kernel, v)), buffers, words)

    def products(self, buffers: tuple[int, int, int], images: int) -> KernelCall:
        """The call that multiplies, for all 36 points."""
        c = self.c
        tiles = images * self.per_image
        product = PackedProduct(self.tile, POINTS, tiles, c.channels, c.outputs, self.strides)
        return product.call(buffers)

    def outputs(
        self, buffers: tuple[int, ...], images: tuple[int, int], epilogue: Epilogue
    ) -> KernelCall:
        """The call that transforms products into results."""
        c = self.c
        image, _, row, column = c.y.strides
        words = (
            *images, *c.grid, c.outputs, self.rows, self.columns,
            image, row, column, self.strides[2],
        )  # fmt: skip
        key = f"winograd/output/{c.y.element}/{epilogue.key}"
        address = load_cached(key, partial(output_kernel, c.y.element, epilogue))
        return KernelCall(address, buffers, words)


def plan_winograd(
    c: Correlation,
    weight: View,
    epilogue: Epilogue,
    numbers: tuple[int, int, int | None, int],
    source: str,
) -> KernelProgram:
    """The program for a correlation that `suits`.

    Args:
        numbers: of the buffers with images, weights, bias and results.
        source: how the images are read, as in the convolution kernel.
    """
    external = 4 if epilogue.bias else 3
    images, (rows, columns) = c.x.shape[0], _tiles(c)
    image_bytes = POINTS * rows * columns * (c.channels + c.outputs) * 4
    chunk = max(1, CHUNK_BYTES // image_bytes, -(-LEAST_TILES // (rows * columns)))
    chunk = -(-images // -(-images // chunk))
    tile = schedule.tile(active(), f32, chunk * rows * columns, c.outputs)
    plan = _Plan(c, rows, columns, chunk, tile)
    v, u, m, own = range(external, external + 4)
    bias = () if numbers[2] is None else (numbers[2],)
    calls = [plan.weights((numbers[1], u), weight)]
    for first in range(0, images, chunk):
        part = (first, min(chunk, images - first))
        calls.append(plan.inputs((numbers[0], v, own), part, source))
        calls.append(plan.products((v, u, m), part[1]))
        calls.append(plan.outputs((m, *bias, numbers[3]), part, epilogue))
    scratch = [4 * POINTS * n for n in plan.strides]
    return KernelProgram(calls, external, scratch, plan.band_bytes)
