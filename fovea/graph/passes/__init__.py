"""Passes: each makes a better graph of the same meaning from a graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fovea.errors import GraphError
from fovea.graph.graph import Graph
from fovea.graph.passes.absorb_flatten import absorb_flatten
from fovea.graph.passes.align_operands import align_operands
from fovea.graph.passes.common import share_common
from fovea.graph.passes.dead_code import remove_dead_code
from fovea.graph.passes.fold_constants import fold_constants
from fovea.graph.passes.fuse_batch_norm import fuse_batch_norm
from fovea.graph.passes.fuse_contractions import fuse_contractions
from fovea.graph.passes.fuse_conv_pooling import fuse_conv_pooling
from fovea.graph.passes.fuse_pointwise import fuse_pointwise
from fovea.graph.passes.fuse_pooling import fuse_pooling
from fovea.graph.passes.fuse_reductions import fuse_reductions
from fovea.graph.passes.recompute import recompute
from fovea.graph.passes.simplify import simplify
from fovea.graph.passes.simplify_pools import simplify_pools
from fovea.graph.passes.split_images import split_images
from fovea.graph.verify import verify as check

__all__ = [
    "Pass",
    "absorb_flatten",
    "align_operands",
    "fold_constants",
    "fuse_batch_norm",
    "fuse_contractions",
    "fuse_conv_pooling",
    "fuse_pointwise",
    "fuse_reductions",
    "optimize",
    "passes",
    "recompute",
    "remove_dead_code",
    "share_common",
    "simplify",
    "simplify_pools",
    "split_images",
]

Pass = Callable[[Graph], Graph]


def passes(*, exact: bool = False, memory_limit: int | None = None) -> list[Pass]:
    """What ``optimize`` runs, in order.

    Args:
        exact: keep every bit: nothing is summed in another order, or rounded less often.
        memory_limit: bytes that intermediate results may take: see ``recompute``.
    """
    better = [remove_dead_code, fold_constants, simplify, share_common]
    flat = [] if exact else [absorb_flatten, simplify]
    pools = [fuse_pooling] if exact else [fuse_pooling, simplify_pools]
    pooled = [*pools, share_common, remove_dead_code]
    finished: list[Pass] = [partial(fuse_contractions, exact=exact), fuse_conv_pooling]
    if not exact:
        finished.insert(0, fuse_batch_norm)
    again = [] if memory_limit is None else [partial(recompute, limit=memory_limit)]
    fused = [align_operands, fuse_pointwise, fuse_reductions]
    last = [] if exact else [split_images]
    return [*better, *flat, *pooled, *finished, *again, *fused, remove_dead_code, *last]


def optimize(
    graph: Graph,
    *,
    exact: bool = False,
    memory_limit: int | None = None,
    verify: bool = False,
) -> Graph:
    """Run all passes.

    Args:
        graph: a graph that keeps the rules of ``fovea.graph.verify``.
        exact, memory_limit: see ``passes``.
        verify: check the rules before, between and after the passes.

    Raises:
        GraphError: with ``verify``, a rule is broken; the message names the pass that did it.
    """
    if verify:
        check(graph)
    for step in passes(exact=exact, memory_limit=memory_limit):
        graph = step(graph)
        if verify:
            try:
                check(graph)
            except GraphError as error:
                name = getattr(getattr(step, "func", step), "__name__", repr(step))
                raise GraphError(
                    f"after {name}: {error.summary}", error.details, error.fix
                ) from error
    return graph
