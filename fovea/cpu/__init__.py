"""``fovea.cpu``: what PyTorch has under ``torch.cpu``."""

from __future__ import annotations

from typing import Any

from fovea.cpu import amp

__all__ = ["amp", "current_device", "device_count", "is_available", "synchronize"]


def is_available() -> bool:
    """True.

    >>> is_available()
    True
    """
    return True


def device_count() -> int:
    """1."""
    return 1


def current_device() -> str:
    """``"cpu"``."""
    return "cpu"


def synchronize(device: Any = None) -> None:
    """Nothing to wait for: an op is done when it returns."""
