"""Losses that classify embeddings by angles, with a margin to the right class."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING

import fovea.nn.functional as F
from fovea import nn, watching
from fovea.functions.creation import empty
from fovea.functions.pointwise import where
from fovea.ops.loss import check_labels
from fovea.vision.losses.pairs import check_embeddings

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["ArcFaceLoss", "CosFaceLoss"]


class _MarginLoss(nn.Module):
    """Cosines to a learned vector for each class; the right one's is made worse by a margin."""

    def __init__(self, num_classes: int, embedding_size: int, margin: float, scale: float) -> None:
        super().__init__()
        self.num_classes, self.margin, self.scale = num_classes, margin, scale
        self.W = nn.Parameter(empty(embedding_size, num_classes))
        nn.init.normal_(self.W)

    def get_logits(self, embeddings: Tensor) -> Tensor:
        """The scaled cosines (N, classes), without a margin: what to rank classes by."""
        return F.normalize(embeddings) @ F.normalize(self.W, dim=0) * self.scale

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        check_embeddings(type(self).__name__, embeddings, labels)
        cosines = F.normalize(embeddings) @ F.normalize(self.W, dim=0)
        classes = self.num_classes
        watching.look(
            labels, lambda a: check_labels(type(self).__name__, a, classes), essential=False
        )
        right = F.one_hot(labels, self.num_classes).bool()
        logits = where(right, self._worse(cosines), cosines)
        return F.cross_entropy(logits * self.scale, labels)

    @abstractmethod
    def _worse(self, cosines: Tensor) -> Tensor:
        """What stands for the right class's cosines."""


class ArcFaceLoss(_MarginLoss):
    """loss = cross entropy of scale cos(angle + margin), with a margin for the right class alone

    Angles are those to the columns of W. Where angle + margin would exceed 180
    degrees, cos(angle) - margin sin(margin) goes on falling.

    Args:
        num_classes: how many classes, of which W holds a vector each.
        embedding_size: D.
        margin: in degrees.
        scale: of the cosines.

    Shapes:
        embeddings (N, D), labels (N,).

    Parameters:
        W: (embedding_size, num_classes); give them to the optimizer, too.

    Raises:
        ShapeError: other shapes.
        LabelError: a label that is no class.

    Source: Deng et al., "ArcFace: additive angular margin loss for deep face recognition", CVPR
    2019.

    >>> import fovea
    >>> loss = ArcFaceLoss(num_classes=3, embedding_size=8)
    >>> loss(fovea.randn(4, 8), fovea.tensor([0, 1, 2, 0])).shape
    fovea.Size([])
    >>> loss.get_logits(fovea.randn(1, 8)).shape
    fovea.Size([1, 3])
    """

    def __init__(
        self, num_classes: int, embedding_size: int, margin: float = 28.6, scale: float = 64
    ) -> None:
        super().__init__(num_classes, embedding_size, margin, scale)

    def _worse(self, cosines: Tensor) -> Tensor:
        margin = math.radians(self.margin)
        cosines = cosines.clamp(-1.0, 1.0)
        sines = (1.0 - cosines * cosines).clamp(min=1e-12).sqrt()
        turned = cosines * math.cos(margin) - sines * math.sin(margin)
        return where(cosines >= -math.cos(margin), turned, cosines - margin * math.sin(margin))


class CosFaceLoss(_MarginLoss):
    """loss = cross entropy of scale (cos(angle) - margin), with a margin for the right class alone

    Args:
        num_classes: how many classes, of which W holds a vector each.
        embedding_size: D.
        margin: what the right class's cosine is less.
        scale: of the cosines.

    Shapes:
        embeddings (N, D), labels (N,).

    Parameters:
        W: (embedding_size, num_classes); give them to the optimizer, too.

    Raises:
        ShapeError: other shapes.
        LabelError: a label that is no class.

    Source: Wang et al., "CosFace: large margin cosine loss for deep face recognition", CVPR
    2018.

    >>> import fovea
    >>> CosFaceLoss(num_classes=3, embedding_size=8)(fovea.randn(2, 8), fovea.tensor([0, 1])).shape
    fovea.Size([])
    """

    def __init__(
        self, num_classes: int, embedding_size: int, margin: float = 0.35, scale: float = 64
    ) -> None:
        super().__init__(num_classes, embedding_size, margin, scale)

    def _worse(self, cosines: Tensor) -> Tensor:
        return cosines - self.margin
