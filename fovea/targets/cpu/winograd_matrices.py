"""The matrices of the Winograd forms of a 3 x 3 convolution, and products with them in registers.

F(4x4, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015). A tile of
4 x 4 outputs comes from 6 x 6 inputs. Both are transformed, so that the convolution becomes 36
products of matrices (tiles by channels against channels by outputs), a quarter of the direct form's
multiplications. The results differ from the direct form's in the last digits (relative error 3e-6
against 5e-7).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.memory import Buffer
from fovea.targets.cpu.values import Index, Value

TILE, PATCH = 4, 6
POINTS = PATCH * PATCH
Matrix = Sequence[Sequence[float]]

INPUT: Matrix = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
WEIGHT: Matrix = tuple(
    tuple(float(Fraction(x)) for x in row.split())
    for row in (
        "1/4 0 0", "-1/6 -1/6 -1/6", "-1/6 1/6 -1/6", "1/24 1/12 1/6", "1/24 -1/12 1/6", "0 0 1"
    )
)  # fmt: skip
OUTPUT: Matrix = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)
GRADIENT: Matrix = tuple(zip(*OUTPUT, strict=True))  # a tile of the output's gradient, to 6 x 6
INVERSE: Matrix = tuple(zip(*WEIGHT, strict=True))  # from 6 x 6 to the weights' gradient


def combine(k: Kernel, matrix: Matrix, values: Sequence[Value]) -> list[Value]:
    """matrix @ values, with few operations.

    What is multiplied by zero or one is left out. Where two neighboring columns agree but for
    signs, the sum and the difference of their values take their places; where two neighboring rows
    agree but for the signs of some entries, both come from one sum of the entries that agree and
    one of those that do not.
    """
    matrix, values = _pair_columns(k, matrix, values)
    results: list[Value] = []
    while len(results) < len(matrix):
        row, *others = matrix[len(results) :]
        pair = _split(row, others[0]) if others else None
        if pair is None:
            results.append(_weighted(k, row, values))
            continue
        same, scale, opposite = pair
        even, odd = _weighted(k, same, values), _weighted(k, opposite, values)
        if scale == 1:
            results += [even + odd, even - odd]
        else:
            results += [k.fma(scale, odd, even), k.fma(-scale, odd, even)]
    return results


def _pair_columns(
    k: Kernel, matrix: Matrix, values: Sequence[Value]
) -> tuple[Matrix, Sequence[Value]]:
    columns, entries, i = list(zip(*matrix, strict=True)), list(values), 0
    while i < len(columns) - 1:
        pair = _split(columns[i], columns[i + 1])
        if pair is not None:
            same, scale, opposite = pair
            columns[i : i + 2] = [tuple(same), tuple(scale * x for x in opposite)]
            entries[i : i + 2] = [values[i] + values[i + 1], values[i] - values[i + 1]]
            i += 1
        i += 1
    return tuple(zip(*columns, strict=True)), entries


def _split(
    a: Sequence[float], b: Sequence[float]
) -> tuple[Sequence[float], float, Sequence[float]] | None:
    """a as same + scale * opposite and b as same - scale * opposite, where both parts are there."""
    if any(abs(x) != abs(y) for x, y in zip(a, b, strict=True)):
        return None
    same = [x if x == y else 0.0 for x, y in zip(a, b, strict=True)]
    opposite = [x if x != y else 0.0 for x, y in zip(a, b, strict=True)]
    if not any(same) or not any(opposite):
        return None
    scale = min(abs(x) for x in opposite if x)
    return same, scale, [x / scale for x in opposite]


def _weighted(k: Kernel, weights: Sequence[float], values: Sequence[Value]) -> Value:
    """The weighted sum, beginning with a weight of one where there is one."""
    terms = [(w, v) for w, v in zip(weights, values, strict=True) if w]
    terms.sort(key=lambda term: term[0] != 1)
    (weight, value), *rest = terms
    total = value if weight == 1 else value * weight
    for weight, value in rest:
        if abs(weight) == 1:
            total = total + value if weight > 0 else total - value
        else:
            total = k.fma(weight, value, total)
    return total


def transform(
    k: Kernel, matrix: Matrix, tile: Sequence[Sequence[Value]], spill: Buffer
) -> list[list[Value]]:
    """matrix @ tile @ matrix.T; what lies between passes through `spill`."""
    rows, columns, lanes = len(matrix), len(tile[0]), tile[0][0].lanes
    for q in range(columns):
        for r, value in enumerate(combine(k, matrix, [line[q] for line in tile])):
            k.store(value, spill, (r * columns + q) * lanes)
    return [
        combine(
            k, matrix, [k.load(spill, (r * columns + q) * lanes, lanes) for q in range(columns)]
        )
        for r in range(rows)
    ]


def ask_points(k: Kernel, buffer: Buffer, stride: Index, turn: Index, write: bool) -> None:
    """Where vector `turn` begins a cache line, ask for the line after the next at all 36 points,
    `stride` elements apart: transforms go through 36 streams at a time, and would wait for each.
    """
    line = 64 // buffer.element.bytes
    with k.if_((k.index(turn) & (line - 1)).eq(0)):
        for point in range(POINTS):
            k.prefetch(buffer, stride * point + 2 * line, write=write)
