"""Where ops run. ``active()`` is the target of this process: the CPU compiler, or the NumPy
reference.
"""

from __future__ import annotations

import os

from fovea.targets.base import Target, view_plan

__all__ = ["Target", "active", "forget_plans", "use", "view_plan"]

_active: Target | None = None
generation = 0  # of plans: grows when those made before no longer count


def active() -> Target:
    """The target that runs ops (``FOVEA_TARGET=reference`` chooses NumPy, for tests)."""
    global _active
    if _active is None:
        _active = named(os.environ.get("FOVEA_TARGET", "cpu"))
    return _active


def named(name: str) -> Target:
    """The target called ``name``: ``"cpu"`` or ``"reference"``."""
    if name == "cpu":
        from fovea.targets.cpu.target import CPU

        return CPU
    if name == "reference":
        from fovea.targets.reference import REFERENCE

        return REFERENCE
    raise ValueError(f"FOVEA_TARGET={name!r}: there is 'cpu' and 'reference'.")


def use(target: Target) -> Target:
    """Make ``target`` the active one, dropping plans made for the other; returns that one."""
    global _active
    before = active()
    forget_plans()
    _active = target
    return before


def forget_plans() -> None:
    """Have every op planned anew at its next call: what plans depend on has changed."""
    global generation
    from fovea.ops.op import REGISTRY

    generation += 1
    for op in REGISTRY.values():
        op.plans.clear()
