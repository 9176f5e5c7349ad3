"""Files fetched over HTTP: checked, resumed, from mirrors, and in place only when whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO

from fovea.errors import ArgumentError, FileFormatError
from fovea.utils.archive import extract_archive

__all__ = ["DownloadError", "check_integrity", "download_and_extract_archive", "download_file"]

CHUNK = 1 << 18
ATTEMPTS = 3  # a mirror: a connection that broke is taken up again where it stopped
Progress = Callable[[int, int | None], None]


class DownloadError(FileFormatError, RuntimeError):
    """A file that no mirror delivered whole."""


class _WrongContentError(Exception):
    """Everything arrived, and it is not the file wanted."""


@dataclass(frozen=True)
class Checksum:
    """What a file's bytes must hash to; either may be None.

    Of ``sha256`` the beginning is enough, as in the names of PyTorch's files: 8 digits or more.
    """

    md5: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if self.sha256 is not None and not re.fullmatch("[0-9a-fA-F]{8,64}", self.sha256):
            raise ArgumentError(
                f"a SHA-256 checksum has 64 hexadecimal digits (its beginning at least 8), got "
                f"{self.sha256!r}."
            )

    def __bool__(self) -> bool:
        return self.md5 is not None or self.sha256 is not None

    def difference(self, path: Path) -> str | None:
        """None if the file has this checksum, else what it has instead."""
        for name, wanted in (("md5", self.md5), ("sha256", self.sha256)):
            if wanted is not None:
                found = _hash(path, name)
                same = found == wanted.lower() or (
                    name == "sha256" and found.startswith(wanted.lower())
                )
                if not same:
                    return f"its {name} is {found}, expected {wanted.lower()}"
        return None


def check_integrity(
    path: str | os.PathLike[str], md5: str | None = None, *, sha256: str | None = None
) -> bool:
    """Whether a file is there and has the checksum.

    >>> check_integrity("no such file")
    False
    """
    place = Path(path)
    return place.is_file() and Checksum(md5, sha256).difference(place) is None


def download_file(
    urls: str | Sequence[str],
    path: str | os.PathLike[str],
    *,
    md5: str | None = None,
    sha256: str | None = None,
    progress: bool | Progress = True,
    timeout: float = 30.0,
    again: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Path:
    """Fetch a file unless it is there already with the right checksum.

    It arrives as ``<name>.part`` and is renamed when whole. A part that an earlier call left is
    continued (HTTP ``Range``) where there is a checksum to prove the result; of several processes
    that want the same file, one fetches it.

    Args:
        urls: where it is, mirrors in the order to try.
        path: where it goes, file name included.
        md5: its checksum (MD5 guards against damage, not against malice).
        sha256: its checksum, or the first 8 digits of it or more.
        progress: show progress on a terminal, or a function that takes bytes so far and bytes in
            all (or None).
        timeout: seconds without any byte before a connection is given up.
        again: fetch it even if it is there; the old file stays until the new one is whole.
        headers: sent to the addresses' own servers, such as a token; not to where they redirect.

    Returns:
        The path.

    Raises:
        DownloadError: no mirror delivered it; says what went wrong at each.
        ArgumentError: an address that is not ``http`` or ``https``.
    """
    mirrors = [urls] if isinstance(urls, str) else list(urls)
    for url in mirrors:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise ArgumentError(f"download_file: {url!r} is neither an http nor an https address.")
    place, checksum = Path(path), Checksum(md5, sha256)
    if not again and place.is_file() and checksum.difference(place) is None:
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    report = _Bar(place.name) if progress is True else progress or (lambda done, total: None)
    failures: dict[str, str] = {}
    with _part_file(place) as part:
        if not again and place.is_file() and checksum and checksum.difference(place) is None:
            return place  # another process fetched it while this one waited
        for url in mirrors:
            failure = _fetch_from(url, part, checksum, report, timeout, headers or {})
            if failure is None:
                _move(part, place)
                return place
            failures[url] = failure
    raise DownloadError(
        f"download_file: {place.name} could not be fetched.",
        failures,
        fix=f"fetch it by hand to {place}",
    )


def download_and_extract_archive(
    url: str | Sequence[str],
    download_root: str | os.PathLike[str],
    extract_root: str | os.PathLike[str] | None = None,
    filename: str | None = None,
    md5: str | None = None,
    remove_finished: bool = False,
    *,
    sha256: str | None = None,
    progress: bool | Progress = True,
) -> str:
    """Fetch an archive into ``download_root`` and unpack it into ``extract_root`` (default: the
    same folder).

    Returns:
        The folder with the contents. Raises what ``download_file`` and ``extract_archive`` raise.
    """
    first = url if isinstance(url, str) else url[0]
    name = filename or os.path.basename(urllib.parse.urlsplit(first).path)
    archive = download_file(
        url, Path(download_root) / name, md5=md5, sha256=sha256, progress=progress
    )
    return extract_archive(archive, extract_root or download_root, remove_finished)


def _fetch_from(
    url: str,
    part: BinaryIO,
    checksum: Checksum,
    report: Progress,
    timeout: float,
    own: Mapping[str, str],
) -> str | None:
    """Fill ``part`` from one mirror; None when it is whole and right, else what went wrong."""
    if not checksum:
        _truncate(part)
    failure = "nothing was tried"
    for attempt in range(ATTEMPTS):
        before = _size(part)
        try:
            _fetch(url, part, report, timeout, own)
            difference = checksum.difference(Path(part.name))
            if difference is None:
                return None
            raise _WrongContentError(f"the file is not the one expected: {difference}")
        except _WrongContentError as error:
            failure = str(error)
            _truncate(part)
            if before == 0:
                return failure  # a second whole copy would be no better
        except (OSError, HTTPException) as error:
            failure = f"{type(error).__name__}: {error}"
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                return failure
            if _size(part) == before and attempt:
                return failure
    return failure


def _fetch(
    url: str, part: BinaryIO, report: Progress, timeout: float, own: Mapping[str, str]
) -> None:
    """Append to ``part`` what it lacks of the file at ``url``."""
    start = _size(part)
    headers = {"User-Agent": "fovea", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)
    for name, value in own.items():
        request.add_unredirected_header(name, value)
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if start and error.code == 416:  # nothing lies behind what is here: whole, or another file
            return
        raise
    with response:
        if start and not _continues(response, start):
            _truncate(part)
            start = 0
        _append(response, part, start, report)


def _continues(response: HTTPResponse, start: int) -> bool:
    """Whether the server sends the rest from ``start`` on, rather than the whole file again."""
    return response.status == 206 and (response.headers.get("Content-Range") or "").startswith(
        f"bytes {start}-"
    )


def _append(response: HTTPResponse, part: BinaryIO, start: int, report: Progress) -> None:
    length = response.headers.get("Content-Length")
    total = start + int(length) if length and length.isdigit() else None
    part.seek(0, os.SEEK_END)
    done = start
    while chunk := response.read(CHUNK):
        part.write(chunk)
        done += len(chunk)
        report(done, total)
    part.flush()
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


@contextlib.contextmanager
def _part_file(place: Path) -> Iterator[BinaryIO]:
    """The file next to ``place`` that bytes are gathered in, held by this process alone."""
    name = place.with_name(place.name + ".part")
    if sys.platform == "win32":
        # Without file locks two processes must not share a part: nothing is resumed from an earlier
        # call.
        name = place.with_name(f"{place.name}.{os.getpid()}.part")
    with _open_locked(name) as part:
        yield part
    with contextlib.suppress(FileNotFoundError):
        if name.stat().st_size == 0:
            name.unlink()


def _open_locked(name: Path) -> BinaryIO:
    while True:
        part = open(name, "a+b")  # noqa: SIM115 - the caller closes it
        if sys.platform == "win32":
            return part
        import fcntl

        fcntl.flock(part.fileno(), fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.stat(name).st_ino == os.fstat(part.fileno()).st_ino:
                return part
        part.close()  # another process renamed it meanwhile: look again


def _move(part: BinaryIO, place: Path) -> None:
    """Rename the part to its final name, still locked where the system allows it."""
    part.flush()
    if sys.platform == "win32":
        part.close()
    os.replace(part.name, place)


def _size(part: BinaryIO) -> int:
    part.flush()
    return os.fstat(part.fileno()).st_size


def _truncate(part: BinaryIO) -> None:
    part.flush()
    part.truncate(0)


def _hash(path: Path, name: str) -> str:
    digest = hashlib.new(name, usedforsecurity=name != "md5")
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class _Bar:
    """One line on a terminal: share done, bytes, rate."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.shown = self.begun = time.monotonic()
        self.first: int | None = None

    def __call__(self, done: int, total: int | None) -> None:
        if not sys.stderr.isatty():
            return
        now = time.monotonic()
        if self.first is None:
            self.first = done
        last = done == total
        if now - self.shown < 0.1 and not last:
            return
        self.shown = now
        rate = (done - self.first) / max(now - self.begun, 1e-6) / 1e6
        share = f"{done / total:4.0%} of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
        print(
            f"\r{self.name}: {share}, {rate:.1f} MB/s ", end="\n" if last else "", file=sys.stderr
        )
