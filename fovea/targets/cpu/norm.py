"""Lowering of batch and layer normalization: which dimensions are rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from fovea.ops import norm as ops
from fovea.ops.op import Op, Spec, contiguous_strides, numel
from fovea.targets.base import Plan
from fovea.targets.cpu import layer_norm_kernels as layers
from fovea.targets.cpu import norm_kernels as kernels
from fovea.targets.cpu.elements import Element, element
from fovea.targets.cpu.program import double_bits
from fovea.targets.cpu.stages import Operand, Stages, same_strides, worth_sharing
from fovea.targets.cpu.target import CPU

FOLD_BELOW = 64  # columns: a narrower matrix is folded
PIECE_BYTES = 65536
PIECE_ROWS = 32  # at least: partials are a 16th of that
MOST_PIECES = 512
CHANNEL_GRAIN = 64


def _element(t: Any) -> Element:
    return element(t.dtype.name)


def element_of(t: Any | None) -> Element | None:
    """The element of a weight or bias, None if it is left out."""
    return None if t is None else _element(t)


# -- batch normalization: channels as columns -------------------------------------------------


class _Matrix(NamedTuple):
    """An input of a batch normalization as rows of channels.

    Args:
        rows, channels: its size.
        order: the dimensions that rows run over, outermost in memory first.
        strides: those that it has where rows follow one another without gaps.
    """

    rows: int
    channels: int
    axis: int
    order: tuple[int, ...]
    strides: tuple[int, ...]

    @staticmethod
    def of(x: Any, axis: int) -> _Matrix:
        shape = tuple(x.shape)
        others = [d for d in range(len(shape)) if d != axis]
        order = sorted(others, key=lambda d: -x.strides[d] if shape[d] > 1 else 0)
        if _row_stride(shape, x.strides, axis, order) is None:
            order = others
        strides, step = [1] * len(shape), shape[axis]
        for d in reversed(order):
            strides[d], step = step, step * max(shape[d], 1)
        rows = numel([shape[d] for d in others])
        return _Matrix(rows, shape[axis], axis, tuple(order), tuple(strides))


def _row_stride(
    shape: Sequence[int], strides: Sequence[int], axis: int, order: Sequence[int]
) -> int | None:
    """The distance of rows whose dimensions are nested in this order.

    None if they are not nested so, or if channels do not lie side by side.
    """
    if strides[axis] != 1 and shape[axis] > 1:
        return None
    found, step = None, 0
    for d in reversed(order):
        if shape[d] == 1:
            continue
        if found is None:
            found = step = strides[d]
        elif strides[d] != step:
            return None
        step *= shape[d]
    return shape[axis] if found is None else found


class BatchNorm:
    """The calls of one batch normalization: matrices, and numbers of columns in scratch.

    Args:
        stages: the plan in the making.
        x: which input is x.
        matrices: which inputs are matrices, x among them.
        axis: where the channels are.
    """

    def __init__(self, stages: Stages, x: int, matrices: Sequence[int], axis: int) -> None:
        self.stages = stages
        self.x = stages.inputs[x]
        self.kind = _element(self.x)
        self.m = m = _Matrix.of(self.x, axis)
        self.operands, self.row_strides = {}, {}
        for i in matrices:
            t = stages.inputs[i]
            stride = _row_stride(t.shape, t.strides, m.axis, m.order)
            self.operands[i] = stages.read(i, None if stride is not None else m.strides)
            self.row_strides[i] = m.channels if stride is None else stride
        self.fold = self._fold()
        self.rows, self.columns = m.rows // self.fold, m.channels * self.fold
        row_bytes = self.columns * self.kind.bytes
        self.grain = max(PIECE_ROWS, PIECE_BYTES // max(row_bytes, 1), self.rows // MOST_PIECES)
        self.pieces = -(-self.rows // self.grain)
        self.shared = worth_sharing(m.rows * m.channels * self.kind.bytes)

    def _fold(self) -> int:
        """How many rows are taken as one."""
        m = self.m
        dense = all(s == m.channels for s in self.row_strides.values())
        if m.channels >= FOLD_BELOW or m.channels == 0 or not dense:
            return 1
        most = 2 * FOLD_BELOW // m.channels
        return max(f for f in range(1, most + 1) if m.rows % f == 0)

    def vector(self, i: int) -> Operand:
        """An input with one number a channel."""
        return self.stages.read_dense(i)

    def columns_scratch(self, count: int) -> Operand:
        return self.stages.scratch(count * self.columns * self.kind.compute.bytes)

    def partials(self) -> Operand:
        return self.columns_scratch(2 * self.pieces)

    def row_pass(
        self,
        name: str,
        build: Any,
        operands: Sequence[Operand],
        matrices: Sequence[int | None],
        out: bool,
        scalars: Sequence[int] = (),
    ) -> None:
        """Add a pass over rows of these inputs (None: of a result), and of the output if there is
        one.
        """
        strides = [self.columns if i is None else self.row_strides[i] * self.fold for i in matrices]
        words = (self.rows, self.grain, self.pieces, self.columns, *strides)
        words += (self.columns,) if out else ()
        words += tuple(scalars)
        key = f"norm/{name}/{self.kind}"
        self.stages.call(key, partial(build, self.kind), operands, words, self.shared)

    def column_pass(
        self, name: str, build: Any, operands: Sequence[Operand], eps: float | None = None
    ) -> None:
        """Add a call that makes the columns' numbers."""
        pieces = -(-self.m.channels // CHANNEL_GRAIN)
        words = [
            self.m.channels,
            self.fold,
            CHANNEL_GRAIN,
            pieces,
            self.pieces,
            self.grain,
            self.rows,
        ]
        words += [] if eps is None else [double_bits(eps)]
        shared = pieces > 1 and worth_sharing(2 * self.pieces * self.columns * 4)
        packs = all(o.kind != "output" for o in operands)
        self.stages.call(f"norm/{name}", build, operands, words, shared, packs)

    def spread(self, i: int) -> Operand:
        """An input with one number a channel as one with a number a column."""
        own, source = self.vector(i), _element(self.stages.inputs[i])
        if self.fold == 1 and source is self.kind.compute:
            return own
        made = self.columns_scratch(1)
        build = partial(kernels.expand_kernel, self.kind, source)
        self.column_pass(f"expand/{self.kind}/{source}", build, [own, made])
        return made


def given_of(inputs: Sequence[Any], **places: int) -> dict[str, tuple[int, Element]]:
    """Of the inputs at these places, those that are there, with their elements."""
    return {n: (i, _element(inputs[i])) for n, i in places.items() if inputs[i] is not None}


@CPU.lower(ops.batch_norm_train)
def _(op: Op, inputs: tuple[Any, ...], a: ops.NormAttrs, specs: Sequence[Spec]) -> Plan:
    stages = Stages(inputs, specs)
    b = BatchNorm(stages, 0, [0], a.axis)
    x, y = b.operands[0], stages.write(0, b.m.strides)
    given = given_of(inputs, weight=1, bias=2)
    weight, bias = element_of(inputs[1]), element_of(inputs[2])
    partials, columns = b.partials(), b.columns_scratch(3)
    b.row_pass("moments", kernels.moments_kernel, [x, partials], [0], out=False)
    statistic = _element(specs[1])
    build = partial(kernels.train_columns_kernel, b.kind, weight, bias, statistic)
    outs = [Operand("output", i) for i in (1, 2, 3)]
    operands = [partials, *[b.vector(i) for i, _ in given.values()], *outs, columns]
    b.column_pass(f"train_columns/{b.kind}/{weight}/{bias}", build, operands, a.eps)
    b.row_pass("apply", kernels.apply_kernel, [x, columns, y], [0], out=True)
    return stages.plan()


@CPU.lower(ops.batch_norm_infer)
def _(op: Op, inputs: tuple[Any, ...], a: ops.NormAttrs, specs: Sequence[Spec]) -> Plan:
    stages = Stages(inputs, specs)
    b = BatchNorm(stages, 0, [0], a.axis)
    y, columns = stages.write(0, b.m.strides), b.columns_scratch(2)
    given = given_of(inputs, mean=1, var=2, weight=3, bias=4)
    elements = tuple((name, kind) for name, (_, kind) in given.items())
    build = partial(kernels.infer_columns_kernel, b.kind, elements)
    operands = [*[b.vector(i) for i, _ in given.values()], columns]
    b.column_pass(f"infer_columns/{b.kind}/{elements}", build, operands, a.eps)
    build = partial(kernels.apply_kernel, centered=False)
    b.row_pass("scale", build, [b.operands[0], columns, y], [0], out=True)
    return stages.plan()


@CPU.lower(ops.batch_norm_train_grad)
def _(op: Op, inputs: tuple[Any, ...], a: ops.NormAttrs, specs: Sequence[Spec]) -> Plan:
    stages = Stages(inputs, specs)
    b = BatchNorm(stages, 1, [0, 1], a.axis)
    gy, x = b.operands[0], b.operands[1]
    gx = stages.write(0, b.m.strides)
    partials, columns = b.partials(), b.columns_scratch(4)
    operands = [gy, x, b.spread(3), partials]
    b.row_pass("grad_sums", kernels.grad_sums_kernel, operands, [0, 1], out=False)
    given = given_of(inputs, weight=2, mean=3, rstd=4)
    weight, mean, rstd = element_of(inputs[2]), _element(inputs[3]), _element(inputs[4])
    statistic = _element(specs[1])
    build = partial(kernels.grad_columns_kernel, b.kind, weight, mean, rstd, statistic)
    outs = [Operand("output", 1), Operand("output", 2)]
    operands = [partials, *[b.vector(i) for i, _ in given.values()], *outs, columns]
    b.column_pass(f"grad_columns/{b.kind}/{weight}/{mean}/{rstd}", build, operands)
    b.row_pass("grad_apply", kernels.grad_apply_kernel, [gy, x, columns, gx], [0, 1], out=True)
    return stages.plan()


@CPU.lower(ops.batch_norm_update)
def _(op: Op, inputs: tuple[Any, ...], a: ops.RunningAttrs, specs: Sequence[Spec]) -> Plan:
    stages = Stages(inputs, specs)
    kinds = [_element(t) for t in inputs]
    words = [inputs[0].shape[0], *[t.strides[0] for t in inputs]]
    words += [double_bits(a.momentum), double_bits(a.correction)]
    operands = [stages.read(i) for i in range(4)]
    build = partial(kernels.update_kernel, kinds)
    stages.call(f"norm/update/{kinds}", build, operands, words, parallel=False)
    return stages.plan()


# -- layer normalization: the last dimensions as columns --------------------------------------

ROW_PIECE_BYTES = 32768
# A part of a gradient has sums of its own, each as long as a row.
MOST_PARTS = 64
PART_ROWS = 16  # at least


class _Rows:
    """The inputs of a layer normalization as rows.

    Args:
        stages: the plan in the making.
        x: which input is x.
        ndim: how many of the last dimensions make a row.
    """

    def __init__(self, stages: Stages, x: int, ndim: int) -> None:
        self.stages, self.x, self.ndim = stages, stages.inputs[x], ndim
        shape = tuple(self.x.shape)
        lead = len(shape) - ndim
        self.rows, self.columns = numel(shape[:lead]), numel(shape[lead:])
        self.kind = _element(self.x)
        self.row_bytes = max(self.columns * self.kind.bytes, 1)
        self.shared = worth_sharing(self.rows * self.row_bytes)

    def matrix(self, i: int) -> tuple[Operand, int]:
        """An input whose rows are dense, and their distance."""
        t = self.stages.inputs[i]
        stride = _distance(tuple(t.shape), t.strides, self.ndim)
        if stride is None:
            return self.stages.read_dense(i), self.columns
        return self.stages.read(i), stride

    def words(self, grain: int, *strides: int) -> list[int]:
        return [self.rows, grain, -(-self.rows // grain), self.columns, *strides]


def _distance(shape: tuple[int, ...], strides: Sequence[int], ndim: int) -> int | None:
    """The distance of rows of the last `ndim` dimensions.

    None unless each is a run of memory and they are evenly apart.
    """
    lead = len(shape) - ndim
    if not same_strides(shape[lead:], strides[lead:], contiguous_strides(shape[lead:])):
        return None
    flat = (*shape[:lead], 1)
    return _row_stride(flat, (*strides[:lead], 1), lead, range(lead)) if lead else 0


@CPU.lower(ops.layer_norm)
def _(op: Op, inputs: tuple[Any, ...], a: ops.LayerNormAttrs, specs: Sequence[Spec]) -> Plan:
    stages = Stages(inputs, specs)
    r = _Rows(stages, 0, a.ndim)
    given = given_of(inputs, weight=1, bias=2)
    weight, bias = element_of(inputs[1]), element_of(inputs[2])
    statistic = _element(specs[1])
    x, x_row = r.matrix(0)
    y = stages.write(0, contiguous_strides(specs[0].shape))
    outs = [y, Operand("output", 1), Operand("output", 2)]
    operands = [x, *outs, *[stages.read_dense(i) for i, _ in given.values()]]
    words = r.words(max(1, ROW_PIECE_BYTES // r.row_bytes), x_row)
    build = partial(layers.layer_norm_kernel, r.kind, weight, bias, statistic)
    key = f"norm/layer/{r.kind}/{weight}/{bias}"
    stages.call(key, build, operands, [*words, double_bits(a.eps)], r.shared)
    return stages.plan()


@CPU.lower(ops.layer_norm_grad)
def _(op: Op, inputs: tuple[Any, ...], a: ops.LayerNormAttrs, specs: Sequence[Spec]) -> Plan:
    stages = Stages(inputs, specs)
    r = _Rows(stages, 1, a.ndim)
    weight, mean, rstd = element_of(inputs[2]), _element(inputs[3]), _element(inputs[4])
    (gy, gy_row), (x, x_row) = r.matrix(0), r.matrix(1)
    gx = stages.write(0, contiguous_strides(specs[0].shape))
    grain = max(PART_ROWS, ROW_PIECE_BYTES // r.row_bytes, -(-r.rows // MOST_PARTS))
    words = r.words(grain, gy_row, x_row)
    parts = words[2]
    partials = stages.scratch(2 * parts * r.columns * r.kind.compute.bytes)
    operands = [gy, x, gx, stages.read_dense(3), stages.read_dense(4), partials]
    operands += [stages.read_dense(2)] if inputs[2] is not None else []
    build = partial(layers.grad_kernel, r.kind, weight, mean, rstd)
    key = f"norm/layer_grad/{r.kind}/{weight}/{mean}/{rstd}"
    stages.call(key, build, operands, words, r.shared)
    pieces = -(-r.columns // CHANNEL_GRAIN)
    total_words = [r.columns, 1, CHANNEL_GRAIN, pieces, parts, grain, r.rows]
    operands = [partials, Operand("output", 1), Operand("output", 2)]
    build = partial(layers.grad_total_kernel, r.kind, _element(specs[1]))
    shared = worth_sharing(2 * parts * r.columns * r.kind.compute.bytes)
    stages.call(f"norm/layer_grad_total/{r.kind}", build, operands, total_words, shared)
    return stages.plan()
