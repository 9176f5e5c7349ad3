"""PyTorch's older names of types: ``FloatTensor(2, 3)``, ``isinstance(x, LongTensor)``.

Programs of PyTorch's first years name an element type and a place by one word. The words with
``cuda`` in them exist without such a device, too; only calling them is an error.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError, DeviceError, DTypeError, describe
from fovea.functions import creation
from fovea.functions.sizes import parse_size
from fovea.size import Size
from fovea.tensor import Tensor
from fovea.tensorbase import is_tensor

__all__ = [
    "BFloat16Tensor",
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
    "TensorType",
    "on_cuda",
    "set_default_tensor_type",
]


class TensorType(type):
    """A type of tensors by its element type: makes them, and knows them again.

    Attributes:
        dtype: the elements' type.
        is_cuda: whether tensors of the type would live on a CUDA device, so that there are none.
    """

    dtype: dtypes.DType
    is_cuda: bool

    def __new__(cls, name: str, dtype: dtypes.DType, is_cuda: bool = False) -> TensorType:
        place = "fovea.cuda" if is_cuda else "fovea"
        return super().__new__(cls, name, (), {"__module__": place, "dtype": dtype})

    def __init__(cls, name: str, dtype: dtypes.DType, is_cuda: bool = False) -> None:
        super().__init__(name, (), {})
        cls.is_cuda = is_cuda

    def __call__(cls, *data: Any, device: Any = None) -> Tensor:
        """Unset memory of a shape, or the numbers of a sequence, an array or a tensor.

        Raises:
            DTypeError: a single number that is no size, or a tensor of another type.
            DeviceError: a device that there is not.
        """
        if cls.is_cuda:
            raise no_cuda(cls)
        if len(data) == 1 and is_tensor(data[0]):
            if data[0].dtype is not cls.dtype:
                raise DTypeError(
                    f"{cls.__name__}: the tensor is of another type.",
                    {"tensor": describe(data[0])},
                    f"use x.to({cls.dtype})",
                )
            return data[0]._alias()
        if len(data) == 1 and isinstance(data[0], float | complex | bool | str):
            raise DTypeError(f"{cls.__name__}: takes sizes or a sequence, got {data[0]!r}.")
        if len(data) == 1 and not isinstance(data[0], int | np.integer | Size):
            return creation.tensor(data[0], dtype=cls.dtype, device=device)
        shape = parse_size(*data) if data else (0,)
        return creation.empty(shape, dtype=cls.dtype, device=device)

    def __instancecheck__(cls, x: Any) -> bool:
        return not cls.is_cuda and is_tensor(x) and x.dtype is cls.dtype

    def __repr__(cls) -> str:
        return f"<class '{cls.__module__}.{cls.__name__}'>"

    def __reduce__(cls) -> tuple[Any, ...]:
        return _named, (f"torch.{'cuda.' if cls.is_cuda else ''}{cls.__name__}",)


BoolTensor = TensorType("BoolTensor", dtypes.bool_)
ByteTensor = TensorType("ByteTensor", dtypes.uint8)
CharTensor = TensorType("CharTensor", dtypes.int8)
ShortTensor = TensorType("ShortTensor", dtypes.int16)
IntTensor = TensorType("IntTensor", dtypes.int32)
LongTensor = TensorType("LongTensor", dtypes.int64)
HalfTensor = TensorType("HalfTensor", dtypes.float16)
BFloat16Tensor = TensorType("BFloat16Tensor", dtypes.bfloat16)
FloatTensor = TensorType("FloatTensor", dtypes.float32)
DoubleTensor = TensorType("DoubleTensor", dtypes.float64)

_ALL = (
    BoolTensor,
    ByteTensor,
    CharTensor,
    ShortTensor,
    IntTensor,
    LongTensor,
    HalfTensor,
    BFloat16Tensor,
    FloatTensor,
    DoubleTensor,
)
_CUDA = {kind.__name__: TensorType(kind.__name__, kind.dtype, is_cuda=True) for kind in _ALL}


def on_cuda(name: str) -> TensorType | None:
    """The type of that name on a CUDA device; None if there is no such name."""
    return _CUDA.get(name)


def no_cuda(kind: TensorType) -> DeviceError:
    """The error of a type of tensors that there are not."""
    return DeviceError(
        f"torch.cuda.{kind.__name__}: eager tensors live on 'cpu'.",
        fix=f"torch.cuda.{kind.__name__} if torch.cuda.is_available() else torch.{kind.__name__}",
    )


def _named(name: str) -> TensorType:
    """``"torch.FloatTensor"`` as a type."""
    *places, word = name.split(".")
    types = _CUDA if "cuda" in places else {kind.__name__: kind for kind in _ALL}
    if places[:1] not in (["torch"], ["fovea"]) or word not in types:
        raise ArgumentError(f"{name!r} is no type of tensors.", fix='e.g. "torch.FloatTensor"')
    return types[word]


def dtype_of(kind: Any) -> Any:
    """The element type that a type of tensors, or its name, stands for; others as they are."""
    if isinstance(kind, str) and kind.endswith("Tensor") and "." in kind:
        kind = _named(kind)
    if kind is Tensor:
        return dtypes.get_default_dtype()
    if not isinstance(kind, TensorType):
        return kind
    if kind.is_cuda:
        raise no_cuda(kind)
    return kind.dtype


def name_of(dtype: dtypes.DType) -> str:
    """What PyTorch calls tensors of an element type.

    >>> name_of(dtypes.int64)
    'torch.LongTensor'
    """
    if dtype.is_complex:
        return f"torch.Complex{'Float' if dtype is dtypes.complex64 else 'Double'}Tensor"
    return next(f"torch.{kind.__name__}" for kind in _ALL if kind.dtype is dtype)


def set_default_tensor_type(t: Any) -> None:
    """``set_default_dtype`` by the older name of a type: ``"torch.DoubleTensor"``.

    >>> import fovea
    >>> fovea.set_default_tensor_type("torch.DoubleTensor")
    >>> fovea.ones(1).dtype
    fovea.float64
    >>> fovea.set_default_tensor_type(fovea.FloatTensor)
    """
    dtypes.set_default_dtype(dtype_of(t))
