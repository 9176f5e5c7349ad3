"""Sums of products beyond the matrix product: tensors against tensors, vectors, and distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.complex_numbers import conj
from fovea.functions.linalg import _plus, dot, matmul, mv, outer
from fovea.functions.pointwise import mul
from fovea.functions.reductions import _safe_root, norm, sum_
from fovea.functions.shaping import broadcast_tensors, diagonal, permute, reshape, roll, unsqueeze
from fovea.ops.rules import normalize_dim
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * (mat @ vec)``."""
    return _plus(input, mv(mat, vec), beta, alpha)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * input + alpha * outer(vec1, vec2)``."""
    return _plus(input, outer(vec1, vec2), beta, alpha)


def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """``beta * input + alpha * bmm(batch1, batch2).sum(0)``."""
    if batch1.ndim != 3 or batch2.ndim != 3 or batch1.shape[0] != batch2.shape[0]:
        raise ShapeError(
            f"addbmm: two equal batches of matrices are needed, got {describe(batch1)} and "
            f"{describe(batch2)}."
        )
    rows = reshape(permute(batch1, (1, 0, 2)), (batch1.shape[1], -1))
    return _plus(input, matmul(rows, reshape(batch2, (-1, batch2.shape[2]))), beta, alpha)


def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last dimension of both; a product if one is 0-d."""
    if input.ndim == 0 or other.ndim == 0:
        return mul(input, other)
    return tensordot(input, other, ([-1], [-1]))


def vdot(input: Tensor, other: Tensor) -> Tensor:
    """``dot``, of the conjugate of ``input``."""
    return dot(conj(input), other)


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Sums of products over several dimensions at once, as one matrix product.

    Args:
        dims: how many, of the last of ``a`` and the first of ``b``; or two lists of dimensions.

    >>> import fovea
    >>> tensordot(fovea.ones(2, 3, 4), fovea.ones(3, 4, 5)).shape
    fovea.Size([2, 5])
    """
    if is_tensor(dims):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0 or dims > min(a.ndim, b.ndim):
            raise ArgumentError(f"tensordot: dims={dims} for {describe(a)} and {describe(b)}.")
        dims = (range(a.ndim - dims, a.ndim), range(dims))
    left, right = (
        [normalize_dim("tensordot", d, t.ndim) for d in ([g] if isinstance(g, int) else g)]
        for g, t in zip(dims, (a, b), strict=True)
    )
    for i, j in zip(left, right, strict=True):
        if a.shape[i] == 1:
            b = sum_(b, j, keepdim=True, dtype=b.dtype)
        elif b.shape[j] == 1:
            a = sum_(a, i, keepdim=True, dtype=a.dtype)
        if a.shape[i] != b.shape[j]:
            raise ShapeError(
                f"tensordot: dimension {i} of {describe(a)} and {j} of {describe(b)} differ."
            )
    rows = [d for d in range(a.ndim) if d not in left]
    columns = [d for d in range(b.ndim) if d not in right]
    run = math.prod(a.shape[d] for d in left)
    shape = (*(a.shape[d] for d in rows), *(b.shape[d] for d in columns))
    x = reshape(permute(a, (*rows, *left)), (math.prod(a.shape[d] for d in rows), run))
    y = reshape(permute(b, (*right, *columns)), (run, math.prod(b.shape[d] for d in columns)))
    return reshape(matmul(x, y), shape)


def kron(input: Tensor, other: Tensor) -> Tensor:
    """Kronecker's product: ``other`` times each element of ``input``, as blocks.

    >>> import fovea
    >>> kron(fovea.tensor([1, 10]), fovea.tensor([1, 2]))
    tensor([ 1,  2, 10, 20])
    """
    rank = max(input.ndim, other.ndim)
    a, b = (reshape(t, (1,) * (rank - t.ndim) + tuple(t.shape)) for t in (input, other))
    spread_a = reshape(a, tuple(n for size in a.shape for n in (size, 1)))
    spread_b = reshape(b, tuple(n for size in b.shape for n in (1, size)))
    shape = tuple(n * m for n, m in zip(a.shape, b.shape, strict=True))
    return reshape(mul(spread_a, spread_b), shape)


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of several matrices (the first and last may be vectors), in the cheapest order.

    Source: Cormen et al., Introduction to Algorithms, 15.2.
    """
    parts = list(tensors)
    first, last = parts[0].ndim == 1, parts[-1].ndim == 1
    if first:
        parts[0] = unsqueeze(parts[0], 0)
    if last:
        parts[-1] = unsqueeze(parts[-1], 1)
    if any(p.ndim != 2 for p in parts):
        raise ShapeError("multi_dot: matrices are needed (vectors at the ends).")
    sizes = [parts[0].shape[0], *(p.shape[1] for p in parts)]
    y = _chained(parts, _cheapest(sizes), 0, len(parts) - 1)
    shape = (() if first else (y.shape[0],)) + (() if last else (y.shape[1],))
    return reshape(y, shape)


def _cheapest(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to cut each run of matrices."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    cut: dict[tuple[int, int], int] = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            costs = [
                cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1]
                for k in range(i, j)
            ]
            cost[i, j] = min(costs)
            cut[i, j] = i + costs.index(cost[i, j])
    return cut


def _chained(parts: list[Tensor], cut: dict[tuple[int, int], int], i: int, j: int) -> Tensor:
    if i == j:
        return parts[i]
    k = cut[i, j]
    return matmul(_chained(parts, cut, i, k), _chained(parts, cut, k + 1, j))


def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector product along a dimension of size 3 (the first such one unless told).

    >>> import fovea
    >>> cross(fovea.tensor([1, 0, 0]), fovea.tensor([0, 1, 0]))
    tensor([0, 0, 1])
    """
    a, b = broadcast_tensors(input, other)
    if dim is None:
        dim = next((d for d, n in enumerate(a.shape) if n == 3), -1)
    d = normalize_dim("cross", dim, a.ndim)
    if not a.ndim or a.shape[d] != 3:
        raise ShapeError(f"cross: dimension {dim} must have 3 elements, got {describe(a)}.")
    return roll(a, -1, d) * roll(b, -2, d) - roll(a, -2, d) * roll(b, -1, d)


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal."""
    if input.ndim != 2:
        raise ShapeError(f"trace: a matrix is needed, got {describe(input)}.")
    return sum_(diagonal(input))


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The ``p``-norm of the difference."""
    return norm(input - other, p)


_MANY = 25  # rows from which a matrix product is worth its rounding


def cdist(
    x1: Tensor,
    x2: Tensor,
    p: float = 2.0,
    compute_mode: str = "use_mm_for_euclid_dist_if_necessary",
) -> Tensor:
    """The ``p``-distances of all rows of one matrix to all rows of another.

    Args:
        x1, x2: (..., n, features), (..., m, features).
        compute_mode: whether Euclidean distances come from a matrix product (faster, and less exact
            for near rows): ``"use_mm_for_euclid_dist"``, ``"donot_use_mm_for_euclid_dist"``, or by
            the number of rows.

    Returns: (..., n, m).
    """
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(f"cdist: {describe(x1)} and {describe(x2)} have no equal features.")
    many = max(x1.shape[-2], x2.shape[-2]) > _MANY
    products = compute_mode == "use_mm_for_euclid_dist" or (
        many and compute_mode == "use_mm_for_euclid_dist_if_necessary"
    )
    if p == 2 and products:
        squares = [sum_(t * t, -1, keepdim=True) for t in (x1, x2)]
        both = squares[0] + squares[1].transpose(-1, -2)
        return _safe_root((both - 2 * matmul(x1, x2.transpose(-1, -2))).clamp(min=0))
    return norm(unsqueeze(x1, -2) - unsqueeze(x2, -3), p, -1)


def pdist(input: Tensor, p: float = 2) -> Tensor:
    """The ``p``-distances of all pairs of a matrix's rows, in order, as a vector."""
    from fovea.functions.joining import triu_indices

    n = input.shape[0]
    rows, columns = triu_indices(n, n, 1)
    return norm(input[rows] - input[columns], p, 1)
