"""What an HDF5 file's heaps of texts would cost: how much text, counted as often as it is named.

Texts of any length lie in heaps, and a reference of 16 bytes names one. A small file may so name
the same large text thousands of times, and reading it would take memory for each. A heap whose
objects do not lie one behind the other makes the library walk in a circle for ever. There is no
way to ask the library beforehand, so the heaps are looked for in the file's bytes.
"""

from __future__ import annotations

import io
import mmap
import struct
from typing import IO, Any

from fovea.errors import FileFormatError

__all__ = ["repeated_bytes"]

_LARGE = 4096  # smaller texts cannot add up: an attribute has a few thousand at most
_MOST = 64  # Keras writes three or four large texts


def repeated_bytes(stream: IO[bytes], size: int) -> int:
    """Bytes of the large texts in a file's heaps, times how often its bytes may name each.

    Raises:
        FileFormatError: more large texts than a file of weights has, or a heap that is damaged.

    >>> repeated_bytes(io.BytesIO(b"no heap here"), 12)
    0
    """
    data = _mapped(stream, size)
    total = looked_at = 0
    place = data.find(b"GCOL\x01\0\0\0")
    while place >= 0:
        for number, length in _large_objects(data, place, size):
            looked_at += 1
            if looked_at > _MOST:
                raise FileFormatError(f"a file of weights holds at most {_MOST} large texts.")
            total += length * _count(data, struct.pack("<QI", place, number))
        place = data.find(b"GCOL\x01\0\0\0", place + 8)
    return total


def _mapped(stream: IO[bytes], size: int) -> Any:
    """The bytes of a file; without a copy where it is a file of the system's."""
    try:
        return mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ)
    except (OSError, ValueError, AttributeError, io.UnsupportedOperation):
        stream.seek(0)
        return stream.read()


def _large_objects(data: Any, place: int, size: int) -> list[tuple[int, int]]:
    """Number and length of the large objects in the heap that begins at a place."""
    if place + 16 > size:
        raise FileFormatError("a heap of texts is cut short.")
    end = place + struct.unpack("<Q", data[place + 8 : place + 16])[0]
    if end > size:
        raise FileFormatError("a heap of texts is larger than the file.")
    found, at = [], place + 16
    while at + 16 <= end:
        number, _, length = struct.unpack("<HH4xQ", data[at : at + 16])
        if number and length > _LARGE:
            found.append((number, min(length, size)))
        # Object 0 is what is left of the heap; its length counts its own head.
        step = 16 + -(-length // 8) * 8 if number else length
        if step < 16 or at + step > end:
            raise FileFormatError("a heap holds texts of impossible lengths.")
        at += step
    return found


def _count(data: Any, pattern: bytes) -> int:
    count, at = 0, data.find(pattern)
    while at >= 0:
        count, at = count + 1, data.find(pattern, at + 1)
    return count
