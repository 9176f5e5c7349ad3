"""Pooling of whole images: to one number a channel, or to a given number of bins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.keras import config
from fovea.keras.layers.arguments import several
from fovea.keras.layers.images import (
    channels_of,
    from_channels_first,
    to_channels_first,
    with_channels,
)
from fovea.keras.layers.layer import Layer
from fovea.keras.layers.spec import InputSpec
from fovea.nn import functional as F

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
]


class _GlobalPooling(Layer):
    """One number a channel.

    Args:
        data_format: ``"channels_last"`` (N, H, W, C) or ``"channels_first"``.
        keepdims: leave dimensions of size 1.
    """

    rank = 2

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.keepdims = bool(keepdims)
        self.input_spec = InputSpec(ndim=self.rank + 2)
        first = 2 if self.data_format == "channels_first" else 1
        self._dims = tuple(range(first, first + self.rank))
        self.built = True

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        channels = channels_of(input_shape, self.data_format)
        if self.keepdims:
            return with_channels(input_shape, (1,) * self.rank, channels, self.data_format)
        return (input_shape[0], channels)


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel of images (N, H, W, C)."""

    def call(self, inputs: Tensor) -> Tensor:
        return inputs.mean(self._dims, keepdim=self.keepdims)


class GlobalAveragePooling1D(GlobalAveragePooling2D):
    """The mean of each channel of sequences (N, L, C), over the steps that a mask keeps.

    >>> import fovea
    >>> GlobalAveragePooling1D()(fovea.arange(4.0).reshape(1, 2, 2))
    tensor([[1., 2.]])
    """

    rank = 1
    keeps_masks = True

    def call(self, inputs: Tensor, mask: Any = None) -> Tensor:
        if mask is None:
            return super().call(inputs)
        kept = mask.bool().unsqueeze(1 if self.data_format == "channels_first" else 2)
        total = inputs.where(kept, 0.0).sum(self._dims, keepdim=self.keepdims)
        return total / kept.to(inputs.dtype).sum(self._dims, keepdim=self.keepdims)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return None


class GlobalAveragePooling3D(GlobalAveragePooling2D):
    """The mean of each channel of volumes (N, D, H, W, C)."""

    rank = 3


class GlobalMaxPooling2D(_GlobalPooling):
    """The largest element of each channel of images (N, H, W, C)."""

    def call(self, inputs: Tensor) -> Tensor:
        return inputs.amax(self._dims, keepdim=self.keepdims)


class GlobalMaxPooling1D(GlobalMaxPooling2D):
    """The largest element of each channel of sequences (N, L, C)."""

    rank = 1


class GlobalMaxPooling3D(GlobalMaxPooling2D):
    """The largest element of each channel of volumes (N, D, H, W, C)."""

    rank = 3


class _AdaptivePooling(Layer):
    """Images in so many bins, whose sizes differ by one at most.

    Args:
        output_size: how many: one number, or one a dimension.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    rank = 2
    functions: tuple[Any, Any, Any]

    def __init__(self, output_size: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_size = several(type(self).__name__, "output_size", output_size, self.rank)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        x = to_channels_first(inputs, self.data_format)
        y = self.functions[self.rank - 1](x, self.output_size)
        return from_channels_first(y, self.data_format)

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        channels = channels_of(input_shape, self.data_format)
        return with_channels(input_shape, self.output_size, channels, self.data_format)


class AdaptiveAveragePooling2D(_AdaptivePooling):
    """The means of so many bins of images (N, H, W, C),
    whose sizes differ by one at most.

    Args:
        output_size: how many: one number, or one a dimension.
        data_format: ``"channels_last"`` or ``"channels_first"``.

    >>> import fovea
    >>> AdaptiveAveragePooling2D(2)(fovea.ones(1, 7, 5, 3)).shape
    fovea.Size([1, 2, 2, 3])
    """

    functions = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)


class AdaptiveAveragePooling1D(AdaptiveAveragePooling2D):
    """The means of so many bins of sequences (N, L, C)."""

    rank = 1


class AdaptiveAveragePooling3D(AdaptiveAveragePooling2D):
    """The means of so many bins of volumes (N, D, H, W, C)."""

    rank = 3


class AdaptiveMaxPooling2D(_AdaptivePooling):
    """The largest elements of so many bins of images (N, H, W, C)."""

    functions = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)


class AdaptiveMaxPooling1D(AdaptiveMaxPooling2D):
    """The largest elements of so many bins of sequences (N, L, C)."""

    rank = 1


class AdaptiveMaxPooling3D(AdaptiveMaxPooling2D):
    """The largest elements of so many bins of volumes (N, D, H, W, C)."""

    rank = 3


GlobalAvgPool1D, GlobalMaxPool1D = GlobalAveragePooling1D, GlobalMaxPooling1D
GlobalAvgPool2D, GlobalMaxPool2D = GlobalAveragePooling2D, GlobalMaxPooling2D
GlobalAvgPool3D, GlobalMaxPool3D = GlobalAveragePooling3D, GlobalMaxPooling3D
