"""Losses as objects, which weigh samples and reduce to one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.keras import config
from fovea.keras.dtype_policies import computed
from fovea.keras.losses import functions
from fovea.keras.losses.functions import check_axis, default_name, same_rank, to_tensor
from fovea.keras.masking import mask_of
from fovea.keras.naming import snake_case
from fovea.keras.objects import deserialize_keras_object, serialize_keras_object

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "LossFunctionWrapper",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
]

_REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)
_AVERAGE = "sum_over_batch_size"


class Loss:
    """Base of losses. A subclass gives ``call(y_true, y_pred)``: one number a sample.

    Args:
        name: what it is called.
        reduction: ``"sum_over_batch_size"`` (or ``"mean"``): the weighted sum over the number of
            losses; ``"sum"``; ``"mean_with_sample_weight"``: over the sum of the weights;
            ``"none"``.

    Raises:
        ArgumentError: an unknown reduction.
    """

    keras_module = "keras.losses"

    def __init__(
        self, name: str | None = None, reduction: str | None = _AVERAGE, dtype: Any = None
    ) -> None:
        if reduction not in _REDUCTIONS:
            raise ArgumentError(
                f"{type(self).__name__}: unknown reduction {reduction!r}.",
                fix=f"one of {', '.join(str(r) for r in _REDUCTIONS)}",
            )
        self.name = name or snake_case(type(self).__name__)
        self.reduction = reduction
        self._dtype = computed(dtype)

    @property
    def dtype(self) -> str:
        """The name of the dtype that it computes in."""
        return config.standardize_dtype(self._dtype)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """The losses, before weights and reduction."""
        raise ArgumentError(f"{type(self).__name__} defines no call(y_true, y_pred).")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        losses = self.call(to_tensor(y_true), self._as_prediction(to_tensor(y_pred)))
        mask = mask_of(y_pred)
        if mask is not None:
            sample_weight = masked_weight(sample_weight, mask, losses.dtype, self.reduction)
        return reduced(losses, sample_weight, self.reduction)

    def _as_prediction(self, y_pred: Tensor) -> Tensor:
        """A prediction in the dtype that the loss computes in, whatever the model does."""
        if not y_pred.dtype.is_floating_point:
            return y_pred
        return y_pred.to(config.as_dtype(self._dtype))

    def get_config(self) -> dict[str, Any]:
        """The arguments to make another one with."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """One with these arguments."""
        return cls(**config)


def reduced(losses: Tensor, sample_weight: Any, reduction: str | None) -> Tensor:
    """Losses, weighed and reduced.

    Raises:
        ShapeError: weights that do not fit the losses.
    """
    weight = None
    if sample_weight is not None:
        weight = to_tensor(sample_weight).to(losses.dtype)
        losses, weight = same_rank(losses, weight)
        if len(weight.shape) < len(losses.shape):
            ones = (1,) * (len(losses.shape) - len(weight.shape))
            weight = weight.reshape((*weight.shape, *ones))
        if not losses.shape:  # one loss of the whole batch, which each sample's weight weighs
            losses = losses.expand(weight.shape)
        _check_weight(losses, weight)
        losses = losses * weight
    if reduction in (None, "none") or not losses.shape or losses.shape == (0,):
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction == "mean_with_sample_weight" and weight is not None:
        return losses.sum() / weight.expand(losses.shape).sum()
    return losses.mean()


def masked_weight(
    sample_weight: Any, mask: Tensor, dtype: Any, reduction: str | None = "sum"
) -> Tensor:
    """The samples' weights with zeros where the mask skips steps. A mean is over the others: the
    weights that are left grow by as much as the number of losses is too large for it.
    """
    weight = mask.to(dtype)
    if reduction in ("mean", _AVERAGE):
        weight = weight * (mask.numel() / weight.sum().clamp_min(1.0))
    if sample_weight is None:
        return weight
    given = to_tensor(sample_weight).to(dtype)
    if len(given.shape) == len(weight.shape) + 1 and given.shape[-1] == 1:
        given = given.squeeze(-1)
    while len(given.shape) < len(weight.shape):
        given = given.unsqueeze(-1)
    return given * weight


def _check_weight(losses: Tensor, weight: Tensor) -> None:
    fits = len(weight.shape) <= len(losses.shape) and all(
        w in (1, n) for w, n in zip(reversed(weight.shape), reversed(losses.shape), strict=False)
    )
    if not fits:
        raise ShapeError(
            "sample_weight does not fit the losses.",
            {"sample_weight": describe(weight), "losses": describe(losses)},
            "give one weight a sample",
        )


class LossFunctionWrapper(Loss):
    """A loss made of a function ``fn(y_true, y_pred, **kwargs)``."""

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = _AVERAGE,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name or default_name(fn), reduction, dtype)
        self.fn, self._fn_kwargs = fn, kwargs

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        if len(y_true.shape) != len(y_pred.shape):
            y_true, y_pred = same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        found = {**super().get_config(), **serialize_keras_object(self._fn_kwargs)}
        if type(self) is LossFunctionWrapper:
            found["fn"] = serialize_keras_object(self.fn)
        return found

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        if "fn" in config:
            config = {**config, "fn": deserialize_keras_object(config["fn"])}
        return cls(**config)

    def __repr__(self) -> str:
        return f"<LossFunctionWrapper({self.fn}, kwargs={self._fn_kwargs})>"


class SparseCategoricalCrossentropy(LossFunctionWrapper):
    """``-log(y_pred[label])`` for integer labels; arguments as of the function of this name.

    >>> loss = SparseCategoricalCrossentropy()
    >>> loss([1, 0], [[0.1, 0.9], [0.8, 0.2]])
    tensor(0.1643)
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = _AVERAGE,
        axis: int = -1,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            functions.sparse_categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=check_axis(axis),
        )
        self.from_logits, self.ignore_class = from_logits, ignore_class

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        if self.ignore_class is None:
            return super().__call__(y_true, y_pred, sample_weight)
        # The mean is over the samples that count.
        y_true, y_pred = to_tensor(y_true), self._as_prediction(to_tensor(y_pred))
        losses = self.call(y_true, y_pred)
        valid = (y_true != self.ignore_class).to(losses.dtype).reshape(losses.shape)
        scale: Any = 1.0
        if self.reduction in ("sum_over_batch_size", "mean"):
            count = float(valid.sum().item())
            scale = valid.numel() / count if count else 0.0
        weight = valid * scale
        if sample_weight is not None:
            given = to_tensor(sample_weight).to(losses.dtype)
            ones = (1,) * (len(losses.shape) - len(given.shape))
            weight = weight * given.reshape((*given.shape, *ones))
        return reduced(losses, weight, self.reduction)


class CategoricalCrossentropy(LossFunctionWrapper):
    """``-sum(y_true * log(y_pred))``; arguments as of the function of this name."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = _AVERAGE,
        name: str = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            functions.categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=check_axis(axis),
        )
        self.from_logits, self.label_smoothing = from_logits, label_smoothing


class CategoricalFocalCrossentropy(LossFunctionWrapper):
    """Cross entropy in which easy samples count less; arguments as of the function."""

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = _AVERAGE,
        name: str = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            functions.categorical_focal_crossentropy,
            reduction,
            name,
            dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=check_axis(axis),
        )


class BinaryCrossentropy(LossFunctionWrapper):
    """Cross entropy of two classes; arguments as of the function of this name."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = _AVERAGE,
        name: str = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            functions.binary_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=check_axis(axis),
        )
        self.from_logits, self.label_smoothing = from_logits, label_smoothing


class BinaryFocalCrossentropy(LossFunctionWrapper):
    """Binary cross entropy in which easy samples count less; arguments as of the function."""

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = _AVERAGE,
        name: str = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(
            functions.binary_focal_crossentropy,
            reduction,
            name,
            dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=check_axis(axis),
        )


class Huber(LossFunctionWrapper):
    """Squared error up to ``delta``, linear beyond."""

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = _AVERAGE,
        name: str = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(functions.huber, reduction, name, dtype, delta=delta)


class CosineSimilarity(LossFunctionWrapper):
    """Minus the cosine of the angle between target and prediction."""

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = _AVERAGE,
        name: str = "cosine_similarity",
        dtype: Any = None,
    ) -> None:
        super().__init__(functions.cosine_similarity, reduction, name, dtype, axis=check_axis(axis))


class Dice(LossFunctionWrapper):
    """``1 - 2 * overlap / (sum of both)``, over ``axis`` or everything."""

    def __init__(
        self,
        reduction: str | None = _AVERAGE,
        name: str = "dice",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(functions.dice, reduction, name, dtype, axis=axis)


class Tversky(LossFunctionWrapper):
    """``Dice`` with weights for what is missed and what is found wrongly."""

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = _AVERAGE,
        name: str = "tversky",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            functions.tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis
        )


class MeanSquaredError(LossFunctionWrapper):
    """The mean of squared errors.

    >>> MeanSquaredError()([[0.0], [1.0]], [[2.0], [1.0]])
    tensor(2.)
    """

    def __init__(
        self, reduction: str | None = _AVERAGE, name: str = "mean_squared_error", dtype: Any = None
    ) -> None:
        super().__init__(functions.mean_squared_error, reduction, name, dtype)


class MeanAbsoluteError(LossFunctionWrapper):
    """The mean of absolute errors."""

    def __init__(
        self, reduction: str | None = _AVERAGE, name: str = "mean_absolute_error", dtype: Any = None
    ) -> None:
        super().__init__(functions.mean_absolute_error, reduction, name, dtype)


class MeanAbsolutePercentageError(LossFunctionWrapper):
    """The mean of errors in percent of the target."""

    def __init__(
        self,
        reduction: str | None = _AVERAGE,
        name: str = "mean_absolute_percentage_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(functions.mean_absolute_percentage_error, reduction, name, dtype)


class MeanSquaredLogarithmicError(LossFunctionWrapper):
    """The mean of squared differences of logarithms."""

    def __init__(
        self,
        reduction: str | None = _AVERAGE,
        name: str = "mean_squared_logarithmic_error",
        dtype: Any = None,
    ) -> None:
        super().__init__(functions.mean_squared_logarithmic_error, reduction, name, dtype)


class LogCosh(LossFunctionWrapper):
    """The mean of ``log(cosh(error))``."""

    def __init__(
        self, reduction: str | None = _AVERAGE, name: str = "log_cosh", dtype: Any = None
    ) -> None:
        super().__init__(functions.log_cosh, reduction, name, dtype)


class KLDivergence(LossFunctionWrapper):
    """``sum(y_true * log(y_true / y_pred))``."""

    def __init__(
        self, reduction: str | None = _AVERAGE, name: str = "kl_divergence", dtype: Any = None
    ) -> None:
        super().__init__(functions.kl_divergence, reduction, name, dtype)


class Poisson(LossFunctionWrapper):
    """The mean of ``y_pred - y_true * log(y_pred)``."""

    def __init__(
        self, reduction: str | None = _AVERAGE, name: str = "poisson", dtype: Any = None
    ) -> None:
        super().__init__(functions.poisson, reduction, name, dtype)


class Hinge(LossFunctionWrapper):
    """The mean of ``max(1 - y_true * y_pred, 0)``."""

    def __init__(
        self, reduction: str | None = _AVERAGE, name: str = "hinge", dtype: Any = None
    ) -> None:
        super().__init__(functions.hinge, reduction, name, dtype)


class SquaredHinge(LossFunctionWrapper):
    """The mean of ``max(1 - y_true * y_pred, 0)**2``."""

    def __init__(
        self, reduction: str | None = _AVERAGE, name: str = "squared_hinge", dtype: Any = None
    ) -> None:
        super().__init__(functions.squared_hinge, reduction, name, dtype)


class CategoricalHinge(LossFunctionWrapper):
    """The margin between the right class and the best wrong one."""

    def __init__(
        self, reduction: str | None = _AVERAGE, name: str = "categorical_hinge", dtype: Any = None
    ) -> None:
        super().__init__(functions.categorical_hinge, reduction, name, dtype)
