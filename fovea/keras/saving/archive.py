"""``.keras`` files: a zip of the configuration and the weights, in Keras's own layout.

Reading runs no code from the file, opens nothing but its three members, and checks their sizes.
"""

from __future__ import annotations

import datetime
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fovea.errors import ArgumentError, FileFormatError, MissingFileError
from fovea.interop.hdf5 import SIGNATURE, h5py_or_none, require_h5py
from fovea.keras.layers.weights import limited_weights
from fovea.keras.objects import deserialize_keras_object, serialize_keras_object
from fovea.keras.saving.legacy.files import (
    is_h5,
    is_older_form,
    load_h5_model,
    load_h5_weights,
    model_of,
    save_h5_model,
    save_h5_weights,
)
from fovea.keras.saving.stores import H5Store, NpzStore
from fovea.keras.saving.weights import load_into, weight_entries
from fovea.training.checkpoint import atomic_path
from fovea.version import __version__

__all__ = [
    "check_model_path",
    "check_weights_path",
    "load_model",
    "load_weights",
    "save_model",
    "save_weights",
]

CONFIG, METADATA = "config.json", "metadata.json"
WEIGHTS_H5, WEIGHTS_NPZ = "model.weights.h5", "model.weights.npz"
LARGEST_TEXT = 64 << 20


def check_model_path(filepath: Any) -> Path:
    """The path of a ``.keras`` file, or of an ``.h5`` or ``.hdf5`` file in Keras's older form.

    Raises:
        ArgumentError: another ending.
    """
    path = Path(os.fspath(filepath))
    if path.suffix != ".keras" and not is_h5(path):
        raise ArgumentError(
            f"a model is saved to a .keras file (or .h5), got {path.name!r}.",
            fix=f"{path.with_suffix('.keras')}, or save_weights('....weights.h5')",
        )
    return path


def check_weights_path(filepath: Any) -> Path:
    """The path of a ``.weights.h5`` file, or of an ``.h5`` file in Keras's older form.

    Raises:
        ArgumentError: another ending.
    """
    path = Path(os.fspath(filepath))
    if not path.name.endswith(".weights.h5") and not is_h5(path):
        raise ArgumentError(
            f"weights are saved to a .weights.h5 file, got {path.name!r}.",
            fix=f"{path.stem}.weights.h5",
        )
    return path


# -- writing ----------------------------------------------------------------------------------


def save_model(
    model: Any, filepath: Any, overwrite: bool = True, zipped: Any = None, **kwargs: Any
) -> None:
    """Write a model's configuration, weights and compilation to a ``.keras`` file.

    A name that ends in ``.h5`` or ``.hdf5`` gives Keras's older form, which needs h5py;
    ``include_optimizer=False`` leaves the compilation out of it.

    The file is written beside its place and renamed: it is whole or not there. Keras reads it, if
    h5py is installed (without it the weights are plain NumPy arrays).

    Raises:
        ArgumentError: another ending, a file that may not be overwritten, or parts that cannot be
            described (lambdas, wrapped modules).
    """
    path = check_model_path(filepath)
    if is_h5(path):
        include = kwargs.pop("include_optimizer", True)
        _check_writable(path, overwrite, kwargs)
        save_h5_model(model, path, include)
        return
    _check_writable(path, overwrite, kwargs)
    text = json.dumps(serialize_keras_object(model))
    now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    metadata = {"keras_version": "3.0.0", "date_saved": now, "fovea_version": __version__}
    weights = io.BytesIO()
    with_h5 = h5py_or_none() is not None
    (H5Store if with_h5 else NpzStore).write(weights, weight_entries(model))
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(METADATA, json.dumps(metadata))
        archive.writestr(CONFIG, text)
        archive.writestr(WEIGHTS_H5 if with_h5 else WEIGHTS_NPZ, weights.getbuffer())


def save_weights(
    model: Any, filepath: Any, overwrite: bool = True, max_shard_size: Any = None, **kwargs: Any
) -> None:
    """Write a model's weights to a ``.weights.h5`` file, which Keras reads, too.

    Another name that ends in ``.h5`` or ``.hdf5`` gives Keras's older form.

    Raises:
        MissingExtraError: h5py is not installed. ArgumentError: see ``save_model``.
    """
    path = check_weights_path(filepath)
    require_h5py("save_weights")
    if max_shard_size is not None:
        raise ArgumentError("save_weights: max_shard_size is not available.")
    _check_writable(path, overwrite, kwargs)
    if is_h5(path):
        save_h5_weights(model, path)
        return
    with atomic_path(path) as temporary:
        H5Store.write(temporary, weight_entries(model))


def _check_writable(path: Path, overwrite: bool, unknown: dict[str, Any]) -> None:
    if unknown:
        raise ArgumentError(f"saving: unknown arguments {sorted(unknown)}.")
    if path.exists() and not overwrite:
        raise ArgumentError(f"{path} exists.", fix="pass overwrite=True, or another name")


# -- reading ----------------------------------------------------------------------------------


def load_model(
    filepath: Any, custom_objects: Any = None, compile: bool = True, safe_mode: bool = True
) -> Any:
    """Read a model from a ``.keras`` file, or an ``.h5`` file of Keras 1, 2 or 3.

    Args:
        custom_objects: classes and functions that the file names.
        compile: compile it as it was.
        safe_mode: accepted; code in files never runs.

    Raises:
        FileFormatError: a file that is missing, damaged or not what it says.
        ArgumentError: unknown classes, or layers that need code from the file.
        MissingExtraError: an ``.h5`` file, and h5py is not installed.
    """
    path = Path(os.fspath(filepath))
    if _is_older(path):
        return load_h5_model(path, custom_objects, compile)
    with _opened(path) as archive:
        config = _read_json(path, archive, CONFIG)
        if not compile and isinstance(config, dict):
            config.pop("compile_config", None)
        with limited_weights(_bytes_of_weights(archive)):
            model = model_of(path, lambda: deserialize_keras_object(config, custom_objects))
        with _weights_of(path, archive, _expected_bytes(model)) as store:
            load_into(model, store)
    return model


def load_weights(
    model: Any, filepath: Any, skip_mismatch: bool = False, *, by_name: bool = False, **kwargs: Any
) -> None:
    """Read weights from a ``.weights.h5`` or a ``.keras`` file into a model with the same parts.

    Other ``.h5`` and ``.hdf5`` files are read as Keras 1 and 2 wrote them: a model's layers take
    the file's in order, or, with ``by_name=True``, those of the same names.

    Args:
        model: what takes them.
        filepath: the file.
        skip_mismatch: leave out what does not fit.
        by_name: for ``.h5`` files of Keras's older form only.

    Raises:
        FileFormatError: a file that is missing or damaged. ShapeError: weights that do not fit.
        MissingExtraError: h5py is not installed.
    """
    if kwargs:
        raise ArgumentError(f"load_weights: unknown arguments {sorted(kwargs)}.")
    path = Path(os.fspath(filepath))
    if _is_older(path):
        load_h5_weights(model, path, by_name, skip_mismatch)
        return
    if by_name:
        raise ArgumentError(
            "load_weights: by_name=True is for .h5 files of Keras's older form.",
            fix="pass skip_mismatch=True to load what fits",
        )
    if path.suffix == ".keras":
        with _opened(path) as archive, _weights_of(path, archive, _expected_bytes(model)) as store:
            load_into(model, store, skip_mismatch)
        return
    check_weights_path(path)
    if not path.is_file():
        raise MissingFileError(f"load_weights: there is no file {path}.")
    with H5Store.open(path) as store:
        load_into(model, store, skip_mismatch)


def _is_older(path: Path) -> bool:
    """Whether a file is HDF5 in Keras's older form, whatever ``.weights.h5`` in its name says."""
    if is_h5(path) or not path.is_file():
        return is_h5(path)
    with open(path, "rb") as file:
        if file.read(8) != SIGNATURE:
            return False
    return path.suffix != ".keras" and is_older_form(path)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    if not path.is_file():
        raise MissingFileError(f"load_model: there is no file {path}.")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        with open(path, "rb") as file:
            if file.read(8) == SIGNATURE:
                raise FileFormatError(
                    f"{path.name} holds weights without a model.",
                    fix="build the model here, then model.load_weights(path)",
                ) from error
        raise FileFormatError(
            f"{path.name} is no .keras file, or it is damaged ({error}).",
            fix="a .keras file is a zip archive; save the model again",
        ) from error


def _member(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> zipfile.ZipInfo:
    """A member that is there, is there once, and is not larger than it may be."""
    found = [info for info in archive.infolist() if info.filename == name]
    if len(found) != 1:
        raise FileFormatError(f"{path.name} holds {len(found)} members {name!r}, not one.")
    if found[0].file_size > limit:
        raise FileFormatError(
            f"{path.name}: {name} would unpack to {found[0].file_size:,} bytes; "
            f"this model needs at most {limit:,}."
        )
    return found[0]


def _read_json(path: Path, archive: zipfile.ZipFile, name: str) -> Any:
    info = _member(path, archive, name, LARGEST_TEXT)
    try:
        return json.loads(archive.read(info))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path.name}: {name} is no valid JSON ({error}).") from error


def _bytes_of_weights(archive: zipfile.ZipFile) -> int:
    """More than the weights take that an archive holds."""
    held = [i.file_size for i in archive.infolist() if i.filename in (WEIGHTS_H5, WEIGHTS_NPZ)]
    return 4 * sum(held) + (16 << 20)


def _expected_bytes(model: Any) -> int:
    """More than the weights and the states of an optimizer can take."""
    return 16 * sum(w.numel() * max(w.dtype.itemsize, 4) for w in model.weights) + (64 << 20)


@contextmanager
def _weights_of(path: Path, archive: zipfile.ZipFile, limit: int) -> Iterator[Any]:
    """The weights' store, unpacked to a temporary file."""
    names = {info.filename for info in archive.infolist()}
    name = WEIGHTS_H5 if WEIGHTS_H5 in names else WEIGHTS_NPZ
    info = _member(path, archive, name, limit)
    with tempfile.TemporaryFile() as unpacked:
        with archive.open(info) as stream:
            left = info.file_size
            while left > 0:
                chunk = stream.read(min(left, 1 << 20))
                if not chunk:
                    raise FileFormatError(f"{path.name}: {name} is cut short.")
                unpacked.write(chunk)
                left -= len(chunk)
        unpacked.seek(0)
        store = H5Store if name == WEIGHTS_H5 else NpzStore
        with store.open(unpacked) as opened:
            yield opened
