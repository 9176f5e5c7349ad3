"""The forward recursion of connectionist temporal classification: all steps as one op.

States are a sequence's labels with blanks between and around. ``rows`` hold, after each step, the
logarithm of the probability of all ways that end in each state.
"""

from __future__ import annotations

from typing import Any

from fovea import dtypes
from fovea.errors import DTypeError, ShapeError, describe
from fovea.ops.op import Op, Shaped, Spec
from fovea.ops.rules import require_dtype, require_floating, same_dtype

__all__ = ["NEVER", "ctc_rows", "ctc_rows_grad"]

NEVER = -1e30  # the logarithm of 0: finite, so that differences and gradients are numbers

# seen (T, N, S): the logarithm of each state's probability at each step; skips (N, S): whether a
# way may come from two states before; lengths (N,): steps of each sequence, after which its row
# stays. States that no way has reached have no gradient.
ctc_rows = Op("ctc_rows", ("seen", "skips", "lengths"), outputs=("rows",))
ctc_rows_grad = Op("ctc_rows_grad", ("grows", "seen", "rows", "skips", "lengths"))


def _check(name: str, seen: Shaped, skips: Shaped, lengths: Shaped) -> Spec:
    require_floating(name, seen=seen)
    if seen.dtype.itemsize < 4:  # NEVER and sums of many logarithms are beyond half types
        raise DTypeError(f"{name}: seen must be float32 or float64, got {seen.dtype.name}.")
    require_dtype(name, "skips", skips, dtypes.bool_)
    require_dtype(name, "lengths", lengths, dtypes.int64)
    shape = tuple(seen.shape)
    if len(shape) != 3 or tuple(skips.shape) != shape[1:] or tuple(lengths.shape) != shape[1:2]:
        raise ShapeError(
            f"{name}: seen is (T, N, S), skips (N, S) and lengths (N,).",
            {"seen": describe(seen), "skips": describe(skips), "lengths": describe(lengths)},
        )
    return Spec(shape, seen.dtype)


@ctc_rows.shape
def _(seen: Shaped, skips: Shaped, lengths: Shaped) -> Spec:
    return _check("ctc_rows", seen, skips, lengths)


@ctc_rows_grad.shape
def _(grows: Shaped, seen: Shaped, rows: Shaped, skips: Shaped, lengths: Shaped) -> Spec:
    spec = _check("ctc_rows_grad", seen, skips, lengths)
    same_dtype("ctc_rows_grad", grows, seen, rows)
    for key, t in (("grows", grows), ("rows", rows)):
        if tuple(t.shape) != spec.shape:
            raise ShapeError(f"ctc_rows_grad: {key} {describe(t)} must be {spec.shape}.")
    return spec


def _ways(row: Any, skips: Any) -> list[Any]:
    """For each state the logarithms of staying, of one step and of two."""
    from fovea.functions.parts import cat

    states = row.shape[1]
    two = row.new_full((row.shape[0], min(2, states)), NEVER)
    one_back = cat([two[:, :1], row[:, : max(states - 1, 0)]], 1)
    two_back = cat([two, row[:, : states - two.shape[1]]], 1).masked_fill(~skips, NEVER)
    return [row, one_back, two_back]


def _start(seen: Any) -> Any:
    from fovea.functions.ranges import arange

    return arange(seen.shape[2]) < 2


@ctc_rows.decompose
def _(seen: Any, skips: Any, lengths: Any) -> Any:
    from fovea.functions.parts import stack

    if not seen.shape[0]:
        return seen.clone()
    rows = [seen[0].masked_fill(~_start(seen), NEVER)]
    for t in range(1, seen.shape[0]):
        after = stack(_ways(rows[-1], skips)).logsumexp(0) + seen[t]
        rows.append(after.clamp(min=NEVER).where((lengths > t).unsqueeze(1), rows[-1]))
    return stack(rows)


@ctc_rows_grad.decompose
def _(grows: Any, seen: Any, rows: Any, skips: Any, lengths: Any) -> Any:
    from fovea.functions.parts import cat, stack

    steps, n, states = seen.shape
    if not steps:
        return seen.clone()
    found, g = [], grows[steps - 1].masked_fill(rows[steps - 1] <= 0.5 * NEVER, 0.0)
    for t in range(steps - 1, 0, -1):
        here = (lengths > t).unsqueeze(1)
        found.append(g.where(here, 0.0))
        total = rows[t] - seen[t]  # of the ways to each state, before its own probability
        ways = ((way - total).masked_fill(~here, NEVER) for way in _ways(rows[t - 1], skips))
        stay, one, two = (g * way.exp() for way in ways)
        zeros = g.new_zeros((n, min(2, states)))
        back = stay + cat([one[:, 1:], zeros[:, :1]], 1) + cat([two[:, 2:], zeros], 1)
        g = back.where(here, g) + grows[t - 1]
        g = g.masked_fill(rows[t - 1] <= 0.5 * NEVER, 0.0)
    found.append(g.clone())
    return stack(found[::-1])


@ctc_rows.grad(saves=("seen", "skips", "lengths", "rows"))
def _(ctx: Any, grows: Any) -> tuple[Any, ...]:
    g = ctc_rows_grad.bind((grows, ctx.seen, ctx.rows, ctx.skips, ctx.lengths))
    return g, None, None
