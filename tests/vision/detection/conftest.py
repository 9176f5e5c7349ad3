"""torchvision's detection beside a PyTorch without its compiled operators."""

from __future__ import annotations

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


@pytest.fixture
def detection(torchvision: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """torchvision.models.detection with its compiled operators written in PyTorch."""
    import torchvision.models.detection as theirs
    from torchvision.ops import boxes, poolers
    from torchvision.ops.roi_align import _roi_align

    torch = pytest.importorskip("torch")

    def aligned(
        x: Any,
        rois: Any,
        output_size: Any,
        spatial_scale: float = 1.0,
        sampling_ratio: int = -1,
        aligned: bool = False,
    ) -> Any:
        if isinstance(rois, list):
            rois = torch.cat([torch.cat((r[:, :1] * 0 + i, r), 1) for i, r in enumerate(rois)])
        ph, pw = output_size if not isinstance(output_size, int) else (output_size, output_size)
        return _roi_align(x, rois, spatial_scale, ph, pw, sampling_ratio, aligned)

    def each(b: Any, scores: Any, idxs: Any, threshold: float) -> Any:
        parts = [torch.where(idxs == i)[0] for i in idxs.unique()]
        kept = [part[suppressed(b[part], scores[part], threshold)] for part in parts]
        whole = torch.cat([torch.zeros(0, dtype=torch.int64), *kept])
        return whole[scores[whole].argsort(descending=True, stable=True)]

    monkeypatch.setattr(boxes, "batched_nms", each)
    monkeypatch.setattr(poolers, "roi_align", aligned)
    monkeypatch.setattr(theirs.roi_heads, "roi_align", aligned)
    return theirs
