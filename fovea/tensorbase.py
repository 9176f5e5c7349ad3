"""What a tensor is made of: bytes seen through shape and strides, and its place on the tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeGuard

import numpy as np

from fovea import devices, dispatch, watching
from fovea.dtypes import DType
from fovea.errors import DTypeError, GradientError, InplaceError
from fovea.form import Form
from fovea.size import Size
from fovea.storage import Storage
from fovea.targets.base import SLOTS, blank, make_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["TensorBase", "is_tensor"]


class TensorBase:
    """Storage, shape, strides, offset and dtype; and where gradients go.

    Attributes:
        storage: the bytes and their version.
        shape: a ``Size``.
        strides, offset: in elements.
        dtype: a ``DType``.
        grad: the gradient that backward summed up, or None.
    """

    # What every op looks at lies in slots, which `blank` sets; the rest are defaults of the class.
    __slots__ = (*SLOTS, "__dict__", "__weakref__")

    storage: Storage
    shape: Size
    strides: tuple[int, ...]
    offset: int
    dtype: DType
    device = devices.CPU
    _form: Form | None  # shape, strides and dtype as one object, once somebody asked for it

    grad: Tensor | None = None
    _requires_grad: bool
    _node: Any
    _output_nr: int
    _hooks: list[Callable[..., Any]] | None = None
    _post_hooks: list[Callable[..., Any]] | None = None
    _retains_grad: bool = False
    _grad_shared: bool = False  # as a gradient: somebody besides the walk holds it
    _grad_owned: bool = False  # as a gradient: a sum that only the walk holds
    # Views: the tensor whose memory this is, how to derive this view from it, and the base's state
    # when that was last done.
    _base: Tensor | None
    _replay: tuple[Any, ...]
    _view_stamp: int
    _graph_version: int
    _level: int  # of the `vmap` whose samples this stands for, if any

    # -- making -------------------------------------------------------------------------------

    @classmethod
    def _make(
        cls,
        storage: Storage,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        offset: int,
        dtype: DType,
    ) -> Self:
        """A tensor over existing bytes."""
        t = blank(cls)
        t.storage = storage
        t.shape = shape
        t.strides = strides
        t.offset = offset
        t.dtype = dtype
        return t

    @staticmethod
    def _make_view(
        x: Any,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        offset: int,
        op: Any,
        attrs: Any,
    ) -> Tensor:
        """A view of ``x`` made by a view op; remembers how, for in-place changes. A plain tensor,
        whatever ``x`` is.
        """
        t = make_tensor(x.storage, shape, strides, offset, x.dtype)
        base = x._base
        if base is None:
            t._base, t._replay = x, ((op, attrs),)
        else:
            t._base, t._replay = base, (*x._replay, (op, attrs))
        t._view_stamp = t._base._graph_version
        return t

    def _alias(self) -> Tensor:
        """The same bytes, not on the tape."""
        return make_tensor(self.storage, self.shape, self.strides, self.offset, self.dtype)

    def _autograd_alias(self) -> Tensor:
        """The same bytes at the present place on the tape: the tensor 'as it was' before a change
        in place.
        """
        alias = self._alias()
        if self.requires_grad:
            alias._requires_grad, alias._node, alias._output_nr = (
                True,
                self.grad_fn,
                self._output_nr,
            )
        return alias

    # -- memory -------------------------------------------------------------------------------

    @property
    def address(self) -> int:
        """Byte address of the first element."""
        return self.storage.address + self.offset * self.dtype.itemsize

    @property
    def _version(self) -> int:
        return self.storage.version

    def _array(self) -> np.ndarray[Any, Any]:
        """A NumPy view of the elements (works for tensors on the tape too; for internal use)."""
        return self.storage.array(self.shape, self.strides, self.offset, self.dtype.numpy)

    # -- autograd -----------------------------------------------------------------------------

    def _set_node(self, node: Any, output_nr: int) -> None:
        self._node, self._output_nr, self._requires_grad = node, output_nr, True
        if self._base is not None:
            self._view_stamp = self._base._graph_version

    def _sync_view(self) -> None:
        """If the base was changed in place since, this view comes from the changed base: derive it
        anew.
        """
        base = self._base
        if base is None or self._view_stamp == base._graph_version:
            return
        from fovea.tape import replayed

        before = dispatch.set_grad_enabled(True)
        try:
            fresh = replayed(base, self._replay)
        finally:
            dispatch.set_grad_enabled(before)
        self._node, self._output_nr, self._requires_grad = (
            fresh._node,
            fresh._output_nr,
            fresh._requires_grad,
        )
        self._view_stamp = base._graph_version

    @property
    def requires_grad(self) -> bool:
        """Whether backward computes a gradient for this tensor; may be set on leaves."""
        if self._base is not None:
            self._sync_view()
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not self.is_leaf and not value:
            raise GradientError(
                "requires_grad can be switched off only on leaf tensors.", fix="use y = x.detach()"
            )
        if value and not self.dtype.is_inexact:
            raise DTypeError(
                "only floating-point and complex tensors can require gradients, this is "
                f"{self.dtype.name}."
            )
        if self.is_leaf:
            watching.touch()
            self._requires_grad = bool(value)

    @property
    def grad_fn(self) -> Any:
        """The node that made this tensor, or None for a leaf."""
        if self._base is not None:
            self._sync_view()
        return self._node

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op made this tensor."""
        return self.grad_fn is None

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set ``requires_grad`` and return the tensor."""
        self.requires_grad = requires_grad
        return self

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Sum the gradients of this tensor into the ``.grad`` of the leaves it came from.

        Args:
            gradient: the gradient with respect to this tensor; may be left out for a scalar.
            retain_graph: keep what was saved, so that backward can run again.
            create_graph: record backward itself, for higher derivatives.
            inputs: sum only into these tensors.

        >>> import fovea
        >>> x = fovea.tensor([1.0, 2.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([2., 4.])
        """
        from fovea.backward import backward

        chosen: Any = [inputs] if isinstance(inputs, TensorBase) else inputs
        this: Any = self
        backward(
            [this],
            [gradient],
            retain_graph=retain_graph,
            create_graph=create_graph,
            inputs=chosen,
        )

    def detach(self) -> Tensor:
        """The same memory, outside the tape."""
        alias = self._alias()
        if self._base is not None or self._node is not None:
            alias._graph_version = 0
        return alias

    def detach_(self) -> Self:
        """Take this tensor off the tape: it becomes a leaf."""
        if self._base is not None:
            raise InplaceError("detach_: a view cannot be detached in place.", fix="use detach()")
        self._node, self._requires_grad = None, False
        return self

    @property
    def data(self) -> Tensor:
        """The values without the tape. Assigning replaces the memory, whatever backward thinks."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        watching.touch()
        self.storage, self.shape, self.strides = value.storage, value.shape, value.strides
        self.offset, self.dtype, self._form = value.offset, value.dtype, value._form

    def retain_grad(self) -> None:
        """Make backward fill ``.grad`` of this tensor although it is no leaf."""
        if self.is_leaf or self._retains_grad:
            return
        self._retains_grad = True

        def keep(g: Tensor) -> None:
            self.grad = g.detach().clone() if self.grad is None else self.grad + g

        self.register_hook(keep)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(grad)`` when this tensor's gradient is known; what it returns replaces it."""
        if not self.requires_grad:
            raise GradientError("register_hook: the tensor does not require a gradient.")
        node = self.grad_fn
        if node is None:
            if self._hooks is None:
                self._hooks = []
            watching.touch()
            hooks = self._hooks
        else:
            if node.hooks is None:
                node.hooks = {}
            hooks = node.hooks.setdefault(self._output_nr, [])
        hooks.append(hook)
        return RemovableHandle(hooks, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call ``hook(tensor)`` each time a gradient has been summed into this leaf's ``.grad``."""
        if not self.is_leaf:
            raise GradientError(
                "register_post_accumulate_grad_hook: only leaf tensors accumulate gradients."
            )
        if self._post_hooks is None:
            self._post_hooks = []
        watching.touch()
        self._post_hooks.append(hook)
        return RemovableHandle(self._post_hooks, hook)


class RemovableHandle:
    """What registering a hook returns; ``remove()`` takes the hook off. Also a context manager."""

    def __init__(self, hooks: Any, hook: Any) -> None:
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        """Take the hook off; does nothing the second time."""
        watching.touch()
        if isinstance(self._hooks, dict):
            self._hooks.pop(self._hook, None)
        elif self._hook in self._hooks:
            self._hooks.remove(self._hook)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def is_tensor(obj: object) -> TypeGuard[Tensor]:
    """Whether ``obj`` is a fovea tensor.

    >>> import fovea
    >>> fovea.is_tensor(fovea.ones(2)), fovea.is_tensor([1, 2])
    (True, False)
    """
    return isinstance(obj, TensorBase)
