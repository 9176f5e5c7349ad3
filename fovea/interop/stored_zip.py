"""Zip archives whose entries are stored as they are: written aligned, read without trust."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from typing import IO

from fovea.interop.streams import bytes_of, read_fully
from fovea.storage import Storage

__all__ = ["StoredArchive", "write_entry"]

# Signature, ..., lengths of the name and of the extra field.
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ALIGNMENT = 64  # of the first byte of each entry
_ZIP64_EXTRA = 20


def write_entry(archive: zipfile.ZipFile, file: IO[bytes], name: str, data: memoryview) -> None:
    """One uncompressed entry whose data begins at a multiple of 64 bytes; its date is fixed, so
    equal contents give equal files.

    Args:
        archive: open for writing to ``file``.
        name, data: the entry.
    """
    info = zipfile.ZipInfo(name)
    info.file_size = data.nbytes
    # The limit is the one by which zipfile decides to add its own extra field.
    large = data.nbytes * 1.05 > zipfile.ZIP64_LIMIT
    start = file.tell() + 30 + len(info.filename) + 4 + (_ZIP64_EXTRA if large else 0)
    padding = -start % _ALIGNMENT
    info.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
    with archive.open(info, "w") as entry:
        entry.write(data)


class StoredArchive:
    """The entries of an uncompressed zip archive, by their name below the archive's one folder.

    Args:
        file: it can seek.
        error: what is raised, with a message about "it", where something is wrong.
    """

    def __init__(self, file: IO[bytes], error: type[Exception]) -> None:
        self.file, self.error = file, error
        self.size = file.seek(0, os.SEEK_END)
        try:
            directory = zipfile.ZipFile(file).infolist()
        except Exception as problem:  # a damaged directory raises nearly anything
            raise error(f"its zip directory is damaged or cut off ({problem})") from problem
        self.entries: dict[str, zipfile.ZipInfo] = {}
        for info in directory:
            name = info.filename.partition("/")[2] or info.filename
            if name in self.entries:
                raise error(f"it has two entries named {name!r}")
            self.entries[name] = info
        # Bytes that entries may still take, so that overlapping ones are found out.
        self.left = self.size

    def require(self, name: str) -> zipfile.ZipInfo:
        """What the directory says of an entry."""
        if name not in self.entries:
            raise self.error(f"its entry {name!r} is missing")
        return self.entries[name]

    def read(self, name: str) -> bytes:
        """An entry's bytes."""
        info = self.require(name)
        buffer = bytearray(self._claim(info))
        self._fill(info, memoryview(buffer))
        return bytes(buffer)

    def read_storage(self, name: str, nbytes: int) -> Storage:
        """An entry of so many bytes."""
        info = self.require(name)
        if info.file_size != nbytes:
            raise self.error(
                f"its entry {name!r} has {info.file_size:,} bytes where {nbytes:,} are expected"
            )
        storage = Storage(self._claim(info))
        self._fill(info, bytes_of(storage))
        return storage

    def _claim(self, info: zipfile.ZipInfo) -> int:
        """The entry's size, once it is sure that the file has that many bytes for it."""
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise self.error(f"its entry {info.filename!r} is compressed or encrypted")
        self.left -= info.file_size
        if info.file_size != info.compress_size or self.left < 0:
            raise self.error("its entries claim more bytes than the file has")
        return info.file_size

    def _fill(self, info: zipfile.ZipInfo, target: memoryview) -> None:
        header = b""
        if 0 <= info.header_offset < self.size:
            self.file.seek(info.header_offset)
            header = self.file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise self.error(f"its entry {info.filename!r} is not where its directory says")
        _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        self.file.seek(name_length + extra_length, os.SEEK_CUR)
        if read_fully(self.file, target) < len(target):
            raise self.error(f"its entry {info.filename!r} is cut short")
        # A checksum of 0 stands for "none" (torch.serialization.set_crc32_options).
        if info.CRC and zlib.crc32(target) != info.CRC:
            raise self.error(f"its entry {info.filename!r} is damaged (its checksum differs)")
