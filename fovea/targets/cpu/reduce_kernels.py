"""Kernels of reductions: along rows (the reduced elements lie together) and along columns (the kept
ones do).

Sums are cut by sizes alone: vectors add up at most a block of elements each, blocks are added in
float64, and where few results have many elements each, chunks of them give partial results that a
second call combines. So a result does not depend on the number of threads, and its error hardly
grows with the size. Nor does it depend on whether elements are loaded or computed on the way.
"""

from __future__ import annotations

from collections.abc import Sequence

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import Element, bf16, f16, f32
from fovea.targets.cpu.flow import Var
from fovea.targets.cpu.loops import Rows
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.reduce_form import Form, Source
from fovea.targets.cpu.values import Index, Value

ROW_BLOCK = 2048  # elements of a row that vectors add up before their sum goes into the total
COLUMN_BLOCK = 128  # the same down a column
UNROLL = 4
TILE = 8  # vectors of a tile of columns


def _names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{d}" for d in range(count)]


def _finished(k: Kernel, form: Form, total: Value) -> Value:
    """A total as it is stored."""
    if form.divided:
        total = total / k.cast(k.scalars[0], total.element)
    if form.result in (bf16, f16):
        total = k.cast(total, f32)
    return k.cast(total, form.result.compute)


class _Words:
    """The sizes of a kernel, taken from the front."""

    def __init__(self, sizes: Sequence[Index]) -> None:
        self._sizes = list(sizes)

    def take(self, count: int) -> list[Index]:
        taken, self._sizes = self._sizes[:count], self._sizes[count:]
        return taken


def _start(k: Kernel, form: Form, element: Element, lanes: int) -> Var:
    return k.var(k.const(form.reduction.identity(element), element, lanes))


def rows_kernel(form: Form) -> Kernel:
    """Each result reduces `length` contiguous elements in each of its outer reduced rows.

    Sizes: the kept sizes, the reduced outer sizes, `length`; results; results in a piece; chunks
    that a result is cut into, and how many reduced rows (of elements, where there is one row) are
    in one; strides along kept dimensions of x and of y, of x along reduced ones. All buffers of a
    prologue stand in place of x.
    """
    names = ("length", "results", "grain", "chunks", "chunk")
    k = _kernel("reduce_rows_", form, names)
    *xs, y = k.buffers
    words = _Words(k.sizes)
    kept, reduced = words.take(form.kept), words.take(form.reduced)
    length, results, grain, chunks, chunk = words.take(len(names))
    *xk, yk = [words.take(form.kept) for _ in k.buffers]
    xr = [words.take(form.reduced) for _ in xs]
    x = Source(k, form, xs)
    with k.parallel(chunks * ((results + grain - 1) // grain)) as piece:
        part = piece % chunks
        first = piece // chunks * grain
        last = k.smaller(first + grain, results)
        with Rows(k, kept, (*xk, yk), first, last) as (*at_x, at_y):
            total = _start(k, form, form.total, 1)
            row = x.at(at_x)
            if form.reduced == 0:
                low = part * chunk
                _reduce_run(k, form, row, low, k.smaller(low + chunk, length), total)
            else:
                low = part * chunk
                high = k.smaller(low + chunk, _product(reduced))
                with Rows(k, reduced, xr, low, high) as at:
                    _reduce_run(k, form, row.at(at), k.index(0), length, total)
            k.store(_finished(k, form, total.get()), y, at_y * chunks + part)
    return k


def _product(sizes: Sequence[Index]) -> Value:
    total = sizes[0]
    for n in sizes[1:]:
        total = total * n
    return total  # type: ignore[return-value]


def _kernel(prefix: str, form: Form, names: Sequence[str]) -> Kernel:
    """A reduction's kernel without its code; `names` are the sizes between shape and strides."""
    strides = [name for name, _ in form.buffers]
    return Kernel(
        prefix + form.reduction.name,
        buffers=[*form.buffers, ("y", form.result)],
        sizes=[
            *_names("kept", form.kept),
            *_names("reduced", form.reduced),
            *names,
            *(n for s in (*strides, "y") for n in _names(f"{s}.k", form.kept)),
            *(n for s in strides for n in _names(f"{s}.r", form.reduced)),
        ],
        scalars=form.scalars,
    )


def _reduce_run(k: Kernel, form: Form, row: Source, low: Index, high: Index, total: Var) -> None:
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
            rest.set(combine(k, rest.get(), row.load(i)))
        total.set(combine(k, total.get(), k.cast(rest.get(), form.total)))


def _reduce_vectors(
    k: Kernel, form: Form, row: Source, first: Value, full: Value, lanes: int
) -> Value:
    """Combine whole vectors of elements into one number."""
    combine = form.reduction.combine
    sums = [_start(k, form, form.held, lanes) for _ in range(UNROLL)]
    whole = first + (full - first) // (lanes * UNROLL) * (lanes * UNROLL)
    with k.loop(first, whole, lanes * UNROLL, unroll=1) as i:
        for n, s in enumerate(sums):
            s.set(combine(k, s.get(), row.load(i + n * lanes, lanes)))
    with k.loop(whole, full, lanes, unroll=1) as i:
        sums[0].set(combine(k, sums[0].get(), row.load(i, lanes)))
    vectors = [s.get() for s in sums]
    while len(vectors) > 1:
        vectors = [combine(k, a, b) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
    return k.reduce(vectors[0], lambda a, b: combine(k, a, b))


def columns_kernel(form: Form) -> Kernel:
    """Results lie together, each `length` of them reduced over the same rows.

    Sizes: the kept outer sizes, the reduced sizes, `length`; kept rows, and how many of them are in
    a piece; columns in a piece, pieces across; chunks that the reduced rows are cut into, rows in a
    chunk, elements of y in a chunk; strides as in `rows_kernel`.
    """
    names = ("length", "results", "row_grain", "grain", "across", "chunks", "chunk", "plane")
    k = _kernel("reduce_columns_", form, names)
    *xs, y = k.buffers
    words = _Words(k.sizes)
    kept, reduced = words.take(form.kept), words.take(form.reduced)
    length, results, row_grain, grain, across, chunks, chunk, plane = words.take(len(names))
    *xk, yk = [words.take(form.kept) for _ in k.buffers]
    xr = [words.take(form.reduced) for _ in xs]
    x = Source(k, form, xs)
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
        with Rows(k, kept, (*xk, yk), first_row, last_row) as (*at_x, at_y):
            plane_x, plane_y = x.at(at_x), y.at(at_y + part * plane)

            def tile(column: Index, vectors: int, width: int) -> None:
                _reduce_tile(
                    k,
                    form,
                    plane_x.along(column),
                    (reduced, xr, first, last),
                    totals,
                    vectors,
                    width,
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
    x: Source,
    rows: tuple[Sequence[Index], Sequence[Sequence[Index]], Index, Index],
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
        with Rows(k, sizes, steps, low, high) as at:
            row = x.at(at)
            for n, s in enumerate(sums):
                s.set(combine(k, s.get(), row.load(n * width, width)))
        for n, s in enumerate(sums):
            total = combine(k, k.load(totals, n * width, width), k.cast(s.get(), form.total))
            k.store(total, totals, n * width)
