"""Stochastic depth: residual branches that are left out at random in training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fovea import nn
from fovea.errors import ArgumentError
from fovea.functions.random import bernoulli_

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["StochasticDepth", "stochastic_depth"]

MODES = ("batch", "row")


def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True) -> Tensor:
    """Zero whole samples with probability ``p`` and divide the others by ``1 - p``; only in
    training.

    Args:
        input: (N, ...).
        p: the probability of a zero.
        mode: ``"row"`` draws for each sample, ``"batch"`` once for all of them.
        training: without it, the input comes back as it is.

    Raises:
        ArgumentError: ``p`` outside [0, 1], or another mode.

    Source: G. Huang et al., "Deep Networks with Stochastic Depth", 2016.

    >>> import fovea
    >>> stochastic_depth(fovea.ones(2, 1), 0.5, "row", training=False)
    tensor([[1.],
            [1.]])
    """
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"stochastic_depth: the probability must lie in [0, 1], got {p}.")
    if mode not in MODES:
        raise ArgumentError(f"stochastic_depth: mode must be 'batch' or 'row', got {mode!r}.")
    if not training or p == 0.0:
        return input
    rows = input.shape[0] if mode == "row" else 1
    noise = bernoulli_(input.new_empty((rows, *(1,) * (input.ndim - 1))), 1.0 - p)
    return input * (noise / (1.0 - p) if p < 1.0 else noise)


class StochasticDepth(nn.Module):
    """In training: zeros whole samples with probability p and divides the others by 1 - p.

    Args:
        p: the probability of a zero.
        mode: ``"row"`` draws for each sample, ``"batch"`` once for all of them.

    Shapes:
        (N, ...) to the same.

    Source: G. Huang et al., "Deep Networks with Stochastic Depth", 2016.

    >>> import fovea
    >>> StochasticDepth(1.0, "row")(fovea.ones(1, 2))
    tensor([[0., 0.]])
    """

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p, self.mode = p, mode

    def forward(self, input: Tensor) -> Tensor:
        return stochastic_depth(input, self.p, self.mode, self.training)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p}, mode={self.mode})"
