"""Losses as functions: one number a sample. Names, arguments and defaults are Keras's."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.keras.config import epsilon
from fovea.keras.layers.layer import as_tensor
from fovea.keras.naming import snake_case
from fovea.nn import functional as F
from fovea.ops.loss import LabelAttrs, binary_cross_entropy, check_labels, cross_entropy, nll_loss
from fovea.tensorbase import is_tensor
from fovea.watching import look

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "dice",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]


# -- shapes -----------------------------------------------------------------------------------


def to_tensor(x: Any) -> Tensor:
    """A tensor from a tensor, an array or a list."""
    return x if is_tensor(x) else as_tensor(x)


def same_rank(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Squeeze or expand a last dimension of 1, where that makes the ranks equal."""
    if len(a.shape) == len(b.shape) + 1 and a.shape[-1] == 1:
        return (a, b.unsqueeze(-1)) if len(b.shape) == 1 else (a.squeeze(-1), b)
    if len(b.shape) == len(a.shape) + 1 and b.shape[-1] == 1:
        return (a.unsqueeze(-1), b) if len(a.shape) == 1 else (a, b.squeeze(-1))
    return a, b


def paired(name: str, y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    """Target and prediction as tensors of one shape and the prediction's dtype.

    Raises:
        ShapeError: the shapes differ: nothing broadcasts silently.
    """
    y_pred = to_tensor(y_pred)
    y_true = to_tensor(y_true)
    if y_true.dtype is not y_pred.dtype:
        y_true = y_true.to(y_pred.dtype)
    if y_true.shape != y_pred.shape:
        y_true, y_pred = same_rank(y_true, y_pred)
    if y_true.shape != y_pred.shape:
        raise ShapeError(
            f"{name}: y_true and y_pred must have the same shape.",
            {"y_true": describe(y_true), "y_pred": describe(y_pred)},
            _hint(name, y_true, y_pred),
        )
    return y_true, y_pred


def _hint(name: str, y_true: Tensor, y_pred: Tensor) -> str | None:
    if "categorical" in name and (len(y_true.shape) == 1 or y_true.shape[-1] == 1):
        return "for integer labels use sparse_categorical_crossentropy, or to_categorical(y)"
    if y_true.numel() == y_pred.numel():
        return f"y_true.reshape({tuple(y_pred.shape)}) if the order is the same"
    return f"the model's last layer gives {tuple(y_pred.shape)}; check its units"


# -- regression -------------------------------------------------------------------------------


def mean_squared_error(y_true: Any, y_pred: Any) -> Tensor:
    """The mean of ``(y_true - y_pred)**2`` along the last dimension.

    >>> mean_squared_error([[0.0, 1.0]], [[2.0, 1.0]])
    tensor([2.])
    """
    y_true, y_pred = paired("mean_squared_error", y_true, y_pred)
    error = y_true - y_pred
    return (error * error).mean(-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Tensor:
    """The mean of ``|y_true - y_pred|`` along the last dimension."""
    y_true, y_pred = paired("mean_absolute_error", y_true, y_pred)
    return (y_true - y_pred).abs().mean(-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Tensor:
    """100 times the mean of ``|y_true - y_pred| / |y_true|``."""
    y_true, y_pred = paired("mean_absolute_percentage_error", y_true, y_pred)
    return ((y_true - y_pred) / y_true.abs().clamp(min=epsilon())).abs().mean(-1) * 100.0


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Tensor:
    """The mean of ``(log(1 + y_true) - log(1 + y_pred))**2``; negative numbers count as 0."""
    y_true, y_pred = paired("mean_squared_logarithmic_error", y_true, y_pred)
    least = epsilon()
    error = (y_pred.clamp(min=least) + 1.0).log() - (y_true.clamp(min=least) + 1.0).log()
    return (error * error).mean(-1)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Tensor:
    """Half the squared error up to ``delta``, linear beyond."""
    y_true, y_pred = paired("huber", y_true, y_pred)
    error = y_pred - y_true
    size = error.abs()
    beyond = size * delta - 0.5 * delta * delta
    return (error * error * 0.5).where(size <= delta, beyond).mean(-1)


def log_cosh(y_true: Any, y_pred: Any) -> Tensor:
    """The mean of ``log(cosh(y_pred - y_true))``."""
    y_true, y_pred = paired("log_cosh", y_true, y_pred)
    error = y_pred - y_true
    return (error + F.softplus(error * -2.0) - math.log(2.0)).mean(-1)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """Minus the cosine of the angle between the two: -1 where they point the same way."""
    y_true, y_pred = paired("cosine_similarity", y_true, y_pred)
    return -(F.normalize(y_true, dim=axis) * F.normalize(y_pred, dim=axis)).sum(axis)


def poisson(y_true: Any, y_pred: Any) -> Tensor:
    """The mean of ``y_pred - y_true * log(y_pred)``."""
    y_true, y_pred = paired("poisson", y_true, y_pred)
    return (y_pred - y_true * (y_pred + epsilon()).log()).mean(-1)


def kl_divergence(y_true: Any, y_pred: Any) -> Tensor:
    """``sum(y_true * log(y_true / y_pred))``, with both kept above epsilon."""
    y_true, y_pred = paired("kl_divergence", y_true, y_pred)
    t, p = y_true.clamp(epsilon(), 1.0), y_pred.clamp(epsilon(), 1.0)
    return (t * (t / p).log()).sum(-1)


# -- margins ----------------------------------------------------------------------------------


def _signs(y_true: Tensor) -> Tensor:
    """Labels of 0 and 1 as -1 and 1; other labels as they are."""
    binary = look(y_true, lambda values: bool(((values == 0) | (values == 1)).all()))
    return y_true * 2.0 - 1.0 if binary else y_true


def hinge(y_true: Any, y_pred: Any) -> Tensor:
    """The mean of ``max(1 - y_true * y_pred, 0)``; labels are -1 and 1, or 0 and 1."""
    y_true, y_pred = paired("hinge", y_true, y_pred)
    return (1.0 - _signs(y_true) * y_pred).relu().mean(-1)


def squared_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """The mean of ``max(1 - y_true * y_pred, 0)**2``."""
    y_true, y_pred = paired("squared_hinge", y_true, y_pred)
    margin = (1.0 - _signs(y_true) * y_pred).relu()
    return (margin * margin).mean(-1)


def categorical_hinge(y_true: Any, y_pred: Any) -> Tensor:
    """``max(1 + highest score of a wrong class - score of the right one, 0)``."""
    y_true, y_pred = paired("categorical_hinge", y_true, y_pred)
    right = (y_true * y_pred).sum(-1)
    wrong = ((1.0 - y_true) * y_pred).amax(-1)
    return (wrong - right + 1.0).relu()


# -- classes ----------------------------------------------------------------------------------


def _probabilities(y_pred: Tensor, axis: int) -> Tensor:
    """Scaled to sum to one, and kept off 0 and 1."""
    total = y_pred.sum(axis, keepdim=True)
    return (y_pred / total).clamp(epsilon(), 1.0 - epsilon())


def _smoothed(y_true: Tensor, label_smoothing: float) -> Tensor:
    if not label_smoothing:
        return y_true
    return y_true * (1.0 - label_smoothing) + label_smoothing / y_true.shape[-1]


def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """``-sum(y_true * log(y_pred))`` along ``axis``.

    Args:
        y_true: probabilities, such as one-hot rows.
        y_pred: probabilities (scaled to sum to 1), or logits.
        label_smoothing: how much of the target is spread over all classes.

    >>> import fovea
    >>> categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]])
    tensor([0.6931])
    """
    y_true, y_pred = paired("categorical_crossentropy", y_true, y_pred)
    y_true = _smoothed(y_true, label_smoothing)
    if from_logits:
        return -(y_true * F.log_softmax(y_pred, dim=axis)).sum(axis)
    return -(y_true * _probabilities(y_pred, axis).log()).sum(axis)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Cross entropy weighed by ``alpha * (1 - p)**gamma``: easy samples count less.

    Source: Lin et al., "Focal loss for dense object detection", ICCV 2017.
    """
    y_true, y_pred = paired("categorical_focal_crossentropy", y_true, y_pred)
    y_true = _smoothed(y_true, label_smoothing)
    p = _probabilities(F.softmax(y_pred, dim=axis) if from_logits else y_pred, axis)
    return ((1.0 - p).pow(gamma) * (alpha * -1.0) * y_true * p.log()).sum(axis)


NO_CLASS = -(2**31)  # an ignore_index that no label has


@lru_cache(64)
def _label_attrs(ignore: int) -> LabelAttrs:
    return LabelAttrs.of(ignore)


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Tensor:
    """``-log(y_pred[label])``.

    Args:
        y_true: integer labels, without the classes' dimension (or with 1 there).
        y_pred: probabilities (scaled to sum to 1), or logits.
        ignore_class: a label whose samples have loss 0.
        axis: the classes' dimension.

    Raises:
        ShapeError: labels that do not fit. LabelError: a label outside the classes.

    >>> sparse_categorical_crossentropy([1], [[0.5, 0.5]])
    tensor([0.6931])
    """
    y_pred = to_tensor(y_pred)
    y_true = to_tensor(y_true)
    rank = len(y_pred.shape)
    if rank < 1:
        raise ShapeError("sparse_categorical_crossentropy: y_pred needs a dimension of classes.")
    labels, shape = _labels(y_true, y_pred, axis % rank)
    ignore = NO_CLASS if ignore_class is None else ignore_class
    name = "sparse_categorical_crossentropy"
    classes = y_pred.shape[axis]
    look(labels, lambda values: check_labels(name, values, classes, ignore))
    attrs = _label_attrs(ignore)
    logits = y_pred if from_logits else _known_logits(y_pred, axis)
    if logits is not None:
        losses = cross_entropy.bind((_rows(logits, axis), labels), attrs)
        if not from_logits:  # where the probability is below epsilon, its logarithm stops
            losses = losses.clamp(max=-math.log(epsilon()))
    else:
        logs = _probabilities(_rows(y_pred, axis), 1).log()
        losses = nll_loss.bind((logs, labels), attrs)
    return losses if losses.shape == shape else losses.reshape(shape)


def _labels(y_true: Tensor, y_pred: Tensor, axis: int) -> tuple[Tensor, tuple[int, ...]]:
    """Labels as (rows,) of int64, and the shape of the losses."""
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[axis] == 1:
        y_true = y_true.squeeze(axis)
    shape = tuple(n for d, n in enumerate(y_pred.shape) if d != axis)
    if tuple(y_true.shape) != shape:
        one_hot = y_true.shape == y_pred.shape
        raise ShapeError(
            "sparse_categorical_crossentropy: for y_pred "
            f"{tuple(y_pred.shape)} the labels must have shape {shape}.",
            {"y_true": describe(y_true), "y_pred": describe(y_pred)},
            "for one-hot targets use categorical_crossentropy" if one_hot else None,
        )
    if y_true.dtype is not dtypes.int64:
        y_true = y_true.to(dtypes.int64)
    return (y_true if len(shape) == 1 else y_true.reshape((math.prod(shape),))), shape


def _rows(x: Tensor, axis: int) -> Tensor:
    """(..., C) as (rows, C)."""
    rank = len(x.shape)
    if rank == 2 and axis % 2 == 1:
        return x
    if axis % rank != rank - 1:
        x = x.movedim(axis, -1)
    return x.reshape((-1, x.shape[-1]))


def _known_logits(y_pred: Tensor, axis: int) -> Tensor | None:
    """What ``y_pred`` is the softmax of, if that is known and it was not changed since.

    Softmax already sums to one, so scaling changes nothing; and the logarithm of a probability
    computed from the logits is the more exact one.
    """
    found: Any = getattr(y_pred, "_keras_logits", None)
    if found is None:
        return None
    logits, softmax_axis, version = found
    same_axis = (softmax_axis - axis) % len(y_pred.shape) == 0
    unchanged = y_pred.storage.version == version and logits.shape == y_pred.shape
    return logits if same_axis and unchanged else None


def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """The mean of ``-(t * log(p) + (1 - t) * log(1 - p))`` along ``axis``.

    >>> binary_crossentropy([[1.0]], [[0.5]])
    tensor([0.6931])
    """
    y_true, y_pred = paired("binary_crossentropy", y_true, y_pred)
    return _binary(y_true, y_pred, from_logits, label_smoothing).mean(axis)


def _binary(t: Tensor, y_pred: Tensor, from_logits: bool, label_smoothing: float) -> Tensor:
    if label_smoothing:
        t = t * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        return F.binary_cross_entropy_with_logits(y_pred, t, reduction="none")
    return binary_cross_entropy.bind((y_pred.clamp(epsilon(), 1.0 - epsilon()), t))


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Binary cross entropy weighed by ``(1 - p_t)**gamma``.

    Args:
        apply_class_balancing: weigh the classes with ``alpha`` and ``1 - alpha``.
    """
    t, y_pred = paired("binary_focal_crossentropy", y_true, y_pred)
    if label_smoothing:
        t = t * (1.0 - label_smoothing) + 0.5 * label_smoothing
    p = y_pred.sigmoid() if from_logits else y_pred
    right = t * p + (1.0 - t) * (1.0 - p)
    loss = (1.0 - right).pow(gamma) * _binary(t, p, False, 0.0)
    if apply_class_balancing:
        loss = loss * (t * alpha + (1.0 - t) * (1.0 - alpha))
    return loss.mean(axis)


# -- overlap ----------------------------------------------------------------------------------


def _total(x: Tensor, axis: Any) -> Tensor:
    return x.sum() if axis is None else x.sum(axis if isinstance(axis, int) else tuple(axis))


def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Tensor:
    """``1 - 2 * |A and B| / (|A| + |B|)``, over ``axis`` or everything."""
    t, p = paired("dice", y_true, y_pred)
    both = _total(t * p, axis) * 2.0
    return 1.0 - both / (_total(t, axis) + _total(p, axis) + epsilon())


def tversky(
    y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None
) -> Tensor:
    """``dice`` with weights for what is missed (``alpha``) and found wrongly (``beta``)."""
    t, p = paired("tversky", y_true, y_pred)
    both = _total(t * p, axis)
    missed, wrong = _total((1.0 - p) * t, axis), _total(p * (1.0 - t), axis)
    return 1.0 - both / (both + missed * alpha + wrong * beta + epsilon())


def check_axis(axis: Any) -> int:
    """ArgumentError for what is no dimension (True passes for 1 otherwise)."""
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise ArgumentError(f"axis must be an integer, got {axis!r}.")
    return axis


def default_name(fn: Any) -> str:
    """What a loss made of a function is called."""
    return snake_case(getattr(fn, "__name__", None) or type(fn).__name__)
