"""Memory for time: results that backward computes again instead of keeping them."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from typing import Any

from fovea.autograd.grad_mode import is_grad_enabled as grad_enabled
from fovea.errors import ArgumentError
from fovea.tensorbase import is_tensor
from fovea.utils.checkpoint import checkpoint

__all__ = ["RematScope", "called", "current_scope", "remat"]

_MODES = ("full", "activations", "larger_than", "list_of_layers", None)


def remat(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function that keeps nothing of what ``f`` computes on its way; backward calls ``f`` again.

    Args:
        f: a function of tensors, or a layer.

    Raises:
        CheckpointError: the second call does not do what the first did.

    Source:
        Chen et al., "Training deep nets with sublinear memory cost", 2016.

    >>> import fovea
    >>> calls = []
    >>> def cube(x):
    ...     calls.append(x)
    ...     return x * x * x
    >>> x = fovea.tensor(2.0, requires_grad=True)
    >>> remat(cube)(x).backward()
    >>> x.grad, len(calls)
    (tensor(12.), 2)
    """

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return checkpoint(_as_here(f), *args, use_reentrant=False, **kwargs)

    return functools.wraps(f)(wrapped) if hasattr(f, "__name__") else wrapped


def _as_here(f: Callable[..., Any]) -> Callable[..., Any]:
    """``f`` that backward, too, calls with what holds for the layer around it now."""
    from fovea.keras.layers.context import context

    training, casts = context.training, context.casts

    def run(*args: Any, **kwargs: Any) -> Any:
        outer = context.training, context.casts
        context.training, context.casts = training, casts
        try:
            return f(*args, **kwargs)
        finally:
            context.training, context.casts = outer

    return run


# -- layers that are made within a block ----------------------------------------------------------


class _Scopes(threading.local):
    """The blocks that are open, innermost last."""

    def __init__(self) -> None:
        self.open: list[RematScope] = []


_scopes = _Scopes()


class RematScope:
    """Layers that are made within the block compute results again in backward.

    Args:
        mode: ``"full"``: all of them; ``"activations"``: activation functions of layers that have
            one; ``"larger_than"``: those whose outputs have more than ``output_size_threshold``
            numbers in all; ``"list_of_layers"``: those in ``layer_names``; None: none.
        output_size_threshold: numbers.
        layer_names: names of layers.

    A layer whose ``call`` changes state, such as the statistics of batch normalization in
    training, changes it each time it runs.

    Raises:
        ArgumentError: an unknown mode.

    >>> import fovea
    >>> from fovea.keras import layers
    >>> with RematScope(mode="full"):
    ...     dense = layers.Dense(2, activation="relu", kernel_initializer="ones")
    >>> x = fovea.ones(1, 3, requires_grad=True)
    >>> dense(x).sum().backward()
    >>> x.grad
    tensor([[2., 2., 2.]])
    """

    def __init__(
        self,
        mode: str | None = "full",
        output_size_threshold: int = 1024,
        layer_names: list[str] | None = None,
    ) -> None:
        if mode not in _MODES:
            raise ArgumentError(f"RematScope: mode is one of {_MODES}, got {mode!r}.")
        self.mode, self.output_size_threshold = mode, output_size_threshold
        self.layer_names = list(layer_names or [])

    def __enter__(self) -> RematScope:
        _scopes.open.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _scopes.open.pop()


def current_scope() -> RematScope | None:
    """The innermost open block that asks for anything."""
    found = _scopes.open[-1] if _scopes.open else None
    return found if found is not None and found.mode is not None else None


def called(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``layer.call`` as the block that the layer was made in asks for it."""
    scope: RematScope = layer._recomputing
    if not grad_enabled():
        return layer.call(*args, **kwargs)
    if scope.mode == "activations":
        return _with_cheap_activation(layer, args, kwargs)
    chosen = (
        scope.mode == "full"
        or (scope.mode == "list_of_layers" and layer.name in scope.layer_names)
        or (
            scope.mode == "larger_than"
            and _output_size(layer, args, kwargs) > scope.output_size_threshold
        )
    )
    call = remat(layer.call) if chosen else layer.call
    return call(*args, **kwargs)


def _with_cheap_activation(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call, while the activation function is one that keeps nothing."""
    from fovea.keras import activations

    activation = layer.__dict__.get("activation")
    if activation is None or activation is activations.linear:
        return layer.call(*args, **kwargs)
    layer.__dict__["activation"] = remat(activation)
    try:
        return layer.call(*args, **kwargs)
    finally:
        layer.__dict__["activation"] = activation


def _output_size(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """How many numbers a call returns: as the layer says, or found once by running it."""
    from fovea.keras.keras_tensor import KerasTensor
    from fovea.keras.tree import flatten, map_structure

    def symbol(value: Any) -> Any:
        return KerasTensor(value.shape, value.dtype.name) if is_tensor(value) else value

    tensors = (t for t in flatten([list(args), kwargs]) if is_tensor(t))
    key = tuple(tuple(t.shape) for t in tensors)
    known = layer.__dict__.setdefault("_output_sizes", {})
    if key not in known:
        given = map_structure(symbol, (args, kwargs))
        found = flatten(layer.compute_output_spec(*given[0], **given[1]))
        shapes = [t.shape for t in found if isinstance(t, KerasTensor)]
        known[key] = sum(math.prod(d or 1 for d in shape) for shape in shapes)
    return int(known[key])
