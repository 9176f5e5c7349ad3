"""Samples that count more than others."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import tensor
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["WeightedLoss", "balanced_class_weights", "with_weights"]


class WeightedLoss:
    """The weighted mean of a loss over samples, ``sum(w * loss) / sum(w)``.

    Args:
        loss: of ``fovea.nn``, which is asked for each sample's loss (``reduction="none"``); or a
            function that takes ``reduction="none"``, as those of ``nn.functional`` do.

    Raises:
        ShapeError: weights that are not one a sample.

    >>> import fovea
    >>> loss = WeightedLoss(fovea.nn.MSELoss())
    >>> targets = (fovea.tensor([0.0, 0.0]), fovea.tensor([3.0, 1.0]))
    >>> float(loss(fovea.tensor([1.0, 2.0]), targets))
    1.75
    """

    def __init__(self, loss: Callable[..., Any]) -> None:
        if hasattr(loss, "reduction"):
            # A module that is inside a model goes with it; this one is the loss's alone.
            self.each: Callable[..., Any] = copy.copy(loss)
            self.each.reduction = "none"
        else:
            self.each = functools.partial(loss, reduction="none")
        self.__name__ = getattr(loss, "__name__", type(loss).__name__)

    def __call__(self, outputs: Any, targets: tuple[Any, Any]) -> Any:
        target, weight = targets
        losses = self.each(outputs, target)
        if not is_tensor(weight) or weight.ndim != 1 or losses.shape[:1] != weight.shape:
            raise ShapeError(
                f"{self.__name__}: sample weights are one a sample.",
                {"losses": describe(losses), "weights": describe(weight)},
                "weights of shape (n,)",
            )
        each = losses.flatten(1).mean(1) if losses.ndim > 1 else losses
        return (each * weight).sum() / weight.sum()


def with_weights(batch: Any) -> Any:
    """A batch (inputs, ..., target, weight) with target and weight as one.

    Raises:
        ArgumentError: a batch with fewer than three parts.

    >>> with_weights((1, 2, 3))
    (1, (2, 3))
    """
    if not isinstance(batch, list | tuple) or len(batch) < 3:
        raise ArgumentError(
            "Trainer: a batch has no sample weights.",
            fix="give batches of (inputs, targets, weights), or leave out sample_weight=True",
        )
    return (*batch[:-2], (batch[-2], batch[-1]))


def balanced_class_weights(targets: Sequence[int] | Any, num_classes: int | None = None) -> Tensor:
    """Weights with which each class counts alike, for ``CrossEntropyLoss(weight=)``.

    ``samples / (classes * samples of the class)`` (King and Zeng 2001), over the classes that there
    are; 0 for those without samples.

    Args:
        targets: each sample's class, from 0.
        num_classes: how many classes there are; as many as are seen unless given.

    Raises:
        ArgumentError: targets that are no classes, or none.

    >>> balanced_class_weights([0, 0, 0, 1]).tolist()
    [0.6666666865348816, 2.0]
    """
    found = np.asarray(targets.detach().numpy() if is_tensor(targets) else targets).reshape(-1)
    if not found.size or found.dtype.kind not in "iu" or found.min() < 0:
        raise ArgumentError("balanced_class_weights: targets are whole numbers from 0.")
    if num_classes is not None and found.max() >= num_classes:
        raise ArgumentError(
            f"balanced_class_weights: class {found.max()} of {num_classes} classes."
        )
    return tensor(weights_of_counts(np.bincount(found, minlength=num_classes or 0)))


def weights_of_counts(counts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same, float32, from how many samples each class has.

    >>> weights_of_counts(np.array([3, 1, 0]))
    array([0.6666667, 2.       , 0.       ], dtype=float32)
    """
    seen = counts > 0
    weights = np.where(seen, counts.sum() / (max(seen.sum(), 1) * np.maximum(counts, 1)), 0)
    return weights.astype(np.float32)
