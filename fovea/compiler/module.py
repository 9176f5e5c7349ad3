"""`CompiledModule`: a module whose calls are programs."""

from __future__ import annotations

from typing import Any, Self

from fovea.compiler.function import CompiledFunction
from fovea.nn.module import Module

__all__ = ["CompiledModule"]


_classes: dict[type, Any] = {}


def _class_for(original: type[Module]) -> Any:
    """A compiled module's class that is also the original's."""
    if issubclass(original, CompiledModule):
        return original
    found = _classes.get(original)
    if found is None:
        name = f"Compiled{original.__name__}"
        found = _classes[original] = type(name, (CompiledModule, original), {})
    return found


class CompiledModule(Module):
    """Stands for a module: the same parameters, buffers, submodules and attributes; calls run as
    programs. Names in ``state_dict`` are those of the original.

    Args:
        module: the original.
        strict, memory_limit, dynamic: see `fovea.compile`.
    """

    def __new__(cls, module: Module, **options: Any) -> Self:
        """Of a class of its own that is also the original's class."""
        made: Self = object.__new__(_class_for(type(module)))
        return made

    def __init__(
        self,
        module: Module,
        *,
        strict: bool = False,
        memory_limit: int | None = None,
        dynamic: bool | None = None,
    ) -> None:
        own = self.__dict__
        own.update({k: v for k, v in module.__dict__.items() if k[:1] == "_"})
        own["_original"] = module
        own["_compiled"] = CompiledFunction(
            module, strict=strict, memory_limit=memory_limit, dynamic=dynamic
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._compiled(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The original's, uncompiled."""
        return self._original.forward(*args, **kwargs)

    @property
    def programs(self) -> list[Any]:
        """Those made so far."""
        return self._compiled.programs

    def exported(self) -> list[Any]:
        """As of `CompiledFunction`."""
        return self._compiled.exported()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_original"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["_original"], name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__dict__["_original"], name)

    def train(self, mode: bool = True) -> Self:
        self._original.train(mode)
        return self

    def __repr__(self) -> str:
        return f"compiled {self._original!r}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (CompiledModule, (self._original,))

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledModule:
        import copy

        made = self._compiled
        return CompiledModule(
            copy.deepcopy(self._original, memo),
            strict=made.strict,
            memory_limit=made.memory_limit,
            dynamic=made.dynamic,
        )
