"""Images marked with LabelMe and CVAT, and ADE20K's scenes: targets, layouts, damage."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

import fovea
from fovea.cli.scenes import scenes_of, task_of_folder
from fovea.errors import ArgumentError, FileFormatError, MissingFileError, ShapeError
from fovea.vision.checking import lint, open_parts
from fovea.vision.datasets import (
    CVATDetection,
    DatasetNotFoundError,
    LabelMeDetection,
    SceneParse150,
    wrap_dataset_for_transforms_v2,
)
from fovea.vision.transforms import v2

RNG = np.random.default_rng(0)
WIDTH, HEIGHT = 40, 30
TRIANGLE = [4.0, 3.0, 30.5, 8.0, 12.0, 25.0]


def png(values: Any = None, mode: str | None = None) -> bytes:
    if values is None:
        values = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    held = io.BytesIO()
    Image.fromarray(values).convert(mode).save(held, "PNG")
    return held.getvalue()


def picture(path: Path, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(**options))


def of_coco(polygon: list[float]) -> Any:
    return coco_mask.decode(coco_mask.frPyObjects([polygon], HEIGHT, WIDTH))[..., 0]


def shape(label: str, kind: str, points: Any, **more: Any) -> dict[str, Any]:
    pairs = np.reshape(points, (-1, 2)).tolist()
    return {"label": label, "shape_type": kind, "points": pairs, "group_id": None, **more}


def note(path: Path, shapes: Any, **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"version": "5.4", "flags": {}, "shapes": shapes, "imagePath": f"{path.stem}.png",
               "imageData": None, "imageWidth": WIDTH, "imageHeight": HEIGHT}  # fmt: skip
    path.write_text(json.dumps(content | more))


class TestLabelMe:
    def test_shapes(self, tmp_path: Path) -> None:
        pixels = RNG.integers(0, 2, (6, 9)).astype(np.uint8)
        held = base64.b64encode(png(pixels * 255, "L")).decode()
        picture(tmp_path / "a.png")
        note(tmp_path / "a.json", [
            shape("tree", "polygon", TRIANGLE),
            shape("car", "circle", [20, 15, 20, 9]),
            shape("car", "mask", [5, 4, 13, 9], mask=held),
            shape("tree", "linestrip", [1, 1, 2, 2]),
            shape("car", "point", [3, 3]),
        ])  # fmt: skip
        data = LabelMeDetection(tmp_path)
        image, target = data[0]
        assert data.classes == ["car", "tree"] and image.size == (WIDTH, HEIGHT)
        assert target["labels"].tolist() == [2, 1, 1] and target["image_id"] == 0
        assert target["boxes"].dtype is fovea.float32
        np.testing.assert_allclose(
            target["boxes"].tolist(), [[4, 3, 30.5, 25], [14, 9, 26, 21], [5, 4, 14, 10]], atol=1e-5
        )
        masks = target["masks"].numpy()
        assert masks.shape == (3, HEIGHT, WIDTH) and masks.dtype == np.uint8
        np.testing.assert_array_equal(masks[0], of_coco(TRIANGLE))
        y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        inside = (x - 20) ** 2 + (y - 15) ** 2 <= 36
        assert (masks[1] != inside).sum() <= 8 and masks[1].sum() > 90
        expected = np.zeros((HEIGHT, WIDTH), np.uint8)
        expected[4:10, 5:14] = pixels
        np.testing.assert_array_equal(masks[2], expected)

    def test_groups_and_boxes(self, tmp_path: Path) -> None:
        """Shapes of a group are one object; a rectangle's corners may be any two."""
        other = [32, 20, 38, 20, 38, 28]
        shapes = [
            shape("tree", "polygon", TRIANGLE, group_id=3),
            shape("car", "polygon", other, group_id=3),
            shape("tree", "polygon", other, group_id=3),
        ]
        picture(tmp_path / "a.png")
        note(tmp_path / "a.json", shapes)
        target = LabelMeDetection(tmp_path)[0][1]
        assert target["boxes"].tolist() == [[4, 3, 38, 28], [32, 20, 38, 28]]
        both = of_coco(TRIANGLE) | of_coco([float(v) for v in other])
        np.testing.assert_array_equal(target["masks"][0].numpy(), both)
        note(tmp_path / "a.json", [*shapes, shape("car", "rectangle", [30, 25, 10, 5])])
        target = LabelMeDetection(tmp_path, classes=["tree", "car"])[0][1]
        assert target["boxes"][2].tolist() == [10, 5, 30, 25] and "masks" not in target
        assert target["labels"].tolist() == [1, 2, 2]
        note(tmp_path / "a.json", [])
        assert LabelMeDetection(tmp_path)[0][1]["boxes"].shape == (0, 4)
        with pytest.raises(FileFormatError, match="unknown class 'tree'"):
            note(tmp_path / "a.json", shapes)
            LabelMeDetection(tmp_path, classes=["car"])[0]

    def test_where_images_are(self, tmp_path: Path) -> None:
        notes, images = tmp_path / "notes", tmp_path / "images"
        held = base64.b64encode(png(np.zeros((HEIGHT, WIDTH, 3), np.uint8))).decode()
        note(notes / "a.json", [], imagePath="..\\images\\a.png", imageData=held)
        assert np.asarray(LabelMeDetection(notes)[0][0]).max() == 0  # the file's own copy
        picture(images / "a.png")
        assert np.asarray(LabelMeDetection(notes)[0][0]).max() == 0  # outside: not looked at
        assert np.asarray(LabelMeDetection(notes, images=images)[0][0]).max() > 0
        note(notes / "a.json", [], imagePath="../../images/a.png")
        with pytest.raises(MissingFileError, match=r"a\.json.*'a\.png'"):
            LabelMeDetection(notes)[0]
        for wrong in ("5", base64.b64encode(b"no image").decode()):
            note(notes / "a.json", [], imageData=wrong)
            with pytest.raises(FileFormatError, match=r"a\.json"):
                LabelMeDetection(notes)[0]

    def test_whole_samples(self, tmp_path: Path) -> None:
        picture(tmp_path / "train" / "a.png")
        note(tmp_path / "train" / "a.json", [shape("tree", "polygon", TRIANGLE)])
        picture(tmp_path / "val" / "b.png")
        note(tmp_path / "val" / "b.json", [shape("ant", "rectangle", [1, 1, 9, 9])])
        steps = v2.Compose([v2.Resize((2 * HEIGHT, 2 * WIDTH)), v2.RandomHorizontalFlip(p=1.0)])
        data = LabelMeDetection(tmp_path, "train", transforms=steps)
        assert data.classes == ["ant", "tree"] and "train" in repr(data)  # alike in both parts
        target = wrap_dataset_for_transforms_v2(data, "all")[0][1]
        assert target["boxes"].tolist() == [[19, 6, 72, 50]] and target["labels"].tolist() == [2]
        assert target["masks"].shape == (1, 2 * HEIGHT, 2 * WIDTH)
        scenes = scenes_of(str(tmp_path), "detection", 32)
        assert scenes.classes == ["ant", "tree"] and len(scenes.train) == len(scenes.test) == 1
        assert scenes.train[0][1]["labels"].tolist() == [2]

    def test_lint(self, tmp_path: Path) -> None:
        (tmp_path / "classes.json").write_text("[]")
        held = base64.b64encode(png()).decode()
        note(tmp_path / "a.json", [shape("tree", "polygon", TRIANGLE)], imageData=held)
        picture(tmp_path / "b.png")
        note(tmp_path / "b.json", [shape("car", "rectangle", [1, 1, 90, 20])])
        assert task_of_folder(str(tmp_path)) == "detection"
        report = lint(open_parts(tmp_path))
        assert report.parts["all"] == {"images": 2, "objects": 2, "classes": {"car": 1, "tree": 1}}
        assert [f.kind for f in report.findings] == ["box outside"]
        assert "b.png" in report.findings[0].files[0]

    @pytest.mark.parametrize("wrong", [
        5, {}, {"label": "x"}, shape("x", "polygon", [1, 2, 3, 4]), shape("x", "star", TRIANGLE),
        shape("x", "circle", TRIANGLE), shape("x", "polygon", [1e9, 2, 3, 4, 5, 6]),
        shape("x", "polygon", [float("nan"), 2, 3, 4, 5, 6]), shape("x", "mask", [1, 2, 3, 4]),
        shape("x", "mask", [1, 2, 3, 4], mask="aGVsbG8="), shape("x", "polygon", TRIANGLE, group_id=[]),
    ])  # fmt: skip
    def test_shapes_that_are_none(self, tmp_path: Path, wrong: Any) -> None:
        picture(tmp_path / "a.png")
        note(tmp_path / "a.json", [shape("x", "polygon", TRIANGLE), wrong])
        for name in "bcde":
            picture(tmp_path / f"{name}.png")
            note(tmp_path / f"{name}.json", [shape("y", "polygon", TRIANGLE)])
        data = LabelMeDetection(tmp_path)
        with pytest.raises(FileFormatError, match=r"a\.json: shapes\[1\]"):
            data[0]
        assert data.classes == ["y"] and data[1][1]["labels"].tolist() == [1]
        report = lint(open_parts(tmp_path))
        (told,) = report.of("unreadable annotation")
        assert "a.json: shapes[1]" in told.files[0] and not report.ok
        scenes = scenes_of(str(tmp_path), "detection", 32, skip_bad=True)
        assert len(scenes.train) + len(scenes.test) >= 1 and "a.json" in " ".join(scenes.notes)

    def test_a_file_that_is_cut_short(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            picture(tmp_path / f"{name}.png")
            note(tmp_path / f"{name}.json", [shape("y", "polygon", TRIANGLE)])
        torn = tmp_path / "a.json"
        torn.write_bytes(torn.read_bytes()[:80])
        (told,) = lint(open_parts(tmp_path)).of("unreadable annotation")
        assert str(torn) in told.files[0]

    def test_what_is_missing(self, tmp_path: Path) -> None:
        (tmp_path / "other.json").write_text('{"images": []}')
        with pytest.raises(DatasetNotFoundError, match=str(tmp_path)):
            LabelMeDetection(tmp_path)
        for shapes, more in (([], {"imageWidth": -3}), ([], {"imageHeight": "tall"}), ({}, {})):
            note(tmp_path / "a.json", shapes, **more)
            with pytest.raises(FileFormatError, match=r"a\.json"):
                LabelMeDetection(tmp_path)[0]


def cvat(path: Path, *images: tuple[str, str], labels: str = "car tree", head: str = "") -> None:
    """An annotation of images, each with its attributes and what is in it."""
    known = "".join(f"<label><name>{n}</name><color>#fff</color></label>" for n in labels.split())
    rows = "".join(
        f'<image id="{i}" {said} width="{WIDTH}" height="{HEIGHT}">{inner}</image>'
        for i, (said, inner) in enumerate(images)
    )
    meta = f"<meta><task><id>1</id><labels>{known}</labels></task></meta>"
    path.write_text(f"{head}<annotations><version>1.1</version>{meta}{rows}</annotations>")


def runs(mask: Any) -> str:
    """A mask's rows as lengths of zeros and ones in turn."""
    found, value, count = [], 0, 0
    for pixel in mask.reshape(-1).tolist():
        if pixel != value:
            found.append(count)
            value, count = pixel, 0
        count += 1
    return ", ".join(map(str, [*found, count]))


POLYGON = ('<polygon label="tree" points="4,3;30.5,8;12,25" z_order="0">'
           '<attribute name="age">old</attribute></polygon>')  # fmt: skip


class TestCVAT:
    def test_shapes(self, tmp_path: Path) -> None:
        pixels = RNG.integers(0, 2, (6, 9)).astype(np.uint8)
        window = f'left="5" top="4" width="9" height="6" rle="{runs(pixels)}"'
        ellipse = '<ellipse label="car" cx="20" cy="15" rx="8" ry="4" rotation="90"/>'
        picture(tmp_path / "images" / "a.png")
        picture(tmp_path / "b.png")
        box = '<box label="car" xtl="10" ytl="10" xbr="20" ybr="14"'
        cvat(
            tmp_path / "annotations.xml",
            ('name="a.png"', f'{POLYGON}{ellipse}<mask label="car" {window}/>'
                             '<points label="car" points="1,1"/><tag label="car"/>'),
            ('name="b.png"', f'{box} occluded="0"/>{box} rotation="90.0"/>{POLYGON}'),
        )  # fmt: skip
        data = CVATDetection(tmp_path)
        assert data.classes == ["car", "tree"] and len(data) == 2
        image, target = data[0]
        assert image.size == (WIDTH, HEIGHT) and target["labels"].tolist() == [2, 1, 1]
        np.testing.assert_allclose(
            target["boxes"].tolist(), [[4, 3, 30.5, 25], [16, 7, 24, 23], [5, 4, 14, 10]], atol=1e-5
        )
        masks = target["masks"].numpy()
        np.testing.assert_array_equal(masks[0], of_coco(TRIANGLE))
        y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        inside = ((x - 20) / 4) ** 2 + ((y - 15) / 8) ** 2 <= 1
        assert (masks[1] != inside).sum() <= 10 and masks[1].sum() > 80
        expected = np.zeros((HEIGHT, WIDTH), np.uint8)
        expected[4:10, 5:14] = pixels
        np.testing.assert_array_equal(masks[2], expected)
        target = data[1][1]
        np.testing.assert_allclose(
            target["boxes"].tolist(), [[10, 10, 20, 14], [13, 7, 17, 17], [4, 3, 30.5, 25]],
            atol=1e-5,
        )  # fmt: skip
        assert "masks" not in target and target["image_id"] == 1
        ordered = CVATDetection(tmp_path, tmp_path / "annotations.xml", classes=["tree", "car"])
        assert ordered[1][1]["labels"].tolist() == [2, 2, 1]

    def test_parts(self, tmp_path: Path) -> None:
        box = '<box label="tree" xtl="1" ytl="2" xbr="9" ybr="8"/>'
        for name in ("a", "b", "c"):
            picture(tmp_path / "images" / f"{name}.png")
        cvat(tmp_path / "annotations.xml", ('name="a.png" subset="Train"', box),
             ('name="b.png" subset="Train"', box), ('name="c.png" subset="Validation"', box))  # fmt: skip
        parts = open_parts(tmp_path)
        assert {n: len(d) for n, d in parts.items()} == {"train": 2, "validation": 1}
        scenes = scenes_of(str(tmp_path), "detection", 32)
        assert scenes.classes == ["car", "tree"] and (len(scenes.train), len(scenes.test)) == (2, 1)
        report = lint(parts)
        assert report.parts["train"] == {"images": 2, "objects": 2, "classes": {"tree": 2}}
        assert report.ok

    @pytest.mark.parametrize("inner", [
        "<box/>", '<box label="car" xtl="a" ytl="1" xbr="2" ybr="3"/>',
        '<box label="car" xtl="nan" ytl="1" xbr="2" ybr="3"/>',
        '<box label="car" xtl="1" ytl="1" xbr="1e12" ybr="3"/>',
        '<polygon label="car" points="1,2;3"/>', '<polygon label="car" points="1,2;3,4"/>',
        '<ellipse label="car" cx="1" cy="2" rx="inf" ry="3"/>',
        '<mask label="car" left="0" top="0" width="4" height="4" rle="3,4"/>',
        '<mask label="car" left="0" top="0" width="4" height="4" rle="-3,19"/>',
        '<mask label="car" left="0" top="0" width="999999" height="999999" rle="999998000001"/>',
        '<mask label="car" left="0" top="0" width="4" height="4" rle="1,x"/>',
    ])  # fmt: skip
    def test_shapes_that_are_none(self, tmp_path: Path, inner: str) -> None:
        cvat(tmp_path / "annotations.xml", ('name="a.png"', inner))
        with pytest.raises(FileFormatError, match=r"annotations\.xml: image 'a\.png'"):
            CVATDetection(tmp_path)

    def test_hostile_files(self, tmp_path: Path) -> None:
        path = tmp_path / "root" / "annotations.xml"
        path.parent.mkdir()
        for text in ("", "<annotations>", "<other/>", "<annotations><track/></annotations>", "\0"):
            path.write_text(text)
            with pytest.raises(FileFormatError, match=r"annotations\.xml"):
                CVATDetection(path.parent)
        entity = '<!DOCTYPE x [<!ENTITY a "aaaa">]>'
        cvat(path, ('name="a.png"', "&a;"), head=entity)
        with pytest.raises(FileFormatError, match="DOCTYPE"):
            CVATDetection(path.parent)
        cvat(path, ('title="a.png"', ""))
        with pytest.raises(FileFormatError, match="has no name"):
            CVATDetection(path.parent)
        picture(tmp_path / "secret.png")
        for name in ("../secret.png", str(tmp_path / "secret.png"), "x" * 5000):
            cvat(path, (f'name="{name}"', ""))
            with pytest.raises(MissingFileError, match=r"annotations\.xml"):
                CVATDetection(path.parent)[0]
        with pytest.raises(MissingFileError, match="nowhere"):
            CVATDetection(path.parent, tmp_path / "nowhere.xml")


class TestSceneParse150:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        home = tmp_path / "ADEChallengeData2016"
        for part, names in (("training", ("a", "b")), ("validation", ("c",))):
            for name in names:
                picture(home / "images" / part / f"{name}.jpg")
                mask = RNG.integers(0, 151, (HEIGHT, WIDTH), np.uint8)
                mask[0, :2] = 0, 150
                picture(home / "annotations" / part / f"{name}.png", values=mask)
        rows = "".join(f"{n}\t0.1\t5\t5\t1\tthing{n}, object\n" for n in range(1, 151))
        (home / "objectInfo150.txt").write_text("Idx\tRatio\tTrain\tVal\tStuff\tName\n" + rows)
        return tmp_path

    def test_samples(self, root: Path) -> None:
        home = root / "ADEChallengeData2016"
        data = SceneParse150(root)
        assert len(data) == 2 and data.classes[0] == "thing1" and len(data.classes) == 150
        image, mask = data[1]
        stored = np.asarray(Image.open(home / "annotations" / "training" / "b.png")).astype(int)
        expected = np.where(stored == 0, 255, stored - 1)
        assert image.size == mask.size == (WIDTH, HEIGHT)
        np.testing.assert_array_equal(np.asarray(mask), expected)
        assert {255, 149} <= {*np.asarray(mask).reshape(-1).tolist()}
        wrapped = wrap_dataset_for_transforms_v2(SceneParse150(home, "validation"))[0][1]
        assert wrapped.dtype is fovea.uint8 and wrapped.shape == (HEIGHT, WIDTH)
        assert task_of_folder(str(root)) == "segmentation"
        scenes = scenes_of(str(home), "segmentation", 32)
        assert scenes.classes == data.classes and (len(scenes.train), len(scenes.test)) == (2, 1)
        report = lint(open_parts(root))
        assert not {f.kind for f in report.findings} - {"missing class", "imbalance"}

    def test_what_is_wrong(self, root: Path, tmp_path: Path) -> None:
        home = root / "ADEChallengeData2016"
        with pytest.raises(ArgumentError, match="split"):
            SceneParse150(root, "test")
        with pytest.raises(DatasetNotFoundError, match="download=True"):
            SceneParse150(tmp_path / "nowhere")
        mask = home / "annotations" / "training" / "a.png"
        for values, error, said in (
            (np.full((HEIGHT, WIDTH), 151, np.uint8), FileFormatError, "class 151"),
            (np.zeros((HEIGHT, WIDTH, 3), np.uint8), FileFormatError, "mode is RGB"),
            (np.zeros((HEIGHT, 7), np.uint8), ShapeError, "7 x 30"),
        ):
            picture(mask, values=values)
            with pytest.raises(error, match=said):
                SceneParse150(root)[0]
        mask.unlink()
        with pytest.raises(DatasetNotFoundError, match=r"a\.png"):
            SceneParse150(root)
        (home / "objectInfo150.txt").write_text("Idx\tName\n1\twall\n")
        with pytest.raises(FileFormatError, match="objectInfo150"):
            SceneParse150(root, "val")
        (home / "objectInfo150.txt").unlink()
        assert SceneParse150(root, "val").classes[149] == "class 150"
