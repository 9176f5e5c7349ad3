"""The running statistics of batch normalization, taken anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fovea.autograd import no_grad
from fovea.nn.batch_norm import _BatchNorm
from fovea.nn.module import Module

__all__ = ["refresh_statistics"]


def refresh_statistics(
    model: Module, batches: Iterable[Any], forward: Callable[[Any], Any] | None = None
) -> None:
    """Give batch normalization the mean and variance over batches, with the weights as they are.

    The rest of the model is in evaluation mode, as it will be where the statistics are used. Layers
    whose parameters are all frozen keep theirs.

    Args:
        model: in evaluation mode afterwards.
        batches: the data; not gone through if there is nothing to do.
        forward: runs the model on a batch; unless given, batches are ``(inputs, targets)``.

    >>> import fovea
    >>> from fovea import nn
    >>> model = nn.BatchNorm1d(1)
    >>> refresh_statistics(model, [(fovea.tensor([[1.0], [3.0]]), None)])
    >>> float(model.running_mean), float(model.running_var)
    (2.0, 2.0)
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    layers = [m for m in layers if not m.affine or any(p.requires_grad for p in m.parameters())]
    if not layers:
        return
    before = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over all batches
        layer.train()
    try:
        with no_grad():
            for batch in batches:
                if forward is None:
                    model(batch[0])
                else:
                    forward(batch)
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum
        model.eval()
