"""Checks for those who add ops: a target against the reference, and gradients against differences."""

from __future__ import annotations

from fovea.testing.check_op import check_op, layouts, on_reference

__all__ = ["check_op", "layouts", "on_reference"]
