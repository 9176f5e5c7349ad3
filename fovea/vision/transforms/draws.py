"""Random numbers for transforms, from fovea's default generator (in a loader's worker: the
worker's).

A transform needs one number at a time, and calling a random function for each would cost more than
most transforms do. So numbers are drawn in blocks. A block is used only while its generator stands
where the block left it: seeding it, or drawing from it elsewhere, starts a new block. What a seed
gives therefore never depends on what happened before it was set.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.functions.random import rand
from fovea.random import default_generator

__all__ = ["chance", "generator", "integer", "permutation", "uniform"]

BLOCK = 256


@dataclass
class _Block:
    """Numbers from [0, 1), the next one last, and the generator's state after they were drawn."""

    numbers: list[float]
    state: Any
    version: int


_thread = threading.local()


def _unit() -> float:
    """A number from [0, 1)."""
    state = default_generator.state
    block: _Block | None = getattr(_thread, "block", None)
    stale = block is None or block.state is not state or block.version != state.storage.version
    if block is None or stale or not block.numbers:
        numbers = rand(BLOCK, dtype=dtypes.float64).tolist()[::-1]
        block = _thread.block = _Block(numbers, state, state.storage.version)
    return block.numbers.pop()


def uniform(low: float, high: float) -> float:
    """A number from [low, high).

    >>> 2.0 <= uniform(2.0, 3.0) < 3.0
    True
    """
    return low + (high - low) * _unit()


def integer(low: int, high: int) -> int:
    """A whole number from ``low`` to ``high - 1``.

    >>> integer(3, 4)
    3
    """
    return low + int((high - low) * _unit())


def chance(p: float) -> bool:
    """True with probability ``p``.

    >>> chance(1.0), chance(0.0)
    (True, False)
    """
    return _unit() < p


def permutation(n: int) -> list[int]:
    """The numbers 0 to n - 1 in random order.

    >>> sorted(permutation(3))
    [0, 1, 2]
    """
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = integer(0, i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def generator() -> np.random.Generator:
    """NumPy's generator of other distributions, which fovea's seeds determine.

    >>> 0.0 <= generator().beta(2.0, 2.0) <= 1.0
    True
    """
    return np.random.default_rng([integer(0, 1 << 31), integer(0, 1 << 31)])
