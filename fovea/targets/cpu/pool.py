"""Lowering of pooling: where the windows lie, which kernel runs, how the work is cut."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fovea.ops import pool as ops
from fovea.ops.op import Op, Spec, numel
from fovea.ops.rules import channels_last_strides
from fovea.targets.base import Plan
from fovea.targets.cpu.elements import Element, element, i32, i64
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.pool_grad_kernels import BAND_WORDS, MaxGradKernel, max_grad_kernel
from fovea.targets.cpu.pool_kernels import WindowKernel, window_kernel
from fovea.targets.cpu.stages import Operand, Stages, worth_sharing
from fovea.targets.cpu.target import CPU

__all__ = ["Spans", "adaptive_spans", "add_max_pool", "covering", "window_spans"]

Pair = tuple[int, int]
Numbers = np.ndarray[Any, Any]

PIECE_BYTES = 65536
ENOUGH_PIECES = 16  # an image that gives fewer is cut along its channels, too
CHANNEL_GRAIN = 64  # channels, at least
MOST_TAPS = 9  # windows of up to so many elements are written out
BAND_ROWS = 14  # rows of windows in a band, at least
SCRATCH_ROWS = 8  # the same where a band is summed in scratch, which had better stay in a cache


class Spans(NamedTuple):
    """For each window along one dimension, its first element and one past its last."""

    first: Numbers
    end: Numbers

    @property
    def pairs(self) -> Numbers:
        return np.stack(self, 1).astype(np.int64)


def window_spans(
    n: int, count: int, kernel: int, stride: int, before: int, dilation: int = 1
) -> Spans:
    """The parts of `count` windows that lie in the image; `before` is the padding.

    >>> window_spans(5, 3, 3, 2, 1).pairs.tolist()
    [[0, 2], [1, 4], [3, 5]]
    """
    start = np.arange(count) * stride - before
    outside = np.maximum(-(start // dilation), 0)  # how many elements lie before the image
    first = start + outside * dilation
    return Spans(first, np.minimum(start + (kernel - 1) * dilation + 1, n))


def adaptive_spans(n: int, count: int) -> Spans:
    """`count` bins that cover `n` elements.

    >>> adaptive_spans(5, 2).pairs.tolist()
    [[0, 3], [2, 5]]
    """
    i = np.arange(count)
    return Spans(i * n // max(count, 1), -(-(i + 1) * n // max(count, 1)))


def covering(spans: Spans, n: int) -> Spans:
    """For each of `n` elements, the windows that hold it.

    >>> covering(window_spans(5, 2, 3, 2, 0), 5).pairs.tolist()
    [[0, 1], [0, 1], [0, 2], [1, 2], [1, 2]]
    """
    places = np.arange(n)
    first = np.searchsorted(spans.end, places, "right")
    return Spans(first, np.maximum(np.searchsorted(spans.first, places, "right"), first))


def _written_out(kernel: Pair, dilation: Pair) -> Pair | None:
    """The window size that gets code of its own."""
    return kernel if kernel[0] * kernel[1] <= MOST_TAPS and dilation == (1, 1) else None


def _narrow(x: Any) -> bool:
    """Whether the channels of an image do not fill a vector."""
    return x.shape[1] < active().lanes(element(x.dtype.name).compute.bytes)


# -- one result a window ----------------------------------------------------------------------


class _Cut(NamedTuple):
    """How rows of windows and channels are cut into pieces."""

    row_grain: int
    channel_grain: int
    splits: int
    pieces: int


def _cut(rows: int, row_bytes: int, channels: int) -> _Cut:
    grain = max(1, min(rows, PIECE_BYTES // max(row_bytes, 1)))
    pieces = -(-rows // grain)
    splits = 1
    if pieces < ENOUGH_PIECES and row_bytes >= PIECE_BYTES // 4:
        splits = max(1, min(ENOUGH_PIECES // pieces, channels // CHANNEL_GRAIN))
    channel_grain = -(-channels // splits)
    channel_grain = min(channels, -(-channel_grain // CHANNEL_GRAIN) * CHANNEL_GRAIN)
    splits = -(-channels // channel_grain)
    return _Cut(grain, channel_grain, splits, pieces * splits)


def _windows(
    v: WindowKernel,
    inputs: Sequence[Any],
    specs: Sequence[Spec],
    rows: Spans,
    columns: Spans,
    dilation: Pair = (1, 1),
    divisors: tuple[Numbers, Numbers] | None = None,
) -> Plan:
    """The plan that makes one result of each window."""
    stages = Stages(inputs, specs)
    if numel(specs[0].shape):
        images = stages.read_image(0)
        _add_windows(stages, v, images, inputs[0].shape, (rows, columns), dilation, divisors)
    return stages.plan()


def _add_windows(
    stages: Stages,
    v: WindowKernel,
    images: tuple[Operand, tuple[int, int, int]],
    shape: Sequence[int],
    spans: tuple[Spans, Spans],
    dilation: Pair = (1, 1),
    divisors: tuple[Numbers, Numbers] | None = None,
) -> None:
    """Add the call that makes one result of each window of images of this shape.

    Args:
        images: where they lie, and their strides along N, H, W.
    """
    (n, channels, _, width), (x, x_strides), (rows, columns) = shape, images, spans
    out_shape = stages.specs[0].shape
    operands = [x, stages.write(0, channels_last_strides(out_shape))]
    operands.append(stages.table(np.concatenate([rows.pairs, columns.pairs])))
    if v.kind == "argmax":
        operands.append(stages.write(1, channels_last_strides(out_shape)))
    if divisors is not None:
        operands.append(stages.table(np.concatenate(divisors).astype(np.float64)))
    out_rows, out_columns = out_shape[2:]
    moved = (numel(shape) + numel(out_shape)) * v.element.bytes
    cut = _cut(n * out_rows, moved // (n * out_rows), channels)
    words = (
        n * out_rows, cut.row_grain, channels, cut.channel_grain, cut.splits, cut.pieces,
        out_rows, out_columns, *x_strides, *dilation, width,
        len(divisors[0]) if divisors is not None else 0,
    )  # fmt: skip
    shared = worth_sharing(moved)
    stages.call(v.key, partial(window_kernel, v), operands, words, shared)


def add_max_pool(
    stages: Stages, image: Operand, shape: Sequence[int], kind: Element, a: ops.PoolAttrs
) -> None:
    """Add the call that makes the first output from images in scratch, channels last."""
    spans = _max_spans(shape[2:], stages.specs[0].shape[2:], a)
    narrow = shape[1] < active().lanes(kind.compute.bytes)
    v = WindowKernel("max", kind, _written_out(a.kernel, a.dilation), narrow=narrow)
    image_step, _, row_step, column_step = channels_last_strides(tuple(shape))
    _add_windows(stages, v, (image, (image_step, row_step, column_step)), shape, spans, a.dilation)


def _index_element(x: Any) -> Element:
    """What places in an image are counted in."""
    return i32 if x.shape[2] * x.shape[3] < 2**31 else i64


def _max_spans(size: Sequence[int], out: Sequence[int], a: ops.PoolAttrs) -> tuple[Spans, Spans]:
    top, _, left, _ = a.padding
    return (
        window_spans(size[0], out[0], a.kernel[0], a.stride[0], top, a.dilation[0]),
        window_spans(size[1], out[1], a.kernel[1], a.stride[1], left, a.dilation[1]),
    )


@CPU.lower(ops.max_pool2d, ops.max_pool2d_with_indices)
def _(op: Op, inputs: tuple[Any, ...], a: ops.PoolAttrs, specs: Sequence[Spec]) -> Plan:
    (x,) = inputs
    rows, columns = _max_spans(x.shape[2:], specs[0].shape[2:], a)
    if len(specs) == 2:
        v = WindowKernel("argmax", element(x.dtype.name), index=_index_element(x))
    else:
        taps = _written_out(a.kernel, a.dilation)
        v = WindowKernel("max", element(x.dtype.name), taps, narrow=_narrow(x))
    return _windows(v, inputs, specs, rows, columns, a.dilation)


@CPU.lower(ops.adaptive_max_pool2d)
def _(op: Op, inputs: tuple[Any, ...], a: ops.OutputSizeAttrs, specs: Sequence[Spec]) -> Plan:
    (x,) = inputs
    rows, columns = (adaptive_spans(n, m) for n, m in zip(x.shape[2:], a.output_size, strict=True))
    v = WindowKernel("argmax", element(x.dtype.name), index=_index_element(x))
    return _windows(v, inputs, specs, rows, columns)


def _average_spans(
    size: Sequence[int], out: Sequence[int], a: ops.AvgPoolAttrs | ops.AvgPoolGradAttrs
) -> tuple[Spans, Spans, tuple[Numbers, Numbers]]:
    """The windows' rows and columns, and the two factors of what sums are divided by."""
    top, bottom, left, right = a.padding
    pads, kernel, stride = ((top, bottom), (left, right)), a.kernel, a.stride
    spans = [window_spans(size[d], out[d], kernel[d], stride[d], pads[d][0]) for d in (0, 1)]
    if a.divisor is not None:
        return spans[0], spans[1], (np.full(out[0], a.divisor), np.ones(out[1]))
    counts = [
        ops.window_sizes(size[d], out[d], kernel[d], stride[d], *pads[d], a.count_include_pad)
        for d in (0, 1)
    ]
    return spans[0], spans[1], (counts[0], counts[1])


@CPU.lower(ops.avg_pool2d)
def _(op: Op, inputs: tuple[Any, ...], a: ops.AvgPoolAttrs, specs: Sequence[Spec]) -> Plan:
    (x,) = inputs
    rows, columns, divisors = _average_spans(x.shape[2:], specs[0].shape[2:], a)
    taps = _written_out(a.kernel, (1, 1))
    v = WindowKernel("average", element(x.dtype.name), taps, narrow=_narrow(x))
    return _windows(v, inputs, specs, rows, columns, divisors=divisors)


@CPU.lower(ops.adaptive_avg_pool2d)
def _(op: Op, inputs: tuple[Any, ...], a: ops.OutputSizeAttrs, specs: Sequence[Spec]) -> Plan:
    (x,) = inputs
    rows, columns = (adaptive_spans(n, m) for n, m in zip(x.shape[2:], a.output_size, strict=True))
    divisors = rows.end - rows.first, columns.end - columns.first
    v = WindowKernel("average", element(x.dtype.name))
    return _windows(v, inputs, specs, rows, columns, divisors=divisors)


def _spread(
    inputs: tuple[Any, ...],
    specs: Sequence[Spec],
    rows: Spans,
    columns: Spans,
    divisors: tuple[Numbers, Numbers],
) -> Plan:
    """The gradient of averages: each pixel gathers its parts of the windows that hold it."""
    (gy,) = inputs
    size = specs[0].shape[2:]
    v = WindowKernel("spread", element(gy.dtype.name))
    shares = 1.0 / divisors[0], 1.0 / divisors[1]
    return _windows(
        v, inputs, specs, covering(rows, size[0]), covering(columns, size[1]), divisors=shares
    )


@CPU.lower(ops.avg_pool2d_grad)
def _(op: Op, inputs: tuple[Any, ...], a: ops.AvgPoolGradAttrs, specs: Sequence[Spec]) -> Plan:
    return _spread(inputs, specs, *_average_spans(a.input_size, inputs[0].shape[2:], a))


@CPU.lower(ops.adaptive_avg_pool2d_grad)
def _(op: Op, inputs: tuple[Any, ...], a: ops.InputSizeAttrs, specs: Sequence[Spec]) -> Plan:
    (gy,) = inputs
    rows, columns = (adaptive_spans(n, m) for n, m in zip(a.input_size, gy.shape[2:], strict=True))
    return _spread(
        inputs, specs, rows, columns, (rows.end - rows.first, columns.end - columns.first)
    )


# -- the gradient of a maximum ----------------------------------------------------------------


@CPU.lower(ops.max_pool2d_grad)
def _(op: Op, inputs: tuple[Any, ...], a: ops.PoolAttrs, specs: Sequence[Spec]) -> Plan:
    gy, x, _ = inputs
    stages = Stages(inputs, specs)
    if numel(x.shape) == 0:
        return stages.plan()
    rows, columns = _max_spans(x.shape[2:], gy.shape[2:], a)
    apart = a.dilation == (1, 1) and a.stride[0] >= a.kernel[0] and a.stride[1] >= a.kernel[1]
    taps = _written_out(a.kernel, a.dilation)
    v = MaxGradKernel(element(x.dtype.name), taps, not apart, _narrow(x))
    images = [stages.read_image(i) for i in range(3)]
    operands = [o for o, _ in images]
    operands.append(stages.write(0, channels_last_strides(x.shape)))
    strides = [s for _, three in images for s in three]
    sizes = (*gy.shape[2:], x.shape[1], *x.shape[2:], *strides)
    (_apart if apart else _bands)(stages, v, operands, sizes, (rows, columns), a)
    return stages.plan()


def _apart(
    stages: Stages,
    v: MaxGradKernel,
    operands: list[Operand],
    sizes: tuple[int, ...],
    spans: tuple[Spans, Spans],
    a: ops.PoolAttrs,
) -> None:
    """Windows that do not overlap: spans, and where the next window starts or the image ends."""
    x = stages.inputs[1]
    table = [
        np.column_stack([s.pairs, np.append(s.first[1:], n)])
        for s, n in zip(spans, x.shape[2:], strict=True)
    ]
    operands.append(stages.table(np.concatenate(table)))
    rows = x.shape[0] * len(spans[0].first)
    moved = 2 * numel(x.shape) * v.element.bytes
    grain = max(1, min(rows, PIECE_BYTES * rows // moved))
    words = (*sizes, rows, grain, -(-rows // grain))
    stages.call(v.key, partial(max_grad_kernel, v), operands, words, worth_sharing(moved))


def _bands(
    stages: Stages,
    v: MaxGradKernel,
    operands: list[Operand],
    sizes: tuple[int, ...],
    spans: tuple[Spans, Spans],
    a: ops.PoolAttrs,
) -> None:
    """Windows that overlap: bands of rows, as high as leaves enough of them."""
    x = stages.inputs[1]
    n, channels, height, width = x.shape
    wanted = max(BAND_ROWS * a.stride[0], -(-height * n // ENOUGH_PIECES))
    high = min(height, SCRATCH_ROWS * a.stride[0] if v.through_scratch else wanted)
    starts = np.arange(0, height, high)
    ends = np.minimum(starts + high, height)
    # With dilation, a window that starts in the padding may reach the image after the next one.
    reached = np.minimum.accumulate(spans[0].first[::-1])[::-1]
    cover = covering(Spans(reached, spans[0].end), height)
    first, end = cover.first[starts], cover.end[ends - 1]
    bands = np.stack([starts, ends, first, np.maximum(first, end)], 1)
    assert bands.shape[1] == BAND_WORDS
    table = [spans[0].pairs.ravel(), spans[1].pairs.ravel(), bands.ravel()]
    operands.append(stages.table(np.concatenate(table).astype(np.int64)))
    own = high * width * channels
    if v.through_scratch:
        operands.append(stages.thread_scratch(own * v.element.compute.bytes))
    pieces = len(bands) * n
    words = (*sizes, len(bands), pieces, *a.dilation, own)
    moved = 2 * numel(x.shape) * v.element.bytes
    stages.call(v.key, partial(max_grad_kernel, v), operands, words, worth_sharing(moved))
