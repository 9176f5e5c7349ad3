"""Choices for the whole process that PyTorch's programs make: devices, determinism, precision."""

from __future__ import annotations

from typing import Any

from fovea import devices
from fovea.errors import ArgumentError

__all__ = [
    "are_deterministic_algorithms_enabled",
    "get_default_device",
    "get_float32_matmul_precision",
    "get_num_interop_threads",
    "is_deterministic_algorithms_warn_only_enabled",
    "set_default_device",
    "set_float32_matmul_precision",
    "set_flush_denormal",
    "set_num_interop_threads",
    "typename",
    "use_deterministic_algorithms",
]

_deterministic = [False, False]
_precision = ["highest"]


def get_default_device() -> devices.device:
    """The CPU, where tensors are made."""
    return devices.CPU


def set_default_device(device: Any) -> None:
    """Raises DeviceError unless ``device`` is the CPU."""
    devices.as_device(device)


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted: every result has the same bits for any number of threads, whatever the mode."""
    _deterministic[:] = [bool(mode), bool(warn_only)]


def are_deterministic_algorithms_enabled() -> bool:
    """What ``use_deterministic_algorithms`` was told last."""
    return _deterministic[0]


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """What ``use_deterministic_algorithms`` was told last as ``warn_only``."""
    return _deterministic[1]


def set_float32_matmul_precision(precision: str) -> None:
    """Accepted: products of float32 are computed in float32, whatever is allowed.

    Raises:
        ArgumentError: not ``"highest"``, ``"high"`` or ``"medium"``.
    """
    if precision not in ("highest", "high", "medium"):
        raise ArgumentError(
            f"set_float32_matmul_precision: 'highest', 'high' or 'medium', got {precision!r}."
        )
    _precision[0] = precision


def get_float32_matmul_precision() -> str:
    """What ``set_float32_matmul_precision`` was told last.

    >>> get_float32_matmul_precision()
    'highest'
    """
    return _precision[0]


def set_flush_denormal(mode: bool) -> bool:
    """Whether denormal numbers can be flushed to zero: they are kept."""
    return False


def set_num_interop_threads(threads: int) -> None:
    """Accepted: ops run one after another."""


def get_num_interop_threads() -> int:
    """1: ops run one after another."""
    return 1


def typename(obj: Any) -> str:
    """The full name of an object's type; of a tensor, as ``Tensor.type`` says it."""
    from fovea.tensorbase import is_tensor

    if is_tensor(obj):
        return str(obj.type())
    return f"{type(obj).__module__}.{type(obj).__qualname__}".removeprefix("builtins.")
