"""Normalizations that learn from their first input how many features it has."""

from __future__ import annotations

from typing import Any, ClassVar

from fovea.functions.creation import tensor
from fovea.nn.batch_norm import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    _RunningNorm,
)
from fovea.nn.lazy import UninitializedBuffer, UninitializedParameter, _Lazy

__all__ = [
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
]


class _LazyNorm(_Lazy, _RunningNorm):
    """What lazy normalizations share."""

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, False, False, device, dtype)  # type: ignore[call-arg]
        self.affine, self.track_running_stats = affine, track_running_stats
        factory = {"device": device, "dtype": dtype}
        if affine:
            self.weight = UninitializedParameter(**factory)
            if bias:
                self.bias = UninitializedParameter(**factory)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(**factory)
            self.running_var = UninitializedBuffer(**factory)
            self.num_batches_tracked = tensor(0)

    def _learn(self: Any, input: Any) -> None:
        self._check_rank(input)
        lone = self.ranks[0] == self.ranks[-1] - 1 and input.ndim == self.ranks[0]
        self.num_features = input.shape[0 if lone and self._may_be_lone else 1]

    _may_be_lone: ClassVar[bool] = False

    def _shapes(self: Any) -> dict[str, tuple[int, ...]]:
        names = ("weight", "bias", "running_mean", "running_var")
        return dict.fromkeys(names, (self.num_features,))


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """A ``BatchNorm1d`` that learns ``num_features`` from its first input.

    Args:
        eps: added to the variance.
        momentum: the share of a batch in the running statistics.
        affine: whether weight and bias are learned.
        track_running_stats: whether there are running statistics.
        device: ``None`` or the CPU.
        dtype: of parameters and statistics.
        bias: whether the bias is learned, if ``affine``.

    Shapes:
        as of ``BatchNorm1d``.

    >>> import fovea
    >>> LazyBatchNorm1d()(fovea.randn(2, 3, 4)).shape
    fovea.Size([2, 3, 4])
    """

    becomes = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """A ``BatchNorm2d`` that learns ``num_features`` from its first input.

    Args:
        eps: added to the variance.
        momentum: the share of a batch in the running statistics.
        affine: whether weight and bias are learned.
        track_running_stats: whether there are running statistics.
        device: ``None`` or the CPU.
        dtype: of parameters and statistics.
        bias: whether the bias is learned, if ``affine``.

    Shapes:
        as of ``BatchNorm2d``.

    >>> import fovea
    >>> LazyBatchNorm2d()(fovea.randn(2, 3, 4, 4)).shape
    fovea.Size([2, 3, 4, 4])
    """

    becomes = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """A ``BatchNorm3d`` that learns ``num_features`` from its first input.

    Args:
        eps: added to the variance.
        momentum: the share of a batch in the running statistics.
        affine: whether weight and bias are learned.
        track_running_stats: whether there are running statistics.
        device: ``None`` or the CPU.
        dtype: of parameters and statistics.
        bias: whether the bias is learned, if ``affine``.

    Shapes:
        as of ``BatchNorm3d``.

    >>> import fovea
    >>> LazyBatchNorm3d()(fovea.randn(2, 3, 4, 4, 4)).shape
    fovea.Size([2, 3, 4, 4, 4])
    """

    becomes = BatchNorm3d


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):
    """An ``InstanceNorm1d`` that learns ``num_features`` from its first input.

    Args:
        eps: added to the variance.
        momentum: the share of a batch in the running statistics.
        affine: whether weight and bias are learned.
        track_running_stats: whether there are running statistics.
        device: ``None`` or the CPU.
        dtype: of parameters and statistics.
        bias: whether the bias is learned, if ``affine``.

    Shapes:
        as of ``InstanceNorm1d``.

    >>> import fovea
    >>> LazyInstanceNorm1d()(fovea.randn(2, 3, 4)).shape
    fovea.Size([2, 3, 4])
    """

    becomes = InstanceNorm1d
    _may_be_lone = True


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):
    """An ``InstanceNorm2d`` that learns ``num_features`` from its first input.

    Args:
        eps: added to the variance.
        momentum: the share of a batch in the running statistics.
        affine: whether weight and bias are learned.
        track_running_stats: whether there are running statistics.
        device: ``None`` or the CPU.
        dtype: of parameters and statistics.
        bias: whether the bias is learned, if ``affine``.

    Shapes:
        as of ``InstanceNorm2d``.

    >>> import fovea
    >>> LazyInstanceNorm2d()(fovea.randn(2, 3, 4, 4)).shape
    fovea.Size([2, 3, 4, 4])
    """

    becomes = InstanceNorm2d
    _may_be_lone = True


class LazyInstanceNorm3d(_LazyNorm, InstanceNorm3d):
    """An ``InstanceNorm3d`` that learns ``num_features`` from its first input.

    Args:
        eps: added to the variance.
        momentum: the share of a batch in the running statistics.
        affine: whether weight and bias are learned.
        track_running_stats: whether there are running statistics.
        device: ``None`` or the CPU.
        dtype: of parameters and statistics.
        bias: whether the bias is learned, if ``affine``.

    Shapes:
        as of ``InstanceNorm3d``.

    >>> import fovea
    >>> LazyInstanceNorm3d()(fovea.randn(2, 3, 4, 4, 4)).shape
    fovea.Size([2, 3, 4, 4, 4])
    """

    becomes = InstanceNorm3d
    _may_be_lone = True
