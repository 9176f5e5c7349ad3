"""Tensors that a module owns: parameters, which are learned, and buffers, which are not."""

from __future__ import annotations

from typing import Any

from fovea.functions.creation import empty
from fovea.targets.base import blank
from fovea.tensor import Tensor

__all__ = ["Buffer", "Parameter"]


class Parameter(Tensor):
    """A tensor that becomes a module's parameter when assigned to an attribute of one.

    Args:
        data: its values; the memory is shared. An empty tensor unless given.
        requires_grad: whether backward computes its gradient.

    >>> import fovea
    >>> Parameter(fovea.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Parameter:
        return blank(cls)

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        self.data = empty(0) if data is None else data
        if requires_grad:
            self.requires_grad = True

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that becomes a module's buffer when assigned to an attribute of one.

    Args:
        data: its values; the memory is shared. An empty tensor unless given.
        persistent: whether it is part of the module's ``state_dict``.
    """

    persistent: bool = True

    def __new__(cls, *args: Any, **kwargs: Any) -> Buffer:
        return blank(cls)

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        self.data = empty(0) if data is None else data
        self.persistent = persistent


def rebuilt(value: Any, like: Tensor) -> Tensor:
    """``value`` as the kind of tensor that ``like`` is."""
    if isinstance(like, Parameter):
        return Parameter(value.detach(), requires_grad=like.requires_grad)
    return value.detach() if value.requires_grad else value
