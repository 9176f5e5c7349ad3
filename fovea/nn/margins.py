"""Losses of several labels, of counts, of given variances, and of unaligned sequences."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from fovea.errors import ArgumentError
from fovea.nn import functional as F
from fovea.nn.loss import NLLLoss, _Loss, _WeightedLoss
from fovea.tensor import Tensor

__all__ = [
    "CTCLoss",
    "GaussianNLLLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss2d",
    "PoissonNLLLoss",
    "TripletMarginWithDistanceLoss",
]


class MultiMarginLoss(_WeightedLoss):
    """loss = mean over i != t of max(0, margin - x[t] + x[i])^p

    Args:
        p: 1 or 2.
        margin: by how much the label's score must be higher.
        weight: (C,), a factor for each class.
        size_average: an old form of ``reduction``.
        reduce: an old form of ``reduction``.
        reduction: mean, sum or none.

    Shapes:
        scores (N, C) or (C,); labels int64 (N,) or ().

    Raises:
        LabelError: a label outside [0, C).

    >>> import fovea
    >>> MultiMarginLoss()(fovea.tensor([[0.1, 0.2, 0.4, 0.8]]), fovea.tensor([3]))
    tensor(0.3250)
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ArgumentError(f"MultiMarginLoss: p must be 1 or 2, got {p}.")
        if weight is not None and weight.ndim != 1:
            raise ArgumentError("MultiMarginLoss: weight must hold one number for each class.")
        self.p, self.margin = p, margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multi_margin_loss(
            input, target, self.p, self.margin, self.weight, reduction=self.reduction
        )


class MultiLabelMarginLoss(_Loss):
    """loss = sum over labels t and other classes i of max(0, 1 - x[t] + x[i]) / C

    Args:
        size_average: an old form of ``reduction``.
        reduce: an old form of ``reduction``.
        reduction: mean, sum or none.

    Shapes:
        scores (N, C) or (C,); int64 labels of the same shape, a row's end at its first -1.

    >>> import fovea
    >>> x, t = fovea.tensor([[0.1, 0.2, 0.4, 0.8]]), fovea.tensor([[3, 0, -1, 1]])
    >>> MultiLabelMarginLoss()(x, t)
    tensor(0.8500)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """loss = -mean over classes of t log sigmoid(x) + (1 - t) log sigmoid(-x)

    Args:
        weight: (C,), a factor for each class.
        size_average: an old form of ``reduction``.
        reduce: an old form of ``reduction``.
        reduction: mean, sum or none.

    Shapes:
        two of (N, C); nothing broadcasts.

    >>> import fovea
    >>> MultiLabelSoftMarginLoss()(fovea.zeros(1, 3), fovea.ones(1, 3))
    tensor(0.6931)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class PoissonNLLLoss(_Loss):
    """loss = exp(x) - t x, for counts t of a Poisson distribution

    Args:
        log_input: whether x is the rate's logarithm; otherwise loss = x - t log(x + eps).
        full: add Stirling's term for counts above 1.
        size_average: an old form of ``reduction``.
        eps: added to rates.
        reduce: an old form of ``reduction``.
        reduction: mean, sum or none.

    Shapes:
        two of one shape.

    >>> import fovea
    >>> PoissonNLLLoss()(fovea.zeros(1), fovea.ones(1))
    tensor(1.)
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        return F.poisson_nll_loss(
            log_input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
        )


class GaussianNLLLoss(_Loss):
    """loss = (log v + (x - t)^2 / v) / 2, v being a variance that is given

    Args:
        full: add the constant log(2 pi) / 2.
        eps: the least variance.
        reduction: mean, sum or none.

    Shapes:
        input and target of one shape; variances of that shape, or one for each row, or a number.

    >>> import fovea
    >>> GaussianNLLLoss()(fovea.zeros(2), fovea.ones(2), fovea.ones(2))
    tensor(0.5000)
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(None, None, reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        return F.gaussian_nll_loss(
            input, target, var, full=self.full, eps=self.eps, reduction=self.reduction
        )


class TripletMarginWithDistanceLoss(_Loss):
    """loss = max(0, d(anchor, positive) - d(anchor, negative) + margin), for any distance d

    Args:
        distance_function: d; ``PairwiseDistance()`` unless given.
        margin: by how much the negative must be farther.
        swap: use the distance between positive and negative if it is smaller.
        reduction: mean, sum or none.

    Shapes:
        three of (N, ...), as the distance takes them.

    >>> import fovea
    >>> x = fovea.zeros(1, 2)
    >>> TripletMarginWithDistanceLoss(margin=2.0)(x, x, x)
    tensor(2.)
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(None, None, reduction)
        if margin <= 0:
            raise ArgumentError(
                f"TripletMarginWithDistanceLoss: margin must be positive, got {margin}."
            )
        self.distance_function = distance_function or F.pairwise_distance
        self.margin, self.swap = margin, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class CTCLoss(_Loss):
    """loss = -log of the probability of all ways to read the labels off a sequence

    Args:
        blank: the class that means nothing.
        reduction: mean (of losses divided by the number of labels), sum or none.
        zero_infinity: sequences too short for their labels cost 0, not infinity.

    Shapes:
        log-probabilities (T, N, C) or (T, C); labels (N, S), or those of all sequences one after
        another; lengths of inputs and of labels (N,).

    Source: A. Graves et al., "Connectionist Temporal Classification", 2006.

    >>> import fovea
    >>> CTCLoss()(fovea.full((3, 1, 2), 0.5).log(), fovea.tensor([[1]]), [3], [1])
    tensor(0.2877)
    """

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(None, None, reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any
    ) -> Tensor:
        return F.ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            self.reduction,
            self.zero_infinity,
        )


class NLLLoss2d(NLLLoss):
    """An old name of ``NLLLoss``.

    Args:
        weight: (C,), a factor for each class.
        size_average: an old form of ``reduction``.
        ignore_index: labels that do not count.
        reduce: an old form of ``reduction``.
        reduction: mean, sum or none.

    Shapes:
        as of ``NLLLoss``.

    >>> import warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     NLLLoss2d()
    NLLLoss2d()
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        warnings.warn("NLLLoss2d is an old name of NLLLoss.", FutureWarning, stacklevel=2)
        super().__init__(weight, size_average, ignore_index, reduce, reduction)
