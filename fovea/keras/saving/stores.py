"""Where weights lie in a file: HDF5 as Keras writes it, or plain NumPy arrays."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fovea.errors import FileFormatError
from fovea.interop.hdf5 import Entry, H5File, require_h5py, trouble

__all__ = ["H5Store", "NpzStore"]


def _array(weight: Any) -> np.ndarray[Any, Any]:
    array = weight._array()
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


class H5Store:
    """Weights in an HDF5 file, each part of the model a group with a group ``vars``."""

    def __init__(self, file: H5File) -> None:
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
        with H5File.open(source) as file:
            yield cls(file)

    def get(self, path: str) -> dict[str, Entry]:
        """Shape and reader of each weight of a part, by its name."""
        prefix = f"{path}/vars" if path else "vars"
        group = self.file.group(prefix)
        if group is None:
            return {}
        with trouble(self.file.name):
            names = sorted(group, key=_by_number)
        return {n: self.file.entry(f"{prefix}/{n}") for n in names}


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
