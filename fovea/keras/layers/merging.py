"""Layers that join several inputs."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, ShapeError
from fovea.functions import pointwise, shaping
from fovea.keras.layers.layer import Layer

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]


class _Merge(Layer):
    """A list of inputs joined element by element; sizes of 1 broadcast."""

    most: int | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.built = True

    def _check(self, inputs: Any) -> None:
        if not isinstance(inputs, list | tuple) or not inputs:
            raise ArgumentError(f"{self.name}: a list of inputs is needed, got {inputs!r}.")
        if self.most is not None and len(inputs) != self.most:
            raise ArgumentError(
                f"{self.name}: exactly {self.most} inputs are needed, got {len(inputs)}."
            )

    def _join(self, a: Tensor, b: Tensor) -> Tensor:
        raise NotImplementedError

    def call(self, inputs: Any) -> Tensor:
        self._check(inputs)
        return functools.reduce(self._join, inputs)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        self._check(input_shape)
        return functools.reduce(self._broadcast, input_shape)

    def _broadcast(self, a: Any, b: Any) -> Any:
        rank = max(len(a), len(b))
        longer, shorter = (tuple(a), tuple(b)) if len(a) == rank else (tuple(b), tuple(a))
        shorter = (1,) * (rank - len(shorter)) + shorter
        out = []
        for m, n in zip(longer, shorter, strict=True):
            if m == n or n == 1 or m == 1:
                out.append(n if m == 1 else m)
            elif m is None or n is None:
                out.append(m if n is None else n)
            else:
                raise ShapeError(
                    f"{self.name}: inputs of shapes {tuple(a)} and {tuple(b)} do not fit together."
                )
        return tuple(out)


class Add(_Merge):
    """The sum of the inputs.

    >>> import fovea
    >>> Add()([fovea.ones(2), fovea.ones(2)])
    tensor([2., 2.])
    """

    def _join(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


class Subtract(_Merge):
    """The first input minus the second."""

    most = 2

    def _join(self, a: Tensor, b: Tensor) -> Tensor:
        return a - b


class Multiply(_Merge):
    """The product of the inputs."""

    def _join(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b


class Average(_Merge):
    """The mean of the inputs."""

    def _join(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def call(self, inputs: Any) -> Tensor:
        return super().call(inputs) / len(inputs)


class Maximum(_Merge):
    """The largest of the inputs, element by element."""

    def _join(self, a: Tensor, b: Tensor) -> Tensor:
        return pointwise.maximum(a, b)


class Minimum(_Merge):
    """The smallest of the inputs, element by element."""

    def _join(self, a: Tensor, b: Tensor) -> Tensor:
        return pointwise.minimum(a, b)


class Concatenate(_Merge):
    """The inputs one after another along ``axis``.

    Args:
        axis: the dimension.

    Raises:
        ShapeError: other sizes differ.
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Any) -> Tensor:
        self._check(inputs)
        return shaping.cat(list(inputs), self.axis)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        self._check(input_shape)
        return functools.reduce(self._lengthen, input_shape)

    def _lengthen(self, a: Any, b: Any) -> Any:
        rank = len(a)
        axis = self.axis % rank
        fits = len(b) == rank and all(
            i == axis or m == n or m is None or n is None
            for i, (m, n) in enumerate(zip(a, b, strict=False))
        )
        if not fits:
            raise ShapeError(
                f"{self.name}: shapes {tuple(a)} and {tuple(b)} differ outside axis {self.axis}."
            )
        both = None if a[axis] is None or b[axis] is None else a[axis] + b[axis]
        return tuple(
            both if i == axis else (m if m is not None else n)
            for i, (m, n) in enumerate(zip(a, b, strict=True))
        )


def add(inputs: Any, **kwargs: Any) -> Any:
    """``Add()(inputs)``."""
    return Add(**kwargs)(inputs)


def subtract(inputs: Any, **kwargs: Any) -> Any:
    """``Subtract()(inputs)``."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs: Any) -> Any:
    """``Multiply()(inputs)``."""
    return Multiply(**kwargs)(inputs)


def average(inputs: Any, **kwargs: Any) -> Any:
    """``Average()(inputs)``."""
    return Average(**kwargs)(inputs)


def maximum(inputs: Any, **kwargs: Any) -> Any:
    """``Maximum()(inputs)``."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Any, **kwargs: Any) -> Any:
    """``Minimum()(inputs)``."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """``Concatenate(axis)(inputs)``."""
    return Concatenate(axis, **kwargs)(inputs)
