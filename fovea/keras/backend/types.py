"""What programs ask of dtypes by Keras's backend."""

from __future__ import annotations

from functools import reduce
from typing import Any

from fovea import dtypes
from fovea.keras.config import as_dtype, floatx, standardize_dtype

__all__ = ["is_float_dtype", "is_int_dtype", "result_type"]


def is_float_dtype(dtype: Any) -> bool:
    """Whether a dtype, by itself or by its name, is a float type.

    >>> is_float_dtype("bfloat16"), is_float_dtype("int8")
    (True, False)
    """
    return as_dtype(dtype).is_floating_point


def is_int_dtype(dtype: Any) -> bool:
    """Whether a dtype, by itself or by its name, is an integer type; ``bool`` is none.

    >>> is_int_dtype("uint8"), is_int_dtype("bool")
    (True, False)
    """
    return standardize_dtype(dtype).startswith(("int", "uint"))


def result_type(*types: Any) -> str:
    """The name of the type that what is computed with values of these types has.

    Args:
        types: dtypes, their names, or ``int``, ``float`` and ``bool`` for Python's numbers, which
            follow the others where these can hold their kind. Types of 64 bits stay what they are.

    >>> result_type("int32", "bfloat16"), result_type("float16", float), result_type(int, "bool")
    ('bfloat16', 'float16', 'int32')
    """
    numbers = {bool: dtypes.bool_, int: dtypes.int32, float: as_dtype(None)}
    firm = [as_dtype(t) for t in types if t not in numbers]
    weak = [numbers[t] for t in types if t in numbers]
    if not firm and not weak:
        return floatx()
    found = reduce(dtypes.promote_types, firm) if firm else None
    return dtypes.result_type(
        found, None, reduce(dtypes.promote_types, weak) if weak else None
    ).name
