"""Normalization."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, ShapeError
from fovea.keras import constraints, initializers, regularizers, standins
from fovea.keras.keras_tensor import need_size
from fovea.keras.layers.activation import _SameShape
from fovea.keras.layers.images import from_channels_first, to_channels_first
from fovea.keras.layers.spec import InputSpec
from fovea.nn import functional as F
from fovea.ops.norm import (
    LayerNormAttrs,
    NormAttrs,
    RunningAttrs,
    batch_norm_infer,
    batch_norm_train,
    batch_norm_update,
    layer_norm,
)

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "UnitNormalization",
]


class _Affine(_SameShape):
    """Scale (gamma) and shift (beta) of a normalization."""

    casts_weights = False  # half types are normalized in float32, and rounded at the end

    def _configure(
        self,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        beta_constraint: Any,
        gamma_constraint: Any,
    ) -> None:
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)

    def _add_affine(self, shape: tuple[int, ...]) -> None:
        if self.scale:
            self.gamma = self.add_weight(
                name="gamma",
                shape=shape,
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.beta = self.add_weight(
                name="beta",
                shape=shape,
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )


class BatchNormalization(_Affine):
    """Normalize each channel over the batch, and in inference by moving averages.

    ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``. In training mean and (biased)
    variance are the batch's, and ``moving = momentum * moving + (1 - momentum) * batch``. A layer
    with ``trainable = False`` always works in inference mode.

    Args:
        axis: the channels' dimension.
        momentum: how much of the moving averages is kept.
        epsilon: keeps the divisor from 0.
        center, scale: whether there are beta and gamma.
        beta_..., gamma_..., moving_..._initializer: of the weights.
        renorm, renorm_clipping, renorm_momentum, synchronized: must be at their defaults.

    Weights: gamma, beta; moving_mean, moving_variance (not trainable); all (C,).

    Source: Ioffe and Szegedy, "Batch normalization", ICML 2015.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: Any = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if renorm or synchronized:
            raise ArgumentError("BatchNormalization: renorm and synchronized are not available.")
        if not isinstance(axis, int):
            raise ArgumentError(f"BatchNormalization: axis must be an integer, got {axis!r}.")
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.renorm, self.renorm_clipping = renorm, renorm_clipping
        self.renorm_momentum, self.synchronized = renorm_momentum, synchronized
        self._configure(
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
        )
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)

    def build(self, input_shape: Any) -> None:
        channels = need_size(input_shape, self.axis, self)
        self._add_affine((channels,))
        self.moving_mean = self.add_weight(
            name="moving_mean",
            shape=(channels,),
            initializer=self.moving_mean_initializer,
            trainable=False,
        )
        self.moving_variance = self.add_weight(
            name="moving_variance",
            shape=(channels,),
            initializer=self.moving_variance_initializer,
            trainable=False,
        )
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: channels})
        self.built = True

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Tensor:
        rank = len(inputs.shape)
        axis = self.axis % rank
        training = bool(training) and self._trainable
        if mask is not None and training:
            return self._normalize_masked(inputs, axis, mask)
        channels_last = rank == 4 and axis == 3  # images: in the layout of the ops
        x = to_channels_first(inputs, "channels_last") if channels_last else inputs
        y = self._normalize(x, 1 if channels_last else axis, training)
        return from_channels_first(y, "channels_last") if channels_last else y

    def _normalize(self, x: Tensor, axis: int, training: bool) -> Tensor:
        weights, state = self._parameters, self._buffers
        gamma, beta = weights.get("gamma"), weights.get("beta")
        mean, variance = state["moving_mean"], state["moving_variance"]
        attrs = _norm_attrs(float(self.epsilon), axis)
        if not training:
            return batch_norm_infer.bind((x, mean, variance, gamma, beta), attrs)
        y, batch_mean, _, batch_variance = batch_norm_train.bind((x, gamma, beta), attrs)
        moving = (mean, variance, batch_mean, batch_variance)
        self._move(moving)
        return y

    def _move(self, moving: tuple[Tensor, ...]) -> None:
        """Move the moving averages, the first two, towards the batch's moments."""
        scope = standins.current()
        if scope is not None:
            scope.writes(moving[0])
            scope.writes(moving[1])
        batch_norm_update.bind(moving, _running_attrs(1.0 - self.momentum))

    def _normalize_masked(self, inputs: Tensor, axis: int, mask: Tensor) -> Tensor:
        """In training, by the moments of what the mask keeps."""
        if len(mask.shape) != len(inputs.shape) - 1:
            raise ShapeError(
                f"{self.name}: a mask has the input's shape without the last dimension.",
                {"mask": str(tuple(mask.shape)), "input": str(tuple(inputs.shape))},
            )
        weights, state = self._parameters, self._buffers
        x = inputs.to(self._variable_dtype)
        kept = mask.bool().unsqueeze(-1).expand(x.shape).to(x.dtype)
        dims = tuple(d for d in range(len(x.shape)) if d != axis)
        count = kept.sum(dims, keepdim=True) + 1e-7
        mean = (x * kept).sum(dims, keepdim=True) / count
        centered = x - mean
        variance = (centered.square() * kept).sum(dims, keepdim=True) / count
        batch = (mean.detach().flatten(), variance.detach().flatten())
        moving = (state["moving_mean"], state["moving_variance"], *batch)
        self._move(moving)
        y = centered * (variance + self.epsilon).rsqrt()
        gamma, beta = weights.get("gamma"), weights.get("beta")
        y = y if gamma is None else y * gamma.reshape(mean.shape)
        y = y if beta is None else y + beta.reshape(mean.shape)
        return y.to(inputs.dtype)


@lru_cache(256)
def _norm_attrs(epsilon: float, axis: int) -> NormAttrs:
    return NormAttrs.of(epsilon, axis)


@lru_cache(256)
def _running_attrs(rate: float) -> RunningAttrs:
    return RunningAttrs.of(rate, 1.0)  # Keras keeps the biased variance


class LayerNormalization(_Affine):
    """Normalize each sample along ``axis``.

    Args:
        axis: the dimension, or several, that are normalized together.
        epsilon: keeps the divisor from 0.
        center, scale: whether there are beta and gamma.
        beta_..., gamma_...: of the weights.

    Weights: gamma, beta, of the sizes along ``axis``.

    Source: Ba, Kiros and Hinton, "Layer normalization", 2016.
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.pop("rms_scaling", False):
            raise ArgumentError("LayerNormalization: rms_scaling is not available.")
        super().__init__(**kwargs)
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.epsilon = epsilon
        self._configure(
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
        )

    def _axes(self, rank: int) -> tuple[int, ...]:
        axes = [self.axis] if isinstance(self.axis, int) else self.axis
        return tuple(sorted(a % rank for a in axes))

    def build(self, input_shape: Any) -> None:
        axes = self._axes(len(input_shape))
        self._add_affine(tuple(need_size(input_shape, a, self) for a in axes))
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        rank = len(inputs.shape)
        axes = self._axes(rank)
        weights = self._parameters
        gamma, beta = weights.get("gamma"), weights.get("beta")
        attrs = LayerNormAttrs.of(len(axes), float(self.epsilon))
        if axes == tuple(range(rank - len(axes), rank)):
            return layer_norm.bind((inputs, gamma, beta), attrs)[0]
        order = (*(d for d in range(rank) if d not in axes), *axes)
        back = [order.index(d) for d in range(rank)]
        y = layer_norm.bind((inputs.permute(*order).contiguous(), gamma, beta), attrs)[0]
        return y.permute(*back)


class GroupNormalization(_Affine):
    """Normalize groups of channels of each sample.

    Args:
        groups: how many; -1 for one a channel.
        axis: the channels' dimension.
        epsilon: keeps the divisor from 0.
        center, scale: whether there are beta and gamma.
        beta_..., gamma_...: of the weights.

    Weights: gamma, beta (C,).

    Source: Wu and He, "Group normalization", ECCV 2018.
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.groups, self.axis, self.epsilon = groups, axis, epsilon
        self._configure(
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
        )

    def build(self, input_shape: Any) -> None:
        channels = need_size(input_shape, self.axis, self)
        if self.groups == -1:
            self.groups = channels
        if self.groups < 1 or channels % self.groups:
            raise ShapeError(
                f"{self.name}: groups={self.groups} does not divide the {channels} channels."
            )
        self._add_affine((channels,))
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: channels})
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        axis = self.axis % len(inputs.shape)
        x = inputs if axis == 1 else inputs.movedim(axis, 1)
        weights = self._parameters
        gamma, beta = weights.get("gamma"), weights.get("beta")
        y = F.group_norm(x, self.groups, gamma, beta, float(self.epsilon))
        return y if axis == 1 else y.movedim(1, axis)


class RMSNormalization(_SameShape):
    """``x / sqrt(mean(x ** 2) + epsilon) * scale``

    Args:
        axis: the dimensions that the mean is over: one or several.
        epsilon: added to the mean square.

    Weights: scale, of the sizes along ``axis``.

    Source: Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019.

    >>> import fovea
    >>> RMSNormalization()(fovea.tensor([[3.0, -3.0]])).detach()
    tensor([[ 1.0000, -1.0000]])
    """

    keeps_masks = False
    casts_weights = False

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis if isinstance(axis, int) else sorted(axis)
        self.epsilon = epsilon

    def _dims(self, rank: int) -> tuple[int, ...]:
        axes = (self.axis,) if isinstance(self.axis, int) else tuple(self.axis)
        return _dims_of(self, axes, rank)

    def build(self, input_shape: Any) -> None:
        sizes = tuple(need_size(input_shape, d, self) for d in self._dims(len(input_shape)))
        self.scale = self.add_weight(name="scale", shape=sizes, initializer="ones")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        rank, dims = len(x.shape), self._dims(len(x.shape))
        scale: Any = self._parameters["scale"]
        if dims == tuple(range(rank - len(dims), rank)):
            return F.rms_norm(x, scale.shape, scale, self.epsilon)
        wide = x.to(self._variable_dtype)
        y = wide * (wide.square().mean(dims, keepdim=True) + self.epsilon).rsqrt()
        sizes = [n if d in dims else 1 for d, n in enumerate(x.shape)]
        return (y * scale.reshape(sizes)).to(x.dtype)


class UnitNormalization(_SameShape):
    """The input divided by its length along ``axis``.

    Args:
        axis: the dimension, or several.

    >>> import fovea
    >>> UnitNormalization()(fovea.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(axis, int | list | tuple):
            raise ArgumentError(f"UnitNormalization: axis must be one or more integers: {axis!r}.")
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        axes = (self.axis,) if isinstance(self.axis, int) else tuple(self.axis)
        dims = _dims_of(self, axes, len(inputs.shape))
        return inputs * inputs.square().sum(dims, keepdim=True).rsqrt().clamp(max=1e12)


def _dims_of(layer: Any, axes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Axes counted from the front, in order.

    Raises:
        ShapeError: one that the input does not have.
    """
    if any(not -rank <= a < rank for a in axes):
        raise ShapeError(f"{layer.name}: axis={layer.axis} of an input with {rank} dimensions.")
    return tuple(sorted(a % rank for a in axes))
