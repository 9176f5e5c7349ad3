"""``fovea.cuda``: there is none, and programs that ask get that answer.

>>> import fovea
>>> fovea.device("cuda" if fovea.cuda.is_available() else "cpu")
device(type='cpu')
"""

from __future__ import annotations

from typing import Any

from fovea import amp

__all__ = [
    "amp",
    "current_device",
    "device_count",
    "empty_cache",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "memory_allocated",
    "reset_peak_memory_stats",
    "synchronize",
]


def is_available() -> bool:
    """False."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def is_bf16_supported() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def current_device() -> int:
    """Raises DeviceError."""
    from fovea.errors import DeviceError

    raise DeviceError("cuda: there is no CUDA device.", fix="use 'cpu'")


def synchronize(device: Any = None) -> None:
    """Nothing to wait for."""


def empty_cache() -> None:
    """Nothing to give back."""


def manual_seed(seed: int) -> None:
    """Nothing to seed: as in PyTorch, no error without a device."""


manual_seed_all = manual_seed


def memory_allocated(device: Any = None) -> int:
    """0."""
    return 0


max_memory_allocated = memory_allocated


def reset_peak_memory_stats(device: Any = None) -> None:
    """Nothing to reset."""


def __getattr__(name: str) -> Any:
    """``FloatTensor`` and its kin: names of types that there are no tensors of."""
    from fovea.typed_tensors import on_cuda

    kind = on_cuda(name)
    if kind is None:
        raise AttributeError(f"module 'fovea.cuda' has no attribute {name!r}")
    return kind
