"""Lowering of softmax and its logarithm: along rows or across them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from fovea.ops import softmax as ops
from fovea.ops.op import Op, Spec, contiguous_strides, numel
from fovea.targets.base import Plan
from fovea.targets.cpu.elements import Element, element
from fovea.targets.cpu.softmax_kernels import rows_grad_kernel, rows_kernel
from fovea.targets.cpu.softmax_tiles import MOST_FEW, MOST_WIDE, few_kernel, planes_kernel
from fovea.targets.cpu.stages import Operand, Stages, worth_sharing
from fovea.targets.cpu.target import CPU

__all__ = ["EXP_COST", "row_words"]

ROW_PIECE_BYTES = 16384
PLANE_PIECE_BYTES = 65536
RUN_BYTES = 262144  # what a run of planes should keep in the second-level cache
RUN_LINES = 4  # at least
LINE = 64
ROW_UNIT = 16  # short rows are taken so many at a time, or half as many
EXP_COST = 4  # an exponential takes as long as moving so many numbers


class _Layout(NamedTuple):
    """A dense array as (outer, size, inner) around the dimension, in the order of memory."""

    outer: int
    size: int
    inner: int


def _layout(shape: Sequence[int], strides: Sequence[int], dim: int) -> _Layout:
    if not shape:
        return _Layout(1, 1, 1)
    step = strides[dim]
    inside = [n for d, n in enumerate(shape) if d != dim and n > 1 and strides[d] < step]
    size, inner = shape[dim], 1 if shape[dim] == 1 else numel(inside)
    return _Layout(numel(shape) // max(size * inner, 1), size, inner)


def _lowered(inputs: Sequence[Any], spec: Spec, dim: int, log: bool) -> Plan:
    """The plan for all inputs and the output in the layout that `spec` asks for."""
    stages = Stages(inputs, [spec])
    strides = contiguous_strides(spec.shape) if spec.strides is None else spec.strides
    m, kind, sources = _layout(spec.shape, strides, dim), element(spec.dtype.name), len(inputs)
    if numel(spec.shape) == 0:
        return stages.plan()
    operands = [stages.read(i, strides) for i in range(sources)]
    operands.append(stages.write(0, strides))
    shared = worth_sharing(numel(spec.shape) * kind.compute.bytes * EXP_COST)
    key = f"softmax/{sources}/{kind}/{log}"
    if m.inner > 1:
        _add_planes(stages, m, kind, operands, log, shared)
        return stages.plan()
    words = row_words(m.outer, m.size, kind)
    if m.size <= MOST_FEW:
        build = partial(few_kernel, kind, log, sources)
        stages.call(f"{key}/few", build, operands, words, shared)
    elif sources == 1:
        words.append(m.size)
        stages.call(f"{key}/rows", partial(rows_kernel, kind, log), operands, words, shared)
    else:
        build = partial(rows_grad_kernel, kind, log)
        stages.call(f"{key}/rows", build, operands, words, shared)
    return stages.plan()


def _add_planes(
    stages: Stages, m: _Layout, kind: Element, operands: list[Operand], log: bool, shared: bool
) -> None:
    """The call for a dimension that is not the innermost."""
    sources = len(operands) - 1
    line = LINE // kind.compute.bytes
    deep = m.size * kind.bytes * len(operands)
    width = min(MOST_WIDE, max(RUN_LINES, RUN_BYTES // (deep * line)) * line)
    grain = max(1, PLANE_PIECE_BYTES // (m.size * kind.bytes * width)) * width
    splits = -(-m.inner // grain)
    words = (m.size, m.inner, grain, splits, splits * m.outer, width)
    build = partial(planes_kernel, kind, log, sources)
    stages.call(f"softmax/{sources}/{kind}/{log}/planes", build, operands, words, shared)


def row_words(rows: int, columns: int, kind: Element) -> list[int]:
    """How rows are cut into pieces: rows, rows of a piece, pieces, columns."""
    grain = -(-ROW_PIECE_BYTES // max(columns * kind.bytes, 1))
    grain = -(-grain // ROW_UNIT) * ROW_UNIT if columns <= MOST_FEW else grain
    return [rows, grain, -(-rows // grain), columns]


@CPU.lower(ops.softmax, ops.softmax_grad)
def _(op: Op, inputs: tuple[Any, ...], a: ops.SoftmaxAttrs, specs: Sequence[Spec]) -> Plan:
    return _lowered(inputs, specs[0], a.dim, log=False)


@CPU.lower(ops.log_softmax, ops.log_softmax_grad)
def _(op: Op, inputs: tuple[Any, ...], a: ops.SoftmaxAttrs, specs: Sequence[Spec]) -> Plan:
    return _lowered(inputs, specs[0], a.dim, log=True)
