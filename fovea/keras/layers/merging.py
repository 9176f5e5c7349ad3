"""Layers that join several inputs."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError, ShapeError
from fovea.functions import creation, parts, pointwise
from fovea.keras.layers.layer import Layer
from fovea.nn.functional import normalize as normalized

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]


class _Merge(Layer):
    """A list of inputs joined element by element; sizes of 1 broadcast."""

    most: int | None = None
    keeps_masks = True

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

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        if previous_mask is None or any(m is None for m in previous_mask):
            return None
        return functools.reduce(pointwise.logical_or, previous_mask)

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
        return parts.cat(list(inputs), self.axis)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        self._check(input_shape)
        return functools.reduce(self._lengthen, input_shape)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        if previous_mask is None:
            return None
        whole = []
        for x, mask in zip(inputs, previous_mask, strict=True):
            kept = mask if mask is not None else creation.ones(x.shape, dtype=dtypes.bool_)
            whole.append(kept.unsqueeze(-1).expand(x.shape) if kept.ndim < x.ndim else kept)
        return parts.cat(whole, self.axis).any(-1)

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


class Dot(_Merge):
    """Products of two inputs' samples, summed over one dimension of each.

    Args:
        axes: the dimension, counted with the batch's, or one for each input.
        normalize: make that dimension's vectors of length one first: cosines come out.

    Shapes: (N, ..., K, ...) and (N, ..., K, ...) to (N, ..., ...), (N, 1) for two vectors.

    Raises:
        ArgumentError: axes that are no dimension of a sample.
        ShapeError: sizes along them that differ.

    >>> import fovea
    >>> Dot(axes=1)([fovea.tensor([[1.0, 2.0]]), fovea.tensor([[3.0, 4.0]])])
    tensor([[11.]])
    """

    most = 2

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        pair_given = isinstance(axes, list | tuple) and len(axes) == 2
        if not isinstance(axes, int) and not (pair_given and all(isinstance(a, int) for a in axes)):
            raise ArgumentError(f"Dot: axes must be an integer or two of them, got {axes!r}.")
        self.axes = axes if isinstance(axes, int) else tuple(axes)
        self.normalize = bool(normalize)

    def _axes(self, first: Any, second: Any) -> tuple[int, int]:
        """The summed dimension of each shape, counted from the front."""
        given = (self.axes,) * 2 if isinstance(self.axes, int) else self.axes
        ranks = len(first), len(second)
        if any(not -n <= a < n or a % n == 0 for a, n in zip(given, ranks, strict=True)):
            raise ArgumentError(
                f"{self.name}: axes={self.axes} name no dimension of samples of shapes "
                f"{tuple(first[1:])} and {tuple(second[1:])}."
            )
        return given[0] % ranks[0], given[1] % ranks[1]

    def call(self, inputs: Any) -> Tensor:
        shape = self.compute_output_shape([tuple(x.shape) for x in inputs])
        x, y = inputs
        a, b = self._axes(x.shape, y.shape)
        if self.normalize:
            x, y = normalized(x, dim=a, eps=1e-7), normalized(y, dim=b, eps=1e-7)
        n, k = x.shape[0], x.shape[a]
        left = x.movedim(a, -1).reshape((n, -1, k) if x.numel() else (n, 0, k))
        right = y.movedim(b, 1).reshape((n, k, -1) if y.numel() else (n, k, 0))
        return (left @ right).reshape(shape)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        self._check(input_shape)
        first, second = (list(shape) for shape in input_shape)
        a, b = self._axes(first, second)
        if None not in (first[a], second[b]) and first[a] != second[b]:
            raise ShapeError(
                f"{self.name}: {first[a]} values (dimension {a} of {tuple(first)}) cannot be "
                f"multiplied with {second[b]} (dimension {b} of {tuple(second)})."
            )
        rest = (*first[:a], *first[a + 1 :], *second[1:b], *second[b + 1 :])
        return rest if len(rest) > 1 else (*rest, 1)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None


def dot(inputs: Any, axes: Any = -1, **kwargs: Any) -> Any:
    """``Dot(axes)(inputs)``."""
    return Dot(axes, **kwargs)(inputs)


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
