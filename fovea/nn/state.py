"""Saving and loading a module's state: its parameters and persistent buffers, by dotted name."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from fovea.autograd import no_grad
from fovea.errors import FoveaError, describe
from fovea.nn.parameter import rebuilt
from fovea.tensorbase import RemovableHandle, is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["IncompatibleKeys", "State", "StateDictError"]

EXTRA = "_extra_state"
SHOWN = 20


class StateDictError(FoveaError, RuntimeError, KeyError):
    """A state that does not fit the module it is loaded into."""


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict`` could not place."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


class StateDict(OrderedDict[str, Any]):
    """An ordered dictionary of tensors; ``_metadata`` holds each module's version."""

    _metadata: OrderedDict[str, dict[str, Any]]


class _Replacing(NamedTuple):
    """A hook after a state was collected whose result is the state from then on."""

    hook: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        return self.hook(*arguments)


class _WithoutModule(NamedTuple):
    """A hook before a state is taken that does not want to know by whom."""

    hook: Callable[..., Any]

    def __call__(self, module: Any, *arguments: Any) -> Any:
        return self.hook(*arguments)


class State:
    """The part of ``Module`` that reads and writes state."""

    _version: int = 1
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]
    _state_dict_pre_hooks: OrderedDict[int, Any]
    _state_dict_hooks: OrderedDict[int, Any]
    _load_state_dict_pre_hooks: OrderedDict[int, Any]
    _load_state_dict_post_hooks: OrderedDict[int, Any]

    # -- hooks --------------------------------------------------------------------------------

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, prefix, keep_vars)`` before this module's state is collected."""
        return _added(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata)`` after it is collected."""
        return _added(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)`` before this module takes its part of a state."""
        return _added(self._load_state_dict_pre_hooks, hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(module, incompatible_keys)`` after this module took its part of a state."""
        return _added(self._load_state_dict_post_hooks, hook)

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """As ``register_state_dict_post_hook``, by PyTorch's older name: what the hook returns, if
        anything, takes the place of the state."""
        return _added(self._state_dict_hooks, _Replacing(hook))

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        """As ``register_load_state_dict_pre_hook``, by PyTorch's older name: the hook is called
        without the module, unless ``with_module``."""
        called = hook if with_module else _WithoutModule(hook)
        return _added(self._load_state_dict_pre_hooks, called)

    # -- saving -------------------------------------------------------------------------------

    def get_extra_state(self) -> Any:
        """What else a subclass wants in its state; overridden together with ``set_extra_state``."""
        raise RuntimeError("get_extra_state is called only where a subclass defines it.")

    def set_extra_state(self, state: Any) -> None:
        """Take what ``get_extra_state`` returned."""
        raise RuntimeError("set_extra_state is called only where a subclass defines it.")

    def _has_extra_state(self) -> bool:
        return type(self).get_extra_state is not State.get_extra_state

    def _persistent(self) -> dict[str, Tensor]:
        """This module's own parameters and persistent buffers."""
        hidden = self._non_persistent_buffers_set
        buffers = {k: v for k, v in self._buffers.items() if k not in hidden}
        return {k: v for k, v in {**self._parameters, **buffers}.items() if v is not None}

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        for name, t in self._persistent().items():
            destination[prefix + name] = t if keep_vars else t.detach()
        if self._has_extra_state():
            destination[prefix + EXTRA] = self.get_extra_state()

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """All parameters and persistent buffers by dotted name; the memory is shared.

        Args:
            args: the other arguments by place, as older programs give them.
            destination: a dictionary to add to.
            prefix: put before each name.
            keep_vars: return the parameters themselves instead of detached tensors.

        >>> import fovea
        >>> list(fovea.nn.Linear(2, 1).state_dict())
        ['weight', 'bias']
        """
        if args:
            given = [*args, *(destination, prefix, keep_vars)[len(args) :]]
            destination, prefix, keep_vars = given
        if destination is None:
            destination = StateDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook in self._state_dict_hooks.values():
            result = hook(self, destination, prefix, metadata)
            if isinstance(hook, _Replacing) and result is not None:
                destination = result
        return destination

    # -- loading ------------------------------------------------------------------------------

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy a state into the parameters and buffers.

        Nothing is copied that does not fit, and everything that does not fit is reported at once.

        Args:
            strict: raise if names are missing or left over; otherwise return them.
            assign: put the state's own tensors in, instead of copying their values.

        Raises:
            StateDictError: missing or unexpected names (if ``strict``), or shapes that differ.

        >>> import fovea
        >>> one, two = fovea.nn.Linear(2, 1), fovea.nn.Linear(2, 1)
        >>> one.load_state_dict(two.state_dict())
        <All keys matched successfully>
        """
        if not isinstance(state_dict, Mapping):
            kind = type(state_dict).__name__
            has = hasattr(state_dict, "state_dict")
            hint = "; its state_dict() is one" if has else ""
            raise TypeError(f"load_state_dict takes a dictionary, got {kind}{hint}.")
        loading = _Loading(getattr(state_dict, "_metadata", None), assign)
        loading.load(self, OrderedDict(state_dict), "")
        if loading.errors or (strict and (loading.missing or loading.unexpected)):
            raise loading.error(self, strict, state_dict)
        return IncompatibleKeys(loading.missing, loading.unexpected)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take this module's own entries; children take theirs. Overridden to accept old states."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(
                self,
                state_dict,
                prefix,
                local_metadata,
                strict,
                missing_keys,
                unexpected_keys,
                error_msgs,
            )
        own = self._persistent()
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, held in own.items():
            key = prefix + name
            if key not in state_dict:
                missing_keys.append(key)
                continue
            problem = self._take(name, held, state_dict[key], assign)
            if problem:
                error_msgs.append(f"{key}: {problem}")
        names = set(own)
        if self._has_extra_state():
            names.add(EXTRA)
            if prefix + EXTRA in state_dict:
                self.set_extra_state(state_dict[prefix + EXTRA])
            else:
                missing_keys.append(prefix + EXTRA)
        for key in state_dict:
            first, *deeper = key[len(prefix) :].split(".")
            if first not in (self._modules if deeper else names):
                unexpected_keys.append(key)

    def _state_hint(self, state: Mapping[str, Any]) -> str | None:
        """How to make a module that this state, which does not fit, would fit; None: unknown."""
        return None

    def _take(self, name: str, held: Tensor, value: Any, assign: bool) -> str | None:
        """Copy (or assign) one entry; returns what is wrong with it."""
        if not is_tensor(value):
            return f"a tensor is needed, the state has {type(value).__name__}"
        if value.shape != held.shape:
            if held.shape == () and value.shape == (1,):  # states of old versions hold such
                value = value.reshape(())
            else:
                return f"the state has {describe(value)}, the module {describe(held)}"
        if assign:
            registry = self._parameters if name in self._parameters else self._buffers
            registry[name] = rebuilt(value, held)
            return None
        with no_grad():
            held.copy_(value)
        return None


def _added(hooks: OrderedDict[int, Any], hook: Any) -> RemovableHandle:
    from fovea.nn.hooks import _keys

    key = next(_keys)
    hooks[key] = hook
    return RemovableHandle(hooks, key)


class _Loading:
    """One ``load_state_dict``: walks the modules and collects what does not fit."""

    def __init__(self, metadata: Any, assign: bool) -> None:
        self.metadata, self.assign = metadata or {}, assign
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.errors: list[str] = []

    def load(self, module: Any, state: OrderedDict[str, Any], prefix: str) -> None:
        """Give ``module`` its entries, which start with ``prefix``, and its children theirs."""
        local = dict(self.metadata.get(prefix[:-1], {}))
        if self.assign:
            local["assign_to_params_buffers"] = True
        module._load_from_state_dict(
            state, prefix, local, True, self.missing, self.unexpected, self.errors
        )
        for name, child in module._modules.items():
            if child is not None:
                inner = f"{prefix}{name}."
                own = OrderedDict((k, v) for k, v in state.items() if k.startswith(inner))
                self.load(child, own, inner)
        keys = IncompatibleKeys(self.missing, self.unexpected)
        for hook in module._load_state_dict_post_hooks.values():
            hook(module, keys)

    def error(self, module: Any, strict: bool, state: Mapping[str, Any]) -> StateDictError:
        """Everything that is wrong, in one error."""
        own = module.state_dict()
        entries = len(own)
        # Counters of batches are no weights: they do not count as missing in old states.
        absent = sum(name not in state and name not in self.missing for name in own)
        fits = entries - len(self.missing) - len(self.errors)
        fits -= absent if fits == absent else 0
        rows, counts = {}, []
        kinds = [("missing", self.missing), ("unexpected", self.unexpected)] if strict else []
        for kind, items in (*kinds, ("mismatched", self.errors)):
            if items:
                more = f"\n... and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
                text = "\n".join(items[:SHOWN]) + more
                rows[kind] = text.replace("\n", "\n" + " " * 14)
                counts.append(f"{len(items)} {kind}")
        wrong = self.missing[:1] and self.unexpected[:2000]
        near = difflib.get_close_matches(self.missing[0], wrong, 1, 0.5) if wrong else []
        if near and strict:
            rows["similar"] = f"{self.missing[0]} is missing, {near[0]} is there"
        if fits:
            rows["fits"] = f"all else: {fits} of the module's {entries} entries"
        out = "leave the mismatched names out and " if self.errors else ""
        fix = f"{out}pass strict=False to load what fits"
        if not fits and not self.errors:
            fix = _elsewhere(own, state) or "these look like another network's weights"
        hint = module._state_hint(state) or self._other_classes(own, state)
        if hint:
            fix = f"{hint}; or {fix}" if fits else hint
        return StateDictError(
            f"load_state_dict: the state does not fit {type(module).__name__}: "
            f"{', '.join(counts)}.",
            rows,
            fix,
        )

    def _other_classes(self, own: Mapping[str, Any], state: Mapping[str, Any]) -> str | None:
        """What to say where only a layer's number of outputs differs."""
        names = [line.partition(": ")[0] for line in self.errors]
        layers = {name.rpartition(".")[0] for name in names}
        if len(layers) != 1 or not all(n in own and is_tensor(state.get(n)) for n in names):
            return None
        pairs = [(state[name], own[name]) for name in names]
        sizes = {(a.shape[0], b.shape[0]) for a, b in pairs if a.shape[1:] == b.shape[1:]}
        if len(sizes) != 1 or self.missing or self.unexpected:
            return None
        ((theirs, ours),) = sizes
        layer = layers.pop()
        return f"{layer} has {theirs} outputs in the state and {ours} here: make it for {theirs}"


def _elsewhere(own: Mapping[str, Any], state: Mapping[str, Any]) -> str | None:
    """How a module's names are found in a checkpoint that has none of them itself."""
    inner = {f"[{key!r}]": value for key, value in state.items() if isinstance(value, Mapping)}
    for key, held in {"": state, **inner}.items():
        names = [str(name) for name in held]
        prefix = next((n.partition(".")[0] for n in names if n.partition(".")[2] in own), None)
        if prefix is None and not any(name in own for name in names):
            continue
        begin = "" if prefix is None else f" begin with {prefix + '.'!r}"
        where = f" are in state{key}" if key else ""
        joint = " and" if where and begin else ""
        return (
            f"its names{where}{joint}{begin}: fovea.interop.checkpoints."
            "find_state_dict(state, model.state_dict()) takes them out"
        )
    return None
