"""Weights from the network under torch.hub's names."""

from __future__ import annotations

import hashlib
import inspect
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fovea
from fovea import hub
from fovea.errors import ArgumentError, FileFormatError
from fovea.utils.download import DownloadError
from tests.utils.server import Files, serve

torch = pytest.importorskip("torch")


@pytest.fixture
def web() -> Iterator[Files]:
    with serve() as server:
        yield server


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOVEA_HOME", str(tmp_path))
    monkeypatch.setattr(hub, "_chosen", [])
    return tmp_path


def weights() -> bytes:
    written = io.BytesIO()
    torch.save({"weight": torch.arange(3.0)}, written)
    return written.getvalue()


@pytest.mark.parametrize(
    "name", ["get_dir", "set_dir", "download_url_to_file", "load_state_dict_from_url"]
)
def test_arguments_are_pytorch_s(name: str) -> None:
    def arguments(function: Any) -> list[tuple[str, Any]]:
        return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]

    assert arguments(getattr(hub, name)) == arguments(getattr(torch.hub, name))


def test_the_folder(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert hub.get_dir() == str(home / "hub")
    monkeypatch.delenv("FOVEA_HOME")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert hub.get_dir() == str(tmp_path / "cache" / "fovea" / "hub")
    hub.set_dir(tmp_path / "mine")
    assert hub.get_dir() == str(tmp_path / "mine")


def test_a_state_is_fetched_once(web: Files, home: Path) -> None:
    web.content["net.pth"] = weights()
    for _ in range(2):
        state = fovea.hub.load_state_dict_from_url(web.url("net.pth?version=1"), progress=False)
        assert state["weight"].tolist() == [0, 1, 2]
    assert len(web.requests) == 1
    assert (home / "hub" / "checkpoints" / "net.pth").is_file()
    hub.load_state_dict_from_url(web.url("net.pth"), home / "here", file_name="other.pth")
    assert (home / "here" / "other.pth").is_file()


def test_the_digest_in_a_name_is_checked_if_asked_for(web: Files) -> None:
    good, bad = hashlib.sha256(weights()).hexdigest()[:8], "0" * 8
    for digest in (good, bad):
        web.content[f"net-{digest}.pth"] = weights()
        hub.load_state_dict_from_url(web.url(f"net-{digest}.pth"))
    hub.load_state_dict_from_url(web.url(f"net-{good}.pth"), check_hash=True)
    with pytest.raises(DownloadError, match="not the one expected"):
        hub.load_state_dict_from_url(web.url(f"net-{bad}.pth"), check_hash=True)


def test_a_file_at_a_place(web: Files, tmp_path: Path) -> None:
    web.content["data"] = b"some bytes"
    digest = hashlib.sha256(b"some bytes").hexdigest()
    hub.download_url_to_file(web.url("data"), str(tmp_path / "file"), digest[:10])
    assert (tmp_path / "file").read_bytes() == b"some bytes"
    web.content["data"] = b"other bytes"
    with pytest.raises(DownloadError):
        hub.download_url_to_file(web.url("data"), tmp_path / "file", digest[:10])
    assert (tmp_path / "file").read_bytes() == b"some bytes"
    hub.download_url_to_file(web.url("data"), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"other bytes"
    with pytest.raises(ArgumentError, match="at least 8"):
        hub.download_url_to_file(web.url("data"), tmp_path / "file", "")


def test_what_is_no_file_of_weights(web: Files, home: Path) -> None:
    web.content["page.pth"] = b"<html>"
    with pytest.raises(FileFormatError):
        hub.load_state_dict_from_url(web.url("page.pth"))
    for name in ("", "..", "../page.pth", "a/b.pth"):
        with pytest.raises(ArgumentError, match="no name of a file"):
            hub.load_state_dict_from_url(web.url(""), file_name=name)
    with pytest.raises(DownloadError, match="404"):
        hub.load_state_dict_from_url(web.url("missing.pth"))
    with pytest.raises(ArgumentError, match="neither an http"):
        hub.load_state_dict_from_url("file:///etc/passwd")
