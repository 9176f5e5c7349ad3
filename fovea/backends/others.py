"""Switches of engines that fovea does not use: they can be set, and nothing follows from it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

__all__ = ["Engine", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum"]


class Engine:
    """An engine that is not there: switches keep what they are set to."""

    def __init__(self, **switches: Any) -> None:
        self.__dict__.update(switches)

    def is_available(self) -> bool:
        """False."""
        return False

    def is_built(self) -> bool:
        """False."""
        return False

    def version(self) -> None:
        """None."""

    @contextlib.contextmanager
    def flags(self, **switches: Any) -> Iterator[None]:
        """Switches as given inside, as before outside."""
        before = dict(vars(self))
        self.__dict__.update(switches)
        try:
            yield
        finally:
            vars(self).clear()
            vars(self).update(before)


class Attention(Engine):
    """Which of PyTorch's ways to compute attention are switched on: fovea has one for all."""

    def __init__(self, **switches: Any) -> None:
        super().__init__(**switches)
        for way in ("flash", "mem_efficient", "math", "cudnn"):
            setattr(self, f"_{way}", True)
            setattr(self, f"enable_{way}_sdp", functools.partial(setattr, self, f"_{way}"))
            setattr(self, f"{way}_sdp_enabled", functools.partial(getattr, self, f"_{way}"))


cudnn = Engine(
    enabled=False, benchmark=False, deterministic=False, allow_tf32=False, benchmark_limit=10
)
cuda = Attention(matmul=Engine(allow_tf32=False, allow_bf16_reduced_precision_reduction=False))
mps, mkl, mkldnn, openmp = Engine(), Engine(), Engine(enabled=False), Engine()
opt_einsum = Engine(enabled=False, strategy=None)
