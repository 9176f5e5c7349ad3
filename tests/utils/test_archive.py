"""Archives: unpacked whole, and never outside their folder."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from fovea.errors import FileFormatError
from fovea.utils.archive import extract_archive

CONTENT = b"0123456789" * 5000


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def everything(folder: Path) -> dict[str, bytes]:
    found = {p for p in folder.rglob("*") if p.is_file()}
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


GOOD = {"a.txt": b"a", "deep/er/b.bin": CONTENT, "empty": b""}


PACKING = {
    "tar": "w",
    "tar.gz": "w:gz",
    "tgz": "w:gz",
    "tar.bz2": "w:bz2",
    "tbz2": "w:bz2",
    "tar.xz": "w:xz",
    "txz": "w:xz",
}


@pytest.mark.parametrize("kind", ["zip", *PACKING])
def test_contents_tell_the_kind(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"archive.{kind}"
    make_zip(path, GOOD) if kind == "zip" else make_tar(path, GOOD, PACKING[kind])
    nameless = path.rename(tmp_path / "download")
    extract_archive(nameless, tmp_path / "out")
    assert everything(tmp_path / "out") == GOOD


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_zip(tmp_path / "bomb.zip", {"zeros": bytes(4 << 20)})
    monkeypatch.setattr("fovea.utils.archive.RATIO", 3)
    with pytest.raises(FileFormatError, match="honest"):
        extract_archive(path, tmp_path / "out")
    assert not everything(tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", *PACKING])
def test_kinds(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"archive.{kind}"
    if kind == "zip":
        make_zip(path, GOOD)
    else:
        make_tar(path, GOOD, PACKING[kind])
    target = tmp_path / "out"
    assert extract_archive(path, target) == str(target)
    assert everything(target) == GOOD
    assert path.exists()


@pytest.mark.parametrize(
    ("suffix", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_single_files(suffix: str, pack: object, tmp_path: Path) -> None:
    path = tmp_path / f"data.bin.{suffix}"
    path.write_bytes(pack(CONTENT))  # type: ignore[operator]
    assert extract_archive(path) == str(tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_remove_finished(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", GOOD)
    extract_archive(path, tmp_path / "out", remove_finished=True)
    assert not path.exists()


def test_folders_are_made(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("empty folder/", b"")
    extract_archive(tmp_path / "a.zip", tmp_path / "out")
    assert (tmp_path / "out" / "empty folder").is_dir()


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "a/../../evil", "..\\evil", "C:\\evil", "C:evil", "\\evil"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_nothing_escapes(name: str, kind: str, tmp_path: Path) -> None:
    members = {"good": b"good", name: b"evil"}
    path = tmp_path / f"a.{kind}"
    (make_zip if kind == "zip" else make_tar)(path, members)
    with pytest.raises(FileFormatError, match="outside"):
        extract_archive(path, tmp_path / "x" / "out")
    assert everything(tmp_path) == {path.name: path.read_bytes()}  # not even the good member


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_no_links_and_devices(kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("link")
        info.type = kind
        info.linkname = "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(FileFormatError, match="'link' is a link or a device"):
        extract_archive(tmp_path / "a.tar", tmp_path / "out")


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    outside, target = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    target.mkdir()
    (target / "sub").symlink_to(outside)
    path = make_zip(tmp_path / "a.zip", {"sub/evil": b"evil"})
    with pytest.raises(FileFormatError, match="outside"):
        extract_archive(path, target)
    assert os.listdir(outside) == []


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "gz"])
def test_damage(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    data = os.urandom(100_000)
    if kind == "zip":
        make_zip(path, {"a": data})
    elif kind == "gz":
        path.write_bytes(gzip.compress(data))
    else:
        make_tar(path, {"a": data}, "w:gz")
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:10], b"", b"not an archive"):
        path.write_bytes(broken)
        if kind == "gz" and broken == b"":
            continue  # an empty file is an empty gzip stream
        with pytest.raises(FileFormatError, match=f"{path.name}"):
            extract_archive(path, tmp_path / "out")
        assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_a_damaged_member(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a": CONTENT})
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(FileFormatError, match="damaged"):
        extract_archive(path, tmp_path / "out")
    assert everything(tmp_path / "out") == {}


def test_too_large_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_zip(tmp_path / "bomb.zip", {"a": CONTENT})
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(FileFormatError, match="50,000 bytes, 1,000 are free"):
        extract_archive(path, tmp_path / "out")


def test_unknown_and_missing(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="there is no file"):
        extract_archive(tmp_path / "a.zip")
    (tmp_path / "a.rar").write_bytes(b"x")
    with pytest.raises(FileFormatError, match="no kind of archive"):
        extract_archive(tmp_path / "a.rar")
