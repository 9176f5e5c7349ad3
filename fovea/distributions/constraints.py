"""What arguments and values of distributions must satisfy: in words, and as a check."""

from __future__ import annotations

from typing import Any

from fovea.distributions.distribution import Check

__all__ = ["boolean", "nonnegative", "nonnegative_integer", "positive", "real", "simplex"]


def _finite(x: Any) -> Any:
    return x == x


real: Check = ("numbers, not NaN", _finite)
positive: Check = ("greater than 0", lambda x: x > 0)
nonnegative: Check = ("0 or more", lambda x: x >= 0)
boolean: Check = ("0 or 1", lambda x: (x == 0) | (x == 1))
unit_interval: Check = ("from 0 to 1", lambda x: (x >= 0) & (x <= 1))
nonnegative_integer: Check = ("whole and 0 or more", lambda x: (x % 1 == 0) & (x >= 0))
simplex: Check = (
    "0 or more and sum to 1",
    lambda x: (x >= 0).all(-1) & ((x.sum(-1) - 1).abs() < 1e-6),
)
one_hot: Check = (
    "0 but for one 1",
    lambda x: ((x == 0) | (x == 1)).all(-1) & (x.sum(-1) == 1),
)
