"""The names by which PyTorch's files speak of dtypes and storages."""

from __future__ import annotations

from typing import Final

from fovea import dtypes
from fovea.dtypes import DType

__all__ = ["DTYPE_OF_STORAGE", "FOREIGN_DTYPES", "STORAGE_OF_DTYPE"]

DTYPE_OF_STORAGE: Final[dict[str, DType]] = {
    "BoolStorage": dtypes.bool_,
    "ByteStorage": dtypes.uint8,
    "CharStorage": dtypes.int8,
    "ShortStorage": dtypes.int16,
    "IntStorage": dtypes.int32,
    "LongStorage": dtypes.int64,
    "HalfStorage": dtypes.float16,
    "BFloat16Storage": dtypes.bfloat16,
    "FloatStorage": dtypes.float32,
    "DoubleStorage": dtypes.float64,
    "ComplexFloatStorage": dtypes.complex64,
    "ComplexDoubleStorage": dtypes.complex128,
}
STORAGE_OF_DTYPE: Final[dict[DType, str]] = {d: name for name, d in DTYPE_OF_STORAGE.items()}

# Names that are harmless but stand for element types that fovea does not have: they deserve their
# own message.
_FOREIGN = """
complex32
QInt8Storage QInt32Storage QUInt8Storage QUInt4x2Storage QUInt2x4Storage qint8 qint32 quint8
uint16 uint32 uint64
float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn_x2
"""
FOREIGN_DTYPES: Final = frozenset(_FOREIGN.split())
