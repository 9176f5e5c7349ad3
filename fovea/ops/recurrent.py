"""Recurrent layers over whole sequences: one op for a layer in one direction, one for its gradient.

What follows from the inputs (``gates``, of all steps) is computed before, by one product. States
of L steps lie in L + 1 rows, the one before the first step among them: in front, or with
``reverse``, where the sequence is read from its end, behind. Row t of a ``mask`` says which
sequences have a step t; the others' states stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fovea import dtypes
from fovea.casting import LOWER
from fovea.errors import ShapeError, describe
from fovea.ops.linalg import linear, matmul
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import require_dtype, require_floating, same_dtype

__all__ = [
    "GruAttrs",
    "RecurrentAttrs",
    "RnnAttrs",
    "gru",
    "gru_grad",
    "lstm",
    "lstm_grad",
    "rnn",
    "rnn_grad",
]


@dataclass(frozen=True, eq=False)
class RecurrentAttrs(Attrs):
    reverse: bool = False


@dataclass(frozen=True, eq=False)
class GruAttrs(Attrs):
    """``update_first``: the update gate comes before the reset gate."""

    reverse: bool = False
    update_first: bool = False


@dataclass(frozen=True, eq=False)
class RnnAttrs(Attrs):
    reverse: bool = False
    relu: bool = False


# gates (L, N, 4H): in, forget, cell, out; activated they come back for the gradient, which wants
# the cells of all steps, too.
lstm = Op(
    "lstm",
    ("gates", "hidden", "cell", "weight", "mask?"),
    RecurrentAttrs,
    outputs=("states", "cells", "activated"),
    autocast=LOWER,
)
lstm_grad = Op(
    "lstm_grad",
    ("gstates", "gcells?", "gactivated?", "cells", "activated", "weight", "mask?"),
    RecurrentAttrs,
    outputs=("ggates", "ghidden", "gcell"),
)
# gates (L, N, 3H): reset, update (or these the other way round), new; ``activated`` (L, N, 4H) are
# reset, update, new and the states' part of the last, before it is reset.
gru = Op(
    "gru",
    ("gates", "hidden", "weight", "bias?", "mask?"),
    GruAttrs,
    outputs=("states", "activated"),
)
gru_grad = Op(
    "gru_grad",
    ("gstates", "gactivated?", "states", "activated", "weight", "mask?"),
    GruAttrs,
    outputs=("ggates", "gstate_gates", "ghidden"),
)
rnn = Op("rnn", ("gates", "hidden", "weight", "mask?"), RnnAttrs, outputs=("states",))
rnn_grad = Op(
    "rnn_grad",
    ("gstates", "states", "weight", "mask?"),
    RnnAttrs,
    outputs=("ggates", "ghidden"),
)


# -- shapes ---------------------------------------------------------------------------------------


def _check(
    name: str, steps: Shaped, count: int, weight: Shaped, mask: Shaped | None, more: int = 0
) -> None:
    """Whether (L + more, N, count H), weight (.., H) and mask (L, N) fit."""
    require_floating(name, steps=steps, weight=weight)
    if len(weight.shape) != 2 or len(steps.shape) != 3 or steps.shape[0] <= more:
        raise ShapeError(
            f"{name}: a sequence of steps is (L, N, features), with L at least 1, and the weight "
            "a matrix.",
            {"steps": describe(steps), "weight": describe(weight)},
        )
    if steps.shape[2] != count * weight.shape[1]:
        raise ShapeError(
            f"{name}: {describe(steps)} has not {count} times the weight's {weight.shape[1]} "
            "features."
        )
    if mask is not None:
        require_dtype(name, "mask", mask, dtypes.bool_)
        _expect(name, (steps.shape[0] - more, steps.shape[1]), mask=mask)


def _expect(name: str, shape: Sequence[int], **tensors: Shaped | None) -> None:
    for key, t in tensors.items():
        if t is not None and tuple(t.shape) != tuple(shape):
            raise ShapeError(f"{name}: {key} {describe(t)} must have the shape {tuple(shape)}.")


def _forward_specs(
    op: Op, count: int, kept: int, tensors: Sequence[Shaped], mask: Shaped | None
) -> tuple[Spec, Spec]:
    """Specs of all states and of what is kept of the gates; tensors are gates, states, weight."""
    gates, *states, weight = tensors
    _check(op.name, gates, count, weight, mask)
    dtype = same_dtype(op.name, *tensors)
    (length, n, _), h = gates.shape, weight.shape[1]
    _expect(op.name, (count * h, h), weight=weight)
    for key, state in zip(("hidden", "cell"), states, strict=False):
        _expect(op.name, (n, h), **{key: state})
    return Spec((length + 1, n, h), dtype), Spec((length, n, kept * h), dtype)


@lstm.shape
def _(
    gates: Shaped,
    hidden: Shaped,
    cell: Shaped,
    weight: Shaped,
    mask: Shaped | None,
    a: RecurrentAttrs,
) -> tuple[Spec, ...]:
    states, activated = _forward_specs(lstm, 4, 4, (gates, hidden, cell, weight), mask)
    return states, states, activated


@gru.shape
def _(
    gates: Shaped,
    hidden: Shaped,
    weight: Shaped,
    bias: Shaped | None,
    mask: Shaped | None,
    a: GruAttrs,
) -> tuple[Spec, ...]:
    specs = _forward_specs(gru, 3, 4, (gates, hidden, weight), mask)
    if bias is not None:
        same_dtype("gru", gates, bias)
        _expect("gru", weight.shape[:1], bias=bias)
    return specs


@rnn.shape
def _(
    gates: Shaped, hidden: Shaped, weight: Shaped, mask: Shaped | None, a: RnnAttrs
) -> tuple[Spec, ...]:
    return _forward_specs(rnn, 1, 1, (gates, hidden, weight), mask)[:1]


@lstm_grad.shape
def _(
    gstates: Shaped,
    gcells: Shaped | None,
    gactivated: Shaped | None,
    cells: Shaped,
    activated: Shaped,
    weight: Shaped,
    mask: Shaped | None,
    a: RecurrentAttrs,
) -> tuple[Spec, ...]:
    _check("lstm_grad", activated, 4, weight, mask)
    (length, n, _), h = activated.shape, weight.shape[1]
    _expect("lstm_grad", (length + 1, n, h), gstates=gstates, gcells=gcells, cells=cells)
    _expect("lstm_grad", activated.shape, gactivated=gactivated)
    there = [t for t in (gstates, gcells, gactivated, cells, activated, weight) if t is not None]
    dtype = same_dtype("lstm_grad", *there)
    state = Spec((n, h), dtype)
    return Spec((length, n, 4 * h), dtype), state, state


@gru_grad.shape
def _(
    gstates: Shaped,
    gactivated: Shaped | None,
    states: Shaped,
    activated: Shaped,
    weight: Shaped,
    mask: Shaped | None,
    a: GruAttrs,
) -> tuple[Spec, ...]:
    _check("gru_grad", activated, 4, weight, mask)
    (length, n, _), h = activated.shape, weight.shape[1]
    _expect("gru_grad", (length + 1, n, h), gstates=gstates, states=states)
    _expect("gru_grad", activated.shape, gactivated=gactivated)
    there = [t for t in (gstates, gactivated, states, activated, weight) if t is not None]
    dtype = same_dtype("gru_grad", *there)
    gates = Spec((length, n, 3 * h), dtype)
    return gates, gates, Spec((n, h), dtype)


@rnn_grad.shape
def _(
    gstates: Shaped, states: Shaped, weight: Shaped, mask: Shaped | None, a: RnnAttrs
) -> tuple[Spec, ...]:
    _check("rnn_grad", states, 1, weight, mask, 1)
    length, n, h = states.shape
    _expect("rnn_grad", states.shape, gstates=gstates)
    dtype = same_dtype("rnn_grad", gstates, states, weight)
    return Spec((length - 1, n, h), dtype), Spec((n, h), dtype)


# -- meaning: step by step ------------------------------------------------------------------------


def _order(length: int, reverse: bool) -> list[tuple[int, int, int]]:
    """For each step in the order of computation: its number, the rows of the states before it and
    after it.
    """
    times = range(length - 1, -1, -1) if reverse else range(length)
    return [(t, t + reverse, t + 1 - reverse) for t in times]


def _joined(rows: list[Any], reverse: bool) -> Any:
    from fovea.functions.parts import stack

    return stack(rows[::-1] if reverse else rows)


def _here(mask: Any, t: int) -> Any:
    return None if mask is None else mask[t].unsqueeze(-1)


def _kept(here: Any, new: Any, old: Any = 0.0) -> Any:
    return new if here is None else new.where(here, old)


@lstm.decompose
def _(gates: Any, hidden: Any, cell: Any, weight: Any, mask: Any, a: RecurrentAttrs) -> Any:
    states, cells, activated = [hidden], [cell], []
    for t, _, _ in _order(gates.shape[0], a.reverse):
        i, f, g, o = (gates[t] + linear.bind((hidden, weight, None))).chunk(4, -1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        c = f * cell + i * g
        here = _here(mask, t)
        hidden, cell = _kept(here, o * c.tanh(), hidden), _kept(here, c, cell)
        states.append(hidden)
        cells.append(cell)
        activated.append(_side_by_side(i, f, g, o))
    return tuple(_joined(rows, a.reverse) for rows in (states, cells, activated))


@gru.decompose
def _(gates: Any, hidden: Any, weight: Any, bias: Any, mask: Any, a: GruAttrs) -> Any:
    states, activated = [hidden], []
    for t, _, _ in _order(gates.shape[0], a.reverse):
        r, z, n = _turned(gates[t].chunk(3, -1), a)
        hr, hz, hn = _turned(linear.bind((hidden, weight, bias)).chunk(3, -1), a)
        r, z = (r + hr).sigmoid(), (z + hz).sigmoid()
        n = (n + r * hn).tanh()
        hidden = _kept(_here(mask, t), n + z * (hidden - n), hidden)
        states.append(hidden)
        activated.append(_side_by_side(r, z, n, hn))
    return _joined(states, a.reverse), _joined(activated, a.reverse)


@rnn.decompose
def _(gates: Any, hidden: Any, weight: Any, mask: Any, a: RnnAttrs) -> Any:
    states = [hidden]
    for t, _, _ in _order(gates.shape[0], a.reverse):
        total = gates[t] + linear.bind((hidden, weight, None))
        hidden = _kept(_here(mask, t), total.relu() if a.relu else total.tanh(), hidden)
        states.append(hidden)
    return _joined(states, a.reverse)


def _turned(gates: Sequence[Any], a: GruAttrs) -> tuple[Any, Any, Any]:
    """A GRU's gates from the order that the op is given to reset, update, new; or back."""
    first, second, new = gates
    return (second, first, new) if a.update_first else (first, second, new)


def _side_by_side(*parts: Any) -> Any:
    from fovea.functions.parts import cat

    return cat(parts, -1)


class _Backward:
    """The gradient that walks back through the steps: what reaches the state after each.

    Args:
        gstates: gradients of the states' rows.
        weight: the states' weight.
    """

    def __init__(self, gstates: Any, weight: Any) -> None:
        self.gstates, self.weight = gstates, weight
        self.carried: Any = None  # past the step's gates

    def reaching(self, row: int) -> Any:
        g = self.gstates[row]
        return g if self.carried is None else g + self.carried

    def through(self, gates: Any, around: Any, gh: Any, here: Any) -> None:
        """Note a step's gradient of the states' part of its gates; ``around`` goes past them."""
        self.carried = matmul.bind((gates, self.weight))
        if here is not None:
            around = gh.where(~here, 0.0 if around is None else around)
        if around is not None:
            self.carried = self.carried + around


@lstm_grad.decompose
def _(
    gstates: Any,
    gcells: Any,
    gactivated: Any,
    cells: Any,
    activated: Any,
    weight: Any,
    mask: Any,
    a: RecurrentAttrs,
) -> Any:
    walk, gates = _Backward(gstates, weight), []
    gc = gstates.new_zeros(tuple(gstates.shape[1:]))
    for t, before, after in reversed(_order(activated.shape[0], a.reverse)):
        gh, here = walk.reaching(after), _here(mask, t)
        gc = gc if gcells is None else gc + gcells[after]
        i, f, g, o = activated[t].chunk(4, -1)
        inner = cells[after].tanh()
        total = gc + gh * o * (1.0 - inner * inner)
        parts = [total * g, total * cells[before], total * i, gh * inner]
        parts = [_kept(here, p) for p in parts]
        if gactivated is not None:
            parts = [p + e for p, e in zip(parts, gactivated[t].chunk(4, -1), strict=True)]
        slopes = (i * (1.0 - i), f * (1.0 - f), 1.0 - g * g, o * (1.0 - o))
        gates.append(_side_by_side(*(p * s for p, s in zip(parts, slopes, strict=True))))
        gc = _kept(here, total * f, gc)
        walk.through(gates[-1], None, gh, here)
    first = gstates.shape[0] - 1 if a.reverse else 0
    gc = gc if gcells is None else gc + gcells[first]
    return _joined(gates, not a.reverse), walk.reaching(first), gc


@gru_grad.decompose
def _(
    gstates: Any,
    gactivated: Any,
    states: Any,
    activated: Any,
    weight: Any,
    mask: Any,
    a: GruAttrs,
) -> Any:
    walk, gates, state_gates = _Backward(gstates, weight), [], []
    for t, before, after in reversed(_order(activated.shape[0], a.reverse)):
        gh, here = walk.reaching(after), _here(mask, t)
        r, z, n, hn = activated[t].chunk(4, -1)
        gz, gn = gh * (states[before] - n), gh * (1.0 - z)
        gz, gn = _kept(here, gz), _kept(here, gn)
        more = None if gactivated is None else gactivated[t].chunk(4, -1)
        gn = (gn if more is None else gn + more[2]) * (1.0 - n * n)
        gr, ghn = gn * hn, gn * r
        if more is not None:
            gr, gz, ghn = gr + more[0], gz + more[1], ghn + more[3]
        gr, gz = gr * (r * (1.0 - r)), gz * (z * (1.0 - z))
        gates.append(_side_by_side(*_turned((gr, gz, gn), a)))
        state_gates.append(_side_by_side(*_turned((gr, gz, ghn), a)))
        walk.through(state_gates[-1], gh * z, gh, here)
    first = gstates.shape[0] - 1 if a.reverse else 0
    order = not a.reverse
    return _joined(gates, order), _joined(state_gates, order), walk.reaching(first)


@rnn_grad.decompose
def _(gstates: Any, states: Any, weight: Any, mask: Any, a: RnnAttrs) -> Any:
    walk, gates = _Backward(gstates, weight), []
    for t, _, after in reversed(_order(states.shape[0] - 1, a.reverse)):
        gh, here, y = walk.reaching(after), _here(mask, t), states[after]
        g = gh * (y > 0).to(y.dtype) if a.relu else gh * (1.0 - y * y)
        gates.append(_kept(here, g))
        walk.through(gates[-1], None, gh, here)
    first = gstates.shape[0] - 1 if a.reverse else 0
    return _joined(gates, not a.reverse), walk.reaching(first)


# -- gradients ------------------------------------------------------------------------------------


def _weight_gradient(gates: Any, states: Any, reverse: bool) -> Any:
    """Of the states' weight: one product over all steps."""
    rows = states[1:] if reverse else states[:-1]
    flat = gates.reshape((gates.shape[0] * gates.shape[1], gates.shape[2]))
    return matmul.bind((flat.transpose(0, 1), rows.reshape((flat.shape[0], states.shape[2]))))


def _or_zeros(g: Any, like: Any) -> Any:
    return like.new_zeros(tuple(like.shape)) if g is None else g


@lstm.grad(saves=("weight", "mask", "states", "cells", "activated"))
def _(ctx: Any, gstates: Any, gcells: Any, gactivated: Any) -> tuple[Any, ...]:
    gstates = _or_zeros(gstates, ctx.states)
    given = (gstates, gcells, gactivated, ctx.cells, ctx.activated, ctx.weight, ctx.mask)
    gates, ghidden, gcell = lstm_grad.bind(given, ctx.attrs)
    gw = _weight_gradient(gates, ctx.states, ctx.attrs.reverse) if ctx.needed[3] else None
    return gates, ghidden, gcell, gw, None


@gru.grad(saves=("weight", "mask", "states", "activated"))
def _(ctx: Any, gstates: Any, gactivated: Any) -> tuple[Any, ...]:
    gstates = _or_zeros(gstates, ctx.states)
    given = (gstates, gactivated, ctx.states, ctx.activated, ctx.weight, ctx.mask)
    gates, state_gates, ghidden = gru_grad.bind(given, ctx.attrs)
    gw = _weight_gradient(state_gates, ctx.states, ctx.attrs.reverse) if ctx.needed[2] else None
    gb = state_gates.sum((0, 1)) if len(ctx.needed) > 3 and ctx.needed[3] else None
    return gates, ghidden, gw, gb, None


@rnn.grad(saves=("weight", "mask", "states"))
def _(ctx: Any, gstates: Any) -> tuple[Any, ...]:
    given = (gstates, ctx.states, ctx.weight, ctx.mask)
    gates, ghidden = rnn_grad.bind(given, ctx.attrs)
    gw = _weight_gradient(gates, ctx.states, ctx.attrs.reverse) if ctx.needed[2] else None
    return gates, ghidden, gw, None
