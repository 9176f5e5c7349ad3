"""Seeds, and names that were given."""

from __future__ import annotations

import random

import numpy as np

from fovea import random as fovea_random
from fovea.errors import ArgumentError
from fovea.keras import dtype_policies
from fovea.keras.naming import reset_names

__all__ = [
    "clear_session",
    "set_random_seed",
]


def set_random_seed(seed: int) -> None:
    """Seed Python's, NumPy's and fovea's random numbers.

    Raises:
        ArgumentError: no integer.

    >>> import fovea
    >>> set_random_seed(0)
    >>> a = fovea.rand(2)
    >>> set_random_seed(0)
    >>> fovea.equal(a, fovea.rand(2))
    True
    """
    if not isinstance(seed, int | np.integer):
        raise ArgumentError(f"set_random_seed: the seed must be an integer, got {seed!r}.")
    random.seed(int(seed))
    np.random.seed(int(seed))
    fovea_random.manual_seed(int(seed))


def clear_session(free_memory: bool = True) -> None:
    """Forget the names that were given (the next layer is ``dense`` again) and the dtype policy."""
    reset_names()
    dtype_policies.reset()
