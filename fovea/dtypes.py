"""Element types: what a number is, how two of them meet, and how Python and NumPy name them."""

from __future__ import annotations

from typing import Any, Final

import ml_dtypes
import numpy as np

__all__ = [
    "DType",
    "as_dtype",
    "bfloat16",
    "bool_",
    "can_cast",
    "complex64",
    "complex128",
    "finfo",
    "float16",
    "float32",
    "float64",
    "get_default_dtype",
    "iinfo",
    "int8",
    "int16",
    "int32",
    "int64",
    "of_scalar",
    "promote_types",
    "result_type",
    "set_default_dtype",
    "uint8",
]

BOOL, INTEGER, FLOAT, COMPLEX = 0, 1, 2, 3


class DType:
    """An element type such as ``fovea.float32``.

    Attributes:
        name: the name, as in NumPy (``"float32"``).
        itemsize: bytes an element.
        numpy: the NumPy dtype with the same bytes (``ml_dtypes`` supplies bfloat16).
        category: 0 bool, 1 integer, 2 float, 3 complex: the order in which categories win a
            promotion.
        is_floating_point, is_complex: the kind; ``is_inexact``: either, what can have gradients.
    """

    __slots__ = (
        "category",
        "is_complex",
        "is_floating_point",
        "is_inexact",
        "is_signed",
        "itemsize",
        "name",
        "numpy",
    )

    def __init__(self, name: str, numpy_type: Any, category: int) -> None:
        self.name = name
        self.numpy: np.dtype[Any] = np.dtype(numpy_type)
        self.itemsize: int = self.numpy.itemsize
        self.category = category
        self.is_floating_point = category == FLOAT
        self.is_complex = category == COMPLEX
        self.is_inexact = category >= FLOAT
        self.is_signed = name not in ("bool", "uint8")

    def __repr__(self) -> str:
        return f"fovea.{self.name}"

    def __str__(self) -> str:
        return self.__repr__()

    def __reduce__(self) -> tuple[Any, ...]:
        return (as_dtype, (self.name,))

    def __copy__(self) -> DType:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> DType:
        return self

    def to_real(self) -> DType:
        """The type of a complex type's parts; itself otherwise."""
        return _REAL.get(self, self)

    def to_complex(self) -> DType:
        """The complex type whose parts hold this type's values."""
        return self if self.is_complex else complex128 if self is float64 else complex64

    def to_numpy(self) -> np.dtype[Any]:
        return self.numpy


bool_: Final = DType("bool", np.bool_, BOOL)
uint8: Final = DType("uint8", np.uint8, INTEGER)
int8: Final = DType("int8", np.int8, INTEGER)
int16: Final = DType("int16", np.int16, INTEGER)
int32: Final = DType("int32", np.int32, INTEGER)
int64: Final = DType("int64", np.int64, INTEGER)
float16: Final = DType("float16", np.float16, FLOAT)
bfloat16: Final = DType("bfloat16", ml_dtypes.bfloat16, FLOAT)
float32: Final = DType("float32", np.float32, FLOAT)
float64: Final = DType("float64", np.float64, FLOAT)
complex64: Final = DType("complex64", np.complex64, COMPLEX)
complex128: Final = DType("complex128", np.complex128, COMPLEX)

# The types that kernels are made for. Complex numbers run as NumPy, where an op offers them.
ALL: Final = (bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64)
COMPLEX_TYPES: Final = (complex64, complex128)
_REAL: Final = {complex64: float32, complex128: float64}
_BY_NAME: Final = {d.name: d for d in (*ALL, *COMPLEX_TYPES)} | {
    "cfloat": complex64,
    "cdouble": complex128,
    "float": float32,
    "double": float64,
    "half": float16,
    "long": int64,
    "int": int32,
    "short": int16,
}
_BY_NUMPY: Final = {d.numpy: d for d in (*ALL, *COMPLEX_TYPES)}
_BY_PYTHON: Final[dict[Any, DType]] = {bool: bool_, int: int64}

_default = float32


def get_default_dtype() -> DType:
    """The float type that Python floats become.

    >>> import fovea
    >>> fovea.get_default_dtype()
    fovea.float32
    """
    return _default


def set_default_dtype(d: Any) -> None:
    """Set the float type that Python floats become; ``TypeError`` if ``d`` is no float type."""
    global _default
    chosen = as_dtype(d)
    if not chosen.is_floating_point:
        raise TypeError(f"set_default_dtype: a floating-point type is needed, got {chosen}.")
    _default = chosen


def as_dtype(value: Any) -> DType:
    """The ``DType`` that a fovea, NumPy or Python type, or a name, stands for.

    >>> as_dtype("bfloat16"), as_dtype(np.int32), as_dtype(float)
    (fovea.bfloat16, fovea.int32, fovea.float32)
    """
    if isinstance(value, DType):
        return value
    if isinstance(value, str):
        found = _BY_NAME.get(value.removeprefix("fovea.").removeprefix("torch."))
        if found is not None:
            return found
    elif value is float:
        return _default
    elif value is complex:
        return _default.to_complex()
    elif value in _BY_PYTHON:
        return _BY_PYTHON[value]
    try:
        return _BY_NUMPY[np.dtype(value)]
    except (TypeError, KeyError):
        names = ", ".join(d.name for d in ALL)
        raise TypeError(f"{value!r} is not an element type fovea has; it has {names}.") from None


def of_scalar(value: bool | int | float | complex) -> DType:
    """The type a Python number takes on its own."""
    if isinstance(value, bool):
        return bool_
    if isinstance(value, complex):
        return _default.to_complex()
    return int64 if isinstance(value, int) else _default


_INT_RANK: Final = {int8: 0, int16: 1, int32: 2, int64: 3}


def promote_types(type1: DType, type2: DType) -> DType:
    """The smallest type that holds values of both, by PyTorch's rules.

    >>> promote_types(uint8, int8), promote_types(float16, bfloat16), promote_types(int64, float16)
    (fovea.int16, fovea.float32, fovea.float16)
    """
    a, b = type1, type2
    if a is b:
        return a
    if COMPLEX in (a.category, b.category):
        wide = a.to_real() is float64 or b.to_real() is float64
        return complex128 if wide else complex64
    if a.category != b.category:
        return a if a.category > b.category else b
    if a.category == FLOAT:
        if a.itemsize == b.itemsize:  # float16 with bfloat16
            return float32
        return a if a.itemsize > b.itemsize else b
    if uint8 in (a, b):
        other = b if a is uint8 else a
        return int16 if other is int8 else other
    return a if _INT_RANK[a] > _INT_RANK[b] else b


def result_type(dimensioned: DType | None, zero_d: DType | None, scalar: DType | None) -> DType:
    """Promotion by priority: tensors with dimensions, then 0-d tensors, then Python numbers.

    A lower priority only changes the result if its category (bool < integer < float < complex) is
    higher; what becomes complex keeps the precision that it has.
    """
    result: DType | None = None
    for candidate in (dimensioned, zero_d, scalar):
        if candidate is None:
            continue
        if result is None or candidate.category > result.category:
            if result is not None and candidate.is_complex and result.is_floating_point:
                candidate = result.to_complex()
            result = candidate
    assert result is not None
    return result


def can_cast(from_: Any, to: Any) -> bool:
    """Whether in-place results of type ``from_`` may be stored as ``to`` (category must not
    fall).

    >>> can_cast(float32, float16), can_cast(float32, int32), can_cast(complex64, float32)
    (True, False, False)
    """
    return as_dtype(from_).category <= as_dtype(to).category


class finfo:  # noqa: N801 - the field's name
    """Limits of a float type: ``eps``, ``max``, ``min``, ``tiny``, ``smallest_normal``, ``bits``.

    >>> finfo(float32).eps
    1.1920928955078125e-07
    """

    def __init__(self, dtype: Any = None) -> None:
        self.dtype = as_dtype(_default if dtype is None else dtype)
        info = ml_dtypes.finfo(self.dtype.numpy)  # type: ignore[no-untyped-call]
        self.bits = self.dtype.itemsize * 8
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.smallest_normal)
        self.resolution = float(info.resolution)


class iinfo:  # noqa: N801 - the field's name
    """Limits of an integer type: ``min``, ``max``, ``bits``.

    >>> iinfo(uint8).max
    255
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = as_dtype(dtype)
        info = np.iinfo(self.dtype.numpy)
        self.bits, self.min, self.max = info.bits, int(info.min), int(info.max)
