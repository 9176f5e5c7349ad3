"""Guards: what a capture took as constant, and whether it still holds.

Most of it can change only through doors that raise `watching.epoch` (attributes of modules,
``requires_grad``, the memory of a parameter, an optimizer's groups): one comparison of integers
tells that nothing did. The rest, numbers that the function finds in its closure and globals, is
compared in each call.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from operator import is_
from typing import Any

from fovea import watching
from fovea.errors import _PACKAGE
from fovea.form import form_of
from fovea.graph.graph import State
from fovea.tensorbase import is_tensor

__all__ = ["Guards"]

_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_MOST_ITEMS = 64
_EMPTY = object()  # what a cell without a value holds
# What a training loop notes in a model: no step reads it. A class names more in ``_notes``.
_UNREAD = ("stop_training", "stop_evaluating", "stop_predicting", "_initial_epoch")


def _snapshot(value: Any) -> Any:
    """What can be compared later: a scalar itself, a short container's items, or nothing."""
    if isinstance(value, _SCALARS):
        return (type(value), value)
    if isinstance(value, list | tuple) and len(value) <= _MOST_ITEMS:
        return (type(value), tuple(_snapshot(v) for v in value))
    if isinstance(value, dict) and len(value) <= _MOST_ITEMS:
        items = tuple((k, _snapshot(v)) for k, v in value.items() if isinstance(k, _SCALARS))
        return (dict, items)
    return _Same(value)


class _Same:
    """Compares by identity."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    __hash__ = None  # type: ignore[assignment]


class _ModuleGuard:
    """A module's plain attributes, which parameters and buffers it holds, and their flags."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.seen = self._look()

    def _look(self) -> Any:
        own = self.module.__dict__
        plain = tuple(
            (k, _plain(v))
            for k, v in own.items()
            if k[0] != "_" and k not in _UNREAD and _is_plain(v)
        )
        tensors = [
            (
                name,
                _Same(t),
                None if t is None else (_Same(t.storage), form_of(t), t._requires_grad),
            )
            for registry in ("_parameters", "_buffers")
            for name, t in own[registry].items()
        ]
        children = [(name, _Same(m)) for name, m in own["_modules"].items()]
        hooks = [len(own[k]) for k in ("_forward_hooks", "_forward_pre_hooks") if k in own]
        return (plain, tensors, children, hooks)

    def changed(self) -> str:
        """What differs, or an empty string."""
        now = self._look()
        if now == self.seen:
            return ""
        name = type(self.module).__name__
        before, after = dict(self.seen[0]), dict(now[0])
        for key in {**before, **after}:
            if before.get(key) != after.get(key):
                return f"{name}.{key} changed from {_show(before, key)} to {_show(after, key)}"
        return f"the parameters, buffers, submodules or hooks of {name} changed"


def _show(values: dict[str, Any], key: str) -> str:
    found = values.get(key)
    return "nothing" if found is None else repr(found[1])


def _is_plain(value: Any) -> bool:
    return isinstance(value, _SCALARS) or (
        isinstance(value, list | tuple)
        and len(value) <= _MOST_ITEMS
        and all(isinstance(v, _SCALARS) for v in value)
    )


def _plain(value: Any) -> Any:
    return (type(value), tuple(value) if isinstance(value, list) else value)


class _OptimizerGuard:
    """An optimizer's kind of update; its numbers are tensors, brought up to date here."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.seen = self._look()

    def _look(self) -> Any:
        return [self.optimizer.attributes(g, False) for g in self.optimizer.param_groups]

    def changed(self) -> str:
        if self._look() != self.seen:
            return f"an option of {type(self.optimizer).__name__} changed"
        return ""

    def states(self) -> Any:
        """The identities of its states."""
        return [[(k, id(v)) for k, v in held.items()] for held in self.optimizer.state.values()]


class _Names:
    """Variables that a function reads from its closure and its globals."""

    def __init__(self, function: types.FunctionType) -> None:
        code = function.__code__
        self.globals = function.__globals__
        self.names = [n for n in _global_names(code) if n in self.globals]
        self.cells = list(zip(code.co_freevars, function.__closure__ or (), strict=True))
        self._held = self._found()
        self.seen = _snapshots(self._held)
        # Whether what they hold changes only if something else takes its place.
        self._fixed = not any(isinstance(v, list | tuple | dict) for v in self._held)

    def _found(self) -> list[Any]:
        held = self.globals.get
        return [held(n) for n in self.names] + [_content(cell) for _, cell in self.cells]

    def changed(self) -> str:
        found = self._found()
        if self._fixed and all(map(is_, found, self._held)):
            return ""
        now = _snapshots(found)
        if now == self.seen:
            self._held = found
            return ""
        names = [*self.names, *(name for name, _ in self.cells)]
        for name, a, b in zip(names, self.seen, now, strict=True):
            if a != b:
                return f"the variable {name!r} changed"
        return "a variable changed"

    def objects(self) -> Iterator[Any]:
        """What the variables hold."""
        return (v for v in self._found() if v is not _EMPTY)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


def _snapshots(values: list[Any]) -> list[Any]:
    return [_snapshot(v) for v in values]


def _global_names(code: types.CodeType) -> list[str]:
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _global_names(constant)
    return list(dict.fromkeys(names))


def _functions_of(function: Any) -> list[_Names]:
    """The variables of a function and of the user's functions that it can reach by name."""
    return [names for _, names in _reached(function)]


def _reached(function: Any) -> list[tuple[types.FunctionType, _Names]]:
    """A function and the user's functions that it can reach by name, with their variables."""
    found: list[tuple[types.FunctionType, _Names]] = []
    seen: set[int] = set()
    stack = [function]
    while stack and len(found) < _MOST_ITEMS:
        f = stack.pop()
        f = getattr(f, "__func__", f)
        f = getattr(f, "__wrapped__", f)
        if not isinstance(f, types.FunctionType) or id(f) in seen:
            continue
        seen.add(id(f))
        if f.__code__.co_filename.startswith(_PACKAGE):
            continue
        names = _Names(f)
        found.append((f, names))
        stack.extend(names.objects())
    return found


class Guards:
    """What a capture took as constant.

    Args:
        function: the captured function.
    """

    def __init__(self, function: Any) -> None:
        self.function = function
        self._modules: dict[int, _ModuleGuard] = {}
        self._optimizers: dict[int, _OptimizerGuard] = {}
        self._dropped: set[int] = set()  # the ids of leaves
        self._grads: dict[int, tuple[Any, Any]] = {}
        self._names: list[_Names] = []
        self._states: list[tuple[Any, Any, Any]] = []
        self._owner = getattr(function, "__self__", None)
        self._owner_seen: Any = None
        self._epoch = -1
        self._failed_at = (-1, "")

    # -- while tracing ----------------------------------------------------------------------------

    def on_module(self, module: Any) -> None:
        """A module is called."""
        if id(module) not in self._modules:
            self._modules[id(module)] = _ModuleGuard(module)

    def on_optimizer(self, optimizer: Any) -> None:
        """An optimizer takes a step."""
        if id(optimizer) not in self._optimizers:
            self._optimizers[id(optimizer)] = _OptimizerGuard(optimizer)

    def on_gradient(self, leaf: Any) -> None:
        """A gradient is about to be summed into a leaf's ``.grad``, as it is now."""
        self._grads.setdefault(id(leaf), (leaf, leaf.grad))

    def on_drop(self, leaf: Any) -> None:
        """A leaf's gradient is dropped, or there was none to drop."""
        if id(leaf) not in self._grads:
            self._dropped.add(id(leaf))

    @property
    def leaves(self) -> list[tuple[Any, Any]]:
        """Leaves that got gradients, with the ``.grad`` that they had just before."""
        return list(self._grads.values())

    def functions(self) -> list[types.FunctionType]:
        """The user's functions that the call may have come through."""
        starts = [self.function]
        for guard in self._modules.values():
            kind = type(guard.module)
            starts += [getattr(kind, name) for name in ("forward", "call") if hasattr(kind, name)]
        return list({f: None for start in starts for f, _ in _reached(start)})

    def finish(self, states: tuple[State, ...], entry_grads: dict[int, Any]) -> None:
        """The call is over: note its states, and variables.

        Args:
            entry_grads: ``.grad`` of leaves when the call began, where that is known.
        """
        self._names = _functions_of(self.function)
        for guard in self._modules.values():
            kind = type(guard.module)
            self._names += _functions_of(getattr(kind, "call", kind.forward))
        self._names = [n for n in self._names if n.names or n.cells]
        self._states = [(s.tensor, s.tensor.storage, s.tensor._form) for s in states]
        self._owner_seen = self._look_at_owner()
        # A leaf whose gradient was gone before backward came to it, though it was there when the
        # call began or `zero_grad` was called, starts afresh in each call, whatever it holds.
        self._grads = {
            key: (leaf, held)
            for key, (leaf, held) in self._grads.items()
            if held is not None or (key not in self._dropped and entry_grads.get(key) is None)
        }
        for optimizer in self._optimizers.values():
            optimizer.optimizer.sync()
        self._optimizer_states = [o.states() for o in self._optimizers.values()]
        self._epoch = watching.epoch

    def _look_at_owner(self) -> Any:
        owner = self._owner
        if owner is None or is_tensor(owner) or not hasattr(owner, "__dict__"):
            return None
        unread = (*_UNREAD, *getattr(type(owner), "_notes", ()))
        return tuple(
            (k, _plain(v)) for k, v in owner.__dict__.items() if k not in unread and _is_plain(v)
        )

    # -- before each call -------------------------------------------------------------------------

    def failed(self) -> str:
        """What no longer holds, or an empty string. Hyper-parameters are brought up to date."""
        for names in self._names:
            changed = names.changed()
            if changed:
                return changed
        for leaf, held in self._grads.values():
            if leaf.grad is not held:
                return "a gradient was dropped or replaced between calls"
        if self._owner_seen is not None and self._look_at_owner() != self._owner_seen:
            return f"an attribute of {type(self._owner).__name__} changed"
        for guard in self._optimizers.values():
            guard.optimizer.sync()
            changed = guard.changed()
            if changed:
                return changed
        if watching.epoch != self._epoch:
            if watching.epoch != self._failed_at[0]:
                self._failed_at = (watching.epoch, self._failed_slowly())
            if self._failed_at[1]:
                return self._failed_at[1]
            self._epoch = watching.epoch
        return ""

    def _failed_slowly(self) -> str:
        for guard in self._modules.values():
            changed = guard.changed()
            if changed:
                return changed
        for tensor, storage, form in self._states:
            if tensor.storage is not storage or tensor._form is not form:
                return "the memory of a parameter or buffer was replaced"
        if [o.states() for o in self._optimizers.values()] != self._optimizer_states:
            return "an optimizer's state was replaced"
        return ""
