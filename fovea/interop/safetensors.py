"""The safetensors format: a header in JSON that says where each tensor's bytes lie, and the bytes.

Eight bytes give the header's length (little-endian); the header maps names to ``{"dtype", "shape",
"data_offsets"}``, and ``"__metadata__"`` to strings by name; the tensors follow, row-major and
without gaps. Source: the format's description at https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import IO, Any, Final

import numpy as np

from fovea import dtypes
from fovea.dtypes import DType
from fovea.errors import ArgumentError, FileFormatError, MissingFileError
from fovea.interop.atomic import atomic_write
from fovea.interop.streams import bytes_of, read_fully
from fovea.size import Size
from fovea.storage import Storage
from fovea.tensor import Tensor
from fovea.tensorbase import is_tensor

__all__ = ["load_file", "read_metadata", "save_file"]

_NAME_OF: Final[dict[DType, str]] = {
    dtypes.bool_: "BOOL",
    dtypes.uint8: "U8",
    dtypes.int8: "I8",
    dtypes.int16: "I16",
    dtypes.int32: "I32",
    dtypes.int64: "I64",
    dtypes.float16: "F16",
    dtypes.bfloat16: "BF16",
    dtypes.float32: "F32",
    dtypes.float64: "F64",
    dtypes.complex64: "C64",
}
_DTYPE_OF: Final = {name: dtype for dtype, name in _NAME_OF.items()}
_MAX_HEADER = 100_000_000  # the format's own limit
_MAX_DIMS = 64
_METADATA = "__metadata__"
_FIELDS = {"dtype", "shape", "data_offsets"}

Path = str | os.PathLike[str]


def save_file(
    tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a dict of tensors by name; tensors that share memory are written once each.

    Args:
        tensors: any dtype that fovea has, any strides.
        path: the file; it appears when it is complete.
        metadata: strings by name.

    Raises:
        ArgumentError: an entry that is no tensor, a name that is no string, or metadata that is
            not strings.
    """
    header: dict[str, Any] = {}
    if metadata is not None:
        header[_METADATA] = _checked_metadata(metadata)
    arrays = []
    position = 0
    for name, array, dtype in _by_alignment(tensors):
        end = position + array.nbytes
        shape = list(array.shape)
        header[name] = {"dtype": _NAME_OF[dtype], "shape": shape, "data_offsets": [position, end]}
        arrays.append(array)
        position = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays:
            file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _by_alignment(tensors: Any) -> list[tuple[str, np.ndarray[Any, Any], DType]]:
    """The entries, checked; wide elements first, so that each tensor begins at a multiple of its
    element's size."""
    if not isinstance(tensors, Mapping):
        raise ArgumentError(
            f"save: a .safetensors file holds a dict of tensors, got {type(tensors).__name__}.",
            fix="another suffix, such as .pt, takes any nesting",
        )
    found = []
    for name, tensor in tensors.items():
        if not isinstance(name, str) or name == _METADATA:
            raise ArgumentError(f"save: {name!r} cannot be a tensor's name in a .safetensors file.")
        if not is_tensor(tensor):
            raise ArgumentError(
                f"save: {name!r} is a {type(tensor).__name__};"
                " a .safetensors file holds tensors only.",
                fix="put strings into metadata=, or use another suffix, such as .pt",
            )
        found.append((name, tensor.detach()._array(), tensor.dtype))
    return sorted(found, key=lambda entry: -entry[2].itemsize)


def _checked_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ArgumentError(f"save: metadata holds strings by name, got {key!r}: {value!r}.")
    return dict(metadata)


def load_file(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file.

    Raises:
        FileFormatError: missing, damaged, cut short, with gaps or overlaps, or with an element
            type that fovea does not have.
    """
    name = os.fspath(path)
    with _opened(path) as file:
        header, start, size = _read_header(file, name)
        header.pop(_METADATA, None)
        _check_cover(header, size - start, name)
        result = {}
        for key, entry in header.items():
            begin, end = entry["data_offsets"]
            dtype, storage = _DTYPE_OF[entry["dtype"]], Storage(end - begin)
            file.seek(start + begin)
            if read_fully(file, bytes_of(storage)) < end - begin:
                raise FileFormatError(f"{name} is cut short within {key!r}.")
            result[key] = _tensor(storage, Size(entry["shape"]), dtype)
    return result


def read_metadata(path: Path) -> dict[str, str]:
    """The strings kept in a file's header; the tensors are not read.

    Raises:
        FileFormatError: as ``load_file``.
    """
    with _opened(path) as file:
        header, _, _ = _read_header(file, os.fspath(path))
    return dict(header.get(_METADATA, {}))


def _opened(path: Path) -> IO[bytes]:
    try:
        return open(path, "rb")
    except FileNotFoundError as error:
        raise MissingFileError(f"there is no file {os.fspath(path)}.") from error
    except IsADirectoryError as error:
        raise FileFormatError(f"{os.fspath(path)} is a folder, not a file of weights.") from error


def _tensor(storage: Storage, shape: Size, dtype: DType) -> Tensor:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return Tensor._make(storage, shape, tuple(reversed(strides)), 0, dtype)


def _read_header(file: IO[bytes], name: str) -> tuple[dict[str, Any], int, int]:
    """The header with each entry checked on its own; where the data begin; the file's size."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, _MAX_HEADER):
        raise FileFormatError(
            f"{name} is no safetensors file or is cut short: its header would have {length:,} bytes"
            f" of the file's {size:,}."
        )
    raw = file.read(length)
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{name}: its header is not what it should be: {error}.") from error
    if not raw.startswith(b"{") or not isinstance(header, dict):
        raise FileFormatError(f"{name}: its header is no JSON object.")
    for key, entry in header.items():
        problem = _metadata_problem(entry) if key == _METADATA else _entry_problem(entry)
        if problem:
            raise FileFormatError(f"{name}: {key!r} {problem}.")
    return header, 8 + length, size


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("it has the same name twice")
    return result


def _metadata_problem(entry: Any) -> str | None:
    plain = isinstance(entry, dict) and all(isinstance(value, str) for value in entry.values())
    return None if plain else "should hold strings by name"


def _entry_problem(entry: Any) -> str | None:
    """What is wrong with a tensor's entry, if anything."""
    if not isinstance(entry, dict) or set(entry) != _FIELDS:
        return "should have the fields dtype, shape and data_offsets"
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _DTYPE_OF:
        return f"has elements of type {kind!r}, which fovea does not have"
    if not _counts(shape) or len(shape) > _MAX_DIMS:
        return "has a shape that is no list of sizes"
    if not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        return "has data_offsets that are no range"
    expected = math.prod(shape) * _DTYPE_OF[kind].itemsize
    if max(shape, default=0) >= 1 << 62 or offsets[1] - offsets[0] != expected:
        return f"has {offsets[1] - offsets[0]:,} bytes, its shape and type need {expected:,}"
    return None


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_cover(header: dict[str, Any], available: int, name: str) -> None:
    """The tensors' ranges must follow each other and end with the file: no gaps, no overlaps,
    nothing left over."""
    position = 0
    for begin, end in sorted(tuple(entry["data_offsets"]) for entry in header.values()):
        if begin != position:
            raise FileFormatError(
                f"{name}: its tensors overlap or leave a gap at byte {position:,}."
            )
        position = end
    if position != available:
        raise FileFormatError(
            f"{name} should have {position:,} bytes of tensors, it has {available:,}:"
            " it is cut short or damaged."
        )
