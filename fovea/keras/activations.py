"""Activation functions by Keras's names; each takes a tensor, or a symbolic one in a graph."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fovea.keras.objects import lookup, serialize_keras_object
from fovea.nn import functional as F
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]

Function = Callable[..., Any]
_KNOWN: dict[str, Function] = {}


# The operations that calls on symbolic tensors are, where these have other names.
_OPERATIONS = {"relu": "re_lu", "exponential": "exp"}


def _activation(elementwise: bool = True) -> Callable[[Function], Function]:
    """Register a function that takes arrays, too; a call with a symbolic tensor joins the graph.

    ``elementwise`` ones act on each number alone, so they may run before a change of layout.
    """

    def declare(f: Function) -> Function:
        @functools.wraps(f)
        def call(x: Any, *args: Any, **kwargs: Any) -> Any:
            if is_tensor(x):
                return f(x, *args, **kwargs)
            if hasattr(x, "keras_history"):
                return _symbolic(f, x, *args, **kwargs)
            from fovea.keras.ops.elementwise import floating

            return f(floating(x), *args, **kwargs)

        call.elementwise = elementwise  # type: ignore[attr-defined]
        _KNOWN[f.__name__] = call
        return call

    return declare


def _symbolic(f: Function, x: Any, *args: Any, **kwargs: Any) -> Any:
    """A call in a graph: the operation of ``keras.ops`` that Keras has for it."""
    from fovea.keras.ops.symbolic import FunctionCall

    name = f.__name__
    if name == "linear":
        return x
    bound = inspect.signature(f).bind(x, *args, **kwargs)
    bound.apply_defaults()  # those of the operation may differ
    return FunctionCall(_OPERATIONS.get(name, name))(*bound.args)


@_activation()
def linear(x: Tensor) -> Tensor:
    """``x`` itself."""
    return x


@_activation()
def relu(
    x: Tensor, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Tensor:
    """``max(x, 0)``, and its relatives.

    ``max_value`` where x is larger; x between ``threshold`` and that;
    ``negative_slope * (x - threshold)`` below.

    >>> import fovea
    >>> relu(fovea.tensor([-4.0, 3.0, 9.0]), negative_slope=0.5, max_value=6.0)
    tensor([-2.,  3.,  6.])
    """
    if negative_slope == 0.0 and threshold == 0.0:
        if max_value is None:
            return F.relu(x)
        return F.relu6(x) if max_value == 6 else F.relu(x).clamp(max=max_value)
    if max_value is None and threshold == 0.0:
        return F.leaky_relu(x, negative_slope)
    above = x.where(x > threshold, 0.0) if threshold != 0.0 else F.relu(x)
    if max_value is not None:
        above = above.clamp(0.0, max_value)
    if negative_slope == 0.0:
        return above
    return above - F.relu(threshold - x) * negative_slope


@_activation()
def leaky_relu(x: Tensor, negative_slope: float = 0.2) -> Tensor:
    """``x`` where it is positive, ``negative_slope * x`` elsewhere."""
    return F.leaky_relu(x, negative_slope)


@_activation()
def relu6(x: Tensor) -> Tensor:
    """``min(max(x, 0), 6)``."""
    return F.relu6(x)


@_activation(elementwise=False)
def softmax(x: Tensor, axis: Any = -1) -> Tensor:
    """Exponentials that sum to one along ``axis`` (one or several dimensions).

    >>> import fovea
    >>> softmax(fovea.tensor([1.0, 1.0]))
    tensor([0.5000, 0.5000])
    """
    if isinstance(axis, tuple | list):
        return _over(axis, x, F.softmax)
    y = F.softmax(x, axis)
    # The loss on probabilities is exact and cheap when it knows what they were made from; the
    # version tells whether they have been changed since.
    y._keras_logits = (x, axis, y.storage.version)  # type: ignore[attr-defined]
    return y


def _over(axes: Any, x: Tensor, f: Function) -> Tensor:
    """``f`` along several dimensions at once."""
    rank = len(x.shape)
    picked = [a % rank for a in axes]
    kept = [d for d in range(rank) if d not in picked]
    moved = x.permute(*kept, *picked)
    flat = moved.reshape((*moved.shape[: len(kept)], -1))
    back = [0] * rank
    for place, d in enumerate((*kept, *picked)):
        back[d] = place
    return f(flat, -1).reshape(moved.shape).permute(*back)


@_activation(elementwise=False)
def log_softmax(x: Tensor, axis: Any = -1) -> Tensor:
    """The logarithm of ``softmax``."""
    if isinstance(axis, tuple | list):
        return _over(axis, x, F.log_softmax)
    return F.log_softmax(x, axis)


@_activation(elementwise=False)
def sparsemax(x: Tensor, axis: int = -1) -> Tensor:
    """The point of the probability simplex nearest to ``x`` (Martins and Astudillo 2016)."""
    ordered = x.sort(axis, descending=True)[0]
    sums = ordered.cumsum(axis)
    shape = [1] * x.ndim
    shape[axis] = -1
    ranks = (x.new_ones(x.shape[axis]).cumsum(0)).reshape(shape)
    inside = (ordered - (sums - 1) / ranks > 0).to(x.dtype)
    count = inside.sum(axis, keepdim=True)
    tau = ((ordered * inside).sum(axis, keepdim=True) - 1) / count
    return (x - tau).clamp(min=0.0)


@_activation()
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below."""
    return F.elu(x, alpha)


@_activation()
def selu(x: Tensor) -> Tensor:
    """``elu`` scaled so that activations keep mean 0 and variance 1."""
    return F.selu(x)


@_activation()
def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """``x`` above 0, ``alpha * (exp(x / alpha) - 1)`` below."""
    return F.celu(x, alpha)


@_activation()
def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """``x`` times the normal distribution's cumulative function at ``x``."""
    return F.gelu(x, "tanh" if approximate else "none")


@_activation(elementwise=False)
def glu(x: Tensor, axis: int = -1) -> Tensor:
    """The first half along ``axis`` times the sigmoid of the second."""
    return F.glu(x, axis)


@_activation()
def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``."""
    return x.sigmoid()


@_activation()
def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return x.tanh()


@_activation()
def exponential(x: Tensor) -> Tensor:
    """``exp(x)``."""
    return x.exp()


@_activation()
def softplus(x: Tensor) -> Tensor:
    """``log(1 + exp(x))``."""
    return F.softplus(x)


@_activation()
def softsign(x: Tensor) -> Tensor:
    """``x / (1 + |x|)``."""
    return F.softsign(x)


@_activation()
def silu(x: Tensor) -> Tensor:
    """``x * sigmoid(x)``, also called swish."""
    return F.silu(x)


@_activation()
def mish(x: Tensor) -> Tensor:
    """``x * tanh(softplus(x))``."""
    return F.mish(x)


@_activation()
def hard_sigmoid(x: Tensor) -> Tensor:
    """``relu6(x + 3) / 6``."""
    return F.hardsigmoid(x)


@_activation()
def hard_silu(x: Tensor) -> Tensor:
    """``x * relu6(x + 3) / 6``."""
    return F.hardswish(x)


@_activation()
def hard_tanh(x: Tensor) -> Tensor:
    """``x`` limited to [-1, 1]."""
    return F.hardtanh(x)


@_activation()
def hard_shrink(x: Tensor, threshold: float = 0.5) -> Tensor:
    """``x`` where ``|x| > threshold``, else 0."""
    return F.hardshrink(x, threshold)


@_activation()
def soft_shrink(x: Tensor, threshold: float = 0.5) -> Tensor:
    """``x`` moved towards 0 by ``threshold``, and 0 where that would pass it."""
    return F.softshrink(x, threshold)


@_activation()
def tanh_shrink(x: Tensor) -> Tensor:
    """``x - tanh(x)``."""
    return F.tanhshrink(x)


@_activation()
def log_sigmoid(x: Tensor) -> Tensor:
    """``log(sigmoid(x))``."""
    return F.logsigmoid(x)


@_activation()
def threshold(x: Tensor, threshold: float, default_value: float) -> Tensor:
    """``x`` where it is larger than ``threshold``, else ``default_value``."""
    return F.threshold(x, threshold, default_value)


@_activation()
def squareplus(x: Tensor, b: float = 4) -> Tensor:
    """``(x + sqrt(x**2 + b)) / 2``."""
    return (x + (x * x + b).sqrt()) * 0.5


@_activation()
def sparse_plus(x: Tensor) -> Tensor:
    """0 up to -1, ``x`` from 1 on, and ``(x + 1)**2 / 4`` between."""
    bent = (x + 1) * (x + 1) * 0.25
    return (x * 0.0).where(x <= -1, bent.where(x < 1, x))


@_activation()
def sparse_sigmoid(x: Tensor) -> Tensor:
    """0 up to -1, 1 from 1 on, and ``(x + 1) / 2`` between."""
    return ((x + 1) * 0.5).clamp(0.0, 1.0)


swish, hard_swish = silu, hard_silu
_KNOWN |= {"swish": silu, "hard_swish": hard_silu}


def get(identifier: Any) -> Any:
    """The activation that a name, description or function means; None is ``linear``.

    >>> get("relu") is relu, get(None) is linear
    (True, True)
    """
    return linear if identifier is None else lookup("activation", identifier, _KNOWN)


def serialize(activation: Any) -> Any:
    """The name of an activation, or plain data that describes it."""
    name = getattr(activation, "__name__", None)
    if name in _KNOWN and _KNOWN[name] is activation:
        return name
    return serialize_keras_object(activation)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The activation that a name or plain data describes."""
    return get(config)
