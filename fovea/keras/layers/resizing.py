"""Layers that change sizes of images: borders added and taken off, and images enlarged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, ShapeError
from fovea.keras import config
from fovea.keras.layers.arguments import choice, several, single, with_defaults
from fovea.keras.layers.images import (
    channels_of,
    from_channels_first,
    padded,
    spatial_sizes,
    to_channels_first,
    with_channels,
)
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.reshaping import AnyType
from fovea.keras.layers.spec import InputSpec
from fovea.nn import functional as F

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]


class _Borders(AnyType):
    """What padding and cropping share: (before, after) for each dimension."""

    rank = 2
    sign = 1
    data_format: str

    def _set_borders(self, what: str, value: Any, data_format: str | None) -> Any:
        kind, rank = type(self).__name__, self.rank
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=rank + 2)
        self.built = True
        if rank == 1:
            borders: Any = several(kind, what, value, 2, 0)
            self._sides: tuple[int, ...] = borders
            return borders
        values = (value,) * rank if isinstance(value, int) else value
        if not isinstance(values, list | tuple) or len(values) != rank:
            raise ArgumentError(
                f"{kind}: {what} must be one number, {rank} of them, or {rank} pairs (before, "
                f"after), got {value!r}."
            )
        borders = tuple(several(kind, what, v, 2, 0) for v in values)
        self._sides = tuple(n for pair in borders for n in pair)
        return borders

    def call(self, inputs: Tensor) -> Tensor:
        self.compute_output_shape(tuple(inputs.shape))
        x = to_channels_first(inputs, self.data_format)
        y = padded(x, [self.sign * n for n in self._sides])
        return from_channels_first(y, self.data_format)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        sizes = [
            None if n is None else n + self.sign * sum(self._sides[2 * i : 2 * i + 2])
            for i, n in enumerate(spatial_sizes(input_shape, self.data_format))
        ]
        if any(n is not None and n <= 0 for n in sizes):
            raise ShapeError(f"{self.name}: nothing would be left of {tuple(input_shape)}.")
        channels = channels_of(input_shape, self.data_format)
        return with_channels(input_shape, sizes, channels, self.data_format)


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


class ZeroPadding1D(ZeroPadding2D):
    """Zeros before and after sequences.

    Args:
        padding: one number, or (before, after).
        data_format: ``"channels_last"`` (N, L, C) or ``"channels_first"``.

    >>> import fovea
    >>> ZeroPadding1D((1, 2))(fovea.ones(1, 2, 1)).flatten()
    tensor([0., 1., 1., 0., 0.])
    """

    rank = 1
    __init__ = with_defaults(ZeroPadding2D.__init__, padding=1)


class ZeroPadding3D(ZeroPadding2D):
    """Zeros around volumes.

    Args:
        padding: one number, (depth, rows, columns), or a pair (before, after) for each.
        data_format: ``"channels_last"`` (N, D, H, W, C) or ``"channels_first"``.
    """

    rank = 3
    __init__ = with_defaults(ZeroPadding2D.__init__, padding=((1, 1), (1, 1), (1, 1)))


class Cropping2D(_Borders):
    """Images without their outer rows and columns; arguments as of ``ZeroPadding2D``."""

    sign = -1

    def __init__(
        self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.cropping = self._set_borders("cropping", cropping, data_format)


class Cropping1D(_Borders):
    """Sequences (N, L, C) without their ends.

    Args:
        cropping: one number, or (before, after).

    >>> import fovea
    >>> Cropping1D((1, 0))(fovea.arange(3.0).reshape(1, 3, 1)).flatten()
    tensor([1., 2.])
    """

    rank = 1
    sign = -1

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cropping = self._set_borders("cropping", cropping, "channels_last")


class Cropping3D(Cropping2D):
    """Volumes without their outer parts; arguments as of ``ZeroPadding3D``."""

    rank = 3
    __init__ = with_defaults(Cropping2D.__init__, cropping=((1, 1), (1, 1), (1, 1)))


class _UpSampling(Layer):
    """What the layers that enlarge share."""

    rank = 2
    data_format = "channels_last"
    interpolation = "nearest"

    def call(self, inputs: Tensor) -> Tensor:
        x = to_channels_first(inputs, self.data_format)
        factors = self._factors()
        size = tuple(n * s for n, s in zip(x.shape[2:], factors, strict=True))
        align = None if self.interpolation == "nearest" else False
        if self.rank == 1:  # an image of one row
            row = F.interpolate(x.unsqueeze(2), size=(1, *size), mode="nearest")
            return from_channels_first(row.squeeze(2), self.data_format)
        y = F.interpolate(x, size=size, mode=self.interpolation, align_corners=align)
        return from_channels_first(y, self.data_format)

    def _factors(self) -> tuple[int, ...]:
        size: Any = self.size
        return (size,) if isinstance(size, int) else tuple(size)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        found = spatial_sizes(input_shape, self.data_format)
        sizes = [None if n is None else n * s for n, s in zip(found, self._factors(), strict=True)]
        channels = channels_of(input_shape, self.data_format)
        return with_channels(input_shape, sizes, channels, self.data_format)


class UpSampling2D(_UpSampling):
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
        self.size = several("UpSampling2D", "size", size, 2)
        self.data_format = config.standardize_data_format(data_format)
        self.interpolation = choice(
            "UpSampling2D", "interpolation", interpolation, ("nearest", "bilinear", "bicubic")
        )
        self.input_spec = InputSpec(ndim=4)
        self.built = True


class UpSampling1D(_UpSampling):
    """Each step of sequences (N, L, C) ``size`` times.

    Args:
        size: how often.

    >>> import fovea
    >>> UpSampling1D(2)(fovea.arange(2.0).reshape(1, 2, 1)).flatten()
    tensor([0., 0., 1., 1.])
    """

    rank = 1

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = single("UpSampling1D", "size", size)
        self.input_spec = InputSpec(ndim=3)
        self.built = True


class UpSampling3D(_UpSampling):
    """Volumes ``size`` times as large: each element as often along each dimension.

    Args:
        size: one number or (depth, rows, columns).
        data_format: ``"channels_last"`` (N, D, H, W, C) or ``"channels_first"``.

    >>> import fovea
    >>> UpSampling3D((1, 2, 3))(fovea.ones(1, 2, 2, 2, 4)).shape
    fovea.Size([1, 2, 4, 6, 4])
    """

    rank = 3

    def __init__(
        self, size: Any = (2, 2, 2), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.size = several("UpSampling3D", "size", size, 3)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=5)
        self.built = True
