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
from fovea.targets.cpu import reduce_kernels as kernels
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import Element, element
from fovea.targets.cpu.launch import launch, launch_program, maker, program_call
from fovea.targets.cpu.loops import Ready, collapse, prepare
from fovea.targets.cpu.pointwise import expression
from fovea.targets.cpu.program import KernelProgram
from fovea.targets.cpu.reduce_kernels import Form, Reduction
from fovea.targets.cpu.reduce_layout import Dim, Layout, after_copy, arranged, split
from fovea.targets.cpu.target import CPU

_REDUCTIONS: dict[Op, Reduction] = {
    ops.sum_: kernels.SUM,
    ops.mean: kernels.SUM,
    ops.prod: kernels.PROD,
    ops.amax: kernels.AMAX,
    ops.amin: kernels.AMIN,
    ops.any_: kernels.ANY,
    ops.all_: kernels.ALL,
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
    return numel([n for n, _, _ in dims])


def _packed(address: int, words: Sequence[int], scalars: Sequence[float], parallel: bool) -> Ready:
    packed = struct.pack(f"{len(words)}q{len(scalars)}d", *words, *scalars)
    return Ready(address, packed, parallel)


def _by_memory(dims: Sequence[Dim]) -> list[int]:
    """Row-major strides of the dimensions, in their order: where partial results go."""
    return list(contiguous_strides([n for n, _, _ in dims]))


def rows_call(form: Form, at: Layout, scalars: Sequence[float], whole: Form) -> tuple[Ready, int]:
    """The call for reduced elements that lie together, and into how many chunks it cuts each
    result.

    Its form is ``whole`` with one chunk, else ``form``.
    """
    *outer, (length, _, _) = at.reduced
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
    to_y = [y for _, _, y in at.kept] if chunks == 1 else _by_memory(at.kept)
    words = [
        *(n for n, _, _ in at.kept),
        *(n for n, _, _ in outer),
        *(length, results, grain, chunks, chunk),
        *(x for _, x, _ in at.kept),
        *to_y,
        *(x for _, x, _ in outer),
    ]
    address = load_cached(f"rows/{chosen.key}", lambda: kernels.rows_kernel(chosen))
    return _packed(address, words, scalars if chosen.divided else (), not alone), chunks


def columns_call(
    form: Form, at: Layout, scalars: Sequence[float], whole: Form
) -> tuple[Ready, int]:
    """The same for kept elements that lie together."""
    *outer, (length, _, _) = at.kept
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
    to_y = [y for _, _, y in outer]
    if chunks > 1:
        to_y = _by_memory(at.kept)[:-1]
    words = [
        *(n for n, _, _ in outer),
        *(n for n, _, _ in at.reduced),
        *(length, results, row_grain, grain, across, chunks, chunk, results * length),
        *(x for _, x, _ in outer),
        *to_y,
        *(x for _, x, _ in at.reduced),
    ]
    address = load_cached(f"columns/{chosen.key}", lambda: kernels.columns_kernel(chosen))
    return _packed(address, words, scalars if chosen.divided else (), not alone), chunks


def stages(
    reduction: Reduction, source: Element, result: Element, at: Layout, scalars: Sequence[float]
) -> list[Stage]:
    """The calls of a reduction: one, or more where the first ones leave partial results."""
    total = reduction.total(source)
    side = _side_by_side(at)
    if side is not None:
        wide, folded = side
        first = stages(reduction, source, total, wide, ())
        return [*first, *stages(reduction, total, result, folded, scalars)]
    kept = len(at.kept) - at.columns
    reduced = len(at.reduced) - (not at.columns)
    partial = Form(reduction, source, total, kept, reduced, False)
    whole = Form(reduction, source, result, kept, reduced, bool(scalars))
    ready, chunks = (columns_call if at.columns else rows_call)(partial, at, scalars, whole)
    results = _total(at.kept)
    if chunks == 1:
        return [Stage(ready, results * result.bytes)]
    steps = _by_memory(at.kept)
    each, between = (1, results) if at.columns else (chunks, 1)
    gone = [(chunks, between, 0)]
    left = [(n, s * each, y) for (n, _, y), s in zip(at.kept, steps, strict=True)]
    rest = stages(reduction, total, result, Layout(left, gone, at.columns), scalars)
    return [Stage(ready, results * chunks * total.bytes), *rest]


def _side_by_side(at: Layout) -> tuple[Layout, Layout] | None:
    """Few columns without gaps: several rows at a time, side by side, are as many more columns,
    folded afterwards.
    """
    if not at.columns:
        return None
    *outer, (columns, _, _) = at.kept
    *above, (rows, step, _) = at.reduced
    together = _power_of_two(rows, NARROW // columns)
    if step != columns or together < 2 or _total(at.kept) * _total(at.reduced) < WORTH_FOLDING:
        return None
    lines = contiguous_strides([*(n for n, _, _ in outer), together * columns])
    wide = Layout(
        [
            *((n, x, y) for (n, x, _), y in zip(outer, lines, strict=False)),
            (together * columns, 1, 1),
        ],
        [*above, (rows // together, step * together, 0)],
        columns=True,
    )
    folded = Layout(
        [*((n, x, y) for (n, _, y), x in zip(outer, lines, strict=False)), (columns, 1, 1)],
        [(together, columns, 0)],
        columns=True,
    )
    return wide, folded


def _power_of_two(n: int, most: int) -> int:
    """The largest power of two up to ``most`` that divides ``n``."""
    power = n & -n
    while power > max(most, 1):
        power //= 2
    return power


@CPU.lower(*_REDUCTIONS)
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
    reduction, e = _REDUCTIONS[op], element(x.dtype.name)
    scalars = (float(count),) if op is ops.mean else ()
    found = stages(reduction, e, element(spec.dtype.name), at, scalars)
    if len(found) == 1:
        return launch(found[0].ready, [x.dtype], spec)
    return launch_program(_program(found), spec)


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
    space = collapse([n for n, _, _ in kept], ([s for _, s, _ in kept], [s for _, _, s in kept]))
    assert space is not None
    cast = expression(elementwise.cast, "", 0, (x.dtype,), spec.dtype, spec.dtype)
    return launch(prepare(cast, space), [x.dtype], spec)


def _of_nothing(op: Op, spec: Spec) -> Plan:
    """Reductions over no elements: 0, 1, False, True, or NaN for a mean."""
    value = {ops.prod: 1, ops.all_: 1, ops.mean: float("nan")}.get(op, 0)
    make = maker(spec)

    def run(inputs: tuple[Any, ...]) -> Any:
        out = make()
        out._array()[...] = value
        return out

    return run
