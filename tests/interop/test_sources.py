"""Weights by address, from a server on this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import fovea
from fovea.errors import ArgumentError, FileFormatError
from fovea.interop.sources import HubFile, fetch
from fovea.utils.download import DownloadError
from fovea.vision import models
from tests.utils.server import Files, serve


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Files]:
    with serve() as files:
        monkeypatch.setenv("HF_ENDPOINT", files.url(""))
        monkeypatch.setenv("FOVEA_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr("fovea.hub._chosen", [])
        yield files


def weights(tmp_path: Path, name: str, **tensors: fovea.Tensor) -> bytes:
    fovea.save(tensors, tmp_path / name)
    return (tmp_path / name).read_bytes()


def test_a_named_file_and_revision(server: Files, tmp_path: Path) -> None:
    data = weights(tmp_path, "a.safetensors", w=fovea.ones(2))
    server.content["org/net/resolve/v1/sub/a.safetensors"] = data
    for _ in range(2):  # the second time from the cache
        assert fovea.load("hf://org/net/sub/a.safetensors@v1")["w"].tolist() == [1, 1]
    assert len(server.requests) == 1
    server.content["org/net/resolve/v2/sub/a.safetensors"] = weights(
        tmp_path, "b.safetensors", w=fovea.zeros(2)
    )
    assert fovea.load("hf://org/net/sub/a.safetensors@v2")["w"].tolist() == [0, 0]


def test_usual_names_are_tried(server: Files, tmp_path: Path) -> None:
    own = models.get_model("resnet20", num_classes=3).state_dict()
    data = weights(tmp_path, "pytorch_model.pt", **own)
    server.content["org/net/resolve/main/pytorch_model.bin"] = data
    model = models.get_model("resnet20", num_classes=3, weights="hf://org/net")
    assert all((value == own[name]).all() for name, value in model.state_dict().items())
    with pytest.raises(DownloadError, match="usual names"):
        fovea.load("hf://org/nothing")


def test_several_files_become_one_state(server: Files, tmp_path: Path) -> None:
    root = "org/net/resolve/main/"
    names = {"w": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}
    for key, name in names.items():
        server.content[root + name] = weights(tmp_path, name, **{key: fovea.ones(2)})
    index = root + "model.safetensors.index.json"
    server.content[index] = json.dumps({"weight_map": names}).encode()
    assert set(fovea.load("hf://org/net")) == {"w", "b"}


@pytest.mark.parametrize("index", [b"[", b"{}", b'{"weight_map": {"a": "../x"}}', b"[" * 100000])
def test_an_index_that_is_none(index: bytes, server: Files) -> None:
    server.content["org/net/resolve/main/model.safetensors.index.json"] = index
    with pytest.raises(FileFormatError, match="no index"):
        fovea.load("hf://org/net")


def test_the_digest_is_checked(server: Files, tmp_path: Path) -> None:
    data = weights(tmp_path, "a.safetensors", w=fovea.ones(2))
    server.content["some/a.safetensors"] = data
    url = server.url("some/a.safetensors")
    assert fovea.load(url, sha256=hashlib.sha256(data).hexdigest())["w"].tolist() == [1, 1]
    with pytest.raises(DownloadError, match="not the one expected"):
        fovea.load(url, sha256="0" * 64)


def test_the_token_is_sent_to_the_hub(
    server: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str | None] = []
    handler = server.RequestHandlerClass
    original = handler.do_GET  # type: ignore[attr-defined]

    def do_get(self: object) -> None:
        sent.append(self.headers.get("Authorization"))  # type: ignore[attr-defined]
        original(self)

    monkeypatch.setattr(handler, "do_GET", do_get)
    monkeypatch.setenv("HF_TOKEN", "secret")
    server.content["org/net/resolve/main/a.pt"] = weights(tmp_path, "a.pt", w=fovea.ones(1))
    fetch("hf://org/net/a.pt", progress=False)
    fetch(server.url("org/net/resolve/main/a.pt"), progress=False)
    assert sent == ["Bearer secret", None]


@pytest.mark.parametrize(
    "address",
    ["hf://", "hf://a", "hf://a/..", "hf://a/b/../c", "hf://a/b@", "hf://a/b@..", "hf://a/b/c?x"],
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ArgumentError, match="names no file"):
        HubFile.parse(address)
