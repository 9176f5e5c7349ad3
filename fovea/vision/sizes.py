"""Sizes of scaled networks."""

from __future__ import annotations

__all__ = ["make_divisible"]


def make_divisible(
    value: float, divisor: int = 8, least: int | None = None, share: float = 0.9
) -> int:
    """The multiple of ``divisor`` nearest to ``value``, but no less than a ``share`` of it, nor
    than ``least`` (default: ``divisor``).

    >>> make_divisible(33.6), make_divisible(11), make_divisible(2)
    (32, 16, 8)
    """
    nearest = max(
        divisor if least is None else least, int(value + divisor / 2) // divisor * divisor
    )
    return nearest + divisor if nearest < share * value else nearest
