"""A search along a line for the strong Wolfe conditions (Nocedal and Wright 2006, section 3.5)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Point", "strong_wolfe"]

DECREASE, CURVATURE = 1e-4, 0.9  # c1 and c2


@dataclass(frozen=True)
class Point:
    """A place on the line: how far along, the loss, its gradient, and the slope along the line."""

    t: float
    loss: float
    gradient: Tensor
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point],
    start: Point,
    t: float,
    length: float,
    tries: int = 25,
    tolerance: float = 1e-9,
) -> tuple[Point, int]:
    """A point whose loss has fallen enough and whose slope is flat enough.

    Args:
        evaluate: the point at a distance.
        start: the point at 0; the slope there is negative.
        t: the first distance to try.
        length: the largest element of the direction.
        tries: the most points after the first.
        tolerance: a bracket shorter than this, in elements, ends the search.

    Returns:
        The point, the best one found where none meets the conditions; how many were looked at.
    """
    previous, point = start, evaluate(t)
    for count in range(tries):
        risen = count > 1 and point.loss >= previous.loss
        if _too_high(point, start) or risen or (point.slope >= 0 and not _flat(point, start)):
            return _zoom(evaluate, start, previous, point, length, tries - count, tolerance, count)
        if _flat(point, start):
            return point, count + 1
        nearest, farthest = point.t + 0.01 * (point.t - previous.t), point.t * 10
        following = _lowest(previous, point, nearest, farthest)
        previous, point = point, evaluate(following)
    return (start if start.loss <= point.loss else point), tries + 1


def _too_high(point: Point, start: Point) -> bool:
    return point.loss > start.loss + DECREASE * point.t * start.slope


def _flat(point: Point, start: Point) -> bool:
    return abs(point.slope) <= -CURVATURE * start.slope


def _zoom(
    evaluate: Callable[[float], Point],
    start: Point,
    low: Point,
    high: Point,
    length: float,
    tries: int,
    tolerance: float,
    count: int,
) -> tuple[Point, int]:
    """Narrow the bracket between two points until one meets the conditions."""
    low, high = _by_loss(low, high)
    count += 1
    stalled = False
    for _ in range(tries):
        if abs(high.t - low.t) * length < tolerance:
            break
        near, far = sorted((low.t, high.t))
        t, stalled = _inward(_lowest(low, high, near, far), near, far, stalled)
        point = evaluate(t)
        count += 1
        if _too_high(point, start) or point.loss >= low.loss:
            low, high = _by_loss(low, point)
            continue
        if _flat(point, start):
            return point, count
        if point.slope * (high.t - low.t) >= 0:
            high = low
        low = point
    return low, count


def _by_loss(a: Point, b: Point) -> tuple[Point, Point]:
    return (a, b) if a.loss <= b.loss else (b, a)


def _inward(t: float, near: float, far: float, stalled: bool) -> tuple[float, bool]:
    """A tenth of the bracket away from its ends, where the last try was close to them, too."""
    margin = 0.1 * (far - near)
    if min(far - t, t - near) >= margin:
        return t, False
    if not stalled and near < t < far:
        return t, True
    return (far - margin if abs(t - far) < abs(t - near) else near + margin), False


def _lowest(a: Point, b: Point, near: float, far: float) -> float:
    """Where the cubic through two points with their slopes is lowest, within bounds."""
    if a.t > b.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (near + far) / 2
    root = math.sqrt(square)
    divisor = b.slope - a.slope + 2 * root
    if divisor == 0:
        return (near + far) / 2
    return min(max(b.t - (b.t - a.t) * ((b.slope + root - d1) / divisor), near), far)
