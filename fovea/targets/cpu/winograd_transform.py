"""Transforms of tiles of images, as Winograd forms of a convolution need them.

A transform multiplies each tile (a square of pixels) by a matrix from both sides, channel by
channel. What comes out is a matrix for each of 36 points, tiles by channels, ready for products.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.conv_kernel import Piece, copy_band
from fovea.targets.cpu.elements import Element, f32, u8
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Value
from fovea.targets.cpu.winograd_matrices import (
    GRADIENT,
    INPUT,
    PATCH,
    TILE,
    Matrix,
    ask_points,
    transform,
)

SIZES = (
    "first", "count", "tile_rows", "tile_columns", "height", "width", "channels",
    "x_image", "x_row", "x_column", "x_channel", "origin_h", "origin_w",
    "panels", "panel_width", "point_stride", "panel_stride", "tile_stride", "scratch_stride",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """What a transform is generated for.

    `source`: how images are read, as in the convolution kernel. `gradient`: tiles of 4 x 4 of the
    output's gradient, instead of the 6 x 6 that a tile of outputs comes from.
    """

    x: Element
    source: str
    gradient: bool = False

    @property
    def matrix(self) -> Matrix:
        return GRADIENT if self.gradient else INPUT

    @property
    def patch(self) -> int:
        """Rows and columns of a tile."""
        return TILE if self.gradient else PATCH

    @property
    def key(self) -> str:
        name = "gradient" if self.gradient else "input"
        return f"winograd/transform/{name}/{self.x}/{self.source}"


def transform_kernel(v: Variant) -> Kernel:
    """target[point][panel][tile][channel], zeros behind the last channel.

    A piece is a row of tiles; rows are numbered through all images, and the call's first one is
    `first`.
    """
    k = Kernel("winograd_transform", (("x", v.x), ("target", f32), ("scratch", u8)), SIZES)
    x, target, scratch = k.buffers
    s = SimpleNamespace(**dict(zip(SIZES, k.sizes, strict=True)))
    lanes, patch = k.isa.lanes(4), v.patch
    spill = k.scratch(f32, PATCH * patch * lanes)
    # The rows that a row of tiles reads are those of one output row at stride 4 with `patch` taps.
    s.stride_h, s.reach_h = TILE, patch - 1
    s.band_columns = s.tile_columns * TILE + patch - TILE
    with k.parallel(s.count) as piece:
        image, row = (s.first + piece) // s.tile_rows, (s.first + piece) % s.tile_rows
        band = scratch.at(k.tid * s.scratch_stride).view(f32)
        copy_band(k, v.source, s, Piece(k.index(0), image, 1, row, 1, k.index(0)), x, band)
        with k.loop(0, s.panels) as panel, k.loop(0, s.tile_columns) as tile:
            source = band.at(tile * (TILE * s.channels))
            number = piece * s.tile_columns + tile
            into = target.at(number * s.tile_stride + panel * s.panel_stride)
            with k.loop(0, s.panel_width, lanes) as c:
                channel, out = panel * s.panel_width + c, into.at(c)
                with k.if_else(channel < s.channels) as (there, beyond):
                    with there:
                        ask_points(k, out, s.point_stride, c, write=True)
                        pixels = _pixels(k, v, s, source.at(channel))
                        _store(k, s, transform(k, v.matrix, pixels, spill), out)
                    with beyond:
                        zero = k.const(0.0, f32, lanes)
                        _store(k, s, [[zero] * PATCH] * PATCH, out)
    return k


def _pixels(k: Kernel, v: Variant, s: SimpleNamespace, source: Buffer) -> list[list[Value]]:
    """The tile that starts at `source` in a band, a vector of channels each."""
    lanes, line = k.isa.lanes(4), s.band_columns * s.channels
    return [
        [k.load(source.at(line * r), s.channels * q, lanes) for q in range(v.patch)]
        for r in range(v.patch)
    ]


def _store(k: Kernel, s: SimpleNamespace, points: list[list[Value]], target: Buffer) -> None:
    for r, line in enumerate(points):
        for q, value in enumerate(line):
            k.store(value, target, s.point_stride * (r * PATCH + q))
