"""Lowering of reductions (`fovea.ops.reduce`): which kernel, cut how."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fovea.ops import elementwise
from fovea.ops import reduce as ops
from fovea.ops.op import Op, Spec, contiguous_strides, numel
from fovea.targets.base import Plan
from fovea.targets.cpu import reduce_form as forms
from fovea.targets.cpu import reduce_kernels as kernels
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.copy import filling, moving
from fovea.targets.cpu.elements import Element, element
from fovea.targets.cpu.launch import launch, program_call
from fovea.targets.cpu.loops import Ready, collapse, prepare
from fovea.targets.cpu.lowering import run_program
from fovea.targets.cpu.pointwise import expression
from fovea.targets.cpu.program import KernelProgram
from fovea.targets.cpu.reduce_form import Form, Prologue, Reduction
from fovea.targets.cpu.reduce_layout import Apart, Dim, Layout, after_copy, arranged, split
from fovea.targets.cpu.target import CPU

REDUCTIONS: dict[Op, Reduction] = {
    ops.sum_: forms.SUM,
    ops.mean: forms.SUM,
    ops.prod: forms.PROD,
    ops.amax: forms.AMAX,
    ops.amin: forms.AMIN,
    ops.any_: forms.ANY,
    ops.all_: forms.ALL,
}

ALONE_BELOW = 65536  # elements; less is reduced by the calling thread
PIECE = 32768  # elements
ENOUGH_PIECES = 32
NARROW = 64  # up to half so many columns are summed several rows at a time
WORTH_FOLDING = 8192  # elements


@dataclass(frozen=True)
class Stage:
    """One kernel call of a reduction, and how many bytes it writes."""

    ready: Ready
    nbytes: int


def _total(dims: Sequence[Dim]) -> int:
    return numel([d.size for d in dims])


def _packed(address: int, words: Sequence[int], scalars: Sequence[float], parallel: bool) -> Ready:
    packed = struct.pack(f"{len(words)}q{len(scalars)}d", *words, *scalars)
    return Ready(address, packed, parallel)


def _by_memory(dims: Sequence[Dim]) -> list[int]:
    """Row-major strides of the dimensions, in their order: where partial results go."""
    return list(contiguous_strides([d.size for d in dims]))


def _operand_strides(form: Form, dims: Sequence[Dim]) -> list[list[int]]:
    """The strides of each buffer that is read or stored on the way, along dimensions."""
    if form.prologue is None:
        return [[d.x for d in dims]]
    read = len(form.prologue.expression.inputs)
    found = [[d.operands[i] for d in dims] for i in range(read)]
    return found + [[d.x for d in dims]] * (len(form.buffers) - read)


def _strides(
    form: Form, kept: Sequence[Dim], results: Sequence[int], reduced: Sequence[Dim]
) -> list[int]:
    """A kernel's last sizes: strides along kept dimensions, those of results, along reduced."""
    lists = [*_operand_strides(form, kept), results, *_operand_strides(form, reduced)]
    return [s for strides in lists for s in strides]


def _scalars(form: Form, scalars: Sequence[float]) -> Sequence[float]:
    """Those of a form: the count only where it divides."""
    return scalars if form.divided else scalars[len(scalars) - len(form.scalars) :]


def rows_call(form: Form, at: Layout, scalars: Sequence[float], whole: Form) -> tuple[Ready, int]:
    """The call for reduced elements that lie together, and into how many chunks it cuts each
    result.

    Its form is ``whole`` with one chunk, else ``form``.
    """
    *outer, inner = at.reduced
    length = inner.size
    results, many = _total(at.kept), _total(at.reduced)
    grain, chunks = max(1, PIECE // many), 1
    rows = _total(outer) if outer else length
    chunk = rows
    pieces = -(-results // grain)
    alone = results * many <= ALONE_BELOW
    if alone:
        grain = results
    elif pieces < ENOUGH_PIECES and many > PIECE:
        wanted = min(-(-ENOUGH_PIECES // pieces), -(-many // PIECE))
        chunk = -(-rows // wanted)
        if not outer:
            chunk = -(-chunk // kernels.ROW_BLOCK) * kernels.ROW_BLOCK
        chunks = -(-rows // chunk)
    chosen = whole if chunks == 1 else form
    to_y = [d.y for d in at.kept] if chunks == 1 else _by_memory(at.kept)
    words = [
        *(d.size for d in at.kept),
        *(d.size for d in outer),
        *(length, results, grain, chunks, chunk),
        *_strides(chosen, at.kept, to_y, outer),
    ]
    address = load_cached(f"rows/{chosen.key}", lambda: kernels.rows_kernel(chosen))
    return _packed(address, words, _scalars(chosen, scalars), not alone), chunks


def columns_call(
    form: Form, at: Layout, scalars: Sequence[float], whole: Form
) -> tuple[Ready, int]:
    """The same for kept elements that lie together."""
    *outer, inner = at.kept
    length = inner.size
    results, many = _total(outer), _total(at.reduced)
    grain = length if length <= 1024 else 512
    across = -(-length // grain)
    row_grain, chunks, chunk = max(1, PIECE // (grain * many)), 1, many
    pieces = across * -(-results // row_grain)
    alone = results * many * length <= ALONE_BELOW
    if alone:
        row_grain, grain, across = results, length, 1
    elif pieces < ENOUGH_PIECES and many * grain > PIECE:
        wanted = min(-(-ENOUGH_PIECES // pieces), many * grain // PIECE)
        block = kernels.COLUMN_BLOCK
        chunk = (many + wanted - 1) // wanted
        chunk = -(-chunk // block) * block
        chunks = -(-many // chunk)
    chosen = whole if chunks == 1 else form
    to_y = [d.y for d in outer] if chunks == 1 else _by_memory(at.kept)[:-1]
    words = [
        *(d.size for d in outer),
        *(d.size for d in at.reduced),
        *(length, results, row_grain, grain, across, chunks, chunk, results * length),
        *_strides(chosen, outer, to_y, at.reduced),
    ]
    address = load_cached(f"columns/{chosen.key}", lambda: kernels.columns_kernel(chosen))
    return _packed(address, words, _scalars(chosen, scalars), not alone), chunks


def stages(
    reduction: Reduction,
    source: Element,
    result: Element,
    at: Layout,
    count: float | None,
    prologue: Prologue | None = None,
    parameters: Sequence[float] = (),
) -> list[Stage]:
    """The calls of a reduction: one, or more where the first ones leave partial results.

    Args:
        source, result: the elements reduced and written.
        count: what totals are divided by.
        prologue, parameters: what computes the elements, and its numbers.

    Raises:
        Apart: the prologue's operands do not lie as the elements do.
    """
    total = reduction.total(source)
    side = _side_by_side(at)
    if side is not None:
        wide, folded = side
        first = stages(reduction, source, total, wide, None, prologue, parameters)
        return [*first, *stages(reduction, total, result, folded, count)]
    kept = len(at.kept) - at.columns
    reduced = len(at.reduced) - (not at.columns)
    scalars = [*(() if count is None else (count,)), *parameters]
    partial = Form(reduction, source, total, kept, reduced, False, prologue)
    whole = Form(reduction, source, result, kept, reduced, count is not None, prologue)
    ready, chunks = (columns_call if at.columns else rows_call)(partial, at, scalars, whole)
    results = _total(at.kept)
    if chunks == 1:
        return [Stage(ready, results * result.bytes)]
    steps = _by_memory(at.kept)
    each, between = (1, results) if at.columns else (chunks, 1)
    gone = [Dim(chunks, between, 0)]
    left = [Dim(d.size, s * each, d.y) for d, s in zip(at.kept, steps, strict=True)]
    rest = stages(reduction, total, result, Layout(left, gone, at.columns), count)
    return [Stage(ready, results * chunks * total.bytes), *rest]


def _side_by_side(at: Layout) -> tuple[Layout, Layout] | None:
    """Few columns without gaps: several rows at a time, side by side, are as many more columns,
    folded afterwards.
    """
    if not at.columns:
        return None
    (*outer, inner), (*above, last) = at.kept, at.reduced
    columns = inner.size
    # Half of the rows at most: all of them would only be copied.
    together = _power_of_two(last.size, min(NARROW // columns, last.size // 2))
    if last.x != columns or together < 2 or _total(at.kept) * _total(at.reduced) < WORTH_FOLDING:
        return None
    if any(
        s != inner_s * columns for s, inner_s in zip(last.operands, inner.operands, strict=True)
    ):
        raise Apart
    lines = contiguous_strides([*(d.size for d in outer), together * columns])
    wide = Layout(
        [
            *(d._replace(y=y) for d, y in zip(outer, lines, strict=False)),
            Dim(together * columns, 1, 1, inner.operands),
        ],
        [*above, _stretched(last, together)],
        columns=True,
    )
    folded = Layout(
        [*(Dim(d.size, x, d.y) for d, x in zip(outer, lines, strict=False)), Dim(columns, 1, 1)],
        [Dim(together, columns, 0)],
        columns=True,
    )
    return wide, folded


def _stretched(d: Dim, times: int) -> Dim:
    """So many neighbors along a dimension taken as one."""
    return Dim(d.size // times, d.x * times, 0, tuple(s * times for s in d.operands))


def _power_of_two(n: int, most: int) -> int:
    """The largest power of two up to ``most`` that divides ``n``."""
    power = n & -n
    while power > max(most, 1):
        power //= 2
    return power


@CPU.lower(*REDUCTIONS)
def _(op: Op, inputs: tuple[Any, ...], attrs: Any, specs: Sequence[Spec]) -> Plan:
    (x,), (spec,) = inputs, specs
    out_strides = contiguous_strides(spec.shape) if spec.strides is None else spec.strides
    if numel(spec.shape) == 0:
        return launch(None, [x.dtype], spec)
    count = numel([x.shape[d] for d in attrs.dims])
    if count == 0:
        return _of_nothing(op, spec)
    kept, reduced = split(x.shape, x.strides, attrs.dims, spec.shape, out_strides)
    if not reduced:
        return _of_one(x, kept, spec)
    at = arranged(kept, reduced)
    if at is None:
        return after_copy(op, x, attrs, specs, attrs.dims)
    reduction, e = REDUCTIONS[op], element(x.dtype.name)
    divisor = float(count) if op is ops.mean else None
    found = stages(reduction, e, element(spec.dtype.name), at, divisor)
    if len(found) == 1:
        return launch(found[0].ready, [x.dtype], spec)
    return run_program(_program(found), spec)


def _program(found: Sequence[Stage]) -> KernelProgram:
    """Stages one after the other, with scratch memory between them."""
    last = len(found) - 1
    calls = [
        program_call(s.ready, (0 if n == 0 else n + 1, 1 if n == last else n + 2))
        for n, s in enumerate(found)
    ]
    return KernelProgram(calls, 2, [s.nbytes for s in found[:-1]])


def _of_one(x: Any, kept: Sequence[Dim], spec: Spec) -> Plan:
    """Each result has one element: a copy, cast if need be."""
    space = collapse([d.size for d in kept], ([d.x for d in kept], [d.y for d in kept]))
    assert space is not None
    cast = expression(elementwise.cast, "", 0, (x.dtype,), spec.dtype, spec.dtype)
    return launch(prepare(cast, space), [x.dtype], spec)


def _of_nothing(op: Op, spec: Spec) -> Plan:
    """Reductions over no elements: 0, 1, False, True, or NaN for a mean."""
    value = {ops.prod: 1, ops.all_: 1, ops.mean: float("nan")}.get(op, 0)
    strides = contiguous_strides(spec.shape) if spec.strides is None else spec.strides
    return moving(filling(spec, strides, value), spec)
