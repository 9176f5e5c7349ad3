"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import IO

__all__ = ["atomic_write", "atomic_write_text"]


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file to write to, which takes the name ``path`` when the block ends without an
    error.

    It is written beside its place under a temporary name, so that a full disk, a crash or Ctrl-C
    leaves the old file alone.

    Args:
        path: where the file is to lie; its folder must exist.

    Raises:
        OSError: the folder is missing or cannot be written to.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".part", dir=folder)
    except OSError as error:
        error.filename = folder if isinstance(error, FileNotFoundError) else target
        raise
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno and error.filename in (None, temporary):
            error.filename = target  # a full disk does not say where
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8 by way of ``atomic_write``."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


def _mode(target: str) -> int:
    """The permissions of the file that is replaced, or those a new file would get."""
    try:
        return os.stat(target).st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
