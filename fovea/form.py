"""The form of a tensor: shape, strides and dtype as one object, so that plans are found by
identity.
"""

from __future__ import annotations

from typing import Any

from fovea.dtypes import DType
from fovea.size import Size

__all__ = ["Form", "form_of", "interned"]

_LIMIT = 65536

_forms: dict[tuple[Any, ...], Form] = {}


class Form:
    """Shape, strides and dtype. Equal ones are the same object, but for rare doubles, which only
    cost a plan.

    Attributes:
        planner: what plans ops on tensors of this form instead of the target; None for tensors that
            are memory. See `fovea.func.batching`.
        sample: the form of a sample of such a tensor, once `vmap` asked for it.
    """

    __slots__ = ("dtype", "sample", "shape", "strides")
    planner: Any = None

    def __init__(self, shape: tuple[int, ...], strides: tuple[int, ...], dtype: DType) -> None:
        self.shape, self.strides, self.dtype = shape, strides, dtype
        self.sample: Form | None = None

    def __repr__(self) -> str:
        return f"<form {self.dtype.name} {tuple(self.shape)} {self.strides}>"


def interned(shape: tuple[int, ...], strides: tuple[int, ...], dtype: DType) -> Form:
    """The form with these fields."""
    key = (shape, strides, dtype)
    form = _forms.get(key)
    if form is None:
        if len(_forms) >= _LIMIT:
            _forms.clear()
        form = _forms.setdefault(key, Form(Size(shape), strides, dtype))
    return form


def form_of(t: Any) -> Form:
    """The form of a tensor, which notes it (its shape, strides and dtype must not be set
    afterwards).
    """
    form: Form = t._form or interned(t.shape, t.strides, t.dtype)
    t._form = form
    return form
