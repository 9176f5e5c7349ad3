"""Trained weights from the network, with the names and arguments of ``torch.hub``.

Files are kept in ``get_dir()``: ``$FOVEA_HOME/hub``, or ``fovea/hub`` in the user's cache folder.
Only tensors are read from them: nothing in a file runs.
"""

from __future__ import annotations

import os
import re
import sys
import urllib.parse
from pathlib import Path
from typing import Any

from fovea.errors import ArgumentError
from fovea.utils.download import download_file

__all__ = ["download_url_to_file", "get_dir", "load_state_dict_from_url", "set_dir"]

_HASH = re.compile(r"-([0-9a-f]{8,64})\.")  # in names of files, before the ending
_chosen: list[str] = []


def get_dir() -> str:
    """The folder of downloads: ``set_dir``'s, ``$FOVEA_HOME/hub``, or ``fovea/hub`` in the user's
    cache folder (``$XDG_CACHE_HOME``, ``~/.cache``).
    """
    if _chosen:
        return _chosen[-1]
    home = os.environ.get("FOVEA_HOME")
    if home:
        return os.path.join(os.path.expanduser(home), "hub")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return os.path.join(os.path.expanduser(base), "fovea", "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Choose the folder of downloads for this process."""
    _chosen[:] = [os.path.expanduser(os.fspath(d))]


def download_url_to_file(
    url: str, dst: str | os.PathLike[str], hash_prefix: str | None = None, progress: bool = True
) -> None:
    """Fetch a file; it appears under its name when it is whole.

    Args:
        url: its address.
        dst: where it goes, file name included.
        hash_prefix: the beginning of its SHA-256 digest, 8 digits or more.
        progress: show progress on a terminal.

    Raises:
        DownloadError: it could not be fetched, or has another digest.
    """
    path = os.path.expanduser(os.fspath(dst))
    download_file(url, path, sha256=hash_prefix, progress=progress, again=True)


def load_state_dict_from_url(
    url: str,
    model_dir: str | os.PathLike[str] | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> dict[str, Any]:
    """Read a file of weights, which is fetched first unless it is in the cache.

    A download that broke off is continued by the next call, if there is a digest to check.

    Args:
        url: its address.
        model_dir: the folder where it is kept; None: ``checkpoints`` in ``get_dir()``.
        map_location: accepted for compatibility; everything arrives on the CPU.
        progress: show progress on a terminal.
        check_hash: the file's name ends in the beginning of its SHA-256 digest, as in
            ``resnet18-f37072fd.pth``; another file is refused, also one in the cache.
        file_name: its name in the folder; None: that of the address.
        weights_only: accepted for compatibility; whatever it says, only plain data is read.

    Returns:
        What the file holds, usually tensors by name.

    Raises:
        DownloadError: it could not be fetched, or has another digest.
        FileFormatError: it is no file of weights.
        ArgumentError: no name can be found for it, or one that leads out of the folder.
    """
    from fovea.interop import load

    name = file_name or os.path.basename(urllib.parse.urlsplit(url).path)
    if not name or name in (".", "..") or os.path.basename(name) != name:
        raise ArgumentError(
            f"load_state_dict_from_url: {name!r} is no name of a file.", fix="pass file_name"
        )
    path = Path(model_dir or os.path.join(get_dir(), "checkpoints")).expanduser() / name
    digest = _HASH.search(name) if check_hash else None
    download_file(url, path, sha256=digest.group(1) if digest else None, progress=progress)
    return load(path, map_location, weights_only=weights_only)
