"""Which depthwise convolutions have a kernel of their own (depthwise_kernel.py), and its calls."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.correlation import Correlation
from fovea.targets.cpu.depthwise_kernel import Variant, depthwise_kernel
from fovea.targets.cpu.elements import Element
from fovea.targets.cpu.epilogue import Epilogue
from fovea.targets.cpu.isa import Isa
from fovea.targets.cpu.program import KernelCall
from fovea.targets.cpu.schedule import ImageBlocks, Tile

__all__ = ["call", "readable", "suits", "tile"]

WIDTHS = (7, 8, 4, 2, 1)  # results of a tile; 7 divides the rows of images of 224
MOST_TAPS = 7
WEIGHT_BYTES = 8192  # of the channels that meet a tile before the next one does


def suits(c: Correlation) -> bool:
    """Whether a correlation has such a kernel, where images lie as that reads them: rows of its
    window and their weights fit registers.
    """
    near = all(step == 1 or n == 1 for n, step in zip(c.taps, c.step, strict=True))
    few = c.taps[1] <= MOST_TAPS and c.stride[1] <= 2
    return c.depthwise and c.mixed == 1 and c.window == (1, 1) and near and few


def readable(c: Correlation) -> bool:
    """Whether the channels of a pixel are neighbors in memory."""
    return c.x.strides[1] == 1 or c.channels == 1


def tile(isa: Isa, element: Element, columns: int, channels: int) -> Tile:
    """The register tile: neighboring results of a row by vectors of channels, which leave registers
    for a row of weights.
    """
    fitting = [w for w in WIDTHS if w <= columns]
    rows = min(fitting, key=lambda w: -(-columns // w) * (w + 1), default=1)
    many = isa.registers >= 32 and channels > isa.lanes(element.bytes)
    return Tile(rows, 2 if many else 1)


def call(
    c: Correlation,
    compute: Element,
    tile: Tile,
    width: int,
    panel_size: int,
    blocks: ImageBlocks,
    buffers: Sequence[int],
    epilogue: Epilogue,
) -> KernelCall:
    """The call that computes a correlation from images, panels of `width` channels' weights and
    what the epilogue reads.
    """
    v = Variant(c.x.element, c.y.element, compute, tile, c.taps[1], c.stride[1], epilogue)
    x_image, _, x_row, x_column = c.x.strides
    y_image, _, y_row, y_column = c.y.strides
    panels = -(-c.outputs // width)
    most = max(1, WEIGHT_BYTES // max(panel_size * compute.bytes, 1))
    panel_blocks = -(-panels // min(blocks.panels, most))
    words = (
        c.x.shape[0], *c.grid, *c.x.shape[2:], c.channels,
        x_image, x_row, x_column, y_image, y_row * c.spacing[0], y_column * c.spacing[1],
        c.y_offset, c.stride[0], *c.origin, c.taps[0],
        blocks.images, -(-c.x.shape[0] // blocks.images), blocks.rows, -(-c.grid[0] // blocks.rows),
        panels, -(-panels // panel_blocks), panel_blocks, panel_size, *epilogue.words,
    )  # fmt: skip
    address = load_cached(v.key, partial(depthwise_kernel, v))
    return KernelCall(address, tuple(buffers), words, blocks.worth_sharing)
