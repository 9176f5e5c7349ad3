"""Switching recording on and off."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, Self

from fovea import dispatch

__all__ = [
    "enable_grad",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_grad_enabled",
]


class _GradMode:
    """A context manager and decorator that switches recording."""

    mode: bool
    before: list[bool]

    def __enter__(self) -> None:
        state = dispatch.state
        self.before.append(state.grad_enabled)
        state.grad_enabled = self.mode

    def __exit__(self, *exc: object) -> None:
        dispatch.state.grad_enabled = self.before.pop()

    def __call__(self, function: Callable[..., Any]) -> Any:
        if inspect.isgeneratorfunction(function):
            return self._between_yields(function)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with type(self)(*self._arguments()):
                return function(*args, **kwargs)

        return run

    def _between_yields(self, function: Callable[..., Any]) -> Any:
        """A generator that is in this mode while it runs, and whoever reads it is not."""

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            inner = function(*args, **kwargs)
            resume, given = inner.send, None
            while True:
                try:
                    with type(self)(*self._arguments()):
                        value = resume(given)
                except StopIteration as end:
                    return end.value
                try:
                    resume, given = inner.send, (yield value)
                except GeneratorExit:
                    inner.close()
                    raise
                except BaseException as error:
                    resume, given = inner.throw, error

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

    mode = False

    # All that it takes to make one, in one call: steps of small programs are made of such things.
    def __new__(cls, function: Any = None) -> Self:
        made = object.__new__(cls)
        made.before = []
        return made if function is None else made(function)

    def _arguments(self) -> tuple[Any, ...]:
        return ()


class enable_grad(no_grad):  # noqa: N801 - PyTorch's name
    """Record what runs inside, also within ``no_grad``."""

    mode = True


_inference = threading.local()


def is_inference_mode_enabled() -> bool:
    """Whether this thread is within ``inference_mode``.

    >>> with inference_mode():
    ...     is_inference_mode_enabled()
    True
    """
    return getattr(_inference, "on", False)


class inference_mode(_GradMode):  # noqa: N801 - PyTorch's name
    """Like ``no_grad``; ``inference_mode(False)`` leaves recording as it is."""

    def __new__(cls, mode: Any = True) -> Any:
        made = object.__new__(cls)
        if not callable(mode):
            return made
        made.__init__()  # type: ignore[misc]
        return made(mode)  # as a decorator without brackets

    def __init__(self, mode: Any = True) -> None:
        self.on = bool(mode)
        self.outer: list[bool] = []
        self.before, self.mode = [], not self.on and dispatch.grad_enabled()

    def __enter__(self) -> None:
        self.outer.append(is_inference_mode_enabled())
        _inference.on = self.on
        super().__enter__()

    def __exit__(self, *exc: object) -> None:
        _inference.on = self.outer.pop()
        super().__exit__(*exc)

    def _arguments(self) -> tuple[Any, ...]:
        return (self.on,)


class set_grad_enabled(_GradMode):  # noqa: N801 - PyTorch's name
    """Switch recording on or off: at once, and as a context manager that switches back."""

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)
        self.outer = dispatch.set_grad_enabled(self.mode)

    def __call__(self, function: Callable[..., Any]) -> Any:
        dispatch.set_grad_enabled(self.outer)  # a decorator switches within the function alone
        return super().__call__(function)

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
