"""Pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.keras import config
from fovea.keras.layers.arguments import choice, several
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
from fovea.ops.pool import AvgPoolAttrs, PoolAttrs, avg_pool2d, max_pool2d

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "AveragePooling2D",
    "AvgPool2D",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPooling1D",
    "MaxPooling2D",
]

_NO_PADDING = (0, 0, 0, 0)


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

    def _attributes(self, padding: tuple[int, int, int, int]) -> Any:
        raise NotImplementedError

    def _windows(self, x: Tensor) -> Any:
        """The op's attributes for images (N, C, H, W)."""
        if self.padding == "valid":
            if self._valid is None:
                self._valid = self._attributes(_NO_PADDING)
            return self._valid
        size = (x.shape[2], x.shape[3])
        return self._attributes(same_padding(size, self._window, self._step, (1, 1)))

    @property
    def _window(self) -> tuple[int, int]:
        return (1, *self.pool_size)[-2:]  # type: ignore[return-value]

    @property
    def _step(self) -> tuple[int, int]:
        return (1, *self.strides)[-2:]  # type: ignore[return-value]

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

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)

    def _attributes(self, padding: tuple[int, int, int, int]) -> Any:
        return PoolAttrs.of(self._window, self._step, padding, (1, 1), False)

    def call(self, inputs: Tensor) -> Tensor:
        x = to_channels_first(inputs, self.data_format)
        return from_channels_first(max_pool2d.bind((x,), self._windows(x)), self.data_format)


class MaxPooling1D(MaxPooling2D):
    """The largest element of each window of a sequence (N, L, C); arguments as of
    ``MaxPooling2D``.
    """

    rank = 1

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)

    def call(self, inputs: Tensor) -> Tensor:
        x = to_channels_first(inputs, self.data_format).unsqueeze(2)
        y = max_pool2d.bind((x,), self._windows(x)).squeeze(2)
        return from_channels_first(y, self.data_format)


class AveragePooling2D(_Pooling):
    """The mean of each window; padding is not counted. Arguments as of ``MaxPooling2D``.

    >>> import fovea
    >>> AveragePooling2D(2)(fovea.arange(4.0).reshape(1, 2, 2, 1)).item()
    1.5
    """

    def _attributes(self, padding: tuple[int, int, int, int]) -> Any:
        return AvgPoolAttrs.of(self._window, self._step, padding, False, False, None)

    def call(self, inputs: Tensor) -> Tensor:
        x = to_channels_first(inputs, self.data_format)
        return from_channels_first(avg_pool2d.bind((x,), self._windows(x)), self.data_format)


class _GlobalPooling(Layer):
    """One number a channel.

    Args:
        data_format: ``"channels_last"`` (N, H, W, C) or ``"channels_first"``.
        keepdims: leave dimensions of size 1.
    """

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.keepdims = bool(keepdims)
        self.input_spec = InputSpec(ndim=4)
        self._dims = (2, 3) if self.data_format == "channels_first" else (1, 2)
        self.built = True

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        channels = channels_of(input_shape, self.data_format)
        if self.keepdims:
            return with_channels(input_shape, (1, 1), channels, self.data_format)
        return (input_shape[0], channels)


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel."""

    def call(self, inputs: Tensor) -> Tensor:
        return inputs.mean(self._dims, keepdim=self.keepdims)


class GlobalMaxPooling2D(_GlobalPooling):
    """The largest element of each channel."""

    def call(self, inputs: Tensor) -> Tensor:
        return inputs.amax(self._dims, keepdim=self.keepdims)


MaxPool2D, MaxPool1D, AvgPool2D = MaxPooling2D, MaxPooling1D, AveragePooling2D
GlobalAvgPool2D, GlobalMaxPool2D = GlobalAveragePooling2D, GlobalMaxPooling2D
