"""Kernels of the Winograd form F(4x4, 3x3) of a convolution: transforms of weights, input and
output.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), section 4.3. A tile of
4 x 4 outputs comes from 6 x 6 inputs: both are transformed, so that the convolution becomes 36
products of matrices (tiles by channels against channels by outputs), a quarter of the direct form's
multiplications. The results differ from the direct form's in the last digits (relative error 3e-6
against 5e-7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.conv_kernel import Piece, copy_band
from fovea.targets.cpu.elements import Element, f32, u8
from fovea.targets.cpu.epilogue import Epilogue, Finish
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value

TILE, PATCH = 4, 6
POINTS = PATCH * PATCH
Matrix = Sequence[Sequence[float]]

INPUT: Matrix = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
WEIGHT: Matrix = tuple(
    tuple(float(Fraction(x)) for x in row.split())
    for row in (
        "1/4 0 0", "-1/6 -1/6 -1/6", "-1/6 1/6 -1/6", "1/24 1/12 1/6", "1/24 -1/12 1/6", "0 0 1"
    )
)  # fmt: skip
OUTPUT: Matrix = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)

WEIGHT_SIZES = (
    "channels", "outputs", "panels", "offset", "w_output", "w_channel", "w_row", "w_column",
    "point_stride",
)  # fmt: skip
INPUT_SIZES = (
    "first_image", "images", "height", "width", "channels", "tile_rows", "tile_columns",
    "x_image", "x_row", "x_column", "x_channel", "origin_h", "origin_w", "point_stride",
    "scratch_stride",
)  # fmt: skip
OUTPUT_SIZES = (
    "first_image", "images", "height", "width", "outputs", "tile_rows", "tile_columns",
    "y_image", "y_row", "y_column", "point_stride",
)  # fmt: skip


def combine(k: Kernel, matrix: Matrix, values: Sequence[Value]) -> list[Value]:
    """matrix @ values, leaving out what is multiplied by zero or one."""
    results = []
    for row in matrix:
        total: Value | None = None
        for weight, value in zip(row, values, strict=True):
            if weight == 0:
                continue
            if total is None:
                total = value if weight == 1 else value * weight
            elif abs(weight) == 1:
                total = total + value if weight > 0 else total - value
            else:
                total = k.fma(weight, value, total)
        assert total is not None
        results.append(total)
    return results


def weight_kernel(kind: Element, width: int) -> Kernel:
    """Transformed weights in panels: target[point][panel][channel][output]."""
    k = Kernel("winograd_weights", (("w", kind), ("target", f32)), WEIGHT_SIZES)
    w, target = k.buffers
    s = SimpleNamespace(**dict(zip(WEIGHT_SIZES, k.sizes, strict=True)))
    lanes = k.isa.lanes(4)
    spill = k.scratch(f32, PATCH * 3 * lanes)
    with k.parallel(s.panels * s.channels) as piece:
        panel, channel = piece // s.channels, piece % s.channels
        into = target.at(piece * width)
        for first in range(0, width, lanes):
            output = panel * width + first
            inside = output < s.outputs
            with k.if_else(inside) as (then, otherwise):
                with then:
                    start = w.at(s.offset + channel * s.w_channel + output * s.w_output)
                    _transform_weights(k, s, start, spill, into.at(first))
                with otherwise:
                    zero = k.const(0.0, f32, lanes)
                    for point in range(POINTS):
                        k.store(zero, into, first + s.point_stride * point)
    return k


def _transform_weights(
    k: Kernel, s: SimpleNamespace, w: Buffer, spill: Buffer, target: Buffer
) -> None:
    lanes = k.isa.lanes(4)
    for column in range(3):
        taps = [
            k.gather(w, [s.w_row * r + s.w_column * column + s.w_output * i for i in range(lanes)])
            for r in range(3)
        ]
        for r, value in enumerate(combine(k, WEIGHT, taps)):
            k.store(value, spill, (r * 3 + column) * lanes)
    for r in range(PATCH):
        line = [k.load(spill, (r * 3 + c) * lanes, lanes) for c in range(3)]
        for c, value in enumerate(combine(k, WEIGHT, line)):
            k.store(value, target, s.point_stride * (r * PATCH + c))


@dataclass(frozen=True)
class InputVariant:
    """What an input transform is generated for; `source` as in the convolution kernel."""

    x: Element
    source: str

    @property
    def key(self) -> str:
        return f"winograd/input/{self.x}/{self.source}"


def input_kernel(v: InputVariant) -> Kernel:
    """Transformed input: target[point][tile][channel]; a piece is a row of tiles of one image."""
    buffers = (("x", v.x), ("target", f32), ("scratch", u8))
    k = Kernel("winograd_input", buffers, INPUT_SIZES)
    x, target, scratch = k.buffers
    s = SimpleNamespace(**dict(zip(INPUT_SIZES, k.sizes, strict=True)))
    lanes = k.isa.lanes(4)
    spill = k.scratch(f32, POINTS * lanes)
    # The rows that a row of tiles reads are those of one output row at stride 4 with 6 taps.
    s.stride_h, s.reach_h, s.band_columns = TILE, PATCH - 1, s.tile_columns * TILE + PATCH - TILE
    with k.parallel(s.images * s.tile_rows) as piece:
        image, tile_row = piece // s.tile_rows, piece % s.tile_rows
        band = scratch.at(k.tid * s.scratch_stride).view(f32)
        where = Piece(k.index(0), s.first_image + image, 1, tile_row, 1, k.index(0))
        copy_band(k, v.source, s, where, x, band)
        with k.loop(0, s.tile_columns) as tile:
            patch = band.at(tile * (TILE * s.channels))
            into = target.at((piece * s.tile_columns + tile) * s.channels)
            with k.loop(0, s.channels, lanes) as c:
                for column in range(PATCH):
                    line = s.band_columns * s.channels
                    values = [
                        k.load(patch.at(line * r), c + s.channels * column, lanes)
                        for r in range(PATCH)
                    ]
                    for r, value in enumerate(combine(k, INPUT, values)):
                        k.store(value, spill, (r * PATCH + column) * lanes)
                for r in range(PATCH):
                    values = [k.load(spill, (r * PATCH + q) * lanes, lanes) for q in range(PATCH)]
                    for q, value in enumerate(combine(k, INPUT, values)):
                        k.store(value, into.at(s.point_stride * (r * PATCH + q)), c)
    return k


def output_kernel(kind: Element, epilogue: Epilogue) -> Kernel:
    """The result from products[point][tile][output], and what the epilogue makes of it; a piece is
    a row of tiles.
    """
    buffers = [("products", f32), *epilogue.buffers, ("y", kind)]
    k = Kernel("winograd_output", buffers, OUTPUT_SIZES, epilogue.scalars)
    products, y = k.buffers[0], k.buffers[-1]
    finish = Finish(k, epilogue, f32)
    s = SimpleNamespace(**dict(zip(OUTPUT_SIZES, k.sizes, strict=True)))
    lanes = k.isa.lanes(4)
    spill = k.scratch(f32, TILE * PATCH * lanes)
    with k.parallel(s.images * s.tile_rows) as piece:
        image, tile_row = piece // s.tile_rows, piece % s.tile_rows
        row_at = (s.first_image + image) * s.y_image + tile_row * TILE * s.y_row
        rows_left = s.height - tile_row * TILE
        with k.loop(0, s.tile_columns) as tile:
            source = products.at((piece * s.tile_columns + tile) * s.outputs)
            at, columns_left = row_at + tile * TILE * s.y_column, s.width - tile * TILE
            here, target = finish.at(0, at), y.at(at)
            with k.loop(0, s.outputs, lanes) as c:
                results = _transform_output(k, s, source, spill, c)
                _store_tile(k, s, results, here, target, c, (rows_left, columns_left))
    return k


def _store_tile(
    k: Kernel, s: SimpleNamespace, results: list[list[Value]], finish: Finish, y: Buffer, c: Value,
    left: tuple[Value, Value],
) -> None:  # fmt: skip
    """Store a vector of channels of a tile, as far as its image has rows and columns left."""
    (rows, columns), lanes = left, k.isa.lanes(4)
    affine = finish.affine(c, lanes)

    def store(value: Value, r: Index, q: Index) -> None:
        place = s.y_row * r + s.y_column * q + c
        k.store(finish.value(value, affine, finish.residual(place, lanes)), y, place)

    aside = k.scratch(f32, TILE * TILE * lanes)

    def put_aside() -> None:
        for i, value in enumerate(v for line in results for v in line):
            k.store(value, aside, i * lanes)

    def store_aside(r: Value, columns: list[Index]) -> None:
        for q in columns:
            store(k.load(aside, (r * TILE + q) * lanes, lanes), r, q)

    with k.if_else((rows >= TILE) & (columns >= TILE)) as (whole, partly):
        with whole:
            if finish.costly:  # less code: written out for one row of the tile
                put_aside()
                with k.loop(0, TILE, unroll=1) as row:
                    store_aside(row, list(range(TILE)))
            else:
                for r, line in enumerate(results):
                    for q, value in enumerate(line):
                        store(value, r, q)
        with partly:
            put_aside()
            high, wide = k.smaller(rows, TILE), k.smaller(columns, TILE)
            with k.loop(0, high, unroll=1) as row, k.loop(0, wide, unroll=1) as column:
                store_aside(row, [column])


def _transform_output(
    k: Kernel, s: SimpleNamespace, source: Buffer, spill: Buffer, c: Index
) -> list[list[Value]]:
    """The 4 x 4 results of a tile, a vector of outputs each."""
    lanes = k.isa.lanes(4)
    for q in range(PATCH):
        column = [
            k.load(source.at(s.point_stride * (r * PATCH + q)), c, lanes) for r in range(PATCH)
        ]
        for r, value in enumerate(combine(k, OUTPUT, column)):
            k.store(value, spill, (r * PATCH + q) * lanes)
    return [
        combine(k, OUTPUT, [k.load(spill, (r * PATCH + q) * lanes, lanes) for q in range(PATCH)])
        for r in range(TILE)
    ]
