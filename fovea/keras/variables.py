"""Weights of Keras layers: parameters that also answer to Keras's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.autograd import no_grad
from fovea.errors import ShapeError
from fovea.functions import creation
from fovea.keras import config, standins
from fovea.keras.naming import auto_name
from fovea.nn.parameter import Parameter
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Linked", "Variable", "assign", "store_as"]


class Variable(Parameter):
    """A weight, or a state such as a moving mean.

    Args:
        initializer: values, or a function of shape and dtype.
        shape: needed with a function.
        dtype: default ``floatx()``.
        trainable: whether it is learned.
        name: what it is called in its layer.

    Attributes:
        name, path: ``"kernel"``, ``"conv2d/kernel"``.
        regularizer, constraint: what `add_weight` was given.

    >>> v = Variable([1.0, 2.0], name="bias")
    >>> v.assign([3.0, 4.0]).numpy(), v.trainable
    (array([3., 4.], dtype=float32), True)
    """

    name: str = "variable"
    path: str = "variable"
    regularizer: Any = None
    constraint: Any = None

    def __init__(
        self,
        initializer: Any,
        shape: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if callable(initializer) and not is_tensor(initializer):
            values = initializer(tuple(shape or ()), dtype=dtype)
        elif is_tensor(initializer):
            values = initializer
        else:
            values = creation.tensor(np.asarray(initializer), dtype=config.as_dtype(dtype))
        learned = trainable and values.dtype.is_floating_point
        super().__init__(values.detach(), requires_grad=learned)
        self.name = self.path = name or auto_name("variable")

    @property
    def trainable(self) -> bool:
        """Whether it is learned."""
        return self._requires_grad

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.requires_grad = bool(value) and self.dtype.is_floating_point

    @property
    def value(self) -> Variable:
        """The variable itself: it is its values."""
        return self

    def numpy(self, *args: Any, **kwargs: Any) -> np.ndarray[Any, Any]:
        """A copy of the values."""
        return self._array().copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return self.numpy() if dtype is None else self.numpy().astype(dtype)

    def assign(self, value: Any) -> Variable:
        """Take other values of the same shape."""
        assign(self, value)
        return self

    def assign_add(self, value: Any) -> Variable:
        """Add to the values."""
        with no_grad():
            changed = self + self._operand(value)
        return self.assign(changed)

    def assign_sub(self, value: Any) -> Variable:
        """Subtract from the values."""
        with no_grad():
            changed = self - self._operand(value)
        return self.assign(changed)

    def _operand(self, value: Any) -> Any:
        """A number or a tensor; arrays and lists in the variable's dtype."""
        if is_tensor(value) or isinstance(value, int | float):
            return value
        return creation.tensor(np.asarray(value), dtype=self.dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = super().__deepcopy__(memo)
        made._describe(self.name, self.path, self.regularizer, self.constraint)  # type: ignore[attr-defined]
        return made

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        order = tuple(sorted(range(self.ndim), key=lambda d: -self.strides[d]))
        described = (self.name, self.path, self.regularizer, self.constraint)
        return _restored, (self.numpy(), self.dtype.name, self._requires_grad, order, described)

    def _describe(self, name: str, path: str, regularizer: Any, constraint: Any) -> None:
        self.name, self.path = name, path
        self.regularizer, self.constraint = regularizer, constraint

    def __repr__(self) -> str:
        shape, dtype = tuple(self.shape), self.dtype.name
        return f"<Variable path={self.path}, shape={shape}, dtype={dtype}, value={self._array()}>"


class Linked(Variable):
    """A variable over the memory of a state that its owner keeps otherwise.

    Args:
        state: the state.
        name: what it is called.
        follow: called after other values were assigned.
    """

    def __init__(self, state: Tensor, name: str, follow: Callable[[], None] | None = None) -> None:
        super().__init__(state, trainable=False, name=name)
        self.follow = follow

    def assign(self, value: Any) -> Variable:
        super().assign(value)
        if self.follow is not None:
            self.follow()
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _restored, (self.numpy(), self.dtype.name, False, tuple(range(self.ndim)),
                           (self.name, self.path, None, None))  # fmt: skip


def _restored(values: Any, dtype: str, trainable: bool, order: Any, described: Any) -> Variable:
    """A weight from a pickle, laid out as it was."""
    made = Variable(values, dtype=dtype, trainable=trainable, name="variable")
    made._describe(*described)
    if order != tuple(range(len(order))):
        store_as(made, order)
    return made


def assign(weight: Tensor, value: Any) -> None:
    """Copy values into a weight.

    Raises:
        ShapeError: another shape.
    """
    values = value.detach() if is_tensor(value) else creation.tensor(np.asarray(value))
    if tuple(values.shape) != tuple(weight.shape):
        name = getattr(weight, "path", "a weight")
        raise ShapeError(
            f"{name} has shape {tuple(weight.shape)}, the value has {tuple(values.shape)}."
        )
    scope = standins.current()
    if scope is not None:
        scope.writes(weight)
    with no_grad():
        weight.copy_(values.to(weight.dtype))


def store_as(weight: Tensor, order: tuple[int, ...]) -> None:
    """Lay a weight's memory out with its dimensions in another order; its shape stays.

    Kernels are stored as the engine's ops want them, so that the view an op takes costs nothing.

    >>> v = Variable([[1.0, 2.0], [3.0, 4.0]])
    >>> store_as(v, (1, 0))
    >>> v.strides, v.numpy().tolist()
    ((1, 2), [[1.0, 2.0], [3.0, 4.0]])
    """
    back = [0] * len(order)
    for place, dim in enumerate(order):
        back[dim] = place
    weight.data = weight.detach().permute(*order).contiguous().permute(*back).detach()
