"""Losses of pairs of embeddings: those of one class near each other, others far apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fovea.nn.functional as F
from fovea import nn
from fovea.errors import ShapeError, describe
from fovea.functions.pointwise import where
from fovea.functions.ranges import eye

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ContrastiveLoss", "NTXentLoss", "SupConLoss", "check_embeddings"]


def check_embeddings(name: str, embeddings: Tensor, labels: Tensor) -> None:
    """Raise an error unless there are vectors (N, D) and labels (N,)."""
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ShapeError(
            f"{name}: embeddings (N, D) and labels (N,) are needed, got {describe(embeddings)} and "
            f"{describe(labels)}."
        )


class _PairLoss(nn.Module):
    """What the three share: unit vectors, and which pairs are of one class."""

    def _pairs(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Unit vectors, and masks (N, N) of pairs of one class and of two."""
        check_embeddings(type(self).__name__, embeddings, labels)
        same = labels.unsqueeze(1) == labels.unsqueeze(0)
        itself = eye(len(labels), dtype=embeddings.dtype).bool()
        return F.normalize(embeddings), same & ~itself, ~same


class ContrastiveLoss(_PairLoss):
    """loss = [d - pos_margin]_+ of a pair of one class, [neg_margin - d]_+ of a pair of two

    d is the distance of unit vectors. The mean of those of one class that are not zero, plus the
    mean of the others that are not.

    Args:
        pos_margin: pairs of one class need not be nearer.
        neg_margin: others need not be farther.

    Shapes:
        embeddings (N, D), labels (N,).

    Raises:
        ShapeError: other shapes.

    Source: Hadsell et al., "Dimensionality reduction by learning an invariant mapping", CVPR 2006.

    >>> import fovea
    >>> x = fovea.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    >>> ContrastiveLoss()(x, fovea.tensor([0, 0, 1]))
    tensor(1.4142)
    """

    def __init__(self, pos_margin: float = 0.0, neg_margin: float = 1.0) -> None:
        super().__init__()
        self.pos_margin, self.neg_margin = pos_margin, neg_margin

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        x, same, other = self._pairs(embeddings, labels)
        square = ((x.unsqueeze(1) - x.unsqueeze(0)) ** 2).sum(-1)
        apart = square > 0  # a root has no gradient at zero
        distance = where(apart, where(apart, square, 1.0).sqrt(), 0.0)
        near = _mean_above_zero(F.relu(distance - self.pos_margin), same)
        return near + _mean_above_zero(F.relu(self.neg_margin - distance), other)


class NTXentLoss(_PairLoss):
    """loss = -log(exp(s_ij / t) / (exp(s_ij / t) + sum_k exp(s_ik / t))), i and j of one class

    The mean over such pairs. s are cosines, k runs over what is of another class than i. With
    the labels ``[0..n, 0..n]`` of two views of n images it is SimCLR's loss.

    Args:
        temperature: t.

    Shapes:
        embeddings (N, D), labels (N,).

    Raises:
        ShapeError: other shapes.

    Source: Chen et al., "A simple framework for contrastive learning of visual representations",
    ICML 2020.

    >>> import fovea
    >>> x = fovea.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> NTXentLoss(temperature=1.0)(x, fovea.tensor([0, 0, 1]))  # log(1 + exp(-1))
    tensor(0.3133)
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        x, same, other = self._pairs(embeddings, labels)
        logits = x @ x.T / self.temperature
        others = where(other, logits, -1e9).logsumexp(1, keepdim=True)
        losses = where(same, F.softplus(others - logits), 0.0)
        return losses.sum() / same.to(losses.dtype).sum().clamp(min=1)


class SupConLoss(_PairLoss):
    """loss = -mean_j log(exp(s_ij / t) / sum_k exp(s_ik / t)), j of i's class, k all but i

    s are cosines. The mean over those i that have another one of their class and a loss.

    Args:
        temperature: t.

    Shapes:
        embeddings (N, D), labels (N,).

    Raises:
        ShapeError: other shapes.

    Source: Khosla et al., "Supervised contrastive learning", NeurIPS 2020, equation 2.

    >>> import fovea
    >>> x = fovea.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> SupConLoss(temperature=1.0)(x, fovea.tensor([0, 0, 1]))  # log(1 + exp(-1))
    tensor(0.3133)
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        x, same, other = self._pairs(embeddings, labels)
        logits = x @ x.T / self.temperature
        all_others = where(same | other, logits, -1e9).logsumexp(1, keepdim=True)
        pairs = same.to(logits.dtype)
        losses = ((all_others - logits) * pairs).sum(1) / pairs.sum(1).clamp(min=1)
        several = (same.any() & other.any()).to(losses.dtype)  # one class alone has nothing to tell
        return _mean_above_zero(losses, losses > 0) * several


def _mean_above_zero(losses: Tensor, chosen: Tensor) -> Tensor:
    """The mean of those chosen that are above zero; zero of none."""
    counted = (chosen & (losses > 0)).to(losses.dtype)
    return (losses * counted).sum() / counted.sum().clamp(min=1)
