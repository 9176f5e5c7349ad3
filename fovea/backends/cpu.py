"""Choices about the CPU's kernels, as properties of this module.

``winograd``: whether 3 x 3 convolutions at stride 1 and both their gradients may be computed in
Winograd form, which takes a quarter of the multiplications and rounds a little more (relative error
2e-6 to 3e-6 in float32, against 3e-7 to 5e-7). On unless it is set to False; a change counts from
the next call on.

>>> import fovea
>>> fovea.backends.cpu.winograd
True
>>> fovea.backends.cpu.winograd = False
>>> fovea.backends.cpu.winograd = True
"""

from __future__ import annotations

import sys
from types import ModuleType

from fovea import targets
from fovea.targets.cpu.options import OPTIONS

__all__ = ["winograd"]

winograd: bool


class _Choices(ModuleType):
    """This module, with its choices as properties."""

    @property
    def winograd(self) -> bool:
        """Whether convolutions may be computed in Winograd form."""
        return OPTIONS.winograd

    @winograd.setter
    def winograd(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"fovea.backends.cpu.winograd is True or False, not {value!r}.")
        if value != OPTIONS.winograd:
            OPTIONS.winograd = value
            targets.forget_plans()


sys.modules[__name__].__class__ = _Choices
