"""HDF5 files, read without trust: what a file says of itself is held against its bytes.

Only links within the file are followed, only arrays of numbers and texts are read, and all that is
read together is at most a fixed multiple of the file. The format is that of the HDF5 File Format
Specification, version 3.0.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from fovea.dtypes import bfloat16
from fovea.errors import FileFormatError, MissingExtraError, MissingFileError
from fovea.interop.hdf5_heap import repeated_bytes

__all__ = ["H5File", "h5py_or_none", "load", "require_h5py", "trouble"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
Array = np.ndarray[Any, Any]
Entry = tuple[tuple[int, ...], Callable[[], Array]]
_SLACK = 64 << 20
_LARGEST_RATIO = 64  # what compression may save; weights hardly compress at all
_DEEPEST = 64


def h5py_or_none() -> Any:
    """The h5py package, or None."""
    try:
        import h5py
    except ImportError:
        return None
    return h5py


def require_h5py(what: str) -> Any:
    """The h5py package.

    Raises:
        MissingExtraError: it is not installed.
    """
    found = h5py_or_none()
    if found is None:
        raise MissingExtraError(f"{what} needs h5py.", fix="pip install 'fovea[keras]'")
    return found


@contextmanager
def trouble(name: str) -> Iterator[None]:
    """Within the block, whatever h5py raises of a damaged file becomes a FileFormatError."""
    try:
        yield
    except FileFormatError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise FileFormatError(
            f"{name} is damaged, or not an HDF5 file of weights ({error})."
        ) from error
    except (MemoryError, OverflowError, RecursionError) as error:
        raise FileFormatError(f"{name} is damaged: it asks for too much.") from error


class H5File:
    """An HDF5 file that is open for reading.

    Args:
        file: the ``h5py.File``.
        name: what errors call it.
        size: bytes of the file.
    """

    def __init__(self, file: Any, name: str, size: int) -> None:
        self.file, self.name = file, name
        self._size = size
        self._left = _LARGEST_RATIO * size + _SLACK

    @classmethod
    @contextmanager
    def open(cls, source: str | os.PathLike[str] | IO[bytes]) -> Iterator[H5File]:
        """The file at a path, or the one that an open binary file holds.

        Raises:
            FileFormatError: it is missing, damaged or no HDF5 file. MissingExtraError: no h5py.
        """
        h5py = require_h5py("reading HDF5")
        if isinstance(source, str | os.PathLike):
            path = os.fspath(source)
            if not os.path.isfile(path):
                raise MissingFileError(f"there is no file {path}.")
            with open(path, "rb") as opened:
                size = cls._checked(opened, path)
            yield from cls._of(h5py.File, path, path, size)
            return
        called = getattr(source, "name", None)
        name = called if isinstance(called, str) else "the file"
        size = cls._checked(source, name)
        yield from cls._of(h5py.File, source, name, size)

    @staticmethod
    def _checked(stream: IO[bytes], name: str) -> int:
        """The size of a file that may be opened."""
        stream.seek(0)
        head = stream.read(16)
        if head[:8] != SIGNATURE:
            raise FileFormatError(f"{name} is no HDF5 file: it begins with other bytes.")
        sizes = head[9:11] if head[8:9] > b"\x01" else head[13:15]
        if sizes != b"\x08\x08":  # what all write, and what the look at its heaps counts on
            raise FileFormatError(
                f"{name} is damaged: an HDF5 file with places and lengths of other sizes."
            )
        size = stream.seek(0, io.SEEK_END)
        with trouble(name):
            repeated = repeated_bytes(stream, size)
        if repeated > size + _SLACK:
            raise FileFormatError(f"{name} names the same text again and again; it is not read.")
        stream.seek(0)
        return size

    @classmethod
    def _of(cls, opener: Any, source: Any, name: str, size: int) -> Iterator[H5File]:
        with trouble(name):
            file = opener(source, "r")
            if file.userblock_size:
                raise FileFormatError(f"{name} holds something else before its HDF5 part.")
        try:
            yield cls(file, name, size)
        finally:
            file.close()

    # -- groups and arrays --------------------------------------------------------------------

    def find(self, path: str, start: Any = None) -> Any:
        """The group or array at a path (below ``start``); None if it is not there.

        Raises:
            FileFormatError: a link that leads elsewhere: files must hold their own weights.
        """
        h5py = require_h5py("reading HDF5")
        found = self.file if start is None else start
        with trouble(self.name):
            for part in path.split("/"):
                link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
                if link is None:
                    return None
                if not isinstance(link, h5py.HardLink):
                    raise FileFormatError(
                        f"{self.name} links {path!r} to another place; it is not read."
                    )
                found = found[part]
        return found

    def group(self, path: str, start: Any = None) -> Any:
        """The group at a path; None if it is not there, or no group."""
        found = self.find(path, start)
        return found if isinstance(found, require_h5py("reading HDF5").Group) else None

    def entry(self, path: str, start: Any = None) -> Entry:
        """Shape and reader of an array of numbers.

        Raises:
            FileFormatError: it is missing, not of numbers, or lies elsewhere; when it is read,
                too, if it claims more than the file holds.
        """
        dataset = self.find(path, start)
        with trouble(self.name):
            kind = self._kind(dataset)
            if kind is None:
                raise FileFormatError(
                    f"{self.name}: {path!r} holds no array of numbers of its own."
                )
            shape = tuple(dataset.shape)
        return shape, lambda: self._read(dataset, path, kind)

    @staticmethod
    def _kind(dataset: Any) -> np.dtype[Any] | None:
        """The dtype of an array of numbers that the file itself holds; None for anything else."""
        h5py = require_h5py("reading HDF5")
        if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
            return None
        if dataset.is_virtual or dataset.external:
            return None
        if dataset.dtype == "V2" and dataset.attrs.get("dtype") == "bfloat16":
            return np.dtype(bfloat16.numpy)  # Keras marks what HDF5 has no type for
        plain = dataset.dtype.kind in "fiub" and dataset.dtype.itemsize <= 8
        return dataset.dtype if plain else None

    def _read(self, dataset: Any, path: str, kind: np.dtype[Any]) -> Array:
        with trouble(self.name):
            nbytes = int(np.prod(dataset.shape, dtype=object)) * kind.itemsize
            stored, whole = dataset.id.get_storage_size(), dataset.chunks is None
        if nbytes and stored < (nbytes if whole else 1):
            raise FileFormatError(
                f"{self.name}: {path!r} claims {nbytes:,} bytes and holds {stored:,}."
            )
        self._left -= nbytes
        if self._left < 0:
            raise FileFormatError(
                f"{self.name}: with {path!r} it would unpack to far more than its own size."
            )
        with trouble(self.name):
            values = np.asarray(dataset[()])
            values = values.view(kind) if values.dtype.kind == "V" else values
            return values.astype(kind.newbyteorder("="), copy=False)

    def bytes_of(self, path: str, start: Any = None) -> int:
        """How many bytes an array of numbers claims; no more than reading it would allow.

        Raises:
            FileFormatError: there is none.
        """
        shape, _ = self.entry(path, start)
        count = int(np.prod([int(n) for n in shape], dtype=object))
        return min(4 * count, self._left)

    def arrays(self) -> Iterator[tuple[str, Entry]]:
        """Path, shape and reader of every array of numbers, sorted by path; each array once."""
        yield from self._walk(self.file, "", set(), 0)

    def _walk(self, group: Any, prefix: str, seen: set[Any], depth: int) -> Iterator[Any]:
        h5py = require_h5py("reading HDF5")
        if depth > _DEEPEST:
            raise FileFormatError(f"{self.name}: its groups lie deeper than {_DEEPEST} in another.")
        with trouble(self.name):
            names = sorted(group)
        for name in names:
            part = self.find(name, group)
            with trouble(self.name):
                key = None if part is None else h5py.h5o.get_info(part.id).addr
            if key is None or key in seen:
                continue
            seen.add(key)
            if isinstance(part, h5py.Group):
                yield from self._walk(part, f"{prefix}{name}/", seen, depth + 1)
            elif self._is_numbers(part):
                yield prefix + name, self.entry(name, group)

    def _is_numbers(self, part: Any) -> bool:
        with trouble(self.name):
            return self._kind(part) is not None

    # -- attributes ---------------------------------------------------------------------------

    def texts(self, owner: Any, name: str) -> list[str] | None:
        """The texts of an attribute (one, if it is no list of them); None if it is not there.

        Raises:
            FileFormatError: the attribute holds no text.
        """
        with trouble(self.name):
            if name not in owner.attrs:
                return None
            attribute = owner.attrs.get_id(name)
            count = int(np.prod(attribute.shape or (), dtype=object))
            if count and attribute.dtype.kind not in "SO":
                raise FileFormatError(f"{self.name}: the attribute {name!r} holds no text.")
            if not count:
                return []
            if attribute.get_storage_size() > self._size:
                raise FileFormatError(f"{self.name}: the attribute {name!r} is too large.")
            values = owner.attrs[name]
            return [self._text(v, name) for v in np.asarray(values, dtype=object).ravel()]

    def _text(self, value: Any, name: str) -> str:
        if isinstance(value, bytes):
            value = value.decode("utf-8")
        if not isinstance(value, str):
            raise FileFormatError(f"{self.name}: the attribute {name!r} holds no text.")
        return value

    def text(self, owner: Any, name: str) -> str | None:
        """The text of an attribute; None if it is not there."""
        found = self.texts(owner, name)
        return found[0] if found else None


def load(source: str | os.PathLike[str] | IO[bytes]) -> dict[str, Any]:
    """All arrays of numbers in an HDF5 file, by their paths.

    Raises:
        FileFormatError: the file is missing, damaged or no HDF5 file. MissingExtraError: no h5py.
    """
    from fovea.functions import creation

    with H5File.open(source) as file:
        found = {path: read() for path, (_, read) in file.arrays()}
    return {path: creation.from_numpy(values) for path, values in found.items()}
