"""Complex numbers: their parts, and Fourier transforms. Complex ops run as NumPy on every target.

Gradients are PyTorch's: that of a real loss to z = x + iy is dL/dx + i dL/dy, so that an analytic f
gives ``g * conj(f'(z))``. Rules of analytic ops are written as for real numbers: what they read of
a saved complex tensor is its conjugate (`fovea.tape` sees to that), and conj(f'(z)) is f'(conj(z)).
The rules here, of ops that are not analytic, take the conjugate back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea import dtypes
from fovea.dtypes import DType
from fovea.errors import DTypeError, ShapeError, describe
from fovea.ops.op import Attrs, Op, Shaped, Spec
from fovea.ops.rules import elementwise_spec, require_dims, same_dtype

Array = np.ndarray[Any, Any]


def _require_complex(name: str, x: Shaped) -> DType:
    """The type of a complex tensor's parts; DTypeError for another tensor."""
    if not x.dtype.is_complex:
        raise DTypeError(f"{name}: a complex tensor is needed, got {describe(x)}.")
    return x.dtype.to_real()


def _require_parts(name: str, x: Shaped) -> DType:
    """The complex type with such parts; DTypeError unless they are float32 or float64."""
    if x.dtype not in (dtypes.float32, dtypes.float64):
        raise DTypeError(
            f"{name}: complex numbers are made of float32 or float64, got {describe(x)}.",
            fix="x.float()",
        )
    return x.dtype.to_complex()


def _of_complex(name: str, reference: Any, real: bool) -> Op:
    """Declare an element-wise op of complex numbers whose result is ``real`` or complex."""
    op = Op(name, ("x",))

    @op.shape
    def _(x: Shaped) -> Spec:
        part = _require_complex(name, x)
        return elementwise_spec(name, (x,), part if real else None)

    op.reference(reference)
    return op


conj = _of_complex("conj", np.conjugate, real=False)
real = _of_complex("real", np.real, real=True)
imag = _of_complex("imag", np.imag, real=True)
complex_abs = _of_complex("complex_abs", np.abs, real=True)
complex_angle = _of_complex("complex_angle", np.angle, real=True)
join = Op("complex", ("real", "imag"))


@join.shape
def _(real: Shaped, imag: Shaped) -> Spec:
    same_dtype("complex", real, imag)
    return elementwise_spec("complex", (real, imag), _require_parts("complex", real))


@join.reference
def _(real: Array, imag: Array) -> Array:
    out = np.empty(np.broadcast_shapes(real.shape, imag.shape), np.result_type(real, np.complex64))
    out.real, out.imag = real, imag
    return out


@join.grad()
def _(ctx: Any, g: Any) -> tuple[Any, ...]:
    from fovea.ops.rules import sum_to

    return (
        sum_to(real.bind((g,)), ctx.shape(0)) if ctx.needed[0] else None,
        sum_to(imag.bind((g,)), ctx.shape(1)) if ctx.needed[1] else None,
    )


conj.grad()(lambda ctx, g: conj.bind((g,)))
real.grad()(lambda ctx, g: g.to(ctx.dtype(0)))
imag.grad()(lambda ctx, g: g.to(ctx.dtype(0)) * 1j)


@complex_abs.grad(saves=("x", "y"))
def _(ctx: Any, g: Any) -> Any:
    size = ctx.y.masked_fill(ctx.y == 0, 1.0)
    return conj.bind((ctx.x,)) * (g / size).to(ctx.dtype(0))


@complex_angle.grad(saves=("x",))
def _(ctx: Any, g: Any) -> Any:
    z = conj.bind((ctx.x,))
    square = real.bind((z,)) * real.bind((z,)) + imag.bind((z,)) * imag.bind((z,))
    scale = g / square.masked_fill(square == 0, 1.0)
    return z * scale.to(z.dtype) * 1j


view_as_real = Op("view_as_real", ("x",))
view_as_complex = Op("view_as_complex", ("x",))


@view_as_real.shape
def _(x: Shaped) -> Spec:
    return Spec((*x.shape, 2), _require_complex("view_as_real", x))


@view_as_complex.shape
def _(x: Shaped) -> Spec:
    dtype = _require_parts("view_as_complex", x)
    if not x.shape or x.shape[-1] != 2:
        raise ShapeError(f"view_as_complex: the last dimension must be 2, got {describe(x)}.")
    return Spec(tuple(x.shape[:-1]), dtype)


view_as_real.reference(lambda x: np.stack([x.real, x.imag], -1))
view_as_complex.reference(lambda x: x[..., 0] + 1j * x[..., 1])
view_as_real.grad()(lambda ctx, g: view_as_complex.bind((g,)))
view_as_complex.grad()(lambda ctx, g: view_as_real.bind((g,)))


@dataclass(frozen=True, eq=False)
class TransformAttrs(Attrs):
    """A Fourier transform over ``dims``, times ``scale``.

    ``inverse``: with exp(+i...). ``size``: what the last of ``dims`` has outside frequency space,
    for the transforms of real signals.
    """

    dims: tuple[int, ...]
    inverse: bool
    scale: float
    size: int = 0


fft_c2c = Op("fft_c2c", ("x",), TransformAttrs)
fft_r2c = Op("fft_r2c", ("x",), TransformAttrs)
fft_c2r = Op("fft_c2r", ("x",), TransformAttrs)


def _transform(x: Array, a: TransformAttrs) -> Array:
    """The complex transform, unscaled in both directions but for ``a.scale``."""
    if not a.dims:
        return x * x.dtype.type(a.scale)
    found = (
        np.fft.ifftn(x, axes=a.dims, norm="forward") if a.inverse else np.fft.fftn(x, axes=a.dims)
    )
    return found * a.scale


@fft_c2c.shape
def _(x: Shaped, a: TransformAttrs) -> Spec:
    require_dims("fft", len(x.shape), a.dims)
    _require_complex("fft", x)
    return Spec(tuple(x.shape), x.dtype)


fft_c2c.reference(_transform)


@fft_c2c.grad()
def _(ctx: Any, g: Any) -> Any:
    a = ctx.attrs
    return fft_c2c.bind((g,), TransformAttrs.of(a.dims, not a.inverse, a.scale))


@fft_r2c.shape
def _(x: Shaped, a: TransformAttrs) -> Spec:
    require_dims("rfft", len(x.shape), a.dims)
    shape = list(x.shape)
    shape[a.dims[-1]] = a.size // 2 + 1
    return Spec(tuple(shape), _require_parts("rfft", x))


@fft_r2c.reference
def _(x: Array, a: TransformAttrs) -> Array:
    found = np.fft.rfft(x, axis=a.dims[-1]) * a.scale
    return np.conj(found) if a.inverse else found


@fft_r2c.grad()
def _(ctx: Any, g: Any) -> Any:
    """The frequencies that were left out have no gradient: the rest, transformed as they are."""
    a, (dim,) = ctx.attrs, ctx.attrs.dims
    missing = a.size - g.shape[dim]
    if missing:
        rest = [missing if d == dim else n for d, n in enumerate(g.shape)]
        from fovea.functions.joining import cat

        g = cat((g, g.new_zeros(rest)), dim)
    return real.bind((fft_c2c.bind((g,), TransformAttrs.of((dim,), not a.inverse, a.scale)),))


@fft_c2r.shape
def _(x: Shaped, a: TransformAttrs) -> Spec:
    require_dims("irfft", len(x.shape), a.dims)
    shape = list(x.shape)
    shape[a.dims[-1]] = a.size
    return Spec(tuple(shape), _require_complex("irfft", x))


@fft_c2r.reference
def _(x: Array, a: TransformAttrs) -> Array:
    x = x if a.inverse else np.conj(x)
    return np.fft.irfft(x, a.size, axis=a.dims[-1], norm="forward") * a.scale


@fft_c2r.grad()
def _(ctx: Any, g: Any) -> Any:
    """Frequencies between the first and the middle stand for two: themselves and their mirrors."""
    a, (dim,) = ctx.attrs, ctx.attrs.dims
    bins = ctx.shape(0)[dim]
    weights = [1.0 if k == 0 or 2 * k == a.size else 2.0 for k in range(bins)]
    column = g.new_tensor(weights).reshape([bins if d == dim else 1 for d in range(g.ndim)])
    found = fft_r2c.bind((g,), TransformAttrs.of((dim,), not a.inverse, a.scale, a.size))
    return found * column.to(found.dtype)
