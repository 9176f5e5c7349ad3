"""What backward keeps, in the user's hands: hooks on saved tensors.

Recording calls `fovea.tape.make_node`. While a thread is within hooks, that is a function which
looks for them; else it is the plain class, so hooks cost nothing where there are none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fovea import tape
from fovea.backward import Walk, walk_now
from fovea.errors import ArgumentError, GradientError
from fovea.tape import GradientEdge, Node
from fovea.tensorbase import RemovableHandle

__all__ = [
    "GradientEdge",
    "Node",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "hooks",
    "register_multi_grad_hook",
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


# -- places on the tape, and several gradients at once --------------------------------------------


def get_gradient_edge(tensor: Any) -> GradientEdge:
    """Where a tensor's gradient goes, for `autograd.grad` and `backward` in place of the tensor,
    which need not be kept.

    Raises:
        GradientError: the tensor does not require a gradient.

    >>> import fovea
    >>> x = fovea.ones(2, requires_grad=True)
    >>> edge = get_gradient_edge(x * 2)
    >>> fovea.autograd.grad(edge, x, fovea.ones(2))
    (tensor([2., 2.]),)
    """
    edge = tape.edge_of(tensor)
    if edge is None:
        raise GradientError("get_gradient_edge: the tensor does not require a gradient.")
    return GradientEdge(edge[0], max(edge[1], 0))


def register_multi_grad_hook(
    tensors: Sequence[Any], fn: Callable[[Any], None], *, mode: str = "all"
) -> RemovableHandle:
    """Call ``fn`` in each backward pass once it has come to the gradients of several tensors.

    Args:
        tensors: which require gradients.
        fn: with ``"all"`` it takes a list of their gradients (None for tensors that the pass does
            not come to) when the last is known, with ``"any"`` the first that is known.
        mode: ``"all"`` or ``"any"``.

    Returns: a handle that takes the hooks off.

    >>> import fovea
    >>> x, y = (fovea.ones(1, requires_grad=True) for _ in range(2))
    >>> handle = register_multi_grad_hook([x, y], lambda grads: print(grads))
    >>> (x * 2 + y * 3).backward()
    [tensor([2.]), tensor([3.])]
    """
    if mode not in ("all", "any"):
        raise ArgumentError(f"register_multi_grad_hook: mode is 'all' or 'any', got {mode!r}.")
    several = _Several(tuple(tensors), fn, mode == "any")
    handles = [t.register_hook(several.hook(i)) for i, t in enumerate(several.tensors)]
    return _Handles(handles)


class _Handles(RemovableHandle):
    """Several handles as one."""

    def __init__(self, handles: list[RemovableHandle]) -> None:
        super().__init__({}, None)
        self.handles = handles

    def remove(self) -> None:
        """Take all hooks off."""
        for handle in self.handles:
            handle.remove()


class _Several(threading.local):
    """What one pass has found so far of the gradients of several tensors."""

    def __init__(self, tensors: tuple[Any, ...], fn: Callable[[Any], None], first: bool) -> None:
        self.tensors, self.fn, self.first = tensors, fn, first
        self.walk: Walk | None = None
        self.grads: list[Any] = []
        self.missing = 0

    def hook(self, i: int) -> Callable[[Any], None]:
        """What tensor ``i`` tells its gradient."""

        def note(g: Any) -> None:
            walk = walk_now()
            if walk is None:
                return
            if walk is not self.walk:
                self._begin(walk)
            self.grads[i] = g
            self.missing -= 1
            if self.first and self.missing >= 0:
                self.missing = -1  # of this pass no other one
                self.fn(g)
            elif not self.first and self.missing == 0:
                self.fn(self.grads)

        return note

    def _begin(self, walk: Walk) -> None:
        edges = [tape.edge_of(t) for t in self.tensors]
        self.walk, self.grads = walk, [None] * len(edges)
        self.missing = sum(1 for e in edges if e is not None and walk.expected(e))
