"""`rearrange`: transposing, splitting and joining dimensions, by their names."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.parts import stack
from fovea.functions.shaping import permute, reshape
from fovea.ops.op import numel
from fovea.tensorbase import is_tensor

__all__ = ["rearrange"]

Group = list[str]  # dimensions that are one dimension of the tensor; none: of size 1
_REST: Group = ["..."]  # a dimension for each that has no name
_TOKENS = re.compile(r"\.\.\.|[()]|\w+|\S")


def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> Any:
    """The elements in another order of dimensions, which a pattern names before and after ``->``.

    Args:
        tensor: a tensor, or a sequence of them, which are stacked along a first dimension.
        pattern: names of dimensions; ``(a b)`` is one dimension that holds two, ``1`` or ``()`` one
            of size 1, ``...`` all dimensions that have no name.
        axes_lengths: sizes that the tensor does not tell: of a dimension that is split.

    Raises:
        ArgumentError: the pattern says nothing that can be done.
        ShapeError: it does not fit the tensor.

    >>> import fovea
    >>> images = fovea.zeros(8, 30, 40, 3)
    >>> rearrange(images, "b (h h1) (w w1) c -> b (c h1 w1) h w", h1=2, w1=2).shape
    fovea.Size([8, 12, 15, 20])
    """
    x = tensor if is_tensor(tensor) else stack(list(tensor))
    sides = pattern.split("->")
    if len(sides) != 2:
        raise ArgumentError(f"rearrange: {pattern!r} needs one '->'.")
    left, right = (_groups(side, pattern) for side in sides)
    _check_names(left, right, axes_lengths, pattern)
    left, right = _spelled_out(left, right, x.ndim, pattern, describe(x))
    sizes = dict(axes_lengths)
    for group, size in zip(left, x.shape, strict=True):
        _infer(group, size, sizes, pattern)
    before, after = (list(itertools.chain(*side)) for side in (left, right))
    flat = reshape(x, tuple(sizes[name] for name in before))
    turned = permute(flat, tuple(before.index(name) for name in after))
    return reshape(turned, tuple(numel([sizes[name] for name in group]) for group in right))


def _groups(side: str, pattern: str) -> list[Group]:
    """A side's dimensions, each with the names that it holds."""
    found: list[Group] = []
    inside: Group | None = None
    for token in _TOKENS.findall(side):
        if token == "(" and inside is None:
            inside = []
        elif token == ")" and inside is not None:
            found.append(inside)
            inside = None
        elif token == "..." or token == "1" or _is_name(token):
            names = [] if token == "1" else [token]
            if inside is None:
                found.append(_REST if token == "..." else names)
            else:
                inside += names
        else:
            raise ArgumentError(f"rearrange: {token!r} in {pattern!r} is no name.")
    if inside is not None:
        raise ArgumentError(f"rearrange: a parenthesis in {pattern!r} is open.")
    return found


def _is_name(token: str) -> bool:
    return token.isidentifier() and not (token.startswith("_") or token.endswith("_"))


def _check_names(
    left: Sequence[Group], right: Sequence[Group], lengths: dict[str, int], pattern: str
) -> None:
    before, after = (list(itertools.chain(*side)) for side in (left, right))
    for names in (before, after):
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise ArgumentError(f"rearrange: {pattern!r} names {sorted(twice)} twice.")
    lonely = set(before) ^ set(after)
    if lonely:
        raise ArgumentError(f"rearrange: {sorted(lonely)} stand on one side of {pattern!r} only.")
    unknown = sorted(set(lengths) - set(before))
    if unknown:
        raise ArgumentError(f"rearrange: sizes for {unknown}, which {pattern!r} does not name.")


def _spelled_out(
    left: list[Group], right: list[Group], rank: int, pattern: str, shown: str
) -> tuple[list[Group], list[Group]]:
    """Both sides with names for the dimensions that ``...`` stands for."""
    some = any(group is _REST for group in left)
    missing = rank - len(left) + some
    if missing < 0 or (missing and not some):
        raise ShapeError(
            f"rearrange: {pattern!r} names {len(left) - some} dimensions.", {"tensor": shown}
        )
    names = [f"...{n}" for n in range(missing)]
    sides = []
    for side in (left, right):
        out: list[Group] = []
        for group in side:
            if group is _REST:
                out += [[name] for name in names]
            else:
                out.append([n for name in group for n in (names if name == "..." else [name])])
        sides.append(out)
    return sides[0], sides[1]


def _infer(group: Group, size: int, sizes: dict[str, int], pattern: str) -> None:
    """The sizes of what a dimension holds: at most one is not known."""
    open_ = [name for name in group if name not in sizes]
    known = numel([sizes[name] for name in group if name in sizes])
    if len(open_) > 1:
        raise ArgumentError(
            f"rearrange: the sizes of {open_} in {pattern!r} are not known.",
            fix=f"give all but one: {open_[0]}=...",
        )
    if open_ and known and size % known == 0:
        sizes[open_[0]] = size // known
    elif open_ or known != size:
        raise ShapeError(
            f"rearrange: a dimension of size {size} is not {' x '.join(group) or '1'}.",
            {"sizes": ", ".join(f"{n}={sizes[n]}" for n in group if n in sizes) or "none"},
        )
