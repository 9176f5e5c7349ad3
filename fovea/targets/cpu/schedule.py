"""Tile sizes and block sizes of the contractions, as data.

Everything here depends on sizes and on the vector unit, never on the number of threads: so do the
bits of the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd

from fovea.targets.cpu.elements import Element
from fovea.targets.cpu.isa import Isa

# What one piece keeps in its second-level cache, beside the panel that it streams.
L2_BYTES = 192 * 1024
PANEL_BYTES = 48 * 1024  # a larger panel of a convolution's weights is gone through in blocks,
WIDE_PANELS = 7  # times as large a one with AVX-512, whose machines have caches of 1 MB and more
RUN_BLOCK_BYTES = 16 * 1024  # of such a panel at a time
TILE_ROWS = 16  # of a tile register
GATHERED_BYTES = 1 << 20  # half the second-level cache of machines that have those
AMX_SPEED = 8  # how many times as fast as multiply-adds of float32 products in those are, at least
PIECES = 16  # enough for a few threads to share out evenly
PIECE_FLOPS = 400_000  # a smaller piece is not worth handing out


def panel_limit(isa: Isa) -> int:
    """Bytes of a panel of a convolution's weights that stays in the second-level cache."""
    return PANEL_BYTES * (WIDE_PANELS if isa.vector_bytes == 64 else 1)


@dataclass(frozen=True)
class Tile:
    """A register tile: `rows` broadcast scalars against `vectors` vectors, one accumulator for each
    pair. `halves`: vectors are half as long as the vector unit's. `amx`: the accumulators are tile
    registers (see `tiles.py`).
    """

    rows: int
    vectors: int
    halves: bool = False
    amx: bool = False

    def lanes(self, isa: Isa, element: Element) -> int:
        return isa.lanes(element.bytes) // (2 if self.halves else 1)

    def columns(self, isa: Isa, element: Element) -> int:
        return self.vectors * self.lanes(isa, element)

    @property
    def name(self) -> str:
        """Tells it from others in a kernel's key."""
        kind = "h" if self.halves else "amx" if self.amx else ""
        return f"{self.rows}x{self.vectors}{kind}"

    @property
    def speed(self) -> int:
        """How many times as much is done in the time that float32 takes."""
        return AMX_SPEED if self.amx else 1


def tile(
    isa: Isa, element: Element, rows: int, columns: int, halves: bool = False, tails: bool = False
) -> Tile:
    """The register tile for a product with that many rows and columns.

    12 accumulators and 2 vectors fill 16 registers, 24 and up to 4 suit 32. Few columns take one
    vector (more rows), a single row or two take more vectors. Where `halves` are taken, very few
    columns get them: units that pass long vectors in two halves then do half the work. `tails`:
    vectors of the last panel that hold no columns are left out.
    """
    lanes = isa.lanes(element.bytes)
    many = isa.registers >= 32
    if halves and lanes == 16 and columns <= 8 and rows > 2:
        return Tile(min(rows, 9), 1, halves=True)
    if columns <= lanes and rows > 2:
        return Tile(min(rows, 8), 1)
    if rows == 1:
        return Tile(1, min(8, _ceil_div(columns, lanes)))
    if rows == 2:
        return Tile(2, min(8 if many else 4, _ceil_div(columns, lanes)))
    if not many or columns <= 2 * lanes:
        return Tile(_fit(rows, 6), 2)
    # Of 4, 3 and 2 vectors those that waste least of the last panel.
    vectors = _ceil_div(columns, lanes)
    if tails:
        wide = 4 if vectors >= 24 else min((4, 3, 2), key=lambda v: (vectors % v > 0, -v))
    else:
        wide = min((4, 3, 2), key=lambda v: (_ceil_div(vectors, v) * v, -v))
    return Tile(_fit(rows, 24 // wide), wide)


def amx_suits(isa: Isa, rows: int, items: int, columns: int) -> bool:
    """Whether a product that contracts so many pairs of bfloat16 or quads of bytes belongs into
    tile registers: it fills two of them with rows, one with columns.
    """
    return isa.has_tiles and rows >= 2 * TILE_ROWS and columns >= 16 and items >= 16


def tile_of_several(isa: Isa, element: Element, rows: int, items: int, columns: int) -> Tile:
    """The register tile for a product that contracts pairs or quads."""
    if amx_suits(isa, rows, items, columns):
        return Tile(2 * TILE_ROWS, 1 if columns <= 16 else 2, amx=True)
    return tile(isa, element, rows, columns)


def gathered_rows(rows: int, row_bytes: int) -> int:
    """How many rows (of those that there are) are gathered for tile registers at a time: whole
    blocks, which stay in a second-level cache.

    >>> gathered_rows(500, 4672), gathered_rows(40, 4672), gathered_rows(500, 40_000)
    (224, 64, 32)
    """
    block = 2 * TILE_ROWS
    most = max(1, GATHERED_BYTES // (row_bytes * block))
    return min(_ceil_div(rows, block), most) * block


def fitted(tile: Tile, sizes: Sequence[tuple[int, int]]) -> Tile:
    """The tile with the number of rows, up to a quarter less, that wastes least where so many
    pieces of so many rows each, (number, rows), are cut into tiles.

    >>> fitted(Tile(8, 3), [(2, 49)]).name, fitted(Tile(6, 4), [(16, 56), (1, 28)]).name
    ('7x3', '4x4')
    >>> fitted(Tile(1, 8), [(1, 1)]).name
    '1x8'
    """

    def work(height: int) -> int:
        tiles = sum(number * _ceil_div(rows, height) for number, rows in sizes)
        return tiles * (4 * height + 1)

    heights = range(tile.rows, max(1, tile.rows * 3 // 4) - 1, -1)
    return replace(tile, rows=min(heights, key=work))


def window_tile(isa: Isa, element: Element, window: int, columns: int) -> Tile | None:
    """The register tile for windows of so many pixels, of which whole ones go into a tile; None for
    windows that are too large.

    16 accumulators keep the units busy and leave registers for what makes one result of several.
    """
    most, lanes = (16 if isa.registers >= 32 else 8), isa.lanes(element.bytes)
    heights = {v: min(most // v, max(8, window)) // window * window for v in (2, 1)}
    fitting = [Tile(rows, v) for v, rows in heights.items() if rows]
    waste = {t: _ceil_div(columns, t.vectors * lanes) * t.vectors for t in fitting}
    return min(fitting, key=waste.__getitem__, default=None)


def group_tile(isa: Isa, rows: int) -> Tile:
    """The register tile for convolutions whose vectors hold whole groups of channels: besides an
    accumulator each row has what it sees in a register.
    """
    return Tile(min(rows, 12 if isa.registers >= 32 else 6), 1)


def planes_tile(isa: Isa, outputs: int, vectors: int) -> Tile:
    """The register tile for planes of so many vectors of pixels: outputs, whose weights are
    broadcast, by vectors of pixels, as many as waste least.
    """
    rows = min(outputs, 8 if isa.registers >= 32 else 4)
    most = min((isa.registers - 1) // (rows + 1), 6)
    width = min(range(most, 1, -1), key=lambda v: (_ceil_div(vectors, v) * (v * rows + 4), -v))
    return Tile(rows, width)


def _fit(rows: int, most: int) -> int:
    """The number of rows up to `most` that wastes least when few rows are cut into tiles of it."""
    if rows >= 48:
        return most
    return min(range(most, min(rows, 3) - 1, -1), key=lambda t: (_ceil_div(rows, t) * (t + 1), -t))


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def stays_in_cache(lines: int, stride: int) -> bool:
    """Whether that many cache lines, `stride` bytes apart, fit half a first-level cache (32 kB, 64
    sets of 8).
    """
    if stride <= 64:
        return lines * stride <= 16384
    sets = 64 // gcd(64, stride // 64) if stride % 64 == 0 else 64
    return lines <= 4 * sets


def spread(elements: int) -> int:
    """A distance between matrices of that many float32 elements that puts the same element of each
    on different cache sets: an odd number of cache lines.

    >>> spread(4096)
    4112
    """
    return (_ceil_div(elements, 16) | 1) * 16


@dataclass(frozen=True)
class Blocks:
    """How a product is cut: `rows` and `panels` of one piece, and whether pieces are worth more
    than one thread.
    """

    rows: int
    panels: int
    worth_sharing: bool


def blocks(
    batches: int,
    rows: int,
    panels: int,
    row_bytes: int,
    row_flops: int,
    tile_rows: int,
    copies: bool,
    turns: bool = False,
) -> Blocks:
    """Cut `batches` products of `rows` rows by `panels` panels into pieces.

    Args:
        row_bytes: what a row of the left operand takes in the cache.
        row_flops: of one row against one panel.
        tile_rows: rows of the register tile.
        copies: whether a piece copies its rows first, so that splitting panels repeats the copies.
        turns: whether it transposes them by that, a vector of rows at a time.
    """
    flops = batches * rows * panels * row_flops
    wanted = max(1, min(2 * PIECES, flops // PIECE_FLOPS))
    fitting = max(1, L2_BYTES // max(row_bytes, 1))
    few = (4 if turns else 1) if copies else 8  # tiles
    block = min(rows, max(fitting, few * tile_rows))
    least = min(block, 4 * tile_rows)
    if copies or panels == 1:
        block = max(least, min(block, _ceil_div(rows * batches, wanted)))
    block = min(rows, _ceil_div(block, tile_rows) * tile_rows)
    pieces = batches * _ceil_div(rows, block)
    groups = min(panels, max(1, _ceil_div(wanted, pieces)))
    smallest = least if turns else tile_rows
    while pieces * groups < wanted and block > smallest:
        block = max(smallest, _ceil_div(_ceil_div(block, 2), tile_rows) * tile_rows)
        pieces = batches * _ceil_div(rows, block)
    return Blocks(block, _ceil_div(panels, groups), wanted > 1)


@dataclass(frozen=True)
class ImageBlocks:
    """How a convolution is cut: images, rows and panels of one piece."""

    images: int
    rows: int
    panels: int
    worth_sharing: bool


def image_blocks(
    images: int,
    rows: int,
    columns: int,
    groups: int,
    panels: int,
    flops: int,
    row_bytes: int,
    halo_bytes: int,
    blocked: bool = False,
) -> ImageBlocks:
    """Cut a convolution with `rows` by `columns` output pixels an image into pieces.

    Args:
        flops: of the whole convolution.
        row_bytes: of input that each output row adds to a piece; `halo_bytes`: that a piece reads
            beyond those.
        blocked: the contracted index is gone through in blocks; so more pixels are better, which
            share the weights' way from memory.
    """
    cache = 2 * L2_BYTES if blocked else L2_BYTES
    wanted = max(1, min(2 * PIECES, flops // PIECE_FLOPS))
    fitting = max(1, (cache - halo_bytes) // max(row_bytes, 1))
    block_rows = rows if fitting >= rows else _ceil_div(rows, _ceil_div(rows, fitting))
    block_images = 1
    if block_rows == rows:
        block_images = max(1, min(images, cache // max(rows * row_bytes + halo_bytes, 1)))
    others = _ceil_div(wanted, groups)

    def pieces() -> int:
        return _ceil_div(images, block_images) * _ceil_div(rows, block_rows)

    while pieces() < others and block_images > 1 and block_images * rows * columns > 96:
        block_images = _ceil_div(block_images, 2)
    while pieces() < others and block_rows > 1 and block_rows * columns > 96:
        block_rows = _ceil_div(block_rows, 2)
    split = min(panels, max(1, _ceil_div(others, pieces())))
    return ImageBlocks(block_images, block_rows, _ceil_div(panels, split), wanted > 1)


@dataclass(frozen=True)
class WeightBlocks:
    """How a weight gradient is cut: images and rows of a band, panels of outputs and blocks of
    input channels of a piece, and chunks of bands (one partial sum each, none of them empty).
    """

    images: int
    rows: int
    panels: int
    blocks: int
    bands: int
    chunks: int
    worth_sharing: bool


BAND_PIXELS = 112  # two packed panels of so many pixels fit a first-level cache
PARTIAL_BYTES = 4 * 1024 * 1024  # of all partial sums together, unless there are two


def weight_blocks(
    images: int,
    size: tuple[int, int],
    groups: int,
    parts: tuple[int, int],
    flops: int,
    pixels: int,
    weight_bytes: int,
    wide_x: bool = False,
) -> WeightBlocks:
    """Cut a weight gradient over `images` of `size` (rows, columns) output pixels into pieces.

    Args:
        parts: panels of output channels in a group, and blocks of input channels. Where chunks of
            pixels are not pieces enough, the operand with more channels (the second, if `wide_x`)
            is split: each of its parts is then packed once, the other operand's repeatedly.
        pixels: of a band, at most; weight_bytes: what a partial sum takes.
    """
    (rows, columns), (panels, blocks) = size, parts
    band_rows = max(1, min(rows, pixels // max(columns, 1)))
    band_rows = _ceil_div(rows, _ceil_div(rows, band_rows)) if rows else 1
    whole = band_rows == rows and rows * columns > 0
    band_images = max(1, min(images, pixels // (rows * columns))) if whole else 1
    wanted = max(1, min(PIECES, flops // PIECE_FLOPS))
    most = max(2, PARTIAL_BYTES // max(weight_bytes, 1))
    chunks = max(1, min(wanted, most, _ceil_div(images, band_images) * _ceil_div(rows, band_rows)))
    if chunks < wanted and band_images > 1 and chunks < most:
        band_images = max(1, images // min(wanted, most))
        chunks = min(wanted, most, _ceil_div(images, band_images))
    bands = _ceil_div(images, band_images) * _ceil_div(rows, band_rows)
    chunks = _ceil_div(bands, _ceil_div(bands, chunks)) if bands else 1
    split = _ceil_div(wanted, chunks * groups)
    if wide_x:
        block_split = min(_ceil_div(blocks, 2), split) or 1
        panel_split = min(panels, _ceil_div(split, block_split))
    else:
        panel_split = min(_ceil_div(panels, 2), split)
        block_split = min(blocks, _ceil_div(split, panel_split))
    return WeightBlocks(
        band_images, band_rows, _ceil_div(panels, panel_split), _ceil_div(blocks, block_split),
        bands, chunks, wanted > 1,
    )  # fmt: skip
