"""Attributes of modules that are computed from parameters and buffers whenever they are read.

A pruned or normalized weight is no state of its own: it follows from what is learned. The module
keeps how it is made; reading the attribute makes it, on the tape and, in a capture, in the graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from fovea import watching

if TYPE_CHECKING:
    from fovea.nn.module import Module
    from fovea.tensor import Tensor

__all__ = ["Computed", "compute", "computed", "restore"]


class Computed(ABC):
    """How one attribute of a module is made."""

    @abstractmethod
    def value(self, module: Module) -> Tensor:
        """The attribute, from what ``module`` holds."""

    def assign(self, module: Module, value: Any) -> None:
        """The attribute is set: raises unless a subclass can tell what would give this value."""
        raise TypeError(
            f"this attribute of {type(module).__name__} is computed by {type(self).__name__} "
            "whenever it is read: change what it is computed from."
        )


def computed(module: Module) -> dict[str, Computed]:
    """How the computed attributes of a module are made, by their names."""
    return module.__dict__.get("_computed", {})


def compute(module: Module, name: str, how: Computed) -> None:
    """Let an attribute, which the module does not hold by now, be computed."""
    watching.touch()
    module.__dict__.setdefault("_computed", {})[name] = how


def restore(module: Module, name: str) -> None:
    """Let an attribute no longer be computed."""
    watching.touch()
    del module.__dict__["_computed"][name]
    if not module.__dict__["_computed"]:
        del module.__dict__["_computed"]
