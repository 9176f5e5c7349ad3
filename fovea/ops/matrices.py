"""Decompositions, inverses and determinants of (batches of) matrices, by NumPy's LAPACK.

Gradients: Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation", 2008; for singular and eigenvectors, Townsend, "Differentiating the singular value
decomposition", 2016; of the pseudo-inverse, Golub and Pereyra, 1973; of eigenvectors of general
matrices, Boeddeker and others, "On the computation of complex-valued gradients", 2017.

Rules of analytic ops read conjugates of what was saved, as `fovea.ops.complex_numbers` says, and
need only transposes. The others take the conjugates back (`_plain`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.errors import DTypeError, LinAlgError, ShapeError, describe
from fovea.ops import complex_numbers  # as a module: what a family names it declares
from fovea.ops.linalg import matmul
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import same_dtype

Array = np.ndarray[Any, Any]
_KINDS = (dtypes.float32, dtypes.float64, dtypes.complex64, dtypes.complex128)


def require_matrices(name: str, *, square: bool = False, **given: Shaped) -> None:
    """float32 or float64 or complex of them, at least two dimensions, and equal last two with
    ``square``.
    """
    for key, t in given.items():
        if t.dtype not in _KINDS:
            raise DTypeError(
                f"{name}: {key} must be float32, float64 or complex, got {describe(t)}.",
                fix=f"{key}.float()",
            )
        if len(t.shape) < 2:
            raise ShapeError(f"{name}: {key} must be (..., rows, columns), got {describe(t)}.")
        if square and t.shape[-1] != t.shape[-2]:
            raise ShapeError(f"{name}: {key} must be square, got {describe(t)}.")


_INSTEAD = {
    "inv": "linalg.inv_ex, which says which matrices are singular, or linalg.pinv",
    "solve": "linalg.solve_ex, which says which matrices are singular, or linalg.lstsq",
    "cholesky": "linalg.cholesky_ex, which says which matrices are not positive definite",
}


def _lapack(routine: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """A routine of NumPy's; what it refuses is our error."""
    try:
        return routine(*args, **options)
    except np.linalg.LinAlgError as error:
        name = routine.__name__
        raise LinAlgError(f"{name}: {error}.", fix=_INSTEAD.get(name)) from None


def _finite(a: Array) -> Array:
    """Which matrices have finite elements only."""
    return np.asarray(np.isfinite(a).all((-2, -1)))


def _svd(a: Array, full: bool) -> Any:
    """NumPy's, but NaN (not an error) for matrices with elements that are not finite."""
    finite = _finite(a)
    found = _lapack(np.linalg.svd, np.where(finite[..., None, None], a, 0), full_matrices=full)
    if finite.all():
        return found
    return tuple(
        np.where(finite.reshape(finite.shape + (1,) * (x.ndim - finite.ndim)), x, np.nan)
        for x in found
    )


def _t(x: Any) -> Any:
    return x.transpose(-1, -2)


def _h(x: Any) -> Any:
    """The conjugate transpose."""
    return _t(x.conj()) if x.dtype.is_complex else _t(x)


def _plain(x: Any) -> Any:
    """A saved tensor as it was."""
    return x.conj() if x.dtype.is_complex else x


def _mm(*factors: Any) -> Any:
    y = factors[0]
    for x in factors[1:]:
        y = matmul.bind((y, x))
    return y


def _eye_like(x: Any, n: int) -> Any:
    """The unit matrix, to be broadcast."""
    return x.new_ones((n,)).diag()


def _square_op(name: str, outputs: tuple[str, ...] = ("y",)) -> Op:
    """Declare an op of one square matrix whose first output has its shape."""
    op = Op(name, ("a",), outputs=outputs)

    @op.shape
    def _(a: Shaped) -> Spec:
        require_matrices(name, square=True, a=a)
        return Spec(tuple(a.shape), a.dtype)

    return op


# -- systems of equations -------------------------------------------------------------------------

solve = Op("solve", ("a", "b"))  # y with a @ y = b; both (..., n, k), with equal leading sizes


@solve.shape
def _(a: Shaped, b: Shaped) -> Spec:
    require_matrices("solve", square=True, a=a)
    require_matrices("solve", b=b)
    same_dtype("solve", a, b)
    if tuple(a.shape[:-1]) != tuple(b.shape[:-1]):
        raise ShapeError(f"solve: {describe(a)} and {describe(b)} are no system of equations.")
    return Spec(tuple(b.shape), b.dtype)


solve.reference(lambda a, b: _lapack(np.linalg.solve, a, b))


@solve.grad(saves=("a", "y"))
def _(ctx: Any, gy: Any) -> tuple[Any, ...]:
    gb = solve.bind((_t(ctx.a), gy))
    return -_mm(gb, _t(ctx.y)) if ctx.needed[0] else None, gb


inverse = _square_op("inverse")
inverse.reference(lambda a: _lapack(np.linalg.inv, a))
inverse.grad(saves=("y",))(lambda ctx, gy: -_mm(_t(ctx.y), gy, _t(ctx.y)))


@dataclass(frozen=True, eq=False)
class PinvAttrs(Attrs):
    """Singular values up to ``rtol`` times the largest count as zero; negative: the type's own."""

    rtol: float
    atol: float


pinv = Op("pinv", ("a",), PinvAttrs)


@pinv.shape
def _(a: Shaped, attrs: PinvAttrs) -> Spec:
    require_matrices("pinv", a=a)
    return Spec((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)


@pinv.reference
def _(a: Array, attrs: PinvAttrs) -> Array:
    if not a.size:
        return np.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)
    u, s, vh = _svd(a, False)
    least = np.maximum(attrs.rtol * s[..., :1], attrs.atol)
    inverse_s = np.where(s > least, 1 / np.where(s > least, s, 1), 0)
    return np.swapaxes(vh.conj(), -1, -2) @ (inverse_s[..., None] * np.swapaxes(u.conj(), -1, -2))


@pinv.grad(saves=("a", "y"))
def _(ctx: Any, g: Any) -> Any:
    a, p = _plain(ctx.a), _plain(ctx.y)
    left = _mm(_h(g), p)  # (rows, rows)
    right = _mm(p, _h(g))  # (columns, columns)
    first = _mm(_h(p), g, _h(p))
    second = _mm(left, _h(p)) - _mm(a, p, left, _h(p))
    third = _mm(_h(p), right) - _mm(_h(p), right, p, a)
    return second + third - first


# -- determinants ---------------------------------------------------------------------------------

det = Op("det", ("a",))


@det.shape
def _(a: Shaped) -> Spec:
    require_matrices("det", square=True, a=a)
    return Spec(tuple(a.shape[:-2]), a.dtype)


det.reference(lambda a: np.linalg.det(a))


@det.grad(saves=("a",))
def _(ctx: Any, gy: Any) -> Any:
    """The cofactors, which exist for singular matrices, too: U diag(products of the others) V^T."""
    a = ctx.a
    n = a.shape[-1]
    if not n:
        return a * 0
    u, s, vh = svd.bind((a,), SvdAttrs.of(False))
    one = _eye_like(s, n)
    others = (s.unsqueeze(-2) * (1 - one) + one).prod(-1)
    turn = det.bind((_mm(u, vh),))
    turn = turn if a.dtype.is_complex else turn.detach()  # then 1 or -1
    cofactors = _mm(_plain(u) * others.unsqueeze(-2), _plain(vh))
    return cofactors * (gy * turn).reshape((*gy.shape, 1, 1))


slogdet = Op("slogdet", ("a",), outputs=("sign", "logabsdet"))


@slogdet.shape
def _(a: Shaped) -> tuple[Spec, Spec]:
    require_matrices("slogdet", square=True, a=a)
    return Spec(tuple(a.shape[:-2]), a.dtype), Spec(tuple(a.shape[:-2]), a.dtype.to_real())


slogdet.reference(lambda a: tuple(np.linalg.slogdet(a)))


@slogdet.grad(saves=("a", "sign"))
def _(ctx: Any, g_sign: Any, g: Any) -> Any:
    """The sign of a complex determinant turns as the imaginary part of tr(a^-1 da) says."""
    a = ctx.a
    if a.dtype.is_complex and g_sign is not None:
        turned = (g_sign * ctx.sign).imag
        g = complex_numbers.join.bind((turned * 0 if g is None else g, turned))
    return a * 0 if g is None else _t(inverse.bind((a,))) * g.reshape((*g.shape, 1, 1))


# -- decompositions -------------------------------------------------------------------------------

cholesky = _square_op("cholesky")  # the lower factor; only the lower triangle of a is read
cholesky.reference(lambda a: _lapack(np.linalg.cholesky, a))


@cholesky.grad(saves=("y",))
def _(ctx: Any, g: Any) -> Any:
    lower = ctx.y
    p = _mm(_t(lower), g).tril()
    strict = p.tril(-1)
    both = (p + _h(strict)) * 0.5
    return solve.bind((_t(lower), _h(solve.bind((_t(lower), _h(both))))))  # L^-H both L^-1


@dataclass(frozen=True, eq=False)
class QrAttrs(Attrs):
    """``complete``: q is square."""

    complete: bool


qr = Op("qr", ("a",), QrAttrs, outputs=("q", "r"))


@qr.shape
def _(a: Shaped, attrs: QrAttrs) -> tuple[Spec, Spec]:
    require_matrices("qr", a=a)
    *lead, m, n = a.shape
    k = m if attrs.complete else min(m, n)
    return Spec((*lead, m, k), a.dtype), Spec((*lead, k, n), a.dtype)


@qr.reference
def _(a: Array, attrs: QrAttrs) -> tuple[Array, Array]:
    q, r = _lapack(np.linalg.qr, a, "complete" if attrs.complete else "reduced")
    return q, r


@qr.grad(saves=("a", "q", "r"))
def _(ctx: Any, gq: Any, gr: Any) -> Any:
    *_, m, n = ctx.shape(0)
    if ctx.attrs.complete and m > n:
        raise DTypeError("qr: mode='complete' has no gradient for tall matrices.", fix="'reduced'")
    q, r = _plain(ctx.q), _plain(ctx.r)
    gq = q * 0 if gq is None else gq
    gr = r * 0 if gr is None else gr
    if m >= n:
        return _tall_qr_grad(q, r, gq, gr)
    rest, g_rest = _plain(ctx.a).narrow(-1, m, n - m), gr.narrow(-1, m, n - m)
    gq = gq + _mm(rest, _h(g_rest))
    first = _tall_qr_grad(q, r.narrow(-1, 0, m), gq, gr.narrow(-1, 0, m))
    from fovea.ops.shape import cat

    return cat(first, _mm(q, g_rest), dim=gr.ndim - 1)


def _tall_qr_grad(q: Any, r: Any, gq: Any, gr: Any) -> Any:
    m = _mm(r, _h(gr)) - _mm(_h(gq), q)
    lower, diagonal = m.tril(-1), m.tril().triu()
    if m.dtype.is_complex:
        diagonal = diagonal.real  # as r's is
    both = lower + _h(lower) + diagonal
    return _h(solve.bind((r, _h(gq + _mm(q, both)))))  # (gq + q both) r^-H


@dataclass(frozen=True, eq=False)
class EighAttrs(Attrs):
    """Which triangle is read."""

    upper: bool


eigh = Op("eigh", ("a",), EighAttrs, outputs=("values", "vectors"))


@eigh.shape
def _(a: Shaped, attrs: EighAttrs) -> tuple[Spec, Spec]:
    require_matrices("eigh", square=True, a=a)
    return Spec(tuple(a.shape[:-1]), a.dtype.to_real()), Spec(tuple(a.shape), a.dtype)


eigh.reference(lambda a, attrs: tuple(_lapack(np.linalg.eigh, a, "U" if attrs.upper else "L")))


@eigh.grad(saves=("values", "vectors"))
def _(ctx: Any, gw: Any, gv: Any) -> Any:
    w, v = ctx.values, _plain(ctx.vectors)
    total = _mm(v * (w * 0 if gw is None else gw).unsqueeze(-2), _h(v))
    if gv is not None:
        one = _eye_like(w, w.shape[-1])
        gaps = w.unsqueeze(-2) - w.unsqueeze(-1) + one
        total = total + _mm(v, _mm(_h(v), gv) * (1 - one) / gaps, _h(v))
    return (total + _h(total)) * 0.5


eig = Op("eig", ("a",), outputs=("values", "vectors"))  # of any square matrix; always complex


@eig.shape
def _(a: Shaped) -> tuple[Spec, Spec]:
    require_matrices("eig", square=True, a=a)
    kind = a.dtype if a.dtype.is_complex else a.dtype.to_complex()
    return Spec(tuple(a.shape[:-1]), kind), Spec(tuple(a.shape), kind)


@eig.reference
def _(a: Array) -> tuple[Array, Array]:
    kind = np.result_type(a, np.complex64)
    if not a.size:
        return np.zeros(a.shape[:-1], kind), np.zeros(a.shape, kind)
    values, vectors = _lapack(np.linalg.eig, a)
    return values.astype(kind), vectors.astype(kind)


@eig.grad(saves=("values", "vectors"))
def _(ctx: Any, gw: Any, gv: Any) -> Any:
    """v^-H (diag(gw) + (v^H gv - v^H v Re diag(v^H gv)) / conj(gaps)) v^H; vectors: length 1."""
    w, v = _plain(ctx.values), _plain(ctx.vectors)
    one = _eye_like(w.real, w.shape[-1])
    middle = one * (w * 0 if gw is None else gw).unsqueeze(-2)
    if gv is not None:
        along = _mm(_h(v), gv)
        lengths = (along.real * one).sum(-2, keepdim=True)
        gaps = (w.unsqueeze(-2) - w.unsqueeze(-1)).conj() + one
        middle = middle + (along - _mm(_h(v), v) * lengths) * (1 - one) / gaps
    total = solve.bind((_h(v), _mm(middle, _h(v))))
    return total if ctx.dtype(0).is_complex else total.real


@dataclass(frozen=True, eq=False)
class SvdAttrs(Attrs):
    """``full``: u and vh are square."""

    full: bool


svd = Op("svd", ("a",), SvdAttrs, outputs=("u", "s", "vh"))


@svd.shape
def _(a: Shaped, attrs: SvdAttrs) -> tuple[Spec, Spec, Spec]:
    require_matrices("svd", a=a)
    *lead, m, n = a.shape
    k = min(m, n)
    rows, columns = (m, n) if attrs.full else (k, k)
    return (
        Spec((*lead, m, rows), a.dtype),
        Spec((*lead, k), a.dtype.to_real()),
        Spec((*lead, columns, n), a.dtype),
    )


svd.reference(lambda a, attrs: tuple(_svd(a, attrs.full)))


@svd.grad(saves=("u", "s", "vh"))
def _(ctx: Any, gu: Any, gs: Any, gvh: Any) -> Any:
    """For ``full``, only what the first min(rows, columns) vectors say counts. Without gradients of
    the vectors, equal singular values do no harm.
    """
    k = ctx.s.shape[-1]
    u, s, vh = _plain(ctx.u).narrow(-1, 0, k), ctx.s, _plain(ctx.vh).narrow(-2, 0, k)
    one = _eye_like(s, k)
    column, row = s.unsqueeze(-2), s.unsqueeze(-1)
    gaps = column * column - row * row + one
    total = _mm(u * (column * 0 if gs is None else gs.unsqueeze(-2)), vh)
    if gu is not None:
        gu = gu.narrow(-1, 0, k)
        left = _mm(_h(u), gu)
        turns = left - _h(left)
        if u.dtype.is_complex:  # phases of u, which those of v follow
            if gvh is not None:
                total = total + _mm(u, turns * one / (2 * column), vh)
            turns = turns * (1 - one)
        total = total + _mm(u, turns / gaps * column, vh)
        if u.shape[-2] > k:  # what leaves the space of u
            total = total + _mm((gu - _mm(u, left)) / column, vh)
    if gvh is not None:
        gvh = gvh.narrow(-2, 0, k)
        right = _mm(vh, _h(gvh))
        turns = right - _h(right)
        if vh.dtype.is_complex:
            turns = turns * (1 - one)
        total = total + _mm(u, row * (turns / gaps), vh)
        if vh.shape[-1] > k:
            total = total + _mm(u, (gvh - _mm(_h(right), vh)) / row)
    return total


# -- the exponential ------------------------------------------------------------------------------

matrix_exp = _square_op("matrix_exp")
_PADE = (64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
         129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0,
         40840800.0, 960960.0, 16380.0, 182.0, 1.0)  # fmt: skip


@matrix_exp.reference
def _(a: Array) -> Array:
    """Scaling and squaring with Padé's approximant of degree 13 (Higham, 2005)."""
    n = a.shape[-1]
    if not a.size:
        return a
    x = a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)
    finite = _finite(x)
    x = np.where(finite[..., None, None], x, 0)
    norm = np.abs(x).sum(-2).max(-1)
    times = np.maximum(0, np.ceil(np.log2(np.maximum(norm, 1e-300) / 4.25))).astype(int)
    x = x / (2.0**times)[..., None, None]
    square = x @ x
    power = np.broadcast_to(np.eye(n), x.shape)
    odd, even = np.zeros_like(x), np.zeros_like(x)
    for i in range(0, 14, 2):
        even = even + _PADE[i] * power
        odd = odd + _PADE[i + 1] * power
        power = power @ square
    odd = x @ odd
    y = _lapack(np.linalg.solve, even - odd, even + odd)
    for step in range(int(times.max(initial=0))):
        y = np.where((times > step)[..., None, None], y @ y, y)
    return np.where(finite[..., None, None], y, np.nan)


@matrix_exp.grad(saves=("a",))
def _(ctx: Any, g: Any) -> Any:
    """The corner of exp([[a^T, g], [0, a^T]])."""
    from fovea.ops.shape import cat

    n, rank, at = g.shape[-1], g.ndim, _t(ctx.a)
    top = cat(at, g, dim=rank - 1)
    block = cat(top, cat(at * 0, at, dim=rank - 1), dim=rank - 2)
    return matrix_exp.bind((block,)).narrow(-2, 0, n).narrow(-1, n, n)
