"""Arithmetic, comparison, elementary and special functions, and matrix products as methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.functions import (
    complex_numbers,
    deprecated,
    linalg,
    matrices,
    pointwise,
    products,
    special,
    spectra,
    triangular,
)
from fovea.ops import elementwise as ops

if TYPE_CHECKING:
    from fovea.tensor import Tensor


def _reflected(function: Any) -> Any:
    def call(self: Tensor, other: Any) -> Tensor:
        return function(other, self)

    return call


class ArithmeticMethods:
    """Element by element, and products."""

    # arithmetic
    add = pointwise.add
    sub = pointwise.sub
    mul = pointwise.mul
    div = pointwise.div
    pow = pointwise.pow_
    subtract = pointwise.sub
    multiply = pointwise.mul
    divide = pointwise.div
    true_divide = pointwise.div
    remainder = pointwise.remainder
    fmod = pointwise.fmod
    floor_divide = pointwise.floor_divide
    maximum = pointwise.maximum
    minimum = pointwise.minimum
    atan2 = pointwise.atan2
    arctan2 = pointwise.atan2
    neg = pointwise.neg
    negative = pointwise.neg
    abs = pointwise.abs_
    absolute = pointwise.abs_
    sign = pointwise.sign
    sgn = complex_numbers.sgn
    reciprocal = pointwise.reciprocal
    square = pointwise.square
    sqrt = pointwise.sqrt
    rsqrt = pointwise.rsqrt
    floor = pointwise.floor
    ceil = pointwise.ceil
    trunc = pointwise.trunc
    fix = pointwise.trunc
    round = pointwise.round_
    clamp = pointwise.clamp
    clip = pointwise.clamp
    lerp = pointwise.lerp
    addcmul = pointwise.addcmul
    addcdiv = pointwise.addcdiv
    nan_to_num = pointwise.nan_to_num

    # elementary functions
    exp = pointwise.exp
    exp2 = pointwise.exp2
    expm1 = pointwise.expm1
    log = pointwise.log
    log2 = pointwise.log2
    log10 = pointwise.log10
    log1p = pointwise.log1p
    sin = pointwise.sin
    cos = pointwise.cos
    tan = pointwise.tan
    asin = pointwise.asin
    acos = pointwise.acos
    atan = pointwise.atan
    sinh = pointwise.sinh
    cosh = pointwise.cosh
    tanh = pointwise.tanh
    sigmoid = pointwise.sigmoid
    erf = pointwise.erf
    relu = pointwise.relu
    arcsin = pointwise.asin
    arccos = pointwise.acos
    arctan = pointwise.atan

    # special functions
    acosh = special.acosh
    asinh = special.asinh
    atanh = special.atanh
    arccosh = special.acosh
    arcsinh = special.asinh
    arctanh = special.atanh
    erfc = special.erfc
    erfinv = special.erfinv
    lgamma = special.lgamma
    digamma = special.digamma
    polygamma = special.polygamma
    mvlgamma = special.mvlgamma
    logit = special.logit
    sinc = special.sinc
    xlogy = special.xlogy
    logaddexp = special.logaddexp
    logaddexp2 = special.logaddexp2
    hypot = special.hypot
    i0 = special.i0
    copysign = special.copysign
    signbit = special.signbit
    heaviside = special.heaviside
    deg2rad = special.deg2rad
    rad2deg = special.rad2deg
    frac = special.frac
    frexp = special.frexp
    float_power = special.float_power
    fmax = special.fmax
    fmin = special.fmin
    gcd = special.gcd
    igamma = special.igamma
    igammac = special.igammac
    lcm = special.lcm
    ldexp = special.ldexp
    nextafter = special.nextafter
    positive = special.positive
    isposinf = special.isposinf
    isneginf = special.isneginf
    isreal = complex_numbers.isreal
    clamp_min = special.clamp_min
    clamp_max = special.clamp_max

    # comparison and logic
    eq = pointwise.eq
    ne = pointwise.ne
    lt = pointwise.lt
    le = pointwise.le
    gt = pointwise.gt
    ge = pointwise.ge
    not_equal = pointwise.ne
    less = pointwise.lt
    less_equal = pointwise.le
    greater = pointwise.gt
    greater_equal = pointwise.ge
    isnan = pointwise.isnan
    isinf = pointwise.isinf
    isfinite = pointwise.isfinite
    isclose = pointwise.isclose
    allclose = pointwise.allclose
    equal = pointwise.equal
    logical_and = pointwise.logical_and
    logical_or = pointwise.logical_or
    logical_xor = pointwise.logical_xor
    logical_not = pointwise.logical_not
    bitwise_and = pointwise.bitwise_and
    bitwise_or = pointwise.bitwise_or
    bitwise_xor = pointwise.bitwise_xor
    bitwise_not = pointwise.bitwise_not
    bitwise_left_shift = pointwise.bitwise_left_shift
    bitwise_right_shift = pointwise.bitwise_right_shift

    # products
    matmul = linalg.matmul
    mm = linalg.mm
    bmm = linalg.bmm
    mv = linalg.mv
    dot = linalg.dot
    outer = linalg.outer
    ger = linalg.outer
    addmm = linalg.addmm
    baddbmm = linalg.baddbmm
    addmv = products.addmv
    addr = products.addr
    addbmm = products.addbmm
    inner = products.inner
    vdot = products.vdot
    kron = products.kron
    cross = products.cross
    trace = products.trace
    dist = products.dist

    # matrices
    det, logdet, slogdet = matrices.det, matrices.logdet, matrices.slogdet
    inverse, pinverse = matrices.inv, matrices.pinv
    matrix_power, matrix_exp = matrices.matrix_power, matrices.matrix_exp
    cholesky_solve = triangular.cholesky_solve
    cholesky_inverse = triangular.cholesky_inverse
    qr, svd, lu = deprecated.qr, deprecated.svd, deprecated.lu
    cholesky, lu_solve = deprecated.cholesky, deprecated.lu_solve
    triangular_solve = deprecated.triangular_solve

    # signals
    stft, istft = spectra.stft, spectra.istft

    # operators
    __add__ = __radd__ = pointwise.operator_of(ops.add, pointwise.add)
    __sub__ = pointwise.yielding(pointwise.sub)
    __rsub__ = pointwise.rsub
    __mul__ = __rmul__ = pointwise.operator_of(ops.mul, pointwise.mul)
    __truediv__ = pointwise.yielding(pointwise.div)
    __rtruediv__ = _reflected(pointwise.div)
    __floordiv__ = pointwise.floor_divide
    __rfloordiv__ = _reflected(pointwise.floor_divide)
    __mod__ = pointwise.remainder
    __rmod__ = _reflected(pointwise.remainder)
    __pow__ = pointwise.pow_
    __rpow__ = _reflected(pointwise.pow_)
    __matmul__ = pointwise.yielding(linalg.matmul)
    __rmatmul__ = _reflected(linalg.matmul)
    __neg__ = pointwise.neg
    __pos__ = special.positive
    __abs__ = pointwise.abs_
    __lt__, __le__, __gt__, __ge__ = pointwise.lt, pointwise.le, pointwise.gt, pointwise.ge
    __and__ = __rand__ = pointwise.bitwise_and
    __or__ = __ror__ = pointwise.bitwise_or
    __xor__ = __rxor__ = pointwise.bitwise_xor
    __invert__ = pointwise.bitwise_not
    __lshift__ = pointwise.bitwise_left_shift
    __rlshift__ = _reflected(pointwise.bitwise_left_shift)
    __rshift__ = pointwise.bitwise_right_shift
    __rrshift__ = _reflected(pointwise.bitwise_right_shift)
