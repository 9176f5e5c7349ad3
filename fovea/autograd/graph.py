"""What backward keeps, in the user's hands: hooks on saved tensors.

Recording calls `fovea.tape.make_node`. While a thread is within hooks, that is a function which
looks for them; else it is the plain class, so hooks cost nothing where there are none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fovea import tape
from fovea.errors import GradientError

__all__ = [
    "disable_saved_tensors_hooks",
    "hooks",
    "save_on_cpu",
    "saved_tensors_hooks",
    "watch_nodes",
]


class _Hooks(NamedTuple):
    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]


class _State(threading.local):
    def __init__(self) -> None:
        self.stack: list[_Hooks | None] = []
        self.refusal: str | None = None


_state = _State()
_lock = threading.Lock()
_regions = 0  # of all threads
noticed: Callable[[Any], None] | None = None  # who wants to know of nodes: see `watch_nodes`


def hooks() -> _Hooks | None:
    """The innermost hooks of this thread."""
    return _state.stack[-1] if _state.stack else None


def _make_node(op: Any, inputs: tuple[Any, ...], attrs: Any, outputs: Sequence[Any]) -> Any:
    node = _plain_or_packed(op, inputs, attrs, outputs)
    if noticed is not None:
        noticed(node)
    return node


def _plain_or_packed(
    op: Any, inputs: tuple[Any, ...], attrs: Any, outputs: Sequence[Any]
) -> tape.OpNode:
    own = hooks()
    if own is None:
        return tape.node_of(op, inputs, attrs, outputs)
    _state.stack.append(None)  # what hooks compute is not theirs to keep
    try:
        return tape.PackedNode(op, inputs, attrs, outputs, own)
    finally:
        _state.stack.pop()


def _change(regions: int = 0) -> None:
    """So many regions more; whoever makes nodes follows."""
    global _regions
    with _lock:
        _regions += regions
        watched = _regions or noticed is not None
        tape.make_node = _make_node if watched else tape.node_of


def watch_nodes(notice: Callable[[Any], None] | None) -> None:
    """Have ``notice`` called with each node that any thread records; None: nobody."""
    global noticed
    noticed = notice
    _change()


class saved_tensors_hooks:  # noqa: N801 - PyTorch's name
    """What is recorded within keeps ``pack_hook(tensor)`` instead of the tensor, and backward
    reads ``unpack_hook`` of that.

    Args:
        pack_hook: takes a tensor, returns anything. It must not change the tensor.
        unpack_hook: takes that, returns a tensor with the same values (or near them).

    >>> import fovea
    >>> with saved_tensors_hooks(lambda t: t.bfloat16(), lambda t: t.float()):
    ...     x = fovea.tensor([1.0, 2.0], requires_grad=True)
    ...     y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    tensor([2., 4.])
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        self.hooks = _Hooks(pack_hook, unpack_hook)

    def __enter__(self) -> None:
        if _state.refusal is not None:
            raise GradientError(_state.refusal)
        _state.stack.append(self.hooks)
        _change(1)

    def __exit__(self, *exc: object) -> None:
        _state.stack.pop()
        _change(-1)


class save_on_cpu(saved_tensors_hooks):  # noqa: N801 - PyTorch's name
    """Accepted: eager tensors live on the CPU, so that what is saved is there already."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(lambda t: t, lambda t: t)


class disable_saved_tensors_hooks:  # noqa: N801 - PyTorch's name
    """`saved_tensors_hooks` within raise ``error_message``."""

    def __init__(self, error_message: str) -> None:
        self.message = error_message

    def __enter__(self) -> None:
        self.before = _state.refusal
        _state.refusal = self.message

    def __exit__(self, *exc: object) -> None:
        _state.refusal = self.before
