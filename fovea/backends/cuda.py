"""CUDA's libraries of matrix products and of attention: not used; their switches can be set."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = [
    "cudnn_sdp_enabled",
    "enable_cudnn_sdp",
    "enable_flash_sdp",
    "enable_math_sdp",
    "enable_mem_efficient_sdp",
    "flash_sdp_enabled",
    "is_built",
    "is_flash_attention_available",
    "math_sdp_enabled",
    "matmul",
    "mem_efficient_sdp_enabled",
    "preferred_linalg_library",
    "sdp_kernel",
]


class _Products:
    """How products of matrices may be computed there."""

    allow_tf32 = False
    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True
    fp32_precision = "none"


class _Plans:
    """How many plans of Fourier transforms are kept there."""

    max_size = 0
    size = 0

    def clear(self) -> None:
        """Nothing to clear."""


matmul, cufft_plan_cache = _Products(), _Plans()
_ways = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True}


def is_built() -> bool:
    """False."""
    return False


def is_flash_attention_available() -> bool:
    """False."""
    return False


def flash_sdp_enabled() -> bool:
    """What was set."""
    return _ways["flash"]


def mem_efficient_sdp_enabled() -> bool:
    """What was set."""
    return _ways["mem_efficient"]


def math_sdp_enabled() -> bool:
    """What was set."""
    return _ways["math"]


def cudnn_sdp_enabled() -> bool:
    """What was set."""
    return _ways["cudnn"]


def enable_flash_sdp(enabled: bool) -> None:
    """Remembered, to no effect: attention is computed in one way."""
    _ways["flash"] = enabled


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Remembered, to no effect."""
    _ways["mem_efficient"] = enabled


def enable_math_sdp(enabled: bool) -> None:
    """Remembered, to no effect."""
    _ways["math"] = enabled


def enable_cudnn_sdp(enabled: bool) -> None:
    """Remembered, to no effect."""
    _ways["cudnn"] = enabled


@contextlib.contextmanager
def sdp_kernel(
    enable_flash: bool = True,
    enable_math: bool = True,
    enable_mem_efficient: bool = True,
    enable_cudnn: bool = True,
) -> Iterator[None]:
    """Switches as given inside, as before outside: an older ``nn.attention.sdpa_kernel``."""
    before = dict(_ways)
    _ways.update(flash=enable_flash, math=enable_math)
    _ways.update(mem_efficient=enable_mem_efficient, cudnn=enable_cudnn)
    try:
        yield
    finally:
        _ways.update(before)


def preferred_linalg_library(backend: Any = None) -> Any:
    """Accepted."""
    return backend
