"""Batched matrix products.

Three kernels: `panels`, the register-tiled one (the right operand packed into panels, or read in place where its rows are dense),
`dot`, for operands that are both dense along the contracted index (no packing at all), and a plain loop for integers.
`plan_matmul` chooses by sizes and strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

from fovea.targets.cpu import schedule
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.compile import load_cached
from fovea.targets.cpu.contraction import Core, Epilogue
from fovea.targets.cpu.elements import Element, element, f32, u8
from fovea.targets.cpu.isa import active
from fovea.targets.cpu.matmul_dot import plan_dot, prefers_dot
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.packing import Order, copy_rows, panel_builder
from fovea.targets.cpu.program import KernelCall, KernelProgram
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.values import Index, Value
from fovea.targets.cpu.views import View

BATCH_DIMS = 3
Batch = list[tuple[int, int, int]]  # (size, stride of a, stride of b) of each batch dimension

SIZES = (
    "batch", "batch1", "batch2", "a0", "a1", "a2", "b0", "b1", "b2",
    "rows", "run", "columns", "a_row", "a_item", "panel_stride", "step",
    "row_block", "row_blocks", "panels", "panel_block", "panel_blocks", "scratch_stride",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """What a `panels` kernel is generated for."""

    a: Element
    c: Element
    compute: Element
    tile: Tile
    left: str  # "direct" and "strided" read the left operand in place, an Order's value copies it
    right: str  # "packed" into panels, "rows" in place, "ragged" in place with a last panel that is not whole
    epilogue: Epilogue

    @property
    def order(self) -> Order | None:
        return None if self.left in ("direct", "strided") else Order(self.left)

    @property
    def key(self) -> str:
        return (
            f"matmul/{self.a}/{self.c}/{self.compute}/{self.tile.rows}x{self.tile.vectors}/"
            f"{self.left}/{self.right}/{self.epilogue.key}"
        )


def panels_kernel(v: Variant) -> Kernel:
    """c = a @ b (+ bias), by tiles; a piece is a block of rows against a block of panels."""
    buffers = [("a", v.a), ("b", v.compute), ("bias", v.c), ("c", v.c), ("scratch", u8)]
    absent = {"bias"} if not v.epilogue.bias else set()
    absent |= {"scratch"} if v.order is None else set()
    k = Kernel("matmul", [b for b in buffers if b[0] not in absent], SIZES)
    named = {b.name: b for b in k.buffers}
    a, b, c = named["a"], named["b"], named["c"]
    s = SimpleNamespace(**dict(zip(SIZES, k.sizes, strict=True)))
    core = Core(k, v.tile, v.compute)
    with k.parallel(s.batch * s.row_blocks * s.panel_blocks) as piece:
        panel_block = piece % s.panel_blocks
        row_block = piece // s.panel_blocks % s.row_blocks
        a_at, b_at, c_at = _batch_offsets(s, piece // s.panel_blocks // s.row_blocks)
        first = row_block * s.row_block
        count = k.smaller(s.rows - first, s.row_block)
        block = a.at(a_at + first * s.a_row)
        row_stride = s.a_row
        if v.order is not None:
            own = named["scratch"].at(k.tid * s.scratch_stride).view(v.compute)
            copy_rows(k, v.order, block, (s.a_row, s.a_item), (count, s.run), own, s.run)
            block, row_stride = own, s.run
        target = c.at(c_at + first * s.columns)
        low = panel_block * s.panel_block
        with k.loop(low, k.smaller(low + s.panel_block, s.panels)) as panel:
            column = panel * core.width
            bias = named["bias"].at(column) if v.epilogue.bias else None
            _row_tiles(
                core, v, s, count, (block, row_stride), b.at(b_at + panel * s.panel_stride),
                target.at(column), s.columns - column, bias,
            )  # fmt: skip
    return k


def _batch_offsets(s: SimpleNamespace, batch: Value) -> tuple[Value, Value, Value]:
    """Where the operands of one product of the batch start, and its result."""
    i2, rest = batch % s.batch2, batch // s.batch2
    i1, i0 = rest % s.batch1, rest // s.batch1
    a = i0 * s.a0 + i1 * s.a1 + i2 * s.a2
    b = i0 * s.b0 + i1 * s.b1 + i2 * s.b2
    return a, b, batch * (s.rows * s.columns)


def _row_tiles(
    core: Core, v: Variant, s: SimpleNamespace, count: Index, block: tuple[Buffer, Index],
    panel: Buffer, target: Buffer, columns_left: Index, bias: Buffer | None,
) -> None:  # fmt: skip
    """All tiles of a block of rows against one panel. The last tile repeats the last row to be whole."""
    k = core.k
    rows, row_stride = block
    with k.loop(0, count, v.tile.rows) as row:
        at = [k.smaller(row + i, count - 1) for i in range(v.tile.rows)]
        sums = core.accumulators(bias, columns_left)
        lefts = [rows.at(r * row_stride) for r in at]
        step = core.width if v.right == "packed" else s.step
        item = s.a_item if v.left == "strided" else 1
        if v.right == "ragged":
            with k.if_else(columns_left >= core.width) as (then, otherwise):
                with then:
                    core.accumulate(sums, lefts, panel, s.run, step, item)
                with otherwise:
                    core.accumulate(sums, lefts, panel, s.run, step, item, columns_left)
        else:
            core.accumulate(sums, lefts, panel, s.run, step, item)
        core.finish(sums, [target.at(r * s.columns) for r in at], columns_left, v.epilogue)


def loop_kernel(kind: Element) -> Kernel:
    """c = a @ b by the definition, for integers and bools."""
    names = (*SIZES[:12], "a_row", "a_item", "b_row", "b_column")
    k = Kernel("matmul_loop", (("a", kind), ("b", kind), ("c", kind)), names)
    a, b, c = k.buffers
    s = SimpleNamespace(**dict(zip(names, k.sizes, strict=True)))
    with k.parallel(s.batch * s.rows) as piece:
        row, batch = piece % s.rows, piece // s.rows
        a_at, b_at, c_at = _batch_offsets(s, batch)
        line, into = a.at(a_at + row * s.a_row), c.at(c_at + row * s.columns)
        with k.loop(0, s.columns) as column:
            total = k.var(k.const(0, kind))
            with k.loop(0, s.run) as i:
                x = k.load(line, i * s.a_item)
                y = k.load(b, b_at + i * s.b_row + column * s.b_column)
                total.set(total.get() | (x & y) if kind.kind == "b" else total.get() + x * y)
            k.store(total.get(), into, column)
    return k


# -- planning --------------------------------------------------------------------------------------------------


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
    a: View, b: View, bias: View | None = None, activation: str = "none"
) -> KernelProgram:
    """The program for c = a @ b: inputs a, b (and bias), output c, row-major, of a's element type.

    Args:
        a, b: (..., rows, run) and (..., run, columns), any strides; batch dimensions broadcast and must be `plannable`.
        bias: (columns,), dense, added to each row.
        activation: "none" or "relu".
    """
    batch = _batch(a, b)
    rows, run, columns = a.shape[-2], a.shape[-1], b.shape[-1]
    a_row, a_item = a.strides[-2:]
    # A batch of products with one right operand, whose left ones follow each other, is one product with more rows.
    if len(batch) == 1 and batch[0][2] == 0 and batch[0][1] == rows * a_row and rows > 0:
        rows, batch = rows * batch[0][0], []
    p = Problem(a, b, bias, Epilogue(bias is not None, activation), batch, rows, run, columns, a_row, a_item)
    if p.empty:
        return KernelProgram((), external=p.external)
    if not a.element.is_float:
        return _plan_loop(p)
    if columns == 1 and rows > 1 and bias is None:
        return _plan_float(p.swapped())
    return _plan_float(p)


@dataclass(frozen=True)
class Problem:
    """A matrix product with its batch dimensions merged. `reverse`: the operands have changed places."""

    a: View
    b: View
    bias: View | None
    epilogue: Epilogue
    batch: Batch
    rows: int
    run: int
    columns: int
    a_row: int
    a_item: int
    reverse: bool = False

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
    def external(self) -> int:
        return 3 if self.bias is None else 4

    @property
    def operands(self) -> tuple[int, int]:
        """The buffer numbers of the left and the right operand."""
        return (1, 0) if self.reverse else (0, 1)

    @property
    def output(self) -> int:
        return self.external - 1

    def swapped(self) -> Problem:
        """The transposed product: for one column, its result lies in memory like the original's."""
        batch = [(n, sb, sa) for n, sa, sb in self.batch]
        left = self.b.flipped()
        right = View((self.run, self.rows), (self.a_item, self.a_row), self.a.dtype)
        return Problem(
            left, right, None, self.epilogue, batch, self.columns, self.run, self.rows, *left.strides[-2:], True
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


def _plan_float(p: Problem) -> KernelProgram:
    compute = element("float64") if p.a.dtype == "float64" else f32
    b_row, b_column = p.b_strides
    if prefers_dot(p.rows, p.run, p.columns, p.a_item, b_row):
        return plan_dot(p, compute, _batch_words(p.batch))
    isa = active()
    tile = schedule.tile(isa, compute, p.rows, p.columns)
    width = tile.columns(isa, compute)
    panels = -(-p.columns // width)
    right_mode, left_mode = _modes(p, compute, tile, width)
    in_place, copies = right_mode != "packed", left_mode not in ("direct", "strided")
    blocks = schedule.blocks(
        p.batches, p.rows, panels, p.run * compute.bytes, p.run * width * 2, tile.rows, copies
    )
    v = Variant(p.a.element, p.a.element, compute, tile, left_mode, right_mode, p.epilogue)
    address = load_cached(v.key, partial(panels_kernel, v))
    left, right = p.operands
    calls, scratch, batch = [], [], p.batch
    panel_stride = width
    if not in_place:
        call, size, batch = _pack_right(p, compute, width)
        calls, scratch, right = [call], [size], p.external
        panel_stride = p.run * width
    stride = -(-blocks.rows * p.run * compute.bytes // 64) * 64 if copies else 0
    words = (
        *_batch_words(batch), p.rows, p.run, p.columns, p.a_row, p.a_item, panel_stride, b_row,
        blocks.rows, -(-p.rows // blocks.rows), panels, blocks.panels, -(-panels // blocks.panels), stride,
    )  # fmt: skip
    buffers = (left, right, *((2,) if p.bias is not None else ()), p.output)
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
    elif p.run * p.columns <= 16384 and p.a_row == 1 and schedule.stays_in_cache(p.run, p.a_item * compute.bytes):
        left = "strided"
    else:
        left = Order.of(p.a_row, p.a_item, p.rows, p.run).value
    return right, left


def _pack_right(p: Problem, compute: Element, width: int) -> tuple[KernelCall, int, Batch]:
    """The call that packs the right operand into the first scratch buffer, its bytes, and the batch strides that follow.

    Batch dimensions along which the right operand repeats are packed once.
    """
    b_row, b_column = p.b_strides
    order = Order.of(b_row, b_column, p.run, p.columns)
    size = -(-p.columns // width) * width * p.run
    count, strides = 1, []
    for n, _, sb in reversed(p.batch):
        strides.append(count * size if sb != 0 else 0)
        count *= n if sb != 0 else 1
    batch = [(n, sa, new) for (n, sa, _), new in zip(p.batch, reversed(strides), strict=True)]
    distinct = [(n, sb, 0) for n, _, sb in p.batch if sb != 0]
    key, build = panel_builder(p.b.element, compute, width, order)
    groups = _batch_words(distinct)[:6]
    words = (*groups, p.columns, b_column, 1, 0, 1, 0, p.run, b_row, 0)
    call = KernelCall(
        load_cached(key, build), (p.operands[1], p.external), words, count * size > 16384
    )
    return call, count * size * compute.bytes, batch
