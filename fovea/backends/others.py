"""Switches of engines that fovea does not use: they can be set, and nothing follows from it."""

from __future__ import annotations

from typing import Any

__all__ = ["Engine", "cuda", "cudnn", "mkldnn", "mps"]


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


cudnn = Engine(
    enabled=False, benchmark=False, deterministic=False, allow_tf32=False, benchmark_limit=10
)
cuda = Engine(matmul=Engine(allow_tf32=False, allow_bf16_reduced_precision_reduction=False))
mps, mkldnn = Engine(), Engine(enabled=False)
