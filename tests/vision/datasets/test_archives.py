"""Caltech 101 and 256 and ImageNet, from folders and archives: as torchvision reads them."""

from __future__ import annotations

import hashlib
import inspect
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fovea
from fovea.errors import ArgumentError, FileFormatError
from fovea.vision.datasets import Caltech101, Caltech256, DatasetNotFoundError, ImageNet
from fovea.vision.datasets import imagenet as module
from tests.vision.datasets.photographs import RNG, photograph, same

scipy = pytest.importorskip("scipy.io")


def compare(ours: Any, theirs: Any) -> None:
    assert len(ours) == len(theirs) > 0
    for i in range(len(ours)):
        same(ours[i], theirs[i])
    mine, other = (inspect.signature(type(x).__init__).parameters for x in (ours, theirs))
    assert [*mine] == [*other]
    assert [p.default for p in mine.values()] == [p.default for p in other.values()]


class TestCaltech:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        photographs = tmp_path / "caltech101" / "101_ObjectCategories"
        outlines = tmp_path / "caltech101" / "Annotations"
        for name, place, count in (
            ("Faces", "Faces_2", 2), ("airplanes", "Airplanes_Side_2", 3), ("ant", "ant", 1),
        ):  # fmt: skip
            for n in range(1, count + 1):
                photograph(photographs / name / f"image_{n:04d}.jpg", "L" if n == 2 else "RGB")
                (outlines / place).mkdir(parents=True, exist_ok=True)
                contour = {"obj_contour": RNG.random((2, 5)), "box_coord": [[1, 2, 3, 4]]}
                scipy.savemat(outlines / place / f"annotation_{n:04d}.mat", contour)
        photograph(photographs / "BACKGROUND_Google" / "image_0001.jpg")
        for number, name in enumerate(("ak47", "american-flag"), 1):
            folder = tmp_path / "caltech256" / "256_ObjectCategories" / f"{number:03d}.{name}"
            for n in range(1, 4):
                photograph(folder / f"{number:03d}_{n:04d}.jpg")
            (folder / "RENAME2").write_text("not a photograph")
        return tmp_path

    @pytest.mark.parametrize("kind", ["category", "annotation", ["annotation", "category"]])
    def test_caltech101(self, root: Path, kind: Any, torchvision: Any) -> None:
        ours = Caltech101(root, kind)
        theirs = torchvision.datasets.Caltech101(root, kind)
        compare(ours, theirs)
        for name in ("categories", "annotation_categories", "index", "y", "target_type"):
            assert getattr(ours, name) == getattr(theirs, name)
        assert "Target type: " in repr(ours)
        changed = Caltech101(root, transform=lambda i: i.size, target_transform=lambda t: -t)
        assert changed[5] == ((8, 6), -2)

    def test_caltech256(self, root: Path, torchvision: Any) -> None:
        ours, theirs = Caltech256(root), torchvision.datasets.Caltech256(root)
        compare(ours, theirs)
        for name in ("categories", "index", "y"):
            assert getattr(ours, name) == getattr(theirs, name)

    def test_what_is_wrong(self, root: Path, tmp_path: Path) -> None:
        for kind in (Caltech101, Caltech256):
            with pytest.raises(DatasetNotFoundError, match="download=True"):
                kind(tmp_path / "nowhere")
        with pytest.raises(ArgumentError, match="target_type"):
            Caltech101(root, ["category", "size"])
        top = root / "caltech101"
        torn = top / "Annotations" / "ant" / "annotation_0001.mat"
        torn.write_bytes(b"MATLAB 5.0")
        with pytest.raises(FileFormatError, match="annotation_0001"):
            Caltech101(root, "annotation")[5]
        scipy.savemat(torn, {"obj_contour": [["x"]]})
        with pytest.raises(FileFormatError, match="annotation_0001"):
            Caltech101(root, "annotation")[5]
        torn.unlink()
        with pytest.raises(DatasetNotFoundError, match="annotation_0001"):
            Caltech101(root, "annotation")[5]
        (top / "101_ObjectCategories" / "ant" / "image_0001.jpg").write_bytes(b"torn")
        with pytest.raises(FileFormatError, match="image_0001"):
            Caltech101(root)[5]


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def packed(entries: dict[str, bytes], mode: Any = "w") -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode=mode) as tar:
        for name, content in entries.items():
            add(tar, name, content)
    return held.getvalue()


def jpeg() -> bytes:
    held = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (6, 8, 3), np.uint8)).save(held, "JPEG")
    return held.getvalue()


WORDS = {"n02": "tench, Tinca tinca", "n01": "kite", "n03": "crane, bird"}
TRUTH = [3, 1, 2, 1]


def table() -> bytes:
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"),
            ("num_children", "O"), ("children", "O")]  # fmt: skip
    rows = [(i, name, words, "a thing", 0, []) for i, (name, words) in enumerate(WORDS.items(), 1)]
    rows.append((4, "n04", "fish", "a kind of kinds", 2, [1, 2]))
    held = io.BytesIO()
    scipy.savemat(held, {"synsets": np.array(rows, kind)})
    return held.getvalue()


def devkit(**changed: bytes) -> bytes:
    top = "ILSVRC2012_devkit_t12/data/"
    entries = {
        "meta.mat": table(),
        "ILSVRC2012_validation_ground_truth.txt": "".join(f"{n}\n" for n in TRUTH).encode(),
    }
    return packed({top + name: b for name, b in (entries | changed).items()}, "w:gz")


class TestImageNet:
    @pytest.fixture
    def archives(self) -> dict[str, bytes]:
        inner = {f"{w}.tar": packed({f"{w}_{i}.JPEG": jpeg() for i in range(2)}) for w in WORDS}
        val = {f"ILSVRC2012_val_{i:08d}.JPEG": jpeg() for i in range(1, 5)}
        return {"train": packed(inner), "val": packed(val), "devkit": devkit()}

    def put(
        self, root: Path, archives: dict[str, bytes], patch: pytest.MonkeyPatch, other: Any = None
    ) -> Path:
        """The archives in a folder, with their sums in the tables of both packages."""
        root.mkdir(exist_ok=True)
        for part, content in archives.items():
            name = module.ARCHIVE_META[part][0]
            (root / name).write_bytes(content)
            for table_of_sums in (module, other):
                if table_of_sums is not None:
                    entry = (name, hashlib.md5(content).hexdigest())
                    patch.setitem(table_of_sums.ARCHIVE_META, part, entry)
        return root

    @pytest.mark.parametrize("split", ["train", "val"])
    def test_archives(
        self, tmp_path: Path, split: str, archives: dict[str, bytes], torchvision: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        other = torchvision.datasets.imagenet
        ours = ImageNet(self.put(tmp_path / "a", archives, monkeypatch, other), split)
        theirs = torchvision.datasets.ImageNet(
            self.put(tmp_path / "b", archives, monkeypatch, other), split
        )
        compare(ours, theirs)
        for name in ("wnids", "wnid_to_idx", "classes", "class_to_idx", "targets"):
            assert getattr(ours, name) == getattr(theirs, name), name
        assert f"Split: {split}" in repr(ours)
        assert ours.root == str(tmp_path / "a") and not [*(tmp_path / "a").glob("*.part")]
        there = sorted(str(p.relative_to(tmp_path / "a")) for p in (tmp_path / "a").rglob("*"))
        assert there == sorted(
            str(p.relative_to(tmp_path / "b")) for p in (tmp_path / "b").rglob("*")
        )
        # Each reads what the other left, without the archives.
        for root in (tmp_path / "a", tmp_path / "b"):
            for name, _ in module.ARCHIVE_META.values():
                (root / name).unlink()
        compare(
            ImageNet(tmp_path / "b", split), torchvision.datasets.ImageNet(tmp_path / "a", split)
        )

    def test_folders(self, tmp_path: Path, archives: dict[str, bytes]) -> None:
        """A development kit that is unpacked, and photographs in folders."""
        with tarfile.open(fileobj=io.BytesIO(archives["devkit"])) as tar:
            tar.extractall(tmp_path, filter="data")
        for wnid in WORDS:
            photograph(tmp_path / "val" / wnid / "ILSVRC2012_val_00000001.JPEG")
        data = ImageNet(tmp_path, "val", transform=lambda image: image.size)
        assert data[2] == ((8, 6), 2) and data.classes[1] == ("tench", "Tinca tinca")
        assert module.load_meta_file(tmp_path)[1] == ["n03", "n02", "n01", "n02"]
        photograph(tmp_path / "val" / "n99" / "x.JPEG")
        with pytest.raises(FileFormatError, match="n99"):
            ImageNet(tmp_path, "val")

    def test_what_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ArgumentError, match="split"):
            ImageNet(tmp_path, "test")
        with pytest.raises(DatasetNotFoundError, match=r"devkit_t12\.tar\.gz"):
            ImageNet(tmp_path)
        (tmp_path / module.ARCHIVE_META["devkit"][0]).write_bytes(b"short")
        with pytest.raises(FileFormatError, match="MD5"):
            ImageNet(tmp_path)

    @pytest.mark.parametrize("changed", [
        {"meta.mat": b"MATLAB"},
        {"ILSVRC2012_validation_ground_truth.txt": b"1\n77\n"},
        {"ILSVRC2012_validation_ground_truth.txt": b"one\n"},
    ])  # fmt: skip
    def test_damaged_tables(
        self, tmp_path: Path, changed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = self.put(tmp_path, {"devkit": devkit(**changed)}, monkeypatch)
        with pytest.raises(FileFormatError, match=r"meta\.mat"):
            ImageNet(root)
        assert not (root / "meta.bin").exists()

    @pytest.mark.parametrize("meta", [
        5, ({}, 3), ({"../../n01": ("x",)}, []), ({"n01": ("x",)}, ["../n01"]), ({"n01": 4}, []),
        ({"n01": (4,)}, []),
    ])  # fmt: skip
    def test_damaged_meta(self, tmp_path: Path, meta: Any) -> None:
        fovea.save(meta, tmp_path / "meta.bin")
        with pytest.raises(FileFormatError, match=r"meta\.bin"):
            ImageNet(tmp_path)
        (tmp_path / "meta.bin").write_bytes(b"PK")
        with pytest.raises(FileFormatError, match=r"meta\.bin"):
            ImageNet(tmp_path)

    def test_hostile_archives(
        self, tmp_path: Path, archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is written outside, and of what is damaged no folder is left."""
        root = tmp_path / "root"
        inner = packed({"../../out.JPEG": jpeg()})
        for train in (
            packed({"../n01.tar": inner}),
            packed({"n01.tar": inner}),
            packed({"n01.zip": inner}),
            packed({"n01.tar": archives["val"][:700]}),
        ):
            self.put(root, archives | {"train": train}, monkeypatch)
            with pytest.raises(FileFormatError):
                ImageNet(root)
            assert not (root / "train").exists() and not [*root.glob("*.part")]
        assert [p.name for p in tmp_path.iterdir()] == ["root"]
        short = packed({"ILSVRC2012_val_00000001.JPEG": jpeg()})
        self.put(root, archives | {"val": short}, monkeypatch)
        with pytest.raises(FileFormatError, match=r"1 photographs; of 4"):
            ImageNet(root, "val")
        assert not (root / "val").exists()
