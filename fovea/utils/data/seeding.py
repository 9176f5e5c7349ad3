"""Seeds: one draw a pass, and from it a stream of random numbers for every batch.

A batch's stream depends on the pass's seed and the batch's number alone, not on the worker that
makes it. So the number and kind of workers changes nothing, and a worker's speed even less.
"""

from __future__ import annotations

import random
from contextlib import ExitStack
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.functions.random import rand, randint
from fovea.random import Generator, use_generator

__all__ = [
    "Stream",
    "draw_seed",
    "fresh_generator",
    "install_stream",
    "seed_process",
    "uniforms",
]

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: spreads consecutive numbers over all 64 bits
_MASK = (1 << 63) - 1


def draw_seed(generator: Generator | None = None) -> int:
    """A seed of 63 bits from ``generator`` (default: fovea's own)."""
    return int(randint(0, _MASK, (), generator=generator).item())


def fresh_generator() -> Generator:
    """A generator seeded from fovea's own."""
    return Generator().manual_seed(draw_seed())


def uniforms(count: int, generator: Generator | None) -> np.ndarray[Any, np.dtype[np.float64]]:
    """``count`` numbers from [0, 1) in double precision."""
    return rand(count, generator=generator, dtype=dtypes.float64).numpy()


class Stream:
    """A generator that stands in for fovea's default one while batches are made.

    Args:
        seed: what it starts from.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.generator = Generator().manual_seed(seed)
        self.user_seeded = False
        self._exits = ExitStack()

    def note_user_seed(self) -> None:
        """See whether ``worker_init_fn`` seeded fovea itself; if so its stream is left alone."""
        self.user_seeded = self.generator.initial_seed() != self.seed

    def seek(self, epoch_seed: int, batch: int) -> None:
        """Go to the start of a batch's stream."""
        if not self.user_seeded:
            self.generator.manual_seed((epoch_seed ^ (_GOLDEN * (batch + 1))) & _MASK)

    def __enter__(self) -> Stream:
        self._exits.enter_context(use_generator(self.generator))
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()


def install_stream(seed: int) -> Stream:
    """A stream that this thread draws from for the rest of its life."""
    stream = Stream(seed)
    stream.__enter__()
    return stream


def seed_process(seed: int) -> None:
    """Seed Python's and NumPy's global generators, in a worker process."""
    random.seed(seed)
    np.random.seed(np.random.SeedSequence(seed).generate_state(4))
