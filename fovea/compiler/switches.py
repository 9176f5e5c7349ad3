"""What programs say to PyTorch's compiler beside ``compile``."""

from __future__ import annotations

from typing import Any

from fovea import watching
from fovea.graph.tracer import Tracer

__all__ = [
    "allow_in_graph",
    "assume_constant_result",
    "cudagraph_mark_step_begin",
    "disable",
    "is_compiling",
    "is_dynamo_compiling",
    "is_exporting",
    "list_backends",
    "reset",
    "set_stance",
]


def is_compiling() -> bool:
    """Whether a call is being captured now.

    >>> import fovea
    >>> seen = []
    >>> f = fovea.compile(lambda x: (seen.append(is_compiling()), x + 1)[1])
    >>> _ = f(fovea.ones(2))
    >>> seen, is_compiling()
    ([True], False)
    """
    return isinstance(watching.watcher, Tracer)


def is_dynamo_compiling() -> bool:
    """``is_compiling``."""
    return is_compiling()


def is_exporting() -> bool:
    """False."""
    return False


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """The function as it is: what it does with tensors is captured with the rest, and what cannot
    be captured runs eagerly anyway. A decorator with or without arguments.
    """
    return (lambda function: function) if fn is None else fn


def allow_in_graph(fn: Any) -> Any:
    """The function as it is."""
    return fn


def assume_constant_result(fn: Any) -> Any:
    """The function as it is."""
    return fn


def reset() -> None:
    """Nothing to forget: each compiled function keeps its own programs."""


def cudagraph_mark_step_begin() -> None:
    """Nothing to mark."""


def list_backends(exclude_tags: Any = ()) -> list[str]:
    """The one."""
    return ["fovea"]


class set_stance:  # noqa: N801 - PyTorch's name
    """Accepted: ``fovea.compile`` captures what is new, whatever is said here."""

    def __init__(self, stance: str = "default", **options: Any) -> None:
        self.stance = stance

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        return None

    def __call__(self, fn: Any) -> Any:
        """The function as it is."""
        return fn
