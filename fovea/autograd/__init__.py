"""``fovea.autograd``: gradients on request, switching recording off, and functions with a gradient
of their own.
"""

from __future__ import annotations

import importlib
from typing import Any

from fovea.autograd.anomaly import (
    detect_anomaly,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    set_anomaly_enabled,
    set_detect_anomaly,
)
from fovea.autograd.function import Function
from fovea.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from fovea.backward import backward as _backward
from fovea.backward import grad
from fovea.gradcheck import gradcheck, gradgradcheck
from fovea.tensorbase import TensorBase

__all__ = [
    "Function",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "no_grad",
    "set_anomaly_enabled",
    "set_detect_anomaly",
    "set_grad_enabled",
]

_LAZY = ("forward_ad", "functional", "graph")


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Sum the gradients of ``tensors`` into the leaves they came from."""

    def listed(x: Any) -> Any:
        return None if x is None else [x] if isinstance(x, TensorBase) else list(x)

    _backward(
        listed(tensors),
        listed(grad_tensors),
        retain_graph=retain_graph,
        create_graph=create_graph,
        inputs=listed(inputs),
    )


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
