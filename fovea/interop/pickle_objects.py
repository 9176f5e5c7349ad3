"""Objects beside tensors, lists and dicts that files may hold: checked functions stand for them.

A file names a function and gives its arguments (``TABLE``), and may set the state of what it
returned (``set_state``). Everything in a file may be meant to do harm, so each function looks at
its arguments first, and none makes more than a file of that size has a right to.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from fovea.dtypes import DType
from fovea.tensorbase import is_tensor

__all__ = ["TABLE", "ForbiddenNameError", "PickleError", "Plain", "checked_key", "set_state"]

_MAX_KEY_PARTS = 16
_MAX_DIMS = 64
_SCALARS = (str, int, float, bool, bytes, type(None), DType)


class PickleError(Exception):
    """A pickle that is damaged or holds what is not plain data."""


class ForbiddenNameError(PickleError):
    """A pickle that asks for a name outside the table; ``str()`` is the name."""


class Plain:
    """An object that a pickle may refer to and pass on, but that the machine itself never looks
    into."""


def checked_key(key: Any) -> Any:
    """A key of a dict or member of a set: only what hashes in bounded time. Tensors and records
    hash by what they are, not by what they hold."""
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) > _MAX_KEY_PARTS or not all(map(_hashes, parts)):
        raise PickleError(
            f"a key of a dict is a {type(key).__name__} of more than numbers and strings"
        )
    return key


def _hashes(part: Any) -> bool:
    return isinstance(part, (*_SCALARS, np.generic, Plain)) or is_tensor(part)


def ordered_dict(items: Any = ()) -> OrderedDict[Any, Any]:
    """Stands for ``collections.OrderedDict``."""
    result: OrderedDict[Any, Any] = OrderedDict()
    for pair in items.items() if isinstance(items, dict) else items:
        key, value = pair
        result[checked_key(key)] = value
    return result


def counter(items: Any = ()) -> Counter[Any]:
    """Stands for ``collections.Counter`` (learning-rate schedules keep one)."""
    result: Counter[Any] = Counter()
    result.update({checked_key(key): int(value) for key, value in dict(items).items()})
    return result


def members(items: Any = ()) -> set[Any]:
    """Stands for ``set``."""
    return {checked_key(item) for item in items}


def encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Stands for ``_codecs.encode``, by which old protocols write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise PickleError("bytes in an unknown encoding")
    return text.encode("latin1")


def path(*parts: Any) -> Path:
    """Stands for ``pathlib.PosixPath`` and ``WindowsPath``: a path as this system has them."""
    if not all(isinstance(part, str) for part in parts):
        raise PickleError("a path is made of more than text")
    return Path(*parts)


# -- NumPy ----------------------------------------------------------------------------------------

_ARRAY = Plain()


def _array(kind: Any, shape: Any, code: Any) -> np.ndarray[Any, Any]:
    """Stands for NumPy's ``_reconstruct``: an empty array, to be filled by its state."""
    if kind is not _ARRAY:
        raise PickleError("an array is of an unknown kind")
    return np.empty(0)


def _element_type(code: Any, align: Any = False, copy: Any = True) -> np.dtype[Any]:
    """Stands for ``numpy.dtype``: numbers, truth values, text, and lists of objects."""
    if not isinstance(code, str) or code[:1] not in "biufcSUO" or not code[1:].isdecimal():
        raise PickleError("an array has elements that are no numbers")
    return np.dtype(code, False, True)


def _as_bytes(data: Any) -> Any:
    """Python 2 writes bytes as text."""
    return data.encode("latin1") if isinstance(data, str) else data


def _number(dtype: Any, data: Any) -> Any:
    """Stands for NumPy's ``scalar``: a number with a type of its own."""
    data = _as_bytes(data)
    _check_bytes(dtype, (), data)
    return np.frombuffer(data, dtype)[0]


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any = "C") -> np.ndarray[Any, Any]:
    """Stands for NumPy's ``_frombuffer``, by which protocol 5 writes arrays."""
    data = bytes(data) if isinstance(data, bytearray) else data
    _check_bytes(dtype, shape, data)
    array: np.ndarray[Any, Any] = np.frombuffer(bytearray(data), dtype)
    return array.reshape(shape, order="F" if order == "F" else "C")


def _check_sizes(shape: Any) -> None:
    sizes = isinstance(shape, tuple) and len(shape) <= _MAX_DIMS
    if not sizes or not all(type(size) is int and size >= 0 for size in shape):
        raise PickleError("an array has a shape that is none")


def _check_bytes(dtype: Any, shape: Any, data: Any) -> None:
    _check_sizes(shape)
    if not isinstance(dtype, np.dtype) or dtype.hasobject or not isinstance(data, bytes):
        raise PickleError("an array has no bytes or no type")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise PickleError(f"an array of shape {shape} does not have {len(data)} bytes")


def _fill_array(array: np.ndarray[Any, Any], state: Any) -> None:
    _, shape, dtype, by_columns, data = state
    if isinstance(dtype, np.dtype) and dtype == np.dtype("O"):
        _check_sizes(shape)
        if not isinstance(data, list) or math.prod(shape) != len(data):
            raise PickleError("an array of objects has another number of them than its shape says")
    else:
        data = _as_bytes(data)
        _check_bytes(dtype, shape, data)
    array.__setstate__((1, shape, dtype, by_columns is True, data))  # type: ignore[arg-type]


def _set_byte_order(dtype: np.dtype[Any], state: Any) -> None:
    own: Any = dtype.__reduce__()[2]
    if state[1] not in ("<", ">", "|", "=") or state[2:] != own[2:]:
        raise PickleError("an array has elements that are no numbers")
    dtype.__setstate__((3, state[1], *own[2:]))  # type: ignore[attr-defined]


# -- what a pickle can do -------------------------------------------------------------------------


def set_state(target: Any, state: Any) -> int:
    """Give an object the state that the file says; returns how many bytes that copied."""
    if isinstance(target, OrderedDict) and isinstance(state, dict):
        # A module's state dict: the versions of its layers are the one attribute that is kept.
        metadata = state.get("_metadata")
        if isinstance(metadata, dict):
            target._metadata = metadata  # type: ignore[attr-defined]
    elif isinstance(target, argparse.Namespace) and isinstance(state, dict):
        if not all(isinstance(name, str) for name in state):
            raise PickleError("an attribute has no name")
        vars(target).update(state)
        return len(state)
    elif isinstance(target, np.ndarray) and isinstance(state, tuple) and len(state) == 5:
        _fill_array(target, state)
        return target.nbytes
    elif isinstance(target, np.dtype) and isinstance(state, tuple) and len(state) == 8:
        _set_byte_order(target, state)
    else:
        raise PickleError("attributes are set on something that has none")
    return 0


# By name: a function to call with checked arguments, or an object that stands for itself.
TABLE: dict[str, Any] = {
    "collections.OrderedDict": ordered_dict,
    "collections.Counter": counter,
    "_codecs.encode": encode,
    "argparse.Namespace": lambda: argparse.Namespace(),
    "numpy.ndarray": _ARRAY,
    "numpy.dtype": _element_type,
    **{f"{module}.set": members for module in ("builtins", "__builtin__")},
    **{f"{module}.bytes": lambda: b"" for module in ("builtins", "__builtin__")},  # none at all
    **{
        f"{module}.{kind}Path": path
        for module in ("pathlib", "pathlib._local")
        for kind in ("Posix", "Windows", "PurePosix", "PureWindows")
    },
    **{
        f"{module}.{name}": function
        for module in ("numpy.core", "numpy._core")
        for name, function in (
            ("multiarray._reconstruct", _array),
            ("multiarray.scalar", _number),
            ("numeric._frombuffer", _from_buffer),
        )
    },
}
