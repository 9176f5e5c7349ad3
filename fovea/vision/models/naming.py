"""What a table of another library's names is: ``other_names`` applies them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Naming", "Rule", "stage"]

Rule = tuple[str, str | Callable[[re.Match[str]], str]]


@dataclass(frozen=True)
class Naming:
    """Another library's names for an architecture.

    Args:
        sign: a name by which they are told.
        rules: patterns that names begin with, and what stands there instead; the first that fits
            is taken. Parts of one tensor, which lie below each other in it, are called
            ``name#query``, ``name#key`` and ``name#value``; what is called ``""`` is left out.
        flattened: weights of linear layers that read maps channel by channel there, place by place
            here, and the number of places.
    """

    sign: str
    rules: tuple[Rule, ...]
    flattened: tuple[tuple[str, int], ...] = ()


def stage(after: str, odd: bool = False, shift: int = 0) -> Callable[[re.Match[str]], str]:
    """Stages and what lies between them take turns in torchvision's list of features."""

    def name(found: re.Match[str]) -> str:
        return found.expand(f"features.{2 * int(found[1]) + odd + shift}.{after}")

    return name
