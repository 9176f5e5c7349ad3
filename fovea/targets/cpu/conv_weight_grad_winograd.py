"""Planning of the gradient to the weights of 3 x 3 convolutions in Winograd form.

Tiles of all images are numbered through and come in groups, each of which takes three calls (both
transforms, then products with the inverse transform); a last call lays out the sum of all groups
and chunks. Groups are meant to stay in the shared cache. Nothing here depends on the number of
threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import lcm

from fovea.targets.cpu import conv_weight_grad_winograd_kernel as kernels
from fovea.targets.cpu import schedule
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.conv import ConvParams
from fovea.targets.cpu.conv_weight_grad_sum import Sums
from fovea.targets.cpu.conv_weight_grad_winograd_kernel import TAPS
from fovea.targets.cpu.elements import Element, f32, f64
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.options import OPTIONS
from fovea.targets.cpu.packing import Order
from fovea.targets.cpu.program import KernelCall, KernelProgram
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.views import View
from fovea.targets.cpu.winograd_matrices import PATCH, POINTS, TILE
from fovea.targets.cpu.winograd_transform import Variant, transform_kernel

GROUP_BYTES = 3 * 1024 * 1024  # of transformed inputs and gradients at a time, but
GROUP_TILES = 96  # at least: the inverse transform of a group is worth some five tiles of products
CHUNK_TILES = 128  # of a partial sum, at least
BLOCK = 64  # outputs and channels of a piece, at most
PIECES = 6  # of a call, at least, if there are as many panels


def suits(gy: View, x: View, gw: View, p: ConvParams) -> bool:
    """Whether the gradient to the weights can be, and is worth being, computed in Winograd form."""
    outputs, channels, *taps = gw.shape
    rows, columns = gy.shape[2:]
    tile_rows, tile_columns = -(-rows // TILE), -(-columns // TILE)
    return (
        OPTIONS.winograd and taps == [TAPS, TAPS] and p.stride == p.dilation == (1, 1)
        and p.groups == 1 and x.element is not f64
        and min(channels, outputs) >= 16 and channels % 8 == outputs % 8 == 0
        and channels % active().lanes(4) == outputs % active().lanes(4) == 0
        and rows * columns * 2 >= tile_rows * tile_columns * TILE * TILE
        and x.shape[0] * tile_rows * tile_columns >= 32
        and gw.strides == View.dense(gw.shape, gw.dtype).strides
    )  # fmt: skip


def plan_winograd_weight_grad(gy: View, x: View, gw: View, p: ConvParams) -> KernelProgram:
    """The program for a gradient that `suits`: inputs gy, x (of any strides), output gw."""
    return _Layout.of(gy, x, gw, p).program()


@dataclass(frozen=True)
class _Side:
    """One of both operands: its images, how they are cut into tiles, and their panels."""

    images: View
    gradient: bool
    origin: tuple[int, int]
    width: int  # of a panel

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def panels(self) -> int:
        return -(-self.channels // self.width)


@dataclass(frozen=True)
class _Layout:
    """How a weight gradient is cut: tiles a row, rows of tiles an image and a group, tiles a
    chunk.
    """

    g: _Side
    x: _Side
    gw: View
    tile: Tile
    tile_rows: int
    tile_columns: int
    group: int
    chunk: int

    @staticmethod
    def of(gy: View, x: View, gw: View, p: ConvParams) -> _Layout:
        channels = gw.shape[1]
        lanes = active().lanes(4)
        tile = schedule.tile(active(), f32, 48, channels)
        width = lcm(tile.rows, lanes, 8)
        g = _Side(gy, True, (0, 0), width)
        x_side = _Side(x, False, (-p.padding[0], -p.padding[2]), tile.columns(active(), f32))
        tile_rows, tile_columns = (-(-n // TILE) for n in gy.shape[2:])
        rows = x.shape[0] * tile_rows
        of_row = POINTS * tile_columns * (g.panels * g.width + x_side.panels * x_side.width) * 4
        group = max(1, min(rows, max(GROUP_BYTES // of_row, -(-GROUP_TILES // tile_columns))))
        group = -(-rows // -(-rows // group))
        chunks = max(1, group * tile_columns // CHUNK_TILES)
        chunk = -(-group * tile_columns // chunks)
        return _Layout(g, x_side, gw, tile, tile_rows, tile_columns, group, chunk)

    @property
    def tiles(self) -> int:
        """Of a group."""
        return self.group * self.tile_columns

    @property
    def chunks(self) -> int:
        return -(-self.tiles // self.chunk)

    def _point(self, side: _Side) -> int:
        """The distance between the matrices of two points."""
        return schedule.spread(side.panels * side.width * self.tiles)

    def _transform(
        self, side: _Side, buffers: tuple[int, int, int], rows: tuple[int, int], own: int
    ) -> KernelCall:
        """The call that transforms some rows of tiles."""
        image, channel, row, column = side.images.strides
        order = Order.of(column, channel, side.images.shape[3], side.channels)
        dense = order is Order.ITEMS and column == side.channels
        v = Variant(side.images.element, "dense" if dense else order.value, side.gradient)
        first, count = rows
        words = (
            first, count, self.tile_rows, self.tile_columns, *side.images.shape[2:], side.channels,
            image, row, column, channel, *side.origin,
            side.panels, side.width, self._point(side), side.width * self.tiles, side.width, own,
        )  # fmt: skip
        return KernelCall(load_cached(v.key, partial(transform_kernel, v)), buffers, words)

    @property
    def blocks(self) -> tuple[int, int]:
        """Panels of gradients and of inputs that a piece multiplies."""
        g, x = (
            min(side.panels, max(1, BLOCK // side.width)) for side in (self.g, self.x)
        )  # fmt: skip
        while self._pieces(g, x) < PIECES and max(g, x) > 1:
            g, x = (g, -(-x // 2)) if x >= g else (-(-g // 2), x)
        return g, x

    def _pieces(self, g_block: int, x_block: int) -> int:
        return self.chunks * -(-self.g.panels // g_block) * -(-self.x.panels // x_block)

    @property
    def own_point(self) -> int:
        """The distance between the products of two points in a thread's scratch memory."""
        g_block, x_block = self.blocks
        return schedule.spread(g_block * self.g.width * x_block * self.x.width)

    @property
    def sums(self) -> Sums:
        """The partial sums, one a chunk."""
        outputs = self.g.channels
        return Sums(self.gw, f32, 1, self.x.width, self.x.panels, outputs, self.chunks)

    def _products(
        self, buffers: tuple[int, ...], rows: tuple[int, int], own: int, weights: Element | None
    ) -> KernelCall:
        """The call that multiplies and transforms back."""
        g_block, x_block = self.blocks
        first, count = rows
        words = (
            self.g.channels, self.x.channels, count * self.tile_columns, self.chunk, self.chunks,
            int(first > 0), self._point(self.g), self.g.width * self.tiles, self.g.panels,
            self._point(self.x), self.x.width * self.tiles, self.x.panels,
            g_block, -(-self.g.panels // g_block), x_block, -(-self.x.panels // x_block),
            self.own_point, -(-self.g.width // x_block), -(-self.x.width // g_block), own,
        )  # fmt: skip
        v = kernels.Variant(self.tile, self.g.width, weights)
        address = load_cached(v.key, partial(kernels.products_kernel, v))
        return KernelCall(address, buffers, words)

    def program(self) -> KernelProgram:
        """The calls of all groups, and the sum."""
        band = PATCH * (self.tile_columns * TILE + PATCH - TILE)
        own = max(band * max(self.x.channels, self.g.channels), POINTS * self.own_point)
        own = -(-max(own * 4, self.sums.thread_bytes) // 64) * 64
        g, x, partial_sums = 3, 4, 5
        rows = self.x.images.shape[0] * self.tile_rows
        direct = self.chunks == 1 and rows <= self.group
        scratch = [POINTS * self._point(side) * 4 for side in (self.g, self.x)]
        if not direct:
            scratch.append(self.chunks * self.sums.size * 4)
        threads = 3 + len(scratch)
        target, weights = (2, self.gw.element) if direct else (partial_sums, None)
        calls = []
        for first in range(0, rows, self.group):
            part = (first, min(self.group, rows - first))
            calls.append(self._transform(self.g, (0, g, threads), part, own))
            calls.append(self._transform(self.x, (1, x, threads), part, own))
            calls.append(self._products((g, x, target, threads), part, own, weights))
        if not direct:
            calls.append(self.sums.call((partial_sums, 2, threads), own))
        return KernelProgram(calls, 3, scratch, own)
