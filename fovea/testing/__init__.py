"""Checks: ``assert_close`` of what a program computes; and for those who add ops, targets against
the reference and gradients by differences.
"""

from __future__ import annotations

from fovea.testing.check_op import check_op, layouts, on_reference
from fovea.testing.closeness import assert_close

__all__ = ["assert_close", "check_op", "layouts", "on_reference"]
