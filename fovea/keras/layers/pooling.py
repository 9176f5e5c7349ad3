"""Pooling by windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.keras import config
from fovea.keras.layers.arguments import choice, several, with_defaults
from fovea.keras.layers.images import (
    channels_of,
    from_channels_first,
    same_padding,
    spatial_sizes,
    to_channels_first,
    window_sizes,
    with_channels,
)
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.spec import InputSpec
from fovea.nn.functional.volume_pooling import in_two_steps
from fovea.ops.pool import AvgPoolAttrs, PoolAttrs, avg_pool2d, max_pool2d

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
]


class _Pooling(Layer):
    """What the layers with windows share."""

    rank = 2

    def __init__(
        self,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        kind = type(self).__name__
        self.pool_size = several(kind, "pool_size", pool_size, self.rank)
        self.strides = self.pool_size
        if strides is not None:
            self.strides = several(kind, "strides", strides, self.rank)
        self.padding = choice(kind, "padding", padding, ("valid", "same"))
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self._valid: Any = None
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        x = to_channels_first(inputs, self.data_format)
        return from_channels_first(self._pool(x), self.data_format)

    def _pool(self, x: Tensor) -> Tensor:
        """(N, C, ...); a sequence is an image of one row, a volume is pooled in two steps."""
        if self.rank == 1:
            return self._op(x.unsqueeze(2), self._image(self._sides(x))).squeeze(2)
        if self.rank == 2:
            return self._op(x, self._image(self._sides(x)))
        front, back, *sides = self._sides(x)
        window, step = self.pool_size, self.strides
        within = self._attributes(window[1:], step[1:], tuple(sides))
        along = self._attributes((window[0], 1), (step[0], 1), (front, back, 0, 0))
        return in_two_steps(
            self.name, x, lambda t: self._op(t, within), lambda t: self._op(t, along), False
        )

    def _sides(self, x: Tensor) -> tuple[int, ...]:
        if self.padding == "valid":
            return (0, 0) * self.rank
        return same_padding(tuple(x.shape[2:]), self.pool_size, self.strides, (1,) * self.rank)

    def _image(self, sides: tuple[int, ...]) -> Any:
        """The op's attributes for images (N, C, H, W)."""
        if not any(sides) and self._valid is not None:
            return self._valid
        window, step = (1, *self.pool_size)[-2:], (1, *self.strides)[-2:]
        made = self._attributes(window, step, (0, 0, *sides)[-4:])
        if not any(sides):
            self._valid = made
        return made

    def _attributes(self, window: Any, step: Any, sides: Any) -> Any:
        raise NotImplementedError

    def _op(self, x: Tensor, attributes: Any) -> Tensor:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        sizes = window_sizes(
            self,
            spatial_sizes(input_shape, self.data_format),
            self.pool_size,
            self.strides,
            self.padding,
            (1,) * self.rank,
        )
        channels = channels_of(input_shape, self.data_format)
        return with_channels(input_shape, sizes, channels, self.data_format)


class MaxPooling2D(_Pooling):
    """The largest element of each window.

    Args:
        pool_size: the window: one number or (rows, columns).
        strides: default: ``pool_size``.
        padding: ``"valid"`` or ``"same"`` (what is padded never wins).
        data_format: ``"channels_last"`` (N, H, W, C) or ``"channels_first"``.

    >>> import fovea
    >>> MaxPooling2D()(fovea.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    tensor([[ 5.,  7.],
            [13., 15.]])
    """

    __init__ = with_defaults(_Pooling.__init__, pool_size=(2, 2))

    def _attributes(self, window: Any, step: Any, sides: Any) -> Any:
        return PoolAttrs.of(window, step, sides, (1, 1), False)

    def _op(self, x: Tensor, attributes: Any) -> Tensor:
        return max_pool2d.bind((x,), attributes)


class MaxPooling1D(MaxPooling2D):
    """The largest element of each window of a sequence (N, L, C); arguments as of
    ``MaxPooling2D``.
    """

    rank = 1
    __init__ = with_defaults(_Pooling.__init__, pool_size=2)


class MaxPooling3D(MaxPooling2D):
    """The largest element of each window of a volume (N, D, H, W, C); arguments as of
    ``MaxPooling2D``, with three numbers.

    >>> import fovea
    >>> MaxPooling3D()(fovea.arange(8.0).reshape(1, 2, 2, 2, 1)).item()
    7.0
    """

    rank = 3
    __init__ = with_defaults(_Pooling.__init__, pool_size=(2, 2, 2))


class AveragePooling2D(_Pooling):
    """The mean of each window; padding is not counted. Arguments as of ``MaxPooling2D``.

    >>> import fovea
    >>> AveragePooling2D(2)(fovea.arange(4.0).reshape(1, 2, 2, 1)).item()
    1.5
    """

    def _attributes(self, window: Any, step: Any, sides: Any) -> Any:
        return AvgPoolAttrs.of(window, step, sides, False, False, None)

    def _op(self, x: Tensor, attributes: Any) -> Tensor:
        return avg_pool2d.bind((x,), attributes)


class AveragePooling1D(AveragePooling2D):
    """The mean of each window of a sequence (N, L, C); arguments as of ``MaxPooling2D``.

    >>> import fovea
    >>> AveragePooling1D(2)(fovea.arange(4.0).reshape(1, 4, 1)).flatten()
    tensor([0.5000, 2.5000])
    """

    rank = 1


class AveragePooling3D(AveragePooling2D):
    """The mean of each window of a volume (N, D, H, W, C); arguments as of ``MaxPooling2D``, with
    three numbers.
    """

    rank = 3


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
