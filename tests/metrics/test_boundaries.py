"""Boundary IoU: erosion as SciPy does it, numbers by hand, states that merge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, LabelError, ShapeError
from fovea.metrics import BoundaryIoU
from fovea.metrics.boundaries import edges

C = 4


def blobs(seed: int, count: int = 3, size: tuple[int, int] = (40, 56)) -> Any:
    """Segmentations with large areas, some of which reach the edge of the image."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, C, (count, 5, 7))
    return np.kron(coarse, np.ones((size[0] // 5, size[1] // 7), int))


def expected(found: Any, truth: Any, ratio: float, first: int = 0) -> Any:
    """As the paper's own program: each mask less what is left of it after so many erosions."""
    ndimage = pytest.importorskip("scipy.ndimage")
    reach = max(1, round(ratio * np.hypot(*truth.shape[1:])))
    values = []
    for number in range(first, C):
        common = union = 0
        for one, other in zip(found, truth, strict=True):
            rims = []
            for mask in (one == number, other == number):
                inner = ndimage.binary_erosion(mask, np.ones((3, 3)), reach, border_value=0)
                rims.append(mask & ~inner)
            common += (rims[0] & rims[1]).sum()
            union += (rims[0] | rims[1]).sum()
        values.append(common / union if union else -1)
    return np.array(values)


@pytest.mark.parametrize("reach", [1, 2, 5, 30])
def test_edges(reach: int) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    masks = blobs(0) == 1
    for mask, rim in zip(masks, edges(masks, reach), strict=True):
        inner = ndimage.binary_erosion(mask, np.ones((3, 3)), reach, border_value=0)
        np.testing.assert_array_equal(rim, mask & ~inner)


@pytest.mark.parametrize("ratio", [0.001, 0.02, 0.1])
@pytest.mark.parametrize("background", [True, False])
def test_values(ratio: float, background: bool) -> None:
    truth = blobs(1)
    found = np.roll(truth, (1, 2), (1, 2))
    want = expected(found, truth, ratio, 0 if background else 1)
    metric = BoundaryIoU(C, ratio, background, per_class=True)
    parts = [metric.clone(), metric.clone()]
    for i in range(3):
        metric.update(fovea.tensor(found[i : i + 1]), fovea.tensor(truth[i : i + 1]))
        parts[i % 2].update(found[i : i + 1], truth[i : i + 1])
    np.testing.assert_allclose(metric.compute().numpy(), want, 1e-6)
    parts[0].merge_state(parts[1])
    np.testing.assert_allclose(parts[0].compute().numpy(), want, 1e-6)
    scores = np.moveaxis(np.eye(C, dtype=np.float32)[found], -1, 1)
    mean = BoundaryIoU(C, ratio, background)(scores, truth).item()
    assert mean == pytest.approx(want[want >= 0].mean(), rel=1e-6)
    assert BoundaryIoU(C, ratio)(truth, truth).item() == 1


def test_what_is_left_out() -> None:
    truth, found = blobs(2), blobs(3)
    truth[:, :8] = 255
    metric = BoundaryIoU(C, per_class=True, ignore_index=255)
    value = metric(found, truth)
    changed = found.copy()
    changed[:, :6] = 3  # two pixels from what counts
    assert (
        value.tolist() == BoundaryIoU(C, per_class=True, ignore_index=255)(changed, truth).tolist()
    )
    absent = BoundaryIoU(9, per_class=True)(blobs(2), blobs(2)).tolist()
    assert absent[:4] == [1] * 4 and absent[4:] == [-1] * 5
    assert BoundaryIoU(C).compute().item() == 0


def test_mistakes() -> None:
    with pytest.raises(ArgumentError, match="above 0"):
        BoundaryIoU(C, 0)
    with pytest.raises(LabelError):
        BoundaryIoU(2)(blobs(0), blobs(0))
    with pytest.raises(ShapeError):
        BoundaryIoU(C)(blobs(0), blobs(0)[:2])
    with pytest.raises(ShapeError, match="N, H, W"):
        BoundaryIoU(C)(blobs(0)[0], blobs(0)[0])
