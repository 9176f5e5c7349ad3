"""Dropout layers: random zeros in training, the identity in evaluation."""

from __future__ import annotations

from fovea.errors import ArgumentError
from fovea.nn import functional as F
from fovea.nn.module import Module
from fovea.tensor import Tensor

__all__ = [
    "AlphaDropout",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
]


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ArgumentError(
                f"{type(self).__name__}: the probability must lie in [0, 1], got {p}."
            )
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training: zeros each element with probability p and divides the others by 1 - p.

    Args:
        p: the probability of a zero.
        inplace: write the result into the input's memory.

    Shapes:
        any to the same.

    Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    JMLR 2014.

    >>> import fovea
    >>> Dropout(0.3).eval()(fovea.ones(2))
    tensor([1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """``Dropout`` of whole channels of sequences.

    Args:
        p: the probability of a zero.
        inplace: write the result into the input's memory.

    Shapes:
        (N, C, L) or (C, L) to the same.

    >>> import fovea
    >>> Dropout1d().eval()(fovea.ones(1, 1, 2))
    tensor([[[1., 1.]]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """``Dropout`` of whole channels of images.

    Args:
        p: the probability of a zero.
        inplace: write the result into the input's memory.

    Shapes:
        (N, C, H, W) to the same.

    Source: Tompson et al., "Efficient object localization using convolutional networks", 2014.

    >>> import fovea
    >>> Dropout2d().eval()(fovea.ones(1, 1, 1, 2))
    tensor([[[[1., 1.]]]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """``Dropout`` of whole channels of volumes.

    Args:
        p: the probability of a zero.
        inplace: write the result into the input's memory.

    Shapes:
        (N, C, D, H, W) or (C, D, H, W) to the same.

    >>> import fovea
    >>> Dropout3d().eval()(fovea.ones(1, 1, 1, 1, 2)).shape
    fovea.Size([1, 1, 1, 1, 2])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout for networks with SELU: keeps mean and variance.

    Args:
        p: the probability that an element is dropped.
        inplace: write the result into the input's memory.

    Shapes:
        any to the same.

    Source: Klambauer et al., "Self-normalizing neural networks", 2017.

    >>> import fovea
    >>> AlphaDropout().eval()(fovea.ones(2))
    tensor([1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_Dropout):
    """``AlphaDropout`` of whole channels.

    Args:
        p: the probability that a channel is dropped.
        inplace: write the result into the input's memory.

    Shapes:
        (N, C, ...) to the same.

    >>> import fovea
    >>> FeatureAlphaDropout().eval()(fovea.ones(1, 2))
    tensor([[1., 1.]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)
