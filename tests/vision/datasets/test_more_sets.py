"""Sets in files of their own kinds, tables, folders of masks, shards: read right, and refused with
the file's name where they are damaged.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fovea.errors import ArgumentError, FileFormatError, LabelError, ShapeError
from fovea.utils.data import DataLoader
from fovea.vision import tv_tensors
from fovea.vision.datasets import (
    EMNIST,
    STL10,
    SVHN,
    Cityscapes,
    DatasetNotFoundError,
    ImageTable,
    SegmentationFolder,
    WebDataset,
    wrap_dataset_for_transforms_v2,
)
from fovea.vision.datasets.shards import expand_braces

RNG = np.random.default_rng(0)


def save(path: Path, values: Any, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)


class TestSTL10:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        folder = tmp_path / "stl10_binary"
        folder.mkdir()
        for part, count in (("train", 6), ("test", 3), ("unlabeled", 2)):
            RNG.integers(0, 256, (count, 3, 96, 96), np.uint8).tofile(folder / f"{part}_X.bin")
            if part != "unlabeled":
                (np.arange(count, dtype=np.uint8) % 10 + 1).tofile(folder / f"{part}_y.bin")
        (folder / "class_names.txt").write_text("airplane\nbird\n")
        (folder / "fold_indices.txt").write_text("0 2 4\n1 5\n" * 5)
        return tmp_path

    @pytest.mark.parametrize("options", [{}, {"split": "test"}, {"split": "unlabeled"},
                                         {"split": "train+unlabeled"}, {"folds": 1}])  # fmt: skip
    def test_samples_are_torchvisions(
        self, root: Path, options: Any, torchvision: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        theirs_class = torchvision.datasets.STL10
        monkeypatch.setattr(theirs_class, "_check_integrity", lambda self: True)
        ours, theirs = STL10(root, **options), theirs_class(root, **options)
        np.testing.assert_array_equal(ours.data, theirs.data)
        assert ours.labels.tolist() == theirs.labels.tolist() and ours.classes == theirs.classes
        np.testing.assert_array_equal(np.array(ours[1][0]), np.array(theirs[1][0]))
        assert ours[1][1] == theirs[1][1] and "Split: " in repr(ours)

    def test_damaged(self, root: Path) -> None:
        folder = root / "stl10_binary"
        assert len(STL10(folder)) == 6
        (folder / "train_y.bin").write_bytes(b"\x0b" * 6)
        with pytest.raises(LabelError, match="train_y"):
            STL10(root)
        (folder / "train_y.bin").write_bytes(b"\x01" * 5)
        with pytest.raises(FileFormatError, match="5 labels for 6"):
            STL10(root)
        (folder / "test_X.bin").write_bytes(b"\x01" * 5)
        with pytest.raises(FileFormatError, match="test_X"):
            STL10(root, "test")
        with pytest.raises(DatasetNotFoundError, match="download"):
            STL10(root / "nowhere")
        for wrong in ({"split": "val"}, {"folds": 10}):
            with pytest.raises(ArgumentError):
                STL10(root, **wrong)


class TestSVHN:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        scipy = pytest.importorskip("scipy.io")
        images = RNG.integers(0, 256, (32, 32, 3, 4), np.uint8)
        labels = np.array([[10], [1], [9], [3]], np.uint8)
        scipy.savemat(tmp_path / "train_32x32.mat", {"X": images, "y": labels})
        return tmp_path

    def test_samples_are_torchvisions(
        self, root: Path, torchvision: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        theirs_class = torchvision.datasets.SVHN
        monkeypatch.setattr(theirs_class, "_check_integrity", lambda self: True)
        ours, theirs = SVHN(root), theirs_class(root)
        np.testing.assert_array_equal(ours.data, theirs.data)
        assert ours.labels.tolist() == theirs.labels.tolist() == [0, 1, 9, 3]
        np.testing.assert_array_equal(np.array(ours[2][0]), np.array(theirs[2][0]))

    def test_damaged(self, root: Path) -> None:
        path = root / "train_32x32.mat"
        whole = path.read_bytes()
        for content in (b"", whole[:200], b"MATLAB 5.0" + b"\xff" * 400):
            path.write_bytes(content)
            with pytest.raises(FileFormatError, match="train_32x32"):
                SVHN(root)
        with pytest.raises(DatasetNotFoundError):
            SVHN(root, "test")
        with pytest.raises(ArgumentError):
            SVHN(root, "val")


def test_emnist(tmp_path: Path, torchvision: Any) -> None:
    folder = tmp_path / "EMNIST" / "raw"
    folder.mkdir(parents=True)
    images, labels = RNG.integers(0, 256, (3, 28, 28), np.uint8), np.array([1, 26, 5], np.uint8)
    for name, values in (("images-idx3", images), ("labels-idx1", labels)):
        head = b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
        content = head + values.tobytes()
        (folder / f"emnist-letters-train-{name}-ubyte").write_bytes(content)
        inner = folder / "gzip"
        inner.mkdir(exist_ok=True)
        with gzip.open(inner / f"emnist-letters-test-{name}-ubyte.gz", "wb") as file:
            file.write(content)
    ours = EMNIST(tmp_path, "letters")
    theirs = torchvision.datasets.EMNIST(tmp_path, "letters")
    assert ours.data.tolist() == theirs.data.tolist() and ours.targets.tolist() == [1, 26, 5]
    assert len(EMNIST(tmp_path, "letters", train=False)) == 3  # as the archive has them
    for split in EMNIST.classes_split_dict:
        assert EMNIST.classes_split_dict[split] == theirs.classes_split_dict[split]
    with pytest.raises(ArgumentError):
        EMNIST(tmp_path, "some")
    with pytest.raises(DatasetNotFoundError):
        EMNIST(tmp_path, "digits")


class TestTable:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for name in "abc":
            save(tmp_path / f"{name}.png", RNG.integers(0, 255, (4, 5, 3), np.uint8))
        return tmp_path

    @pytest.mark.parametrize("text", [
        "image,label\na.png,dog\nb.png,cat\nc.png,dog\n",
        "\ufeffFilename;Other;Class\r\na.png;1;dog\r\nb.png;2;cat\r\nc.png;3;dog\r\n",
        'path\tlabel\n"a.png"\tdog\nb.png\t cat\nc.png\tdog',
    ])  # fmt: skip
    def test_files(self, root: Path, text: str) -> None:
        (root / "t.csv").write_text(text, "utf-8")
        table = ImageTable(root / "t.csv")
        assert table.classes == ["cat", "dog"] and table.targets == [1, 0, 1]
        assert table[0][0].size == (5, 4) and table.class_to_idx == {"cat": 0, "dog": 1}
        chosen = ImageTable(root / "t.csv", classes=["dog", "cat", "cow"])
        assert chosen.targets == [0, 1, 0]

    def test_numbers(self, root: Path) -> None:
        rows = [{"image": "a.png", "x": "2", "y": "0.5"}, {"image": "b.png", "x": "0", "y": "3"}]
        assert ImageTable(rows, root, label="x").targets == [2, 0]
        assert ImageTable(rows, root, label="x").classes == ["0", "1", "2"]
        assert ImageTable(rows, root, label="y").targets == [0.5, 3.0]
        assert ImageTable(rows, root, label=["x", "y"])[0][1] == [2, 0.5]
        assert ImageTable(rows, root, label="x", transform=lambda i: i.size)[0] == ((5, 4), 2)

        class Frame:
            def to_dict(self, how: str) -> Any:
                assert how == "records"
                return [{"path": "a.png", "label": np.int64(4)}]

        assert ImageTable(Frame(), root)[0][1] == 4

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("", "no rows"),
            ("image,label\n", "no rows"),
            ("picture,label\na.png,1\n", "no column"),
            ("image,label,class\na.png,1,2\n", "no column"),
            ("image,label\na.png\n", "row 2.*label"),
            ("image,label\n,1\n", "row 2.*path"),
            ("image,label\n\x00\xff", r"t\.csv"),
        ],
    )
    def test_damaged(self, root: Path, text: str, match: str) -> None:
        (root / "t.csv").write_text(text)
        with pytest.raises(FileFormatError, match=match):
            ImageTable(root / "t.csv")

    def test_what_is_missing(self, root: Path) -> None:
        with pytest.raises(DatasetNotFoundError):
            ImageTable(root / "no.csv")
        with pytest.raises(FileFormatError, match=r"z\.png"):
            ImageTable([{"image": "z.png", "label": 1}], root)[0]
        with pytest.raises(FileFormatError, match="cow"):
            ImageTable([{"image": "a.png", "label": "cow"}], root, classes=["dog"])
        with pytest.raises(ArgumentError):
            ImageTable(5)


class TestMasks:
    @pytest.mark.parametrize("layout", ["{kind}", "{kind}/train", "train/{kind}"])
    def test_folders(self, tmp_path: Path, layout: str) -> None:
        classes = RNG.integers(0, 4, (6, 8), np.uint8)
        for name in ("a", "b"):
            save(
                tmp_path / layout.format(kind="images") / f"{name}.jpg",
                np.zeros((6, 8, 3), np.uint8),
            )
            save(tmp_path / layout.format(kind="masks") / f"{name}.png", classes)
        data = SegmentationFolder(tmp_path, "train" if "train" in layout else None)
        image, mask = data[1]
        assert len(data) == 2 and image.size == (8, 6)
        np.testing.assert_array_equal(np.array(mask), classes)
        wrapped = wrap_dataset_for_transforms_v2(data)[0][1]
        assert type(wrapped) is tv_tensors.Mask and wrapped.numpy().tolist() == classes.tolist()

    def test_colors_and_palettes(self, tmp_path: Path) -> None:
        save(tmp_path / "images" / "a.png", np.zeros((1, 3, 3), np.uint8))
        colors = np.array([[[0, 0, 0], [255, 0, 0], [9, 9, 9]]], np.uint8)
        save(tmp_path / "masks" / "a.png", colors)
        data = SegmentationFolder(tmp_path, colors=[(0, 0, 0), (255, 0, 0)])
        assert np.array(data[0][1]).tolist() == [[0, 1, 255]]
        palette = Image.fromarray(np.array([[2, 0, 1]], np.uint8), "P")
        palette.putpalette([7, 8, 9] * 3)
        palette.save(tmp_path / "masks" / "a.png")
        assert np.array(SegmentationFolder(tmp_path)[0][1]).tolist() == [[2, 0, 1]]

    def test_what_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetNotFoundError, match="no images"):
            SegmentationFolder(tmp_path)
        save(tmp_path / "images" / "a.png", np.zeros((2, 3, 3), np.uint8))
        with pytest.raises(DatasetNotFoundError, match="no mask"):
            SegmentationFolder(tmp_path)
        save(tmp_path / "masks" / "a.png", np.zeros((5, 3), np.uint8))
        with pytest.raises(ShapeError, match=r"a\.png"):
            SegmentationFolder(tmp_path)[0]

    @pytest.mark.parametrize("types", ["semantic", "polygon", ["instance", "color"]])
    def test_cityscapes(self, tmp_path: Path, types: Any, torchvision: Any) -> None:
        for city in ("ulm", "bonn"):
            place = f"{city}_000001_000019"
            save(tmp_path / "leftImg8bit" / "train" / city / f"{place}_leftImg8bit.png",
                 RNG.integers(0, 255, (4, 6, 3), np.uint8))  # fmt: skip
            labels = tmp_path / "gtFine" / "train" / city
            save(labels / f"{place}_gtFine_labelIds.png", RNG.integers(0, 9, (4, 6), np.uint8))
            save(labels / f"{place}_gtFine_instanceIds.png",
                 RNG.integers(0, 9000, (4, 6), np.uint16))  # fmt: skip
            save(labels / f"{place}_gtFine_color.png", RNG.integers(0, 9, (4, 6, 4), np.uint8))
            (labels / f"{place}_gtFine_polygons.json").write_text('{"objects": []}')
        ours = Cityscapes(tmp_path, target_type=types)
        theirs = torchvision.datasets.Cityscapes(tmp_path, target_type=types)
        order = {path: i for i, path in enumerate(theirs.images)}
        assert len(ours) == len(theirs) == 2
        for i, path in enumerate(ours.images):
            (image, target), (their_image, expected) = ours[i], theirs[order[path]]
            np.testing.assert_array_equal(np.array(image), np.array(their_image))
            if types == "polygon":
                assert target == expected
            else:
                pairs = (
                    zip(target, expected, strict=True)
                    if isinstance(types, list)
                    else [(target, expected)]
                )
                for a, b in pairs:
                    np.testing.assert_array_equal(np.array(a), np.array(b))
        for wrong in ({"split": "some"}, {"mode": "rough"}, {"target_type": "depth"}):
            with pytest.raises(ArgumentError):
                Cityscapes(tmp_path, **wrong)
        assert [tuple(c) for c in ours.classes] == [tuple(c) for c in theirs.classes]
        assert ours.classes[0]._fields == theirs.classes[0]._fields
        with pytest.raises(DatasetNotFoundError):
            Cityscapes(tmp_path, "val")


def shard(path: Path, first: int, count: int, **more: bytes) -> None:
    picture = io.BytesIO()
    Image.fromarray(np.full((3, 4, 3), 9, np.uint8)).save(picture, "PNG")
    with tarfile.open(path, "w") as archive:
        for i in range(first, first + count):
            entries = {
                "png": picture.getvalue(),
                "cls": str(i).encode(),
                "meta.json": json.dumps({"n": i}).encode(),
                "txt": b"a dog",
                "npy": b"raw",
                **more,
            }
            for name, content in entries.items():
                info = tarfile.TarInfo(f"set/{i:04}.{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


class TestShards:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for i in range(4):
            shard(tmp_path / f"s-{i:02}.tar", 5 * i, 5)
        return tmp_path

    def test_samples(self, root: Path) -> None:
        data = WebDataset(f"{root}/s-{{00..03}}.tar")
        samples = list(data)
        assert [s["cls"] for s in samples] == list(range(20))
        first = samples[0]
        assert first["__key__"] == "set/0000" and first["png"].size == (4, 3)
        assert (first["meta.json"], first["txt"], first["npy"]) == ({"n": 0}, "a dog", b"raw")
        pairs = WebDataset(root / "s-01.tar", ("jpg;png", "cls"), transform=lambda s: s[1])
        assert list(pairs) == [5, 6, 7, 8, 9]
        assert [s["cls"] for s in WebDataset(f"{root}/*.tar")] == list(range(20))

    @pytest.mark.parametrize("workers", [0, 1, 3])
    @pytest.mark.parametrize("shuffle", [0, 7])
    def test_workers_share_the_shards(self, root: Path, workers: int, shuffle: int) -> None:
        data = WebDataset(f"{root}/*.tar", ("cls",), shuffle=shuffle)
        found = [x for (batch,) in DataLoader(data, 3, num_workers=workers) for x in batch.tolist()]
        assert sorted(found) == list(range(20))
        assert (found == list(range(20))) == (not shuffle and workers < 2)

    def test_names(self, root: Path) -> None:
        assert expand_braces("a{0..2}/b{08..09}.tar") == [
            f"a{i}/b{j}.tar" for i in range(3) for j in ("08", "09")
        ]
        with pytest.raises(DatasetNotFoundError):
            WebDataset("no/{0..3}.tar")
        with pytest.raises(DatasetNotFoundError):
            WebDataset(f"{root}/*.tgz")
        with pytest.raises(ArgumentError):
            WebDataset(f"{root}/*.tar", shuffle=-1)

    def test_damaged(self, root: Path) -> None:
        shard(root / "bad.tar", 0, 3, cls=b"no number")
        with pytest.raises(FileFormatError, match=r"bad\.tar: cls of set/0000"):
            list(WebDataset(root / "bad.tar"))
        with pytest.raises(FileFormatError, match="has no depth"):
            list(WebDataset(root / "s-00.tar", ("depth",)))
        whole = (root / "s-00.tar").read_bytes()
        (root / "cut.tar").write_bytes(whole[: len(whole) // 2 + 100])
        (root / "text.tar").write_bytes(b"no archive at all" * 100)
        for name in ("cut.tar", "text.tar"):
            with pytest.raises(FileFormatError, match=name):
                list(WebDataset(root / name))
        paths = [root / name for name in ("bad.tar", "cut.tar", "s-01.tar", "text.tar")]
        data = WebDataset(paths, ("cls",), skip_bad=True)
        with pytest.warns(UserWarning, match="left out"):
            found = [cls for (cls,) in data]
        assert found[-5:] == [5, 6, 7, 8, 9] and data.skipped == 5
