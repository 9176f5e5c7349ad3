"""Downloads: checksums, resumption, mirrors, and no half files."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fovea.errors import ArgumentError, FileFormatError
from fovea.utils import download
from fovea.utils.download import (
    DownloadError,
    check_integrity,
    download_and_extract_archive,
    download_file,
)
from tests.utils.server import Files, serve

DATA = bytes(range(256)) * 4000
MD5 = hashlib.md5(DATA).hexdigest()
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def web() -> Iterator[Files]:
    with serve() as server:
        server.content["data.bin"] = DATA
        yield server


def test_a_file_arrives_whole(web: Files, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "data.bin"
    seen: list[tuple[int, int | None]] = []
    progress = lambda done, total: seen.append((done, total))  # noqa: E731
    assert (
        download_file(web.url("data.bin"), target, md5=MD5, sha256=SHA, progress=progress) == target
    )
    assert target.read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA)) and len(seen) > 1
    assert os.listdir(target.parent) == ["data.bin"]


def test_a_right_file_is_not_fetched_again(web: Files, tmp_path: Path) -> None:
    target = tmp_path / "data.bin"
    target.write_bytes(DATA)
    download_file(web.url("data.bin"), target, md5=MD5)
    assert web.requests == []
    target.write_bytes(b"damaged")
    download_file(web.url("data.bin"), target, md5=MD5)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("md5", [None, MD5])
def test_again(web: Files, tmp_path: Path, md5: str | None) -> None:
    target = tmp_path / "data.bin"
    target.write_bytes(DATA if md5 else b"older")
    download_file(web.url("data.bin"), target, md5=md5, again=True)
    assert target.read_bytes() == DATA and len(web.requests) == 1
    with pytest.raises(DownloadError):
        download_file(web.url("missing.bin"), target, md5=md5, again=True)
    assert target.read_bytes() == DATA and os.listdir(tmp_path) == ["data.bin"]


def test_a_broken_connection_is_resumed(web: Files, tmp_path: Path) -> None:
    web.cut = [300_000, 200_000]
    download_file(web.url("data.bin"), tmp_path / "data.bin", sha256=SHA)
    assert (tmp_path / "data.bin").read_bytes() == DATA
    assert [asked for _, asked in web.requests] == [None, "bytes=300000-", "bytes=500000-"]


def test_a_part_from_an_earlier_run_is_continued(web: Files, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(DATA[:1000])
    download_file(web.url("data.bin"), tmp_path / "data.bin", md5=MD5)
    assert web.requests == [("/data.bin", "bytes=1000-")]
    assert os.listdir(tmp_path) == ["data.bin"]


def test_without_a_checksum_nothing_is_continued(web: Files, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(b"something else")
    download_file(web.url("data.bin"), tmp_path / "data.bin")
    assert web.requests == [("/data.bin", None)]
    assert (tmp_path / "data.bin").read_bytes() == DATA


def test_a_wrong_part_is_thrown_away(web: Files, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(b"x" * 1000)
    download_file(web.url("data.bin"), tmp_path / "data.bin", md5=MD5)
    assert (tmp_path / "data.bin").read_bytes() == DATA
    assert [asked for _, asked in web.requests] == ["bytes=1000-", None]


@pytest.mark.parametrize("size", [len(DATA), len(DATA) + 5])
def test_a_part_as_long_as_the_file(web: Files, tmp_path: Path, size: int) -> None:
    (tmp_path / "data.bin.part").write_bytes((DATA + b"extra")[:size])
    download_file(web.url("data.bin"), tmp_path / "data.bin", md5=MD5)
    assert (tmp_path / "data.bin").read_bytes() == DATA


def test_a_server_without_ranges(web: Files, tmp_path: Path) -> None:
    web.ranges = False
    (tmp_path / "data.bin.part").write_bytes(DATA[:1000])
    download_file(web.url("data.bin"), tmp_path / "data.bin", md5=MD5)
    assert (tmp_path / "data.bin").read_bytes() == DATA


def test_mirrors_are_tried_in_order(web: Files, tmp_path: Path) -> None:
    web.content["wrong.bin"] = b"another file"
    urls = [web.url("missing.bin"), web.url("wrong.bin"), web.url("data.bin")]
    download_file(urls, tmp_path / "data.bin", md5=MD5)
    assert (tmp_path / "data.bin").read_bytes() == DATA
    assert [path for path, _ in web.requests] == ["/missing.bin", "/wrong.bin", "/data.bin"]


def test_a_server_in_trouble_is_asked_again(web: Files, tmp_path: Path) -> None:
    web.fail = [503]
    download_file(web.url("data.bin"), tmp_path / "data.bin", md5=MD5)
    assert len(web.requests) == 2


def test_failure_tells_every_reason_and_leaves_no_file(web: Files, tmp_path: Path) -> None:
    web.content["wrong.bin"] = b"another file"
    urls = [web.url("missing.bin"), web.url("wrong.bin"), "http://127.0.0.1:1/refused"]
    with pytest.raises(DownloadError) as caught:
        download_file(urls, tmp_path / "data.bin", md5=MD5)
    text = str(caught.value)
    assert "404" in text and f"expected {MD5}" in text and "refused" in text
    assert str(tmp_path / "data.bin") in text
    assert isinstance(caught.value, FileFormatError)
    assert os.listdir(tmp_path) == []


def test_a_failed_download_keeps_its_part_for_the_next_run(web: Files, tmp_path: Path) -> None:
    web.cut = [1000, 0, 0]
    with pytest.raises(DownloadError, match="connection ended after"):
        download_file(web.url("data.bin"), tmp_path / "data.bin", md5=MD5)
    assert (tmp_path / "data.bin.part").read_bytes() == DATA[:1000]


def test_an_old_file_survives_a_failed_download(web: Files, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"old")
    with pytest.raises(DownloadError):
        download_file(web.url("missing.bin"), tmp_path / "data.bin", md5=MD5)
    assert (tmp_path / "data.bin").read_bytes() == b"old"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "data.bin", ""])
def test_only_the_web(url: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="http"):
        download_file(url, tmp_path / "x")


def test_check_integrity(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    assert not check_integrity(path)
    path.write_bytes(DATA)
    assert check_integrity(path) and check_integrity(path, MD5.upper())
    assert check_integrity(path, sha256=SHA) and not check_integrity(path, "0" * 32)


def _fetch(url: str, target: Path) -> None:
    download_file(url, target, md5=MD5, progress=False)


@pytest.mark.skipif(os.name != "posix", reason="file locks of POSIX")
def test_processes_share_one_download(web: Files, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    target = tmp_path / "data.bin"
    workers = [context.Process(target=_fetch, args=(web.url("data.bin"), target)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0
    assert target.read_bytes() == DATA and os.listdir(tmp_path) == ["data.bin"]
    assert len(web.requests) == 1


def test_threads_share_one_download(web: Files, tmp_path: Path) -> None:
    target = tmp_path / "data.bin"
    threads = [
        threading.Thread(target=_fetch, args=(web.url("data.bin"), target)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == DATA and os.listdir(tmp_path) == ["data.bin"]


def test_archives(web: Files, tmp_path: Path) -> None:
    inner = tmp_path / "inner.txt"
    inner.write_text("hello")
    with tarfile.open(tmp_path / "made.tar.gz", "w:gz") as tar:
        tar.add(inner, "folder/inner.txt")
    web.content["made.tar.gz"] = (tmp_path / "made.tar.gz").read_bytes()
    root = tmp_path / "root"
    folder = download_and_extract_archive(web.url("made.tar.gz?version=2"), root)
    assert folder == str(root) and (root / "folder" / "inner.txt").read_text() == "hello"


def test_the_bar_is_for_terminals(
    web: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    download_file(web.url("data.bin"), tmp_path / "a")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(download.sys.stderr, "isatty", lambda: True, raising=False)
    download_file(web.url("data.bin"), tmp_path / "b")
    assert "100% of 1.0 MB" in capsys.readouterr().err
