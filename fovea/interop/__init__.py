"""Files of tensors: ``fovea.save`` and ``fovea.load``, safe to read whoever wrote them.

Two formats. A name that ends in ``.safetensors`` gives that format: a flat dict of tensors. Any
other name gives PyTorch's (``.pt``, ``.pth``): nested dicts, lists and tuples of tensors, numbers
and strings, which ``torch.load`` reads as well.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any

from fovea.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["load", "save"]

PathOrFile = str | os.PathLike[str] | IO[bytes]


def save(obj: Any, f: PathOrFile, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors, and the dicts and lists that hold them, to a file.

    The file appears under its name only when it is complete. Tensors that share memory still share
    it when they are loaded.

    Args:
        obj: a state dict, or any nesting of dicts, lists and tuples of tensors, numbers, strings,
            bytes, dtypes, devices and None; also arrays of numbers, sets, paths and the namespaces
            of ``argparse``; or a module as a whole, by the name of its class. For
            ``.safetensors`` a dict of tensors by name.
        f: a path, or a binary file open for writing.
        metadata: strings by name to keep in the header (``.safetensors`` only).

    Raises:
        ArgumentError: something in ``obj`` is of a kind that a file cannot hold; the message says
            where it is.

    >>> import tempfile, fovea
    >>> path = tempfile.mkdtemp() + "/weights.pt"
    >>> save({"weight": fovea.ones(2), "epoch": 3}, path)
    >>> load(path)
    {'weight': tensor([1., 1.]), 'epoch': 3}
    """
    if _is_safetensors(f):
        from fovea.interop import safetensors

        safetensors.save_file(obj, f, metadata)  # type: ignore[arg-type]
        return
    if metadata is not None:
        raise ArgumentError(
            "save: metadata belongs to .safetensors files.",
            fix="put it into the dict beside the tensors",
        )
    from fovea.interop import torch_zip

    torch_zip.save(obj, f)


def load(
    f: PathOrFile,
    map_location: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    sha256: str | None = None,
) -> Any:
    """Read what ``fovea.save``, ``torch.save`` or Keras wrote. No code in the file ever runs.

    Of Keras's files (``.keras``, ``.h5``, ``.hdf5``, told by their first bytes) it gives the arrays
    by their paths in the file; `fovea.keras.models.load_model` gives the model. They need h5py.

    Args:
        f: a path, a binary file open for reading that can seek, or an address: ``https://...`` or
            ``hf://organization/repository[/file][@revision]`` (``fovea.interop.sources``).
        map_location: accepted for compatibility; everything arrives on the CPU.
        weights_only: False: a module that ``save`` wrote as a whole is made again, if the program
            has its class: its attributes are set, and nothing in the file runs. Otherwise only
            plain data is read.
        mmap: accepted for compatibility; the file is read into memory.
        sha256: of an address: the file's digest, or the first 8 digits of it or more.

    Returns:
        The nesting as it was saved; of Keras's files and ``.safetensors`` a dict. A whole module, a
        TorchScript program or another object of a class that is not here is a ``Record`` of what
        it holds; its ``state_dict()`` gives the weights.

    Raises:
        FileFormatError: the file is missing, cut short, damaged, of another kind, or asks for
            anything but plain data and tensors.
        MissingExtraError: one of Keras's files, and h5py is not installed.
    """
    if isinstance(map_location, str):
        from fovea import devices

        devices.as_device(map_location)
    if isinstance(f, str) and f.lower().startswith(("http://", "https://", "hf://")):
        from fovea.interop.sources import load_from

        return load_from(f, sha256=sha256)
    if _is_safetensors(f):
        from fovea.interop import safetensors

        return safetensors.load_file(f)  # type: ignore[arg-type]
    from fovea.interop import torch_read

    return torch_read.load(f, whole=weights_only is False)


def _is_safetensors(f: PathOrFile) -> bool:
    return isinstance(f, str | os.PathLike) and os.fspath(f).lower().endswith(".safetensors")
