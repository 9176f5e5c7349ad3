"""Guards: what a capture took as constant, and whether it still holds.

Most of it can change only through doors that raise `watching.epoch` (attributes of modules,
``requires_grad``, the memory of a parameter, an optimizer's groups): one comparison of integers
tells that nothing did. The rest, what functions read by name (`variables.py`), is compared in each
call.
"""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any

from fovea import watching
from fovea.compiler.variables import (
    FUNCTIONS,
    MOST_ITEMS,
    SCALARS,
    UNREAD,
    Same,
    Variables,
    reached,
    read_by,
)
from fovea.errors import describe
from fovea.form import form_of
from fovea.graph.graph import State
from fovea.nn.hooks import hooks_of_all
from fovea.tensorbase import is_tensor

__all__ = ["Guards"]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class _ModuleGuard:
    """A module's attributes that are plain, functions or tensors, which parameters and buffers it
    holds, and their flags. Attributes whose names begin with _ count if the user's code reads them.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self._read = read_by(type(module))
        self.seen = self._look()

    def _look(self) -> Any:
        own = self.module.__dict__
        plain = tuple(
            (k, _plain(v))
            for k, v in own.items()
            if (k[0] != "_" or k in self._read) and k not in UNREAD and _is_constant(v)
        )
        tensors = [
            (
                name,
                Same(t),
                None if t is None else (Same(t.storage), form_of(t), t._requires_grad),
            )
            for registry in ("_parameters", "_buffers")
            for name, t in own[registry].items()
        ]
        children = [(name, Same(m)) for name, m in own["_modules"].items()]
        hooks = [tuple(own[k]) for k in _HOOKS if k in own]
        return (plain, tensors, children, hooks)

    @property
    def turned(self) -> bool:
        """Whether an attribute that was true is false by now, or the other way round."""
        before, now = (dict(seen[0]) for seen in (self.seen, self._look()))
        return any(v[0] is bool and now.get(k) != v for k, v in before.items())

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
    return isinstance(value, SCALARS) or (
        isinstance(value, list | tuple)
        and len(value) <= MOST_ITEMS
        and all(isinstance(v, SCALARS) for v in value)
    )


def _is_constant(value: Any) -> bool:
    return _is_plain(value) or is_tensor(value) or isinstance(value, FUNCTIONS)


def _plain(value: Any) -> Any:
    if not _is_plain(value):
        return (type(value), Same(value))
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


def _forward_of(module: Any) -> Any:
    """What a call of a module runs: perhaps a function that was put into this one."""
    own, kind = module.__dict__.get("forward"), type(module)
    return own or getattr(kind, "call", getattr(kind, "forward", None))


def _held_by(tensor: Any) -> tuple[Any, ...]:
    """Whether a state is a leaf that gets a gradient, its memory, and how it lies there."""
    leaf = tensor._node is None and tensor._base is None
    where = (Same(tensor.storage), form_of(tensor), tensor.offset)
    return (leaf and tensor._requires_grad, *where)


def _hooks_of(leaf: Any) -> tuple[list[Any], list[Any]]:
    return [*(leaf._hooks or ())], [*(leaf._post_hooks or ())]


class Guards:
    """What a capture took as constant.

    Args:
        function: the captured function.
        given: its arguments.
    """

    def __init__(self, function: Any, given: Iterable[Any] = ()) -> None:
        self.function, self.given = function, [*given]
        self._called: dict[int, Any] = {}
        self._modules: dict[int, _ModuleGuard] = {}  # those and all within
        self._optimizers: dict[int, _OptimizerGuard] = {}
        self._dropped: set[int] = set()  # the ids of leaves
        self._grads: dict[int, tuple[Any, Any]] = {}
        self._variables = Variables(())
        self._states: list[tuple[Any, Any]] = []
        self._leaves: list[tuple[Any, Any]] = []  # and their hooks
        self._owner = getattr(function, "__self__", None)
        self._owner_seen: Any = None
        self._epoch = -1
        self._failed_at = (-1, "")

    # -- while tracing ----------------------------------------------------------------------------

    def on_module(self, module: Any) -> None:
        """A module is called, which may use those within without calling them (`ModuleList`)."""
        if id(module) in self._called:
            return
        self._called[id(module)] = module
        if id(module) not in self._modules:
            for inner in module.modules():
                self._modules.setdefault(id(inner), _ModuleGuard(inner))

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
        for module in self._called.values():
            kind = type(module)
            starts += [getattr(kind, name) for name in ("forward", "call") if hasattr(kind, name)]
        return list({f: None for start in starts for f, _ in reached(start)})

    def finish(
        self, states: tuple[State, ...], parts: list[Any], entry_grads: dict[int, Any]
    ) -> None:
        """The call is over: note its states, and variables.

        Args:
            parts: tensors that lie within states.
            entry_grads: ``.grad`` of leaves when the call began, where that is known.
        """
        starts = [(self.function, (self._owner, *self.given))]
        starts += [(_forward_of(m), (m,)) for m in self._called.values()]
        self._variables = Variables(r for f, given in starts for _, r in reached(f, given))
        found = [*(s.tensor for s in states), *parts]
        self._states = [(t, _held_by(t)) for t in found]
        self._leaves = [(leaf, _hooks_of(leaf)) for leaf, _ in self._grads.values()]
        self._hooks_of_all = hooks_of_all()
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
        # What the call found false and made true decides differently the next time.
        turned = any(guard.turned for guard in self._modules.values())
        self._epoch = -1 if turned else watching.epoch
        self.given = []

    def _look_at_owner(self) -> Any:
        owner = self._owner
        if owner is None or is_tensor(owner) or not hasattr(owner, "__dict__"):
            return None
        unread = (*UNREAD, *getattr(type(owner), "_notes", ()))
        return tuple(
            (k, _plain(v))
            for k, v in owner.__dict__.items()
            if k not in unread and (_is_plain(v) or is_tensor(v))
        )

    # -- before each call -------------------------------------------------------------------------

    def failed(self) -> str:
        """What no longer holds, or an empty string. Hyper-parameters are brought up to date."""
        changed = self._variables.changed()
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
        for tensor, (flag, *held) in self._states:
            now, *found = _held_by(tensor)
            if now != flag:
                return f"requires_grad of {describe(tensor)} changed"
            if found != held:
                return "the memory of a parameter or buffer was replaced"
        if hooks_of_all() != self._hooks_of_all or any(
            _hooks_of(leaf) != hooks for leaf, hooks in self._leaves
        ):
            return "hooks of all modules, or of a tensor, changed"
        if [o.states() for o in self._optimizers.values()] != self._optimizer_states:
            return "an optimizer's state was replaced"
        return ""
