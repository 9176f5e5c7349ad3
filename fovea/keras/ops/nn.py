"""``keras.ops``: what networks are made of, with Keras's names and arguments."""

from __future__ import annotations

from typing import Any

import fovea
import fovea.nn.functional as F
from fovea.errors import ArgumentError
from fovea.keras import activations, config
from fovea.keras.losses import functions as losses
from fovea.keras.ops.elementwise import floating, numeric, tensor, wide
from fovea.keras.ops.reductions import mean, var
from fovea.keras.ops.symbolic import FUNCTIONS, symbolic

__all__ = [
    "batch_normalization", "binary_crossentropy", "categorical_crossentropy",
    "celu", "elu", "gelu", "glu", "hard_sigmoid", "hard_silu", "hard_swish", "in_top_k",
    "layer_normalization", "leaky_relu", "log_sigmoid", "log_softmax", "moments",
    "multi_hot", "normalize", "one_hot", "relu", "relu6", "selu", "silu", "softmax", "softplus",
    "softsign", "sparse_categorical_crossentropy", "swish", "top_k",
]  # fmt: skip


# Operations that only ``keras.activations`` has.
FUNCTIONS |= {"re_lu": activations.relu, "mish": activations.mish}


@symbolic
def relu(x: Any) -> Any:
    """``max(x, 0)``."""
    return F.relu(tensor(x))


@symbolic
def relu6(x: Any) -> Any:
    """``min(max(x, 0), 6)``."""
    return fovea.clamp(numeric(x), 0, 6)


@symbolic
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """``x`` where positive, else a part of it."""
    return F.leaky_relu(floating(x), negative_slope)


@symbolic
def elu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` where positive, else ``alpha * (exp(x) - 1)``."""
    return F.elu(floating(x), alpha)


@symbolic
def selu(x: Any) -> Any:
    """The scaled ``elu``."""
    return F.selu(floating(x))


@symbolic
def celu(x: Any, alpha: float = 1.0) -> Any:
    """A smooth ``elu``."""
    return F.celu(floating(x), alpha)


@symbolic
def gelu(x: Any, approximate: bool = True) -> Any:
    """``x`` times the normal distribution's share below it."""
    return F.gelu(floating(x), "tanh" if approximate else "none")


@symbolic
def glu(x: Any, axis: int = -1) -> Any:
    """One half times the sigmoid of the other."""
    return F.glu(floating(x), axis)


@symbolic
def silu(x: Any) -> Any:
    """``x * sigmoid(x)``."""
    return F.silu(floating(x))


swish = silu


@symbolic
def softplus(x: Any) -> Any:
    """``log(exp(x) + 1)``."""
    return F.softplus(floating(x))


@symbolic
def softsign(x: Any) -> Any:
    """``x / (|x| + 1)``."""
    return F.softsign(floating(x))


@symbolic
def log_sigmoid(x: Any) -> Any:
    """The logarithm of the sigmoid."""
    return F.logsigmoid(floating(x))


@symbolic
def hard_sigmoid(x: Any) -> Any:
    """``relu6(x + 3) / 6``."""
    return activations.hard_sigmoid(floating(x))


@symbolic
def hard_silu(x: Any) -> Any:
    """``x * hard_sigmoid(x)``."""
    return activations.hard_silu(floating(x))


hard_swish = hard_silu


@symbolic
def softmax(x: Any, axis: Any = -1) -> Any:
    """Shares that sum to 1 over an axis."""
    x = floating(x)
    return _over_all(activations.softmax, x) if axis is None else activations.softmax(x, axis)


@symbolic
def log_softmax(x: Any, axis: Any = -1) -> Any:
    """The logarithms of ``softmax``."""
    x = floating(x)
    if axis is None:
        return _over_all(activations.log_softmax, x)
    return activations.log_softmax(x, axis)


def _over_all(f: Any, x: Any) -> Any:
    return f(x.reshape(-1), -1).reshape(x.shape)


@symbolic
def one_hot(
    x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> Any:
    """A one at each class, zeros elsewhere; nothing for classes that do not exist."""
    x = tensor(x).to(fovea.int64)
    y = (x.unsqueeze(-1) == fovea.arange(num_classes)).to(config.as_dtype(dtype))
    return y if axis in (-1, x.ndim) else fovea.movedim(y, -1, axis)


@symbolic
def multi_hot(
    inputs: Any,
    num_classes: int | None = None,
    axis: int = -1,
    dtype: Any = None,
    sparse: bool = False,
    **kwargs: Any,
) -> Any:
    """A one at each class that occurs in a row of indices.

    Args:
        inputs: (N, indices, ...), or (indices,).
        num_classes: how many there are; ``num_tokens`` is its older name.
        axis: where classes stand.

    Raises:
        ArgumentError: no number of classes.
    """
    count = kwargs.pop("num_tokens", None) if num_classes is None else num_classes
    if count is None:
        raise ArgumentError("multi_hot: num_classes must be given.")
    y = one_hot(inputs, count, axis, dtype)
    return fovea.amax(y, 1 if tensor(inputs).ndim > 1 else 0)


@symbolic
def top_k(x: Any, k: int, sorted: bool = True) -> Any:
    """The largest along the last axis, and their places in int32."""
    values, places = fovea.topk(tensor(x), k, sorted=sorted)
    return values, places.to(fovea.int32)


@symbolic
def in_top_k(targets: Any, predictions: Any, k: int) -> Any:
    """Whether each target's prediction is among the ``k`` largest; NaN is the largest."""
    p, t = tensor(predictions), tensor(targets).to(fovea.int64)
    own = fovea.take_along_dim(p, t.unsqueeze(-1), -1)
    above = (p > own) | fovea.isnan(p)
    return (above.to(fovea.int32).sum(-1) < k) & ~fovea.isnan(own).squeeze(-1)


@symbolic
def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> Any:
    """The mean and the variance over axes; halves are computed in float32."""
    given, x = floating(x), wide(x)
    center = mean(x, axes, True)
    spread = mean(fovea.square(x - center), axes, keepdims)
    center = center if keepdims else center.reshape(spread.shape)
    return center.to(given.dtype), spread.to(given.dtype)


@symbolic
def normalize(x: Any, axis: int = -1, order: Any = 2, epsilon: float | None = None) -> Any:
    """Divided by the norm along an axis."""
    return F.normalize(floating(x), order, axis, 1e-7 if epsilon is None else epsilon)


@symbolic
def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    axis: int,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 1e-3,
) -> Any:
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset`` along an axis."""
    x = floating(x)
    sizes = [1] * x.ndim
    sizes[axis] = x.shape[axis]
    inverse = fovea.rsqrt(floating(variance).reshape(sizes) + epsilon)
    if scale is not None:
        inverse = inverse * floating(scale).reshape(sizes)
    y = (x - floating(mean).reshape(sizes)) * inverse
    return y if offset is None else y + floating(offset).reshape(sizes)


@symbolic
def layer_normalization(
    x: Any,
    gamma: Any = None,
    beta: Any = None,
    axis: Any = -1,
    epsilon: float | None = None,
    **kwargs: Any,
) -> Any:
    """Mean 0 and variance 1 over axes, then scaled and shifted; halves are computed in float32.

    Args:
        gamma, beta: of the sizes of these axes, or of all.
        axis: one, or several.
        rms_scaling: (older) only divided by the standard deviation, and scaled.
    """
    given, x = floating(x), wide(x)
    axes = sorted(a % x.ndim for a in ([axis] if isinstance(axis, int) else axis))
    sizes = [n if d in axes else 1 for d, n in enumerate(x.shape)]
    gamma, beta = (None if v is None else floating(v).to(x.dtype) for v in (gamma, beta))
    eps = config.epsilon() if epsilon is None else epsilon
    if kwargs.pop("rms_scaling", False):
        y = x * fovea.rsqrt(var(x, axes, True) + eps)
        return (y if gamma is None else y * _along(gamma, sizes)).to(given.dtype)
    if axes == [*range(axes[0], x.ndim)]:
        kept = tuple(x.shape[axes[0] :])
        gamma, beta = (None if v is None else v.expand(kept) for v in (gamma, beta))
        return F.layer_norm(x, kept, gamma, beta, eps).to(given.dtype)
    y = (x - mean(x, axes, True)) * fovea.rsqrt(var(x, axes, True) + eps)
    y = y if gamma is None else y * _along(gamma, sizes)
    return (y if beta is None else y + _along(beta, sizes)).to(given.dtype)


def _along(weights: Any, sizes: list[int]) -> Any:
    """Weights of some axes in the shape of all, unless they have it."""
    return weights if weights.ndim == len(sizes) else weights.reshape(sizes)


@symbolic
def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """``-(t log(p) + (1 - t) log(1 - p))``, element by element."""
    t, p = floating(target), floating(output)
    if from_logits:
        return F.binary_cross_entropy_with_logits(p, t, reduction="none")
    p = p.clamp(1e-7, 1 - 1e-7)
    return -(t * p.log() + (1 - t) * (1 - p).log())


@symbolic
def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """``-sum(t log(p))`` along an axis."""
    return losses.categorical_crossentropy(
        floating(target), floating(output), from_logits, axis=axis
    )


@symbolic
def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """``-log(p)`` of the class that each target names."""
    return losses.sparse_categorical_crossentropy(
        tensor(target), floating(output), from_logits, axis=axis
    )
