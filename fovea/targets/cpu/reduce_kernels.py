"""Kernels of reductions: along rows (the reduced elements lie together) and along columns (the kept
ones do).

Sums are cut by sizes alone: vectors add up at most a block of elements each, blocks are added in
    float64, and where
few results have many elements each, chunks of them give partial results that a second call
combines. So a result does
not depend on the number of threads, and its error hardly grows with the size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element, bf16, boolean, f16, f32, f64, i64, u8
from fovea.targets.cpu.flow import Var
from fovea.targets.cpu.loops import Rows
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value

ROW_BLOCK = 2048  # elements of a row that vectors add up before their sum goes into the total
COLUMN_BLOCK = 128  # the same down a column
UNROLL = 4
TILE = 8  # vectors of a tile of columns

Combine = Callable[[Kernel, Value, Value], Value]


@dataclass(frozen=True)
class Reduction:
    """How values are combined.

    Args:
        name: names the functions below.
        combine: two accumulators.
        identity: what an accumulator starts as, for its element.
        held: the element that vectors accumulate in, for that of the values.
        total: the element that blocks are combined in, for the same.
        lift: a loaded value as an accumulator.
    """

    name: str
    combine: Combine = field(compare=False)
    identity: Callable[[Element], float] = field(compare=False)
    held: Callable[[Element], Element] = field(compare=False)
    total: Callable[[Element], Element] = field(compare=False)
    lift: Callable[[Kernel, Value, Element], Value] = field(compare=False)


def _same(e: Element) -> Element:
    return e.compute


def _summed(e: Element) -> Element:
    """Integers are summed as int64, which wraps around as any narrower sum does."""
    return e.compute if e.is_float else i64


def _precise(e: Element) -> Element:
    return f64 if e.is_float else i64


def _as_number(e: Element) -> Element:
    return u8 if e is boolean else e.compute


def _cast(k: Kernel, x: Value, e: Element) -> Value:
    return k.cast(x, e)


def _truth(k: Kernel, x: Value, e: Element) -> Value:
    return k.cast(x if x.element is boolean else x.ne(0), e)


def _lowest(e: Element) -> float:
    if e.is_float:
        return float("-inf")
    return 0 if e.kind == "u" else -(1 << 8 * e.bytes - 1)


def _highest(e: Element) -> float:
    if e.is_float:
        return float("inf")
    return (1 << 8 * e.bytes - (e.kind != "u")) - 1


def _plus(k: Kernel, a: Value, b: Value) -> Value:
    from fovea.targets.cpu.integers import wrapping

    return wrapping(k, lambda x, y: x + y, a, b)


def _times(k: Kernel, a: Value, b: Value) -> Value:
    from fovea.targets.cpu.integers import wrapping

    return wrapping(k, lambda x, y: x * y, a, b)


def _one(e: Element) -> float:
    return 1


def _zero(e: Element) -> float:
    return 0


def _byte(e: Element) -> Element:
    return u8


SUM = Reduction("sum", _plus, _zero, _summed, _precise, _cast)
PROD = Reduction("prod", _times, _one, _summed, _precise, _cast)
AMAX = Reduction("amax", lambda k, a, b: k.maximum(a, b), _lowest, _as_number, _as_number, _cast)
AMIN = Reduction("amin", lambda k, a, b: k.minimum(a, b), _highest, _as_number, _as_number, _cast)
ANY = Reduction("any", lambda k, a, b: a | b, _zero, _byte, _byte, _truth)
ALL = Reduction("all", lambda k, a, b: a & b, _one, _byte, _byte, _truth)


@dataclass(frozen=True)
class Form:
    """A reduction kernel's variant.

    Args:
        source, result: the elements read and written.
        kept: dimensions that stay: the outer ones only, for columns.
        reduced: dimensions that go: the outer ones only, for rows.
        divided: whether the result is divided by a scalar (a mean).
    """

    reduction: Reduction
    source: Element
    result: Element
    kept: int
    reduced: int
    divided: bool

    @property
    def key(self) -> str:
        r = self.reduction.name + ("/mean" if self.divided else "")
        return f"{r}/{self.source}.{self.result}/{self.kept}.{self.reduced}"

    @property
    def held(self) -> Element:
        return self.reduction.held(self.source)

    @property
    def total(self) -> Element:
        return self.reduction.total(self.source)


def _names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{d}" for d in range(count)]


def _finished(k: Kernel, form: Form, total: Value) -> Value:
    """A total as it is stored."""
    if form.divided:
        total = total / k.cast(k.scalars[0], total.element)
    if form.result in (bf16, f16):
        total = k.cast(total, f32)
    return k.cast(total, form.result.compute)


def _lift(k: Kernel, form: Form, x: Value) -> Value:
    return form.reduction.lift(k, x, form.held)


def _start(k: Kernel, form: Form, element: Element, lanes: int) -> Var:
    return k.var(k.const(form.reduction.identity(element), element, lanes))


def rows_kernel(form: Form) -> Kernel:
    """Each result reduces `length` contiguous elements in each of its outer reduced rows.

    Sizes: the kept sizes, the reduced outer sizes, `length`; results; results in a piece; chunks
        that a result is cut
    into, and how many reduced rows (of elements, where there is one row) are in one; strides of x
    along kept, of y
    along kept, of x along reduced dimensions.
    """
    k = Kernel(
        "reduce_rows_" + form.reduction.name,
        buffers=(("x", form.source), ("y", form.result)),
        sizes=[
            *_names("kept", form.kept),
            *_names("reduced", form.reduced),
            *("length", "results", "grain", "chunks", "chunk"),
            *_names("xk", form.kept),
            *_names("yk", form.kept),
            *_names("xr", form.reduced),
        ],
        scalars=("count",) if form.divided else (),
    )
    (x, y), sizes = k.buffers, list(k.sizes)
    kept, sizes = sizes[: form.kept], sizes[form.kept :]
    reduced, sizes = sizes[: form.reduced], sizes[form.reduced :]
    (length, results, grain, chunks, chunk), sizes = sizes[:5], sizes[5:]
    xk, yk, xr = sizes[: form.kept], sizes[form.kept : 2 * form.kept], sizes[2 * form.kept :]
    with k.parallel(chunks * ((results + grain - 1) // grain)) as piece:
        part = piece % chunks
        first = piece // chunks * grain
        last = k.smaller(first + grain, results)
        with Rows(k, kept, (xk, yk), first, last) as (at_x, at_y):
            total = _start(k, form, form.total, 1)
            row = x.at(at_x)
            if form.reduced == 0:
                low = part * chunk
                _reduce_run(k, form, row, low, k.smaller(low + chunk, length), total)
            else:
                low = part * chunk
                high = k.smaller(low + chunk, _product(reduced))
                with Rows(k, reduced, (xr,), low, high) as (at,):
                    _reduce_run(k, form, row.at(at), k.index(0), length, total)
            k.store(_finished(k, form, total.get()), y, at_y * chunks + part)
    return k


def _product(sizes: Sequence[Index]) -> Value:
    total = sizes[0]
    for n in sizes[1:]:
        total = total * n
    return total  # type: ignore[return-value]


def _reduce_run(k: Kernel, form: Form, row: Buffer, low: Index, high: Index, total: Var) -> None:
    """Combine the contiguous elements from `low` to `high` into `total`, a block at a time."""
    combine = form.reduction.combine
    lanes = k.isa.lanes(max(form.source.compute.bytes, form.held.bytes))
    with k.loop(low, high, ROW_BLOCK) as first:
        last = k.smaller(first + ROW_BLOCK, high)
        full = first + (last - first) // lanes * lanes
        rest = _start(k, form, form.held, 1)
        with k.if_(first < full):
            rest.set(_reduce_vectors(k, form, row, first, full, lanes))
        with k.loop(full, last, unroll=1) as i:
            rest.set(combine(k, rest.get(), _lift(k, form, k.load(row, i))))
        total.set(combine(k, total.get(), k.cast(rest.get(), form.total)))


def _reduce_vectors(
    k: Kernel, form: Form, row: Buffer, first: Value, full: Value, lanes: int
) -> Value:
    """Combine whole vectors of elements into one number."""
    combine = form.reduction.combine
    sums = [_start(k, form, form.held, lanes) for _ in range(UNROLL)]
    whole = first + (full - first) // (lanes * UNROLL) * (lanes * UNROLL)
    with k.loop(first, whole, lanes * UNROLL, unroll=1) as i:
        for n, s in enumerate(sums):
            s.set(combine(k, s.get(), _lift(k, form, k.load(row, i + n * lanes, lanes))))
    with k.loop(whole, full, lanes, unroll=1) as i:
        sums[0].set(combine(k, sums[0].get(), _lift(k, form, k.load(row, i, lanes))))
    vectors = [s.get() for s in sums]
    while len(vectors) > 1:
        vectors = [combine(k, a, b) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
    return k.reduce(vectors[0], lambda a, b: combine(k, a, b))


def columns_kernel(form: Form) -> Kernel:
    """Results lie together, each `length` of them reduced over the same rows.

    Sizes: the kept outer sizes, the reduced sizes, `length`; kept rows, and how many of them are in
        a piece; columns in
    a piece, pieces across; chunks that the reduced rows are cut into, rows in a chunk, elements of
    y in a chunk; strides
    as in `rows_kernel`.
    """
    k = Kernel(
        "reduce_columns_" + form.reduction.name,
        buffers=(("x", form.source), ("y", form.result)),
        sizes=[
            *_names("kept", form.kept),
            *_names("reduced", form.reduced),
            *("length", "results", "row_grain", "grain", "across", "chunks", "chunk", "plane"),
            *_names("xk", form.kept),
            *_names("yk", form.kept),
            *_names("xr", form.reduced),
        ],
        scalars=("count",) if form.divided else (),
    )
    (x, y), sizes = k.buffers, list(k.sizes)
    kept, sizes = sizes[: form.kept], sizes[form.kept :]
    reduced, sizes = sizes[: form.reduced], sizes[form.reduced :]
    (length, results, row_grain, grain, across, chunks, chunk, plane), sizes = sizes[:8], sizes[8:]
    xk, yk, xr = sizes[: form.kept], sizes[form.kept : 2 * form.kept], sizes[2 * form.kept :]
    lanes = k.isa.lanes(max(form.source.compute.bytes, form.held.bytes))
    totals = k.scratch(form.total, TILE * lanes)
    row_pieces = (results + row_grain - 1) // row_grain
    with k.parallel(row_pieces * chunks * across) as piece:
        low = piece % across * grain
        high = k.smaller(low + grain, length)
        part = piece // across % chunks
        first = part * chunk
        last = k.smaller(first + chunk, _product(reduced))
        first_row = piece // (across * chunks) * row_grain
        last_row = k.smaller(first_row + row_grain, results)
        with Rows(k, kept, (xk, yk), first_row, last_row) as (at_x, at_y):
            plane_x, plane_y = x.at(at_x), y.at(at_y + part * plane)

            def tile(column: Index, vectors: int, width: int) -> None:
                _reduce_tile(
                    k, form, plane_x.at(column), (reduced, xr, first, last), totals, vectors, width
                )
                for n in range(vectors):
                    total = k.load(totals, n * width, width)
                    k.store(_finished(k, form, total), plane_y, k.index(column) + n * width)

            wide = low + (high - low) // (TILE * lanes) * (TILE * lanes)
            full = low + (high - low) // lanes * lanes
            with k.loop(low, wide, TILE * lanes, unroll=1) as c:
                tile(c, TILE, lanes)
            with k.loop(wide, full, lanes, unroll=1) as c:
                tile(c, 1, lanes)
            with k.loop(full, high, unroll=1) as c:
                tile(c, 1, 1)
    return k


def _reduce_tile(
    k: Kernel,
    form: Form,
    x: Buffer,
    rows: tuple[Sequence[Index], Sequence[Index], Index, Index],
    totals: Buffer,
    vectors: int,
    width: int,
) -> None:
    """Combine the rows of a tile `vectors` * `width` columns wide, a block of rows at a time, into
    `totals`.
    """
    combine, held = form.reduction.combine, form.held
    sizes, steps, first, last = rows
    for n in range(vectors):
        identity = form.reduction.identity(form.total)
        k.store(k.const(identity, form.total, width), totals, n * width)
    with k.loop(first, last, COLUMN_BLOCK) as low:
        high = k.smaller(low + COLUMN_BLOCK, last)
        sums = [_start(k, form, held, width) for _ in range(vectors)]
        with Rows(k, sizes, (steps,), low, high) as (at,):
            for n, s in enumerate(sums):
                value = _lift(k, form, k.load(x, at + n * width, width))
                s.set(combine(k, s.get(), value))
        for n, s in enumerate(sums):
            total = combine(k, k.load(totals, n * width, width), k.cast(s.get(), form.total))
            k.store(total, totals, n * width)
