"""What holds while a layer is called."""

from __future__ import annotations

import threading
from typing import Any

from fovea import dispatch

__all__ = ["context", "without_gradients"]


class CallContext(threading.local):
    """What holds for the call that is going on.

    Attributes:
        training: what it says of ``training``; None outside of calls.
        casts: a layer with mixed dtypes that is being called, and its weights as it computes with
            them.
    """

    training: bool | None = None
    casts: tuple[Any, dict[str, Any]] | None = None


context = CallContext()


def without_gradients(f: Any, *args: Any) -> Any:
    """``f(*args)`` with nothing recorded for backward."""
    before = dispatch.set_grad_enabled(False)
    try:
        return f(*args)
    finally:
        dispatch.set_grad_enabled(before)
