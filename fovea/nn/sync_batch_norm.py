"""Batch normalization across processes, of which there is one here."""

from __future__ import annotations

from typing import Any

from fovea.errors import ShapeError, describe
from fovea.nn.batch_norm import _BatchNorm
from fovea.nn.module import Module
from fovea.tensor import Tensor

__all__ = ["SyncBatchNorm"]


class SyncBatchNorm(_BatchNorm):
    """Normalizes each channel of a batch, whatever its dimensions; see ``BatchNorm2d``.

    y = (x - mean) / sqrt(var + eps) * weight + bias

    PyTorch's takes the statistics over the batches of all processes; here there is one process.

    Args:
        num_features: channels.
        eps: added to the variance.
        momentum: the share of a batch in the running statistics; None averages over all batches.
        affine: whether weight and bias are learned.
        track_running_stats: whether there are running statistics.
        process_group: kept, and not used.
        device: ``None`` or the CPU.
        dtype: of parameters and statistics.
        bias: whether the bias is learned, if ``affine``.

    Shapes:
        (N, C, ...) to the same.

    Parameters:
        weight (C) and bias (C); buffers as of ``BatchNorm2d``.

    >>> import fovea
    >>> model = fovea.nn.Sequential(fovea.nn.Conv2d(3, 4, 1), fovea.nn.BatchNorm2d(4))
    >>> type(SyncBatchNorm.convert_sync_batchnorm(model)[1]).__name__
    'SyncBatchNorm'
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    def _check_rank(self, input: Tensor) -> None:
        if input.ndim < 2 or not input.shape[1]:
            raise ShapeError(
                f"SyncBatchNorm: expected input (N, C, ...), C at least 1, got {describe(input)}."
            )

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The module with all batch normalization layers within replaced by this class.

        Args:
            module: changed in place, unless it is itself such a layer.
            process_group: for the new layers.
        """
        made = module
        if isinstance(module, _BatchNorm):
            made = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
                bias=module.bias is not None,
            ).train(module.training)
            made._parameters.update(module._parameters)
            made._buffers.update(module._buffers)
        for name, child in module.named_children():
            made.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return made
