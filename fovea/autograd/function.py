"""Functions with a gradient of their own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from fovea import dispatch
from fovea.autograd import graph
from fovea.errors import GradientError
from fovea.tape import FunctionNode, Kept, place_into
from fovea.tensorbase import TensorBase

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class FunctionCtx:
    """What ``forward`` and ``backward`` of a custom function share."""

    needs_input_grad: tuple[bool, ...] = ()
    _released = False

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] = ()
        self._nondifferentiable: set[int] = set()
        self._dirty: set[int] = set()
        self.materialize_grads = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for ``backward``; a later change in place is noticed."""
        own = graph.hooks()
        if own is not None:
            self._saved = tuple((None, 0) if t is None else (Kept(t, own), id(t)) for t in tensors)
            return
        self._saved = tuple((t, None if t is None else t.storage.version) for t in tensors)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What ``save_for_backward`` kept."""
        if self._released:
            raise GradientError(
                "a custom Function's saved tensors were freed by an earlier backward.",
                fix="pass retain_graph=True to the first backward",
            )
        if any(isinstance(t, Kept) for t, _ in self._saved):
            return tuple(None if t is None else t.tensor() for t, _ in self._saved)
        for t, version in self._saved:
            if t is not None and t.storage.version != version:
                from fovea.errors import InplaceError, describe

                raise InplaceError(
                    "a tensor saved for backward was changed in place.", {"tensor": describe(t)}
                )
        return tuple(t for t, _ in self._saved)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """These outputs get no gradient."""
        self._nondifferentiable.update(map(id, tensors))

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing output gradients come as zeros (the default) or as None."""
        self.materialize_grads = value

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Inputs that ``forward`` changed in place and returns: they go on as its outputs."""
        for t in tensors:
            t.storage.version += 1
            self._dirty.add(id(t))


class Function:
    """A function with a gradient of its own: subclass, write ``forward`` and ``backward``, call
    ``apply``.

    >>> import fovea
    >>> class Square(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, gy):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * gy
    >>> x = fovea.tensor(3.0, requires_grad=True)
    >>> Square.apply(x).backward()
    >>> x.grad
    tensor(6.)
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs; gets ``ctx`` first, unless ``setup_context`` is defined."""
        raise TypeError("a Function needs a forward staticmethod.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save what backward needs, when ``forward`` takes no ``ctx``."""

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """One gradient for each argument of ``forward`` (None for those without)."""
        raise TypeError("a Function needs a backward staticmethod.")

    generate_vmap_rule = True

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Any, Any]:
        """For `fovea.vmap`: compute all samples at once. Without it, ``forward`` sees samples.

        Args:
            info: ``batch_size`` and ``randomness``.
            in_dims: for each argument the dimension along which samples stand, or None.
            args: all samples of each.

        Returns:
            What ``apply`` would return, and for each tensor of it the samples' dimension.
        """
        raise TypeError("the Function has no vmap staticmethod.")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` and put the call on the tape.

        ``backward`` returns a gradient for each argument, in the order in which ``forward`` takes
        them, however they were given.
        """
        ctx = FunctionCtx()
        if kwargs:
            args, kwargs = _in_order(cls, args, kwargs)
        inputs = [a if isinstance(a, TensorBase) else None for a in args]
        ctx.needs_input_grad = tuple(t is not None and t.requires_grad for t in inputs)
        separate = cls.setup_context is not Function.setup_context
        call = cls.forward if separate else functools.partial(cls.forward, ctx)
        if any(t is not None and t._level for t in inputs):
            from fovea.func.batching.functions import on_samples

            call = on_samples(cls, call, separate)
        before = dispatch.set_grad_enabled(False)
        try:
            out = call(*args, **kwargs)
            if separate:
                cls.setup_context(ctx, args, out)
        finally:
            dispatch.set_grad_enabled(before)
        if not (before and any(ctx.needs_input_grad)):
            return out
        return _attach(cls, ctx, inputs, out)


def _in_order(
    cls: type[Function], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments as ``forward`` takes them: those given by name, too, if it takes them by place."""
    takes_ctx = cls.setup_context is Function.setup_context
    bound = inspect.signature(cls.forward).bind(*((None,) if takes_ctx else ()), *args, **kwargs)
    return (bound.args[1:] if takes_ctx else bound.args), bound.kwargs


def _attach(cls: type[Function], ctx: FunctionCtx, inputs: Sequence[Any], out: Any) -> Any:
    """Give the outputs a node; an input returned as it is becomes a new tensor."""
    outputs = list(out) if isinstance(out, tuple) else [out]
    for i, t in enumerate(outputs):
        if id(t) in ctx._dirty:
            if t.requires_grad and t.is_leaf:
                raise GradientError(
                    f"{cls.__name__}: changes a leaf that requires a gradient in place.",
                    fix="give it a copy: x.clone()",
                )
        elif isinstance(t, TensorBase) and any(t is x for x in inputs):
            outputs[i] = t.detach()
            if id(t) in ctx._nondifferentiable:
                ctx._nondifferentiable.add(id(outputs[i]))
    tensors = [t for t in outputs if isinstance(t, TensorBase)]
    node = FunctionNode(cls.__name__, _materialized(cls, ctx, tensors), ctx, inputs, tensors)  # type: ignore[arg-type]
    if graph.noticed is not None:
        graph.noticed(node)
    for i, t in enumerate(tensors):
        if id(t) in ctx._dirty:
            place_into(node, i, t)  # type: ignore[arg-type]
        elif t.dtype.is_inexact and id(t) not in ctx._nondifferentiable:
            t._set_node(node, i)
            for kept, key in ctx._saved:
                if isinstance(kept, Kept) and key == id(t):
                    kept.edge = (node, i)
    return tuple(outputs) if isinstance(out, tuple) else outputs[0]


def _materialized(
    cls: type[Function], ctx: FunctionCtx, outputs: Sequence[Any]
) -> Callable[..., Any]:
    meta = [(t.shape, t.dtype) for t in outputs]

    def run(context: Any, *grads: Any) -> Any:
        if ctx.materialize_grads:
            from fovea.functions.creation import zeros

            grads = tuple(
                zeros(s, dtype=d) if g is None else g for g, (s, d) in zip(grads, meta, strict=True)
            )
        return cls.backward(context, *grads)

    return run


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Say of a ``backward`` that its own gradient would be wrong: asking for it is an error.

    ``backward`` runs without recording. What it returns may be used, but not differentiated.

    >>> import fovea
    >>> class Exp(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.result = x.exp()
    ...         return ctx.result
    ...     @staticmethod
    ...     @once_differentiable
    ...     def backward(ctx, gy):
    ...         return ctx.result * gy
    >>> x = fovea.tensor(0.0, requires_grad=True)
    >>> Exp.apply(x).backward()
    >>> x.grad
    tensor(1.)
    """

    @functools.wraps(backward)
    def run(ctx: Any, *grad_outputs: Any) -> Any:
        recording = dispatch.set_grad_enabled(False)
        try:
            out = backward(ctx, *grad_outputs)
        finally:
            dispatch.set_grad_enabled(recording)
        roots = [g for g in grad_outputs if isinstance(g, TensorBase) and g.requires_grad]
        if not (recording and roots):
            return out
        results = list(out) if isinstance(out, tuple) else [out]
        fresh = [t.detach() if isinstance(t, TensorBase) else t for t in results]
        made: list[Any] = [t for t in fresh if t is not None and t.dtype.is_floating_point]
        node = FunctionNode("once_differentiable", _refuse, FunctionCtx(), roots, made)
        for i, t in enumerate(made):
            t._set_node(node, i)
        return tuple(fresh) if isinstance(out, tuple) else fresh[0]

    return run


def _refuse(ctx: Any, *grads: Any) -> NoReturn:
    raise GradientError(
        "trying to differentiate twice a function that was marked with @once_differentiable.",
        fix="write its backward in recorded operations, and take the mark off",
    )
