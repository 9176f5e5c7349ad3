"""Layers that change shapes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, ShapeError
from fovea.keras import config
from fovea.keras.layers.arguments import single
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.spec import InputSpec

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["AnyType", "Flatten", "Permute", "RepeatVector", "Reshape"]


class AnyType(Layer):
    """A layer that keeps its input's dtype."""

    takes_integers = True

    def output_dtype(self, x: Any) -> str:
        return str(x.dtype)


class Flatten(AnyType):
    """One row a sample, channels last.

    Args:
        data_format: of the input; ``"channels_first"`` images are turned first.

    >>> import fovea
    >>> Flatten()(fovea.ones(2, 3, 4)).shape
    fovea.Size([2, 12])
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        shape = inputs.shape
        if self.data_format == "channels_first" and len(shape) > 2:
            inputs = inputs.movedim(1, -1)
        return inputs.reshape((shape[0], math.prod(shape[1:])))

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        sizes = input_shape[1:]
        return (input_shape[0], None if None in sizes else math.prod(sizes))


class Reshape(AnyType):
    """Samples in another shape.

    Args:
        target_shape: of one sample; -1 for the size that follows from the others.

    Raises:
        ShapeError: another number of elements.
    """

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        sizes = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        if sum(n == -1 for n in sizes) > 1:
            raise ArgumentError(f"Reshape: only one size may be -1, got {sizes}.")
        self.target_shape = sizes
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        shape = self.compute_output_shape(tuple(inputs.shape))
        return inputs.reshape(shape)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        sizes = list(self.target_shape)
        if None in input_shape[1:]:
            return (input_shape[0], *(None if n == -1 else n for n in sizes))
        total, known = math.prod(input_shape[1:]), math.prod(n for n in sizes if n != -1)
        if -1 in sizes and known and total % known == 0:
            sizes[sizes.index(-1)] = total // known
            known = total
        if known != total:
            raise ShapeError(
                f"{self.name}: {tuple(input_shape[1:])} cannot be reshaped to {self.target_shape}: "
                f"{total} elements a sample against {known}."
            )
        return (input_shape[0], *sizes)


class Permute(AnyType):
    """Dimensions in another order.

    Args:
        dims: the new order of a sample's dimensions, counted from 1: ``(2, 1)`` exchanges two.
    """

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ArgumentError(
                f"Permute: dims must hold 1 to {len(self.dims)}, each once, got {self.dims}."
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs.permute(0, *self.dims)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return (input_shape[0], *(input_shape[d] for d in self.dims))


class RepeatVector(AnyType):
    """Each sample, a vector, ``n`` times: (N, C) to (N, n, C).

    Args:
        n: how often.

    >>> import fovea
    >>> RepeatVector(3)(fovea.ones(2, 4)).shape
    fovea.Size([2, 3, 4])
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = single("RepeatVector", "n", n)
        self.input_spec = InputSpec(ndim=2)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs.unsqueeze(1).repeat(1, self.n, 1)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return (input_shape[0], self.n, input_shape[1])
