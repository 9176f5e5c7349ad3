"""Files from the network, kept in a folder: checked, unpacked with care, never half there."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

from fovea.errors import ArgumentError, FileFormatError
from fovea.training.progress import Progbar

__all__ = ["DownloadError", "cache_folder", "get_file"]

_CHUNK = 1 << 20
_TIMEOUT = 60.0
_MOST_UNPACKED = 1 << 38  # bytes that an archive may hold: 256 GB
_RATIO = 1000  # and no more than so many times the archive's own size


class DownloadError(FileFormatError, OSError):
    """A file could not be had, or is not the one that was asked for."""


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
        DownloadError: the address cannot be read, the digest differs, or the archive is broken,
            climbs out of its folder or is a bomb. Nothing is left behind.
    """
    if origin is None:
        raise ArgumentError("get_file: origin, the file's address, is needed.")
    name = fname or os.path.basename(urllib.parse.urlparse(origin).path)
    if not name:
        raise ArgumentError(f"get_file: {origin!r} names no file; pass fname.")
    digest = file_hash or md5_hash
    algorithm = "md5" if md5_hash and not file_hash else hash_algorithm
    folder = Path(cache_dir or cache_folder()) / cache_subdir
    target = Path(name) if os.path.isabs(name) else folder / name
    _check_inside(folder, target, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    if force_download or not target.exists() or not _fits(target, digest, algorithm):
        _download(origin, target, digest, algorithm)
    if not (extract or untar):
        return str(target)
    return str(_extracted(target, archive_format, force_download))


def _check_inside(folder: Path, target: Path, name: str) -> None:
    if not os.path.isabs(name) and not target.resolve().is_relative_to(folder.resolve()):
        raise ArgumentError(f"get_file: the name {name!r} leads out of the folder {folder}.")


def _hasher(digest: str, algorithm: str) -> Any:
    if algorithm == "auto":
        algorithm = "md5" if len(digest) == 32 else "sha256"
    if algorithm not in ("md5", "sha256"):
        raise ArgumentError(f"get_file: hash_algorithm is 'md5' or 'sha256', got {algorithm!r}.")
    return hashlib.new(algorithm, usedforsecurity=False)


def _fits(path: Path, digest: str | None, algorithm: str) -> bool:
    if digest is None:
        return True
    hasher = _hasher(digest, algorithm)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return bool(hasher.hexdigest() == digest.lower())


def _download(origin: str, target: Path, digest: str | None, algorithm: str) -> None:
    """Into a file beside the target, which takes its place once it is whole and right."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            _fetch(origin, file)
        if not _fits(Path(temporary), digest, algorithm):
            raise DownloadError(
                f"get_file: {origin} is not the file that was asked for: its digest differs.",
                {"wanted": str(digest)},
                "try again, or check file_hash",
            )
        os.replace(temporary, target)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _fetch(origin: str, file: Any) -> None:
    try:
        with urllib.request.urlopen(origin, timeout=_TIMEOUT) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            bar = Progbar(total) if total > 8 * _CHUNK else None
            done = 0
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                if bar is not None:
                    bar.update(min(done, total))
            if total and done != total:
                raise DownloadError(f"get_file: {origin} broke off after {done} of {total} bytes.")
    except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError) as error:
        raise DownloadError(f"get_file: {origin} cannot be read: {error}.") from error


def _extracted(archive: Path, archive_format: Any, again: bool) -> Path:
    """The folder with what an archive holds."""
    target = archive.parent / f"{archive.name}_extracted"
    if target.exists() and not again:
        return target
    temporary = Path(tempfile.mkdtemp(dir=archive.parent, prefix=f".{archive.name}."))
    try:
        _unpack(archive, temporary, archive_format)
        if target.exists():
            shutil.rmtree(target)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _unpack(archive: Path, folder: Path, archive_format: Any) -> None:
    kinds = archive_format if isinstance(archive_format, list | tuple) else [archive_format]
    zips, tars = ("zip" in kinds or "auto" in kinds), ("tar" in kinds or "auto" in kinds)
    most = min(_MOST_UNPACKED, max(archive.stat().st_size, _CHUNK) * _RATIO)
    try:
        if tars and tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                members = tar.getmembers()
                _check_sizes(archive, sum(m.size for m in members), most)
                tar.extractall(folder, members, filter="data")
        elif zips and zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                infos = file.infolist()
                _check_sizes(archive, sum(i.file_size for i in infos), most)
                for info in infos:
                    if not (folder / info.filename).resolve().is_relative_to(folder.resolve()):
                        raise DownloadError(
                            f"get_file: {archive} holds {info.filename!r}, outside of its folder."
                        )
                file.extractall(folder)
        else:
            raise DownloadError(f"get_file: {archive} is no archive of kind {archive_format!r}.")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise DownloadError(f"get_file: {archive} cannot be unpacked: {error}.") from error


def _check_sizes(archive: Path, total: int, most: int) -> None:
    if total > most:
        raise DownloadError(
            f"get_file: {archive} would unpack to {total} bytes, more than an honest archive does."
        )
