"""Batched matrix products.

Five kernels: the register-tiled one of matmul_kernel.py (the right operand packed into panels, or
read in place where its rows are dense; tile registers hold the sums of pairs of bfloat16 where
there are any), the one of matmul_dot.py for operands that are both dense along the contracted index
(no packing at all), the one of matmul_long.py for long contracted indices, the one of matmul_row.py
for a single row, and a plain loop for integers. `plan_matmul` chooses by sizes and strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fovea.ops import linalg
from fovea.ops.epilogue import NONE, Activation
from fovea.targets.base import Plan
from fovea.targets.cpu import schedule
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.elements import Element, bf16, bf16_pair, element, f32
from fovea.targets.cpu.epilogue import Epilogue
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.lowering import dense_copy, run_program, view_of
from fovea.targets.cpu.matmul_dot import plan_dot, prefers_dot, prefers_long_dot
from fovea.targets.cpu.matmul_kernel import Variant, loop_kernel, panels_kernel
from fovea.targets.cpu.matmul_long import is_long, plan_long
from fovea.targets.cpu.matmul_row import plan_row, prefers_row
from fovea.targets.cpu.packing import Order, panel_builder
from fovea.targets.cpu.pair_packing import pair_panel_builder
from fovea.targets.cpu.program import KernelCall, KernelProgram
from fovea.targets.cpu.recipe import prepared
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.target import CPU
from fovea.targets.cpu.views import View
from fovea.targets.reference import reference_plan

BATCH_DIMS = 3
Batch = list[tuple[int, int, int]]  # (size, stride of a, stride of b) of each batch dimension


def collapse(shape: Sequence[int], a: Sequence[int], b: Sequence[int]) -> Batch:
    """Batch dimensions, merged where both operands' strides allow it."""
    dims: Batch = []
    for size, sa, sb in zip(shape, a, b, strict=True):
        if size == 1:
            continue
        if dims and dims[-1][1] == sa * size and dims[-1][2] == sb * size:
            dims[-1] = (dims[-1][0] * size, sa, sb)
        else:
            dims.append((size, sa, sb))
    return dims


def plannable(a: View, b: View) -> bool:
    """Whether the batch dimensions merge into few enough for `plan_matmul`."""
    return len(_batch(a, b)) <= BATCH_DIMS


def _batch(a: View, b: View) -> Batch:
    n = max(len(a.shape), len(b.shape)) - 2
    shapes, strides = [], []
    for v in (a, b):
        extra = n + 2 - len(v.shape)
        shapes.append((1,) * extra + v.shape[:-2])
        strides.append(
            [0] * extra
            + [0 if size == 1 else s for size, s in zip(v.shape[:-2], v.strides[:-2], strict=True)]
        )
    sizes = [y if x == 1 else x for x, y in zip(*shapes, strict=True)]
    return collapse(sizes, *strides)


def plan_matmul(
    a: View, b: View, bias: View | None = None, activation: Activation = NONE
) -> KernelProgram:
    """The program for c = a @ b: inputs a, b (and bias), output c, row-major, of a's element type.

    Args:
        a, b: (..., rows, run) and (..., run, columns), any strides; batch dimensions broadcast and
            must be `plannable`.
        bias: (columns,), dense, added to each row.
    """
    epilogue = Epilogue(None if bias is None else bias.element, activation=activation)
    return plan_product(a, b, epilogue)


def plan_product(a: View, b: View, epilogue: Epilogue) -> KernelProgram:
    """The program for a product with an epilogue (of floats): inputs a, b and what the epilogue
    reads (vectors dense, the residual row-major), output c.
    """
    p = Problem.of(a, b, epilogue)
    if p.empty:
        return KernelProgram((), external=p.external)
    if not a.element.is_float:
        return _plan_loop(p)
    if p.columns == 1 and p.rows > 1 and not (epilogue.bias or epilogue.scale):
        return _plan_float(p.swapped())
    return _plan_float(p)


def packs_right(a: View, b: View) -> bool:
    """Whether a product (of floats) packs its right operand: where it does not, reading it packed
    is slower.
    """
    p = Problem.of(a, b, Epilogue())
    compute = element("float64") if a.dtype == "float64" else f32
    if p.empty or _as_dots(p):
        return False
    tile = schedule.tile(active(), compute, p.rows, p.columns)
    modes = _modes(p, compute, tile, tile.columns(active(), compute))
    return not prefers_row(p) and modes[0] == "packed"


@dataclass(frozen=True)
class PackedForm:
    """A product of so many rows with a right operand, (run, columns), that is packed before."""

    rows: int
    run: int
    columns: int
    compute: Element
    pairs: bool = False

    @property
    def tile(self) -> Tile:
        return _tile_of(max(self.rows, 1), self.run, self.columns, self.compute, self.pairs)

    @property
    def width(self) -> int:
        return self.tile.columns(active(), self.compute)

    @property
    def packed(self) -> int:
        """How many float32 hold the packed operand."""
        return -(-self.columns // self.width) * self.width * self.run

    @property
    def packing(self) -> str:
        """Names how they lie."""
        return f"{'pairs' if self.pairs else 'panels'}{self.width}"

    def pack(self, b: View) -> KernelProgram:
        """The program that packs the right operand."""
        p = Problem.of(View.dense((1, self.run), b.dtype), b, Epilogue())
        if not self.packed:
            return KernelProgram((), external=2)
        call, _, _ = _pack_right(p, self.compute, self.width, self.pairs)
        return KernelProgram([replace(call, buffers=(0, 1))], external=2)

    def product(self, a: View, epilogue: Epilogue) -> KernelProgram:
        """The program of the product with a, (rows, run): inputs a, the packed operand and what the
        epilogue reads, output c.
        """
        p = Problem.of(a, View.dense((self.run, self.columns), self.compute.name), epilogue)
        if p.empty:
            return KernelProgram((), external=p.external)
        return _plan_panels(p, self.tile, self.compute, packed=True, pairs=self.pairs)


@dataclass(frozen=True)
class Problem:
    """A matrix product with its batch dimensions merged. `reverse`: the operands have changed
    places.
    """

    a: View
    b: View
    epilogue: Epilogue
    batch: Batch
    rows: int
    run: int
    columns: int
    a_row: int
    a_item: int
    reverse: bool = False

    @staticmethod
    def of(a: View, b: View, epilogue: Epilogue) -> Problem:
        """The problem that a product is."""
        batch = _batch(a, b)
        rows, run, columns = a.shape[-2], a.shape[-1], b.shape[-1]
        a_row, a_item = a.strides[-2:]
        # A batch of products with one right operand, whose left ones follow each other, is one
        # product with more rows.
        if len(batch) == 1 and batch[0][2] == 0 and batch[0][1] == rows * a_row and rows > 0:
            rows, batch = rows * batch[0][0], []
        return Problem(a, b, epilogue, batch, rows, run, columns, a_row, a_item)

    @property
    def b_strides(self) -> tuple[int, int]:
        down, across = self.b.strides[-2:]
        return down, across

    @property
    def batches(self) -> int:
        n = 1
        for size, _, _ in self.batch:
            n *= size
        return n

    @property
    def empty(self) -> bool:
        return self.batches * self.rows * self.columns == 0

    @property
    def extras(self) -> tuple[int, ...]:
        """The buffer numbers of what the epilogue reads."""
        return tuple(range(2, self.output))

    @property
    def external(self) -> int:
        return self.output + 1

    @property
    def operands(self) -> tuple[int, int]:
        """The buffer numbers of the left and the right operand."""
        return (1, 0) if self.reverse else (0, 1)

    @property
    def output(self) -> int:
        return 2 + len(self.epilogue.buffers)

    def swapped(self) -> Problem:
        """The transposed product: for one column, its result lies in memory like the original's."""
        batch = [(n, sb, sa) for n, sa, sb in self.batch]
        left = self.b.flipped()
        right = View((self.run, self.rows), (self.a_item, self.a_row), self.a.dtype)
        return Problem(
            left, right, self.epilogue, batch, self.columns, self.run, self.rows,
            left.strides[-2], left.strides[-1], True,
        )  # fmt: skip


def _plan_loop(p: Problem) -> KernelProgram:
    kind = p.a.element
    address = load_cached(f"matmul/loop/{kind}", partial(loop_kernel, kind))
    words = (*_batch_words(p.batch), p.rows, p.run, p.columns, p.a_row, p.a_item, *p.b_strides)
    return KernelProgram([KernelCall(address, (0, 1, 2), words)], external=3)


def _batch_words(batch: Batch) -> tuple[int, ...]:
    """The batch count, the sizes of the two inner dimensions and all strides."""
    total = 1
    for n, _, _ in batch:
        total *= n
    padded = [(1, 0, 0)] * (BATCH_DIMS - len(batch)) + batch
    a, b = [d[1] for d in padded], [d[2] for d in padded]
    return (total, padded[1][0], padded[2][0], *a, *b)


def _as_dots(p: Problem) -> bool:
    if p.a.dtype == bf16.name and _fills_tiles(p.rows, p.run, p.columns):
        return False
    sizes = (p.rows, p.run, p.columns, p.a_item, p.b_strides[0])
    return prefers_dot(*sizes) or (prefers_long_dot(*sizes) and is_long(p) and not _paired(p))


def _paired(p: Problem) -> bool:
    return pairs_suit(p.a.dtype, p.rows, p.run, p.columns)


def _plan_float(p: Problem) -> KernelProgram:
    compute = element("float64") if p.a.dtype == "float64" else f32
    if _as_dots(p):
        return plan_dot(p, compute, _batch_words(p.batch))
    if prefers_row(p):
        return plan_row(p)
    pairs = _paired(p)
    tile = _tile_of(p.rows, p.run, p.columns, compute, pairs)
    if is_long(p):
        return plan_long(p, tile, compute, pairs)
    return _plan_panels(p, tile, compute, pairs=pairs)


def pairs_suit(dtype: str, rows: int, run: int, columns: int) -> bool:
    """Whether a product of so many rows contracts pairs of bfloat16."""
    wide = rows > 16 and columns >= 16
    fast = (wide and active().has_bf16_dot) or _fills_tiles(rows, run, columns)
    return dtype == bf16.name and run % 2 == 0 and fast


def _fills_tiles(rows: int, run: int, columns: int) -> bool:
    """Whether a product of bfloat16 belongs into tile registers."""
    return run % 2 == 0 and schedule.amx_suits(active(), rows, run // 2, columns)


def _tile_of(rows: int, run: int, columns: int, compute: Element, pairs: bool) -> Tile:
    if pairs:
        return schedule.tile_of_several(active(), compute, rows, run // 2, columns)
    return schedule.tile(active(), compute, rows, columns)


def _in_pairs(p: Problem) -> tuple[Problem, str]:
    """The problem with half the contracted elements, and how its left operand is read: as pairs
    where it lies so, else by way of a copy.
    """
    even = all(s % 2 == 0 for s in (p.a_row if p.rows > 1 else 0, *(s for _, s, _ in p.batch)))
    if p.a_item != 1 or not even:
        order = Order.of(p.a_row, p.a_item, p.rows, p.run)
        return replace(p, run=p.run // 2), order.value
    batch = [(n, sa // 2, sb) for n, sa, sb in p.batch]
    return replace(p, run=p.run // 2, a_row=p.a_row // 2, batch=batch), "direct"


def _plan_panels(
    p: Problem, tile: Tile, compute: Element, packed: bool = False, pairs: bool = False
) -> KernelProgram:
    """The program by register tiles; `packed`: the right operand lies in panels already; `pairs`:
    pairs of bfloat16 are multiplied.
    """
    width, (b_row, _) = tile.columns(active(), compute), p.b_strides
    panels, whole = -(-p.columns // width), p
    right_mode, left_mode = _modes(p, compute, tile, width)
    right_mode = "packed" if packed or pairs else right_mode
    if pairs:
        p, left_mode = _in_pairs(p)
    left_kind = bf16_pair if pairs and left_mode == "direct" else p.a.element
    in_place, copies = right_mode != "packed", left_mode not in ("direct", "strided")
    blocks = schedule.blocks(
        p.batches, p.rows, panels, p.run * compute.bytes, p.run * width * 2 // tile.speed,
        tile.rows, copies, left_mode == Order.ROWS.value,
    )  # fmt: skip
    v = Variant(left_kind, p.a.element, compute, tile, left_mode, right_mode, p.epilogue, pairs)
    address = load_cached(v.key, partial(panels_kernel, v))
    left, right = p.operands
    calls, scratch, batch = [], [], p.batch
    panel_stride = width if in_place else p.run * width
    if not in_place and not packed:
        call, size, batch = _pack_right(whole, compute, width, pairs)
        batch = [(n, sa, sb) for (n, sa, _), (_, _, sb) in zip(p.batch, batch, strict=True)]
        calls, scratch, right = [call], [size], p.external
    stride = -(-blocks.rows * p.run * compute.bytes // 64) * 64 if copies else 0
    words = (
        *_batch_words(batch), p.rows, p.run, p.columns, p.a_row, p.a_item, panel_stride, b_row,
        blocks.rows, -(-p.rows // blocks.rows), panels, blocks.panels, -(-panels // blocks.panels),
        p.rows * p.columns, stride, *p.epilogue.words,
    )  # fmt: skip
    buffers = (left, right, *p.extras, p.output)
    buffers += (p.external + len(scratch),) if copies else ()
    calls.append(KernelCall(address, buffers, words, parallel=blocks.worth_sharing))
    return KernelProgram(calls, p.external, scratch, stride)


def _modes(p: Problem, compute: Element, tile: Tile, width: int) -> tuple[str, str]:
    """How the right and the left operand are read."""
    b_row, b_column = p.b_strides
    right = "packed"
    if p.b.element is compute and b_column == 1:
        few = p.rows <= 4 * tile.rows
        if few or schedule.stays_in_cache(p.run, b_row * compute.bytes):
            right = "rows" if p.columns % width == 0 else "ragged"
    if p.a.element is not compute:
        left = Order.of(p.a_row, p.a_item, p.rows, p.run).value
    elif p.a_item == 1 or p.run == 1:
        left = "direct"
    elif (
        p.run * p.columns <= 16384
        and p.a_row == 1
        and schedule.stays_in_cache(p.run, p.a_item * compute.bytes)
    ):
        left = "strided"
    else:
        left = Order.of(p.a_row, p.a_item, p.rows, p.run).value
    return right, left


def _pack_right(
    p: Problem, compute: Element, width: int, pairs: bool = False
) -> tuple[KernelCall, int, Batch]:
    """The call that packs the right operand into the first scratch buffer, its bytes, and the batch
    strides that follow.

    Batch dimensions along which the right operand repeats are packed once.
    """
    b_row, b_column = p.b_strides
    order = Order.of(b_row, b_column, p.run, p.columns)
    size = -(-p.columns // width) * width * (p.run // 2 if pairs else p.run)
    count, strides = 1, []
    for n, _, sb in reversed(p.batch):
        strides.append(count * size if sb != 0 else 0)
        count *= n if sb != 0 else 1
    batch = [(n, sa, new) for (n, sa, _), new in zip(p.batch, reversed(strides), strict=True)]
    distinct = [(n, sb, 0) for n, _, sb in p.batch if sb != 0]
    if pairs:
        key, build = pair_panel_builder(p.b.element, width, order)
    else:
        key, build = panel_builder(p.b.element, compute, width, order)
    groups = _batch_words(distinct)[:6]
    words = (*groups, p.columns, b_column, 1, 0, 1, 0, p.run, b_row, 0)
    buffers, shared = (p.operands[1], p.external), count * size > 16384
    call = KernelCall(load_cached(key, build), buffers, words, shared, packs=True)
    return call, count * size * compute.bytes, batch


# -- lowerings -------------------------------------------------------------------------------------


@CPU.lower(linalg.matmul)
def _(op: Any, inputs: tuple[Any, ...], attrs: None, specs: Sequence[Any]) -> Plan:
    return _lowered(specs[0], *map(view_of, inputs))


@CPU.lower(linalg.linear)
def _(op: Any, inputs: tuple[Any, ...], attrs: None, specs: Sequence[Any]) -> Plan:
    x, weight, bias = (None if t is None else view_of(t) for t in inputs)
    assert x is not None and weight is not None
    if bias is not None and not x.element.is_float:
        return reference_plan(op, attrs, specs)
    if len(x.shape) == 1:
        x = View((1, *x.shape), (0, *x.strides), x.dtype)
    if bias is not None and bias.strides != (1,) and bias.shape != (1,):
        plan = _lowered(specs[0], x, weight.flipped(), View.dense(bias.shape, bias.dtype))
        return prepared(plan, {2: dense_copy(bias, bias.shape, specs[0].dtype)})
    return _lowered(specs[0], x, weight.flipped(), bias)


def _lowered(spec: Any, a: View, b: View, bias: View | None = None) -> Plan:
    """The plan for a product; operands whose batch dimensions do not merge are copied first."""
    # A tensor without elements may have any strides.
    a, b = (View.dense(v.shape, v.dtype) if 0 in v.shape else v for v in (a, b))
    if plannable(a, b):
        return run_program(plan_matmul(a, b, bias), spec)
    batch = spec.shape[: max(len(a.shape), len(b.shape)) - 2]
    x, y = (View.dense((*batch, *v.shape[-2:]), v.dtype) for v in (a, b))
    copies = {0: dense_copy(a, x.shape, spec.dtype), 1: dense_copy(b, y.shape, spec.dtype)}
    return prepared(run_program(plan_matmul(x, y, bias), spec), copies)
