"""``functional_call`` under its old name."""

from __future__ import annotations

import warnings
from typing import Any

from fovea.nn.module import Module

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Any],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``fovea.func.functional_call``, with a FutureWarning."""
    from fovea.func.modules import functional_call as call  # modules are made of nothing above them

    warnings.warn(
        "nn.utils.stateless.functional_call is deprecated: use fovea.func.functional_call.",
        FutureWarning,
        stacklevel=2,
    )
    return call(
        module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict
    )
