"""Further ways to stack, split and combine tensors, made of those of `parts`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.creation import from_array
from fovea.functions.indexing import index_select
from fovea.functions.numpy_names import numpy_names
from fovea.functions.parts import cat, split, stack
from fovea.functions.pointwise import result_type
from fovea.functions.shaping import diagonal, flip, meshgrid, narrow, reshape, transpose, unsqueeze
from fovea.ops.rules import normalize_dim
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor


def _each(function: Any, tensors: tuple[Any, ...]) -> Any:
    """One result for one tensor, a tuple for several (or for a sequence of them)."""
    if len(tensors) == 1 and is_tensor(tensors[0]):
        return function(tensors[0])
    items = tensors[0] if len(tensors) == 1 else tensors
    return tuple(function(t) for t in items)


def _at_least_1d(x: Tensor) -> Tensor:
    return reshape(x, 1) if x.ndim == 0 else x


def _at_least_2d(x: Tensor) -> Tensor:
    return reshape(x, (1, x.numel())) if x.ndim < 2 else x


def _at_least_3d(x: Tensor) -> Tensor:
    if x.ndim < 2:
        return reshape(x, (1, x.numel(), 1))
    return unsqueeze(x, 2) if x.ndim == 2 else x


def atleast_1d(*tensors: Any) -> Any:
    """Views with at least one dimension."""
    return _each(_at_least_1d, tensors)


def atleast_2d(*tensors: Any) -> Any:
    """Views with at least two dimensions: a vector becomes a row."""
    return _each(_at_least_2d, tensors)


def atleast_3d(*tensors: Any) -> Any:
    """Views with at least three dimensions: a vector lies along the middle one."""
    return _each(_at_least_3d, tensors)


def hstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Join along the second dimension (vectors: along their only one).

    >>> import fovea
    >>> hstack([fovea.tensor([1, 2]), fovea.tensor([3])])
    tensor([1, 2, 3])
    """
    parts = [_at_least_1d(t) for t in tensors]
    return cat(parts, 0 if parts[0].ndim == 1 else 1, out=out)


def vstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Join along the first dimension; vectors are rows."""
    return cat([_at_least_2d(t) for t in tensors], 0, out=out)


def dstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Join along the third dimension."""
    return cat([_at_least_3d(t) for t in tensors], 2, out=out)


def column_stack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Join vectors as the columns of a matrix; matrices side by side."""
    return hstack([reshape(t, (t.numel(), 1)) if t.ndim < 2 else t for t in tensors], out=out)


@numpy_names
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces: so many, of nearly equal size, or between the indices listed.

    >>> import fovea
    >>> [t.shape[0] for t in tensor_split(fovea.arange(7), 3)]
    [3, 2, 2]
    """
    d = normalize_dim("tensor_split", dim, input.ndim)
    size = input.shape[d]
    given = indices_or_sections
    if is_tensor(given):
        given = given.tolist()
    if isinstance(given, int):
        if given <= 0:
            raise ArgumentError(
                f"tensor_split: the number of pieces must be positive, got {given}."
            )
        small, more = divmod(size, given)
        return split(input, [small + (i < more) for i in range(given)], d)
    edges = [0, *(max(0, min(size, i + size if i < 0 else i)) for i in given), size]
    pieces = []
    for start, stop in itertools.pairwise(edges):
        pieces.append(narrow(input, d, start, max(0, stop - start)))
    return tuple(pieces)


def _split_along(name: str, input: Tensor, how: Any, dim: int, least: int) -> tuple[Tensor, ...]:
    if input.ndim < least:
        raise ShapeError(f"{name}: at least {least} dimensions are needed, got {describe(input)}.")
    if isinstance(how, int) and (how <= 0 or input.shape[dim] % how):
        raise ShapeError(
            f"{name}: {how} does not divide the {input.shape[dim]} elements of dimension {dim}."
        )
    return tensor_split(input, how, dim)


def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """``tensor_split`` along the second dimension (of a vector: its only one)."""
    return _split_along("hsplit", input, indices_or_sections, 0 if input.ndim == 1 else 1, 1)


def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """``tensor_split`` along the first dimension."""
    return _split_along("vsplit", input, indices_or_sections, 0, 2)


def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """``tensor_split`` along the third dimension."""
    return _split_along("dsplit", input, indices_or_sections, 2, 3)


def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with these on its diagonal, zeros elsewhere.

    >>> import fovea
    >>> block_diag(fovea.tensor([[1]]), fovea.tensor([[2, 3]]))
    tensor([[1, 0, 0],
            [0, 2, 3]])
    """
    parts = [_at_least_2d(t) for t in tensors]
    if any(t.ndim > 2 for t in parts):
        raise ShapeError("block_diag: at most 2 dimensions each.")
    kind = result_type(*(t for t in tensors))
    columns = sum(t.shape[1] for t in parts)
    rows, start = [], 0
    for t in parts:
        t = t.to(kind)
        after = columns - start - t.shape[1]
        zeros = [t.new_zeros((t.shape[0], n)) for n in (start, after)]
        rows.append(cat([zeros[0], t, zeros[1]], 1))
        start += t.shape[1]
    return cat(rows, 0)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of one element from each 1-D tensor, one row each."""
    if len(tensors) == 1:
        return tensors[0]
    return stack([reshape(g, -1) for g in meshgrid(*tensors)], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All combinations of ``r`` elements of a 1-D tensor, one row each.

    >>> import fovea
    >>> combinations(fovea.tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input.numel()), r))
    if not r:
        return narrow(input, 0, 0, 0)
    places = from_array(np.asarray(rows, np.int64).reshape(-1))
    return reshape(index_select(input, 0, places), (len(rows), r))


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turn by ``k`` quarters in the plane of ``dims``, from the first to the second.

    >>> import fovea
    >>> rot90(fovea.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    a, b = (normalize_dim("rot90", d, input.ndim) for d in dims)
    if a == b:
        raise ArgumentError(f"rot90: two different dimensions are needed, got {tuple(dims)}.")
    turns = k % 4
    if turns == 0:
        return input.clone()
    if turns == 2:
        return flip(input, (a, b))
    if turns == 1:
        return flip(transpose(input, a, b), (a,))
    return flip(transpose(input, a, b), (b,))


def fliplr(input: Tensor) -> Tensor:
    """A copy with the order along the second dimension reversed."""
    if input.ndim < 2:
        raise ShapeError(f"fliplr: at least 2 dimensions are needed, got {describe(input)}.")
    return flip(input, (1,))


def flipud(input: Tensor) -> Tensor:
    """A copy with the order along the first dimension reversed."""
    if input.ndim < 1:
        raise ShapeError(f"flipud: at least 1 dimension is needed, got {describe(input)}.")
    return flip(input, (0,))


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices (in the plane of ``dim1`` and ``dim2``) with the last dimension as a diagonal.

    >>> import fovea
    >>> diag_embed(fovea.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    rank, n = input.ndim + 1, input.shape[-1] + abs(offset)
    a, b = normalize_dim("diag_embed", dim1, rank), normalize_dim("diag_embed", dim2, rank)
    if a == b:
        raise ArgumentError("diag_embed: dim1 and dim2 must differ.")
    lead = iter(input.shape[:-1])
    shape = tuple(n if d in (a, b) else next(lead) for d in range(rank))
    out = input.new_zeros(shape)
    diagonal(out, offset, a, b).copy_(input)
    return out


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """A matrix with all elements on a diagonal."""
    return diag_embed(reshape(input, -1), offset)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Places in the flattened tensor as indices of each dimension of ``shape``."""
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    out: list[Tensor] = []
    indices = indices.long()
    for n in reversed(sizes):
        out.append(indices % n)
        indices = indices // n
    return tuple(reversed(out))


def _triangle(find: Any, row: int, col: int, offset: int, dtype: Any) -> Tensor:
    found = find(row, offset, col)
    made = from_array(np.stack(found).astype(np.int64))
    return made if dtype is None else made.to(dtype)


def tril_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
) -> Tensor:
    """Row and column numbers of the lower triangle: a (2, n) tensor."""
    return _triangle(np.tril_indices, row, col, offset, dtype)


def triu_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
) -> Tensor:
    """Row and column numbers of the upper triangle: a (2, n) tensor."""
    return _triangle(np.triu_indices, row, col, offset, dtype)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:  # noqa: N803
    """Powers of each element of a 1-D tensor, one row each."""
    count = x.shape[-1] if N is None else N
    powers = [x**i for i in range(count)]
    if not powers:
        return x.new_empty((*x.shape, 0))
    return stack(powers if increasing else powers[::-1], -1)
