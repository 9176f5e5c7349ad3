"""The elementary functions as vector code.

float32 results are within 2 units in the last place over the whole range, with infinities, NaN and
denormals in their
places. Where that takes more than float32's digits, and for the rarer functions, the work is done
in float64 lanes.
float64 calls the C library, lane by lane. The coefficients come from scripts/fit_polynomials.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, nan, pi

from fovea.targets.cpu.builder import Kernel
from fovea.targets.cpu.elements import f32, f64, i32, i64, u64
from fovea.targets.cpu.values import Value

# exp(r) = 1 + r + r^2 q(r), |r| <= log(2) / 2
EXP_32 = (0.5000000095, 0.1666651882, 0.04166620574, 0.00836889178, 0.001395049527)
EXP_64 = (
    0.499999999996041694, 0.166666666665669039, 0.041666666989022985, 0.00833333338904782195,
    0.0013888807578034765,
    0.000198411624593200236,
    0.0000248822800008532029,
    2.76439733828869678e-6,
)  # fmt: skip
# log(1 + f) = f - f^2 / 2 + f^3 q(f), sqrt(1/2) <= 1 + f <= sqrt(2)
LOG_32 = (
    0.3333331039, -0.2499998637, 0.2000223038, -0.166692665, 0.1421858284, -0.1238401337,
    0.1187326161, -0.1179203421, 0.0691739484,
)  # fmt: skip
# log((1 + s) / (1 - s)) = 2 s (1 + t q(t)), t = s^2
LOG_64 = (
    0.333333333333336729, 0.199999999997066763, 0.142857143713618259, 0.11111099267489397,
    0.0909178324402973892, 0.076569955228633667, 0.073982923084767178,
)  # fmt: skip
# sin(r) = r + r^3 q(r^2), cos(r) = 1 - r^2 / 2 + r^4 q(r^2), |r| <= pi / 4
SIN_32 = (-0.1666666664, 0.008333329385, -0.0001983933455, 2.718308708e-6)
COS_32 = (0.04166664686, -0.001388736728, 2.443842361e-5)
SIN_64 = (
    -0.166666666666666321, 0.0083333333333224203, -0.000198412698298133701, 2.75573136939238975e-6,
    -2.50507584406674975e-8, 1.58968151397380268e-10,
)  # fmt: skip
COS_64 = (
    0.0416666666666665995, -0.00138888888888741339, 0.0000248015872894885779,
    -2.75573143542320377e-7, 2.08757235386112533e-9, -1.13596619161370633e-11,
)  # fmt: skip
# tanh(x) = x + x^3 q(x^2), |x| < 0.625
TANH_32 = (-0.3333328388, 0.1333149005, -0.05374338766, 0.0206502057, -0.005716596991)
# erf(x) = x + x q(x^2), |x| < 1;  erf(x) = 1 - exp(-x q(x)), 1 <= x < 4
ERF_SMALL_32 = (
    0.1283791657, -0.3761262582, 0.1128358515, -0.02685381194, 0.005188327702, -0.0008010193756,
    7.853861759e-5,
)  # fmt: skip
ERF_LARGE_32 = (
    1.128596588, 0.6354236031, 0.1056435913, -0.02306547866, 0.003166240328, -0.0001331695614,
    -2.950713586e-5, 3.643211019e-6,
)  # fmt: skip
# asin(x) = x + x^3 q(x^2), |x| <= 1/2;  atan(x) = x + x^3 q(x^2), |x| <= tan(pi / 8)
ASIN_64 = (
    0.166666666696954316, 0.0749999952563254137, 0.0446431124549405678, 0.0303752335217584885,
    0.0224712994044451753, 0.0164778192666072239, 0.0186299927408266505, -0.00285727659318558774,
    0.0319583338894979271,
)  # fmt: skip
ATAN_64 = (
    -0.33333333333261585, 0.199999999829661681, -0.142857128911082079, 0.111110549769824779,
    -0.0908962484911559306, 0.0767441705886079509, -0.0651082192845021988, 0.0503922112042769267,
    -0.0254977479633074356,
)  # fmt: skip

LOG2_E = 1.4426950408889634
# log(2) in two parts; few enough bits in the first that its product with an exponent is exact.
LN2_HIGH_32, LN2_LOW_32 = 0.693115234375, 3.1946184945309415e-05
LN2_HIGH_64, LN2_LOW_64 = 0.6931471806019545, -4.2009150726810846e-11
LOG10_2_HIGH, LOG10_2_LOW = 0.301025390625, 4.605038981195214e-06
# 1 / log(2) and 1 / log(10) as two float32 numbers
LOG2_E_HIGH, LOG2_E_LOW = 1.4426950216293335, 1.9259629911266175e-08
LOG10_E_HIGH, LOG10_E_LOW = 0.4342944920063019, -1.0103050052231683e-08
# pi / 2 in three parts of 33, 33 and 53 bits
HALF_PI_1, HALF_PI_2, HALF_PI_3 = 1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21
_MAGIC_32, _MAGIC_64 = 12582912.0, 6755399441055744.0  # 1.5 * 2^23, 1.5 * 2^52
_TINY_32 = 2.0**-126
_BIG_ANGLE = 1e6  # beyond, three parts of pi / 2 are not enough


def polynomial(k: Kernel, x: Value, coefficients: Sequence[float]) -> Value:
    """c0 + c1 x + c2 x^2 + ..., by Horner's rule."""
    total = k.const(coefficients[-1], x.element, x.lanes)
    for c in coefficients[-2::-1]:
        total = k.fma(total, x, k.const(c, x.element, x.lanes))
    return total


def libm(k: Kernel, name: str, *arguments: Value) -> Value:
    """A function of the C library, for each lane of float64 vectors."""
    kinds = ", ".join(["double"] * len(arguments))
    k.declare(name, f"declare double {{name}}({kinds})")

    def call(scalars: Sequence[Value]) -> Value:
        return k.assign(f64, 1, f"call double @{name}({', '.join(s.typed for s in scalars)})")

    lanes = arguments[0].lanes
    if lanes == 1:
        return call(arguments)
    result = Value(k, f64, lanes, "poison")
    for lane in range(lanes):
        result = k.insert(result, call([k.extract(a, lane) for a in arguments]), lane)
    return result


def _nearest_32(k: Kernel, x: Value) -> tuple[Value, Value]:
    """The integer nearest to a small float32, as float32 and as int32: the addition rounds."""
    shifted = x + _MAGIC_32
    return shifted - _MAGIC_32, k.bitcast(shifted, i32) - 0x4B400000


def _power_of_two(k: Kernel, n: Value) -> Value:
    """2^n as float32, -126 <= n <= 127."""
    return k.bitcast((n + 127) << 23, f32)


def _reduced_exp(k: Kernel, x: Value) -> tuple[Value, Value, Value]:
    """(e^r - 1, n, n) with x = n log(2) + r, n as float32 and as int32."""
    whole, n = _nearest_32(k, x * LOG2_E)
    r = k.fma(whole, -LN2_HIGH_32, x)
    r = k.fma(whole, -LN2_LOW_32, r)
    return k.fma(r * r, polynomial(k, r, EXP_32), r), whole, n


def _scaled(k: Kernel, x: Value, whole: Value, n: Value) -> Value:
    """x * 2^n, n as float32 and as int32: in two steps, unless one instruction does it, so that
    results can be denormal or infinite.
    """
    if k.has_scale(x):
        return k.scale(x, whole)
    half = n >> 1
    return x * _power_of_two(k, half) * _power_of_two(k, n - half)


def exp(k: Kernel, x: Value) -> Value:
    """e^x."""
    if x.element is f64:
        return libm(k, "exp", x)
    p, whole, n = _reduced_exp(k, k.fast_max(-104.0, k.fast_min(89.0, x)))
    return _scaled(k, p + 1.0, whole, n)


def exp2(k: Kernel, x: Value) -> Value:
    """2^x, exact for integers."""
    if x.element is f64:
        return libm(k, "exp2", x)
    x = k.fast_max(-151.0, k.fast_min(129.0, x))
    whole, n = _nearest_32(k, x)
    r = (x - whole) * 0.6931471805599453
    p = k.fma(r * r, polynomial(k, r, EXP_32), r)
    return _scaled(k, p + 1.0, whole, n)


def expm1(k: Kernel, x: Value) -> Value:
    """e^x - 1, exact near 0."""
    if x.element is f64:
        return libm(k, "expm1", x)
    p, _, n = _reduced_exp(k, k.fast_max(-20.0, k.fast_min(89.0, x)))
    half = _power_of_two(k, n - 1)
    return k.copysign(k.fma(half, p, half - 0.5) * 2.0, x)


def _reduced_log(k: Kernel, x: Value) -> tuple[Value, Value, Value]:
    """(e, f, p) with x = 2^e (1 + f) and log(1 + f) = f + p, for positive finite x."""
    tiny = x < _TINY_32
    bits = k.bitcast(k.select(tiny, x * 2.0**23, x), i32)
    exponent = (bits - 0x3F3504F3) >> 23
    f = k.bitcast(bits - (exponent << 23), f32) - 1.0
    e = k.cast(exponent, f32) - k.select(tiny, k.const(23.0, f32, x.lanes), 0.0)
    square = f * f
    return e, f, k.fma(square, k.const(-0.5, f32, x.lanes), f * square * polynomial(k, f, LOG_32))


def _log_edges(k: Kernel, x: Value, result: Value) -> Value:
    """What a logarithm is at 0, below it, at infinity and NaN."""
    result = k.select(x < inf, result, x)
    edge = k.select(x.eq(0.0), k.const(-inf, x.element, x.lanes), nan)
    return k.select(x > 0.0, result, edge)


def log(k: Kernel, x: Value) -> Value:
    """The natural logarithm."""
    if x.element is f64:
        return libm(k, "log", x)
    e, f, p = _reduced_log(k, x)
    return _log_edges(k, x, k.fma(e, LN2_HIGH_32, f + k.fma(e, LN2_LOW_32, p)))


def log2(k: Kernel, x: Value) -> Value:
    """The logarithm to base 2, exact for powers of 2."""
    if x.element is f64:
        return libm(k, "log2", x)
    e, f, p = _reduced_log(k, x)
    fraction = k.fma(f, LOG2_E_HIGH, k.fma(p, LOG2_E_HIGH, f * LOG2_E_LOW))
    return _log_edges(k, x, e + fraction)


def log10(k: Kernel, x: Value) -> Value:
    """The logarithm to base 10."""
    if x.element is f64:
        return libm(k, "log10", x)
    e, f, p = _reduced_log(k, x)
    fraction = k.fma(f, LOG10_E_HIGH, k.fma(p, LOG10_E_HIGH, f * LOG10_E_LOW))
    return _log_edges(k, x, k.fma(e, LOG10_2_HIGH, k.fma(e, LOG10_2_LOW, fraction)))


def log1p(k: Kernel, x: Value) -> Value:
    """log(1 + x), exact near 0: what 1 + x rounds away is put back to first order."""
    if x.element is f64:
        return libm(k, "log1p", x)
    u = x + 1.0
    lost = (x - (u - 1.0)) / u
    result = k.select(u < inf, log(k, u) + lost, u)
    result = k.select(x > -1.0, result, log(k, u))
    return k.select(k.abs(x) < 2.0**-25, x, result)


# -- float64 lanes, for float32 results -------------------------------------------------------


def _exp_64(k: Kernel, x: Value) -> Value:
    """e^x to 14 digits, -700 < x < 700."""
    shifted = x * LOG2_E + _MAGIC_64
    whole = shifted - _MAGIC_64
    r = k.fma(whole, -LN2_LOW_64, k.fma(whole, -LN2_HIGH_64, x))
    p = k.fma(r * r, polynomial(k, r, EXP_64), r) + 1.0
    power = (k.bitcast(shifted, u64) + 1023) << 52
    return p * k.bitcast(power, f64)


def _log_64(k: Kernel, x: Value) -> Value:
    """log(x) to 15 digits for x >= 0 that is not denormal."""
    # Without vector conversions of int64: the exponent, biased, as the low bits of 2^52 + exponent.
    moved = k.bitcast(x, u64) + (0x3FF0000000000000 - 0x3FE6A09E00000000)
    biased = moved >> 52
    e = k.bitcast(biased | 0x4330000000000000, f64) - (2.0**52 + 1023)
    m = k.bitcast((moved & 0xFFFFFFFFFFFFF) + 0x3FE6A09E00000000, f64)
    s = (m - 1.0) / (m + 1.0)
    t = s * s
    fraction = k.fma(t * (s + s), polynomial(k, t, LOG_64), s + s)
    result = k.fma(e, LN2_HIGH_64, k.fma(e, LN2_LOW_64, fraction))
    result = k.select(x < inf, result, x)
    return k.select(x.eq(0.0), -inf, result)


def pow(k: Kernel, x: Value, y: Value) -> Value:
    """x^y, with IEEE's special cases."""
    if x.element is f64:
        return libm(k, "pow", x, y)
    wide = _log_64(k, k.cast(k.abs(x), f64)) * k.cast(y, f64)
    wide = k.fast_max(-110.0, k.fast_min(95.0, wide))
    result = k.cast(_exp_64(k, wide), f32)
    whole = k.trunc(y).eq(y)
    half = y * 0.5
    odd = whole & k.trunc(half).ne(half)
    negative = k.bitcast(x, i32) < 0
    result = k.select(odd & negative, -result, result)
    result = k.select((x < 0.0) & (x > -inf) & ~whole, nan, result)
    one = x.eq(1.0) | y.eq(0.0) | (x.eq(-1.0) & k.abs(y).eq(inf))
    return k.select(one, 1.0, result)


def sinh(k: Kernel, x: Value) -> Value:
    """(e^x - e^-x) / 2."""
    if x.element is f64:
        return libm(k, "sinh", x)
    wide = k.cast(k.fast_max(-100.0, k.fast_min(100.0, x)), f64)
    e = _exp_64(k, wide)
    square = wide * wide
    small = k.fma(wide * square, k.fma(square, 1 / 120, k.const(1 / 6, f64, x.lanes)), wide)
    return k.cast(k.select(k.abs(wide) < 0.01, small, (e - 1.0 / e) * 0.5), f32)


def cosh(k: Kernel, x: Value) -> Value:
    """(e^x + e^-x) / 2."""
    if x.element is f64:
        return libm(k, "cosh", x)
    e = _exp_64(k, k.cast(k.fast_max(-100.0, k.fast_min(100.0, x)), f64))
    return k.cast((e + 1.0 / e) * 0.5, f32)


# -- sigmoids ---------------------------------------------------------------------------------


def tanh(k: Kernel, x: Value) -> Value:
    """The hyperbolic tangent."""
    if x.element is f64:
        return libm(k, "tanh", x)
    a = k.abs(x)
    square = x * x
    small = k.fma(x * square, polynomial(k, square, TANH_32), x)
    p, _, n = _reduced_exp(k, k.fast_min(20.0, a + a))
    e = (p + 1.0) * _power_of_two(k, n)
    return k.copysign(k.select(a < 0.625, small, 1.0 - 2.0 / (e + 1.0)), x)


def sigmoid(k: Kernel, x: Value) -> Value:
    """1 / (1 + e^-x), from z = e^-|x|, which cannot overflow."""
    z = exp(k, -k.abs(x))
    top, bottom = k.select(x >= 0.0, _one(k, x), z), z + 1.0
    if not k.isa.has_fma:
        return top / bottom
    # One step of Newton's method makes up for the roundings of 1 + z and of the quotient.
    inverse = 1.0 / bottom
    quotient = top * inverse
    lost = z - (bottom - 1.0)
    rest = k.fma(-quotient, bottom, top) - quotient * lost
    return k.fma(rest, inverse, quotient)


def erf(k: Kernel, x: Value) -> Value:
    """The error function."""
    if x.element is f64:
        return libm(k, "erf", x)
    square = x * x
    small = k.fma(x, polynomial(k, square, ERF_SMALL_32), x)
    a = k.fast_min(4.0, k.abs(x))
    p, _, n = _reduced_exp(k, -a * polynomial(k, a, ERF_LARGE_32))
    large = 1.0 - (p + 1.0) * _power_of_two(k, n)
    return k.select(a < 1.0, small, k.copysign(large, x))


# -- roots ------------------------------------------------------------------------------------


def sqrt(k: Kernel, x: Value) -> Value:
    """The square root, correctly rounded."""
    return k.sqrt(x)


def rsqrt(k: Kernel, x: Value) -> Value:
    """1 / sqrt(x), in full precision."""
    return 1.0 / k.sqrt(x)


# -- circular functions -----------------------------------------------------------------------


def _quadrant(k: Kernel, x: Value) -> tuple[Value, Value]:
    """(r, n) with x = n pi / 2 + r, |r| <= pi / 4, in float64, for a float32 below 10^6; n counts
    modulo 4.
    """
    wide = k.cast(x, f64)
    shifted = wide * (2 / pi) + _MAGIC_64
    whole = shifted - _MAGIC_64
    r = wide
    for part in (HALF_PI_1, HALF_PI_2, HALF_PI_3):
        r = k.fma(whole, -part, r)
    return r, k.cast(k.bitcast(shifted, i64), i32)


def _unless_big(k: Kernel, name: str, x: Value, result: Value) -> Value:
    """`result`, but the C library's for the finite angles that are too big for it."""
    big = (k.abs(x) > _BIG_ANGLE) & (k.abs(x) < inf)
    if x.lanes == 1:
        out = k.var(result)
        with k.if_(big):
            out.set(k.cast(libm(k, name, k.cast(x, f64)), f32))
        return out.get()
    out = k.var(result)
    with k.if_(k.any(big)), k.loop(0, x.lanes, unroll=1) as lane:
        angle = k.extract(x, lane)
        exact = k.cast(libm(k, name, k.cast(angle, f64)), f32)
        chosen = k.select(k.extract(big, lane), exact, k.extract(out.get(), lane))
        out.set(k.insert(out.get(), chosen, lane))
    return out.get()


def _wave(k: Kernel, x: Value, turn: int) -> Value:
    """sin(x + turn pi / 2)."""
    wide, n = _quadrant(k, x)
    r, n = k.cast(wide, f32), n + turn
    square = r * r
    sine = k.fma(r * square, polynomial(k, square, SIN_32), r)
    tail = square * square * polynomial(k, square, COS_32)
    cosine = 1.0 + k.fma(square, k.const(-0.5, f32, x.lanes), tail)
    value = k.select((n & 1).ne(0), cosine, sine)
    return k.bitcast(k.bitcast(value, i32) ^ ((n & 2) << 30), f32)


def sin(k: Kernel, x: Value) -> Value:
    """The sine of an angle in radians."""
    if x.element is f64:
        return libm(k, "sin", x)
    return _unless_big(k, "sin", x, _wave(k, x, 0))


def cos(k: Kernel, x: Value) -> Value:
    """The cosine of an angle in radians."""
    if x.element is f64:
        return libm(k, "cos", x)
    return _unless_big(k, "cos", x, _wave(k, x, 1))


def tan(k: Kernel, x: Value) -> Value:
    """The tangent of an angle in radians."""
    if x.element is f64:
        return libm(k, "tan", x)
    r, n = _quadrant(k, x)
    square = r * r
    sine = k.fma(r * square, polynomial(k, square, SIN_64), r)
    cosine = k.fma(square * square, polynomial(k, square, COS_64), k.fma(square, -0.5, _one(k, r)))
    odd = (n & 1).ne(0)
    value = k.select(odd, -cosine, sine) / k.select(odd, sine, cosine)
    return _unless_big(k, "tan", x, k.cast(value, f32))


def _one(k: Kernel, like: Value) -> Value:
    return k.const(1.0, like.element, like.lanes)


def _asin_64(k: Kernel, x: Value) -> Value:
    """asin of float64 lanes to 13 digits: half-angles above 1/2."""
    a = k.abs(x)
    large = a > 0.5
    square = k.select(large, (1.0 - a) * 0.5, a * a)
    root = k.select(large, k.sqrt(square), a)
    y = k.fma(root * square, polynomial(k, square, ASIN_64), root)
    return k.copysign(k.select(large, pi / 2 - (y + y), y), x)


def asin(k: Kernel, x: Value) -> Value:
    """The angle in [-pi/2, pi/2] whose sine is x; NaN outside [-1, 1]."""
    if x.element is f64:
        return libm(k, "asin", x)
    return k.cast(_asin_64(k, k.cast(x, f64)), f32)


def acos(k: Kernel, x: Value) -> Value:
    """The angle in [0, pi] whose cosine is x; NaN outside [-1, 1]."""
    if x.element is f64:
        return libm(k, "acos", x)
    return k.cast(pi / 2 - _asin_64(k, k.cast(x, f64)), f32)


def _atan_64(k: Kernel, top: Value, bottom: Value) -> Value:
    """atan(top / bottom) to 13 digits for 0 <= top <= bottom: less pi/4 above tan(pi/8)."""
    far = top > bottom * 0.41421356237309503
    t = k.select(far, top - bottom, top) / k.select(far, top + bottom, bottom)
    square = t * t
    y = k.fma(t * square, polynomial(k, square, ATAN_64), t)
    return k.select(far, y + pi / 4, y)


def atan(k: Kernel, x: Value) -> Value:
    """The angle in (-pi/2, pi/2) whose tangent is x."""
    if x.element is f64:
        return libm(k, "atan", x)
    a = k.fast_min(1e30, k.cast(k.abs(x), f64))
    steep = a > 1.0
    one = _one(k, a)
    y = _atan_64(k, k.select(steep, one, a), k.select(steep, a, one))
    return k.copysign(k.cast(k.select(steep, pi / 2 - y, y), f32), x)


def atan2(k: Kernel, y: Value, x: Value) -> Value:
    """The angle of the point (x, y), in [-pi, pi]."""
    if x.element is f64:
        return libm(k, "atan2", y, x)
    # Infinities become numbers that no float32 reaches; two of them still have the ratio 1.
    wide_y = k.fast_min(1e150, k.cast(k.abs(y), f64))
    wide_x = k.fast_min(1e150, k.cast(k.abs(x), f64))
    steep = wide_y > wide_x
    top, bottom = k.select(steep, wide_x, wide_y), k.select(steep, wide_y, wide_x)
    angle = _atan_64(k, top, k.select(bottom.eq(0.0), 1.0, bottom))
    angle = k.select(steep, pi / 2 - angle, angle)
    angle = k.select(k.bitcast(x, i32) < 0, pi - angle, angle)
    angle = k.select(x.ne(x), k.cast(x, f64), angle)
    return k.copysign(k.cast(angle, f32), y)
