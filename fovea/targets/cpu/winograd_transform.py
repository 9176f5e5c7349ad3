"""Transforms of tiles of images, as Winograd forms of a convolution need them.

A transform multiplies each tile (a square of pixels) by a matrix from both sides, channel by
channel. What comes out is a matrix for each of 36 points, tiles by channels, ready for products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.conv_kernel import Piece, copy_band
from fovea.targets.cpu.elements import Element, f32, u8
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Value
from fovea.targets.cpu.winograd_kernel import INPUT, OUTPUT, PATCH, TILE, Matrix

GRADIENT: Matrix = tuple(zip(*OUTPUT, strict=True))  # a tile of the output's gradient, to 6 x 6

SIZES = (
    "first", "tile_rows", "columns", "tile_columns", "count", "height", "width", "channels",
    "x_image", "x_row", "x_column", "x_channel", "origin_h", "origin_w",
    "panels", "panel_width", "point_stride", "panel_stride", "tile_stride", "scratch_stride",
)  # fmt: skip


def combine(k: Kernel, matrix: Matrix, values: Sequence[Value]) -> list[Value]:
    """matrix @ values, with few operations.

    What is multiplied by zero or one is left out. Where two neighboring columns agree but for
    signs, the sum and the difference of their values take their places; where two neighboring rows
    agree but for the signs of some entries, both come from one sum of the entries that agree and
    one of those that do not.
    """
    matrix, values = _pair_columns(k, matrix, values)
    results: list[Value] = []
    while len(results) < len(matrix):
        row, *others = matrix[len(results) :]
        pair = _split(row, others[0]) if others else None
        if pair is None:
            results.append(_weighted(k, row, values))
            continue
        same, scale, opposite = pair
        even, odd = _weighted(k, same, values), _weighted(k, opposite, values)
        if scale == 1:
            results += [even + odd, even - odd]
        else:
            results += [k.fma(scale, odd, even), k.fma(-scale, odd, even)]
    return results


def _pair_columns(
    k: Kernel, matrix: Matrix, values: Sequence[Value]
) -> tuple[Matrix, Sequence[Value]]:
    columns, entries, i = list(zip(*matrix, strict=True)), list(values), 0
    while i < len(columns) - 1:
        pair = _split(columns[i], columns[i + 1])
        if pair is not None:
            same, scale, opposite = pair
            columns[i : i + 2] = [tuple(same), tuple(scale * x for x in opposite)]
            entries[i : i + 2] = [values[i] + values[i + 1], values[i] - values[i + 1]]
            i += 1
        i += 1
    return tuple(zip(*columns, strict=True)), entries


def _split(
    a: Sequence[float], b: Sequence[float]
) -> tuple[Sequence[float], float, Sequence[float]] | None:
    """a as same + scale * opposite and b as same - scale * opposite, where both parts are there."""
    if any(abs(x) != abs(y) for x, y in zip(a, b, strict=True)):
        return None
    same = [x if x == y else 0.0 for x, y in zip(a, b, strict=True)]
    opposite = [x if x != y else 0.0 for x, y in zip(a, b, strict=True)]
    if not any(same) or not any(opposite):
        return None
    scale = min(abs(x) for x in opposite if x)
    return same, scale, [x / scale for x in opposite]


def _weighted(k: Kernel, weights: Sequence[float], values: Sequence[Value]) -> Value:
    """The weighted sum, beginning with a weight of one where there is one."""
    terms = [(w, v) for w, v in zip(weights, values, strict=True) if w]
    terms.sort(key=lambda term: term[0] != 1)
    (weight, value), *rest = terms
    total = value if weight == 1 else value * weight
    for weight, value in rest:
        if abs(weight) == 1:
            total = total + value if weight > 0 else total - value
        else:
            total = k.fma(weight, value, total)
    return total


def transform(
    k: Kernel, matrix: Matrix, tile: Sequence[Sequence[Value]], spill: Buffer
) -> list[list[Value]]:
    """matrix @ tile @ matrix.T; what lies between passes through `spill`."""
    rows, columns, lanes = len(matrix), len(tile[0]), tile[0][0].lanes
    for q in range(columns):
        for r, value in enumerate(combine(k, matrix, [line[q] for line in tile])):
            k.store(value, spill, (r * columns + q) * lanes)
    return [
        combine(
            k, matrix, [k.load(spill, (r * columns + q) * lanes, lanes) for q in range(columns)]
        )
        for r in range(rows)
    ]


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
