"""Which layer of one model is which of another: by name, else by order and shape."""

from __future__ import annotations

import re

from fovea.interop.porting.groups import Group

__all__ = ["matched"]

Pairs = list[tuple[Group, tuple[Group, str] | None]]
_MADE_UP = re.compile(r"^[a-z0-9_]*?(_\d+)?$")


def matched(source: list[Group], target: list[Group]) -> Pairs:
    """For each group of the target the one of the source, and how it was found (name, order)."""
    named = _by_name(source, target)
    taken = {id(group) for group in named.values()}
    rest = [g for g in source if id(g) not in taken]
    open_ = [g for g in target if id(g) not in named]
    ordered = _aligned(rest, open_)
    found: Pairs = []
    for group in target:
        if id(group) in named:
            found.append((group, (named[id(group)], "name")))
        elif id(group) in ordered:
            found.append((group, (ordered[id(group)], "order")))
        else:
            found.append((group, None))
    return found


def _by_name(source: list[Group], target: list[Group]) -> dict[int, Group]:
    """Pairs of one name whose shapes fit.

    Names that Keras makes up (``dense_1``) count only if all agree: they depend on what was made
    before.
    """
    paths = _without_prefix(source)
    wanted = _without_prefix(target)
    known = dict(zip(paths, source, strict=True))
    found = {
        id(group): known[path]
        for path, group in zip(wanted, target, strict=True)
        if path in known and known[path].fits(group)
    }
    made_up = any(g.keras for g in (*source, *target)) and all(
        "." not in path and _MADE_UP.match(path) for path in wanted
    )
    return {} if made_up and len(found) < len(target) else found


def _without_prefix(groups: list[Group]) -> list[str]:
    """Paths without what all of them begin with, such as ``module.``"""
    paths = [g.path for g in groups]
    if len(paths) < 2:
        return [path.rpartition(".")[2] if "." in path else path for path in paths]
    parts = [path.split(".") for path in paths]
    cut = 0
    while all(len(p) > cut + 1 for p in parts) and len({p[cut] for p in parts}) == 1:
        cut += 1
    return [".".join(p[cut:]) for p in parts]


def _aligned(source: list[Group], target: list[Group]) -> dict[int, Group]:
    """The longest chain of pairs that fit, in the order of both (as a difference of texts is
    found); layers of one class count more.
    """
    n, m = len(source), len(target)
    fits = [[s.fits(t) for t in target] for s in source]
    score = [[0.0] * (m + 1) for _ in range(n + 1)]
    for i in range(n - 1, -1, -1):
        for j in range(m - 1, -1, -1):
            best = max(score[i + 1][j], score[i][j + 1])
            if fits[i][j]:
                best = max(best, score[i + 1][j + 1] + _worth(source[i], target[j]))
            score[i][j] = best
    found: dict[int, Group] = {}
    i = j = 0
    while i < n and j < m:
        together = score[i + 1][j + 1] + _worth(source[i], target[j])
        if fits[i][j] and score[i][j] == together:
            found[id(target[j])] = source[i]
            i, j = i + 1, j + 1
        elif score[i][j] == score[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def _worth(a: Group, b: Group) -> float:
    """What a pair counts."""
    return 1.0 + 0.125 * (a.kind == b.kind) + 0.125 * (a.slots.keys() == b.slots.keys())
