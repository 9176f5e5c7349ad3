"""The base of optimizers, with PyTorch's names: groups, state, hooks, saving and loading."""

from __future__ import annotations

import copy
import functools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

from fovea import dtypes, watching
from fovea.errors import ArgumentError
from fovea.functions.creation import as_tensor, scalar_tensor
from fovea.ops.update import SCALAR_STATES
from fovea.tensorbase import RemovableHandle, is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()  # a default of optimizers of one's own: each group must give a value
Group = dict[str, Any]
Hooks = dict[object, Callable[..., Any]]

_pre_hooks_of_all: Hooks = {}
_post_hooks_of_all: Hooks = {}


def _register(hooks: Hooks, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
    key = object()
    others = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[key] = hook
    hooks.update(others)
    return RemovableHandle(hooks, key)


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` before each step of every optimizer."""
    return _register(_pre_hooks_of_all, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call ``hook(optimizer, args, kwargs)`` after each step of every optimizer."""
    return _register(_post_hooks_of_all, hook)


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` with its hooks around it; schedulers see that it was called."""

    @functools.wraps(step)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        self: Optimizer = args[0]
        if self._stepping:  # a subclass's step calls its parent's
            return step(*args, **kwargs)
        self._stepping = self._opt_called = True
        try:
            for hook in (*_pre_hooks_of_all.values(), *self._optimizer_step_pre_hooks.values()):
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not isinstance(changed, tuple) or len(changed) != 2:
                        raise TypeError(
                            f"a step pre-hook returns None or (args, kwargs), got {changed}."
                        )
                    args, kwargs = changed
            out = step(*args, **kwargs)
            for hook in (*self._optimizer_step_post_hooks.values(), *_post_hooks_of_all.values()):
                hook(self, args, kwargs)
            return out
        finally:
            self._stepping = False

    wrapper._notes_calls = True  # type: ignore[attr-defined]
    return wrapper


class Optimizer:
    """Base of all optimizers. A subclass gives ``step``.

    Args:
        params: an iterable of the tensors to optimize, of ``(name, tensor)`` pairs, or of groups:
            dicts with ``params`` and the options that differ from ``defaults``.
        defaults: the options of groups that don't give their own.

    Raises:
        ArgumentError: no parameters, or one of them in two groups.
        TypeError: something that is no tensor.
    """

    _stepping = False
    _opt_called = False

    def __init_subclass__(cls) -> None:
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if is_tensor(params):
            raise TypeError("params must be an iterable of tensors or groups, got one tensor.")
        self.defaults = defaults
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._make_hooks()
        groups = list(params)
        if not groups:
            raise ArgumentError(
                "optimizer got an empty parameter list.",
                fix="pass model.parameters(); a Keras model has none before it is built: "
                "give it an Input, or call it on data, first",
            )
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _make_hooks(self) -> None:
        self._optimizer_step_pre_hooks: Hooks = {}
        self._optimizer_step_post_hooks: Hooks = {}
        self._optimizer_state_dict_pre_hooks: Hooks = {}
        self._optimizer_state_dict_post_hooks: Hooks = {}
        self._optimizer_load_state_dict_pre_hooks: Hooks = {}
        self._optimizer_load_state_dict_post_hooks: Hooks = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        watching.touch()
        self.__dict__.update(state)
        if "_optimizer_step_pre_hooks" not in self.__dict__:
            self._make_hooks()
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])

    # -- groups --------------------------------------------------------------------------------

    def add_param_group(self, param_group: Group) -> None:
        """Add a group: ``params``, and options that differ from the defaults.

        Raises:
            ArgumentError: a parameter that is no leaf, or is in another group.
            TypeError: something that is no tensor, or a set, whose order is not settled.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, got {type(param_group).__name__}.")
        given = param_group["params"]
        if isinstance(given, set):
            raise TypeError("params must be in order: a set is not; pass a list.")
        items = [given] if is_tensor(given) else list(given)
        names = [item[0] for item in items if isinstance(item, tuple)]
        if names:
            if len(names) != len(items):
                raise ArgumentError("either all parameters have names or none.")
            param_group["param_names"] = names
            items = [item[1] for item in items]
        param_group["params"] = items
        for p in items:
            if not is_tensor(p):
                raise TypeError(f"an optimizer changes tensors, got {type(p).__name__}.")
            if not (p.is_leaf or p._retains_grad):
                raise ArgumentError(
                    "can't optimize a non-leaf tensor.", fix="x.detach().requires_grad_()"
                )
        for name, value in self.defaults.items():
            if value is required and name not in param_group:
                raise ArgumentError(f"a group of parameters gives no value for {name!r}.")
            param_group.setdefault(name, value)
        self._check_group(param_group)
        watching.touch()
        self.param_groups.append(param_group)

    def _check_group(self, group: Group) -> None:
        ids = {id(p) for p in group["params"]}
        if len(ids) != len(group["params"]):
            warnings.warn("a parameter group holds a parameter twice.", stacklevel=4)
        for other in self.param_groups:
            if ("param_names" in group) != ("param_names" in other):
                raise ArgumentError("either all parameter groups have names or none.")
            if any(id(p) in ids for p in other["params"]):
                raise ArgumentError("some parameters appear in more than one parameter group.")

    # -- stepping ------------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients, or set them to zero with ``set_to_none=False``."""
        watcher = watching.watcher
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                    if watcher is not None:
                        watcher.drops_gradient(p)
                elif p.grad is not None:
                    if p.grad.requires_grad:
                        p.grad = p.grad.detach()
                    p.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the parameters by their gradients.

        Args:
            closure: computes the loss and gradients anew; called once, its result returned.
        """
        raise NotImplementedError(f"{type(self).__name__} has no step.")

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step; it may return new ones."""
        return _register(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return _register(self._optimizer_step_post_hooks, hook)

    # -- saving and loading --------------------------------------------------------------------

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer)`` before ``state_dict``."""
        return _register(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` after saving; it may return another one."""
        return _register(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer, state_dict)`` before loading; it may return another one."""
        return _register(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(optimizer)`` after loading."""
        return _register(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    def state_dict(self) -> dict[str, Any]:
        """The state and the groups, with parameters as numbers: what PyTorch saves, key by key.

        >>> import fovea
        >>> optimizer = fovea.optim.SGD([fovea.ones(2, requires_grad=True)], lr=0.1)
        >>> optimizer.state_dict()["param_groups"][0]["params"]
        [0]
        """
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed = {key: value for key, value in group.items() if key != "params"}
            groups.append({**packed, "params": [numbers[id(p)] for p in group["params"]]})
        state = {numbers[id(k)] if is_tensor(k) else k: v for k, v in self.state.items()}
        saved: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, saved)
            saved = saved if changed is None else changed
        return saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that ``state_dict`` (here or in PyTorch) gave. Tensors are copied.

        Raises:
            ArgumentError: the groups differ in number or size.
        """
        saved = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, saved)
            saved = saved if changed is None else changed
        groups = copy.deepcopy(saved["param_groups"])
        if len(groups) != len(self.param_groups):
            raise ArgumentError(
                f"the loaded state has {len(groups)} parameter groups, the optimizer "
                f"{len(self.param_groups)}."
            )
        for number, (old, new) in enumerate(zip(self.param_groups, groups, strict=True)):
            if len(old["params"]) != len(new["params"]):
                raise ArgumentError(
                    f"group {number} of the loaded state has {len(new['params'])} parameters, the "
                    f"optimizer's {len(old['params'])}."
                )
        flat_new = chain.from_iterable(g["params"] for g in groups)
        flat_old = chain.from_iterable(g["params"] for g in self.param_groups)
        params = dict(zip(flat_new, flat_old, strict=True))
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for key, value in saved["state"].items():
            state[params.get(key, key)] = _fitted(params[key], value) if key in params else value
        for old, new in zip(self.param_groups, groups, strict=True):
            new["params"] = old["params"]
            if "param_names" in old:
                new.setdefault("param_names", old["param_names"])
        self.__setstate__({"state": state, "param_groups": groups})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)


def _fitted(p: Tensor, value: Any, name: str = "") -> Any:
    """A copy of loaded state: tensors in the parameter's dtype, step counts as float32 tensors."""
    if name in SCALAR_STATES:
        return scalar_tensor(float(value), dtype=dtypes.float32)
    if is_tensor(value):
        dtype = p.dtype if p.dtype.is_floating_point else value.dtype
        return as_tensor(value.detach()).to(dtype).clone()
    if isinstance(value, dict):
        return {key: _fitted(p, item, key) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return type(value)(_fitted(p, item) for item in value)  # type: ignore[call-arg]
    return value
