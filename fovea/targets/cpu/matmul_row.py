"""One row times a matrix whose rows are dense: the matrix is read from end to end, four rows at a
time, into sums that stay in the first-level cache.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import Element
from fovea.targets.cpu.epilogue import Epilogue, Finish
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.program import KernelCall, KernelProgram
from fovea.targets.cpu.schedule import PIECE_FLOPS
from fovea.targets.cpu.values import Index

if TYPE_CHECKING:
    from fovea.targets.cpu.matmul import Problem

LEAST, MOST = 256, 2048  # columns of a piece
UNROLL = 4
SIZES = ("run", "columns", "a_item", "b_row", "block")


def prefers_row(p: Problem) -> bool:
    """Whether a problem is one row against many dense ones of float32 or float64."""
    dense = (
        p.b_strides[1] == 1 and p.a.element is p.b.element and p.a.dtype in ("float32", "float64")
    )
    return p.rows == 1 and not p.batch and dense and p.columns >= LEAST and p.run >= UNROLL


def row_kernel(kind: Element, epilogue: Epilogue) -> Kernel:
    """c = a @ b and what the epilogue makes of it, for one row a; a piece is a block of columns."""
    buffers = [("a", kind), ("b", kind), *epilogue.buffers, ("c", kind)]
    k = Kernel("matmul_row", buffers, SIZES, epilogue.scalars)
    a, b, *_, c = k.buffers
    finish = Finish(k, epilogue, kind)
    run, columns, a_item, b_row, block = k.sizes
    with k.parallel((columns + block - 1) // block) as piece:
        first = piece * block
        count = k.smaller(columns - first, block)
        sums, lines, here = c.at(first), b.at(first), finish.at(first, first)
        for width, low, high in _spans(k, kind, count):
            with k.loop(low, high, width) as i:
                k.store(here.start(i, width), sums, i)
        full = run // UNROLL * UNROLL
        with k.loop(0, full, UNROLL) as item:
            _add_rows(k, kind, (a, a_item), (lines, b_row), item, UNROLL, (sums, count))
        with k.loop(full, run) as item:
            _add_rows(k, kind, (a, a_item), (lines, b_row), item, 1, (sums, count))
        if epilogue.is_more_than_bias:
            for width, low, high in _spans(k, kind, count):
                with k.loop(low, high, width) as i:
                    affine = here.affine(i, width, started=True)
                    value = here.value(k.load(sums, i, width), affine, here.residual(i, width))
                    k.store(value, sums, i)
    return k


def _spans(k: Kernel, kind: Element, count: Index) -> list[tuple[int, Index, Index]]:
    """(lanes, first, end) of the whole vectors among `count` elements, and of the rest."""
    lanes = k.lanes(kind)
    full = count // lanes * lanes
    return [(lanes, 0, full), (1, full, count)]


def _add_rows(
    k: Kernel, kind: Element, a: tuple[Buffer, Index], b: tuple[Buffer, Index], item: Index,
    rows: int, target: tuple[Buffer, Index],
) -> None:  # fmt: skip
    """Add some rows of b, each times its element of a, to the sums."""
    sums, count = target
    factors = [k.load(a[0], (item + r) * a[1]) for r in range(rows)]
    lines = [b[0].at((item + r) * b[1]) for r in range(rows)]
    for width, low, high in _spans(k, kind, count):
        with k.loop(low, high, width) as i:
            total = k.load(sums, i, width)
            for factor, line in zip(factors, lines, strict=True):
                total = k.fma(factor, k.load(line, i, width), total)
            k.store(total, sums, i)


def plan_row(p: Problem) -> KernelProgram:
    """The program for a problem that `prefers_row`."""
    kind = p.a.element
    key = f"matmul/row/{kind}/{p.epilogue.key}"
    address = load_cached(key, partial(row_kernel, kind, p.epilogue))
    buffers = (*p.operands, *p.extras, p.output)
    block = max(LEAST, min(MOST, -(-p.columns // 4 // 64) * 64))
    words = (p.run, p.columns, p.a_item, p.b_strides[0], block, *p.epilogue.words)
    parallel = 2 * p.run * p.columns > PIECE_FLOPS // 8 and p.columns > block
    return KernelProgram([KernelCall(address, buffers, words, parallel)], p.external)
