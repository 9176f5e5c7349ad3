"""A user's `autograd.Function` on samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fovea.autograd.function import Function
from fovea.autograd.grad_mode import set_grad_enabled
from fovea.func.batching.batched import Batched, current, split
from fovea.func.roots import leads_elsewhere
from fovea.func.trees import flatten, prefix
from fovea.functions.parts import stack
from fovea.functions.shaping import movedim
from fovea.tensorbase import is_tensor

__all__ = ["VmapInfo", "on_samples"]


class VmapInfo(NamedTuple):
    """What a Function's ``vmap`` is told: how many samples there are, and what draws are."""

    batch_size: int
    randomness: str


def on_samples(
    cls: type[Function], forward: Callable[..., Any], separate: bool
) -> Callable[..., Any]:
    """``forward`` for arguments of which some are samples.

    Its own ``vmap`` is called, if it has one. Otherwise ``forward`` sees samples; and if a tape
    outside `vmap` needs the call as well, it is put there sample by sample.
    """

    def run(*args: Any) -> Any:
        level = max(t._level for t in args if is_tensor(t))
        pairs = [split(a, level) if is_tensor(a) else (a, False) for a in args]
        if separate and cls.vmap is not Function.vmap:
            return _by_rule(cls, pairs, level)
        out = forward(*args)
        if not leads_elsewhere([t for t, _ in pairs], (), level):
            return out
        with set_grad_enabled(True):
            found = _one_by_one(cls, pairs, level)
        return out if not found else tuple(found) if isinstance(out, tuple) else found[0]

    return run


def _one_by_one(cls: type[Function], pairs: list[tuple[Any, bool]], level: int) -> list[Any]:
    """The outputs of a call for each sample, as samples."""
    rows = [
        cls.apply(*[t[n] if batched else t for t, batched in pairs])
        for n in range(current(level).size)
    ]
    columns = zip(*[r if isinstance(r, tuple) else (r,) for r in rows], strict=True)
    return [Batched.of(stack(c), level) if is_tensor(c[0]) else c[0] for c in columns]


def _by_rule(cls: type[Function], pairs: list[tuple[Any, bool]], level: int) -> Any:
    """What the function's own ``vmap`` gives, as samples."""
    mode = current(level)
    info = VmapInfo(mode.size, mode.randomness)
    dims = tuple(0 if batched else None for _, batched in pairs)
    with set_grad_enabled(True):
        out, out_dims = cls.vmap(info, dims, *(t for t, _ in pairs))
        leaves, tree = flatten(out)
        places = prefix(out_dims, tree, "out_dims")
        for i, (t, d) in enumerate(zip(leaves, places, strict=True)):
            if d is not None and is_tensor(t):
                leaves[i] = Batched.of(movedim(t, d, 0), level)
    return tree.build(leaves)
