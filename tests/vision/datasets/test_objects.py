"""Data sets of objects: the same samples as torchvision's and pycocotools', and damaged files."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

import fovea
from fovea.errors import ArgumentError, FileFormatError
from fovea.vision import tv_tensors
from fovea.vision.datasets import (
    CocoCaptions,
    CocoDetection,
    DatasetNotFoundError,
    VOCDetection,
    VOCSegmentation,
    YOLODetection,
    wrap_dataset_for_transforms_v2,
)
from fovea.vision.datasets import voc as voc_module
from fovea.vision.transforms import v2
from tests.utils.server import serve

RNG = np.random.default_rng(0)


def picture(path: Path, width: int = 12, height: int = 9, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, (height, width, 3), np.uint8)).save(path, **options)


def described(objects: list[tuple[Any, ...]]) -> str:
    rows = "".join(
        f"<object><name>{name}</name><difficult>{hard}</difficult><bndbox><xmin>{a}</xmin>"
        f"<ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"
        f"<part><name>head</name></part><part><name>hand</name></part></object>"
        for name, hard, a, b, c, d in objects
    )
    size = "<size><width>12</width><height>9</height><depth>3</depth></size>"
    return f"<annotation><folder>VOC2012</folder>{size}{rows}\n</annotation>"


def make_voc(folder: Path) -> None:
    """Three photographs in VOC's layout: two objects, one, none."""
    objects = {
        "a": [("person", 0, 1, 2, 5, 6), ("dog", 1, 3, 3, 11, 8)],
        "b": [("cat", 0, 1.5, 1, 2, 8)],
        "c": [],
    }
    for name, found in objects.items():
        picture(folder / "JPEGImages" / f"{name}.jpg")
        (folder / "Annotations").mkdir(exist_ok=True)
        (folder / "Annotations" / f"{name}.xml").write_text(described(found))
        (folder / "SegmentationClass").mkdir(exist_ok=True)
        mask = Image.fromarray(RNG.integers(0, 21, (9, 12), np.uint8), "P")
        mask.putpalette(list(range(256)) * 3)
        mask.save(folder / "SegmentationClass" / f"{name}.png")
    for kind in ("Main", "Segmentation"):
        lists = folder / "ImageSets" / kind
        lists.mkdir(parents=True)
        (lists / "train.txt").write_text("a\nc\n")
        (lists / "val.txt").write_text("b\n")


class TestVOC:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        make_voc(tmp_path / "VOCdevkit" / "VOC2012")
        return tmp_path

    @pytest.mark.parametrize("part", ["train", "val"])
    @pytest.mark.parametrize("name", ["VOCDetection", "VOCSegmentation"])
    def test_samples_are_torchvisions(
        self, root: Path, name: str, part: str, torchvision: Any
    ) -> None:
        theirs = getattr(torchvision.datasets, name)(root, image_set=part)
        ours = getattr(fovea.vision.datasets, name)(root, image_set=part)
        assert len(ours) == len(theirs)
        for i in range(len(ours)):
            (image, target), (their_image, expected) = ours[i], theirs[i]
            np.testing.assert_array_equal(np.array(image), np.array(their_image))
            if name == "VOCSegmentation":
                np.testing.assert_array_equal(np.array(target), np.array(expected))
            else:
                assert target == expected

    @pytest.mark.parametrize("keys", [None, "all", ["boxes"]])
    def test_targets_are_torchvisions(self, root: Path, keys: Any, torchvision: Any) -> None:
        theirs = torchvision.datasets.wrap_dataset_for_transforms_v2(
            torchvision.datasets.VOCDetection(root), target_keys=("boxes", "labels")
        )
        ours = wrap_dataset_for_transforms_v2(VOCDetection(root), keys)
        target, expected = ours[0][1], theirs[0][1]
        np.testing.assert_array_equal(target["boxes"].numpy(), expected["boxes"].numpy())
        assert ours[1][1]["boxes"].shape == (0, 4)  # where torchvision raises
        if keys != ["boxes"]:
            assert target["labels"].tolist() == expected["labels"].tolist()
            assert [ours[i][1]["image_id"] for i in (0, 1)] == [0, 1]
        assert ("difficult" in ours[0][1]) == (keys == "all")
        assert keys != "all" or ours[0][1]["difficult"].tolist() == [False, True]

    def test_transforms_of_whole_samples(self, root: Path) -> None:
        steps = v2.Compose([v2.Resize((18, 24)), v2.RandomHorizontalFlip(p=1.0)])
        image, target = wrap_dataset_for_transforms_v2(VOCDetection(root, transforms=steps))[0]
        assert image.size == (24, 18) and target["boxes"].canvas_size == (18, 24)
        assert target["boxes"].tolist() == [[14, 4, 22, 12], [2, 6, 18, 16]]

    def test_masks(self, root: Path) -> None:
        mask = wrap_dataset_for_transforms_v2(VOCSegmentation(root))[0][1]
        assert mask.dtype is fovea.uint8 and mask.shape == (9, 12)
        assert type(mask) is tv_tensors.Mask

    def test_own_folder(self, tmp_path: Path) -> None:
        make_voc(tmp_path)
        assert VOCDetection(tmp_path).classes[:2] == ["aeroplane", "bicycle"]
        for path in (tmp_path / "Annotations").iterdir():
            path.write_text(path.read_text().replace("person", "RBC"))
        assert VOCDetection(tmp_path).classes == ["RBC", "cat", "dog"]
        chosen = VOCDetection(tmp_path, classes=["dog", "RBC"])
        assert chosen.standard_target(chosen[0][1], 0)["labels"].tolist() == [2, 1]
        with pytest.raises(FileFormatError, match=r"a\.xml.*unknown class"):
            short = VOCDetection(tmp_path, classes=["dog"])
            short.standard_target(short[0][1], 0)

    def test_transforms(self, root: Path) -> None:
        seen: list[Any] = []

        def both(image: Any, target: Any) -> Any:
            seen.append(target)
            return image.size, target

        wrapped = wrap_dataset_for_transforms_v2(VOCDetection(root, transforms=both))
        assert wrapped[0][0] == (12, 9) and set(seen[0]) == {"image_id", "boxes", "labels"}
        assert wrapped.classes[0] == "aeroplane" and len(wrapped) == 2
        assert VOCDetection(root, transform=lambda image: image.size)[0][0] == (12, 9)

    def test_turned_pictures(self, root: Path) -> None:
        """A camera's mark is heeded where the boxes were drawn with it, and only there."""
        exif = Image.Exif()
        exif[0x0112] = 6
        path = root / "VOCdevkit" / "VOC2012" / "JPEGImages" / "a.jpg"
        picture(path, 9, 12, exif=exif)  # shown, it is 12 wide, as annotated
        assert VOCDetection(root)[0][0].size == (12, 9)
        picture(path, 12, 9, exif=exif)  # annotated as it is stored
        assert VOCDetection(root)[0][0].size == (12, 9)

    def test_what_is_missing(self, root: Path) -> None:
        with pytest.raises(DatasetNotFoundError, match="download=True"):
            VOCDetection(root / "VOCdevkit")
        with pytest.raises(DatasetNotFoundError, match="train, val"):
            VOCDetection(root, image_set="test")
        with pytest.raises(ArgumentError, match="2012"):
            VOCDetection(root, year="1999")
        (root / "VOCdevkit" / "VOC2012" / "JPEGImages" / "a.jpg").unlink()
        with pytest.raises(FileFormatError, match=r"train\.txt lists 1 pictures"):
            VOCDetection(root)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "<annotation>",
            "<image></image>",
            "\x00\xff",
            '<!DOCTYPE x [<!ENTITY a "aaaa">]><annotation>&a;</annotation>',
            "<annotation><object><name>dog</name></object></annotation>",
            "<annotation><object>dog</object></annotation>",
            "<annotation>" + described([("dog", 0, "x", 1, 2, 3)])[12:],
        ],
    )
    def test_damaged(self, root: Path, text: str) -> None:
        path = root / "VOCdevkit" / "VOC2012" / "Annotations" / "a.xml"
        path.write_text(text)
        with pytest.raises(FileFormatError, match=r"a\.xml"):
            wrap_dataset_for_transforms_v2(VOCDetection(root))[0]

    def test_encodings(self, tmp_path: Path) -> None:
        path = tmp_path / "a.xml"
        path.write_bytes("<annotation><object>dog</object></annotation>".encode("utf-16"))
        assert voc_module.parse_voc_xml(path)["annotation"]["object"] == ["dog"]
        bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><annotation>&a;</annotation>'
        path.write_bytes(bomb.encode("utf-16"))
        with pytest.raises(FileFormatError, match="DOCTYPE"):
            voc_module.parse_voc_xml(path)
        path.write_text('<?xml version="1.0" encoding="nonsense"?><annotation/>')
        with pytest.raises(FileFormatError, match="no XML"):
            voc_module.parse_voc_xml(path)

    def test_download(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make_voc(tmp_path / "made" / "VOCdevkit" / "VOC2007")
        packed = tmp_path / "served" / "voc2007" / "x.tar"
        packed.parent.mkdir(parents=True)
        with tarfile.open(packed, "w") as archive:
            archive.add(tmp_path / "made" / "VOCdevkit", "VOCdevkit")
        md5 = hashlib.md5(packed.read_bytes()).hexdigest()
        monkeypatch.setitem(voc_module._ARCHIVES, "2007", ("x.tar", md5))
        with serve() as server:
            server.content["voc2007/x.tar"] = packed.read_bytes()
            monkeypatch.setattr(voc_module, "_ADDRESS", server.url("voc{year}/{name}"))
            data = VOCDetection(tmp_path / "new", "2007", "train", download=True)
        assert len(data) == 2 and data[0][0].size == (12, 9)


def coco_content() -> dict[str, Any]:
    runs = {"size": [9, 12], "counts": [10, 5, 93]}
    return {
        "images": [
            {"id": 7, "file_name": "b.jpg", "width": 12, "height": 9},
            {"id": 3, "file_name": "sub/a.jpg", "width": 12, "height": 9},
            {"id": 9, "file_name": "c.jpg"},
        ],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 18, "bbox": [1, 2, 5.5, 6], "area": 12.5,
             "iscrowd": 0, "segmentation": [[1, 2, 6, 2, 6, 8]], "keypoints": [1, 2, 2, 0, 0, 0]},
            {"id": 5, "image_id": 7, "category_id": 1, "bbox": [0, 0, 3, 3], "area": 5,
             "iscrowd": 1, "segmentation": runs, "keypoints": [4, 5, 1, 6, 7, 2]},
            {"id": 2, "image_id": 3, "category_id": 1, "bbox": [2, 2, 3, 3], "iscrowd": 0, "area": 9,
             "segmentation": [[1, 1, 4, 1, 4, 4], [6, 6, 8, 6, 8, 8]]},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
    }  # fmt: skip


class TestCoco:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for name in ("b.jpg", "sub/a.jpg", "c.jpg"):
            picture(tmp_path / name)
        (tmp_path / "boxes.json").write_text(json.dumps(coco_content()))
        return tmp_path

    def test_samples_are_torchvisions(self, root: Path, torchvision: Any) -> None:
        arguments = str(root), str(root / "boxes.json")
        ours, theirs = CocoDetection(*arguments), torchvision.datasets.CocoDetection(*arguments)
        assert ours.ids == theirs.ids and len(ours) == 3
        for (image, target), (their_image, expected) in zip(
            (ours[i] for i in range(3)), (theirs[i] for i in range(3)), strict=True
        ):
            np.testing.assert_array_equal(np.array(image), np.array(their_image))
            assert target == expected
        assert ours.classes == {1: "person", 18: "dog"}

    def test_targets_are_torchvisions(self, root: Path, torchvision: Any) -> None:
        arguments = str(root), str(root / "boxes.json")
        theirs = torchvision.datasets.wrap_dataset_for_transforms_v2(
            torchvision.datasets.CocoDetection(*arguments),
            target_keys=("image_id", "boxes", "labels", "masks"),
        )
        ours = wrap_dataset_for_transforms_v2(CocoDetection(*arguments), "all")
        for i in (0, 1):
            target, expected = ours[i][1], theirs[i][1]
            for name in ("boxes", "labels", "masks"):
                np.testing.assert_array_equal(target[name].numpy(), expected[name].numpy())
            assert target["image_id"] == expected["image_id"]
        assert ours[1][1]["keypoints"].shape == (2, 2, 2) and "keypoints" not in ours[0][1]
        assert ours[1][1]["visibility"].tolist() == [[2, 0], [1, 2]]
        assert type(ours[1][1]["keypoints"]) is tv_tensors.KeyPoints
        assert ours[1][1]["iscrowd"].tolist() == [False, True]
        assert ours[1][1]["area"].tolist() == [12.5, 5.0]
        nothing = ours[2][1]
        assert nothing["boxes"].shape == (0, 4) and nothing["labels"].shape == (0,)
        assert set(wrap_dataset_for_transforms_v2(ours.dataset)[0][1]) == {
            "image_id", "boxes", "labels",
        }  # fmt: skip

    def test_annotations_are_pycocotools(self, root: Path) -> None:
        ours, theirs = CocoDetection(root, root / "boxes.json").coco, COCO(root / "boxes.json")
        assert ours.getImgIds() == theirs.getImgIds() and ours.getCatIds() == theirs.getCatIds()
        for images in ((), 7, [3, 7]):
            for kinds in ((), 1, [18]):
                assert ours.getAnnIds(images, kinds) == theirs.getAnnIds(images, kinds)
        assert ours.loadImgs(7) == theirs.loadImgs(7) and ours.loadCats([1]) == theirs.loadCats([1])
        for entry in ours.loadAnns([1, 5, 2]):
            np.testing.assert_array_equal(ours.annToMask(entry), theirs.annToMask(entry))

    def test_captions(self, root: Path) -> None:
        content = coco_content()
        content["annotations"] = [
            {"id": i, "image_id": 3, "caption": text} for i, text in enumerate(["A dog.", "Two."])
        ]
        (root / "captions.json").write_text(json.dumps(content))
        data = CocoCaptions(root, root / "captions.json")
        assert data[0][1] == ["A dog.", "Two."] and data[1][1] == []
        with pytest.raises(ArgumentError):
            wrap_dataset_for_transforms_v2(data)[0]
        with pytest.raises(FileFormatError, match="CocoDetection"):
            CocoCaptions(root, root / "boxes.json")[0]

    @pytest.mark.parametrize(
        ("place", "value"),
        [
            (("images",), None),
            (("images", 0), 5),
            (("images", 0, "id"), [1]),
            (("annotations",), {}),
            (("annotations", 0, "image_id"), {}),
            (("annotations", 0, "bbox"), [1, 2, 3]),
            (("annotations", 0, "bbox"), None),
            (("annotations", 0, "category_id"), "dog"),
            (("annotations", 0, "segmentation"), [["x"]]),
            (("annotations", 0, "segmentation"), {"size": [3, 3], "counts": "~~~"}),
            (("annotations", 0, "segmentation"), {"counts": [9]}),
            (("images", 0, "height"), 1 << 30),
            (("images", 0, "file_name"), "missing.jpg"),
        ],
    )
    def test_damaged(self, root: Path, place: Any, value: Any) -> None:
        content: Any = coco_content()
        at = content
        for step in place[:-1]:
            at = at[step]
        at[place[-1]] = value
        (root / "bad.json").write_text(json.dumps(content))
        with pytest.raises((FileFormatError, ArgumentError), match=r"bad\.json|missing\.jpg|rle"):
            wrap_dataset_for_transforms_v2(CocoDetection(root, root / "bad.json"), "all")[1]

    @pytest.mark.parametrize("text", ["", "[]", "{}", "{", "\x00", "[" * 100000])
    def test_no_annotations(self, root: Path, text: str) -> None:
        (root / "bad.json").write_text(text)
        with pytest.raises(FileFormatError, match=r"bad\.json"):
            CocoDetection(root, root / "bad.json")
        with pytest.raises(FileFormatError, match=r"no\.json"):
            CocoDetection(root, root / "no.json")


class TestYOLO:
    LINES = "0 0.5 0.5 0.5 0.4\n\n2 0.1 0.1 0.2 0.2\n"

    @pytest.fixture(params=["images/train", "train/images", "list"])
    def root(self, tmp_path: Path, request: Any) -> Path:
        folder = "images/other" if request.param == "list" else request.param
        for name in ("a", "b"):
            picture(tmp_path / folder / f"{name}.png", 20, 10)
        texts = tmp_path / folder.replace("images", "labels")
        texts.mkdir(parents=True)
        (texts / "a.txt").write_text(self.LINES)
        if request.param == "list":
            (tmp_path / "train.txt").write_text("images/other/a.png\nimages/other/b.png\n")
        return tmp_path

    def test_boxes(self, root: Path) -> None:
        data = YOLODetection(root)
        image, target = data[0]
        assert image.size == (20, 10) and len(data) == 2
        expected = [[5.0, 3.0, 15.0, 7.0], [0.0, 0.0, 4.0, 2.0]]
        np.testing.assert_allclose(target["boxes"].numpy(), expected, atol=1e-5)
        assert target["labels"].tolist() == [1, 3] and data.classes == ["0", "1", "2"]
        assert data[1][1]["boxes"].shape == (0, 4)
        assert wrap_dataset_for_transforms_v2(data)[0][1].keys() == {"image_id", "boxes", "labels"}

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("data.yaml", "train: x\nnames: ['cat', \"dog\", cow]\n"),
            ("data.yaml", "names: ['cat', 'dog', 'cow']\nnc: 3"),
            ("dataset.yaml", "names:\n  0: cat\n  1: dog\n  2: cow\n"),
            ("data.yaml", "names:\n- cat\n- dog\n- cow\n"),
            ("classes.txt", "cat\ndog\ncow\n"),
        ],
    )
    def test_names(self, root: Path, name: str, text: str) -> None:
        (root / name).write_text(text)
        assert YOLODetection(root).classes == ["cat", "dog", "cow"]

    @pytest.mark.parametrize("text", ["names: 5", "a: [", "names: {0: !!python/object:os.x {}}"])
    def test_no_names(self, root: Path, text: str) -> None:
        (root / "data.yaml").write_text(text)
        with pytest.raises(FileFormatError, match=r"data\.yaml"):
            YOLODetection(root)

    def test_polygons(self, root: Path) -> None:
        path = next(root.rglob("a.txt"))
        path.write_text("1 0 0 0.5 0 0.5 0.5 0 0.5\n0 0.5 0.5 1 0.5 1 1\n")
        target = YOLODetection(root)[0][1]
        assert target["boxes"].tolist() == [[0, 0, 10, 5], [10, 5, 20, 10]]
        assert target["masks"].shape == (2, 10, 20)
        assert target["masks"].numpy()[0].sum() == 50 and target["masks"].numpy()[0, :5, :10].all()

    @pytest.mark.parametrize(
        "line",
        ["0 0.5 0.5 0.5", "x 1 1 1 1", "-1 0.5 0.5 0.1 0.1", "0.5 0.5 0.5 0.1 0.1",
         "0 5 0.5 0.1 0.1", "0 nan 0.5 0.1 0.1", "nan 0.5 0.5 0.1 0.1", "0 0.1 0.1 0.2 0.2 0.3"],
    )  # fmt: skip
    def test_damaged(self, root: Path, line: str) -> None:
        next(root.rglob("a.txt")).write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")
        with pytest.raises(FileFormatError, match=r"a\.txt, line 2"):
            YOLODetection(root, classes=["x"])[0]

    def test_what_is_missing(self, root: Path) -> None:
        with pytest.raises(DatasetNotFoundError, match="images"):
            YOLODetection(root / "nowhere")
        with pytest.raises(FileFormatError, match="class 2 of 1"):
            YOLODetection(root, classes=["x"])[0]
