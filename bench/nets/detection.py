"""torchvision's detectors as opponents: without their compiled operators, and with random weights
that find something.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from bench.nets.models import torchvision_models

__all__ = ["StandIns", "lively"]

# What the logits of the class of no object are above the others', so that some boxes pass the
# threshold of scores; and for sigmoids, what all logits are.
_BACKGROUND = {"ssd": 8.0, "rcnn": 6.0}
_SIGMOIDS = {"retinanet": -6.4, "fcos": -5.4}


class StandIns:
    """torchvision's suppression of boxes and alignment of regions, written with NumPy and PyTorch
    for a PyTorch that its compiled operators are not built for.

    Attributes:
        seconds: processor time spent in them, which is not torchvision's.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds += time.process_time() - start

    def install(self) -> Any:
        """Put them into torchvision; returns its module of detectors."""
        torchvision_models()
        theirs = importlib.import_module("torchvision.models.detection")
        for place, name, function in (
            ("torchvision.ops.boxes", "batched_nms", _suppressed),
            ("torchvision.ops.poolers", "roi_align", _aligned),
            ("torchvision.models.detection.roi_heads", "roi_align", _aligned),
        ):
            setattr(importlib.import_module(place), name, self._timed(function))
        return theirs

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            with self.counted():
                return function(*args, **kwargs)

        return run


def _suppressed(boxes: Any, scores: Any, labels: Any, threshold: float) -> Any:
    """The boxes to keep, by falling score; each class on its own."""
    torch = importlib.import_module("torch")
    kept = []
    b, s, c = boxes.numpy(), scores.numpy(), labels.numpy()
    for label in np.unique(c):
        order = np.flatnonzero(c == label)
        order = order[np.argsort(-s[order], kind="stable")]
        while order.size:
            best, order = order[0], order[1:]
            kept.append(best)
            sides = np.minimum(b[best, 2:], b[order, 2:]) - np.maximum(b[best, :2], b[order, :2])
            common = sides.clip(0).prod(1)
            areas = (b[order, 2:] - b[order, :2]).prod(1)
            union = (b[best, 2:] - b[best, :2]).prod() + areas - common
            order = order[~(common > threshold * union)]
    whole = np.asarray(kept, np.int64)
    return torch.from_numpy(whole[np.argsort(-s[whole], kind="stable")])


def _aligned(
    x: Any,
    rois: Any,
    output_size: Any,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Any:
    """Means of four samples in each cell of regions of one image, as the detectors ask for them."""
    torch = importlib.import_module("torch")
    if x.shape[0] != 1 or sampling_ratio != 2 or aligned:
        raise ValueError("the stand-in aligns one image's regions, with two samples a side.")
    rois = torch.cat(rois) if isinstance(rois, list) else rois[:, 1:]
    cells = (output_size, output_size) if isinstance(output_size, int) else output_size
    lines = []
    for low, high, count, size in (
        (rois[:, 0], rois[:, 2], cells[1], x.shape[3]),
        (rois[:, 1], rois[:, 3], cells[0], x.shape[2]),
    ):
        length = ((high - low) * spatial_scale).clamp(min=1)[:, None]
        at = low[:, None] * spatial_scale + (torch.arange(2 * count) + 0.5) * length / (2 * count)
        lines.append((2 * at.clamp(0, size - 1) + 1) / size - 1)
    k, wide, high = len(rois), 2 * cells[1], 2 * cells[0]
    if not k:
        return x.new_zeros(0, x.shape[1], *cells)
    across = lines[0][:, None, :].expand(k, high, wide)
    down = lines[1][:, :, None].expand(k, high, wide)
    grid = torch.stack([across, down], -1).reshape(1, k * high, wide, 2)
    functional = torch.nn.functional
    taken = functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    return functional.avg_pool2d(taken, 2).reshape(x.shape[1], k, *cells).transpose(0, 1)


def lively(model: Any, name: str, images: list[Any]) -> None:
    """Give a detector with random weights statistics and scores like a trained one's: normalized
    maps, and a few hundred boxes above the threshold.
    """
    torch = importlib.import_module("torch")
    with torch.no_grad():
        norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
        model.backbone.train()
        both = [*images, *(image.flip(-1) for image in images)]  # one value has no spread
        model.backbone(model.transform(both)[0].tensors)
        model.eval()
        for layer in _class_layers(model):
            found: list[Any] = []
            hook = layer.register_forward_hook(lambda m, x, y, found=found: found.append(y))
            model(images)
            hook.remove()
            spread = torch.cat([y.reshape(-1) for y in found]).std()
            layer.weight /= spread
            layer.bias.zero_()
            for part, logit in _SIGMOIDS.items():
                if part in name:
                    layer.bias += logit
            for part, logit in _BACKGROUND.items():
                if part in name:
                    layer.bias.view(-1, 91)[:, 0] += logit


def _class_layers(model: Any) -> list[Any]:
    if hasattr(model, "roi_heads"):
        return [model.roi_heads.box_predictor.cls_score]
    head = model.head.classification_head
    if hasattr(head, "cls_logits"):
        return [head.cls_logits]
    return [part[-1] if hasattr(part, "__getitem__") else part for part in head.module_list]
