"""``Module``: what every layer and model is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Self

from fovea import devices, dtypes, watching
from fovea.errors import FoveaError
from fovea.nn.hooks import Hooks, registered
from fovea.nn.parameter import Buffer, Parameter
from fovea.nn.state import State
from fovea.tensorbase import is_tensor

__all__ = ["Module"]


class Module(Hooks, State):
    """Base of layers and models: holds parameters, buffers and other modules by attribute name.

    Subclass it, call ``super().__init__()`` first, assign parameters and modules to attributes, and
    write ``forward``. Calling the module runs ``forward`` with its hooks.

    Attributes:
        training: whether the module is in training mode; set by ``train()`` and ``eval()``.

    >>> import fovea
    >>> class Double(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = fovea.nn.Linear(2, 2)
    ...     def forward(self, x):
    ...         return self.layer(x) * 2
    >>> [name for name, _ in Double().named_parameters()]
    ['layer.weight', 'layer.bias']
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Any]
    _modules: dict[str, Module | None]

    def __init__(self) -> None:
        own = self.__dict__
        own["training"] = True
        own["_parameters"], own["_buffers"], own["_modules"] = {}, {}, {}
        own["_non_persistent_buffers_set"] = set()
        for hooks in _HOOKS:
            own[hooks] = OrderedDict()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if watching.join is not None:
            joined = watching.join(self, args, kwargs)
            if joined is not None:
                return joined
        if watching.watcher is not None:
            return watching.watcher.call_module(self, args, kwargs)
        return self._call(args, kwargs)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            if self._hooked:
                return self._call_with_hooks(args, kwargs)
            return self.forward(*args, **kwargs)
        except FoveaError as error:
            _note_path(error, self)
            raise

    # -- attributes ---------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        if "_parameters" not in own:
            raise AttributeError(
                f"{type(self).__name__!r} has no attribute {name!r}: "
                "super().__init__() has not been called."
            )
        if name in own["_parameters"]:
            return own["_parameters"][name]
        if name in own["_modules"]:
            return own["_modules"][name]
        if name in own["_buffers"]:
            return own["_buffers"][name]
        if name in own.get("_computed", ()):
            return own["_computed"][name].value(self)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name, "_modules")
            self.register_module(name, value)
        elif isinstance(value, Buffer):
            self._forget(name, "_buffers")
            self.register_buffer(name, value, value.persistent)
        else:
            self._set_plain(name, value)

    def _set_plain(self, name: str, value: Any) -> None:
        """Assign what is neither parameter, module nor buffer: also to an entry that there is."""
        own = self.__dict__
        watching.touch()
        for registry, what in (("_parameters", "Parameter"), ("_modules", "Module")):
            entries = own.get(registry)
            if entries is not None and name in entries:
                if value is not None:
                    raise TypeError(
                        f"cannot assign {type(value).__name__} to {name!r}: a {what} or None "
                        "is expected."
                    )
                entries[name] = None
                return
        buffers = own.get("_buffers")
        if buffers is not None and name in buffers:
            if value is not None and not is_tensor(value):
                raise TypeError(
                    f"cannot assign {type(value).__name__} to buffer {name!r}: a Tensor or None "
                    "is expected."
                )
            buffers[name] = value
            return
        if name in own.get("_computed", ()):
            own["_computed"][name].assign(self, value)
            return
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        watching.touch()
        for registry in (self._parameters, self._buffers, self._modules):
            if name in registry:
                del registry[name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        own = (self._parameters, self._buffers, self._modules, self.__dict__.get("_computed", ()))
        names = set(super().__dir__()).union(*own)
        return sorted(n for n in names if not n[:1].isdigit())

    def _forget(self, name: str, registry: str) -> None:
        """Before a name is set in one registry: it may not stand in another."""
        own = self.__dict__
        watching.touch()
        if "_parameters" not in own:
            raise AttributeError(
                f"cannot assign {name!r} before super().__init__() has been called."
            )
        own.pop(name, None)
        for other in ("_parameters", "_buffers", "_modules"):
            if other != registry:
                own[other].pop(name, None)
        own["_non_persistent_buffers_set"].discard(name)

    def _check_name(self, name: Any, kind: str, registry: dict[str, Any]) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(
                f"cannot register a {kind} before super().__init__() has been called."
            )
        if not isinstance(name, str):
            raise TypeError(f"a {kind}'s name must be a string, got {type(name).__name__}.")
        if not name or "." in name:
            raise KeyError(f"a {kind}'s name must not be empty nor hold a dot, got {name!r}.")
        if name not in registry and hasattr(self, name):
            raise KeyError(f"{type(self).__name__} already has an attribute {name!r}.")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter (or None, to keep the name free of one)."""
        self._check_name(name, "parameter", self.__dict__.get("_parameters", {}))
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot register {type(param).__name__} as parameter {name!r}: a Parameter or "
                "None is expected."
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"parameter {name!r} must be a leaf: make it from a tensor's values, and compute "
                "what depends on others in forward."
            )
        if param is not None:
            param = registered("parameter", self, name, param)
        watching.touch()
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add a tensor that is state but is not learned.

        Args:
            persistent: whether it is part of ``state_dict``.
        """
        self._check_name(name, "buffer", self.__dict__.get("_buffers", {}))
        if tensor is not None and not is_tensor(tensor):
            raise TypeError(
                f"cannot register {type(tensor).__name__} as buffer {name!r}: a Tensor or None "
                "is expected."
            )
        watching.touch()
        self._buffers[name] = registered("buffer", self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a module as the attribute ``name``."""
        self._check_name(name, "module", self.__dict__.get("_modules", {}))
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module.")
        module = registered("module", self, name, module)
        watching.touch()
        self._modules[name] = module
        if module is not None and module.training is None and self.training is not None:
            module.train(self.training)  # a Keras layer, which has no mode until it is told one

    def register_module(self, name: str, module: Module | None) -> None:
        """``add_module``."""
        self.add_module(name, module)

    # -- walking ------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all modules within, with their dotted names."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                inner = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, inner, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all modules within."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly within, with their names."""
        memo = set()
        for name, module in self._modules.items():
            if module is not None and module not in memo:
                memo.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly within."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        memo: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for outer, module in modules:
            for name, value in getattr(module, registry).items():
                if value is None or id(value) in memo:
                    continue
                if remove_duplicate:
                    memo.add(id(value))
                yield (f"{outer}.{name}" if outer else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names, each once."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once.

        >>> import fovea
        >>> sum(p.numel() for p in fovea.nn.Linear(3, 2).parameters())
        8
        """
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """All buffers with their dotted names, each once."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """All buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """The module with this dotted name.

        Raises:
            AttributeError: there is none.
        """
        module: Module = self
        for name in target.split(".") if target else ():
            found = module._modules.get(name)
            if found is None:
                known = ", ".join(module._modules) or "none"
                raise AttributeError(
                    f"{type(module).__name__} has no module {name!r} (of {target!r}); "
                    f"it has: {known}."
                )
            module = found
        return module

    def set_submodule(self, target: str, module: Module) -> None:
        """Put a module at this dotted name."""
        outer, _, name = target.rpartition(".")
        if not name:
            raise ValueError("set_submodule: the name must not be empty.")
        self.get_submodule(outer).add_module(name, module)

    def _get_member(self, registry: str, target: str, kind: str) -> Any:
        outer, _, name = target.rpartition(".")
        entries = getattr(self.get_submodule(outer), registry)
        if entries.get(name) is None:
            known = ", ".join(entries) or "none"
            raise AttributeError(f"there is no {kind} {target!r}; it could be one of: {known}.")
        return entries[name]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with this dotted name; AttributeError if there is none."""
        return self._get_member("_parameters", target, "parameter")

    def get_buffer(self, target: str) -> Any:
        """The buffer with this dotted name; AttributeError if there is none."""
        return self._get_member("_buffers", target, "buffer")

    # -- changing all of it -------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` with every module within, then with this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set training mode here and in all modules within."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode must be True or False, got {mode!r}.")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """``train(False)``: dropout off, batch normalization by its running statistics."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set ``requires_grad`` of all parameters."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or (``set_to_none=False``) set them to zero."""
        watcher = watching.watcher
        for p in self.parameters():
            if set_to_none:
                p.grad = None
                if watcher is not None:
                    watcher.drops_gradient(p)
            elif p.grad is not None:
                p.grad = p.grad.detach().zero_()

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Self:
        """Replace the values of all parameters, gradients and buffers by ``fn`` of them."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for p in self._parameters.values():
            if p is not None:
                p.data = fn(p.data)
                if p.grad is not None:
                    p.grad = fn(p.grad.detach())
        watching.touch()
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Change the dtype of floating-point parameters and buffers, and/or the device.

        Takes a dtype, a device, both, or a tensor to be like. Layouts (``memory_format``) are the
        engine's business: they are accepted and change nothing.

        >>> import fovea
        >>> fovea.nn.Linear(2, 1).to(fovea.float64).weight.dtype
        fovea.float64
        """
        dtype, device = kwargs.get("dtype"), kwargs.get("device")
        for arg in args:
            if is_tensor(arg):
                dtype = arg.dtype
            elif isinstance(arg, str | devices.device):
                device = arg
            elif arg is not None and not isinstance(arg, bool):
                dtype = arg
        devices.as_device(device)
        return self if dtype is None else self._cast(dtypes.as_dtype(dtype))

    def _cast(self, dtype: dtypes.DType) -> Self:
        if not dtype.is_floating_point:
            raise TypeError(f"to: a module's dtype must be floating point, got {dtype}.")
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def type(self, dst_type: Any) -> Self:
        """Cast all parameters and buffers, also those that are no floating-point numbers."""
        kind = dtypes.as_dtype(dst_type)
        return self._apply(lambda t: t.to(kind))

    def float(self) -> Self:
        """``to(float32)``."""
        return self._cast(dtypes.float32)

    def double(self) -> Self:
        """``to(float64)``."""
        return self._cast(dtypes.float64)

    def half(self) -> Self:
        """``to(float16)``."""
        return self._cast(dtypes.float16)

    def bfloat16(self) -> Self:
        """``to(bfloat16)``."""
        return self._cast(dtypes.bfloat16)

    def cpu(self) -> Self:
        """The module itself: it is on the CPU."""
        return self

    def cuda(self, device: Any = None) -> Self:
        """Raises DeviceError: modules live on the CPU."""
        return self.to("cuda" if device is None else device)

    def share_memory(self) -> Self:
        """The module itself; worker processes get copies of what they need."""
        return self

    # -- printing -----------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What ``repr`` shows in the parentheses: arguments of a layer."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        extra_lines = extra.split("\n") if extra else []
        child_lines = [
            f"({name}): {_indented(repr(module))}" for name, module in self._modules.items()
        ]
        if not child_lines and len(extra_lines) == 1:
            return f"{self._get_name()}({extra})"
        lines = extra_lines + child_lines
        if not lines:
            return f"{self._get_name()}()"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore from pickle; hooks that older files do not hold start empty."""
        self.__dict__.update(state)
        for hooks in _HOOKS:
            self.__dict__.setdefault(hooks, OrderedDict())


_HOOKS = (
    "_forward_pre_hooks",
    "_forward_hooks",
    "_backward_pre_hooks",
    "_backward_hooks",
    "_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def _indented(text: str) -> str:
    """All lines but the first moved right by two."""
    return text.replace("\n", "\n  ")


def _note_path(error: FoveaError, module: Module) -> None:
    """Add to an error's path the names that lead from ``module`` to where it came from."""
    inner = getattr(error, "module", None)
    if inner is not None and inner is not module:
        for name, candidate in module.named_modules():
            if candidate is inner:
                for part in reversed(name.split(".")):
                    error.enter(part)
                break
    error.module = module  # type: ignore[attr-defined]
