"""Which class is taken for which."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.metrics.inputs import binary_labels, choice, class_labels, divided
from fovea.metrics.metric import Metric
from fovea.metrics.tasks import for_task

__all__ = [
    "BinaryConfusionMatrix",
    "ConfusionMatrix",
    "MulticlassConfusionMatrix",
    "MultilabelConfusionMatrix",
]

Array = np.ndarray[Any, Any]


class Matrix(Metric):
    """Counts by (true, predicted): what :class:`BinaryConfusionMatrix` and its like share."""

    is_differentiable = False
    full_state_update = False
    confmat: Array

    def __init__(
        self,
        shape: tuple[int, ...],
        ignore_index: int | None,
        normalize: str | None,
        validate_args: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        choice(type(self).__name__, "normalize", normalize, ("true", "pred", "all", "none", None))
        self.ignore_index, self.normalize = ignore_index, normalize
        self.validate_args = validate_args
        self.add_state("confmat", np.zeros(shape, np.int64), "sum")

    def compute(self) -> Any:
        """(C, C) or (L, 2, 2): int64, or float32 if normalized."""
        if self.normalize in (None, "none"):
            return self.confmat.copy()
        axis: Any = {"true": -1, "pred": -2, "all": (-2, -1)}[str(self.normalize)]
        return divided(self.confmat, self.confmat.sum(axis, keepdims=True))


def paired(first: Array, second: Array, size: int) -> Array:
    """How often each pair of classes comes together, (size, size)."""
    flat = first.astype(np.int64) * size + second
    return np.bincount(flat, minlength=size * size).reshape(size, size)


class BinaryConfusionMatrix(Matrix):
    """Counts of (true, predicted) of a binary task.

    Args:
        threshold: scores above are positive.
        ignore_index: a target that does not count.
        normalize: divide by how often a class is ``"true"`` or predicted (``"pred"``), or by
            ``"all"``.
        validate_args: look whether labels are 0 and 1.

    >>> BinaryConfusionMatrix()([0.9, 0.2, 0.8], [1, 1, 0])
    tensor([[0, 1],
            [1, 1]])
    """

    def __init__(
        self,
        threshold: float = 0.5,
        ignore_index: int | None = None,
        normalize: str | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__((2, 2), ignore_index, normalize, validate_args, **kwargs)
        self.threshold = threshold

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch: (N, ...) each."""
        chosen, truth, kept = binary_labels(
            type(self).__name__,
            preds,
            target,
            self.threshold,
            self.ignore_index,
            self.validate_args,
        )
        self.confmat = self.confmat + paired(truth[kept], chosen[kept], 2)


class MulticlassConfusionMatrix(Matrix):
    """Counts of (true class, predicted class).

    Args:
        num_classes: how many classes.
        ignore_index: a target that does not count.
        normalize: divide by how often a class is ``"true"`` or predicted (``"pred"``), or by
            ``"all"``.
        validate_args: kept for torchmetrics' sake; classes are always looked at.

    >>> MulticlassConfusionMatrix(3)([0, 1, 2, 2], [0, 1, 1, 2])
    tensor([[1, 0, 0],
            [0, 1, 1],
            [0, 0, 1]])
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int | None = None,
        normalize: str | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            (num_classes, num_classes), ignore_index, normalize, validate_args, **kwargs
        )
        self.num_classes = num_classes

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch: preds (N, C, ...) or (N, ...), target (N, ...)."""
        chosen, truth, kept = class_labels(
            type(self).__name__, preds, target, self.num_classes, self.ignore_index
        )
        self.confmat = self.confmat + paired(truth[kept], chosen[kept], self.num_classes)


class MultilabelConfusionMatrix(Matrix):
    """For each label, counts of (true, predicted): (L, 2, 2).

    Args:
        num_labels: how many labels.
        threshold: scores above mean that a label applies.
        ignore_index: a target that does not count.
        normalize: divide by how often a label is ``"true"`` or predicted (``"pred"``), or by
            ``"all"``.
        validate_args: look whether labels are 0 and 1.

    >>> MultilabelConfusionMatrix(2)([[1, 0], [1, 1]], [[1, 0], [0, 1]])
    tensor([[[0, 1],
             [0, 1]],
    <BLANKLINE>
            [[1, 0],
             [0, 1]]])
    """

    def __init__(
        self,
        num_labels: int,
        threshold: float = 0.5,
        ignore_index: int | None = None,
        normalize: str | None = None,
        validate_args: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__((num_labels, 2, 2), ignore_index, normalize, validate_args, **kwargs)
        self.num_labels, self.threshold = num_labels, threshold

    def update(self, preds: Any, target: Any) -> None:
        """Add a batch: (N, L, ...) each."""
        chosen, truth, kept = binary_labels(
            type(self).__name__,
            preds,
            target,
            self.threshold,
            self.ignore_index,
            self.validate_args,
            self.num_labels,
        )
        label = np.arange(self.num_labels).reshape(-1, *[1] * (chosen.ndim - 2))
        cell = (4 * label + 2 * truth + chosen)[kept]
        counts = np.bincount(cell, minlength=4 * self.num_labels)
        self.confmat = self.confmat + counts.reshape(-1, 2, 2)


ConfusionMatrix = for_task(
    "ConfusionMatrix",
    "Counts of (true, predicted).",
    {
        "binary": BinaryConfusionMatrix,
        "multiclass": MulticlassConfusionMatrix,
        "multilabel": MultilabelConfusionMatrix,
    },
    "threshold num_classes num_labels normalize ignore_index validate_args",
)
