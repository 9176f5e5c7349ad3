"""``fovea.vision.utils`` against torchvision's, pixel for pixel."""

from __future__ import annotations

import inspect
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fovea
from fovea.errors import ArgumentError, DTypeError, ShapeError
from fovea.vision import utils
from tests.nn.oracle import rng, torch


@pytest.fixture(scope="module")
def theirs() -> Any:
    from bench.nets.models import torchvision_models

    torchvision_models()  # finds out how torchvision can be imported
    return pytest.importorskip("torchvision.utils")


def image(dtype: str = "uint8", channels: int = 3) -> Any:
    pixels = rng().integers(0, 256, (channels, 40, 50))
    return pixels.astype(np.uint8) if dtype == "uint8" else (pixels / 255).astype(dtype)


def same(theirs: Any, name: str, *arrays: Any, **options: Any) -> None:
    """The same values in the same dtype from both libraries."""

    def call(module: Any, tensor: Any) -> Any:
        changed = {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        return getattr(module, name)(*map(tensor, arrays), **changed)

    found, expected = call(utils, fovea.from_numpy), call(theirs, torch.from_numpy)
    assert found.dtype.name == str(expected.dtype).removeprefix("torch.")
    rounding = 0 if found.dtype.name == "uint8" else 2e-7  # of 8-bit values over 255
    np.testing.assert_allclose(found.numpy(), expected.numpy(), 0, rounding)


@pytest.mark.parametrize("name", utils.__all__)
def test_arguments_are_torchvision_s(theirs: Any, name: str) -> None:
    own, other = (inspect.signature(getattr(m, name)).parameters for m in (utils, theirs))
    assert [(p.name, p.default) for p in own.values()] == [
        (p.name, p.default) for p in other.values()
    ]


BOXES = np.array([[2, 3, 20, 30], [10, 5, 45, 38], [1, 1, 1, 1]], np.float32)
TURNED = np.array([[10, 5, 30, 12, 26, 30, 6, 22], [30, 10, 45, 10, 45, 30, 30, 30]], np.float32)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"labels": ["cat", None, "dog 3%"], "colors": ["red", "#00ff00", (1, 2, 3)], "width": 2},
        {"fill": True, "colors": "orange"},
        {"labels": ["a", "b", "c"], "fill_labels": True, "width": 3},
        {"labels": ["a", "b", "c"], "fill_labels": True, "label_colors": "white",
         "label_background_colors": [(9, 9, 9), "navy", "black"], "colors": (200, 0, 0)},
        {"labels": ["a", "b", "c"], "label_colors": ["red", "lime", "blue"]},
    ],
)  # fmt: skip
def test_boxes(theirs: Any, dtype: str, channels: int, options: dict[str, Any]) -> None:
    same(theirs, "draw_bounding_boxes", image(dtype, channels), BOXES, **options)


@pytest.mark.parametrize("options", [{}, {"fill": True, "labels": ["a", "b"]}, {"width": 3}])
def test_turned_boxes(theirs: Any, options: dict[str, Any]) -> None:
    same(theirs, "draw_bounding_boxes", image(), TURNED, colors="red", **options)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"alpha": 0.3, "colors": ["red", (1, 200, 3), "blue"]}])
def test_masks(theirs: Any, dtype: str, options: dict[str, Any]) -> None:
    masks = rng(1).random((3, 40, 50)) < 0.4
    same(theirs, "draw_segmentation_masks", image(dtype), masks, **options)
    same(theirs, "draw_segmentation_masks", image(dtype), masks[0], colors="lime")


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"connectivity": [(0, 1), (1, 2)], "colors": "red", "radius": 3, "width": 1},
        {"connectivity": [(0, 2)], "visibility": np.array([[1, 0, 1], [1, 1, 0]])},
    ],
)
def test_points(theirs: Any, dtype: str, options: dict[str, Any]) -> None:
    points = rng(2).uniform(0, 40, (2, 3, 2)).astype(np.float32)
    same(theirs, "draw_keypoints", image(dtype), points, **options)


@pytest.mark.parametrize("shape", [(2, 9, 7), (3, 2, 9, 7)])
def test_flow(theirs: Any, shape: tuple[int, ...]) -> None:
    flow = rng().normal(size=shape).astype(np.float32)
    found = utils.flow_to_image(fovea.from_numpy(flow)).numpy().astype(int)
    expected = theirs.flow_to_image(torch.from_numpy(flow)).numpy().astype(int)
    # a value that is just an integer may be rounded down on one side
    assert np.abs(found - expected).max() <= 1 and (found != expected).mean() < 0.01
    standing = utils.flow_to_image(fovea.zeros(2, 2, 2))
    assert (standing == 255).all()


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((10, 3, 5, 4), {"nrow": 4}),
        ((3, 1, 5, 4), {"padding": 0}),
        ((5, 3, 5, 4), {"normalize": True, "pad_value": 0.5}),
        ((5, 3, 5, 4), {"normalize": True, "scale_each": True}),
        ((5, 3, 5, 4), {"normalize": True, "value_range": (-1, 1)}),
        ((1, 3, 5, 4), {}),
        ((3, 5, 4), {}),
        ((1, 5, 4), {}),
        ((5, 4), {"normalize": True}),
    ],
)
def test_grids(theirs: Any, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    same(theirs, "make_grid", rng().normal(size=shape).astype(np.float32), **options)


def test_grids_of_lists_and_integers(theirs: Any) -> None:
    images = [image() for _ in range(3)]
    found = utils.make_grid([fovea.from_numpy(a) for a in images], nrow=2)
    expected = theirs.make_grid([torch.from_numpy(a) for a in images], nrow=2)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    gray = [rng(i).random((6, 5)).astype(np.float32) for i in range(2)]
    grid = utils.make_grid([fovea.from_numpy(a) for a in gray])
    assert grid.shape == (3, 10, 16)


def test_files(theirs: Any, tmp_path: Path) -> None:
    x = rng().normal(0.5, 0.5, (5, 3, 6, 7)).astype(np.float32)
    utils.save_image(fovea.from_numpy(x), tmp_path / "a.png", nrow=3)
    theirs.save_image(torch.from_numpy(x), tmp_path / "b.png", nrow=3)
    a, b = (np.asarray(Image.open(tmp_path / name)) for name in ("a.png", "b.png"))
    np.testing.assert_array_equal(a, b)
    utils.save_image(fovea.from_numpy(x), file := io.BytesIO(), "jpeg")
    assert Image.open(file).format == "JPEG"
    with pytest.raises(ArgumentError, match="does not say a format"):
        utils.save_image(fovea.from_numpy(x), tmp_path / "a.what")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_nothing_to_draw() -> None:
    x = fovea.from_numpy(image())
    with pytest.warns(UserWarning, match="No box was drawn"):
        assert utils.draw_bounding_boxes(x, fovea.zeros(0, 4)) is x
    with pytest.warns(UserWarning, match="No mask was drawn"):
        assert utils.draw_segmentation_masks(x, fovea.zeros(0, 40, 50).bool()) is x
    with pytest.warns(UserWarning, match="font_size"):
        utils.draw_bounding_boxes(x, fovea.ones(1, 4), font_size=3)


def test_mistakes() -> None:
    x, boxes = fovea.from_numpy(image()), fovea.tensor([[1, 2, 3, 4]])
    with pytest.raises(ArgumentError, match="x1 > x2"):
        utils.draw_bounding_boxes(x, fovea.tensor([[3, 2, 1, 4]]))
    with pytest.raises(ShapeError, match="1 boxes, but 2 labels"):
        utils.draw_bounding_boxes(x, boxes, ["a", "b"])
    with pytest.raises(ShapeError, match=r"\(1 or 3, H, W\)"):
        utils.draw_bounding_boxes(x[:2], boxes)
    with pytest.raises(DTypeError, match="uint8 or of floating"):
        utils.draw_bounding_boxes(x.long(), boxes)
    with pytest.raises(ArgumentError, match="'reddish' is no color"):
        utils.draw_bounding_boxes(x, boxes, colors="reddish")
    with pytest.raises(ArgumentError, match="1 colors are needed, got 0"):
        utils.draw_bounding_boxes(x, boxes, colors=[])
    with pytest.raises(ShapeError, match=r"boxes are \(N, 4\)"):
        utils.draw_bounding_boxes(x, boxes[0])
    with pytest.raises(DTypeError, match="masks are bool"):
        utils.draw_segmentation_masks(x, fovea.zeros(40, 50))
    with pytest.raises(ShapeError, match="of the image's size"):
        utils.draw_segmentation_masks(x, fovea.zeros(50, 40).bool())
    with pytest.raises(ShapeError, match=r"\(objects, K, 2\)"):
        utils.draw_keypoints(x, boxes)
    with pytest.raises(ShapeError, match="visibility"):
        utils.draw_keypoints(x, fovea.zeros(1, 2, 2), visibility=fovea.ones(1, 3))
    with pytest.raises(ShapeError, match="one size"):
        utils.make_grid([x, x[:, :3]])
    with pytest.raises(ArgumentError, match="list of tensors"):
        utils.make_grid([image()])
