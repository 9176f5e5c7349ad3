"""Weights by address: ``https://...`` and ``hf://organization/repository[/file][@revision]``.

Files are fetched once, checked where there is a digest, continued where a connection broke, and
kept in ``fovea.hub.get_dir()``. The Hugging Face hub's addresses follow its documentation:
``$HF_ENDPOINT`` names another server, ``$HF_TOKEN`` is sent to it for private repositories.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fovea.errors import ArgumentError, FileFormatError
from fovea.utils.download import DownloadError, download_file

__all__ = ["HubFile", "fetch", "is_address", "load_from"]

_SCHEMES = ("https://", "http://", "hf://")
_DEFAULTS = ("model.safetensors", "pytorch_model.bin")
_INDEX = ".index.json"  # beside a file's name: its tensors are in several files
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_MAX_INDEX = 64 << 20


def is_address(place: Any) -> bool:
    """Whether something names weights on a server.

    >>> is_address("hf://timm/resnet18.a1_in1k"), is_address("resnet18.pth")
    (True, False)
    """
    return isinstance(place, str) and place.lower().startswith(_SCHEMES)


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the Hugging Face hub.

    >>> HubFile.parse("hf://timm/resnet18.a1_in1k/model.safetensors@main").file
    'model.safetensors'
    """

    repository: str
    file: str | None
    revision: str = "main"

    @classmethod
    def parse(cls, address: str) -> HubFile:
        """Read ``hf://organization/repository[/file][@revision]``.

        Raises:
            ArgumentError: it is none.
        """
        path, _, revision = address[len("hf://") :].partition("@")
        organization, _, rest = path.partition("/")
        repository, _, file = rest.partition("/")
        parts = [organization, repository, *(file.split("/") if file else [])]
        good = all(_PART.fullmatch(part) for part in parts)
        named = "@" not in address or re.fullmatch(r"[\w.-]+(/[\w.-]+)*", revision)
        if not good or not named or ".." in revision:
            raise ArgumentError(
                f"{address!r} names no file of the Hugging Face hub.",
                fix="hf://organization/repository/file@revision; file and revision may be left out",
            )
        return cls(f"{organization}/{repository}", file or None, revision or "main")

    def url(self, file: str) -> str:
        """The address that the hub serves a file under."""
        base = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        revision = urllib.parse.quote(self.revision, safe="")
        return f"{base}/{self.repository}/resolve/{revision}/{file}"

    def fetch(self, file: str, sha256: str | None, progress: bool) -> Path:
        """Fetch one file into the cache, unless it is there."""
        from fovea import hub

        token = os.environ.get("HF_TOKEN")
        # What another server, or another revision, has under the name is another file.
        key = _digest(self.url(file))
        place = Path(hub.get_dir(), "hf", self.repository.replace("/", "--"), key, file)
        headers = {"Authorization": f"Bearer {token}"} if token else None
        return download_file(
            self.url(file), place, sha256=sha256, progress=progress, headers=headers
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def fetch(place: str, *, sha256: str | None = None, progress: bool = True) -> list[Path]:
    """Fetch the files of an address into the cache, unless they are there; usually one.

    Args:
        place: ``https://...`` or ``hf://organization/repository[/file][@revision]``. Without a
            file: ``model.safetensors``, else ``pytorch_model.bin``, else the several files that
            their index lists.
        sha256: the digest of the file, or its first 8 digits or more.
        progress: show progress on a terminal.

    Raises:
        DownloadError: it could not be fetched, or has another digest.
        ArgumentError: no such address.
    """
    from fovea import hub

    if not place.lower().startswith("hf://"):
        name = os.path.basename(urllib.parse.urlsplit(place).path)
        if not name or name in (".", ".."):
            raise ArgumentError(f"{place!r} ends in no name of a file.")
        # Addresses of two people may end in the same name.
        path = Path(hub.get_dir(), "checkpoints", f"{_digest(place)}-{name}")
        return [download_file(place, path, sha256=sha256, progress=progress)]
    source = HubFile.parse(place)
    if source.file is not None:
        path = source.fetch(source.file, sha256, progress)
        return _shards(source, path, progress) if source.file.endswith(_INDEX) else [path]
    return _default(source, place, sha256, progress)


def _default(source: HubFile, place: str, sha256: str | None, progress: bool) -> list[Path]:
    failures: dict[str, str] = {}
    for file in (*_DEFAULTS, *(name + _INDEX for name in _DEFAULTS)):
        try:
            path = source.fetch(file, None if file.endswith(_INDEX) else sha256, progress)
        except DownloadError as error:
            failures[file] = "; ".join(str(text) for text in error.details.values())
            if "404" not in failures[file]:
                raise
            continue
        return _shards(source, path, progress) if file.endswith(_INDEX) else [path]
    raise DownloadError(
        f"{place}: there are no weights under the usual names.",
        failures,
        fix="name the file: hf://organization/repository/file",
    )


def _shards(source: HubFile, index: Path, progress: bool) -> list[Path]:
    """The files that an index lists."""
    try:
        if index.stat().st_size > _MAX_INDEX:
            raise ValueError("it is absurdly long")
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        if not names or not all(isinstance(n, str) and _PART.fullmatch(n) for n in names):
            raise ValueError("it names files that are none")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FileFormatError(f"{index.name} is no index of weights: {error}.") from error
    return [source.fetch(name, None, progress) for name in sorted(names)]


def load_from(
    place: str | os.PathLike[str], *, sha256: str | None = None, progress: bool = True
) -> Any:
    """What a file or the files at an address hold; tensors of several files in one dict.

    Raises:
        DownloadError, FileFormatError, ArgumentError: as ``fetch`` and ``fovea.load``.
    """
    from fovea.interop import load

    if not isinstance(place, str) or not is_address(place):
        return load(place)
    paths = fetch(place, sha256=sha256, progress=progress)
    parts = [load(path) for path in paths]
    if len(parts) == 1:
        return parts[0]
    if not all(isinstance(part, dict) for part in parts):
        raise FileFormatError(f"{place}: one of its files holds no tensors by name.")
    return {name: value for part in parts for name, value in part.items()}
