"""Products of operands that are both dense along the contracted index, such as x @ weight.T with
few rows.

Vectors run along that index, so nothing is packed; each result is the sum of an accumulator's
lanes.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import Element
from fovea.targets.cpu.epilogue import Epilogue, Finish
from fovea.targets.cpu.flow import Var
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.program import KernelCall, KernelProgram
from fovea.targets.cpu.schedule import PIECE_FLOPS, PIECES
from fovea.targets.cpu.values import Index, Value

if TYPE_CHECKING:
    from fovea.targets.cpu.matmul import Problem

GROUP = 4  # results of that many columns are added up together

SIZES = (
    "batch", "batch1", "batch2", "a0", "a1", "a2", "b0", "b1", "b2",
    "rows", "run", "columns", "a_row", "b_column", "row_block", "row_blocks",
    "column_block", "column_blocks",
)  # fmt: skip


# Register tiles where there are 32 registers, rows and columns, and how long they take for a
# product: with few and with many contracted bytes. The rows of the left operand come from a farther
# cache then, once for each tile of columns.
WIDE_TILES = {(3, 8): (1.04, 1.0), (4, 4): (1.0, 1.12), (5, 4): (1.02, 1.08), (2, 8): (1.2, 1.25)}
MANY_BYTES = 8192
MOST_LEFT = 1 << 22  # elements of the left operand
SMALL = 4096  # multiplications that take less time than the call of a second kernel


def dot_tile(rows: int, columns: int, run_bytes: int, registers: int) -> tuple[int, int]:
    """Rows and columns of the register tile: an accumulator for each of their pairs, a vector for
    each row, one more. The last tiles repeat rows and columns, which is work for nothing.

    >>> dot_tile(150, 1024, 50_000, 32), dot_tile(16, 10, 2048, 32), dot_tile(150, 1024, 50_000, 16)
    ((3, 8), (4, 4), (3, 4))
    """
    if rows == 1:
        return 1, 2 * GROUP
    if registers < 32:
        return (3 if -(-rows // 3) * 6 <= -(-rows // 2) * 5 else 2), GROUP
    many = run_bytes >= MANY_BYTES

    def time(tile: tuple[int, int]) -> float:
        whole = -(-rows // tile[0]) * tile[0] * -(-columns // tile[1]) * tile[1]
        return whole * WIDE_TILES[tile][many]

    return min(WIDE_TILES, key=time)


def prefers_dot(rows: int, run: int, columns: int, a_item: int, b_row: int) -> bool:
    """Whether the dot kernel suits these sizes and strides (packing the right operand pays with
    many rows, and not for the smallest products).
    """
    if a_item != 1 or b_row != 1:
        return False
    if run < 32:
        return rows * run * columns <= SMALL
    return rows <= 16 or (min(rows, columns) <= 160 and run >= 512)


def prefers_long_dot(rows: int, run: int, columns: int, a_item: int, b_row: int) -> bool:
    """Whether it suits a long contracted index better than going through that in blocks: with wide
    tiles, where the left operand, read again for each of them, stays in the last cache.
    """
    dense = a_item == b_row == 1
    return dense and active().registers >= 32 and rows * run <= MOST_LEFT


def dot_kernel(
    kind: Element, compute: Element, epilogue: Epilogue, tile: tuple[int, int]
) -> Kernel:
    """c = a @ b and what the epilogue makes of it; a piece is a block of rows and columns."""
    buffers = [("a", kind), ("b", kind), *epilogue.buffers, ("c", kind)]
    k = Kernel("matmul_dot", buffers, SIZES, epilogue.scalars)
    a, b, *_, c = k.buffers
    finish = Finish(k, epilogue, compute)
    s = SimpleNamespace(**dict(zip(SIZES, k.sizes, strict=True)))
    with k.parallel(s.batch * s.row_blocks * s.column_blocks) as piece:
        column_block = piece % s.column_blocks
        row_block = piece // s.column_blocks % s.row_blocks
        batch = piece // s.column_blocks // s.row_blocks
        i2, i1, i0 = batch % s.batch2, batch // s.batch2 % s.batch1, batch // s.batch2 // s.batch1
        left = a.at(i0 * s.a0 + i1 * s.a1 + i2 * s.a2)
        right = b.at(i0 * s.b0 + i1 * s.b1 + i2 * s.b2)
        target = batch * (s.rows * s.columns)
        row_low, column_low = row_block * s.row_block, column_block * s.column_block
        row_high = k.smaller(row_low + s.row_block, s.rows)
        column_high = k.smaller(column_low + s.column_block, s.columns)
        with k.loop(column_low, column_high, tile[1]) as column:
            # The last tile repeats the last row and column to be whole.
            rights = [
                right.at(k.smaller(column + j, column_high - 1) * s.b_column)
                for j in range(tile[1])
            ]
            with k.loop(row_low, row_high, tile[0]) as row:
                rows = [k.smaller(row + i, row_high - 1) for i in range(tile[0])]
                results = _tile(k, compute, [left.at(i * s.a_row) for i in rows], rights, s.run)
                places = [target + i * s.columns + column for i in rows]
                _store(k, results, c, places, column_high - column, finish.at(column, 0))
    return k


def _tile(
    k: Kernel, compute: Element, lefts: list[Buffer], rights: list[Buffer], run: Index
) -> list[list[Value]]:
    """For each row, vectors of the products with GROUP columns each."""
    lanes = k.isa.lanes(compute.bytes)
    sums = [[k.var(k.const(0.0, compute, lanes)) for _ in rights] for _ in lefts]
    full = (run // lanes) * lanes
    with k.loop(0, full, lanes, unroll=2) as i:
        _step(k, sums, lefts, rights, i, lanes, None)
    with k.if_(full < run):
        _step(k, sums, lefts, rights, full, lanes, run - full)
    return [
        [
            _add_lanes(k, [v.get() for v in line[first : first + GROUP]])
            for first in range(0, len(rights), GROUP)
        ]
        for line in sums
    ]


def _step(
    k: Kernel, sums: list[list[Var]], lefts: list[Buffer], rights: list[Buffer],
    i: Index, lanes: int, count: Index | None,
) -> None:  # fmt: skip
    left_values = [k.load(left, i, lanes, count=count) for left in lefts]
    for column, right in enumerate(rights):
        y = k.load(right, i, lanes, count=count)
        for x, line in zip(left_values, sums, strict=True):
            line[column].set(k.fma(x, y, line[column].get()))


def _add_lanes(k: Kernel, vectors: list[Value]) -> Value:
    """The sum of each vector's lanes, as one vector: pairs are interleaved and added until one is
    left.
    """
    if vectors[0].lanes < GROUP:
        total = k.const(0.0, vectors[0].element, GROUP)
        for i, v in enumerate(vectors):
            total = k.insert(total, k.reduce_add(v), i)
        return total
    while len(vectors) > 1:
        n = vectors[0].lanes
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [
            k.shuffle(a, b, _interleaved(n, 0)) + k.shuffle(a, b, _interleaved(n, 1))
            for a, b in pairs
        ]
    total = vectors[0]
    # Now lane i belongs to column i % GROUP within each quarter of the register.
    while total.lanes > GROUP:
        half = total.lanes // 2
        low = k.shuffle(total, None, range(half))
        total = low + k.shuffle(total, None, range(half, 2 * half))
    return total


def _interleaved(n: int, odd: int) -> list[int]:
    """Even (or odd) lanes of two vectors, exchanged within 128-bit quarters, which machines do
    quickly.
    """
    quarter = min(n, 4)
    lanes = []
    for first in range(0, n, quarter):
        lanes += [first + i for i in range(odd, quarter, 2)]
        lanes += [n + first + i for i in range(odd, quarter, 2)]
    return lanes


def _store(
    k: Kernel, results: list[list[Value]], c: Buffer, rows: list[Value], columns: Index,
    finish: Finish,
) -> None:  # fmt: skip
    """Store the first `columns` results of each row, from where it begins in c."""
    for line, row in zip(results, rows, strict=True):
        for group, value in enumerate(line):
            at = group * GROUP
            left = k.smaller(k.larger(columns - at, 0), GROUP)
            residual = finish.residual(row + at, GROUP, left)
            value = finish.value(value, finish.affine(at, GROUP, left), residual)
            k.store(value, c, row + at, count=left)


def plan_dot(p: Problem, compute: Element, batch: tuple[int, ...]) -> KernelProgram:
    """The program for a problem that `prefers_dot`."""
    kind = p.a.element
    tile = dot_tile(p.rows, p.columns, p.run * kind.bytes, active().registers)
    key = f"matmul/dot/{kind}/{compute}/{p.epilogue.key}/{tile[0]}x{tile[1]}"
    address = load_cached(key, partial(dot_kernel, kind, compute, p.epilogue, tile))
    flops = 2 * p.batches * p.rows * p.run * p.columns
    wanted = max(1, min(4 * PIECES, flops // (PIECE_FLOPS // 2)))
    row_block, column_block = _cut(p.rows, p.columns, tile, -(-wanted // p.batches))
    words = (
        *batch, p.rows, p.run, p.columns, p.a_row, p.b_strides[1],
        row_block, -(-p.rows // row_block), column_block, -(-p.columns // column_block),
        *p.epilogue.words,
    )  # fmt: skip
    buffers = (*p.operands, *p.extras, p.output)
    return KernelProgram([KernelCall(address, buffers, words, wanted > 1)], p.external)


def _cut(rows: int, columns: int, tile: tuple[int, int], wanted: int) -> tuple[int, int]:
    """Block sizes that give about `wanted` pieces: the longer side is cut first, never below a
    tile.
    """
    row_block, column_block = rows, columns
    while -(-rows // row_block) * -(-columns // column_block) < wanted:
        if row_block >= column_block and row_block > tile[0]:
            row_block = -(-row_block // 2 // tile[0]) * tile[0]
        elif column_block > tile[1]:
            column_block = -(-column_block // 2 // tile[1]) * tile[1]
        elif row_block > tile[0]:
            row_block = -(-row_block // 2 // tile[0]) * tile[0]
        else:
            break
    return max(row_block, 1), max(column_block, 1)
