"""Where weights lie in a file: HDF5 as Keras writes it, or plain NumPy arrays."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fovea.dtypes import bfloat16
from fovea.errors import FileFormatError, MissingExtraError

__all__ = ["H5Store", "NpzStore", "h5py_or_none", "require_h5py"]

Entry = tuple[tuple[int, ...], Callable[[], np.ndarray[Any, Any]]]


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


def _array(weight: Any) -> np.ndarray[Any, Any]:
    array = weight._array()
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


class H5Store:
    """Weights in an HDF5 file, each part of the model a group with a group ``vars``."""

    def __init__(self, file: Any) -> None:
        self.file = file

    @classmethod
    def write(cls, target: Any, entries: Iterator[tuple[str, str, dict[str, Any]]]) -> None:
        """Write all weights to a path or an open file."""
        h5py = require_h5py("writing HDF5")
        with h5py.File(target, "w") as file:
            for path, name, weights in entries:
                group = file.require_group(f"{path}/vars" if path else "vars")
                group.attrs["name"] = name
                for key, w in weights.items():
                    group.create_dataset(key, data=_array(w))

    @classmethod
    @contextmanager
    def open(cls, source: Any) -> Iterator[H5Store]:
        """A store to read from a path or an open file.

        Raises:
            FileFormatError: the file is damaged or no HDF5 file.
        """
        h5py = require_h5py("reading HDF5")
        try:
            file = h5py.File(source, "r")
        except OSError as error:
            raise FileFormatError(f"this is no HDF5 file, or it is damaged ({error}).") from error
        with file:
            yield cls(file)

    def _group(self, path: str) -> Any:
        """The group at a path; None if it is not there.

        Raises:
            FileFormatError: a link that leads elsewhere: files must hold their own weights.
        """
        h5py = require_h5py("reading HDF5")
        found = self.file
        for name in path.split("/"):
            link = found.get(name, getlink=True) if isinstance(found, h5py.Group) else None
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                raise FileFormatError(f"the file links {path!r} to another place; it is not read.")
            found = found[name]
        return found

    def get(self, path: str) -> dict[str, Entry]:
        """Shape and reader of each weight of a part, by its name."""
        h5py = require_h5py("reading HDF5")
        group = self._group(f"{path}/vars" if path else "vars")
        if not isinstance(group, h5py.Group):
            return {}
        prefix = f"{path}/vars" if path else "vars"
        return {n: self._entry(f"{prefix}/{n}") for n in sorted(group, key=_by_number)}

    def _entry(self, path: str) -> Entry:
        h5py = require_h5py("reading HDF5")
        dataset = self._group(path)
        plain = (
            isinstance(dataset, h5py.Dataset) and not dataset.is_virtual and not dataset.external
        )
        # Keras marks what HDF5 has no type for.
        halved = plain and dataset.dtype == "V2" and dataset.attrs.get("dtype") == "bfloat16"
        if not plain or not (halved or dataset.dtype.kind in "fiub"):
            raise FileFormatError(f"{path!r} holds no array of numbers of its own.")
        kind = bfloat16.numpy if halved else dataset.dtype
        return tuple(dataset.shape), lambda: np.asarray(dataset[()]).view(kind)


class NpzStore:
    """Weights as plain ``.npy`` members of a zip; nothing in it is ever unpickled."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.arrays = arrays

    @classmethod
    def write(cls, target: Any, entries: Iterator[tuple[str, str, dict[str, Any]]]) -> None:
        """Write all weights to an open file."""
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for path, _, weights in entries:
                for key, w in weights.items():
                    buffer = io.BytesIO()
                    np.lib.format.write_array(buffer, _array(w), allow_pickle=False)
                    prefix = f"{path}/vars" if path else "vars"
                    archive.writestr(f"{prefix}/{key}.npy", buffer.getvalue())

    @classmethod
    @contextmanager
    def open(cls, source: Any) -> Iterator[NpzStore]:
        """A store to read from a path or an open file.

        Raises:
            FileFormatError: the file is damaged.
        """
        try:
            with np.load(source, allow_pickle=False) as arrays:
                yield cls(arrays)
        except (zipfile.BadZipFile, ValueError, EOFError) as error:
            if isinstance(error, FileFormatError):
                raise
            raise FileFormatError(f"the weights are damaged ({error}).") from error

    def get(self, path: str) -> dict[str, Entry]:
        """Shape and reader of each weight of a part, by its name."""
        prefix = f"{path}/vars/" if path else "vars/"
        names = [key.removeprefix(prefix) for key in self.arrays if key.startswith(prefix)]
        found: dict[str, Entry] = {}
        for name in sorted((n for n in names if "/" not in n), key=_by_number):
            array = np.asarray(self.arrays[prefix + name])
            found[name] = (array.shape, lambda a=array: a)  # type: ignore[misc]
        return found


def _by_number(name: str) -> tuple[int, str]:
    """Sorts weights that are numbered by their numbers, others by name."""
    return (int(name), "") if name.isdigit() else (-1, name)
