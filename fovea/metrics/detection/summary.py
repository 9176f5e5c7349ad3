"""COCO's twelve numbers of boxes and masks, and ten of keypoints."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.metrics.detection.matching import Settings, Tables

__all__ = ["AREAS", "KEYPOINT_AREAS", "numbers", "settings"]

Array = np.ndarray[Any, Any]

AREAS = {
    "all": (0.0, 1e5**2),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}
KEYPOINT_AREAS = {name: AREAS[name] for name in ("all", "medium", "large")}


def settings(
    iou_type: str,
    thresholds: Any = None,
    recalls: Any = None,
    most: Any = None,
) -> Settings:
    """COCO's settings, where nothing else is given."""
    keypoints = iou_type == "keypoints"
    return Settings(
        np.linspace(0.5, 0.95, 10) if thresholds is None else np.asarray(thresholds, np.float64),
        np.linspace(0, 1, 101) if recalls is None else np.asarray(recalls, np.float64),
        tuple(sorted(most if most is not None else [20] if keypoints else [1, 10, 100])),
        tuple((KEYPOINT_AREAS if keypoints else AREAS).values()),
    )


def numbers(tables: Tables, asked: Settings, iou_type: str) -> dict[str, float]:
    """The numbers by torchmetrics' names, in COCO's order; -1 where nothing is to be found."""
    last = len(asked.most) - 1
    if iou_type == "keypoints":
        areas = list(KEYPOINT_AREAS)
        found = {"map": mean(tables.precision[..., 0, last])}
        found |= {f"map_{c}": _at(tables.precision, asked, c, last) for c in (50, 75)}
        found |= {f"map_{n}": mean(tables.precision[..., areas.index(n), last]) for n in areas[1:]}
        found[f"mar_{asked.most[last]}"] = mean(tables.recall[..., 0, last])
        found |= {f"mar_iou_{c}": _at(tables.recall, asked, c, last) for c in (50, 75)}
        found |= {f"mar_{n}": mean(tables.recall[..., areas.index(n), last]) for n in areas[1:]}
        return found
    areas = list(AREAS)
    found = {"map": mean(tables.precision[..., 0, last])}
    found |= {f"map_{c}": _at(tables.precision, asked, c, last) for c in (50, 75)}
    found |= {f"map_{n}": mean(tables.precision[..., areas.index(n), last]) for n in areas[1:]}
    found |= {f"mar_{n}": mean(tables.recall[..., 0, m]) for m, n in enumerate(asked.most)}
    found |= {f"mar_{n}": mean(tables.recall[..., areas.index(n), last]) for n in areas[1:]}
    return found


def mean(table: Array) -> float:
    """The mean of what is known, -1 if nothing is."""
    known = table[table > -1]
    return float(known.mean()) if known.size else -1.0


def _at(table: Array, asked: Settings, percent: int, last: int) -> float:
    return mean(table[asked.thresholds == percent / 100][..., 0, last])
