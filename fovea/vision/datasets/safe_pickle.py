"""Pickle files read without running anything from them.

A pickle is a program; Python's own reader runs it. This reader refuses every class and function but
the few that stand for a NumPy byte array, and those it replaces by stand-ins that build the array
from checked parts.
"""

from __future__ import annotations

import math
import os
import pickle
from typing import Any

import numpy as np

from fovea.errors import FileFormatError, MissingFileError

__all__ = ["load_plain_pickle"]


class _DType:
    """Stands for ``numpy.dtype``; only bytes pass."""

    def __init__(self, name: Any, *flags: Any) -> None:
        text = name.decode("ascii") if isinstance(name, bytes) else str(name)
        if text not in ("u1", "|u1", "uint8"):
            raise pickle.UnpicklingError(f"an array of {text!r}; only uint8 is read")

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like mean nothing for single bytes."""


class _Array:
    """Stands for ``numpy.ndarray`` while its parts come in."""

    value: np.ndarray[Any, np.dtype[np.uint8]] | None = None

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, data = state
        if isinstance(data, str):
            data = data.encode("latin1")
        sizes_fit = isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)
        if not (sizes_fit and isinstance(dtype, _DType) and isinstance(data, bytes)):
            raise pickle.UnpicklingError("an array whose parts are not what they should be")
        if math.prod(shape) != len(data):
            raise pickle.UnpicklingError(f"an array of shape {shape} with {len(data)} bytes")
        order = "F" if fortran else "C"
        self.value = np.frombuffer(data, np.uint8).reshape(shape, order=order)  # type: ignore[call-overload]


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Stands for ``_codecs.encode``, by which Python 3 writes bytes in old pickles."""
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError("an unknown encoding of bytes")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("_codecs", "encode"): _encode,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which is not allowed"
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside the file")


def load_plain_pickle(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a pickled dictionary of numbers, strings, lists and byte arrays, also one written by
    Python 2.

    Args:
        path: the file.

    Returns:
        The dictionary; its keys, and strings in lists, are decoded to ``str``.

    Raises:
        FileFormatError: missing, cut short, not such a pickle, or one that asks for anything else.
    """
    try:
        with open(path, "rb") as file:
            content = _Reader(file, encoding="bytes").load()
    except FileNotFoundError as error:
        raise MissingFileError(f"there is no file {path}.") from error
    except Exception as error:  # a damaged pickle raises nearly anything
        raise FileFormatError(f"{path} is not a plain pickle of arrays: {error}") from error
    if not isinstance(content, dict):
        raise FileFormatError(
            f"{path} holds a {type(content).__name__}; a dictionary was expected."
        )
    return {_text(key): _plain(value) for key, value in content.items()}


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _plain(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, list):
        return [_text(item) for item in value]
    return _text(value)
