"""Masks as the lengths of their runs, the way COCO's annotation files store them.

A mask is read column by column; its runs are counted in turn, zeros first. The counts are a list of
numbers or, compressed, a string: from the fourth on each is the difference to the one two before,
written in groups of five bits, lowest first. A coded mask is ``{"size": [height, width], "counts":
...}``.

Source: the mask API of T.-Y. Lin et al., "Microsoft COCO: common objects in context", 2014.

>>> import numpy as np
>>> coded = encode(np.eye(3, dtype=np.uint8))
>>> coded
{'size': [3, 3], 'counts': '013000'}
>>> area(coded), decode(coded).tolist()
(3, [[1, 0, 0], [0, 1, 0], [0, 0, 1]])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, FileFormatError, ShapeError

__all__ = [
    "area",
    "decode",
    "encode",
    "from_box",
    "from_counts",
    "from_polygons",
    "iou",
    "merge",
    "to_box",
]

Array = np.ndarray[Any, Any]
Mask = dict[str, Any]
MOST_PIXELS = 1 << 28  # a mask that claims more is no picture's
_FINER = 5  # polygons are drawn on a grid so much finer


def encode(mask: Any) -> Mask:
    """A mask (H, W), in which what is not 0 counts as 1, by its runs, compressed.

    Raises:
        ShapeError: it is not 2-D.
    """
    array = np.asarray(mask)
    if array.ndim != 2:
        raise ShapeError(f"rle.encode: a mask is (H, W), got {array.shape}.")
    flat = array.T.reshape(-1) != 0
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    first = [0] if flat.size and flat[0] else []
    return _coded(np.concatenate([first, changes, [flat.size]]).astype(np.int64), array.shape)


def decode(coded: Mask | Sequence[Mask]) -> Array:
    """The mask, uint8 (H, W); of a list of masks (N, H, W).

    Raises:
        FileFormatError: it is damaged, or claims a size that no picture has.
    """
    if not isinstance(coded, dict):
        masks = [decode(c) for c in coded]
        return np.stack(masks) if masks else np.zeros((0, 0, 0), np.uint8)
    (height, width), bounds = _size(coded), _bounds(coded)
    flat = np.zeros(height * width + 1, np.int8)
    np.add.at(flat, bounds[0::2], 1)
    np.subtract.at(flat, bounds[1::2], 1)
    return np.cumsum(flat[:-1], dtype=np.int8).astype(np.uint8).reshape(width, height).T


def area(coded: Mask) -> int:
    """How many pixels are 1."""
    bounds = _bounds(coded)
    return int((bounds[1::2] - bounds[0::2]).sum())


def to_box(coded: Mask) -> Array:
    """The smallest box around the ones, float64 (left, top, width, height); zeros if there are
    none.
    """
    height, bounds = _size(coded)[0], _bounds(coded)
    if not len(bounds):
        return np.zeros(4)
    first, last = bounds[0::2], bounds[1::2] - 1
    (left, top), (right, bottom) = divmod(first, height), divmod(last, height)
    whole = left != right  # a run that goes on in the next column reaches top and bottom
    x, y = left.min(), 0 if whole.any() else top.min()
    low = height - 1 if whole.any() else bottom.max()
    return np.array([x, y, right.max() - x + 1, low - y + 1], np.float64)


def merge(masks: Sequence[Mask], intersect: bool = False) -> Mask:
    """Where any of the masks is 1, or with ``intersect`` all of them.

    Raises:
        ArgumentError: there are none, or their sizes differ.
    """
    sizes = {_size(m) for m in masks}
    if len(sizes) != 1:
        raise ArgumentError(f"rle.merge: masks of one size, got {sorted(sizes) or 'none'}.")
    bounds = [_bounds(m) for m in masks]
    places = np.concatenate(bounds)
    steps = np.concatenate([1 - 2 * (np.arange(len(b)) % 2) for b in bounds])
    places, group = np.unique(places, return_inverse=True)
    depth = np.cumsum(np.bincount(group, steps, len(places)))
    inside = depth >= (len(masks) if intersect else 1)
    changes = np.diff(inside, prepend=False)
    height, width = sizes.pop()
    return _coded(np.append(places[changes], height * width).astype(np.int64), (height, width))


def iou(
    detected: Sequence[Mask], truth: Sequence[Mask], crowd: Sequence[bool] | None = None
) -> Array:
    """Intersection over union of each detected mask with each true one.

    Args:
        detected: D masks.
        truth: T masks.
        crowd: which true ones stand for a crowd: of these any part may be met, so that the share is
            one of the detected mask alone.

    Returns: float64 (D, T).
    """
    sizes = {_size(m) for m in (*detected, *truth)}
    if len(sizes) > 1:
        raise ArgumentError(f"rle.iou: masks of one size, got {sorted(sizes)}.")
    result = np.zeros((len(detected), len(truth)))
    bounds = [_bounds(m) for m in detected]
    covered = np.array([(b[1::2] - b[0::2]).sum() for b in bounds], np.float64)
    every = np.concatenate([*bounds, np.zeros(0, np.int64)])
    owner = np.repeat(np.arange(len(bounds)), [len(b) // 2 for b in bounds])
    for number, mask in enumerate(truth):
        own = _bounds(mask)
        if not len(own) or not len(every):
            continue
        lengths = (own[1::2] - own[0::2]).astype(np.float64)
        # Pixels of the true mask before a place: grows within its runs, stays between them.
        before = np.repeat(np.cumsum(lengths), 2)
        before[0::2] -= lengths
        at = np.interp(every, own, before)
        common = np.bincount(owner, at[1::2] - at[0::2], len(bounds))
        among = crowd is not None and bool(crowd[number])
        union = covered if among else covered + lengths.sum() - common
        np.divide(common, union, out=result[:, number], where=union > 0)
    return result


def from_counts(counts: Sequence[int], height: int, width: int) -> Mask:
    """Runs that are listed, compressed.

    Raises:
        FileFormatError: they do not add up to the mask's size.
    """
    listed = {"size": [height, width], "counts": list(counts)}
    return _coded(np.append(_bounds(listed), height * width), (height, width))


def from_box(box: Sequence[float], height: int, width: int) -> Mask:
    """The pixels in a box (left, top, width, height)."""
    x, y, w, h = (float(v) for v in box)
    return from_polygons([[x, y, x, y + h, x + w, y + h, x + w, y]], height, width)


def from_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> Mask:
    """The pixels within any of the polygons, each a list of its corners x1, y1, x2, y2, ...

    Raises:
        ArgumentError: a polygon of no pairs of numbers.
    """
    _checked_size(height, width)
    if not len(polygons):
        return _coded(np.array([height * width]), (height, width))
    return merge([_polygon(p, height, width) for p in polygons])


def _polygon(corners: Sequence[float], height: int, width: int) -> Mask:
    points = np.asarray(corners, np.float64)
    if points.ndim != 1 or len(points) % 2 or not len(points):
        raise ArgumentError("rle.from_polygons: a polygon is a list x1, y1, x2, y2, ...")
    if not np.isfinite(points).all() or abs(points).max() > MOST_PIXELS:
        raise ArgumentError("rle.from_polygons: a corner is far outside of any picture.")
    grid = np.trunc(_FINER * points + 0.5).astype(np.int64).reshape(-1, 2)
    _checked_size(*(int(v) for v in np.ptp(grid, axis=0)))
    columns, rows = _outline(grid)
    # The outline enters another column of pixels where it passes the middle of one.
    passes = np.flatnonzero(columns[1:] != columns[:-1]) + 1
    at = np.minimum(columns[passes], columns[passes - 1])
    at = np.where(columns[passes] < columns[passes - 1], columns[passes], columns[passes] - 1)
    x = (at + 0.5) / _FINER - 0.5
    y = (np.minimum(rows[passes], rows[passes - 1]) + 0.5) / _FINER - 0.5
    kept = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    y = np.ceil(np.clip(y[kept], 0, height))
    places = (x[kept] * height + y).astype(np.int64)
    # Two changes at one place undo each other.
    places, count = np.unique(places, return_counts=True)
    changes = places[count % 2 == 1]
    end = height * width
    return _coded(np.append(changes[changes < end], end), (height, width))


def _outline(grid: Array) -> tuple[Array, Array]:
    """The points of a polygon's outline, each edge stepped through along its longer side."""
    columns, rows = [], []
    for (x, y), (to_x, to_y) in zip(grid, np.roll(grid, -1, axis=0), strict=True):
        wide, tall = abs(to_x - x), abs(to_y - y)
        flat = wide >= tall
        # An edge is stepped through in one direction, whichever way it is walked.
        turned = x > to_x if flat else y > to_y
        a, b = ((to_x, to_y), (x, y)) if turned else ((x, y), (to_x, to_y))
        steps = np.arange(max(wide, tall) + 1)
        steps = steps[::-1] if turned else steps
        slope = ((b[1] - a[1]) / wide if wide else 0.0) if flat else (b[0] - a[0]) / tall
        along, across = (a[0], a[1]) if flat else (a[1], a[0])
        other = np.trunc(across + slope * steps + 0.5).astype(np.int64)
        columns.append(steps + along if flat else other)
        rows.append(other if flat else steps + along)
    return np.concatenate(columns), np.concatenate(rows)


# -- the code -------------------------------------------------------------------------------------


def _checked_size(height: int, width: int) -> None:
    if height < 0 or width < 0 or height * width > MOST_PIXELS:
        raise FileFormatError(f"rle: a mask of {height} x {width} pixels is no picture's.")


def _size(coded: Mask) -> tuple[int, int]:
    size = coded.get("size") if isinstance(coded, dict) else None
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise FileFormatError(f"rle: a coded mask has a size [height, width], got {size!r}.")
    height, width = int(size[0]), int(size[1])
    _checked_size(height, width)
    return height, width


def _bounds(coded: Mask) -> Array:
    """Where runs of ones begin and end, in turn."""
    height, width = _size(coded)
    counts = coded.get("counts")
    if isinstance(counts, str):
        counts = counts.encode("ascii", "replace")
    try:
        runs = _read(counts) if isinstance(counts, bytes) else np.asarray(counts, np.int64)
    except (ValueError, TypeError, OverflowError) as error:
        raise FileFormatError(f"rle: the counts of a mask cannot be read: {error}") from None
    if runs.ndim != 1 or (runs < 0).any() or (runs > MOST_PIXELS).any():
        raise FileFormatError("rle: the counts of a mask are not lengths of runs.")
    ends = np.cumsum(runs)
    if (int(ends[-1]) if len(ends) else 0) != height * width:
        raise FileFormatError(
            f"rle: the runs of a mask are {int(runs.sum())} pixels, its size is {height} x {width}."
        )
    ends = ends[: len(ends) // 2 * 2]
    begins, ends = ends[0::2], ends[1::2]
    filled = begins < ends
    begins, ends = begins[filled], ends[filled]
    if not len(begins):
        return begins
    apart = begins[1:] != ends[:-1]  # runs with none between them are one
    bounds = begins[np.append(True, apart)], ends[np.append(apart, True)]
    return np.stack(bounds, 1).reshape(-1)


def _coded(changes: Array, size: Sequence[int]) -> Mask:
    """A mask from the places where it changes, and its end."""
    if len(changes) > 1 and changes[-1] == changes[-2]:
        changes = changes[:-1]
    runs = np.diff(changes, prepend=0)
    if size[0] * size[1] == 0:
        runs = runs[:1]
    return {"size": [int(size[0]), int(size[1])], "counts": _written(runs).decode("ascii")}


def _read(text: bytes) -> Array:
    """Counts from their characters."""
    groups = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if ((groups < 0) | (groups > 63)).any():
        raise ValueError("a character that is no digit of it")
    if not len(groups):
        return groups
    last = np.flatnonzero(groups & 0x20 == 0)
    if not len(last) or last[-1] != len(groups) - 1:
        raise ValueError("they end within a number")
    first = np.append(0, last[:-1] + 1)
    length = last - first + 1
    if length.max() > 8:
        raise ValueError("a number that no length of a run is")
    place = np.arange(len(groups)) - np.repeat(first, length)
    values = np.add.reduceat((groups & 0x1F) << (5 * place), first)
    values -= np.where(groups[last] & 0x10, 1 << (5 * length), 0)
    for start in (1, 2):
        values[start::2] = np.cumsum(values[start::2])
    return values


def _written(runs: Array) -> bytes:
    """Characters of counts."""
    rest = runs.astype(np.int64)
    rest[3:] -= runs[1:-2]
    going = np.ones(len(rest), bool)
    groups, kept = [], []
    while going.any():
        digit = rest & 0x1F
        rest = rest >> 5
        more = np.where(digit & 0x10, rest != -1, rest != 0)
        groups.append(digit + 48 + 0x20 * more)
        kept.append(going)
        going = going & more
    if not groups:
        return b""
    return np.stack(groups, 1)[np.stack(kept, 1)].astype(np.uint8).tobytes()
