"""Placing the boxes of a drawing in layers, so that arrows point down and seldom cross.

The method of Sugiyama, Tagawa and Toda (1981): ranks, then orders within ranks by the middle of a
box's neighbors, then places that are as near to that middle as the order allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = ["Box", "place", "ranked"]

_SWEEPS = 12
_STRAIGHT = 8.0  # how much more the pieces of one long arrow pull at each other


@dataclass(eq=False)
class Box:
    """Something with a size that is to get a place; arrows that pass a rank have one, too.

    Attributes:
        x, y: of its middle, once it is placed.
        rank: the row that it stands in.
    """

    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    rank: int = 0
    above: list[Box] = field(default_factory=list)
    below: list[Box] = field(default_factory=list)
    bend: bool = False


def ranked(boxes: Sequence[Box], arrows: Iterable[tuple[Box, Box]]) -> None:
    """Give each box a rank below all boxes that point at it.

    Args:
        boxes: in an order in which no arrow points back.
        arrows: from, to.
    """
    targets: dict[Box, list[Box]] = {}
    sources: set[Box] = set()
    for a, b in arrows:
        targets.setdefault(a, []).append(b)
        sources.add(b)
    for box in boxes:
        for target in targets.get(box, ()):
            target.rank = max(target.rank, box.rank + 1)
    last = 0
    for box in boxes:
        if box not in sources:  # just above what it points at, or beside what stands before it
            below = [t.rank for t in targets.get(box, ())]
            box.rank = min(below) - 1 if below else last
        last = box.rank


def place(
    boxes: Sequence[Box], arrows: Sequence[tuple[Box, Box]], gap: tuple[float, float]
) -> list[list[Box]]:
    """Give ranked boxes their places.

    Args:
        gap: between neighbors in a row, and between rows.

    Returns:
        For each arrow the boxes that it visits: its ends, and a bend in each row between, which is
        as high as the row.
    """
    rows: list[list[Box]] = [[] for _ in range(max((b.rank for b in boxes), default=-1) + 1)]
    for box in boxes:
        rows[box.rank].append(box)
    paths = [_bent(a, b, rows, gap[0]) for a, b in arrows]
    for path in paths:
        for a, b in pairwise(path):
            a.below.append(b)
            b.above.append(a)
    _order(rows)
    _spread(rows, gap[0])
    top = 0.0
    for row in rows:
        height = max((b.height for b in row), default=0.0)
        for box in row:
            box.y = top + height / 2
            box.height = height if box.bend else box.height
        top += height + gap[1]
    return paths


def _bent(a: Box, b: Box, rows: list[list[Box]], gap: float) -> list[Box]:
    bends = [Box(gap / 4, 0.0, rank=r, bend=True) for r in range(a.rank + 1, b.rank)]
    for bend in bends:
        rows[bend.rank].append(bend)
    return [a, *bends, b]


def _order(rows: list[list[Box]]) -> None:
    """Sort each row by the mean place of its neighbors in the row before, up and down in turn."""
    best, fewest = [list(row) for row in rows], _crossings(rows)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            places = {b: float(i) for i, b in enumerate(row)}
            middle = {b: _middle(b.above if down else b.below, places[b]) for b in row}
            row.sort(key=middle.__getitem__)
            for i, b in enumerate(row):
                b.x = float(i)
        count = _crossings(rows)
        if count < fewest:
            best, fewest = [list(row) for row in rows], count
    rows[:] = best


def _middle(neighbors: list[Box], otherwise: float) -> float:
    return sum(b.x for b in neighbors) / len(neighbors) if neighbors else otherwise


def _crossings(rows: list[list[Box]]) -> int:
    """How many pairs of arrows cross."""
    for row in rows:
        for i, b in enumerate(row):
            b.x = float(i)
    count = 0
    for row in rows:
        ends = [t.x for b in row for t in sorted(b.below, key=lambda t: t.x)]
        count += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
    return count


def _spread(rows: list[list[Box]], gap: float) -> None:
    """Places in each row as near as can be to the middle of a box's neighbors."""
    for row in rows:
        _fit(row, [0.0] * len(row), [1.0] * len(row), gap)
    for sweep in range(2 * _SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            wanted, pulls = [], []
            for b in row:
                neighbors = (b.above if down else b.below) or b.above or b.below
                weights = [_STRAIGHT if b.bend and n.bend else 1.0 for n in neighbors]
                total = sum(weights)
                pulled = sum(w * n.x for w, n in zip(weights, neighbors, strict=True))
                wanted.append(pulled / total if neighbors else b.x)
                pulls.append(total or 0.1)
            _fit(row, wanted, pulls, gap)
    left = min((b.x - b.width / 2 for row in rows for b in row), default=0.0)
    for row in rows:
        for b in row:
            b.x -= left


def _fit(row: list[Box], wanted: list[float], pulls: list[float], gap: float) -> None:
    """Least squares under an order: where boxes would overlap they move as one block."""
    offsets = [0.0]
    for a, b in pairwise(row):
        offsets.append(offsets[-1] + (a.width + b.width) / 2 + gap)
    blocks: list[tuple[float, float, int]] = []  # sum of pulls times place, sum of pulls, boxes
    for w, pull, offset in zip(wanted, pulls, offsets, strict=False):
        block = (pull * (w - offset), pull, 1)
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    at = 0
    for total, pull, count in blocks:
        for i in range(at, at + count):
            row[i].x = total / pull + offsets[i]
        at += count
