"""Random numbers for transforms, from fovea's default generator (in a loader's worker: the
worker's).
"""

from __future__ import annotations

from fovea.functions.random import rand, randint, randperm

__all__ = ["chance", "integer", "permutation", "uniform"]


def uniform(low: float, high: float) -> float:
    """A number from [low, high)."""
    return low + (high - low) * float(rand(()).item())


def integer(low: int, high: int) -> int:
    """A whole number from ``low`` to ``high - 1``."""
    return int(randint(low, high, ()).item())


def chance(p: float) -> bool:
    """True with probability ``p``."""
    return float(rand(()).item()) < p


def permutation(n: int) -> list[int]:
    """The numbers 0 to n - 1 in random order."""
    return [int(i) for i in randperm(n).tolist()]
