"""Reading files of weights by their first bytes: PyTorch's zip format, the one before it, Keras's.

Nothing in a file is believed: names are looked up in a table, sizes are held against what is
there, and the memory taken stays within a small multiple of the file's size.
"""

from __future__ import annotations

import io
import os
import zipfile
from typing import IO, Any

import numpy as np

from fovea.dtypes import DType
from fovea.errors import ArgumentError, FileFormatError, MissingFileError
from fovea.interop import hdf5
from fovea.interop.pickle_objects import PickleError
from fovea.interop.pickle_read import ForbiddenNameError, read_pickle
from fovea.interop.stored_zip import StoredArchive
from fovea.interop.streams import BoundedReader, bytes_of
from fovea.interop.torch_legacy import is_legacy, read_legacy
from fovea.interop.torch_table import TABLE, TypedStorage, persistent_reader
from fovea.interop.torch_tar import is_tar, read_tar
from fovea.storage import Storage

__all__ = ["load"]

KERAS_WEIGHTS = "model.weights.h5"


def load(f: str | os.PathLike[str] | IO[bytes], *, whole: bool = False) -> Any:
    """Read a file of weights; ``whole``: modules, too (`fovea.interop.whole`).

    Raises:
        FileFormatError: missing, damaged, of another kind, or asking for anything but plain data
            and tensors.
    """
    if isinstance(f, str | os.PathLike):
        try:
            with open(f, "rb") as file:
                return _load_named(file, os.fspath(f), whole)
        except FileNotFoundError as error:
            raise MissingFileError(f"there is no file {os.fspath(f)}.") from error
        except IsADirectoryError as error:
            raise FileFormatError(f"{os.fspath(f)} is a folder, not a file of weights.") from error
    if not (hasattr(f, "read") and hasattr(f, "seek")):
        raise ArgumentError(
            f"load: expected a path or an open binary file, got {type(f).__name__}."
        )
    return _load_named(f, str(getattr(f, "name", "the file")), whole)


def _load_named(file: IO[bytes], name: str, whole: bool) -> Any:
    try:
        start = file.tell()
        head = file.read(512)
        file.seek(start)
        if head.startswith(b"PK\x03\x04"):
            return _read_zip(file, whole)
        if is_legacy(head):
            return read_legacy(file, TABLE)
        if is_tar(head):
            return read_tar(file, TABLE)
        if head.startswith(b"\x80"):
            return _read_pickle(file)
        if head.startswith(hdf5.SIGNATURE):
            return hdf5.load(file)
        raise FileFormatError(_what_else(name, head), fix=_FIX)
    except ForbiddenNameError as error:
        raise FileFormatError(
            f"{name} asks for {error}, which a file of weights has no need of. Nothing was run.",
            fix="where it comes from, save only data: torch.save(model.state_dict(), path)",
        ) from error
    except PickleError as error:
        raise FileFormatError(f"{name} cannot be read as weights: {error}.") from error


_FIX = (
    "fovea.load reads the weights in .pt, .pth, .safetensors, .h5 and .keras files; "
    "fovea.keras.models.load_model reads whole models from the last two"
)


def _what_else(name: str, head: bytes) -> str:
    """What a file that is neither format looks like."""
    if not head:
        return f"{name} is empty."
    if head[8:9] == b"{":
        return f"{name} looks like a safetensors file, but its name does not end in .safetensors."
    for start, what in _KINDS.items():
        if head[:4].startswith(start) or head[4:8] == start:
            return f"{name} is not a file of weights: it is {what}."
    return f"{name} is not a file of weights: it begins with {head[:8].hex(' ')}."


_KINDS = {
    b"\x1f\x8b": "compressed by gzip; unpack it first",
    b"BZh": "compressed by bzip2; unpack it first",
    b"\xfd7zX": "compressed by xz; unpack it first",
    b"7z\xbc\xaf": "a 7-Zip archive; unpack it first",
    b"\x93NUM": "a NumPy array; numpy.load reads it",
    b"TFL3": "a TensorFlow Lite model",
    b"GGUF": "a GGUF model, which holds quantized weights",
    b"<htm": "a web page: what was downloaded is not the file",
    b"<!DO": "a web page: what was downloaded is not the file",
    b"vers": "a Git LFS pointer: fetch the file itself with git lfs pull",
}


# -- the zip format -------------------------------------------------------------------------------


def _read_zip(file: IO[bytes], whole: bool) -> Any:
    archive = StoredArchive(file, PickleError)
    if KERAS_WEIGHTS in archive.entries:
        return hdf5.load(io.BytesIO(archive.read(KERAS_WEIGHTS)))
    if "data.pkl" not in archive.entries:
        raise PickleError(_what_zip(archive.entries))
    turned = "byteorder" in archive.entries and archive.read("byteorder") != b"little"
    pickled = archive.read("data.pkl")
    storages: dict[str, Storage] = {}

    def fetch(key: str, nbytes: int, dtype: DType | None) -> Storage:
        if key not in storages:
            storages[key] = archive.read_storage(f"data/{key}", nbytes)
            if turned:
                _turn_bytes(storages[key], dtype)
        if storages[key].nbytes != nbytes:
            raise PickleError(f"the storage {key!r} is described with two sizes")
        return storages[key]

    persistent = persistent_reader(fetch)
    stream = io.BytesIO(pickled)
    return read_pickle(stream, len(pickled), TABLE, persistent, records=True, whole=whole)


def _turn_bytes(storage: Storage, dtype: DType | None) -> None:
    """Make a storage that a big-endian machine wrote one of this kind of machine."""
    if dtype is None:
        raise PickleError("its numbers are big-endian, and their types are missing")
    unit = dtype.itemsize // 2 if dtype.is_complex else dtype.itemsize
    numbers = np.frombuffer(bytes_of(storage), np.dtype(f"u{unit}"))
    numbers.byteswap(inplace=True)


# -- pickles without a format around them ---------------------------------------------------------


def _read_pickle(file: IO[bytes]) -> Any:
    """A file that ``pickle.dump`` wrote: arrays or tensors, which bring their storages along."""
    size = BoundedReader(file).left
    table = {**TABLE, "torch.storage._load_from_bytes": _storage_from}
    return read_pickle(BoundedReader(file), size, table, _refuse, records=True)  # type: ignore[arg-type]


def _storage_from(data: Any) -> TypedStorage:
    if not isinstance(data, bytes) or not is_legacy(data[:32]):
        raise PickleError("a storage has no bytes")
    storage = read_legacy(io.BytesIO(data), TABLE)
    if not isinstance(storage, TypedStorage):
        raise PickleError("a storage is none")
    return storage


def _refuse(pid: Any) -> Any:
    raise PickleError("it is a part of another file, to which it refers")


def _what_zip(entries: dict[str, zipfile.ZipInfo]) -> str:
    names = {info.filename for info in entries.values()}
    if names and all(name.endswith(".npy") for name in names):
        return "it is an archive of NumPy arrays; numpy.load reads it"
    if "config.json" in names and "metadata.json" in names:
        return "it is a Keras file without Keras's weights; try fovea.keras.models.load_model"
    return "it is a zip archive without the entry 'data.pkl' that torch.save writes"
