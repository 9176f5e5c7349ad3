"""Which detection meets which object, and the precision at each recall that follows.

This is how COCO counts: detections of an image and a category take their turn by score; each takes
the best object that is still free. All images and categories are matched at once: first all best
detections, then all second best, and so on.

Source: the evaluation of T.-Y. Lin et al., "Microsoft COCO: common objects in context", 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["Found", "Settings", "Tables", "Truth", "evaluate"]

Array = np.ndarray[Any, Any]
Overlaps = Callable[[Array, Array], Array]
_MOST_PAIRS = 1 << 20  # pairs of a detection and an object that are looked at together
_EPS = float(np.spacing(1))


@dataclass(frozen=True)
class Truth:
    """What is there: (G,) each.

    Args:
        image: numbers of images, from 0.
        category: numbers of categories, from 0.
        area: in pixels.
        crowd: stands for many objects, so that several detections may meet it.
        ignored: does not count, whether it is met or not.
    """

    image: Array
    category: Array
    area: Array
    crowd: Array
    ignored: Array


@dataclass(frozen=True)
class Found:
    """What was detected: (D,) each, as of :class:`Truth`, with scores."""

    image: Array
    category: Array
    area: Array
    score: Array


@dataclass(frozen=True)
class Settings:
    """What is asked.

    Args:
        thresholds: overlaps from which on a detection meets an object, (T,).
        recalls: where precision is read, (R,).
        most: how many detections of an image and a category count, rising, M of them.
        areas: ranges of areas, A of them.
    """

    thresholds: Array
    recalls: Array
    most: tuple[int, ...]
    areas: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Tables:
    """What came out; -1 where nothing is to be found.

    Args:
        precision: (T, R, K, A, M).
        recall: (T, K, A, M).
        scores: the score from which on a recall is reached, (T, R, K, A, M).
    """

    precision: Array
    recall: Array
    scores: Array


def evaluate(
    truth: Truth, found: Found, overlaps: Overlaps, settings: Settings, categories: int
) -> Tables:
    """Precision and recall by threshold, category, area and number of detections.

    Args:
        overlaps: from numbers of detections and of objects, (P,) each, to their overlaps (P,).
        categories: how many there are.
    """
    kept, rank = best_of_each(found, categories, settings.most[-1])
    pairs = candidates(truth, found, kept, rank, overlaps, categories, settings)
    outside = _outside(truth.area, settings) | truth.ignored[:, None]
    hit, ignored = match(pairs, len(kept), outside, truth.crowd, settings)
    ignored |= ~hit & _outside(found.area[kept], settings)[:, :, None]
    order = np.lexsort((rank, found.image[kept], -found.score[kept], found.category[kept]))
    kept, rank, hit, ignored = kept[order], rank[order], hit[order], ignored[order]
    return _tables(truth, found, kept, rank, hit, ignored, outside, settings, categories)


def best_of_each(found: Found, categories: int, most: int) -> tuple[Array, Array]:
    """The best detections of each image and category, and the rank of each there."""
    key = found.image * categories + found.category
    order = np.lexsort((-found.score, key))
    key = key[order]
    rank = np.arange(len(key)) - np.searchsorted(key, key, side="left")
    within = rank < most
    return order[within], rank[within]


def candidates(
    truth: Truth,
    found: Found,
    kept: Array,
    rank: Array,
    overlaps: Overlaps,
    categories: int,
    settings: Settings,
) -> tuple[Array, Array, Array, Array]:
    """Pairs that overlap enough for any threshold: rank, place in ``kept``, object, overlap.

    Sorted by rank, detection, overlap and object.
    """
    key = truth.image * categories + truth.category
    by_key = np.argsort(key, kind="stable")
    own = (found.image * categories + found.category)[kept]
    low = np.searchsorted(key[by_key], own, side="left")
    count = np.searchsorted(key[by_key], own, side="right") - low
    least = min(float(settings.thresholds.min()), 1 - 1e-10) if len(settings.thresholds) else 1.0
    parts = []
    for start, stop in _pieces(count):
        place = np.repeat(np.arange(start, stop), count[start:stop])
        inside = np.arange(len(place)) - np.repeat(
            np.cumsum(count[start:stop]) - count[start:stop], count[start:stop]
        )
        thing = by_key[low[place] + inside]
        value = overlaps(kept[place], thing)
        enough = value >= least
        parts.append((place[enough], thing[enough], value[enough]))
    if not parts:
        none = np.zeros(0, np.int64)
        return none, none, none, np.zeros(0)
    place, thing, value = (np.concatenate(p) for p in zip(*parts, strict=True))
    order = np.lexsort((thing, value, place, rank[place]))
    place, thing, value = place[order], thing[order], value[order]
    return rank[place], place, thing, value


def _pieces(count: Array) -> Iterator[tuple[int, int]]:
    """Ranges of detections whose pairs fit into memory."""
    total = np.cumsum(count)
    start = 0
    while start < len(count):
        done = total[start - 1] if start else 0
        stop = int(np.searchsorted(total, done + _MOST_PAIRS, side="right"))
        stop = max(stop, start + 1)
        yield start, stop
        start = stop


def match(
    pairs: tuple[Array, Array, Array, Array],
    detections: int,
    ignored: Array,
    crowd: Array,
    settings: Settings,
) -> tuple[Array, Array]:
    """Which detections meet an object, and which of these one that does not count: (D, A, T).

    Args:
        ignored: which objects do not count, (G, A).
    """
    rank, place, thing, value = pairs
    shape = (len(settings.areas), len(settings.thresholds))
    hit, beside = np.zeros((detections, *shape), bool), np.zeros((detections, *shape), bool)
    taken = np.zeros((len(crowd), *shape), bool)
    needed = np.minimum(settings.thresholds, 1 - 1e-10)
    bounds = np.flatnonzero(np.diff(rank, prepend=-1, append=-1))
    for start, stop in pairwise(bounds):
        which, objects = place[start:stop], thing[start:stop]
        free = ~taken[objects] | crowd[objects, None, None]
        free &= (value[start:stop, None] >= needed)[:, None, :]
        # The last free one is the best; any that counts goes before those that do not.
        number: Array = np.arange(1, stop - start + 1)[:, None]
        number = number + (stop - start) * ~ignored[objects]
        first = np.flatnonzero(np.diff(which, prepend=-1))
        best = np.maximum.reduceat(np.where(free, number[:, :, None], 0), first, axis=0)
        row, area, threshold = np.nonzero(best)
        met = objects[(best[row, area, threshold] - 1) % (stop - start)]
        taken[met, area, threshold] = True
        own = which[first][row]
        hit[own, area, threshold] = True
        beside[own, area, threshold] = ignored[met, area]
    return hit, beside


def _outside(area: Array, settings: Settings) -> Array:
    low, high = np.array(settings.areas, np.float64).reshape(-1, 2).T
    return (area[:, None] < low) | (area[:, None] > high)


def _tables(
    truth: Truth,
    found: Found,
    kept: Array,
    rank: Array,
    hit: Array,
    ignored: Array,
    outside: Array,
    settings: Settings,
    categories: int,
) -> Tables:
    """Tables from matches sorted by category and score."""
    shape = (categories, len(settings.areas), len(settings.most))
    t, r = len(settings.thresholds), len(settings.recalls)
    precision, scores = -np.ones((t, r, *shape)), -np.ones((t, r, *shape))
    recall = -np.ones((t, *shape))
    bounds = np.searchsorted(found.category[kept], np.arange(categories + 1))
    wanted = np.zeros((categories, len(settings.areas)), np.int64)
    np.add.at(wanted, truth.category, ~outside)
    for k in np.flatnonzero(wanted.any(1)):
        span = slice(bounds[k], bounds[k + 1])
        score = found.score[kept[span]]
        for m, most in enumerate(settings.most):
            near = rank[span] < most
            right = (hit[span] & ~ignored[span])[near].transpose(1, 2, 0)
            wrong = (~hit[span] & ~ignored[span])[near].transpose(1, 2, 0)
            for a in np.flatnonzero(wanted[k]):
                curve = read(right[a], wrong[a], score[near], int(wanted[k, a]), settings.recalls)
                precision[:, :, k, a, m], recall[:, k, a, m], scores[:, :, k, a, m] = curve
    return Tables(precision, recall, scores)


def read(
    right: Array, wrong: Array, score: Array, wanted: int, recalls: Array
) -> tuple[Array, Array, Array]:
    """Precision at given recalls (T, R), the last recall (T,), and the scores there (T, R).

    Args:
        right: detections that meet an object, best first, (T, D).
        wrong: those that meet none.
        wanted: how many objects there are.
    """
    precision, scores = (np.zeros((len(right), len(recalls))) for _ in range(2))
    if not right.shape[1]:
        return precision, np.zeros(len(right)), scores
    hits, misses = np.cumsum(right, 1, dtype=np.float64), np.cumsum(wrong, 1, dtype=np.float64)
    reached = hits / wanted
    exact = hits / (misses + hits + _EPS)
    above = np.maximum.accumulate(exact[:, ::-1], 1)[:, ::-1]
    for row in range(len(right)):
        at = np.searchsorted(reached[row], recalls, side="left")
        at = at[at < right.shape[1]]
        precision[row, : len(at)], scores[row, : len(at)] = above[row, at], score[at]
    return precision, reached[:, -1], scores
