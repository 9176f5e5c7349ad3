"""Products and inverse transform of the Winograd form of a convolution's gradient to its weights.

It is F(3x3, 4x4), the transpose of the forward pass's F(4x4, 3x3) with the same matrices: where
y = A' [(G w G') * (B' x B)] A for a tile, the gradient is dw = G' [(A dy A') * (B' x B)] G, summed
over tiles. The sum goes inside the brackets, so 36 products of matrices (outputs by tiles against
tiles by channels) do the work, a quarter of the direct form's multiplications.
"""

from __future__ import annotations

from types import SimpleNamespace

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.contraction import Core
from fovea.targets.cpu.elements import f32, u8
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.values import Index, Value
from fovea.targets.cpu.winograd_kernel import PATCH, POINTS, WEIGHT, Matrix
from fovea.targets.cpu.winograd_transform import transform

TAPS = 3
INVERSE: Matrix = tuple(zip(*WEIGHT, strict=True))

SIZES = (
    "outputs", "tiles", "chunk", "chunks", "adds",
    "g_point", "g_panel", "g_panels", "x_point", "x_panel", "x_panels",
    "g_block", "g_blocks", "x_block", "x_blocks", "own_point", "scratch_stride",
)  # fmt: skip


def products_kernel(tile: Tile, group: int) -> Kernel:
    """partial[chunk][tap][panel][output][lane]: the gradient from the tiles of each chunk.

    Transformed gradients come as g[point][panel][tile][output of the panel], `group` outputs a
    panel; transformed inputs as x[point][panel][tile][channel of the panel], as many channels as
    the register tile has columns. A piece is a block of panels of both against the tiles of one
    chunk: 36 products into the thread's scratch memory, then their inverse transform, which `adds`
    to what is there or replaces it.
    """
    k = Kernel(
        "winograd_weight_grad",
        (("g", f32), ("x", f32), ("partial", f32), ("scratch", u8)),
        SIZES,
    )
    g, x, partial, scratch = k.buffers
    s = SimpleNamespace(**dict(zip(SIZES, k.sizes, strict=True)))
    core = Core(k, tile, f32)
    with k.parallel(s.chunks * s.g_blocks * s.x_blocks) as piece:
        g_low = piece % s.g_blocks * s.g_block
        x_low = piece // s.g_blocks % s.x_blocks * s.x_block
        chunk = piece // s.g_blocks // s.x_blocks
        g_range = (g_low, k.smaller(g_low + s.g_block, s.g_panels))
        x_range = (x_low, k.smaller(x_low + s.x_block, s.x_panels))
        first = chunk * s.chunk
        count = k.smaller(s.tiles - first, s.chunk)
        own = scratch.at(k.tid * s.scratch_stride).view(f32)
        with k.loop(0, POINTS) as point:
            of_g, of_x = g.at(point * s.g_point), x.at(point * s.x_point)
            into = own.at(point * s.own_point)
            with k.loop(*x_range) as panel:
                columns = of_x.at(panel * s.x_panel + first * core.width)
                place = into.at((panel - x_low) * (s.g_block * (group * core.width)))
                with k.loop(*g_range) as block:
                    rows = of_g.at(block * s.g_panel + first * group)
                    left = k.smaller(s.outputs - block * group, group)
                    target = place.at((block - g_low) * (group * core.width))
                    _products(core, (rows, group), columns, (left, count), target)
        sums = partial.at(chunk * (TAPS * TAPS * s.x_panels * s.outputs * core.width))
        _inverse(core, s, own, sums, (g_range, x_range), group)
    return k


def _products(
    core: Core, g: tuple[Buffer, int], columns: Buffer, size: tuple[Index, Index], target: Buffer
) -> None:
    """A panel's outputs against a panel of channels. The last register tile begins earlier to be
    whole.
    """
    k, (rows, group), (outputs, tiles) = core.k, g, size
    with k.loop(0, outputs, core.tile.rows) as output:
        first = k.smaller(output, outputs - core.tile.rows)
        sums = core.accumulators(None, 0)
        lefts = [rows.at(first + i) for i in range(core.tile.rows)]
        core.accumulate(sums, lefts, columns, tiles, core.width, group)
        for i, line in enumerate(sums):
            for j, total in enumerate(line):
                k.store(total.get(), target, (first + i) * core.width + j * core.lanes)


def _inverse(
    core: Core, s: SimpleNamespace, own: Buffer, sums: Buffer,
    ranges: tuple[tuple[Value, Index], tuple[Value, Index]], group: int,
) -> None:  # fmt: skip
    """From 36 products to 9 taps, for the outputs and channels of a piece."""
    k, ((g_low, g_high), (x_low, x_high)) = core.k, ranges
    spill = k.scratch(f32, TAPS * PATCH * core.lanes)
    first, last = g_low * group, k.smaller(g_high * group, s.outputs)
    tap_stride = s.x_panels * s.outputs * core.width
    with k.loop(x_low, x_high) as panel, k.loop(first, last) as output:
        row = (panel - x_low) * (s.g_block * group) + (output - first)
        source = own.at(row * core.width)
        target = sums.at((panel * s.outputs + output) * core.width)
        for v in range(0, core.width, core.lanes):
            points = [
                [
                    k.load(source, s.own_point * (r * PATCH + q) + v, core.lanes)
                    for q in range(PATCH)
                ]
                for r in range(PATCH)
            ]
            taps = [
                (value, tap_stride * (r * TAPS + q) + v)
                for r, line in enumerate(transform(k, INVERSE, points, spill))
                for q, value in enumerate(line)
            ]
            with k.if_else(k.index(s.adds).ne(0)) as (add, replace):
                with add:
                    for value, at in taps:
                        k.store(value + k.load(target, at, core.lanes), target, at)
                with replace:
                    for value, at in taps:
                        k.store(value, target, at)
