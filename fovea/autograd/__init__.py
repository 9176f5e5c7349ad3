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
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from fovea.backward import backward as _backward
from fovea.backward import grad
from fovea.gradcheck import gradcheck, gradgradcheck
from fovea.tensorbase import TensorBase

__all__ = [
    "Function",
    "Variable",
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
    "is_inference_mode_enabled",
    "no_grad",
    "set_anomaly_enabled",
    "set_detect_anomaly",
    "set_grad_enabled",
]

_LAZY = ("forward_ad", "functional", "graph", "profiler")


class _VariableMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, TensorBase)


class Variable(metaclass=_VariableMeta):
    """What programs of old wrap tensors in: ``Variable(x)`` is the tensor, in the same memory.

    >>> import fovea
    >>> x = Variable(fovea.ones(2), requires_grad=True)
    >>> isinstance(x, Variable), x.requires_grad
    (True, True)
    """

    def __new__(cls, data: Any, requires_grad: bool = False, volatile: Any = None) -> Any:
        return data.detach().requires_grad_(bool(requires_grad))


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
