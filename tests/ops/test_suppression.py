"""Non-maximum suppression: the kernel of every vector unit, and with bounds checks, against what it
means.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import DTypeError, ShapeError
from fovea.ops.suppression import SuppressAttrs, suppress
from tests.targets.cpu.kernel_cases import isa, numpy_type

assert isa  # a fixture, used by its name
COUNTS = (1, 2, 7, 8, 9, 16, 17, 33, 250)


def crowd(count: int, seed: int = 0) -> Any:
    """Planes of boxes around a few objects, on a grid, so that many overlaps are equal; some have
    no area, some are turned inside out, some are not finite.
    """
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 3, (2, count)) * 20 + rng.integers(0, 5, (2, count))
    boxes = np.concatenate([corner, corner + rng.integers(0, 8, (2, count))]).astype("f8")
    odd = rng.random(boxes.shape) < 0.01
    boxes[odd] = rng.choice([np.nan, np.inf, -np.inf, 0, -5], odd.sum())
    return boxes


def same(boxes: Any, starts: Any, threshold: float) -> None:
    attrs = SuppressAttrs.of(threshold)
    tensors = fovea.from_numpy(boxes), fovea.tensor(starts, dtype=fovea.int64)
    found = suppress.bind(tensors, attrs)
    wide = boxes.astype("f8" if boxes.dtype == np.float64 else "f4")
    with np.errstate(all="ignore"):
        expected = suppress.reference_rule(wide, np.array(starts), attrs)  # type: ignore[misc]
    assert found.dtype is fovea.bool and found.tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_kernels(isa: str, dtype: str) -> None:
    for count in COUNTS:
        boxes = crowd(count, count).astype(numpy_type(dtype))
        for threshold in (-0.5, 0.0, 1 / 3, 0.3, 0.5, 1.0, float("nan")):
            same(boxes, [0, count], threshold)
        middle = sorted({0, count // 3, count // 2, count})
        same(boxes, middle, 0.3)
        same(boxes, [0, 0, *middle[1:], count], 0.3)  # groups of no box


def test_groups_that_threads_share() -> None:
    boxes = np.concatenate([crowd(500, seed) for seed in range(8)], 1).astype("f4")
    before = fovea.get_num_threads()
    try:
        for threads in (1, 2):
            fovea.set_num_threads(threads)
            same(boxes, list(range(0, 4001, 250)), 0.4)
    finally:
        fovea.set_num_threads(before)


def test_planes_with_gaps_and_nothing() -> None:
    boxes = crowd(40).astype("f4")
    roomy = fovea.from_numpy(np.ascontiguousarray(boxes.T)).T
    starts, attrs = fovea.tensor([0, 40]), SuppressAttrs.of(0.3)
    expected = suppress.bind((fovea.from_numpy(boxes), starts), attrs)
    assert fovea.equal(suppress.bind((roomy, starts), attrs), expected)
    none = fovea.zeros(4, 0), fovea.tensor([0, 0])
    assert suppress.bind(none, attrs).shape == (0,)


def test_tiny_and_huge_boxes() -> None:
    """Where areas are hardly numbers any more."""
    boxes = np.concatenate([crowd(60, s)[:, :50] for s in range(4)], 1).astype("f4")
    for scale in (1e-22, 1e-20, 1e18, 1e19):
        with np.errstate(all="ignore"):
            same((boxes * np.float32(scale)).astype("f4"), [0, 200], 0.6)


def test_what_is_refused() -> None:
    attrs, starts = SuppressAttrs.of(0.5), fovea.tensor([0, 3])
    with pytest.raises(ShapeError, match=r"boxes must be \(4, N\)"):
        suppress.bind((fovea.zeros(3, 4), starts), attrs)
    with pytest.raises(DTypeError):
        suppress.bind((fovea.zeros(4, 3).long(), starts), attrs)
    with pytest.raises(DTypeError, match="starts must be int64"):
        suppress.bind((fovea.zeros(4, 3), starts.int()), attrs)
