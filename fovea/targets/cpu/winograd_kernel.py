"""Kernels of the Winograd form of a convolution: transforms of weights and of results, products.

Images are transformed by winograd_transform.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.channels import channel_blocks
from fovea.targets.cpu.contraction import Core
from fovea.targets.cpu.elements import Element, f32
from fovea.targets.cpu.epilogue import Epilogue, Finish
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.moments import WAYS, Moments
from fovea.targets.cpu.packing import transpose
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.values import Index, Value
from fovea.targets.cpu.winograd_matrices import (
    OUTPUT,
    PATCH,
    POINTS,
    TILE,
    WEIGHT,
    ask_points,
    transform,
)

TAPS = 9

WEIGHT_SIZES = (
    "channels", "outputs", "panels", "offset", "w_output", "w_channel", "w_row", "w_column",
    "point_stride", "block",
)  # fmt: skip
PRODUCT_SIZES = (
    "tiles", "channels", "panels", "v_point", "u_point", "m_point",
    "tile_block", "tile_blocks", "v_ahead",
)  # fmt: skip
OUTPUT_SIZES = (
    "first", "count", "height", "width", "output", "outputs", "tile_rows", "tile_columns",
    "y_image", "y_row", "y_column", "point_stride", "tile_stride", "all_outputs",
)  # fmt: skip


@dataclass(frozen=True)
class WeightVariant:
    """What a transform of weights is generated for.

    `step`: the distance between the nine taps, row by row, where it is 1 or -1; 0 where they lie
    otherwise. `width`: outputs of a panel.
    """

    weight: Element
    step: int
    width: int

    @property
    def key(self) -> str:
        return f"winograd/weights/{self.weight}/{self.step}/{self.width}"


def weight_kernel(v: WeightVariant) -> Kernel:
    """Transformed weights in panels: target[point][panel][channel][output]; a piece is a block of
    channels of a panel.
    """
    k = Kernel("winograd_weights", (("w", v.weight), ("target", f32)), WEIGHT_SIZES)
    w, target = k.buffers
    s = SimpleNamespace(**dict(zip(WEIGHT_SIZES, k.sizes, strict=True)))
    lanes = k.isa.lanes(4)
    spill = k.scratch(f32, PATCH * 3 * lanes)
    blocks = (s.channels + s.block - 1) // s.block
    with k.parallel(s.panels * blocks) as piece:
        panel, low = piece // blocks, piece % blocks * s.block
        with k.loop(low, k.smaller(low + s.block, s.channels)) as channel:
            into = target.at((panel * s.channels + channel) * v.width)
            for first in range(0, v.width, lanes):
                output, out = panel * v.width + first, into.at(first)
                with k.if_else(output < s.outputs) as (there, beyond):
                    with there:
                        start = w.at(s.offset + channel * s.w_channel + output * s.w_output)
                        ask_points(k, out, s.point_stride, first, write=True)
                        taps = _taps(k, v, s, start)
                        points = transform(k, WEIGHT, [taps[r : r + 3] for r in (0, 3, 6)], spill)
                        _store_points(k, s, points, out)
                    with beyond:
                        zero = k.const(0.0, f32, lanes)
                        _store_points(k, s, [[zero] * PATCH] * PATCH, out)
    return k


def _taps(k: Kernel, v: WeightVariant, s: SimpleNamespace, w: Buffer) -> list[Value]:
    """The nine taps of a vector of outputs. Where taps are neighbors, eight are loaded at once and
    transposed.
    """
    lanes = k.isa.lanes(4)
    n = min(lanes, 8)

    def gathered(tap: int) -> Value:
        at = s.w_row * (tap // 3) + s.w_column * (tap % 3)
        return k.gather(w, [at + s.w_output * i for i in range(lanes)])

    if not v.step:
        return [gathered(tap) for tap in range(TAPS)]
    parts: list[list[Value]] = [[] for _ in range(TAPS - 1)]
    for first in range(0, lanes, n):
        for low in range(0, TAPS - 1, n):
            at = low if v.step > 0 else 1 - low - n
            rows = [k.load(w.at(s.w_output * (first + i)), at, n) for i in range(n)]
            found = transpose(k, rows)
            for i, tap in enumerate(found if v.step > 0 else reversed(found)):
                parts[low + i].append(tap)
    joined = [p[0] if len(p) == 1 else k.shuffle(p[0], p[1], range(2 * n)) for p in parts]
    return [*joined, gathered(TAPS - 1)]


def _store_points(k: Kernel, s: SimpleNamespace, points: list[list[Value]], target: Buffer) -> None:
    for r, line in enumerate(points):
        for q, value in enumerate(line):
            k.store(value, target, s.point_stride * (r * PATCH + q))


def products_kernel(tile: Tile) -> Kernel:
    """m[point][tile][output] = v[point][tile][channel] @ u[point][panel][channel][output]; a piece
    is a block of tiles of one point.

    The next panel of weights and the next point's tiles, which come from the shared cache, are
    asked for meanwhile.
    """
    k = Kernel("winograd_products", (("v", f32), ("u", f32), ("m", f32)), PRODUCT_SIZES)
    v, u, m = k.buffers
    s = SimpleNamespace(**dict(zip(PRODUCT_SIZES, k.sizes, strict=True)))
    core = Core(k, tile, f32)
    row = s.panels * core.width
    with k.parallel(s.tile_blocks * POINTS) as piece:
        point, first = piece // s.tile_blocks, piece % s.tile_blocks * s.tile_block
        count = k.smaller(s.tiles - first, s.tile_block)
        tiles = v.at(point * s.v_point + first * s.channels)
        weights = u.at(point * s.u_point)
        results = m.at(point * s.m_point + first * row)
        turns = (k.index(count) + (tile.rows - 1)) // tile.rows
        u_ahead = (4 * core.width + turns - 1) // turns
        with k.loop(0, s.panels) as panel:
            columns = weights.at(panel * (s.channels * core.width))
            ahead = (
                (columns.at(s.channels * core.width), u_ahead, k.index(0)),
                (tiles.at(s.v_point), s.v_ahead, panel * turns),
            )
            _panel(core, s, (tiles, count), columns, (results.at(panel * core.width), row), ahead)
    return k


def _panel(
    core: Core, s: SimpleNamespace, rows: tuple[Buffer, Index], columns: Buffer,
    target: tuple[Buffer, Index], ahead: tuple[tuple[Buffer, Index, Value], ...],
) -> None:  # fmt: skip
    """Some tiles against one panel. The last register tile repeats the last row to be whole."""
    k, (tiles, count), (results, stride) = core.k, rows, target
    quarter = s.channels // 4
    with k.loop(0, count, core.tile.rows) as first:
        at = [k.smaller(first + i, count - 1) for i in range(core.tile.rows)]
        streams = [
            (memory.at((turn + first // core.tile.rows) * quarter * step), step)
            for memory, step, turn in ahead
        ]

        def ask(channel: Value, streams: list[tuple[Buffer, Index]] = streams) -> None:
            for memory, step in streams:
                k.prefetch(memory, (channel >> 2) * step, locality=2)

        sums = core.accumulators()
        lefts = [tiles.at(i * s.channels) for i in at]
        core.accumulate(sums, lefts, columns, s.channels, core.width, ahead=ask)
        for i, line in zip(at, sums, strict=True):
            for v, total in enumerate(line):
                k.store(total.get(), results, i * stride + v * core.lanes)


def output_kernel(kind: Element, epilogue: Epilogue) -> Kernel:
    """The result from products[point][tile][output], and what the epilogue makes of it, for outputs
    from `output` on; a piece is a row of tiles.
    """
    buffers = [("products", f32), *epilogue.buffers, ("y", kind)]
    buffers += [("partials", f32)] if epilogue.moments else []
    k = Kernel("winograd_output", buffers, OUTPUT_SIZES, epilogue.scalars)
    named = dict(zip(k.buffer_names, k.buffers, strict=True))
    products, y = named["products"], named["y"]
    finish = Finish(k, epilogue, f32)
    s = SimpleNamespace(**dict(zip(OUTPUT_SIZES, k.sizes, strict=True)))
    lanes = k.isa.lanes(4)
    spill = k.scratch(f32, TILE * PATCH * lanes)
    with k.parallel(s.count) as piece:
        image, tile_row = (s.first + piece) // s.tile_rows, (s.first + piece) % s.tile_rows
        row_at = image * s.y_image + tile_row * TILE * s.y_row + s.output
        rows_left = s.height - tile_row * TILE
        with k.loop(0, s.tile_columns) as tile:
            source = products.at((piece * s.tile_columns + tile) * s.tile_stride)
            at, columns_left = row_at + tile * TILE * s.y_column, s.width - tile * TILE
            here, target = finish.at(s.output, at), y.at(at)
            with k.loop(0, s.outputs, lanes) as c:
                ask_points(k, source.at(c), s.point_stride, c, write=False)
                points = [
                    [
                        k.load(source.at(s.point_stride * (r * PATCH + q)), c, lanes)
                        for q in range(PATCH)
                    ]
                    for r in range(PATCH)
                ]
                results = transform(k, OUTPUT, points, spill)
                _store_tile(k, s, results, here, target, c, (rows_left, columns_left))
        if epilogue.moments:
            partials = named["partials"].at((s.first + piece) * 2 * s.all_outputs + s.output)
            _gather_moments(k, s, y.at(row_at), k.index(k.smaller(rows_left, TILE)), partials)
    return k


def _gather_moments(
    k: Kernel, s: SimpleNamespace, y: Buffer, rows: Value, partials: Buffer
) -> None:
    """The moments of a row of tiles that has been written."""

    def block(c: Value, vectors: int, lanes: int) -> None:
        line = y.at(c)
        moments = Moments(k, f32, vectors)
        moments.start(line)
        full = s.width // WAYS * WAYS
        with k.loop(0, rows, unroll=1) as row:
            pixels = line.at(row * s.y_row)
            with k.loop(0, full, WAYS, unroll=1) as column:
                for way in range(WAYS):
                    moments.add(pixels.at((column + way) * s.y_column), way)
            with k.loop(full, s.width, unroll=1) as column:
                moments.add(pixels.at(column * s.y_column))
        moments.store(rows * s.width, partials.at(c), partials.at(s.all_outputs + c))

    channel_blocks(k, 0, s.outputs, k.isa.lanes(4), 2, block)


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
