"""Parametrization: a module's tensor as a function of others, which are learned in its place.

``layer.weight`` becomes ``layer.parametrizations.weight()``: a chain of modules that starts at the
``original``. Names in ``state_dict`` are PyTorch's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from fovea import watching
from fovea.autograd import no_grad
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.nn.computed import Computed, compute, restore
from fovea.nn.container import ModuleDict, ModuleList
from fovea.nn.module import Module
from fovea.nn.parameter import Parameter
from fovea.tensor import Tensor
from fovea.tensorbase import is_tensor

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]

_cache: dict[tuple[int, str], Tensor] = {}
_caching = 0


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Within: parametrized tensors are computed once, when first read.

    For modules that read a weight several times, such as recurrent ones. What a capture reads is
    not kept: a program computes each value once anyway.
    """
    global _caching
    _caching += 1
    try:
        yield
    finally:
        _caching -= 1
        if not _caching:
            _cache.clear()


class ParametrizationList(ModuleList):
    """The chain of modules that a parametrized tensor comes from, and the tensors it starts at.

    Args:
        modules: parametrizations; the first takes the originals, each further one what the one
            before returned. A method ``right_inverse`` tells which originals give a tensor.
        original: the tensor to parametrize. It becomes ``original``; if the inverses return several
            tensors, they are ``original0``, ``original1``, ...
        unsafe: whether shape and dtype may change.

    Raises:
        ValueError: no modules, or results that are no tensors or do not fit the original.
    """

    original: Tensor

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ArgumentError("ParametrizationList: at least one module is needed.")
        super().__init__(modules)
        self.unsafe = unsafe
        before = original.detach()
        with no_grad():
            inverse = _inverse(self, original, lenient=True)
        self.is_tensor = is_tensor(inverse)
        self.ntensors = 1 if self.is_tensor else len(inverse)
        if self.is_tensor:
            _check_dtype("right_inverse(original)", inverse, original)
            _replace(original, inverse)
            _hold(self, "original", original)
        else:
            for i, part in enumerate(inverse):
                _check_tensor(f"right_inverse, entry {i},", part)
                _hold(self, f"original{i}", _like(part, original))
        if not unsafe:
            _check_fits("a parametrization", self(), before)

    def _originals(self) -> list[Tensor]:
        names = ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]
        return [getattr(self, name) for name in names]

    def forward(self) -> Tensor:
        """The parametrized tensor."""
        first, *others = self._modules.values()
        x = first(*self._originals())  # type: ignore[misc]
        for module in others:
            x = module(x)  # type: ignore[misc]
        return x

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals to what gives ``value``.

        Raises:
            RuntimeError: a parametrization without ``right_inverse``.
            ValueError: it returns tensors of other dtypes or another number of them.
        """
        with no_grad():
            for module in self:
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} has no right_inverse: which "
                        "original gives this value is not known."
                    )
            found = _inverse(self, value, lenient=False)
            parts = [found] if self.is_tensor else list(found)
            if len(parts) != self.ntensors:
                raise ArgumentError(
                    f"right_inverse returned {len(parts)} tensors instead of {self.ntensors}."
                )
            for i, (part, held) in enumerate(zip(parts, self._originals(), strict=True)):
                _check_tensor(f"right_inverse, entry {i},", part)
                _check_dtype(f"right_inverse, entry {i},", part, held)
                _replace(held, part)


def _inverse(modules: ModuleList, value: Any, lenient: bool) -> Any:
    """What the modules' inverses, the last one's first, make of a value.

    Args:
        lenient: modules pass it on that have no inverse, or that refuse it.
    """
    refusals = (NotImplementedError,) if lenient else ()
    for module in reversed(list(modules)):
        if hasattr(module, "right_inverse"):
            with contextlib.suppress(*refusals):
                value = module.right_inverse(value)
    if not is_tensor(value) and not isinstance(value, Sequence):
        raise ArgumentError(
            "right_inverse must return a tensor or a sequence of tensors, "
            f"got {type(value).__name__}."
        )
    return value


def _check_tensor(what: str, value: Any) -> None:
    if not is_tensor(value):
        raise ArgumentError(f"{what} must return a tensor, got {type(value).__name__}.")


def _check_dtype(what: str, value: Tensor, like: Tensor) -> None:
    if value.dtype is not like.dtype:
        raise ArgumentError(f"{what} may not change the dtype {like.dtype}, got {describe(value)}.")


def _check_fits(what: str, value: Any, like: Tensor) -> None:
    _check_tensor(what, value)
    _check_dtype(what, value, like)
    if value.shape != like.shape:
        raise ShapeError(
            f"{what} may not change the shape.",
            {"before": describe(like), "after": describe(value)},
            "pass unsafe=True if it should",
        )


def _like(part: Tensor, original: Tensor) -> Tensor:
    """One of several tensors that take the place of a parameter or buffer."""
    if isinstance(original, Parameter):
        return Parameter(part.detach().clone(), original.requires_grad)
    return part.detach().clone().requires_grad_(original.requires_grad)


def _hold(module: Module, name: str, t: Tensor) -> None:
    if isinstance(t, Parameter):
        module.register_parameter(name, t)
    else:
        module.register_buffer(name, t)


def _replace(held: Tensor, value: Tensor) -> None:
    """Give a tensor other values, and another shape if theirs differs; it stays the same object."""
    if value is held:
        return
    with no_grad():
        if value.storage is held.storage:
            value = value.detach().clone()
        if value.shape == held.shape and value.dtype is held.dtype:
            held.copy_(value)
        else:
            held.data = value.detach()


class _Parametrized(Computed):
    """A tensor of a module that its ``parametrizations`` make."""

    def __init__(self, name: str) -> None:
        self.name = name

    def value(self, module: Module) -> Tensor:
        chain = module.parametrizations[self.name]
        if not _caching or watching.watcher is not None:
            return chain()
        key = (id(module), self.name)
        if key not in _cache:
            _cache[key] = chain()
        return _cache[key]

    def assign(self, module: Module, value: Any) -> None:
        module.parametrizations[self.name].right_inverse(value)


_classes: dict[type[Module], Any] = {}


def _class_of_parametrized(original: type[Module]) -> Any:
    """The class of parametrized modules of a class: only its name tells the two apart."""

    def reduce(module: Module) -> tuple[Any, ...]:
        return _remade, (original, module.__dict__)

    if original not in _classes:
        name = f"Parametrized{original.__name__}"
        _classes[original] = type(name, (original,), {"__reduce__": reduce})
    return _classes[original]


def _remade(original: type[Module], state: dict[str, Any]) -> Module:
    """A parametrized module from a file, or for a copy."""
    cls = _class_of_parametrized(original)
    module: Module = cls.__new__(cls)
    module.__setstate__(state)
    return module


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let a parameter or buffer of a module be what ``parametrization`` makes of it.

    The optimizer learns ``module.parametrizations.<name>.original`` instead. A tensor that is
    parametrized already gets one more module at the end of its chain.

    Args:
        tensor_name: of a parameter or buffer.
        parametrization: a module from a tensor (or several) to a tensor. With a method
            ``right_inverse``, the tensor can be set, and starts from its inverse.
        unsafe: whether shape and dtype may change.

    Raises:
        ValueError: no such tensor, or a parametrization that changes shape or dtype.

    >>> import fovea
    >>> class Symmetric(fovea.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = register_parametrization(fovea.nn.Linear(3, 3), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True
    >>> list(layer.state_dict())
    ['bias', 'parametrizations.weight.original']
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        _append(module, tensor_name, parametrization, unsafe)
        return module
    if tensor_name not in module._buffers and tensor_name not in module._parameters:
        raise ArgumentError(
            f"register_parametrization: {type(module).__name__} has no parameter, buffer or "
            f"parametrized tensor {tensor_name!r}."
        )
    chain = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.__class__ = _class_of_parametrized(type(module))
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = chain
    compute(module, tensor_name, _Parametrized(tensor_name))
    return module


def _append(module: Module, name: str, parametrization: Module, unsafe: bool) -> None:
    """Put one more module at the end of a tensor's chain."""
    chain = module.parametrizations[name]
    if unsafe:
        chain.unsafe = True
    else:
        before = getattr(module, name)
        after = parametrization(before)
        _check_fits("a parametrization", after, before)
        if hasattr(parametrization, "right_inverse"):
            _check_fits("right_inverse", parametrization.right_inverse(after), before)
    chain.append(parametrization)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a tensor of the module (this one, if a name is given) is parametrized."""
    chains = module.__dict__.get("_modules", {}).get("parametrizations")
    if not isinstance(chains, ModuleDict):
        return False
    return bool(len(chains)) if tensor_name is None else tensor_name in chains


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make a parametrized tensor a parameter or buffer again.

    Args:
        leave_parametrized: it keeps the value that it has now; otherwise it gets the original's,
            which must be a single tensor.

    Raises:
        ValueError: it is not parametrized, or has several originals.
    """
    if not is_parametrized(module, tensor_name):
        raise ArgumentError(
            f"remove_parametrizations: {tensor_name!r} of {type(module).__name__} is not "
            "parametrized."
        )
    chain = module.parametrizations[tensor_name]
    if not chain.is_tensor and not leave_parametrized:
        raise ArgumentError(
            f"remove_parametrizations: {tensor_name!r} is made of {chain.ntensors} tensors, none "
            "of which is the original.",
            fix="leave_parametrized=True",
        )
    now = getattr(module, tensor_name) if leave_parametrized else None
    restored = _restored(chain, now)
    restore(module, tensor_name)
    del module.parametrizations[tensor_name]
    _hold(module, tensor_name, restored)
    if not is_parametrized(module):
        original_class = type_before_parametrizations(module)
        del module.parametrizations
        module.__class__ = original_class
    return module


def _restored(chain: ParametrizationList, now: Tensor | None) -> Tensor:
    """The tensor that takes a chain's place: the original object where there is one."""
    if not chain.is_tensor:
        assert now is not None
        return Parameter(now.detach()) if now.requires_grad else now
    original = chain.original
    if now is not None:
        _replace(original, now.detach())
    return original


def type_before_parametrizations(module: Module) -> type:
    """The class that a module had before it was parametrized; its class, if it is not."""
    cls = type(module)
    parametrized = "parametrizations" in module._modules and cls.__name__.startswith("Parametrized")
    return cls.__bases__[0] if parametrized else cls


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Let tensors of ``to_module`` be parametrized as those of ``from_module``.

    Modules and originals are shared between the two afterwards.

    Args:
        tensor_name: which tensor; all parametrized ones unless given.
    """
    if not is_parametrized(from_module):
        return to_module
    names = list(from_module.parametrizations) if tensor_name is None else [tensor_name]
    for name in names:
        source = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach()))
        for parametrization in source:
            register_parametrization(to_module, name, parametrization)
        target = to_module.parametrizations[name]
        for key in (*source._parameters, *source._buffers):
            setattr(target, key, getattr(source, key))
    return to_module
