"""Losses as layers. ``reduction`` is ``"mean"``, ``"sum"`` or ``"none"``."""

from __future__ import annotations

from fovea.nn import functional as F
from fovea.nn.functional.arguments import legacy_reduction
from fovea.nn.module import Module
from fovea.tensor import Tensor

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "MarginRankingLoss",
    "NLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "TripletMarginLoss",
]


class _Loss(Module):
    reduction: str

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.reduction = legacy_reduction(size_average, reduce, reduction)


class _WeightedLoss(_Loss):
    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class CrossEntropyLoss(_WeightedLoss):
    """The cross entropy between logits and labels.

    loss = -log(exp(x[t]) / sum over c of exp(x[c]))

    Args:
        weight: (C,), a factor for each class.
        size_average: an old form of ``reduction``.
        ignore_index: labels that do not count.
        reduce: an old form of ``reduction``.
        reduction: a mean is over the labels that count, by weight.
        label_smoothing: how much of each label is spread over all classes.

    Shapes:
        logits (N, C), (N, C, d1, ...) or (C,); labels int64 (N,), (N, d1, ...) or (), or
        probabilities of the logits' shape. The logits need no softmax.

    Raises:
        LabelError: a label outside [0, C).

    >>> import fovea
    >>> CrossEntropyLoss()(fovea.tensor([[0.0, 0.0]]), fovea.tensor([1]))
    tensor(0.6931)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_WeightedLoss):
    """loss = -x[t], x being log-probabilities.

    Args:
        weight: (C,), a factor for each class.
        size_average: an old form of ``reduction``.
        ignore_index: labels that do not count.
        reduce: an old form of ``reduction``.
        reduction: a mean is over the labels that count, by weight.

    Shapes:
        as of ``CrossEntropyLoss``, labels only.

    Raises:
        LabelError: a label outside [0, C).

    >>> import fovea
    >>> NLLLoss()(fovea.tensor([[-1.0, -2.0]]), fovea.tensor([1]))
    tensor(2.)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class MSELoss(_Loss):
    """loss = (x - t)^2

    Args:
        size_average: an old form of ``reduction``.
        reduce: an old form of ``reduction``.
        reduction: mean, sum or none.

    Shapes:
        two of one shape; nothing broadcasts.

    >>> import fovea
    >>> MSELoss()(fovea.tensor([1.0, 3.0]), fovea.zeros(2))
    tensor(5.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """loss = |x - t|

    Args:
        size_average: an old form of ``reduction``.
        reduce: an old form of ``reduction``.
        reduction: mean, sum or none.

    Shapes:
        two of one shape; nothing broadcasts.

    >>> import fovea
    >>> L1Loss()(fovea.tensor([1.0, 3.0]), fovea.zeros(2))
    tensor(2.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """loss = d^2 / (2 beta) if d < beta else d - beta / 2, with d = |x - t|

    Args:
        size_average: an old form of ``reduction``.
        reduce: an old form of ``reduction``.
        reduction: mean, sum or none.
        beta: where the parabola ends.

    Shapes:
        two of one shape; nothing broadcasts.

    >>> import fovea
    >>> SmoothL1Loss()(fovea.tensor([3.0]), fovea.zeros(1))
    tensor(2.5000)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """loss = d^2 / 2 if d <= delta else delta (d - delta / 2), with d = |x - t|

    Args:
        reduction: mean, sum or none.
        delta: where the parabola ends.

    Shapes:
        two of one shape; nothing broadcasts.

    >>> import fovea
    >>> HuberLoss()(fovea.tensor([3.0]), fovea.zeros(1))
    tensor(2.5000)
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, self.reduction, self.delta)


class BCELoss(_WeightedLoss):
    """loss = -(t log x + (1 - t) log(1 - x)), x being probabilities.

    Args:
        weight: factors that broadcast.
        size_average: an old form of ``reduction``.
        reduce: an old form of ``reduction``.
        reduction: mean, sum or none.

    Shapes:
        two of one shape; nothing broadcasts.

    >>> import fovea
    >>> BCELoss()(fovea.tensor([0.5]), fovea.tensor([1.0]))
    tensor(0.6931)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """loss = -(pos_weight t log s(x) + (1 - t) log(1 - s(x))), s being the sigmoid.

    Args:
        weight: factors that broadcast.
        size_average: an old form of ``reduction``.
        reduce: an old form of ``reduction``.
        reduction: mean, sum or none.
        pos_weight: factors of the positive part, a class each.

    Shapes:
        two of one shape; nothing broadcasts.

    >>> import fovea
    >>> BCEWithLogitsLoss()(fovea.tensor([0.0]), fovea.tensor([1.0]))
    tensor(0.6931)
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input,
            target,
            self.weight,
            pos_weight=self.pos_weight,
            reduction=self.reduction,
        )


class KLDivLoss(_Loss):
    """loss = t (log t - x), x being log-probabilities.

    Args:
        size_average: an old form of ``reduction``.
        reduce: an old form of ``reduction``.
        reduction: also ``"batchmean"``, the sum divided by N: the divergence as it is defined.
        log_target: whether the target holds logarithms, too.

    Shapes:
        two of one shape; nothing broadcasts.

    >>> import fovea
    >>> KLDivLoss(reduction="sum")(fovea.tensor([0.5, 0.5]).log(), fovea.tensor([1.0, 0.0]))
    tensor(0.6931)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class CosineEmbeddingLoss(_Loss):
    """loss = 1 - cos(x1, x2) for a target of 1, max(0, cos(x1, x2) - margin) for one of -1.

    Args:
        margin: a cosine that is small enough.
        size_average: an old form of ``reduction``.
        reduce: an old form of ``reduction``.
        reduction: mean, sum or none.

    Shapes:
        two of (N, D) and (N,), or (D,) and ().

    >>> import fovea
    >>> x = fovea.tensor([[1.0, 0.0]])
    >>> CosineEmbeddingLoss()(x, x, fovea.tensor([-1]))
    tensor(1.)
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.cosine_embedding_loss(
            input1, input2, target, self.margin, reduction=self.reduction
        )


class MarginRankingLoss(_Loss):
    """loss = max(0, -t (x1 - x2) + margin)

    Args:
        margin: by how much the right one must win.
        size_average: an old form of ``reduction``.
        reduce: an old form of ``reduction``.
        reduction: mean, sum or none.

    Shapes:
        three of one shape; nothing broadcasts.

    >>> import fovea
    >>> MarginRankingLoss()(fovea.tensor([0.0]), fovea.tensor([2.0]), fovea.tensor([1.0]))
    tensor(2.)
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class HingeEmbeddingLoss(_Loss):
    """loss = x for a target of 1, max(0, margin - x) for one of -1.

    Args:
        margin: a distance that is large enough.
        size_average: an old form of ``reduction``.
        reduce: an old form of ``reduction``.
        reduction: mean, sum or none.

    Shapes:
        two of one shape; nothing broadcasts.

    >>> import fovea
    >>> HingeEmbeddingLoss()(fovea.tensor([0.25]), fovea.tensor([-1.0]))
    tensor(0.7500)
    """

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class SoftMarginLoss(_Loss):
    """loss = log(1 + exp(-t x)) for targets 1 and -1.

    Args:
        size_average: an old form of ``reduction``.
        reduce: an old form of ``reduction``.
        reduction: mean, sum or none.

    Shapes:
        two of one shape; nothing broadcasts.

    >>> import fovea
    >>> SoftMarginLoss()(fovea.tensor([0.0]), fovea.tensor([1.0]))
    tensor(0.6931)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class TripletMarginLoss(_Loss):
    """loss = max(0, d(anchor, positive) - d(anchor, negative) + margin)

    Args:
        margin: by how much the negative must be farther.
        p: which norm d is.
        eps: added to differences.
        swap: use the distance between positive and negative if it is smaller.
        size_average: an old form of ``reduction``.
        reduce: an old form of ``reduction``.
        reduction: mean, sum or none.

    Shapes:
        three of (N, D) or (D,).

    Source: Balntas et al., "Learning local feature descriptors with triplets and shallow
    convolutional neural networks", 2016.

    >>> import fovea
    >>> x = fovea.zeros(1, 2)
    >>> TripletMarginLoss()(x, x, x)
    tensor(1.)
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            self.margin,
            self.p,
            self.eps,
            self.swap,
            reduction=self.reduction,
        )
