"""ReLU and max pooling in one pass: kernels and lowering.

Windows are small, whole, and lie apart, so each pixel of the gradient is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fovea.ops import fused_pool as ops
from fovea.ops.op import Op, Spec, numel
from fovea.ops.pool import PoolAttrs
from fovea.ops.rules import channels_last_strides
from fovea.targets.base import Plan
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.channels import channel_blocks, fill_zero
from fovea.targets.cpu.elements import Element, element, i32, u8
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.stages import Stages, worth_sharing
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.values import Index, Value

Pair = tuple[int, int]

PIECE_BYTES = 65536
VECTORS = 2
_SIZES = ("rows", "grain", "pieces", "out_rows", "out_columns", "channels", "step_i", "step_j")


def _each_window(
    k: Kernel, sizes: Sequence[Index], body: Callable[[Value, Value, Value], None]
) -> None:
    """`body(image, row, column)` for all windows; a piece is a few rows of them."""
    rows, grain, pieces, out_rows, out_columns = sizes[:5]
    with k.parallel(pieces) as piece:
        first = piece * grain
        with k.loop(first, k.smaller(first + grain, rows), unroll=1) as row:
            image, line = row // out_rows, row % out_rows
            with k.loop(0, out_columns, unroll=1) as column:
                body(image, line, column)


def forward_kernel(kind: Element, taps: Pair) -> Kernel:
    """y, the largest of 0 and a window's elements, and which it is."""
    k = Kernel(
        "relu_max_pool",
        [("x", kind), ("y", kind), ("choice", u8)],
        [*_SIZES, "x_image", "x_row", "x_column"],
    )
    x, y, choice = k.buffers
    out_rows, out_columns, channels, step_i, step_j, image_step, row_step, column_step = k.sizes[3:]

    def window(image: Value, row: Value, column: Value) -> None:
        corner = x.at(
            image * image_step
            + row * (k.index(step_i) * row_step)
            + column * (k.index(step_j) * column_step)
        )
        lines = [corner.at(k.index(i) * row_step) for i in range(taps[0])]
        pixels = [line.at(k.index(j) * column_step) for line in lines for j in range(taps[1])]
        to = ((image * out_rows + row) * out_columns + column) * channels
        channel_blocks(
            k, 0, channels, k.lanes(kind), VECTORS,
            lambda c, vectors, lanes: _choose(k, pixels, (y, choice), c, to, vectors, lanes),
        )  # fmt: skip

    _each_window(k, k.sizes, window)
    return k


def _choose(
    k: Kernel, pixels: Sequence[Buffer], outs: tuple[Buffer, Buffer], c: Value, to: Value,
    vectors: int, lanes: int,
) -> None:  # fmt: skip
    compute = pixels[0].element.compute
    for n in range(vectors):
        at = c + n * lanes
        best = k.const(0.0, compute, lanes)
        chosen = k.const(ops.NOTHING, i32, lanes)
        for number, pixel in enumerate(pixels):
            value = k.load(pixel, at, lanes)
            wins = (value > best) | (value.ne(value) & best.eq(best))
            best = k.select(wins, value, best)
            chosen = k.select(wins, k.const(number, i32, lanes), chosen)
        k.store(best, outs[0], to + at)
        k.store(k.cast(chosen, u8), outs[1], to + at)


def backward_kernel(kind: Element, taps: Pair) -> Kernel:
    """The gradient goes to the chosen element; all other pixels are zero."""
    k = Kernel(
        "relu_max_pool_grad",
        [("gy", kind), ("choice", u8), ("gx", kind)],
        [*_SIZES, "height", "width"]
        + [f"{b}_{d}" for b in ("gy", "choice") for d in ("image", "row", "column")],
    )
    gy, choice, gx = k.buffers
    out_rows, out_columns, channels, step_i, step_j, height, width = k.sizes[3:10]
    steps = k.sizes[10:13], k.sizes[13:16]
    row_size = k.index(width) * channels

    def window(image: Value, row: Value, column: Value) -> None:
        sources = [
            b.at(image * s[0] + row * s[1] + column * s[2])
            for b, s in zip((gy, choice), steps, strict=True)
        ]
        block = gx.at((image * height + row * step_i) * row_size)
        corner = block.at(column * (k.index(step_j) * channels))
        pixels = [
            corner.at(k.index(i) * row_size + k.index(j) * channels)
            for i in range(taps[0])
            for j in range(taps[1])
        ]

        def body(c: Value, vectors: int, lanes: int) -> None:
            for n in range(vectors):
                at = c + n * lanes
                g = k.load(sources[0], at, lanes)
                chosen = k.cast(k.load(sources[1], at, lanes), i32)
                for number, pixel in enumerate(pixels):
                    k.store(k.select(chosen.eq(number), g, 0), pixel, at)

        channel_blocks(k, 0, channels, k.lanes(kind), VECTORS, body)
        _clear_beside(k, block, row, column)

    def _clear_beside(k: Kernel, block: Buffer, row: Value, column: Value) -> None:
        """Zeros in what no window covers: right of this one, and below a row of them."""
        last = (column + 1).eq(out_columns)
        begin = column * step_j + taps[1]
        end = k.select(last, k.index(width), begin - taps[1] + step_j)
        with k.if_(begin < end):
            for i in range(taps[0]):
                line = block.at(k.index(i) * row_size)
                fill_zero(k, line, begin * channels, end * channels)
        with k.if_(last):
            below = k.select((row + 1).eq(out_rows), k.index(height) - row * step_i, step_i)
            fill_zero(k, block, k.index(taps[0]) * row_size, below * row_size)

    _each_window(k, k.sizes, window)
    return k


def _words(shape: Sequence[int], a: Any, moved: int) -> tuple[int, ...]:
    n, channels, rows, columns = shape
    count = max(n * rows, 1)
    grain = max(1, PIECE_BYTES * count // max(moved, 1))
    return (n * rows, grain, -(-n * rows // grain), rows, columns, channels, *a.stride)


@CPU.lower(ops.relu_max_pool2d)
def _(op: Op, inputs: tuple[Any, ...], a: PoolAttrs, specs: Sequence[Spec]) -> Plan:
    stages, kind = Stages(inputs, specs), element(inputs[0].dtype.name)
    if numel(specs[0].shape) == 0:
        return stages.plan()
    x, strides = stages.read_image(0)
    layout = channels_last_strides(specs[0].shape)
    operands = [x, stages.write(0, layout), stages.write(1, layout)]
    moved = numel(inputs[0].shape) * kind.bytes
    words = (*_words(specs[0].shape, a, moved), *strides)
    key = f"pool/relu_max/{kind}/{a.kernel}"
    stages.call(key, partial(forward_kernel, kind, a.kernel), operands, words, worth_sharing(moved))
    return stages.plan()


@CPU.lower(ops.relu_max_pool2d_grad)
def _(op: Op, inputs: tuple[Any, ...], a: ops.ChoiceGradAttrs, specs: Sequence[Spec]) -> Plan:
    stages, kind = Stages(inputs, specs), element(inputs[0].dtype.name)
    gx = stages.write(0, channels_last_strides(specs[0].shape))
    if numel(specs[0].shape) == 0 or numel(inputs[0].shape) == 0:
        return stages.plan()
    (gy, gy_strides), (choice, choice_strides) = stages.read_image(0), stages.read_image(1)
    moved = numel(specs[0].shape) * kind.bytes
    words = (*_words(inputs[0].shape, a, moved), *a.input_size, *gy_strides, *choice_strides)
    key = f"pool/relu_max_grad/{kind}/{a.kernel}"
    stages.call(
        key, partial(backward_kernel, kind, a.kernel), [gy, choice, gx], words,
        worth_sharing(moved),
    )  # fmt: skip
    return stages.plan()
