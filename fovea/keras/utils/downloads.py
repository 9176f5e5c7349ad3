"""Files from the network, kept in Keras's folder: what `fovea.utils.download` fetches, under
Keras's arguments.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import urllib.parse
import zipfile
from pathlib import Path
from typing import Any

from fovea.errors import ArgumentError, FileFormatError
from fovea.utils.archive import extract_archive
from fovea.utils.download import DownloadError, download_file

__all__ = ["DownloadError", "cache_folder", "get_file"]


def cache_folder() -> Path:
    """Where downloads are kept: ``$KERAS_HOME``, or ``~/.keras``."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))


def get_file(
    fname: str | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: Any = "auto",
    cache_dir: Any = None,
    force_download: bool = False,
) -> str:
    """The path of a file that is downloaded unless it is there already.

    Args:
        fname: its name in the cache (default: that of ``origin``); an absolute path is taken as it
            is.
        origin: the address.
        file_hash: its SHA-256 or MD5 digest in hexadecimal digits: a file with another is refused.
        cache_dir, cache_subdir: the folder: ``cache_dir/cache_subdir``.
        extract: unpack it (tar or zip), beside it in a folder with ``_extracted`` behind its name,
            and return that.
        force_download: even if it is there.

    Raises:
        DownloadError: the address cannot be read, or the digest differs.
        FileFormatError: the archive is broken, climbs out of its folder or is a bomb. Nothing of it
            is left behind.
    """
    if origin is None:
        raise ArgumentError("get_file: origin, the file's address, is needed.")
    name = fname or os.path.basename(urllib.parse.urlparse(origin).path)
    if not name:
        raise ArgumentError(f"get_file: {origin!r} names no file; pass fname.")
    folder = Path(cache_dir or cache_folder()) / cache_subdir
    target = Path(name) if os.path.isabs(name) else folder / name
    if not os.path.isabs(name) and not target.resolve().is_relative_to(folder.resolve()):
        raise ArgumentError(f"get_file: the name {name!r} leads out of the folder {folder}.")
    digest, algorithm = file_hash or md5_hash, hash_algorithm
    if algorithm == "auto":
        algorithm = "md5" if (md5_hash and not file_hash) or len(digest or "") == 32 else "sha256"
    if algorithm not in ("md5", "sha256"):
        raise ArgumentError(f"get_file: hash_algorithm is 'md5' or 'sha256', got {algorithm!r}.")
    checksum: dict[str, Any] = {algorithm: digest}
    download_file(origin, target, **checksum, again=force_download)
    if not (extract or untar):
        return str(target)
    return str(_extracted(target, archive_format, force_download))


def _extracted(archive: Path, archive_format: Any, again: bool) -> Path:
    """The folder with what an archive holds: there as a whole, or not at all."""
    target = archive.parent / f"{archive.name}_extracted"
    if target.exists() and not again:
        return target
    kinds = archive_format if isinstance(archive_format, list | tuple) else [archive_format]
    tests = {"tar": tarfile.is_tarfile, "zip": zipfile.is_zipfile}
    if "auto" not in kinds and not any(k in kinds and test(archive) for k, test in tests.items()):
        raise FileFormatError(f"get_file: {archive} is no archive of kind {archive_format!r}.")
    temporary = Path(tempfile.mkdtemp(dir=archive.parent, prefix=f".{archive.name}."))
    try:
        extract_archive(archive, temporary)
        if target.exists():
            shutil.rmtree(target)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target
