"""Kernels of recurrent layers: a piece is some sequences of the batch over all steps.

A step multiplies the states before it with the packed weight, tile by tile, and makes of each
tile's sums, while they are in a cache, what the step gives. So do the gradients on the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

from fovea.targets.cpu import vmath
from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.contraction import Core
from fovea.targets.cpu.elements import Element, boolean
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.packing import Order, copy_line, copy_rows, fill_line
from fovea.targets.cpu.schedule import Tile
from fovea.targets.cpu.values import Index, Value

# How many gates of a unit lie side by side in the weight, the inputs' part and what is kept.
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
WIDTH = 4  # vectors of a panel of single gates

SIZES = (
    "pieces", "grain", "rows", "hidden", "panels", "steps", "first", "by", "after", "run",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """What a kernel is generated for.

    Args:
        mode: a key of `GATES`.
        e: the element type of all tensors.
        rows: sequences of a tile.
        whole: whether the units fill the vectors.
        masked: whether there is a mask.
        extras: optional inputs that are there.
        update_first: the order of a GRU's gates.
    """

    mode: str
    e: Element
    rows: int
    whole: bool
    masked: bool
    extras: tuple[str, ...] = ()
    update_first: bool = False

    @property
    def order(self) -> tuple[int, int, int]:
        """Where a GRU's gates lie: reset, update, new."""
        return (1, 0, 2) if self.update_first else (0, 1, 2)

    @property
    def key(self) -> str:
        flags = "+".join((*self.extras, *["zr"] * self.update_first))
        return f"{self.mode}/{self.e}/{self.rows}/{self.whole:d}{self.masked:d}/{flags}"


def vectors_of(mode: str, backward: bool) -> int:
    """The vectors of a panel: a unit's gates, or (of one gate) neighboring units."""
    return WIDTH if backward or GATES[mode] == 1 else GATES[mode]


# -- the weight -----------------------------------------------------------------------------------


def pack_kernel(e: Element, vectors: int, order: Order) -> Kernel:
    """target[panel][item][vector][lane] = source[unit, item], zeros behind the last unit. Vector v
    of panel p starts with unit p * unit_p + v * unit_v, v * gate elements further in the source.
    """
    k = Kernel(
        "pack_recurrent",
        (("source", e), ("target", e.compute)),
        ("panels", "items", "units", "unit_p", "unit_v", "gate", "unit_stride", "item_stride"),
    )
    source, target = k.buffers
    panels, items, units, unit_p, unit_v, gate, unit_stride, item_stride = k.sizes
    lanes = k.lanes(e)
    with k.parallel(panels * vectors) as piece:
        panel, vector = piece // vectors, piece % vectors
        unit = panel * unit_p + vector * unit_v
        count = k.larger(k.smaller(units - unit, lanes), 0)
        into = target.at(panel * items * (vectors * lanes) + vector * lanes)
        with k.if_(count < lanes), k.loop(0, items) as item:
            k.store(k.const(0, e.compute, lanes), into, item * (vectors * lanes))
        with k.if_(count > 0):
            copy_rows(
                k, order, source.at(unit * unit_stride + vector * gate),
                (item_stride, unit_stride), (items, count), into, vectors * lanes,
            )  # fmt: skip
    return k


# -- what both directions share -------------------------------------------------------------------


class _Walk:
    """The loops of a kernel: over steps, panels, tiles, and the vectors of a tile's sums."""

    def __init__(self, k: Kernel, v: Variant, vectors: int) -> None:
        self.k, self.v, self.vectors = k, v, vectors
        self.s = SimpleNamespace(**dict(zip(SIZES, k.sizes, strict=True)))
        self.b = {b.name: b for b in k.buffers}
        self.core = Core(k, Tile(v.rows, vectors), v.e.compute)
        self.lanes = self.core.lanes
        self.tile = k.scratch(v.e.compute, v.rows * self.core.width)

    def place(self, row: Index, time: Index) -> Value:
        """Which row of (steps, sequences) a sequence has at a time."""
        return self.k.index(time) * self.s.rows + row

    def tiles(
        self, low: Value, count: Index, operand: Callable[[Value], Value], left: Buffer, run: Index,
        each: Callable[[Value, Value, Buffer], None],
    ) -> None:  # fmt: skip
        """For all units of `count` sequences from `low` on: the sums of `run` products of row
        `operand(sequence)` of `left`, then `each(sequence, first unit, sums)`.
        """
        k, s, v, core = self.k, self.s, self.v, self.core
        panels = self.b["panels"]
        with k.loop(0, s.panels, unroll=1) as p, k.loop(0, count, v.rows, unroll=1) as row:
            at = [low + k.smaller(row + r, count - 1) for r in range(v.rows)]
            sums = core.accumulators()
            lefts = [left.at(operand(a) * s.run) for a in at]
            core.accumulate(sums, lefts, panels.at(p * s.run * core.width), run, core.width)
            for number, line in enumerate(sums):
                for i, total in enumerate(line):
                    k.store(total.get(), self.tile, number * core.width + i * self.lanes)
            with k.loop(0, k.smaller(count - row, v.rows), unroll=1) as r:
                each(low + row + r, p, self.tile.at(r * core.width))

    @contextmanager
    def units(self, panel: Value, sums: Buffer) -> Iterator[tuple[Value, Buffer, Index | None]]:
        """Panels of single gates: the first unit of each vector, its sums, how many units it has
        (None: all).
        """
        k, s = self.k, self.s
        start = panel * self.core.width
        with k.loop(start, k.smaller(start + self.core.width, s.hidden), self.lanes, 1) as unit:
            yield unit, sums.at(unit - start), self.left(unit)

    def left(self, unit: Value) -> Index | None:
        """How many units a vector has from `unit` on; None: all that fit."""
        return None if self.v.whole else self.k.smaller(self.s.hidden - unit, self.lanes)

    def read(
        self, name: str, place: Value, unit: Value, left: Index | None, gate: int = 0
    ) -> Value:
        """A vector of a buffer's row, whose rows have `GATES` units (those of one gate: 1)."""
        return self.k.load(self.b[name], self._at(place, unit, gate), self.lanes, count=left)

    def write(self, value: Value, name: str, place: Value, unit: Value, left: Index | None) -> None:
        self.k.store(value, self.b[name], self._at(place, unit, 0), count=left)

    def _at(self, place: Value, unit: Value, gate: int) -> Value:
        return place * self.s.hidden + gate * self.s.hidden + unit

    def is_there(self, row: Value, time: Value) -> Value | None:
        """Whether a sequence has a step; None where there is no mask."""
        return self.k.load(self.b["mask"], self.place(row, time)) if self.v.masked else None

    def kept(self, here: Value | None, new: Value, old: Value | float) -> Value:
        return new if here is None else self.k.select(here, new, old)


# -- forward --------------------------------------------------------------------------------------


def forward_kernel(v: Variant) -> Kernel:
    """The states after all steps, and what the gradient reads."""
    gates, e = GATES[v.mode], v.e
    lstm, rnn = v.mode == "lstm", gates == 1
    names = ["gates", "hidden_in", *["cell_in"] * lstm, "panels", *v.extras]
    names += ["mask"] * v.masked + ["states"] + ["cells"] * lstm + ["activated"] * (not rnn)
    kinds = {"panels": e.compute, "mask": boolean}
    k = Kernel(v.mode, [(n, kinds.get(n, e)) for n in names], SIZES)
    w = _Walk(k, v, vectors_of(v.mode, False))
    s, b, n = w.s, w.b, w.s.hidden
    step = {"lstm": _lstm_step, "gru": _gru_step}.get(v.mode, _rnn_step)
    with k.parallel(s.pieces) as piece:
        low = piece * s.grain
        count = k.smaller(s.rows - low, s.grain)
        start = w.place(low, s.first + 1 - s.after)
        copy_line(k, b["hidden_in"].at(low * n), count * n, b["states"].at(start * n))
        if lstm:
            copy_line(k, b["cell_in"].at(low * n), count * n, b["cells"].at(start * n))
        with k.loop(0, s.steps, unroll=1) as i:
            time = s.first + i * s.by

            def before(row: Value, time: Value = time) -> Value:
                return w.place(row, time + 1 - s.after)

            def each(row: Value, panel: Value, sums: Buffer, time: Value = time) -> None:
                places = SimpleNamespace(
                    now=w.place(row, time),
                    before=w.place(row, time + 1 - s.after),
                    after=w.place(row, time + s.after),
                    here=w.is_there(row, time),
                )
                step(w, places, panel, sums)

            w.tiles(low, count, before, b["states"], s.run, each)
    return k


def _rnn_step(w: _Walk, at: SimpleNamespace, panel: Value, sums: Buffer) -> None:
    k = w.k
    with w.units(panel, sums) as (unit, mine, left):
        total = k.load(mine, 0, w.lanes) + w.read("gates", at.now, unit, left)
        new = k.fast_max(0.0, total) if w.v.mode == "rnn_relu" else vmath.tanh(k, total)
        if at.here is not None:
            new = w.kept(at.here, new, w.read("states", at.before, unit, left))
        w.write(new, "states", at.after, unit, left)


def _lstm_step(w: _Walk, at: SimpleNamespace, panel: Value, sums: Buffer) -> None:
    k, unit = w.k, panel * w.lanes
    left = w.left(unit)
    totals = [
        k.load(sums, g * w.lanes, w.lanes) + w.read("gates", at.now * 4, unit, left, g)
        for g in range(4)
    ]
    i, f, o = (vmath.sigmoid(k, totals[g]) for g in (0, 1, 3))
    g = vmath.tanh(k, totals[2])
    for number, gate in enumerate((i, f, g, o)):
        w.write(gate, "activated", at.now * 4 + number, unit, left)
    old = w.read("cells", at.before, unit, left)
    cell = k.fma(f, old, i * g)
    hidden = o * vmath.tanh(k, cell)
    if at.here is not None:
        hidden = w.kept(at.here, hidden, w.read("states", at.before, unit, left))
    w.write(w.kept(at.here, cell, old), "cells", at.after, unit, left)
    w.write(hidden, "states", at.after, unit, left)


def _gru_step(w: _Walk, at: SimpleNamespace, panel: Value, sums: Buffer) -> None:
    k, unit = w.k, panel * w.lanes
    left = w.left(unit)
    states = [k.load(sums, g * w.lanes, w.lanes) for g in w.v.order]
    if "bias" in w.v.extras:
        biases = [w.read("bias", k.index(g), unit, left) for g in w.v.order]
        states = [t + b for t, b in zip(states, biases, strict=True)]
    inputs = [w.read("gates", at.now * 3, unit, left, g) for g in w.v.order]
    r, z = (vmath.sigmoid(k, inputs[g] + states[g]) for g in (0, 1))
    n = vmath.tanh(k, k.fma(r, states[2], inputs[2]))
    for number, gate in enumerate((r, z, n, states[2])):
        w.write(gate, "activated", at.now * 4 + number, unit, left)
    old = w.read("states", at.before, unit, left)
    w.write(w.kept(at.here, k.fma(z, old - n, n), old), "states", at.after, unit, left)


# -- backward -------------------------------------------------------------------------------------


def backward_kernel(v: Variant) -> Kernel:
    """Gradients of the gates of all steps and of what came before the first.

    ``ghidden`` holds, on the way, what reaches the state before a step past its gates, ``gcell``
    what reaches the cell.
    """
    e, lstm, gru = v.e, v.mode == "lstm", v.mode == "gru"
    names = ["gstates", *v.extras, *(["cells"] if lstm else ["states"])]
    names += ["activated"] * (lstm or gru) + ["panels"] + ["mask"] * v.masked + ["ggates"]
    names += ["gstate_gates"] * gru + ["ghidden"] + ["gcell"] * lstm
    kinds = {"panels": e.compute, "mask": boolean}
    k = Kernel(f"{v.mode}_grad", [(n, kinds.get(n, e)) for n in names], SIZES)
    w = _Walk(k, v, vectors_of(v.mode, True))
    s, b, n = w.s, w.b, w.s.hidden
    passed = "gstate_gates" if gru else "ggates"
    step = {"lstm": _lstm_back, "gru": _gru_back}.get(v.mode, _rnn_back)
    keeps = v.masked or gru
    with k.parallel(s.pieces) as piece:
        low = piece * s.grain
        count = k.smaller(s.rows - low, s.grain)
        for name in ["ghidden"] * keeps + ["gcell"] * lstm:
            fill_line(k, b[name].at(low * n), count * n)
        # One turn more than there are steps: what reaches the state before the first.
        with k.loop(0, s.steps + 1, unroll=1) as i:
            time = s.first - i * s.by
            run = k.select(k.index(i) > 0, s.run, 0)

            def later(row: Value, time: Value = time) -> Value:
                return w.place(row, time + s.by)

            def each(
                row: Value, panel: Value, sums: Buffer, i: Value = i, time: Value = time
            ) -> None:
                at = SimpleNamespace(
                    row=row, now=w.place(row, time), before=w.place(row, time + 1 - s.after),
                    after=w.place(row, time + s.after),
                )  # fmt: skip
                with w.units(panel, sums) as (unit, mine, left):
                    gh = k.load(mine, 0, w.lanes) + w.read("gstates", at.after, unit, left)
                    if keeps:
                        gh = gh + w.read("ghidden", row, unit, left)
                    with k.if_else(i < s.steps) as (then, otherwise):
                        with then:
                            at.here = w.is_there(row, time)
                            step(w, at, gh, unit, left)
                        with otherwise:
                            w.write(gh, "ghidden", row, unit, left)
                            if "gcells" in v.extras:
                                gc = w.read("gcell", row, unit, left)
                                gc = gc + w.read("gcells", at.after, unit, left)
                                w.write(gc, "gcell", row, unit, left)

            w.tiles(low, count, later, b[passed], run, each)
    return k


def _pass_on(
    w: _Walk, at: SimpleNamespace, gh: Value, around: Value | float, unit: Value, left: Index | None
) -> None:
    """What reaches the state before: `around` the gates, or all of it where there is no step."""
    if isinstance(around, float):
        around = w.k.const(around, gh.element, gh.lanes)
    w.write(w.kept(at.here, around, gh), "ghidden", at.row, unit, left)


def _rnn_back(w: _Walk, at: SimpleNamespace, gh: Value, unit: Value, left: Index | None) -> None:
    k, y = w.k, w.read("states", at.after, unit, left)
    g = k.select(y > 0.0, gh, 0.0) if w.v.mode == "rnn_relu" else gh * (1.0 - y * y)
    w.write(w.kept(at.here, g, 0.0), "ggates", at.now, unit, left)
    if at.here is not None:
        _pass_on(w, at, gh, 0.0, unit, left)


def _lstm_back(w: _Walk, at: SimpleNamespace, gh: Value, unit: Value, left: Index | None) -> None:
    k = w.k
    i, f, g, o = (w.read("activated", at.now * 4, unit, left, n) for n in range(4))
    inner = vmath.tanh(k, w.read("cells", at.after, unit, left))
    gc = w.read("gcell", at.row, unit, left)
    if "gcells" in w.v.extras:
        gc = gc + w.read("gcells", at.after, unit, left)
    total = k.fma(gh * o, 1.0 - inner * inner, gc)
    parts = [total * g, total * w.read("cells", at.before, unit, left), total * i, gh * inner]
    slopes = (i * (1.0 - i), f * (1.0 - f), 1.0 - g * g, o * (1.0 - o))
    for n, (part, slope) in enumerate(zip(parts, slopes, strict=True)):
        part = w.kept(at.here, part, 0.0)
        if "gactivated" in w.v.extras:
            part = part + w.read("gactivated", at.now * 4, unit, left, n)
        w.write(part * slope, "ggates", at.now * 4 + n, unit, left)
    w.write(w.kept(at.here, total * f, gc), "gcell", at.row, unit, left)
    if at.here is not None:
        _pass_on(w, at, gh, 0.0, unit, left)


def _gru_back(w: _Walk, at: SimpleNamespace, gh: Value, unit: Value, left: Index | None) -> None:
    r, z, n, hn = (w.read("activated", at.now * 4, unit, left, g) for g in range(4))
    gz = w.kept(at.here, gh * (w.read("states", at.before, unit, left) - n), 0.0)
    gn = w.kept(at.here, gh * (1.0 - z), 0.0)
    more = None
    if "gactivated" in w.v.extras:
        more = [w.read("gactivated", at.now * 4, unit, left, g) for g in range(4)]
    gn = (gn if more is None else gn + more[2]) * (1.0 - n * n)
    gr, ghn = gn * hn, gn * r
    if more is not None:
        gr, gz, ghn = gr + more[0], gz + more[1], ghn + more[3]
    gr, gz = gr * (r * (1.0 - r)), gz * (z * (1.0 - z))
    for name, last in (("ggates", gn), ("gstate_gates", ghn)):
        for number, value in zip(w.v.order, (gr, gz, last), strict=True):
            w.write(value, name, at.now * 3 + number, unit, left)
    _pass_on(w, at, gh, gh * z, unit, left)
