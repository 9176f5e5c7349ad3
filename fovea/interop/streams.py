"""Reading files whose headers may lie about their sizes."""

from __future__ import annotations

import os
from typing import IO

import numpy as np

from fovea.storage import Storage

__all__ = ["BoundedReader", "bytes_of", "read_fully"]


def read_fully(file: IO[bytes], target: memoryview) -> int:
    """Fill ``target`` from a file; returns how many bytes there were."""
    done = 0
    while done < len(target):
        if hasattr(file, "readinto"):
            count = file.readinto(target[done:])
        else:
            part = file.read(min(len(target) - done, 1 << 20))
            count = len(part)
            target[done : done + count] = part
        if not count:
            break
        done += count
    return done


class BoundedReader:
    """A file from which nobody can ask more bytes than it has (Python would set memory aside for
    them first)."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        here = file.tell()
        self.end = file.seek(0, os.SEEK_END)
        file.seek(here)

    @property
    def left(self) -> int:
        """Bytes from here to the end."""
        return self.end - self.file.tell()

    def tell(self) -> int:
        return self.file.tell()

    def read(self, count: int) -> bytes:
        return self.file.read(max(0, min(count, self.left)))

    def readline(self) -> bytes:
        return self.file.readline()


def bytes_of(storage: Storage) -> memoryview:
    """A storage's bytes, to read from or write to."""
    return memoryview(storage.array((storage.nbytes,), (1,), 0, np.dtype(np.uint8)).data)
