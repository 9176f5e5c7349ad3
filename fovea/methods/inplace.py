"""Methods that change the tensor itself, ending in ``_``."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from fovea import dispatch, dtypes, watching
from fovea.errors import ArgumentError, DTypeError, InplaceError, describe
from fovea.functions import (
    complex_numbers,
    creation,
    indexing,
    linalg,
    pointwise,
    products,
    reductions,
    scattering,
    shaping,
    special,
    statistics,
)
from fovea.functions import random as random_functions
from fovea.functions.pointwise import into, unary_into
from fovea.ops import elementwise as ops
from fovea.ops import special as special_ops

if TYPE_CHECKING:
    from fovea.tensor import Tensor


def in_place(function: Any) -> Any:
    """The in-place form of any function whose result has its first argument's shape."""
    name = f"{function.__name__.rstrip('_')}_"

    @functools.wraps(function)
    def call(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        # What is recorded must not be changed below it.
        source = shaping.clone(self) if dispatch.grad_enabled() and self.requires_grad else self
        result = function(source, *args, **kwargs)
        if result.shape != self.shape:
            raise ArgumentError(
                f"{name}: the result has shape {tuple(result.shape)}.", {"tensor": describe(self)}
            )
        if not dtypes.can_cast(result.dtype, self.dtype):
            raise DTypeError(
                f"{name}: the result is {result.dtype.name}, which cannot be stored in place as "
                f"{self.dtype.name}."
            )
        return indexing.copy_(self, result)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``{name.rstrip('_')}`` in place."
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


def as_view(function: Any) -> Any:
    """The in-place form of a function that gives a view: the tensor becomes that view."""
    name = f"{function.__name__}_"

    @functools.wraps(function)
    def call(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self.requires_grad and self.is_leaf and dispatch.grad_enabled():
            raise InplaceError(
                f"{name}: a leaf tensor that requires a gradient cannot be changed in place.",
                {"tensor": describe(self)},
            )
        records = self._base is None and self.requires_grad
        view = function(self._autograd_alias() if records else self, *args, **kwargs)
        watching.touch()
        self.shape, self.strides, self.offset, self._form = (
            view.shape,
            view.strides,
            view.offset,
            None,
        )
        if records or self._base is not None:
            self._base, self._replay, self._view_stamp = view._base, view._replay, view._view_stamp
            self._node, self._output_nr = view._node, view._output_nr
            self._requires_grad = view._requires_grad
        return self

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``{function.__name__}`` in place."
    return call


def resize_(self: Tensor, *size: Any, memory_format: Any = None) -> Tensor:
    """Another shape over the same memory; new, unset memory if it is too small."""
    from fovea.functions.sizes import parse_size

    if self.requires_grad:
        raise InplaceError("resize_: tensors that require gradients cannot be resized.")
    shape = parse_size(*size)
    if shape.numel() > self.storage.nbytes // self.dtype.itemsize - self.offset:
        grown = creation.empty(shape, dtype=self.dtype)
        n = min(self.numel(), grown.numel())
        shaping.reshape(grown, -1)[:n] = shaping.reshape(self, -1)[:n]
        self.data = grown
    else:
        strides = shaping.contiguous_strides(shape)
        self.data = creation.strided_over(self, shape, strides, self.offset)
    return self


def resize_as_(self: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """``resize_`` to another tensor's shape."""
    return resize_(self, the_template.shape)


def log_normal_(self: Tensor, mean: float = 1, std: float = 2, *, generator: Any = None) -> Tensor:
    """Exponentials of normal numbers, into this tensor."""
    return self.normal_(mean, std, generator=generator).exp_()


def cauchy_(self: Tensor, median: float = 0, sigma: float = 1, *, generator: Any = None) -> Tensor:
    """Numbers of Cauchy's distribution, into this tensor."""
    turned = (self.uniform_(0, 1, generator=generator) - 0.5) * math.pi
    return self.copy_(turned.tan() * sigma + median)


def geometric_(self: Tensor, p: float, *, generator: Any = None) -> Tensor:
    """How many trials the first success takes, each with probability ``p``, into this tensor."""
    if not 0 < p < 1:
        raise ArgumentError(f"geometric_: p must lie between 0 and 1, got {p}.")
    draws = random_functions.rand(self.shape, generator=generator)
    return self.copy_(((1 - draws).log() / math.log1p(-p)).ceil().clamp(min=1))


_add_, _sub_ = into("add_", ops.add), into("sub_", ops.sub)
_div_, _round_ = into("div_", ops.div, True), unary_into(ops.round_)


class InPlaceMethods:
    """Changes to this tensor's own memory."""

    # one op each
    add_, sub_, mul_, div_ = add_, sub_, into("mul_", ops.mul), div_
    subtract_, multiply_, divide_, true_divide_ = sub_, mul_, div_, div_
    pow_, remainder_, fmod_ = (
        into("pow_", ops.pow_),
        into("remainder_", ops.remainder),
        into("fmod_", ops.fmod),
    )
    floor_divide_, atan2_ = into("floor_divide_", ops.floor_divide), into("atan2_", ops.atan2)
    arctan2_ = atan2_
    logical_and_, logical_or_, logical_xor_ = (
        into("logical_and_", ops.logical_and),
        into("logical_or_", ops.logical_or),
        into("logical_xor_", ops.logical_xor),
    )
    bitwise_and_, bitwise_or_, bitwise_xor_ = (
        into("bitwise_and_", ops.bitwise_and),
        into("bitwise_or_", ops.bitwise_or),
        into("bitwise_xor_", ops.bitwise_xor),
    )
    bitwise_left_shift_ = into("bitwise_left_shift_", ops.left_shift)
    bitwise_right_shift_ = into("bitwise_right_shift_", ops.right_shift)
    neg_, abs_, exp_, log_, sqrt_ = (
        unary_into(o) for o in (ops.neg, ops.abs_, ops.exp, ops.log, ops.sqrt_)
    )
    negative_, absolute_ = neg_, abs_
    rsqrt_, reciprocal_, square_ = (unary_into(o) for o in (ops.rsqrt, ops.reciprocal, ops.square))
    sigmoid_, tanh_, relu_, floor_, ceil_ = (
        unary_into(o) for o in (ops.sigmoid, ops.tanh, ops.relu, ops.floor, ops.ceil)
    )
    trunc_, sign_, sin_, cos_, tan_ = (
        unary_into(o) for o in (ops.trunc, ops.sign, ops.sin, ops.cos, ops.tan)
    )
    fix_, sgn_ = trunc_, in_place(complex_numbers.sgn)
    conj_physical_ = in_place(complex_numbers.conj_physical)
    exp2_, expm1_, log2_, log10_, log1p_ = (
        unary_into(o) for o in (ops.exp2, ops.expm1, ops.log2, ops.log10, ops.log1p)
    )
    asin_, acos_, atan_, sinh_, cosh_ = (
        unary_into(o) for o in (ops.asin, ops.acos, ops.atan, ops.sinh, ops.cosh)
    )
    arcsin_, arccos_, arctan_ = asin_, acos_, atan_
    asinh_, acosh_, atanh_ = (
        unary_into(o) for o in (special_ops.asinh, special_ops.acosh, special_ops.atanh)
    )
    arcsinh_, arccosh_, arctanh_ = asinh_, acosh_, atanh_
    erf_, erfc_, erfinv_, lgamma_ = (
        unary_into(o) for o in (ops.erf, special_ops.erfc, special_ops.erfinv, special_ops.lgamma)
    )
    bitwise_not_ = unary_into(ops.bitwise_not)
    round_, clamp_, clip_, fill_, zero_, lerp_ = round_, clamp_, clamp_, fill_, zero_, lerp_
    addcmul_, addcdiv_, copy_ = addcmul_, addcdiv_, indexing.copy_

    # operators
    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_
    __ipow__, __imod__, __ifloordiv__ = pow_, remainder_, floor_divide_
    __iand__, __ior__, __ixor__ = bitwise_and_, bitwise_or_, bitwise_xor_
    __ilshift__, __irshift__ = bitwise_left_shift_, bitwise_right_shift_

    # several ops each
    eq_ = in_place(pointwise.eq)
    ne_ = in_place(pointwise.ne)
    lt_ = in_place(pointwise.lt)
    le_ = in_place(pointwise.le)
    gt_ = in_place(pointwise.gt)
    ge_ = in_place(pointwise.ge)
    logical_not_ = in_place(pointwise.logical_not)
    nan_to_num_ = in_place(pointwise.nan_to_num)
    not_equal_, less_, less_equal_, greater_, greater_equal_ = ne_, lt_, le_, gt_, ge_
    digamma_ = in_place(special.digamma)
    polygamma_ = in_place(special.polygamma)
    mvlgamma_ = in_place(special.mvlgamma)
    logit_ = in_place(special.logit)
    sinc_ = in_place(special.sinc)
    xlogy_ = in_place(special.xlogy)
    hypot_ = in_place(special.hypot)
    copysign_ = in_place(special.copysign)
    heaviside_ = in_place(special.heaviside)
    deg2rad_ = in_place(special.deg2rad)
    rad2deg_ = in_place(special.rad2deg)
    frac_ = in_place(special.frac)
    float_power_ = in_place(special.float_power)
    gcd_ = in_place(special.gcd)
    igamma_ = in_place(special.igamma)
    igammac_ = in_place(special.igammac)
    lcm_ = in_place(special.lcm)
    i0_ = in_place(special.i0)
    ldexp_ = in_place(special.ldexp)
    nextafter_ = in_place(special.nextafter)
    clamp_min_ = in_place(special.clamp_min)
    clamp_max_ = in_place(special.clamp_max)
    addmm_ = in_place(linalg.addmm)
    baddbmm_ = in_place(linalg.baddbmm)
    addmv_ = in_place(products.addmv)
    addr_ = in_place(products.addr)
    addbmm_ = in_place(products.addbmm)
    cumsum_ = in_place(reductions.cumsum)
    cumprod_ = in_place(reductions.cumprod)
    renorm_ = in_place(statistics.renorm)
    tril_ = in_place(shaping.tril)
    triu_ = in_place(shaping.triu)
    put_ = in_place(scattering.put)
    masked_scatter_ = in_place(scattering.masked_scatter)
    scatter_reduce_ = in_place(scattering.scatter_reduce)
    index_reduce_ = in_place(scattering.index_reduce)

    # by place
    masked_fill_ = indexing.masked_fill_
    scatter_, scatter_add_ = scattering.scatter_, scattering.scatter_add_
    index_put_, index_add_ = scattering.index_put_, scattering.index_add_
    index_fill_, index_copy_ = scattering.index_fill_, scattering.index_copy_
    fill_diagonal_ = scattering.fill_diagonal_

    # views
    squeeze_, unsqueeze_, t_ = (as_view(f) for f in (shaping.squeeze, shaping.unsqueeze, shaping.t))
    transpose_ = as_view(shaping.transpose)
    swapaxes_ = swapdims_ = transpose_
    resize_, resize_as_ = resize_, resize_as_

    # random numbers into this tensor
    uniform_, normal_ = random_functions.uniform_, random_functions.normal_
    random_, bernoulli_ = random_functions.random_, random_functions.bernoulli_
    exponential_, log_normal_ = random_functions.exponential_, log_normal_
    cauchy_, geometric_ = cauchy_, geometric_
