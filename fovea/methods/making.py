"""New tensors like this one: of another type, filled, or random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea import dtypes
from fovea.functions import creation, pointwise, shaping
from fovea.functions import random as random_functions

if TYPE_CHECKING:
    from fovea.tensor import Tensor


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


class MakingMethods:
    """Types, new tensors of this type, draws."""

    cfloat, cdouble = _cast(dtypes.complex64), _cast(dtypes.complex128)
    float, double, half = _cast(dtypes.float32), _cast(dtypes.float64), _cast(dtypes.float16)
    bfloat16, long, int = _cast(dtypes.bfloat16), _cast(dtypes.int64), _cast(dtypes.int32)
    short, char, byte, bool = (
        _cast(dtypes.int16),
        _cast(dtypes.int8),
        _cast(dtypes.uint8),
        _cast(dtypes.bool_),
    )
    new_zeros, new_ones, new_empty = (
        _like(creation.zeros),
        _like(creation.ones),
        _like(creation.empty),
    )
    bernoulli, multinomial = random_functions.bernoulli, random_functions.multinomial
