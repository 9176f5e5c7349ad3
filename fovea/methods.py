"""The methods of a tensor: one line each, naming the function that does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dispatch, dtypes
from fovea.functions import (
    creation,
    indexing,
    linalg,
    ordering,
    pointwise,
    reductions,
    scattering,
    shaping,
)
from fovea.functions import random as random_functions
from fovea.functions.pointwise import into, unary_into
from fovea.ops import elementwise as ops

if TYPE_CHECKING:
    from fovea.tensor import Tensor


def _reflected(function: Any) -> Any:
    def call(self: Tensor, other: Any) -> Tensor:
        return function(other, self)

    return call


def _like(make: Any) -> Any:
    """``x.new_zeros(size)`` from ``zeros``: the dtype is the tensor's."""

    def call(
        self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        kind = self.dtype if dtype is None else dtype
        return make(*size, dtype=kind, device=device, requires_grad=requires_grad)

    return call


def _cast(dtype: dtypes.DType) -> Any:
    def call(self: Tensor, memory_format: str = shaping.preserve_format) -> Tensor:
        cast = pointwise.to_dtype(self, dtype)
        if memory_format == shaping.preserve_format:
            return cast
        return shaping.contiguous(cast, memory_format)

    call.__doc__ = f"The values as {dtype.name}."
    return call


def fill_(self: Tensor, value: Any) -> Tensor:
    """Set every element, in place."""
    source = value if hasattr(value, "storage") else creation.constant(value, self.dtype)
    return indexing.copy_(self, source)


def zero_(self: Tensor) -> Tensor:
    """Set every element to zero, in place."""
    return fill_(self, 0)


def clamp_(self: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """``clamp`` in place."""
    if min is not None:
        dispatch.bind_into(ops.clamp_min, self, pointwise.operands("clamp_", self, min))
    if max is not None:
        dispatch.bind_into(ops.clamp_max, self, pointwise.operands("clamp_", self, max))
    return self


def add_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """``self += alpha * other``."""
    return _add_(self, other if alpha == 1 else pointwise.mul(other, alpha))


def sub_(self: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """``self -= alpha * other``."""
    return _sub_(self, other if alpha == 1 else pointwise.mul(other, alpha))


def div_(self: Tensor, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """``self /= other``; ``rounding_mode`` as in ``div``."""
    if rounding_mode is None:
        return _div_(self, other)
    return indexing.copy_(self, pointwise.div(self, other, rounding_mode=rounding_mode))


def round_(self: Tensor, *, decimals: int = 0) -> Tensor:
    """``round`` in place."""
    if decimals:
        return indexing.copy_(self, pointwise.round_(self, decimals=decimals))
    return _round_(self)


def addcmul_(self: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """``self += value * tensor1 * tensor2``."""
    return add_(self, pointwise.mul(tensor1, tensor2), alpha=value)


def addcdiv_(self: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """``self += value * tensor1 / tensor2``."""
    return add_(self, pointwise.div(tensor1, tensor2), alpha=value)


def lerp_(self: Tensor, end: Tensor, weight: Any) -> Tensor:
    """``self += weight * (end - self)``."""
    return add_(self, pointwise.mul(pointwise.sub(end, self), weight))


def inplace_view(self: Tensor, viewed: Tensor) -> Tensor:
    """Make ``self`` a view of its own memory (``squeeze_`` and its kin; not on the tape)."""
    self.shape, self.strides, self.offset = viewed.shape, viewed.strides, viewed.offset
    self._form = None
    return self


_add_, _sub_ = into("add_", ops.add), into("sub_", ops.sub)
_div_, _round_ = into("div_", ops.div, True), unary_into(ops.round_)


class Methods:
    """Mixed into ``Tensor``."""

    # arithmetic
    add, sub, mul, div, pow = (
        pointwise.add,
        pointwise.sub,
        pointwise.mul,
        pointwise.div,
        pointwise.pow_,
    )
    subtract, multiply, divide, true_divide = (
        pointwise.sub,
        pointwise.mul,
        pointwise.div,
        pointwise.div,
    )
    remainder, fmod, floor_divide = pointwise.remainder, pointwise.fmod, pointwise.floor_divide
    maximum, minimum, atan2 = pointwise.maximum, pointwise.minimum, pointwise.atan2
    neg, negative, abs, absolute, sign = (
        pointwise.neg,
        pointwise.neg,
        pointwise.abs_,
        pointwise.abs_,
        pointwise.sign,
    )
    exp, exp2, expm1, log, log2 = (
        pointwise.exp,
        pointwise.exp2,
        pointwise.expm1,
        pointwise.log,
        pointwise.log2,
    )
    log10, log1p, sqrt, rsqrt = pointwise.log10, pointwise.log1p, pointwise.sqrt, pointwise.rsqrt
    reciprocal, square, sin, cos, tan = (
        pointwise.reciprocal,
        pointwise.square,
        pointwise.sin,
        pointwise.cos,
        pointwise.tan,
    )
    asin, acos, atan, sinh, cosh = (
        pointwise.asin,
        pointwise.acos,
        pointwise.atan,
        pointwise.sinh,
        pointwise.cosh,
    )
    tanh, sigmoid, erf, relu = pointwise.tanh, pointwise.sigmoid, pointwise.erf, pointwise.relu
    floor, ceil, trunc, round = pointwise.floor, pointwise.ceil, pointwise.trunc, pointwise.round_
    clamp, clip, lerp = pointwise.clamp, pointwise.clamp, pointwise.lerp
    addcmul, addcdiv, nan_to_num = pointwise.addcmul, pointwise.addcdiv, pointwise.nan_to_num
    __add__, __radd__, __sub__, __mul__, __rmul__ = (
        pointwise.add,
        pointwise.add,
        pointwise.sub,
        pointwise.mul,
        pointwise.mul,
    )
    __rsub__, __truediv__, __rtruediv__ = pointwise.rsub, pointwise.div, _reflected(pointwise.div)
    __floordiv__, __rfloordiv__ = pointwise.floor_divide, _reflected(pointwise.floor_divide)
    __mod__, __rmod__ = pointwise.remainder, _reflected(pointwise.remainder)
    __pow__, __rpow__ = pointwise.pow_, _reflected(pointwise.pow_)
    __neg__, __abs__, __matmul__ = pointwise.neg, pointwise.abs_, linalg.matmul
    __rmatmul__ = _reflected(linalg.matmul)

    # comparison and logic
    eq, ne, lt, le, gt, ge = (
        pointwise.eq,
        pointwise.ne,
        pointwise.lt,
        pointwise.le,
        pointwise.gt,
        pointwise.ge,
    )
    __lt__, __le__, __gt__, __ge__ = pointwise.lt, pointwise.le, pointwise.gt, pointwise.ge
    isnan, isinf, isfinite = pointwise.isnan, pointwise.isinf, pointwise.isfinite
    isclose, allclose, equal = pointwise.isclose, pointwise.allclose, pointwise.equal
    logical_and, logical_or, logical_xor, logical_not = (
        pointwise.logical_and,
        pointwise.logical_or,
        pointwise.logical_xor,
        pointwise.logical_not,
    )
    bitwise_and, bitwise_or, bitwise_xor, bitwise_not = (
        pointwise.bitwise_and,
        pointwise.bitwise_or,
        pointwise.bitwise_xor,
        pointwise.bitwise_not,
    )
    __and__, __or__, __xor__, __invert__ = (
        pointwise.bitwise_and,
        pointwise.bitwise_or,
        pointwise.bitwise_xor,
        pointwise.bitwise_not,
    )
    __rand__, __ror__, __rxor__ = pointwise.bitwise_and, pointwise.bitwise_or, pointwise.bitwise_xor
    __lshift__, __rshift__ = pointwise.bitwise_left_shift, pointwise.bitwise_right_shift

    # in place
    add_, sub_, mul_, div_ = add_, sub_, into("mul_", ops.mul), div_
    pow_, remainder_, fmod_ = (
        into("pow_", ops.pow_),
        into("remainder_", ops.remainder),
        into("fmod_", ops.fmod),
    )
    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_
    __ipow__, __imod__ = pow_, remainder_
    logical_and_, logical_or_ = (
        into("logical_and_", ops.logical_and),
        into("logical_or_", ops.logical_or),
    )
    __iand__, __ior__ = into("bitwise_and_", ops.bitwise_and), into("bitwise_or_", ops.bitwise_or)
    __ixor__ = into("bitwise_xor_", ops.bitwise_xor)
    neg_, abs_, exp_, log_, sqrt_ = (
        unary_into(o) for o in (ops.neg, ops.abs_, ops.exp, ops.log, ops.sqrt_)
    )
    rsqrt_, reciprocal_, square_ = (unary_into(o) for o in (ops.rsqrt, ops.reciprocal, ops.square))
    sigmoid_, tanh_, relu_, floor_, ceil_ = (
        unary_into(o) for o in (ops.sigmoid, ops.tanh, ops.relu, ops.floor, ops.ceil)
    )
    trunc_, sign_, sin_, cos_ = (unary_into(o) for o in (ops.trunc, ops.sign, ops.sin, ops.cos))
    round_ = round_
    clamp_, clip_, fill_, zero_, lerp_ = clamp_, clamp_, fill_, zero_, lerp_
    addcmul_, addcdiv_, copy_ = addcmul_, addcdiv_, indexing.copy_
    masked_fill_, scatter_, scatter_add_ = (
        indexing.masked_fill_,
        scattering.scatter_,
        scattering.scatter_add_,
    )
    index_put_, index_add_, index_fill_, index_copy_ = (
        scattering.index_put_,
        scattering.index_add_,
        scattering.index_fill_,
        scattering.index_copy_,
    )
    fill_diagonal_ = scattering.fill_diagonal_

    # reductions
    sum, mean, prod, amax, amin = (
        reductions.sum_,
        reductions.mean,
        reductions.prod,
        reductions.amax,
        reductions.amin,
    )
    max, min, argmax, argmin = (
        reductions.max_,
        reductions.min_,
        reductions.argmax,
        reductions.argmin,
    )
    any, all, cumsum, cumprod = (
        reductions.any_,
        reductions.all_,
        reductions.cumsum,
        reductions.cumprod,
    )
    var, std, norm, logsumexp = (
        reductions.var,
        reductions.std,
        reductions.norm,
        reductions.logsumexp,
    )
    median, count_nonzero = reductions.median, reductions.count_nonzero

    # shape
    reshape, view, permute, transpose = (
        shaping.reshape,
        shaping.view,
        shaping.permute,
        shaping.transpose,
    )
    t, movedim, swapaxes, expand = shaping.t, shaping.movedim, shaping.transpose, shaping.expand
    expand_as, broadcast_to, squeeze = shaping.expand_as, shaping.broadcast_to, shaping.squeeze
    unsqueeze, flatten, unflatten = shaping.unsqueeze, shaping.flatten, shaping.unflatten
    narrow, select, split, chunk = shaping.narrow, shaping.select, shaping.split, shaping.chunk
    unbind, repeat, tile, flip = shaping.unbind, shaping.repeat, shaping.tile, shaping.flip
    repeat_interleave, roll, tril, triu = (
        shaping.repeat_interleave,
        shaping.roll,
        shaping.tril,
        shaping.triu,
    )
    diagonal, diag, as_strided = shaping.diagonal, shaping.diag, shaping.as_strided
    contiguous, is_contiguous, clone = shaping.contiguous, shaping.is_contiguous, shaping.clone

    # indexing and order
    __getitem__, __setitem__ = indexing.getitem, indexing.setitem
    gather, take, nonzero = indexing.gather, indexing.take, indexing.nonzero
    index_select, take_along_dim = indexing.index_select, indexing.take_along_dim
    masked_select, masked_fill = indexing.masked_select, indexing.masked_fill
    scatter, scatter_add = scattering.scatter, scattering.scatter_add
    scatter_reduce, index_reduce = scattering.scatter_reduce, scattering.index_reduce
    index_add, index_copy = scattering.index_add, scattering.index_copy
    index_fill, index_put = scattering.index_fill, scattering.index_put
    put, masked_scatter = scattering.put, scattering.masked_scatter
    slice_scatter, select_scatter = scattering.slice_scatter, scattering.select_scatter
    diagonal_scatter = scattering.diagonal_scatter
    sort, argsort, msort, topk = ordering.sort, ordering.argsort, ordering.msort, ordering.topk
    kthvalue, mode = ordering.kthvalue, ordering.mode
    cummax, cummin = ordering.cummax, ordering.cummin
    unique, unique_consecutive = ordering.unique, ordering.unique_consecutive
    bincount, histc, argwhere = ordering.bincount, ordering.histc, ordering.argwhere

    # products
    matmul, mm, bmm, mv, dot = linalg.matmul, linalg.mm, linalg.bmm, linalg.mv, linalg.dot
    outer, addmm = linalg.outer, linalg.addmm

    # random numbers into this tensor
    uniform_, normal_, random_ = (
        random_functions.uniform_,
        random_functions.normal_,
        random_functions.random_,
    )
    bernoulli_, exponential_ = random_functions.bernoulli_, random_functions.exponential_
    bernoulli, multinomial = random_functions.bernoulli, random_functions.multinomial

    # types
    float, double, half = _cast(dtypes.float32), _cast(dtypes.float64), _cast(dtypes.float16)
    bfloat16, long, int = _cast(dtypes.bfloat16), _cast(dtypes.int64), _cast(dtypes.int32)
    short, char, byte, bool = (
        _cast(dtypes.int16),
        _cast(dtypes.int8),
        _cast(dtypes.uint8),
        _cast(dtypes.bool_),
    )

    # new tensors of this dtype
    new_zeros, new_ones, new_empty = (
        _like(creation.zeros),
        _like(creation.ones),
        _like(creation.empty),
    )
