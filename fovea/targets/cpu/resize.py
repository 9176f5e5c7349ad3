"""Lowering of resizing: which rows and columns a new one reads, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fovea.ops import resize as ops
from fovea.ops.op import Op, Spec, numel
from fovea.ops.rules import channels_last_strides
from fovea.targets.base import Plan
from fovea.targets.cpu.elements import element
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.resize_kernels import ResizeKernel, resize_kernel
from fovea.targets.cpu.stages import Operand, Stages, worth_sharing
from fovea.targets.cpu.target import CPU

__all__: list[str] = []

Numbers = np.ndarray[Any, Any]
MOST_TAPS = 4  # sums of up to so many lines are written out
BAND_BYTES = 65536  # of new rows, at least
BAND_ROWS = 8  # at least: a band shares the source rows at its ends with its neighbors


def _transposed(places: Numbers, weights: Numbers, n: int) -> tuple[Numbers, Numbers]:
    """For each of `n` lines that were read, who read it, and the weights; filled up with zeros."""
    matrix = np.zeros((n, len(places)))
    np.add.at(matrix, (places, np.arange(len(places))[:, None]), weights)
    count = max(1, int((matrix != 0).sum(1).max()))
    # Those that read a line come first, in order; a line that nobody reads is near its neighbors.
    order = np.argsort(matrix == 0, axis=1, kind="stable")[:, :count]
    found = np.take_along_axis(matrix, order, 1)
    near = np.maximum.accumulate(np.where(found[:, :1] != 0, order[:, :1], 0))
    return np.where(found != 0, order, near), found


def _lines(
    a: ops.ResizeAttrs | ops.ResizeGradAttrs, d: int, size: int, grad: bool
) -> tuple[Numbers, Numbers]:
    """What each new row (`d` 0) or column (1) reads: places (count, taps) and weights."""
    places, weights = ops.resize_weights(
        size, a.output_size[d], a.mode, a.align_corners, a.scale[d]
    )
    return _transposed(places, weights, size) if grad else (places, weights)


@CPU.lower(ops.resize2d)
def _(op: Op, inputs: tuple[Any, ...], a: ops.ResizeAttrs, specs: Sequence[Spec]) -> Plan:
    (x,) = inputs
    return _resized(inputs, specs, [_lines(a, d, x.shape[2 + d], False) for d in (0, 1)])


@CPU.lower(ops.resize2d_grad)
def _(op: Op, inputs: tuple[Any, ...], a: ops.ResizeGradAttrs, specs: Sequence[Spec]) -> Plan:
    return _resized(inputs, specs, [_lines(a, d, a.input_size[d], True) for d in (0, 1)])


def _order(read: list[tuple[Numbers, Numbers]], more_rows: bool, wide: bool) -> str:
    """In which order rows and columns are mixed: see `ResizeKernel`."""
    rows, columns = (places.shape[1] for places, _ in read)
    if rows == 1 and (read[0][1] == 1).all():
        return "rows"
    if wide and rows * columns <= MOST_TAPS:
        return "both"
    return "across" if more_rows else "down"


def _image(stages: Stages) -> tuple[Operand, tuple[int, int]]:
    """The input with each line one run of memory; its strides along images and lines."""
    (x,) = stages.inputs
    _, channels, height, width = x.shape
    operand, (image, line, pixel) = stages.read_image(0)
    if pixel == channels or width == 1:
        return operand, (image, line)
    operand = stages.read(0, channels_last_strides(x.shape))
    return operand, (channels * height * width, channels * width)


def _resized(
    inputs: tuple[Any, ...], specs: Sequence[Spec], read: list[tuple[Numbers, Numbers]]
) -> Plan:
    """The plan that mixes rows and columns as `read` says: places and weights of both."""
    stages, (x,), (spec,) = Stages(inputs, specs), inputs, specs
    if not numel(spec.shape) or not numel(x.shape):
        return stages.plan()
    n, channels, height, width = x.shape
    rows, columns = spec.shape[2:]
    kind = element(x.dtype.name)
    few = channels if channels < active().lanes(kind.compute.bytes) else 0
    order = _order(read, height <= rows, not few)
    row_taps, column_taps = (places.shape[1] for places, _ in read)
    taps = tuple(t if t <= MOST_TAPS else 0 for t in (row_taps, column_taps))
    v = ResizeKernel(kind, order, (taps[0], taps[1]), few)
    band = min(rows, max(BAND_ROWS, BAND_BYTES // (channels * columns * kind.bytes)))
    spans = [read[0][0][start : start + band] for start in range(0, rows, band)]
    bands = np.array([(s.min(), s.max() + 1) for s in spans], np.int64)
    operand, strides = _image(stages)
    places = [read[0][0].ravel(), read[1][0].ravel() * channels]
    weights = np.concatenate([w.ravel() for _, w in read])
    operands = [
        operand,
        stages.write(0, channels_last_strides(spec.shape)),
        stages.table(np.concatenate(places).astype(np.int64)),
        stages.table(weights.astype(np.float64 if kind.compute.bytes == 8 else np.float32)),
        stages.table(bands),
    ]
    own = 0
    if v.through_lines:
        held = int((bands[:, 1] - bands[:, 0]).max()) * columns if order == "across" else width
        own = held * channels
        operands.append(stages.thread_scratch(own * kind.compute.bytes))
    words = (
        n * len(bands), len(bands), band, rows, columns, width, channels, *strides,
        row_taps, column_taps, own,
    )  # fmt: skip
    moved = (numel(x.shape) + numel(spec.shape)) * kind.bytes
    stages.call(v.key, partial(resize_kernel, v), operands, words, worth_sharing(moved))
    return stages.plan()
