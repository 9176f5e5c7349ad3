"""PyTorch's format before version 1.6: five pickles, then the storages' bytes in the order the
last one lists."""

from __future__ import annotations

from typing import IO, Any

from fovea.dtypes import DType
from fovea.interop.pickle_objects import PickleError
from fovea.interop.pickle_read import read_pickle
from fovea.interop.streams import BoundedReader, bytes_of, read_fully
from fovea.interop.torch_table import persistent_reader
from fovea.storage import Storage

__all__ = ["is_legacy", "read_legacy"]

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


def is_legacy(head: bytes) -> bool:
    """Whether a file's first bytes are the pickle, of any protocol, of the format's number."""
    number = b"\x8a\x0a" + _MAGIC_NUMBER.to_bytes(10, "little") + b"."
    return head[:1] == b"\x80" and number in head[:32]


def _refuse(pid: Any) -> Any:
    raise PickleError("its head refers to storages")


def read_legacy(file: IO[bytes], table: dict[str, Any]) -> Any:
    """Read a file of the old format.

    Args:
        file: positioned at its first byte.
        table: what its pickle may name.

    Raises:
        ForbiddenNameError, PickleError: as ``read_pickle``.
    """
    source: Any = BoundedReader(file)
    storages: dict[str, Storage] = {}
    left = source.left

    def fetch(key: str, nbytes: int, dtype: DType | None) -> Storage:
        nonlocal left
        if key not in storages:
            left -= nbytes
            if left < 0:
                raise PickleError("its storages claim more bytes than the file has")
            storages[key] = Storage(nbytes)
        if storages[key].nbytes != nbytes:
            raise PickleError(f"the storage {key!r} is described with two sizes")
        return storages[key]

    read_pickle(source, source.left, {}, _refuse)  # the magic number, which the caller has seen
    if read_pickle(source, source.left, {}, _refuse) != _PROTOCOL:
        raise PickleError("it is of an unknown version")
    facts = read_pickle(source, source.left, {}, _refuse)
    if not isinstance(facts, dict):  # storages are little-endian, whatever machine wrote them
        raise PickleError("its facts about the machine are missing")
    result = read_pickle(source, source.left, table, persistent_reader(fetch), records=True)
    keys = read_pickle(source, source.left, {}, _refuse)
    if (
        not isinstance(keys, list)
        or set(map(str, keys)) != set(storages)
        or len(keys) != len(storages)
    ):
        raise PickleError("its list of storages does not fit what its tensors refer to")
    for key in keys:
        _fill(storages[str(key)], source)
    return result


def _fill(storage: Storage, source: BoundedReader) -> None:
    """Read a storage's bytes: a 64-bit count of elements, then the elements."""
    count = int.from_bytes(source.read(8), "little")
    if storage.nbytes not in [count * itemsize for itemsize in (1, 2, 4, 8)]:
        raise PickleError("a storage has another length than its tensors say")
    if read_fully(source.file, bytes_of(storage)) < storage.nbytes:
        raise PickleError("it is cut short within its storages")
