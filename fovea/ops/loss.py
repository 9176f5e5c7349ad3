"""Losses on class labels. One loss a row; `fovea.nn.functional` averages, weights and reshapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.errors import LabelError, ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import (
    elementwise_spec,
    like_layout,
    require_dtype,
    require_floating,
    same_dtype,
)
from fovea.ops.softmax import SoftmaxAttrs, softmax

__all__ = [
    "LabelAttrs",
    "binary_cross_entropy",
    "binary_cross_entropy_grad",
    "check_labels",
    "cross_entropy",
    "cross_entropy_grad",
    "nll_loss",
    "nll_loss_grad",
]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class LabelAttrs(Attrs):
    """``ignore_index``: rows with this label have loss 0 and no gradient."""

    ignore_index: int


@dataclass(frozen=True, eq=False)
class LabelGradAttrs(Attrs):
    ignore_index: int
    classes: int


def check_labels(name: str, target: Array, classes: int, ignore_index: int | None = None) -> bool:
    """Whether all labels count; False if some are ``ignore_index``.

    Raises:
        LabelError: a label outside [0, classes) that is not ``ignore_index``.

    >>> check_labels("cross_entropy", np.array([0, 2, -100]), 3, -100)
    False
    """
    if not target.size:
        return True
    none_within = ignore_index is None or not 0 <= ignore_index < classes
    usual = target.dtype == np.int64 and none_within
    # In one pass: as unsigned numbers, negative labels are the largest.
    if usual and int(np.maximum.reduce(target.view(np.uint64), axis=None)) < classes:
        return True
    counted = np.ones(target.shape, bool) if ignore_index is None else target != ignore_index
    wrong = counted & ((target < 0) | (target >= classes))
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = place[0] if len(place) == 1 else place
        raise LabelError(
            f"{name}: label {int(target[place])} at position {where} is none of {classes} classes.",
            {
                "labels": f"{target.dtype} {target.shape}",
                "classes": f"{classes}: 0 to {classes - 1}",
            },
            f"give the model {int(target[counted].max()) + 1} outputs"
            if int(target[wrong].min()) >= 0
            else f"labels count from 0; pass ignore_index={int(target[place])} to skip such rows",
        )
    return bool(counted.all())


# Labels are checked before these run; a kernel must still not read outside a row.
cross_entropy = Op(
    "cross_entropy", ("logits", "target"), LabelAttrs
)  # logsumexp(logits) - logits[target], a row
cross_entropy_grad = Op("cross_entropy_grad", ("gy", "logits", "target"), LabelAttrs)
nll_loss = Op("nll_loss", ("x", "target"), LabelAttrs)  # -x[target], a row
nll_loss_grad = Op("nll_loss_grad", ("gy", "target"), LabelGradAttrs)


def _check_rows(name: str, x: Shaped, target: Shaped, key: str) -> None:
    require_floating(name, **{key: x})
    require_dtype(name, "target", target, dtypes.int64)
    if len(x.shape) != 2 or len(target.shape) != 1 or x.shape[0] != target.shape[0]:
        raise ShapeError(
            f"{name}: {key} must be (N, classes) and target (N,).",
            {key: describe(x), "target": describe(target)},
        )


def _check_gy(name: str, gy: Shaped, target: Shaped) -> None:
    require_floating(name, gy=gy)
    if tuple(gy.shape) != tuple(target.shape):
        raise ShapeError(
            f"{name}: gy {describe(gy)} must have target's shape {tuple(target.shape)}."
        )


@cross_entropy.shape
def _(logits: Shaped, target: Shaped, a: LabelAttrs) -> Spec:
    _check_rows("cross_entropy", logits, target, "logits")
    return Spec((logits.shape[0],), logits.dtype)


@cross_entropy_grad.shape
def _(gy: Shaped, logits: Shaped, target: Shaped, a: LabelAttrs) -> Spec:
    _check_rows("cross_entropy_grad", logits, target, "logits")
    _check_gy("cross_entropy_grad", gy, target)
    shape = tuple(logits.shape)
    return Spec(shape, same_dtype("cross_entropy_grad", gy, logits), like_layout(shape, (logits,)))


@nll_loss.shape
def _(x: Shaped, target: Shaped, a: LabelAttrs) -> Spec:
    _check_rows("nll_loss", x, target, "x")
    return Spec((x.shape[0],), x.dtype)


@nll_loss_grad.shape
def _(gy: Shaped, target: Shaped, a: LabelGradAttrs) -> Spec:
    require_dtype("nll_loss_grad", "target", target, dtypes.int64)
    _check_gy("nll_loss_grad", gy, target)
    if len(target.shape) != 1 or not isinstance(a.classes, int) or a.classes < 0:
        raise ShapeError(
            f"nll_loss_grad: target must be (N,), got {describe(target)}, classes={a.classes}."
        )
    return Spec((target.shape[0], a.classes), gy.dtype)


@cross_entropy.grad(saves=("logits", "target"))
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    return cross_entropy_grad.bind((gy, ctx.logits, ctx.target), ctx.attrs), None


@cross_entropy_grad.grad(saves=("gy", "logits", "target"))
def _(ctx: Any, g: Any) -> tuple[Any, ...]:
    """The result is gy * (softmax(logits) - onehot): linear in gy, through softmax in logits."""
    p, kept = (
        softmax.bind((ctx.logits,), SoftmaxAttrs.of(1)),
        (ctx.target != ctx.attrs.ignore_index).to(g.dtype),
    )
    inner = (g * p).sum((1,))
    ggy = glogits = None
    if ctx.needed[0]:
        ggy = inner * kept + nll_loss.bind((g, ctx.target), ctx.attrs)
    if ctx.needed[1]:
        glogits = p * (g - inner.unsqueeze(1)) * (ctx.gy * kept).unsqueeze(1)
    return ggy, glogits, None


@nll_loss.grad(saves=("target",))
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    attrs = LabelGradAttrs.of(ctx.attrs.ignore_index, ctx.shape(0)[1])
    return nll_loss_grad.bind((gy, ctx.target), attrs), None


@nll_loss_grad.grad(saves=("target",))
def _(ctx: Any, g: Any) -> tuple[Any, ...]:
    return nll_loss.bind((g, ctx.target), LabelAttrs.of(ctx.attrs.ignore_index)), None


# -- meaning ----------------------------------------------------------------------------------


def _at_label(x: Array, target: Array, ignore_index: int) -> tuple[Array, Array]:
    """Each row's element at its label (0 where ignored), and which rows count."""
    check_labels("labels", target, x.shape[1], ignore_index)
    kept = target != ignore_index
    out = np.zeros(len(target), x.dtype)
    out[kept] = x[np.nonzero(kept)[0], target[kept]]
    return out, kept


def _log_sum_exp(x: Array) -> Array:
    highest = x.max(1, keepdims=True, initial=-np.inf)
    return (highest + np.log(np.exp(x - highest).sum(1, keepdims=True)))[:, 0]


@cross_entropy.reference
def _(logits: Array, target: Array, a: LabelAttrs) -> Array:
    picked, kept = _at_label(logits, target, a.ignore_index)
    return np.where(kept, _log_sum_exp(logits) - picked, 0)


@cross_entropy_grad.reference
def _(gy: Array, logits: Array, target: Array, a: LabelAttrs) -> Array:
    _, kept = _at_label(logits, target, a.ignore_index)
    p = np.exp(logits - _log_sum_exp(logits)[:, None])
    rows = np.nonzero(kept)[0]
    p[rows, target[kept]] -= 1
    return np.where(kept[:, None], p * gy[:, None], 0)


@nll_loss.reference
def _(x: Array, target: Array, a: LabelAttrs) -> Array:
    return -_at_label(x, target, a.ignore_index)[0]


@nll_loss_grad.reference
def _(gy: Array, target: Array, a: LabelGradAttrs) -> Array:
    gx = np.zeros((len(target), a.classes), gy.dtype)
    check_labels("labels", target, a.classes, a.ignore_index)
    kept = target != a.ignore_index
    gx[np.nonzero(kept)[0], target[kept]] = -gy[kept]
    return gx


# -- two classes, on probabilities ------------------------------------------------------------

binary_cross_entropy = Op(
    "binary_cross_entropy", ("x", "target")
)  # -(t log x + (1 - t) log(1 - x)), an element
binary_cross_entropy_grad = Op("binary_cross_entropy_grad", ("gy", "x", "target"))
LOWEST_LOG = -100.0  # logarithms stop here, so a certain and wrong x costs 100, not infinity
LEAST_SLOPE = 1e-12  # and here the denominator x (1 - x) of the gradient


def _check_same(name: str, *tensors: Shaped) -> Spec:
    require_floating(name, x=tensors[-2])
    if len({tuple(t.shape) for t in tensors}) > 1:
        raise ShapeError(
            f"{name}: shapes must be equal, got {', '.join(describe(t) for t in tensors)}."
        )
    return elementwise_spec(name, tensors[-2:], same_dtype(name, *tensors))


binary_cross_entropy.shape(lambda x, target: _check_same("binary_cross_entropy", x, target))
binary_cross_entropy_grad.shape(
    lambda gy, x, target: _check_same("binary_cross_entropy_grad", gy, x, target)
)


@binary_cross_entropy.grad(saves=("x", "target"))
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    gx = gt = None
    if ctx.needed[0]:
        gx = binary_cross_entropy_grad.bind((gy, ctx.x, ctx.target))
    if ctx.needed[1]:
        gt = gy * (_log(1 - ctx.x) - _log(ctx.x))
    return gx, gt


def _log(x: Any) -> Any:
    return x.log().clamp(min=LOWEST_LOG)


@binary_cross_entropy.decompose
def _(x: Any, target: Any) -> Any:
    return (target - 1) * _log(1 - x) - target * _log(x)


@binary_cross_entropy_grad.decompose
def _(gy: Any, x: Any, target: Any) -> Any:
    return gy * (x - target) / ((1 - x) * x).clamp(min=LEAST_SLOPE)


@binary_cross_entropy.reference
def _(x: Array, target: Array) -> Array:
    return (target - 1) * np.maximum(np.log1p(-x), LOWEST_LOG) - target * np.maximum(
        np.log(x), LOWEST_LOG
    )


@binary_cross_entropy_grad.reference
def _(gy: Array, x: Array, target: Array) -> Array:
    return gy * (x - target) / np.maximum((1 - x) * x, LEAST_SLOPE)
