"""Losses of how far masks overlap: Dice, Jaccard, Tversky."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import fovea.nn.functional as F
from fovea import nn
from fovea.vision.losses.masks import as_planes, check_mode, mean_of_classes

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["DiceLoss", "JaccardLoss", "TverskyLoss"]


class _OverlapLoss(nn.Module):
    """What the three share: (tp + smooth) / (tp + alpha fp + beta fn + smooth) a class."""

    alpha = beta = 0.5
    gamma = 1.0

    def __init__(
        self,
        mode: str,
        classes: Sequence[int] | None,
        log_loss: bool,
        from_logits: bool,
        smooth: float,
        ignore_index: int | None,
        eps: float,
        class_weights: Sequence[float] | None,
    ) -> None:
        super().__init__()
        check_mode(type(self).__name__, mode, class_weights if classes is None else classes)
        self.mode, self.classes, self.log_loss = mode, classes, log_loss
        self.from_logits, self.smooth, self.ignore_index = from_logits, smooth, ignore_index
        self.eps, self.class_weights = eps, class_weights

    def forward(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        if self.from_logits:
            y_pred = y_pred.softmax(1) if self.mode == "multiclass" else F.sigmoid(y_pred)
        name = type(self).__name__
        p, t, kept = as_planes(name, self.mode, y_pred, y_true, self.ignore_index)
        if kept is not None:
            p = p * kept.to(p.dtype)
        p_sum, t_sum, apart = p.sum((0, 2)), t.sum((0, 2)), (p - t).abs().sum((0, 2))
        common = (p_sum + t_sum - apart) / 2
        wrong = self.alpha * (p_sum - common) + self.beta * (t_sum - common)
        score = (common + self.smooth) / (common + wrong + self.smooth).clamp(min=self.eps)
        loss = -score.clamp(min=self.eps).log() if self.log_loss else 1.0 - score
        loss = loss * (t_sum > 0).to(loss.dtype)  # classes that are not there cost nothing
        mean = mean_of_classes(loss, self.class_weights, self.classes)
        return mean if self.gamma == 1.0 else mean**self.gamma


class DiceLoss(_OverlapLoss):
    """loss = 1 - 2 |P * T| / (|P| + |T|), a class, over all pixels of the batch; their mean

    Args:
        mode: ``"binary"``, ``"multiclass"`` (one class a pixel) or ``"multilabel"``.
        classes: those that count; None for all.
        log_loss: -log(score) instead of 1 - score.
        from_logits: the scores are logits; otherwise probabilities.
        smooth: added above and below the fraction.
        ignore_index: pixels of this label do not count.
        eps: the denominator's least value.
        class_weights: of the classes' losses; not for binary masks.

    Classes that no pixel of the batch belongs to cost nothing.

    Shapes:
        scores (N, C, H, W); class numbers (N, H, W), or zeros and ones of the scores' shape.

    Raises:
        ArgumentError: another mode.
        ShapeError: scores and labels that do not fit each other.

    Source: Milletari et al., "V-Net", 3DV 2016.

    >>> import fovea
    >>> DiceLoss("binary", from_logits=False)(fovea.tensor([[0.5, 0.5]]), fovea.tensor([[1, 0]]))
    tensor(0.5000)
    """

    def __init__(
        self,
        mode: str,
        classes: Sequence[int] | None = None,
        log_loss: bool = False,
        from_logits: bool = True,
        smooth: float = 0.0,
        ignore_index: int | None = None,
        eps: float = 1e-7,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(
            mode, classes, log_loss, from_logits, smooth, ignore_index, eps, class_weights
        )


class JaccardLoss(_OverlapLoss):
    """loss = 1 - |P * T| / |P + T - P * T|, a class, over all pixels of the batch; their mean

    Args:
        mode: ``"binary"``, ``"multiclass"`` (one class a pixel) or ``"multilabel"``.
        classes: those that count; None for all.
        log_loss: -log(score) instead of 1 - score.
        from_logits: the scores are logits; otherwise probabilities.
        smooth: added above and below the fraction.
        ignore_index: pixels of this label do not count.
        eps: the denominator's least value.
        class_weights: of the classes' losses; not for binary masks.

    Shapes:
        as of `DiceLoss`.

    Source: Wang et al., "Jaccard metric losses", NeurIPS 2023.

    >>> import fovea
    >>> JaccardLoss("binary", from_logits=False)(fovea.tensor([[0.5, 0.5]]), fovea.tensor([[1, 0]]))
    tensor(0.6667)
    """

    alpha = beta = 1.0

    def __init__(
        self,
        mode: str,
        classes: Sequence[int] | None = None,
        log_loss: bool = False,
        from_logits: bool = True,
        smooth: float = 0.0,
        ignore_index: int | None = None,
        eps: float = 1e-7,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(
            mode, classes, log_loss, from_logits, smooth, ignore_index, eps, class_weights
        )


class TverskyLoss(_OverlapLoss):
    """loss = mean(1 - tp / (tp + alpha fp + beta fn))^gamma

    Args:
        mode: ``"binary"``, ``"multiclass"`` (one class a pixel) or ``"multilabel"``.
        classes: those that count; None for all.
        log_loss: -log(score) instead of 1 - score.
        from_logits: the scores are logits; otherwise probabilities.
        smooth: added above and below the fraction.
        ignore_index: pixels of this label do not count.
        eps: the denominator's least value.
        alpha, beta: what false positives and false negatives weigh; 0.5 each is `DiceLoss`.
        gamma: a power of the mean.
        class_weights: of the classes' losses; not for binary masks.

    Shapes:
        as of `DiceLoss`.

    Source: Salehi et al., "Tversky loss function for image segmentation", MLMI 2017; Abraham and
    Khan, "A novel focal Tversky loss", ISBI 2019.

    >>> import fovea
    >>> loss = TverskyLoss("binary", from_logits=False, alpha=0.0, beta=1.0)
    >>> loss(fovea.tensor([[1.0, 1.0]]), fovea.tensor([[1, 0]]))  # false alarms cost nothing
    tensor(0.)
    """

    def __init__(
        self,
        mode: str,
        classes: Sequence[int] | None = None,
        log_loss: bool = False,
        from_logits: bool = True,
        smooth: float = 0.0,
        ignore_index: int | None = None,
        eps: float = 1e-7,
        alpha: float = 0.5,
        beta: float = 0.5,
        gamma: float = 1.0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(
            mode, classes, log_loss, from_logits, smooth, ignore_index, eps, class_weights
        )
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
