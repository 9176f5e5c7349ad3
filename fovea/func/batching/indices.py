"""Rules of picking and writing by index tensors."""

from __future__ import annotations

from typing import Any

from fovea.func.batching.call import Call
from fovea.func.batching.rules import declare
from fovea.functions.ranges import arange
from fovea.functions.shaping import expand, movedim, reshape
from fovea.ops import index as ops
from fovea.ops.rules import broadcast_shapes


class _Picks:
    """The indices of a call, with one more that goes through the samples.

    Picked elements then stand in front, after the samples; an op on one sample has them at the
    first indexed dimension if these are adjacent.

    Attributes:
        indices, dims: those for all samples.
        count: the number of dimensions that the indices pick.
        at: where they stand in one sample.
    """

    def __init__(self, call: Call, first: int) -> None:
        own: tuple[int, ...] = call.attrs.dims  # type: ignore[union-attr]
        shapes = [tuple(t.shape) for t in call.given[first:]]
        self.count = len(broadcast_shapes("index", *shapes))
        numbers = reshape(arange(call.size), (call.size, *(1,) * self.count))
        self.indices = [numbers]
        for i in range(first, len(call.given)):
            t = call.inputs[i]
            if call.batched[i]:
                short = self.count - call.rank(i)
                t = reshape(t, (call.size, *(1,) * short, *t.shape[1:]))
            self.indices.append(t)
        self.dims = (0, *(d + 1 for d in own))
        adjacent = own == tuple(range(own[0], own[0] + len(own)))
        self.at = own[0] if adjacent else 0

    def to_sample(self, t: Any) -> Any:
        """From (samples, picked, kept) to each sample's own order."""
        if not self.at:
            return t
        picked = range(1, 1 + self.count)
        return movedim(t, tuple(picked), tuple(d + self.at for d in picked))

    def from_sample(self, t: Any) -> Any:
        """The inverse of ``to_sample``."""
        if not self.at:
            return t
        picked = range(1, 1 + self.count)
        return movedim(t, tuple(d + self.at for d in picked), tuple(picked))


def _index(call: Call) -> Any:
    picks = _Picks(call, 1)
    attrs = ops.IndexAttrs.of(picks.dims)
    return picks.to_sample(call.bind((call.front(0), *picks.indices), attrs))


def _index_grad(call: Call) -> Any:
    picks = _Picks(call, 1)
    attrs = ops.IndexGradAttrs.of(picks.dims, (call.size, *call.attrs.shape))  # type: ignore[union-attr]
    return call.bind((picks.from_sample(call.front(0)), *picks.indices), attrs)


def _index_put(call: Call) -> Any:
    picks = _Picks(call, 2)
    attrs = ops.IndexPutAttrs.of(picks.dims, call.attrs.accumulate)  # type: ignore[union-attr]
    shape = ops.indexed_shape(
        "index_put", tuple(call.given[0].shape), call.given[2:], call.attrs.dims  # type: ignore[union-attr]
    )  # fmt: skip
    values = call.front(1)
    values = reshape(values, (call.size, *(1,) * (len(shape) - call.rank(1)), *values.shape[1:]))
    values = picks.from_sample(expand(values, (call.size, *shape)))
    return call.bind((call.front(0), values, *picks.indices), attrs)


declare(_index, ops.index)
declare(_index_grad, ops.index_grad)
declare(_index_put, ops.index_put)
