"""torchvision's detection beside a PyTorch without its compiled operators."""

from __future__ import annotations

import math
from typing import Any

import pytest


def suppressed(boxes: Any, scores: Any, threshold: float) -> Any:
    """Non-maximum suppression as it is defined."""
    torch = pytest.importorskip("torch")
    order = scores.argsort(descending=True, stable=True)
    kept = []
    while order.numel():
        best, order = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[order, :2])
        high = torch.minimum(boxes[best, 2:], boxes[order, 2:])
        common = (high - low).clamp(0).prod(1)
        area, areas = (
            (boxes[best, 2:] - boxes[best, :2]).prod(),
            (boxes[order, 2:] - boxes[order, :2]).prod(1),
        )
        order = order[~(common / (area + areas - common) > threshold)]  # boxes without area stay
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.int64)


def aligned(
    x: Any,
    rois: Any,
    output_size: Any,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Any:
    """Regions of maps as they are defined: torchvision's Python differs beyond the map's edge."""
    torch = pytest.importorskip("torch")
    if isinstance(rois, list):
        rois = torch.cat([torch.cat((r[:, :1] * 0 + i, r), 1) for i, r in enumerate(rois)])
    cells = (output_size, output_size) if isinstance(output_size, int) else output_size
    parts = [x.new_zeros(0, x.shape[1], *cells)]
    for image, *corners in rois.tolist():
        left, top, right, bottom = (v * spatial_scale - 0.5 * aligned for v in corners)
        rows = hats(top, bottom, cells[0], x.shape[2], sampling_ratio, aligned).to(x.dtype)
        columns = hats(left, right, cells[1], x.shape[3], sampling_ratio, aligned).to(x.dtype)
        parts.append(torch.einsum("chw,ih,jw->cij", x[int(image)], rows, columns)[None])
    return torch.cat(parts)


def hats(low: float, high: float, cells: int, length: int, ratio: int, aligned: bool) -> Any:
    """(cells, length): what each pixel of a line counts in each cell between two places."""
    torch = pytest.importorskip("torch")
    size = (high - low) if aligned else max(high - low, 1.0)
    samples = ratio if ratio > 0 else math.ceil(size / cells)
    at = torch.arange(cells * samples, dtype=torch.float64) + 0.5
    at = low + at * size / (cells * samples)
    near = 1 - (at.clamp(0, length - 1)[:, None] - torch.arange(length)).abs()
    near = near.clamp(0) * ((at >= -1) & (at <= length))[:, None]
    return near.reshape(cells, samples, length).mean(1)


@pytest.fixture
def detection(torchvision: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """torchvision.models.detection with its compiled operators written in PyTorch."""
    import torchvision.models.detection as theirs
    from torchvision.ops import boxes, poolers

    torch = pytest.importorskip("torch")

    def each(b: Any, scores: Any, idxs: Any, threshold: float) -> Any:
        parts = [torch.where(idxs == i)[0] for i in idxs.unique()]
        kept = [part[suppressed(b[part], scores[part], threshold)] for part in parts]
        whole = torch.cat([torch.zeros(0, dtype=torch.int64), *kept])
        return whole[scores[whole].argsort(descending=True, stable=True)]

    monkeypatch.setattr(boxes, "batched_nms", each)
    monkeypatch.setattr(poolers, "roi_align", aligned)
    monkeypatch.setattr(theirs.roi_heads, "roi_align", aligned)
    return theirs
