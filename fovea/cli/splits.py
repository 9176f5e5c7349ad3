"""Cutting a set of images in two, each class in the same proportion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["stratified_split"]


def stratified_split(
    labels: Sequence[int], share: float, seed: int, keep: int = 1
) -> tuple[list[int], list[int]]:
    """Indices of two parts, the second with ``share`` of every class.

    Args:
        labels: the class of each sample.
        share: how much of each class goes to the second part: at least one sample, where the
            first part keeps enough.
        seed: the same seed gives the same parts.
        keep: how many samples of each class stay in the first part at least.

    Returns:
        The two parts, each in ascending order.

    >>> first, second = stratified_split([0, 0, 0, 0, 1, 1], 0.25, seed=0)
    >>> len(first), len(second), sorted(first + second)
    (4, 2, [0, 1, 2, 3, 4, 5])
    """
    values = np.asarray(labels)
    chance = np.random.Generator(np.random.PCG64(seed))
    second: list[int] = []
    for label in np.unique(values):
        members = np.flatnonzero(values == label)
        wanted = max(1, round(share * len(members))) if share > 0 else 0
        wanted = min(wanted, max(0, len(members) - keep))
        second += chance.permutation(members)[:wanted].tolist()
    chosen = set(second)
    return [i for i in range(len(values)) if i not in chosen], sorted(second)
