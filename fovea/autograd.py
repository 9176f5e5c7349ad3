"""``fovea.autograd``: gradients on request, switching recording off, and functions with a gradient
of their own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fovea import dispatch
from fovea.backward import backward as _backward
from fovea.backward import grad
from fovea.errors import GradientError
from fovea.gradcheck import gradcheck, gradgradcheck
from fovea.tape import FunctionNode
from fovea.tensorbase import TensorBase

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = [
    "Function",
    "backward",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]


class _GradMode:
    """A context manager and decorator that switches recording."""

    def __init__(self, mode: bool) -> None:
        self.mode = mode
        self.before: list[bool] = []

    def __enter__(self) -> None:
        self.before.append(dispatch.set_grad_enabled(self.mode))

    def __exit__(self, *exc: object) -> None:
        dispatch.set_grad_enabled(self.before.pop())

    def __call__(self, function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with type(self)(*self._arguments()):
                return function(*args, **kwargs)

        return run

    def _arguments(self) -> tuple[Any, ...]:
        return (self.mode,)


class no_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Do not record what runs inside.

    >>> import fovea
    >>> x = fovea.ones(2, requires_grad=True)
    >>> with fovea.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def __new__(cls, function: Any = None) -> Any:
        made = object.__new__(cls)
        if function is None:
            return made
        made.__init__()  # type: ignore[misc]
        return made(function)

    def __init__(self, function: Any = None) -> None:
        super().__init__(False)

    def _arguments(self) -> tuple[Any, ...]:
        return ()


class enable_grad(no_grad):  # noqa: N801 - PyTorch's name
    """Record what runs inside, also within ``no_grad``."""

    def __init__(self, function: Any = None) -> None:
        _GradMode.__init__(self, True)


class inference_mode(_GradMode):  # noqa: N801 - PyTorch's name
    """Like ``no_grad``; ``inference_mode(False)`` leaves recording as it is."""

    def __init__(self, mode: Any = True) -> None:
        self.on = bool(mode)
        super().__init__(False if self.on else dispatch.grad_enabled())

    def _arguments(self) -> tuple[Any, ...]:
        return (self.on,)


class set_grad_enabled(_GradMode):  # noqa: N801 - PyTorch's name
    """Switch recording on or off: at once, and as a context manager that switches back."""

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self.outer = dispatch.set_grad_enabled(self.mode)

    def __enter__(self) -> None:
        dispatch.set_grad_enabled(self.mode)

    def __exit__(self, *exc: object) -> None:
        dispatch.set_grad_enabled(self.outer)


def is_grad_enabled() -> bool:
    """Whether ops are being recorded.

    >>> is_grad_enabled()
    True
    """
    return dispatch.grad_enabled()


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Sum the gradients of ``tensors`` into the leaves they came from."""

    def listed(x: Any) -> Any:
        return None if x is None else [x] if isinstance(x, TensorBase) else list(x)

    _backward(
        listed(tensors),
        listed(grad_tensors),
        retain_graph=retain_graph,
        create_graph=create_graph,
        inputs=listed(inputs),
    )


class _Context:
    """What ``forward`` and ``backward`` of a custom function share."""

    needs_input_grad: tuple[bool, ...] = ()
    _released = False

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] = ()
        self._nondifferentiable: set[int] = set()
        self.materialize_grads = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for ``backward``; a later change in place is noticed."""
        self._saved = tuple((t, None if t is None else t.storage.version) for t in tensors)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What ``save_for_backward`` kept."""
        if self._released:
            raise GradientError(
                "a custom Function's saved tensors were freed by an earlier backward.",
                fix="pass retain_graph=True to the first backward",
            )
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
        """Inputs that ``forward`` changed in place."""
        for t in tensors:
            t.storage.version += 1


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

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run ``forward`` and put the call on the tape."""
        ctx = _Context()
        inputs = [a if isinstance(a, TensorBase) else None for a in args]
        ctx.needs_input_grad = tuple(t is not None and t.requires_grad for t in inputs)
        separate = cls.setup_context is not Function.setup_context
        before = dispatch.set_grad_enabled(False)
        try:
            out = cls.forward(*args) if separate else cls.forward(ctx, *args)
            if separate:
                cls.setup_context(ctx, args, out)
        finally:
            dispatch.set_grad_enabled(before)
        if not (before and any(ctx.needs_input_grad)):
            return out
        return _attach(cls, ctx, inputs, out)


def _attach(cls: type[Function], ctx: _Context, inputs: Sequence[Any], out: Any) -> Any:
    """Give the outputs a node; an input returned as it is becomes a new tensor."""
    outputs = list(out) if isinstance(out, tuple) else [out]
    for i, t in enumerate(outputs):
        if isinstance(t, TensorBase) and any(t is x for x in inputs):
            outputs[i] = t.detach()
            if id(t) in ctx._nondifferentiable:
                ctx._nondifferentiable.add(id(outputs[i]))
    tensors = [t for t in outputs if isinstance(t, TensorBase)]
    node = FunctionNode(cls.__name__, _materialized(cls, ctx, tensors), ctx, inputs, tensors)  # type: ignore[arg-type]
    for i, t in enumerate(tensors):
        if t.dtype.is_floating_point and id(t) not in ctx._nondifferentiable:
            t._set_node(node, i)
    return tuple(outputs) if isinstance(out, tuple) else outputs[0]


def _materialized(cls: type[Function], ctx: _Context, outputs: Sequence[Any]) -> Callable[..., Any]:
    meta = [(t.shape, t.dtype) for t in outputs]

    def run(context: Any, *grads: Any) -> Any:
        if ctx.materialize_grads:
            from fovea.functions.creation import zeros

            grads = tuple(
                zeros(s, dtype=d) if g is None else g for g, (s, d) in zip(grads, meta, strict=True)
            )
        return cls.backward(context, *grads)

    return run
