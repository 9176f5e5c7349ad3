"""Hooks: functions that a module calls around ``forward``, and around its part of backward."""

from __future__ import annotations

import itertools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fovea import watching
from fovea.autograd import Function, is_grad_enabled
from fovea.errors import GradientError
from fovea.tensorbase import RemovableHandle, is_tensor

__all__ = [
    "Hook",
    "Hooks",
    "hooks_of_all",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
    "registered",
]

_keys = itertools.count()


class Hook(NamedTuple):
    """A registered function and how it wants to be called."""

    function: Callable[..., Any]
    with_kwargs: bool = False
    always_call: bool = False


HookDict = OrderedDict[int, Hook]

# Of all modules: they run before a module's own.
_pre: HookDict = OrderedDict()
_after: HookDict = OrderedDict()
_backward_pre: HookDict = OrderedDict()
_backward: HookDict = OrderedDict()
_registration: dict[str, OrderedDict[int, Callable[..., Any]]] = {
    "buffer": OrderedDict(),
    "module": OrderedDict(),
    "parameter": OrderedDict(),
}


class Hooks:
    """The part of ``Module`` that keeps hooks and calls them."""

    _forward_pre_hooks: HookDict
    _forward_hooks: HookDict
    _backward_pre_hooks: HookDict
    _backward_hooks: HookDict
    forward: Callable[..., Any]
    _hooked: bool = False  # whether a hook was ever registered: all that a call has to check

    def _add_hook(self, hooks: HookDict, hook: Hook, prepend: bool) -> RemovableHandle:
        """Add a hook at the end (or the front); the handle takes it off again."""
        self._hooked = True
        watching.touch()
        key = next(_keys)
        hooks[key] = hook
        if prepend:
            hooks.move_to_end(key, last=False)
        return RemovableHandle(hooks, key)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before ``forward``; what it returns replaces the arguments.

        Args:
            prepend: run before the hooks that are there.
            with_kwargs: call ``hook(module, args, kwargs)``, which returns None or both.
        """
        return self._add_hook(self._forward_pre_hooks, Hook(hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after ``forward``; what it returns is the new output.

        Args:
            prepend: run before the hooks that are there.
            with_kwargs: call ``hook(module, args, kwargs, output)``.
            always_call: call it also when ``forward`` raised (with output None).

        >>> import fovea
        >>> layer = fovea.nn.Identity()
        >>> handle = layer.register_forward_hook(lambda module, args, output: output * 2)
        >>> layer(fovea.ones(1))
        tensor([2.])
        >>> handle.remove()
        """
        return self._add_hook(self._forward_hooks, Hook(hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when the outputs' gradients are known.

        What it returns replaces them.
        """
        return self._add_hook(self._backward_pre_hooks, Hook(hook), prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the inputs' gradients are known.

        What it returns replaces ``grad_input``. Entries are None for arguments that are no tensors
        or need no gradient.
        """
        return self._add_hook(self._backward_hooks, Hook(hook), prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``register_full_backward_hook``, which PyTorch advises to use instead.

        ``grad_input`` is that of the module's inputs; PyTorch's is of its last operation.
        """
        return self.register_full_backward_hook(hook)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if Hooks._hooked and not (_pre or _after or _backward or _backward_pre):
            Hooks._hooked = False  # those of all modules were taken off
        done: set[int] = set()
        try:
            return self._hooked_forward(args, kwargs, done)
        except Exception:
            self._call_always(args, kwargs, done)
            raise

    def _hooked_forward(self, args: tuple[Any, ...], kwargs: dict[str, Any], done: set[int]) -> Any:
        for hook in (*_pre.values(), *self._forward_pre_hooks.values()):
            args, kwargs = self._before(hook, args, kwargs)
        watch = None
        if self._backward_hooks or self._backward_pre_hooks or _backward or _backward_pre:
            hooks = (*_backward.values(), *self._backward_hooks.values())
            pre_hooks = (*_backward_pre.values(), *self._backward_pre_hooks.values())
            watch = BackwardWatch(self, hooks, pre_hooks)
            args = watch.inputs(args)
        result = self.forward(*args, **kwargs)
        for key, hook in (*_after.items(), *self._forward_hooks.items()):
            done.add(key)
            replaced = self._after(hook, args, kwargs, result)
            result = result if replaced is None else replaced
        return result if watch is None else watch.outputs(result)

    def _before(
        self, hook: Hook, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not hook.with_kwargs:
            replaced = hook.function(self, args)
            if replaced is not None:
                args = replaced if isinstance(replaced, tuple) else (replaced,)
            return args, kwargs
        both = hook.function(self, args, kwargs)
        if both is None:
            return args, kwargs
        if not isinstance(both, tuple) or len(both) != 2:
            raise TypeError(
                "a forward pre-hook with_kwargs must return None or (args, kwargs), "
                f"got {type(both).__name__}."
            )
        return both

    def _after(self, hook: Hook, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        if hook.with_kwargs:
            return hook.function(self, args, kwargs, result)
        return hook.function(self, args, result)

    def _call_always(self, args: tuple[Any, ...], kwargs: dict[str, Any], done: set[int]) -> None:
        """``forward`` or a hook raised: run the hooks that want to be called all the same."""
        for key, hook in (*_after.items(), *self._forward_hooks.items()):
            if hook.always_call and key not in done:
                try:
                    self._after(hook, args, kwargs, None)
                except Exception as error:  # the first error is the one to report
                    warnings.warn(
                        f"a forward hook with always_call raised {error!r} while another error "
                        "was on its way.",
                        stacklevel=2,
                    )


# -- hooks of all modules -------------------------------------------------------------------------


def hooks_of_all() -> list[tuple[int, ...]]:
    """The numbers of the hooks that all modules have: another hook has another number."""
    return [tuple(hooks) for hooks in (_pre, _after, _backward_pre, _backward)]


def _for_all(hooks: HookDict, hook: Hook) -> RemovableHandle:
    Hooks._hooked = True
    watching.touch()
    key = next(_keys)
    hooks[key] = hook
    return RemovableHandle(hooks, key)


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """``register_forward_pre_hook`` of every module, before a module's own."""
    return _for_all(_pre, Hook(hook))


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """``register_forward_hook`` of every module, before a module's own.

    >>> import fovea
    >>> handle = register_module_forward_hook(lambda module, args, output: print(module))
    >>> out = fovea.nn.Sequential(fovea.nn.ReLU())(fovea.ones(1))
    ReLU()
    Sequential(
      (0): ReLU()
    )
    >>> handle.remove()
    """
    return _for_all(_after, Hook(hook, with_kwargs, always_call))


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """``register_full_backward_pre_hook`` of every module, before a module's own."""
    return _for_all(_backward_pre, Hook(hook))


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """``register_full_backward_hook`` of every module, before a module's own."""
    return _for_all(_backward, Hook(hook))


def register_module_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """``register_backward_hook`` of every module, before a module's own."""
    return register_module_full_backward_hook(hook)


def _registered_by(kind: str, hook: Callable[..., Any]) -> RemovableHandle:
    key = next(_keys)
    _registration[kind][key] = hook
    return RemovableHandle(_registration[kind], key)


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, buffer)`` where any module gets one; it may return another."""
    return _registered_by("buffer", hook)


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, submodule)`` where any module gets one; it may return another."""
    return _registered_by("module", hook)


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(module, name, param)`` where any module gets one; it may return another."""
    return _registered_by("parameter", hook)


def registered(kind: str, module: Hooks, name: str, value: Any) -> Any:
    """What registration hooks make of a module's new parameter, buffer or module."""
    for hook in _registration[kind].values():
        replaced = hook(module, name, value)
        value = value if replaced is None else replaced
    return value


# -- backward -------------------------------------------------------------------------------------


class BackwardWatch:
    """Stands on a module's inputs and outputs during one call and passes gradients to its hooks."""

    def __init__(self, module: Hooks, hooks: Sequence[Hook], pre_hooks: Sequence[Hook]) -> None:
        self.module = module
        self.hooks = [h.function for h in hooks]
        self.pre_hooks = [h.function for h in pre_hooks]
        self.arguments = 0
        self.watches_inputs = False
        self.grad_outputs: tuple[Any, ...] | None = None

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, with a node before them that calls the hooks."""
        self.arguments = len(args)
        out, self.watches_inputs = _through(_InputBarrier, self, args)
        return out

    def outputs(self, result: Any) -> Any:
        """The result, with a node behind it that notes its gradients."""
        if isinstance(result, tuple):
            return _through(_OutputBarrier, self, result)[0]
        return _through(_OutputBarrier, self, (result,))[0][0] if is_tensor(result) else result

    def gradients_arrived(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """The outputs' gradients are known."""
        self.grad_outputs = grads
        for hook in self.pre_hooks:
            replaced = hook(self.module, self.grad_outputs)
            if replaced is not None:
                self.grad_outputs = _as_tuple(replaced, len(grads), "pre-hook", "grad_output")
        if not self.watches_inputs:
            nothing = (None,) * self.arguments
            for hook in self.hooks:
                self._no_replacement(hook(self.module, nothing, self.grad_outputs))
        return self.grad_outputs

    def _no_replacement(self, replaced: Any) -> None:
        given = replaced if isinstance(replaced, tuple) else (replaced,)
        if any(g is not None for g in given):
            raise GradientError(
                "a backward hook replaced grad_input, but no input requires a gradient."
            )

    def gradients_leave(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs' gradients are known."""
        if self.grad_outputs is None:
            raise GradientError("backward reached a module's inputs but not its outputs.")
        for hook in self.hooks:
            replaced = hook(self.module, grads, self.grad_outputs)
            if replaced is not None:
                grads = _as_tuple(replaced, len(grads), "hook", "grad_input")
        return grads


def _as_tuple(value: Any, n: int, kind: str, what: str) -> tuple[Any, ...]:
    out = value if isinstance(value, tuple) else (value,)
    if len(out) != n:
        raise GradientError(
            f"a backward {kind} returned {len(out)} gradients for {n} entries of {what}."
        )
    return out


class _Barrier(Function):
    """The identity, on the tape."""

    @staticmethod
    def forward(
        ctx: Any, watch: BackwardWatch, places: Sequence[int], n: int, *tensors: Any
    ) -> Any:
        ctx.watch, ctx.places, ctx.n = watch, places, n
        ctx.set_materialize_grads(False)
        return tensors


class _InputBarrier(_Barrier):
    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (None, None, None, *_spread(ctx, grads, ctx.watch.gradients_leave))


class _OutputBarrier(_Barrier):
    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (None, None, None, *_spread(ctx, grads, ctx.watch.gradients_arrived))


def _spread(ctx: Any, grads: tuple[Any, ...], call: Callable[..., Any]) -> tuple[Any, ...]:
    """Gradients of tensors as entries of all arguments (others None), through a call, and back."""
    entries: list[Any] = [None] * ctx.n
    for place, g in zip(ctx.places, grads, strict=True):
        entries[place] = g
    replaced = call(tuple(entries))
    return tuple(replaced[place] for place in ctx.places)


def _through(
    barrier: type[_Barrier], watch: BackwardWatch, values: tuple[Any, ...]
) -> tuple[tuple[Any, ...], bool]:
    """Pass the tensors among ``values`` through a barrier, if any of them needs a gradient."""
    places = [i for i, v in enumerate(values) if is_tensor(v)]
    if not is_grad_enabled() or not any(values[i].requires_grad for i in places):
        return values, False
    passed = barrier.apply(watch, places, len(values), *(values[i] for i in places))
    out = list(values)
    for i, t in zip(places, passed, strict=True):
        out[i] = t
    return tuple(out), True
