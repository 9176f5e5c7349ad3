"""`vmap`: a function of one sample as a function of many."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from fovea import random
from fovea.errors import ArgumentError, OutOfRangeError, describe
from fovea.func.batching import images as _images
from fovea.func.batching import indices as _indices
from fovea.func.batching import plans as _plans
from fovea.func.batching.batched import Batched, at_level, draws, use_level
from fovea.func.trees import flatten, prefix
from fovea.functions.joining import cat
from fovea.functions.shaping import movedim
from fovea.ops.shape import alias
from fovea.tensorbase import is_tensor

__all__ = ["vmap"]

_LOADED = (_images, _indices, _plans)  # so that each op has its rule
random.inside_vmap = draws


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that calls ``func``, once, on all samples along a dimension of its arguments.

    Args:
        func: takes and returns tensors or structures of them. It sees one sample: the arguments
            without the dimension that is mapped over.
        in_dims: that dimension: one for all arguments, or a tuple with one for each; for an
            argument that is a structure, one or a structure of them. None: all samples get the
            same.
        out_dims: where the samples stand in the results: one for all, or a structure of them.
        randomness: ``"error"`` if there shall be no draws; ``"same"`` for all samples, or
            ``"different"``.
        chunk_size: how many samples at once; None: all.

    Returns:
        Takes the arguments of ``func``. All samples get the same keyword arguments.

    Raises:
        ArgumentError: there is nothing to map over, sizes differ, or Python asks for the values of
            a sample (``item()``, ``if``).

    >>> import fovea
    >>> rows, vector = fovea.tensor([[1.0, 2.0], [3.0, 4.0]]), fovea.tensor([1.0, 1.0])
    >>> vmap(fovea.dot, in_dims=(0, None))(rows, vector)
    tensor([3., 7.])
    """
    if randomness not in ("error", "same", "different"):
        raise ArgumentError(
            f"vmap: unknown randomness {randomness!r}.", fix='"error", "same" or "different"'
        )
    if chunk_size is not None and chunk_size < 1:
        raise ArgumentError(f"vmap: chunk_size must be positive, got {chunk_size}.")

    @functools.wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = flatten(args)
        spec = tuple(in_dims) if isinstance(in_dims, list) else in_dims
        given = prefix(spec, tree, "in_dims")
        dims = [_checked(leaf, d) for leaf, d in zip(leaves, given, strict=True)]
        bound = functools.partial(func, **kwargs) if kwargs else func
        size = _size(leaves, dims)

        def part(start: int, length: int) -> Any:
            own = list(leaves)
            for i, d in enumerate(dims):
                if d:
                    own[i] = movedim(own[i], d, 0)
                if d is not None and length != size:
                    own[i] = own[i].narrow(0, start, length)
            mapped = [d is not None for d in dims]
            return _mapped(bound, own, mapped, tree, length, randomness)

        if chunk_size is None or chunk_size >= size:
            found, structure = part(0, size)
        else:
            parts = [part(n, min(chunk_size, size - n)) for n in range(0, size, chunk_size)]
            structure = parts[0][1]
            found = [cat(column) for column in zip(*(p[0] for p in parts), strict=True)]
        places = prefix(out_dims, structure, "out_dims")
        return structure.build([_placed(t, d) for t, d in zip(found, places, strict=True)])

    return run


def _checked(leaf: Any, dim: Any) -> int | None:
    """The dimension of a leaf that is mapped over, counted from the front."""
    if dim is None:
        return None
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise ArgumentError(f"vmap: in_dims must be integers or None, got {dim!r}.")
    if not is_tensor(leaf):
        raise ArgumentError(f"vmap: in_dims maps over an argument that is {type(leaf).__name__}.")
    if not -leaf.ndim <= dim < leaf.ndim:
        raise OutOfRangeError(
            f"vmap: there is no dimension {dim} to map over.", {"argument": describe(leaf)}
        )
    return dim % leaf.ndim


def _size(leaves: Sequence[Any], dims: Sequence[int | None]) -> int:
    sizes = {t.shape[d] for t, d in zip(leaves, dims, strict=True) if d is not None}
    if not sizes:
        raise ArgumentError(
            "vmap: no argument is mapped over.", fix="pass a tensor, with an integer in in_dims"
        )
    if len(sizes) > 1:
        raise ArgumentError(f"vmap: the sizes to map over differ: {sorted(sizes)}.")
    return int(sizes.pop())


def _mapped(
    func: Callable[..., Any],
    leaves: Sequence[Any],
    mapped: Sequence[bool],
    tree: Any,
    size: int,
    randomness: str,
) -> tuple[list[Any], Any]:
    """Call ``func`` on the samples of leaves: its results, samples first, and their structure."""
    with use_level(size, randomness) as level:
        inner = [
            Batched.of(t, level.number) if m else t for t, m in zip(leaves, mapped, strict=True)
        ]
        made, structure = flatten(func(*tree.build(inner)))
        for t in made:
            if not is_tensor(t):
                raise ArgumentError(f"vmap: func must return tensors, got {type(t).__name__}.")
        found = [at_level(t, level.number) for t in made]
        # A result that is an argument as it was: a view of it, which is another tensor.
        return [alias.bind((t,)) if any(t is x for x in leaves) else t for t in found], structure


def _placed(t: Any, dim: Any) -> Any:
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise ArgumentError(f"vmap: out_dims must be integers, got {dim!r}.")
    if not -t.ndim <= dim < t.ndim:
        raise OutOfRangeError(
            f"vmap: samples cannot stand at dimension {dim}.", {"result": describe(t)}
        )
    return movedim(t, 0, dim) if dim else t
