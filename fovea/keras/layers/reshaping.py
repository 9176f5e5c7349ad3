"""Layers that change shapes, and sizes of images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, ShapeError
from fovea.keras import config
from fovea.keras.layers.arguments import choice, pair, single
from fovea.keras.layers.images import (
    channels_of,
    from_channels_first,
    spatial_sizes,
    to_channels_first,
    with_channels,
)
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.spec import InputSpec
from fovea.nn import functional as F

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "Cropping2D",
    "Flatten",
    "Permute",
    "RepeatVector",
    "Reshape",
    "UpSampling2D",
    "ZeroPadding2D",
]


class _AnyType(Layer):
    """A layer that keeps its input's dtype."""

    takes_integers = True

    def output_dtype(self, x: Any) -> str:
        return str(x.dtype)


class Flatten(_AnyType):
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


class Reshape(_AnyType):
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


class Permute(_AnyType):
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


class RepeatVector(_AnyType):
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


class _Borders(_AnyType):
    """What padding and cropping share: ((top, bottom), (left, right))."""

    def _set_borders(self, what: str, value: Any, data_format: str | None) -> tuple[Any, Any]:
        kind = type(self).__name__
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=4)
        self.built = True
        if isinstance(value, int):
            return (value, value), (value, value)
        try:
            rows, columns = value
        except (TypeError, ValueError):
            raise ArgumentError(
                f"{kind}: {what} must be one number, (rows, columns), or "
                f"((top, bottom), (left, right)), got {value!r}."
            ) from None
        return pair(kind, what, rows, 0), pair(kind, what, columns, 0)

    def _changed(self, input_shape: Any, borders: Any, sign: int) -> Any:
        sizes = [
            None if n is None else n + sign * sum(b)
            for n, b in zip(spatial_sizes(input_shape, self.data_format), borders, strict=True)
        ]
        if any(n is not None and n <= 0 for n in sizes):
            raise ShapeError(f"{self.name}: nothing would be left of {tuple(input_shape)}.")
        channels = channels_of(input_shape, self.data_format)
        return with_channels(input_shape, sizes, channels, self.data_format)

    def _padded(self, inputs: Tensor, borders: Any, sign: int) -> Tensor:
        (top, bottom), (left, right) = borders
        amounts = tuple(sign * n for n in (left, right, top, bottom))
        x = to_channels_first(inputs, self.data_format)
        return from_channels_first(F.pad(x, amounts), self.data_format)


class ZeroPadding2D(_Borders):
    """Rows and columns of zeros around images.

    Args:
        padding: one number, (rows, columns), or ((top, bottom), (left, right)).
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    def __init__(
        self, padding: Any = (1, 1), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.padding = self._set_borders("padding", padding, data_format)

    def call(self, inputs: Tensor) -> Tensor:
        return self._padded(inputs, self.padding, 1)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return self._changed(input_shape, self.padding, 1)


class Cropping2D(_Borders):
    """Images without their outer rows and columns; arguments as of ``ZeroPadding2D``."""

    def __init__(
        self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.cropping = self._set_borders("cropping", cropping, data_format)

    def call(self, inputs: Tensor) -> Tensor:
        self._changed(tuple(inputs.shape), self.cropping, -1)
        return self._padded(inputs, self.cropping, -1)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        return self._changed(input_shape, self.cropping, -1)


class UpSampling2D(Layer):
    """Images ``size`` times as large.

    Args:
        size: one number or (rows, columns).
        data_format: ``"channels_last"`` or ``"channels_first"``.
        interpolation: ``"nearest"``, ``"bilinear"`` or ``"bicubic"``, with pixels' centers at
            halves.
    """

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.size = pair("UpSampling2D", "size", size)
        self.data_format = config.standardize_data_format(data_format)
        self.interpolation = choice(
            "UpSampling2D", "interpolation", interpolation, ("nearest", "bilinear", "bicubic")
        )
        self.input_spec = InputSpec(ndim=4)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        x = to_channels_first(inputs, self.data_format)
        size = (x.shape[2] * self.size[0], x.shape[3] * self.size[1])
        align = None if self.interpolation == "nearest" else False
        y = F.interpolate(x, size=size, mode=self.interpolation, align_corners=align)
        return from_channels_first(y, self.data_format)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        sizes = [
            None if n is None else n * s
            for n, s in zip(spatial_sizes(input_shape, self.data_format), self.size, strict=True)
        ]
        channels = channels_of(input_shape, self.data_format)
        return with_channels(input_shape, sizes, channels, self.data_format)
