"""Batch and instance normalization layers: each channel by itself, with running statistics."""

from __future__ import annotations

from typing import Any, ClassVar

from fovea import dtypes
from fovea.autograd import no_grad
from fovea.errors import ShapeError, describe
from fovea.functions.creation import empty, ones, tensor, zeros, zeros_like
from fovea.nn import functional as F
from fovea.nn import init
from fovea.nn.module import Module
from fovea.nn.parameter import Parameter
from fovea.tensor import Tensor

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
]


class _RunningNorm(Module):
    """What batch and instance normalization share: weights and running statistics."""

    _version = 2
    ranks: ClassVar[tuple[int, ...]]

    num_features: int
    eps: float
    momentum: float | None
    affine: bool
    track_running_stats: bool
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def _set_up(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        bias: bool,
        factory: dict[str, Any],
    ) -> None:
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        for name, learned in (("weight", affine), ("bias", affine and bias)):
            value = Parameter(empty((num_features,), **factory)) if learned else None
            self.register_parameter(name, value)
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **factory) if tracked else None)
        self.register_buffer("running_var", ones(num_features, **factory) if tracked else None)
        count = tensor(0, dtype=dtypes.int64) if tracked else None
        self.register_buffer("num_batches_tracked", count)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Start the running statistics anew: mean 0, variance 1."""
        if self.track_running_stats:
            self.running_mean.zero_()  # type: ignore[union-attr]
            self.running_var.fill_(1)  # type: ignore[union-attr]
            self.num_batches_tracked.zero_()  # type: ignore[union-attr]

    def reset_parameters(self) -> None:
        """Weights 1, biases 0, and new running statistics."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_rank(self, input: Tensor) -> None:
        if len(input.shape) not in self.ranks:
            wanted = " or ".join(f"{r}D" for r in self.ranks)
            raise ShapeError(
                f"{type(self).__name__}: expected {wanted} input, got {describe(input)}."
            )

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        key = prefix + "num_batches_tracked"
        version = local_metadata.get("version")
        if (version is None or version < 2) and self.track_running_stats and key not in state_dict:
            state_dict[key] = self.num_batches_tracked  # older states do not hold it
        super()._load_from_state_dict(
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_RunningNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        self._set_up(num_features, eps, momentum, affine, track_running_stats, bias, factory)

    def forward(self, input: Tensor) -> Tensor:
        self._check_rank(input)
        mean, var = self.running_mean, self.running_var
        if not self.training:
            if mean is not None:
                return F.batch_norm(input, mean, var, self.weight, self.bias, False, 0.0, self.eps)
            return F.batch_norm(input, None, None, self.weight, self.bias, True, 0.0, self.eps)
        momentum = 0.0 if self.momentum is None else self.momentum
        if not self.track_running_stats:
            mean = var = None
        elif self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None and mean is not None and var is not None:
                return self._averaging(input, mean, var, 1.0 / self.num_batches_tracked)
        return F.batch_norm(input, mean, var, self.weight, self.bias, True, momentum, self.eps)

    def _averaging(self, input: Tensor, mean: Tensor, var: Tensor, share: Tensor) -> Tensor:
        """In training, the running statistics as means over all batches, of which this is a share.

        That is a tensor, so that captured programs compute it anew.
        """
        batch = zeros_like(mean), zeros_like(var)
        y = F.batch_norm(input, *batch, self.weight, self.bias, True, 1.0, self.eps)
        with no_grad():
            share = share.to(mean.dtype)
            for running, now in zip((mean, var), batch, strict=True):
                running.copy_(running * (1 - share) + now * share)
        return y


class BatchNorm2d(_BatchNorm):
    """Normalizes each channel of a batch of images.

    y = (x - mean) / sqrt(var + eps) * weight + bias

    In training, mean and (biased) variance are those of the batch, over N, H and W, and the running
    ones follow them: running = (1 - momentum) running + momentum batch, the variance unbiased. In
    evaluation the running ones are used.

    Args:
        num_features: channels.
        eps: added to the variance.
        momentum: the share of a batch in the running statistics; None averages over all batches.
        affine: whether weight and bias are learned.
        track_running_stats: whether there are running statistics; without them evaluation, too,
            uses the batch's.
        device: ``None`` or the CPU.
        dtype: of parameters and statistics.
        bias: whether the bias is learned, if ``affine``.

    Shapes:
        (N, C, H, W) to the same, the parameters' dtype, or half precision with float32 parameters.

    Parameters:
        weight (C) of ones, bias (C) of zeros; buffers running_mean (C) of zeros, running_var (C) of
        ones and num_batches_tracked.

    Raises:
        ShapeError: another number of channels or dimensions, or one value a channel in training.

    Source: Ioffe and Szegedy, "Batch normalization", 2015.

    >>> import fovea
    >>> BatchNorm2d(3)(fovea.randn(4, 3, 5, 5)).shape
    fovea.Size([4, 3, 5, 5])
    """

    ranks = (4,)


class BatchNorm1d(_BatchNorm):
    """Normalizes each feature of a batch, or each channel of sequences; see ``BatchNorm2d``.

    y = (x - mean) / sqrt(var + eps) * weight + bias

    Args:
        num_features: features or channels.
        eps: added to the variance.
        momentum: the share of a batch in the running statistics; None averages over all batches.
        affine: whether weight and bias are learned.
        track_running_stats: whether there are running statistics.
        device: ``None`` or the CPU.
        dtype: of parameters and statistics.
        bias: whether the bias is learned, if ``affine``.

    Shapes:
        (N, C) or (N, C, L) to the same.

    Parameters:
        weight (C) and bias (C); buffers as of ``BatchNorm2d``.

    >>> import fovea
    >>> BatchNorm1d(3)(fovea.randn(4, 3)).shape
    fovea.Size([4, 3])
    """

    ranks = (2, 3)


class BatchNorm3d(_BatchNorm):
    """Normalizes each channel of a batch of volumes; see ``BatchNorm2d``.

    y = (x - mean) / sqrt(var + eps) * weight + bias

    Args:
        num_features: channels.
        eps: added to the variance.
        momentum: the share of a batch in the running statistics; None averages over all batches.
        affine: whether weight and bias are learned.
        track_running_stats: whether there are running statistics.
        device: ``None`` or the CPU.
        dtype: of parameters and statistics.
        bias: whether the bias is learned, if ``affine``.

    Shapes:
        (N, C, D, H, W) to the same.

    Parameters:
        weight (C) and bias (C); buffers as of ``BatchNorm2d``.

    >>> import fovea
    >>> BatchNorm3d(3)(fovea.randn(2, 3, 2, 2, 2)).shape
    fovea.Size([2, 3, 2, 2, 2])
    """

    ranks = (5,)


class _InstanceNorm(_RunningNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        self._set_up(num_features, eps, momentum, affine, track_running_stats, bias, factory)

    def forward(self, input: Tensor) -> Tensor:
        self._check_rank(input)
        lone = len(input.shape) == min(self.ranks)
        x = input.unsqueeze(0) if lone else input
        if x.shape[1] != self.num_features:
            raise ShapeError(
                f"{type(self).__name__}: input has {x.shape[1]} channels, "
                f"num_features is {self.num_features}.",
                {"input": describe(input)},
            )
        y = F.instance_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return y.squeeze(0) if lone else y


class InstanceNorm2d(_InstanceNorm):
    """Normalizes each channel of each image.

    y = (x - mean) / sqrt(var + eps) * weight + bias, mean and variance over H and W

    Args:
        num_features: channels.
        eps: added to the variance.
        momentum: the share of a batch in the running statistics.
        affine: whether weight and bias are learned.
        track_running_stats: whether evaluation uses running statistics.
        device: ``None`` or the CPU.
        dtype: of parameters and statistics.
        bias: whether the bias is learned, if ``affine``.

    Shapes:
        (N, C, H, W) or (C, H, W) to the same.

    Parameters:
        none, or with ``affine`` weight (C) of ones and bias (C) of zeros.

    Source: Ulyanov, Vedaldi and Lempitsky, "Instance normalization", 2016.

    >>> import fovea
    >>> InstanceNorm2d(3)(fovea.randn(2, 3, 4, 4)).shape
    fovea.Size([2, 3, 4, 4])
    """

    ranks = (3, 4)


class InstanceNorm1d(_InstanceNorm):
    """Normalizes each channel of each sequence; see ``InstanceNorm2d``.

    y = (x - mean) / sqrt(var + eps) * weight + bias, mean and variance over L

    Args:
        num_features: channels.
        eps: added to the variance.
        momentum: the share of a batch in the running statistics.
        affine: whether weight and bias are learned.
        track_running_stats: whether evaluation uses running statistics.
        device: ``None`` or the CPU.
        dtype: of parameters and statistics.
        bias: whether the bias is learned, if ``affine``.

    Shapes:
        (N, C, L) or (C, L) to the same.

    >>> import fovea
    >>> InstanceNorm1d(3)(fovea.randn(2, 3, 4)).shape
    fovea.Size([2, 3, 4])
    """

    ranks = (2, 3)


class InstanceNorm3d(_InstanceNorm):
    """Normalizes each channel of each volume; see ``InstanceNorm2d``.

    y = (x - mean) / sqrt(var + eps) * weight + bias, mean and variance over D, H and W

    Args:
        num_features: channels.
        eps: added to the variance.
        momentum: the share of a batch in the running statistics.
        affine: whether weight and bias are learned.
        track_running_stats: whether evaluation uses running statistics.
        device: ``None`` or the CPU.
        dtype: of parameters and statistics.
        bias: whether the bias is learned, if ``affine``.

    Shapes:
        (N, C, D, H, W) or (C, D, H, W) to the same.

    >>> import fovea
    >>> InstanceNorm3d(3)(fovea.randn(2, 3, 2, 2, 2)).shape
    fovea.Size([2, 3, 2, 2, 2])
    """

    ranks = (4, 5)
