"""Archives unpacked safely: nothing lands outside the folder, nothing but plain files and folders
is made.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

from fovea.errors import FileFormatError, MissingFileError

__all__ = ["extract_archive"]

MOST_UNPACKED = 1 << 38  # bytes that an archive may hold: 256 GB
RATIO = 1000  # and no more than so many times its own size, where that is above 1 MiB
Opener = Callable[[], AbstractContextManager[IO[bytes] | None]]
Member = tuple[str, int, bool, Opener]  # name, bytes, whether a folder, how to open it

_BROKEN = (  # RuntimeError: encrypted, or a compression that Python lacks
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    RuntimeError,
)
_SINGLE: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_TAR = (".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")


def extract_archive(
    from_path: str | os.PathLike[str],
    to_path: str | os.PathLike[str] | None = None,
    remove_finished: bool = False,
) -> str:
    """Unpack a ``.zip``, a ``.tar`` (also ``.gz``, ``.bz2``, ``.xz``) or a single compressed file;
    where the name does not tell which, the contents do.

    Every file is written beside its place and then renamed, so a file that is there is whole.

    Args:
        from_path: the archive.
        to_path: the folder to unpack into (default: the archive's).
        remove_finished: delete the archive afterwards.

    Returns:
        The folder, or for a single compressed file the file.

    Raises:
        FileFormatError: the archive is missing, damaged or of an unknown kind; a member is a link
            or a device or would land outside the folder; or its contents do not fit on the disk,
            or are more than an honest archive of its size holds.

    >>> import tempfile, zipfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with zipfile.ZipFile(f"{folder}/a.zip", "w") as archive:
    ...         archive.writestr("x/y.txt", "hello")
    ...     _ = extract_archive(f"{folder}/a.zip")
    ...     open(f"{folder}/x/y.txt").read()
    'hello'
    """
    source = Path(from_path)
    target = Path(to_path) if to_path is not None else source.parent
    if not source.is_file():
        raise MissingFileError(f"extract_archive: there is no file {source}.")
    try:
        result = _extract(source, target)
    except FileFormatError:
        raise
    except _BROKEN as error:
        raise FileFormatError(
            f"extract_archive: {source} is damaged or cut short ({error}).",
            fix="delete it and fetch it again",
        ) from error
    if remove_finished:
        source.unlink()
    return str(result)


def _extract(source: Path, target: Path) -> Path:
    name = source.name.lower()
    single = name.endswith(tuple(_SINGLE)) and not name.endswith(_TAR)
    if name.endswith(".zip") or (not single and zipfile.is_zipfile(source)):
        with zipfile.ZipFile(source) as archive:
            return _unpack(source, target, list(_zip_members(archive)))
    if name.endswith(_TAR) or (not single and tarfile.is_tarfile(source)):
        with tarfile.open(source) as tar:
            return _unpack(source, target, list(_tar_members(source, tar)))
    for suffix, opener in _SINGLE.items():
        if name.endswith(suffix):
            result = target / source.name[: -len(suffix)]
            target.mkdir(parents=True, exist_ok=True)
            with opener(source, "rb") as stream:
                _write(stream, result, None)
            return result
    raise FileFormatError(
        f"extract_archive: {source} is no kind of archive known here (.zip, {', '.join(_TAR)},"
        f" {', '.join(_SINGLE)})."
    )


def _zip_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        yield info.filename, info.file_size, info.is_dir(), _zip_opener(archive, info)


def _zip_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Opener:
    return lambda: archive.open(info)


def _tar_members(source: Path, tar: tarfile.TarFile) -> Iterator[Member]:
    for info in tar:
        if not (info.isfile() or info.isdir()):
            raise FileFormatError(
                f"extract_archive: {source}: member {info.name!r} is a link or a device; only"
                " files and folders are unpacked."
            )
        yield info.name, info.size, info.isdir(), _tar_opener(tar, info)


def _tar_opener(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Opener:
    @contextmanager
    def opened() -> Iterator[IO[bytes] | None]:
        stream = tar.extractfile(info)
        yield stream

    return opened


def _unpack(source: Path, target: Path, members: list[Member]) -> Path:
    """Check every member, then write them all."""
    places = [_place(source, target, name) for name, *_ in members]
    target.mkdir(parents=True, exist_ok=True)
    needed, free = sum(size for _, size, *_ in members), shutil.disk_usage(target).free
    most = min(MOST_UNPACKED, max(source.stat().st_size, 1 << 20) * RATIO)
    if needed > most:
        raise FileFormatError(
            f"extract_archive: {source} would unpack to {needed:,} bytes, more than an honest "
            "archive of its size does."
        )
    if needed > free:
        raise FileFormatError(
            f"extract_archive: {source} unpacks to {needed:,} bytes, {free:,} are free at {target}."
        )
    for place, (_, size, is_folder, opened) in zip(places, members, strict=True):
        if is_folder:
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        with opened() as stream:
            assert stream is not None
            _write(stream, place, size)
    return target


def _place(source: Path, target: Path, name: str) -> Path:
    """Where a member goes; an error if that is outside ``target``."""
    root = target.resolve()
    # A backslash or a drive letter is a way out on Windows, so it is none anywhere.
    place = (root / name.replace("\\", "/")).resolve()
    drive = len(name) > 1 and name[1] == ":"
    if drive or name.startswith(("/", "\\")) or not place.is_relative_to(root):
        raise FileFormatError(
            f"extract_archive: {source}: member {name!r} would be written outside {target}."
        )
    return place


def _write(stream: IO[bytes], place: Path, size: int | None) -> None:
    """Copy to a file beside ``place`` and rename it; with ``size``, not a byte more or less."""
    partial = place.with_name(f"{place.name}.{os.getpid()}.part")
    try:
        with open(partial, "wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
            written = out.tell()
        if size is not None and written != size:
            raise EOFError(f"{place.name} has {written:,} bytes instead of {size:,}")
        os.replace(partial, place)
    finally:
        partial.unlink(missing_ok=True)
