"""``fovea.cuda.amp``: mixed precision by PyTorch's older names, of a device that there is not.

Regions are switched off, and gradients are not scaled, as in PyTorch on a machine without CUDA;
``fovea.amp`` has what works on the CPU.
"""

from __future__ import annotations

from typing import Any

from fovea import amp
from fovea.dtypes import float16

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]


class autocast(amp.autocast):  # noqa: N801 - PyTorch's name
    """``fovea.autocast("cuda", ...)``: does nothing, with a warning.

    >>> import warnings, fovea
    >>> with warnings.catch_warnings(action="ignore"), autocast():
    ...     y = fovea.ones(2, 2) @ fovea.ones(2, 2)
    >>> y.dtype
    fovea.float32
    """

    def __init__(
        self, enabled: bool = True, dtype: Any = float16, cache_enabled: bool = True
    ) -> None:
        super().__init__("cuda", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


class GradScaler(amp.GradScaler):
    """``fovea.amp.GradScaler("cuda", ...)``: scales nothing, with a warning."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        super().__init__(
            "cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled
        )


def custom_fwd(fwd: Any = None, *, cast_inputs: Any = None) -> Any:
    """The function as it is: there is no region in which it would run otherwise."""
    return (lambda function: function) if fwd is None else fwd


def custom_bwd(bwd: Any) -> Any:
    """The function as it is."""
    return bwd
