"""Matrix products in their several spellings, and einsum."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fovea import dispatch
from fovea.casting import LOWER, autocasts
from fovea.errors import ArgumentError, ShapeError, describe
from fovea.functions.pointwise import add, mul
from fovea.functions.shaping import expand, permute, reshape, unsqueeze
from fovea.ops import linalg as ops

if TYPE_CHECKING:
    from fovea.tensor import Tensor


def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Matrix product; 1-D operands are vectors, leading dimensions are batches and broadcast.

    >>> import fovea
    >>> matmul(fovea.eye(2), fovea.tensor([3.0, 4.0]))
    tensor([3., 4.])
    """
    if len(input.shape) > 1 and len(other.shape) > 1:
        y: Tensor = ops.matmul.bind((input, other))
        return y if out is None else out.copy_(y)
    if input.ndim == 0 or other.ndim == 0:
        raise ShapeError(
            "matmul: 0-d tensors have no matrix product.",
            {"input": describe(input), "other": describe(other)},
            "use * for scalars",
        )
    a = unsqueeze(input, 0) if input.ndim == 1 else input
    b = unsqueeze(other, 1) if other.ndim == 1 else other
    y = ops.matmul.bind((a, b))
    if other.ndim == 1:
        y = reshape(y, y.shape[:-1])
    if input.ndim == 1:
        y = reshape(y, y.shape[:-1] if other.ndim == 1 else (*y.shape[:-2], y.shape[-1]))
    return y if out is None else out.copy_(y)


def mm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of two matrices."""
    if input.ndim != 2 or mat2.ndim != 2:
        raise ShapeError(
            f"mm: two matrices are needed, got {describe(input)} and {describe(mat2)}."
        )
    return matmul(input, mat2, out=out)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices."""
    if input.ndim != 3 or mat2.ndim != 3 or input.shape[0] != mat2.shape[0]:
        raise ShapeError(
            f"bmm: two equal batches of matrices are needed, got {describe(input)} and "
            f"{describe(mat2)}."
        )
    return matmul(input, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """A matrix times a vector."""
    if input.ndim != 2 or vec.ndim != 1:
        raise ShapeError(
            f"mv: a matrix and a vector are needed, got {describe(input)} and {describe(vec)}."
        )
    return reshape(_exact(input, unsqueeze(vec, 1)), (input.shape[0],))


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The inner product of two vectors."""
    if input.ndim != 1 or tensor.ndim != 1:
        raise ShapeError(
            f"dot: two vectors are needed, got {describe(input)} and {describe(tensor)}."
        )
    return reshape(_exact(unsqueeze(input, 0), unsqueeze(tensor, 1)), ())


def _exact(a: Tensor, b: Tensor) -> Tensor:
    """A product that autocast leaves in the operands' type, as PyTorch's with vectors are."""
    return dispatch.bind(ops.matmul, (a, b))


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The outer product of two vectors."""
    return mul(unsqueeze(input, 1), vec2)


@autocasts(LOWER)
def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``."""
    return _plus(input, mm(mat1, mat2), beta, alpha)


def _plus(input: Tensor, y: Tensor, beta: float, alpha: float) -> Tensor:
    """``beta * input + alpha * y``; factors of integers are cut to integers."""
    if not y.dtype.is_inexact:
        beta, alpha = int(beta), int(alpha)
    y = y if alpha == 1 else mul(y, alpha)
    return y if beta == 0 else add(y, input if beta == 1 else mul(input, beta))


@autocasts(LOWER)
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """``beta * input + alpha * (batch1 @ batch2)``."""
    return _plus(input, bmm(batch1, batch2), beta, alpha)


def einsum(equation: str, *operands: Any) -> Tensor:
    """Sums of products by Einstein's convention, ``"bij,bjk->bik"``.

    Operands are contracted from left to right, each pair as one batched matrix product.

    >>> import fovea
    >>> einsum("ij,j->i", fovea.eye(2), fovea.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    tensors: list[Tensor] = (
        list(operands[0])
        if len(operands) == 1 and isinstance(operands[0], list | tuple)
        else list(operands)
    )
    terms, output = _parse(equation, tensors)
    left, result = _diagonals(terms[0], tensors[0])
    for i in range(1, len(tensors)):
        right, other = _diagonals(terms[i], tensors[i])
        later = set(output).union(*terms[i + 1 :])
        left, result = _contract(left, result, right, other, later)
    gone = tuple(i for i, c in enumerate(left) if c not in output)
    if gone:
        result = result.sum(gone)
        left = "".join(c for c in left if c in output)
    return permute(result, [left.index(c) for c in output]) if left != output else result


def _parse(equation: str, tensors: Sequence[Tensor]) -> tuple[list[str], str]:
    """Terms without spaces and ellipses, and the output (sorted single letters if implicit)."""
    lhs, arrow, rhs = equation.replace(" ", "").partition("->")
    terms = lhs.split(",")
    if len(terms) != len(tensors):
        raise ArgumentError(
            f"einsum: {equation!r} names {len(terms)} operands, got {len(tensors)}."
        )
    spare = [c for c in string.ascii_letters if c not in equation]
    widest = max(
        (
            t.ndim - len(s.replace("...", ""))
            for s, t in zip(terms, tensors, strict=True)
            if "..." in s
        ),
        default=0,
    )
    dots = "".join(spare[:widest])
    for i, (term, t) in enumerate(zip(terms, tensors, strict=True)):
        if "..." in term:
            n = t.ndim - len(term) + 3
            terms[i] = term.replace("...", dots[len(dots) - n :] if n else "")
        if len(terms[i]) != t.ndim:
            raise ShapeError(
                f"einsum: {term!r} does not name the {t.ndim} dimensions of {describe(t)}."
            )
    if arrow:
        return terms, rhs.replace("...", dots)
    letters = "".join(terms)
    return terms, dots + "".join(
        sorted(c for c in set(letters) - set(dots) if letters.count(c) == 1)
    )


def _diagonals(term: str, t: Tensor) -> tuple[str, Tensor]:
    """A letter twice in one term means the diagonal."""
    for c in sorted(set(term)):
        while term.count(c) > 1:
            i = term.index(c)
            j = term.index(c, i + 1)
            t = t.diagonal(0, i, j)
            term = term[:i] + term[i + 1 : j] + term[j + 1 :] + c
    return term, t


def _contract(left: str, a: Tensor, right: str, b: Tensor, later: set[str]) -> tuple[str, Tensor]:
    """One pair as a batched matrix product."""
    shared = [c for c in left if c in right]
    batch = [c for c in shared if c in later]
    summed = [c for c in shared if c not in later]
    rows, columns = [c for c in left if c not in right], [c for c in right if c not in left]
    size = dict(zip(left, a.shape, strict=True))
    for c, n in zip(right, b.shape, strict=True):
        if size.setdefault(c, n) != n:
            if 1 not in (size[c], n):
                raise ShapeError(f"einsum: {c!r} is {size[c]} in one operand and {n} in another.")
            size[c] = max(size[c], n)
    a = _arranged(a, left, (*batch, *rows, *summed), size)
    b = _arranged(b, right, (*batch, *summed, *columns), size)

    def total(letters: Sequence[str]) -> int:
        n = 1
        for c in letters:
            n *= size[c]
        return n

    a = reshape(a, (total(batch), total(rows), total(summed)))
    b = reshape(b, (total(batch), total(summed), total(columns)))
    y = bmm(a, b)
    names = (*batch, *rows, *columns)
    return "".join(names), reshape(y, tuple(size[c] for c in names))


def _arranged(t: Tensor, letters: str, order: Sequence[str], size: dict[str, int]) -> Tensor:
    t = permute(t, [letters.index(c) for c in order])
    return expand(t, tuple(size[c] for c in order))
