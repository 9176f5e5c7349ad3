"""Loops over channels, which lie side by side in memory: in blocks, in vectors, one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value

__all__ = ["channel_blocks", "fill_zero", "reduce_row"]

Body = Callable[[Value, int, int], None]


def channel_blocks(
    k: Kernel, low: Index, high: Index, lanes: int, vectors: int, body: Body
) -> None:
    """Call `body(c, vectors, lanes)` so that blocks of `vectors * lanes` channels from `c` on fill
    `low` to `high`.

    What does not fill a block is done by single vectors, and what does not fill a vector one by
    one.
    """
    low, high = k.index(low), k.index(high)
    at, size = low, vectors * lanes
    if vectors > 1:
        end = low + (high - low) // size * size
        with k.loop(at, end, size, unroll=1) as c:
            body(c, vectors, lanes)
        at = end
    end = low + (high - low) // lanes * lanes
    with k.loop(at, end, lanes, unroll=1) as c:
        body(c, 1, lanes)
    width, rest = lanes // 2, high - end
    while width:
        with k.if_((rest & width).ne(0)):
            body(high - (rest & (2 * width - 1)), 1, width)
        width //= 2


def fill_zero(k: Kernel, buffer: Buffer, low: Index, high: Index) -> None:
    """Zeros from element `low` up to `high`."""
    kind = buffer.element.compute

    def zero(c: Value, vectors: int, lanes: int) -> None:
        for v in range(vectors):
            k.store(k.const(0, kind, lanes), buffer, c + v * lanes)

    channel_blocks(k, low, high, k.lanes(buffer.element), 4, zero)


def reduce_row(
    k: Kernel,
    size: Index,
    lanes: int,
    vectors: int,
    initial: Sequence[Value],
    combine: Callable[[Value, Value], Value],
    values: Callable[[Value, int], Sequence[Value]],
) -> list[Value]:
    """Reductions of `values(c, lanes)` over the columns 0 to `size` of a row, as scalars.

    Args:
        initial: what each reduction starts from (scalars).
        combine: of two partial results; `vectors` of them are kept apart until the end.
    """
    wide = [[k.var(k.broadcast(v, lanes)) for v in initial] for _ in range(vectors)]
    rest = [k.var(v) for v in initial]

    def block(c: Value, count: int, width: int) -> None:
        for n in range(count):
            found = values(c + n * width, width)
            for value, whole, part in zip(found, wide[n], rest, strict=True):
                if width == lanes > 1:
                    whole.set(combine(whole.get(), value))
                else:
                    part.set(combine(part.get(), k.reduce(value, combine)))

    channel_blocks(k, 0, size, lanes, vectors, block)
    results = []
    for number, part in enumerate(rest):
        total = wide[0][number].get()
        for others in wide[1:]:
            total = combine(total, others[number].get())
        results.append(combine(part.get(), k.reduce(total, combine)))
    return results
