"""Checks for those who add ops: targets against the reference, gradients by differences."""

from __future__ import annotations

from fovea.testing.check_op import check_op, layouts, on_reference

__all__ = ["check_op", "layouts", "on_reference"]
