"""``fovea.cpu.amp``: PyTorch's older door to mixed precision on the CPU."""

from __future__ import annotations

from typing import Any

from fovea.amp import GradScaler as _GradScaler
from fovea.amp import autocast as _autocast
from fovea.dtypes import bfloat16

__all__ = ["GradScaler", "autocast"]


class autocast(_autocast):  # noqa: N801 - PyTorch's name
    """``fovea.autocast("cpu", ...)``.

    >>> import fovea
    >>> with autocast():
    ...     fovea.is_autocast_enabled("cpu")
    True
    """

    def __init__(
        self, enabled: bool = True, dtype: Any = bfloat16, cache_enabled: bool = True
    ) -> None:
        super().__init__("cpu", dtype, enabled, cache_enabled)


class GradScaler(_GradScaler):
    """``fovea.amp.GradScaler("cpu", ...)``."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        super().__init__("cpu", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
