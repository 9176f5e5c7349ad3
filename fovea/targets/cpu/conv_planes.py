"""Planning of convolutions of many groups of a few channels, with vectors of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from fovea.targets.cpu import schedule
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.conv_planes_kernel import Variant, planes_kernel
from fovea.targets.cpu.correlation import Correlation, band_source
from fovea.targets.cpu.elements import Element, f32, f64
from fovea.targets.cpu.epilogue import Epilogue
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.moments import Parts
from fovea.targets.cpu.packing import Order, panel_builder
from fovea.targets.cpu.pair_packing import pairs_suit
from fovea.targets.cpu.program import Draft, KernelCall
from fovea.targets.cpu.schedule import ImageBlocks, Tile
from fovea.targets.cpu.views import View

__all__ = ["PlanesForm", "suits"]

LEAST_PRODUCTS = 8  # of a result: turning images and results takes as long as some of them
LEAST_USEFUL = 0.5  # of the pixels that are computed


def _element(c: Correlation) -> Element:
    return f64 if c.x.element is f64 else f32


def suits(c: Correlation) -> bool:
    """Whether a correlation can be, and is worth being, computed in planes: vectors of channels
    hold several whole groups, and few pixels of a plane lie behind the end of a row.
    """
    lanes = active().lanes(_element(c).bytes)
    few = c.channels == c.outputs and 1 < c.channels < lanes and lanes % c.channels == 0
    if not few or c.groups < 2 or pairs_suit(c) or c.window != (1, 1):
        return False
    products, results = c.channels * c.taps[0] * c.taps[1], c.x.shape[0] * c.grid[0] * c.grid[1]
    return (
        products >= LEAST_PRODUCTS
        and results * c.x.size > 0
        and PlanesForm.of(c).useful >= LEAST_USEFUL
    )


@dataclass(frozen=True)
class PlanesForm:
    """A correlation of many groups of a few channels.

    Args:
        tile: outputs of a group by vectors of pixels.
        blocks: of the work; a panel is a vector of channels.
    """

    c: Correlation
    compute: Element
    tile: Tile
    blocks: ImageBlocks

    @staticmethod
    def of(c: Correlation) -> PlanesForm:
        """The form of a correlation that `suits`."""
        compute = _element(c)
        lanes = active().lanes(compute.bytes)
        columns = (c.grid[1] - 1) * c.stride[1] + c.reach[1] + 1
        line = columns * lanes * compute.bytes
        # A row's share of the band, of planes and of results.
        row_bytes = (2 * c.stride[0] * columns + c.grid[1]) * lanes * compute.bytes
        vectors = -(-c.groups * c.channels // lanes)
        # Half as many pieces as elsewhere: small ones waste more pixels.
        blocks = schedule.image_blocks(
            c.x.shape[0], *c.grid, 2 * vectors, 1, c.flops, row_bytes, 2 * c.reach[0] * line
        )
        pixels = (blocks.rows - 1) * _pitch(c) + c.grid[1]
        return PlanesForm(
            c, compute, schedule.planes_tile(active(), c.outputs, -(-pixels // lanes)), blocks
        )

    @property
    def lanes(self) -> int:
        return active().lanes(self.compute.bytes)

    @property
    def channels(self) -> int:
        """Of all groups."""
        return self.c.groups * self.c.channels

    @property
    def span(self) -> int:
        """How many pixels of a plane of results are computed: whole tiles."""
        pixels = (self.blocks.rows - 1) * _pitch(self.c) + self.c.grid[1]
        width = self.tile.vectors * self.lanes
        return -(-pixels // width) * width

    @property
    def useful(self) -> float:
        """The part of those that are results."""
        return self.blocks.rows * self.c.grid[1] / max(self.span, 1)

    @property
    def packed(self) -> int:
        """How many numbers the packed weights are."""
        return self.channels * self.c.channels * self.c.taps[0] * self.c.taps[1]

    @property
    def numbers(self) -> int:
        """How many float32 hold them between ops."""
        return self.packed

    @property
    def packing(self) -> str:
        """Names how they lie."""
        return f"planes{self.tile.rows}"

    @property
    def parts(self) -> Parts:
        """How moments are gathered: a piece of work at a time."""
        return Parts((self.c.x.shape[0], *self.c.grid), self.blocks.images, self.blocks.rows)

    def pack(self, weight: View, buffers: tuple[int, int]) -> KernelCall:
        """The call that packs the weights: panels as wide as the tile has outputs."""
        c = self.c
        group, output, channel, row, column = c.weight_strides
        order = Order.of(channel, output, c.channels, c.outputs)
        key, build = panel_builder(weight.element, self.compute, self.tile.rows, order)
        words = (
            c.groups, 1, c.groups, 0, 0, group, c.outputs, output,
            c.taps[0], row, c.taps[1], column, c.channels, channel, c.weight_offset,
        )  # fmt: skip
        address = load_cached(key, build)
        return KernelCall(address, buffers, words, self.packed > 16384, packs=True)

    def compute_into(
        self, draft: Draft, operands: Sequence[int], results: Sequence[int], epilogue: Epilogue
    ) -> None:
        """Add the call that computes the results (y, and partial moments if asked for) from images,
        packed weights and what the epilogue reads.
        """
        c, blocks = self.c, self.blocks
        v = Variant(
            c.x.element, c.y.element, self.compute, self.tile, c.channels,
            band_source(c, self.compute), epilogue,
        )  # fmt: skip
        x_image, x_channel, x_row, x_column = c.x.strides
        y_image, _, y_row, y_column = c.y.strides
        distances, parts = self._layout(epilogue.moments)
        own = draft.thread_scratch(parts[-1])
        words = (
            c.x.shape[0], *c.grid, *c.x.shape[2:], self.channels,
            x_image, x_row, x_column, x_channel,
            y_image, y_row * c.spacing[0], y_column * c.spacing[1], c.y_offset,
            *c.stride, *c.origin, *c.taps, *c.step, c.reach[0], self._band_columns,
            blocks.images, -(-c.x.shape[0] // blocks.images),
            blocks.rows, -(-c.grid[0] // blocks.rows), -(-self.channels // self.lanes),
            *distances, *parts[:-1], own.stride, *epilogue.words,
        )  # fmt: skip
        address = load_cached(v.key, partial(planes_kernel, v))
        buffers = (*operands, *results, own.number)
        draft.add(KernelCall(address, buffers, words, blocks.worth_sharing))

    @property
    def _band_columns(self) -> int:
        return (self.c.grid[1] - 1) * self.c.stride[1] + self.c.reach[1] + 1

    def _layout(self, moments: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Distances: of a plane's rows, of its phases, of planes, of planes of results. And the
        bytes of scratch memory before planes, before results, before the table, and in all.
        """
        c, lanes, rows = self.c, self.lanes, self.blocks.rows
        pitch = _pitch(c)
        phase = (rows + c.reach[0] // c.stride[0]) * pitch + lanes
        plane = schedule.spread(c.stride[0] * c.stride[1] * phase)
        result = schedule.spread(self.span + lanes)
        band_rows = (rows - 1) * c.stride[0] + c.reach[0] + 1
        # Vectors are read beyond the last pixel of a band, and of a plane.
        band = (band_rows * self._band_columns + (lanes + 1) * c.stride[1] + 1) * lanes
        ends, end = [], 0
        for numbers in (band, lanes * plane + self.tile.vectors * lanes, lanes * result):
            end += -(-numbers * self.compute.bytes // 64) * 64
            ends.append(end)
        pixels = self.blocks.images * rows * c.grid[1] if moments else 0
        entries = max(c.taps[0] * c.taps[1], pixels)
        return (pitch, phase, plane, result), (*ends, end + 8 * entries)


def _pitch(c: Correlation) -> int:
    """Pixels from a row of a plane to the next."""
    return c.grid[1] + c.reach[1] // c.stride[1]
