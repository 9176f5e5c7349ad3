"""Residual branches: left out at random, and scaled by what is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fovea import nn
from fovea.functions.creation import full
from fovea.functions.random import bernoulli_
from fovea.vision.ops.stochastic_depth import stochastic_depth

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["DropPath", "LayerScale", "LayerScale2d", "drop_path"]


def drop_path(
    x: Tensor, drop_prob: float = 0.0, training: bool = False, scale_by_keep: bool = True
) -> Tensor:
    """Zero whole samples with probability ``drop_prob``; only in training.

    Args:
        x: (N, ...).
        drop_prob: the probability of a zero.
        training: without it, x comes back as it is.
        scale_by_keep: divide the others by ``1 - drop_prob``.

    Raises:
        ArgumentError: a probability outside [0, 1].

    Source: Huang et al., "Deep networks with stochastic depth", 2016.

    >>> import fovea
    >>> drop_path(fovea.ones(2, 1), 1.0, training=True).tolist()
    [[0.0], [0.0]]
    """
    if scale_by_keep or not training or drop_prob == 0.0:
        return stochastic_depth(x, drop_prob, "row", training)
    rows = x.new_empty((x.shape[0], *(1,) * (x.ndim - 1)))
    return x * bernoulli_(rows, 1.0 - drop_prob)


class DropPath(nn.Module):
    """In training: zeros whole samples with probability p; the others are divided by 1 - p.

    Args:
        drop_prob: p.
        scale_by_keep: whether they are divided.

    Shapes:
        (N, ...) to the same.

    Source: Huang et al., "Deep networks with stochastic depth", 2016.

    >>> import fovea
    >>> DropPath(0.5).eval()(fovea.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, drop_prob: float = 0.0, scale_by_keep: bool = True) -> None:
        super().__init__()
        self.drop_prob, self.scale_by_keep = drop_prob, scale_by_keep

    def forward(self, x: Tensor) -> Tensor:
        return drop_path(x, self.drop_prob, self.training, self.scale_by_keep)

    def extra_repr(self) -> str:
        return f"drop_prob={round(self.drop_prob, 3):0.3f}"


class LayerScale(nn.Module):
    """y = gamma * x, a factor for each feature

    Args:
        dim: how many features.
        init_values: what gamma starts with.
        inplace: changes x.

    Shapes:
        (..., dim) to the same.

    Parameters:
        gamma: (dim,).

    Source: Touvron et al., "Going deeper with image transformers", ICCV 2021.

    >>> import fovea
    >>> LayerScale(2, 0.5)(fovea.ones(1, 2)).tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, dim: int, init_values: float = 1e-5, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace
        self.gamma = nn.Parameter(full((dim,), init_values))

    def _scaled(self, x: Tensor, gamma: Tensor) -> Tensor:
        return x.mul_(gamma) if self.inplace else x * gamma

    def forward(self, x: Tensor) -> Tensor:
        return self._scaled(x, self.gamma)


class LayerScale2d(LayerScale):
    """y = gamma * x, a factor for each channel

    Args:
        dim: how many channels.
        init_values: what gamma starts with.
        inplace: changes x.

    Shapes:
        (N, dim, H, W) to the same.

    Parameters:
        gamma: (dim,).

    Source: Touvron et al., "Going deeper with image transformers", ICCV 2021.

    >>> import fovea
    >>> LayerScale2d(2, 0.5)(fovea.ones(1, 2, 3, 3)).shape
    fovea.Size([1, 2, 3, 3])
    """

    def forward(self, x: Tensor) -> Tensor:
        return self._scaled(x, self.gamma.view(1, -1, 1, 1))
