"""Products and inverse transform of the Winograd form of a convolution's gradient to its weights.

It is F(3x3, 4x4), the transpose of the forward pass's F(4x4, 3x3) with the same matrices: where
y = A' [(G w G') * (B' x B)] A for a tile, the gradient is dw = G' [(A dy A') * (B' x B)] G, summed
over tiles. The sum goes inside the brackets, so 36 products of matrices (outputs by tiles against
tiles by channels) do the work, a quarter of the direct form's multiplications.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.contraction import Core
from fovea.targets.cpu.conv_weight_grad_sum import store_rows
from fovea.targets.cpu.elements import Element, f32, u8
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.values import Index, Value
from fovea.targets.cpu.winograd_matrices import INVERSE, PATCH, POINTS, transform

TAPS = 3

SIZES = (
    "outputs", "channels", "tiles", "chunk", "chunks", "adds",
    "g_point", "g_panel", "g_panels", "x_point", "x_panel", "x_panels",
    "g_block", "g_blocks", "x_block", "x_blocks", "own_point",
    "g_ahead", "x_ahead", "scratch_stride",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """What a kernel of products is generated for.

    `group`: outputs of a panel of gradients. `weights`: the element type of the weights' gradient,
    which is then written as it shall lie in memory, (O, I, 3, 3) row-major; None leaves partial
    sums.
    """

    tile: Tile
    group: int
    weights: Element | None = None

    @property
    def key(self) -> str:
        return (
            f"winograd/weight_grad/{self.tile.rows}x{self.tile.vectors}/{self.group}/"
            f"{self.weights or 'partial'}"
        )


@dataclass(frozen=True)
class _Piece:
    """Panels of gradients and of inputs (first, one past last), and tiles: the first, how many."""

    g: tuple[Value, Index]
    x: tuple[Value, Index]
    first: Value
    count: Index


def products_kernel(v: Variant) -> Kernel:
    """partial[chunk][tap][panel][output][lane]: the gradient from the tiles of each chunk.

    Transformed gradients come as g[point][panel][tile][output of the panel], transformed inputs as
    x[point][panel][tile][channel of the panel], as many channels as the register tile has columns.
    A piece is a block of panels of both against the tiles of one chunk: 36 products into the
    thread's scratch memory, then their inverse transform, which `adds` to what is there or replaces
    it.
    """
    buffers = (("g", f32), ("x", f32), ("target", v.weights or f32), ("scratch", u8))
    k = Kernel("winograd_weight_grad", buffers, SIZES)
    g, x, target, scratch = k.buffers
    s = SimpleNamespace(**dict(zip(SIZES, k.sizes, strict=True)))
    core = Core(k, v.tile, f32)
    with k.parallel(s.chunks * s.g_blocks * s.x_blocks) as number:
        g_low = number % s.g_blocks * s.g_block
        x_low = number // s.g_blocks % s.x_blocks * s.x_block
        chunk = number // s.g_blocks // s.x_blocks
        first = chunk * s.chunk
        piece = _Piece(
            (g_low, k.smaller(g_low + s.g_block, s.g_panels)),
            (x_low, k.smaller(x_low + s.x_block, s.x_panels)),
            first, k.smaller(s.tiles - first, s.chunk),
        )  # fmt: skip
        own = scratch.at(k.tid * s.scratch_stride).view(f32)
        with k.loop(0, POINTS) as point:
            operands = g.at(point * s.g_point), x.at(point * s.x_point)
            _point(core, v, s, piece, operands, own.at(point * s.own_point))
        if v.weights is None:
            target = target.at(chunk * (TAPS * TAPS * s.x_panels * s.outputs * core.width))
        _inverse(core, v, s, piece, own, target)
    return k


def _point(
    core: Core, v: Variant, s: SimpleNamespace, piece: _Piece, operands: tuple[Buffer, Buffer],
    target: Buffer,
) -> None:  # fmt: skip
    """The products of one point: target[panel of x][panel of g][output][channel].

    Meanwhile the next point's operands, which come from the shared cache, are asked for.
    """
    k, (g, x), (g_low, _), (x_low, _) = core.k, operands, piece.g, piece.x
    g, x = g.at(piece.first * v.group), x.at(piece.first * core.width)
    ahead = (
        (g.at(s.g_point + g_low * s.g_panel), s.g_ahead),
        (x.at(s.x_point + x_low * s.x_panel), s.x_ahead),
    )
    with k.loop(*piece.x) as panel, k.loop(*piece.g) as block:
        number = (panel - x_low) * s.g_block + (block - g_low)
        outputs = k.smaller(s.outputs - block * v.group, v.group)
        done = number * (piece.count * v.group // (4 * v.tile.rows))
        _products(
            core, v, (g.at(block * s.g_panel), x.at(panel * s.x_panel)), (outputs, piece.count),
            target.at(number * (v.group * core.width)),
            [(buffer.at(done * step), step) for buffer, step in ahead],
        )  # fmt: skip


def _products(
    core: Core, v: Variant, operands: tuple[Buffer, Buffer], size: tuple[Index, Index],
    target: Buffer, ahead: Sequence[tuple[Buffer, Index]],
) -> None:  # fmt: skip
    """A panel's outputs against a panel of channels. The last register tile begins earlier to be
    whole.
    """
    k, rows, (g, x), (outputs, tiles) = core.k, v.tile.rows, operands, size
    with k.loop(0, outputs, rows) as output:
        first = k.smaller(output, outputs - rows)
        turns = output * tiles // (4 * rows)

        def ask(tile: Value, turns: Value = turns) -> None:
            for buffer, step in ahead:
                k.prefetch(buffer, (turns + (tile >> 2)) * step, locality=2)

        sums = core.accumulators(None, 0)
        lefts = [g.at(first + i) for i in range(rows)]
        core.accumulate(sums, lefts, x, tiles, core.width, v.group, ahead=ask)
        for i, line in enumerate(sums):
            for j, total in enumerate(line):
                k.store(total.get(), target, (first + i) * core.width + j * core.lanes)


def _inverse(
    core: Core, v: Variant, s: SimpleNamespace, piece: _Piece, own: Buffer, target: Buffer
) -> None:
    """From 36 products to 9 taps, for the outputs and channels of a piece."""
    k, lanes, (g_low, g_high), (x_low, x_high) = core.k, core.lanes, piece.g, piece.x
    spill = k.scratch(f32, TAPS * PATCH * lanes)
    first, last = g_low * v.group, k.smaller(g_high * v.group, s.outputs)
    with k.loop(x_low, x_high) as panel, k.loop(first, last) as output:
        row = (panel - x_low) * (s.g_block * v.group) + (output - first)
        for at in range(0, core.width, lanes):
            channel = panel * core.width + at
            with k.if_(channel < s.channels):
                source = own.at(row * core.width + at)
                points = [
                    [k.load(source, s.own_point * (r * PATCH + q), lanes) for q in range(PATCH)]
                    for r in range(PATCH)
                ]
                taps = [tap for line in transform(k, INVERSE, points, spill) for tap in line]
                if v.weights is not None:
                    _store(k, taps, target.at((output * s.channels + channel) * len(taps)))
                else:
                    place = (panel * s.outputs + output) * core.width + at
                    _add(k, s, taps, target.at(place), s.x_panels * s.outputs * core.width)


def _add(
    k: Kernel, s: SimpleNamespace, taps: Sequence[Value], target: Buffer, stride: Index
) -> None:
    """Store the taps `stride` apart, or add them to what is there."""
    with k.if_else(k.index(s.adds).ne(0)) as (add, replace):
        with add:
            for n, tap in enumerate(taps):
                k.store(tap + k.load(target, n * stride, tap.lanes), target, n * stride)
        with replace:
            for n, tap in enumerate(taps):
                k.store(tap, target, n * stride)


def _store(k: Kernel, taps: Sequence[Value], target: Buffer) -> None:
    """Store vectors of channels so that the taps of each channel are neighbors."""
    n = min(taps[0].lanes, 8)
    full = len(taps) // n * n
    for low in range(0, full, n):
        store_rows(k, taps[low : low + n], target.at(low), len(taps))
    for at in range(full, len(taps)):
        for i in range(taps[at].lanes):
            k.store(k.extract(taps[at], i), target, len(taps) * i + at)
