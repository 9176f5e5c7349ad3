"""PyTorch's first format, before version 0.1.10: a tar archive of storages, tensors and a pickle.

Source: ``torch.serialization._legacy_load`` of PyTorch 2.13, which still reads it.
"""

from __future__ import annotations

import io
import tarfile
from typing import IO, Any

from fovea.interop.pickle_objects import PickleError
from fovea.interop.pickle_read import read_pickle
from fovea.interop.records import ClassName
from fovea.interop.streams import BoundedReader, bytes_of
from fovea.interop.torch_table import StorageKind, TypedStorage, rebuilt
from fovea.storage import Storage

__all__ = ["is_tar", "read_tar"]

_MOST_DIMENSIONS = 64


def is_tar(head: bytes) -> bool:
    """Whether a file's first 512 bytes are a tar archive's."""
    return head[257:262] == b"ustar"


def read_tar(file: IO[bytes], table: dict[str, Any]) -> Any:
    """Read a file of the first format.

    Args:
        file: positioned at its first byte.
        table: what its pickles may name.

    Raises:
        ForbiddenNameError, PickleError: as ``read_pickle``.
    """
    size = BoundedReader(file).left
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            parts = {name: _member(archive, name, size) for name in ("storages", "tensors")}
            pickled = _member(archive, "pickle", size)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise PickleError(f"its tar archive is damaged ({error})") from error
    objects: dict[int, Any] = {}
    _storages(io.BytesIO(parts["storages"]), table, objects)
    _tensors(io.BytesIO(parts["tensors"]), table, objects)

    def persistent(pid: Any) -> Any:
        if isinstance(pid, tuple) and pid and isinstance(pid[0], ClassName):
            return pid[0]  # a module's class; its source, which follows, is never run
        return _known(objects, pid)

    return read_pickle(io.BytesIO(pickled), len(pickled), table, persistent, records=True)


def _member(archive: tarfile.TarFile, name: str, most: int) -> bytes:
    try:
        info = archive.getmember(name)
    except KeyError:
        raise PickleError(f"it is a tar archive without the entry {name!r} of weights") from None
    if not info.isreg() or info.issparse() or info.size > most:
        raise PickleError(f"its entry {name!r} is no plain file")
    content = archive.extractfile(info)
    data = b"" if content is None else content.read(info.size)
    if len(data) < info.size:
        raise PickleError(f"its entry {name!r} is cut short")
    return data


def _known(objects: dict[int, Any], key: Any) -> Any:
    text = key if isinstance(key, int) else str(key)
    if (isinstance(text, str) and not text.isdecimal()) or int(text) not in objects:
        raise PickleError(f"it refers to {key!r}, which it does not have")
    return objects[int(text)]


def _refuse(pid: Any) -> Any:
    raise PickleError("its lists refer to objects")


def _next(source: io.BytesIO, table: dict[str, Any]) -> Any:
    return read_pickle(source, len(source.getbuffer()), table, _refuse)


def _count(source: io.BytesIO, table: dict[str, Any]) -> int:
    count = _next(source, table)
    if type(count) is not int or not 0 <= count <= len(source.getbuffer()):
        raise PickleError("a list of the archive has no length")
    return count


def _integers(source: io.BytesIO, count: int) -> tuple[int, ...]:
    data = source.read(8 * count)
    if len(data) < 8 * count:
        raise PickleError("a list of the archive is cut short")
    parts = [data[i : i + 8] for i in range(0, len(data), 8)]
    return tuple(int.from_bytes(part, "little", signed=True) for part in parts)


def _storages(source: io.BytesIO, table: dict[str, Any], objects: dict[int, Any]) -> None:
    """The bytes, and parts of them that stand for themselves."""
    for _ in range(_count(source, table)):
        entry = _next(source, table)
        if not isinstance(entry, tuple) or len(entry) != 3 or type(entry[0]) is not int:
            raise PickleError("a storage is described wrongly")
        key, _, kind = entry
        if not isinstance(kind, StorageKind) or kind.dtype is None:
            raise PickleError("a storage has no type")
        (elements,) = _integers(source, 1)
        left = len(source.getbuffer()) - source.tell()
        if not 0 <= elements * kind.dtype.itemsize <= left:
            raise PickleError("its storages claim more bytes than the file has")
        storage = Storage(elements * kind.dtype.itemsize)
        bytes_of(storage)[:] = source.read(storage.nbytes)
        objects[key] = TypedStorage(storage, kind.dtype)
    views = _next(source, table) if source.tell() < len(source.getbuffer()) else []
    for view in views if isinstance(views, list | tuple) else ():
        if not isinstance(view, tuple) or len(view) != 4 or not all(type(n) is int for n in view):
            raise PickleError("a part of a storage is described wrongly")
        target, root, first, count = view
        whole = _known(objects, root)
        if min(first, count) < 0 or (first + count) * whole.dtype.itemsize > whole.storage.nbytes:
            raise PickleError("a part of a storage reaches outside it")
        objects[target] = TypedStorage(whole.storage, whole.dtype, whole.first + first)


def _tensors(source: io.BytesIO, table: dict[str, Any], objects: dict[int, Any]) -> None:
    for _ in range(_count(source, table)):
        entry = _next(source, {**table, **_TENSOR_TYPES})
        if not isinstance(entry, tuple) or len(entry) != 3 or type(entry[0]) is not int:
            raise PickleError("a tensor is described wrongly")
        dims = int.from_bytes(source.read(4), "little")
        source.read(4)
        if dims > _MOST_DIMENSIONS:
            raise PickleError("a tensor has too many dimensions")
        shape, strides = _integers(source, dims), _integers(source, dims)
        (offset,) = _integers(source, 1)
        storage = _known(objects, entry[1])
        objects[entry[0]] = rebuilt(storage, offset, shape, strides)


# Names of the tensors' types, which their storages tell as well.
_TENSOR_TYPES = {
    f"{module}.{kind}Tensor": None
    for module in ("torch", "torch.cuda")
    for kind in ("Byte", "Char", "Short", "Int", "Long", "Half", "Float", "Double")
}
