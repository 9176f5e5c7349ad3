"""The namespace of the Python array API standard, for libraries that take arrays of any framework.

``x.__array_namespace__()`` gives it. Arrays are fovea's tensors, so results have gradients. Two
things are as in PyTorch, not as in the standard: ``x.size`` is a method (`size(x)` here), and there
are no unsigned integers of more than 8 bits.

Source: Consortium for Python Data API Standards, "Python array API standard", version 2024.12.

>>> import fovea
>>> x = fovea.tensor([[3.0, 1.0], [2.0, 4.0]])
>>> xp = x.__array_namespace__()
>>> xp.sum(x, axis=0, keepdims=True)
tensor([[5., 5.]])
>>> xp.permute_dims(x, (1, 0))
tensor([[3., 2.],
        [1., 4.]])
"""

from __future__ import annotations

import math
from typing import Any

from fovea import dtypes as _dtypes
from fovea.array_api import fft, linalg
from fovea.array_api.creation import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    meshgrid,
    ones,
    ones_like,
    tril,
    triu,
    zeros,
    zeros_like,
)  # fmt: skip
from fovea.array_api.elementwise import (
    abs,
    acos,
    acosh,
    add,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    ceil,
    clip,
    conj,
    copysign,
    cos,
    cosh,
    divide,
    equal,
    exp,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    hypot,
    imag,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    nextafter,
    not_equal,
    positive,
    pow,
    real,
    reciprocal,
    remainder,
    round,
    sign,
    signbit,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    trunc,
)  # fmt: skip
from fovea.array_api.info import (
    astype,
    can_cast,
    finfo,
    iinfo,
    isdtype,
    namespace_info,
    result_type,
    size,
)  # fmt: skip
from fovea.array_api.linalg import matmul, matrix_transpose, tensordot, vecdot
from fovea.array_api.manipulation import (
    broadcast_arrays,
    broadcast_to,
    concat,
    expand_dims,
    flip,
    moveaxis,
    permute_dims,
    repeat,
    reshape,
    roll,
    squeeze,
    stack,
    tile,
    unstack,
)  # fmt: skip
from fovea.array_api.searching import (
    argmax,
    argmin,
    argsort,
    count_nonzero,
    nonzero,
    searchsorted,
    sort,
    take,
    take_along_axis,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
    where,
)  # fmt: skip
from fovea.array_api.statistics import (
    all,
    any,
    cumulative_prod,
    cumulative_sum,
    diff,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)  # fmt: skip

__array_api_version__ = "2024.12"
__array_namespace_info__ = namespace_info

e, inf, nan, newaxis, pi = math.e, math.inf, math.nan, None, math.pi

int8, int16, int32, int64 = _dtypes.int8, _dtypes.int16, _dtypes.int32, _dtypes.int64
uint8, float32, float64 = _dtypes.uint8, _dtypes.float32, _dtypes.float64
complex64, complex128 = _dtypes.complex64, _dtypes.complex128
bool: Any = _dtypes.bool_

__all__ = [name for name in dir() if not name.startswith("_") and name != "annotations"]
for _name in ("math", "Any", "creation", "elementwise", "info", "manipulation", "namespace_info",
              "searching", "statistics"):  # fmt: skip
    if _name in __all__:
        __all__.remove(_name)
