"""What recipes share: which weights decay, and how the learning rate goes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fovea.nn.module import Module

__all__ = ["cosine", "decaying_groups"]


def decaying_groups(model: Module, decay: float) -> list[dict[str, Any]]:
    """Filters, which decay, and all else, which does not."""
    learned = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in learned if p.ndim < 2], "weight_decay": 0.0},
    ]


def cosine(steps: int, warmup: int, last: float = 0.01) -> Callable[[int], float]:
    """A factor of the learning rate: it rises to 1, and falls as a cosine to ``last``.

    >>> factor = cosine(100, 10)
    >>> round(factor(9), 2), round(factor(100), 2)
    (0.89, 0.01)
    """
    warmup = min(warmup, steps // 4)

    def factor(step: int) -> float:
        share = min(step / steps, 1.0)
        rising = min((step + 1) / (warmup + 1), 1.0)
        return rising * (last + (1 - last) * (1 + math.cos(math.pi * share)) / 2)

    return factor
