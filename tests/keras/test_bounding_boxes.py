"""Bounding boxes: their functions against Keras, and layers that move them along with pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, ShapeError
from fovea.keras import Input, Model, layers
from fovea.keras.utils import bounding_boxes as ours

keras = pytest.importorskip("keras")
theirs = keras.utils.bounding_boxes


def boxes(*shape: int, size: tuple[int, int] = (20, 30), seed: int = 0) -> np.ndarray[Any, Any]:
    """Corners within an image of a size."""
    rng = np.random.default_rng(seed)
    low, high = np.sort(rng.uniform(0, 1, (2, *shape, 2)), 0)
    sides = np.array([size[1], size[0]])
    return np.concatenate([low * sides, high * sides], -1).astype(np.float32)


def close(found: Any, expected: Any, atol: float = 1e-4) -> None:
    expected = keras.ops.convert_to_numpy(expected)
    assert tuple(found.shape) == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=atol)


class TestFunctions:
    @pytest.mark.parametrize("source", ours.convert_format.__globals__["FORMATS"])
    @pytest.mark.parametrize("target", ours.convert_format.__globals__["FORMATS"])
    def test_formats(self, source: str, target: str) -> None:
        x = boxes(2, 3) / (30 if source.startswith("rel") else 1)
        close(
            ours.convert_format(x, source, target, 20, 30),
            theirs.convert_format(x, source, target, 20, 30),
        )

    def test_dictionaries_and_refusals(self) -> None:
        given = {"boxes": boxes(2), "labels": np.array([1, 2])}
        found = ours.convert_format(given, "XYXY", "xywh")
        assert found["labels"] is given["labels"] and given["boxes"].shape == (2, 4)
        with pytest.raises(ArgumentError, match="height and width"):
            ours.convert_format(boxes(2), "xyxy", "rel_xyxy")
        with pytest.raises(ArgumentError, match="one of"):
            ours.convert_format(boxes(2), "xyxy", "corners")
        with pytest.raises(ShapeError):
            ours.convert_format(np.zeros((2, 3)), "xyxy", "xywh")
        with pytest.raises(ArgumentError, match="xyxy"):
            ours.crop(boxes(2), 0, 0, 4, 4, bounding_box_format="xywh")

    @pytest.mark.parametrize("kind", ["xyxy", "rel_xyxy"])
    def test_clipping(self, kind: str) -> None:
        x = boxes(2, 6) * 2 - 12
        x[0, 0] = [40, 3, 50, 9]
        x = x / 30 if kind == "rel_xyxy" else x
        labels = np.arange(12).reshape(2, 6)
        given = {"boxes": keras.ops.convert_to_tensor(x), "labels": labels}
        expected = theirs.clip_to_image_size(given, 20, 30, kind)
        found = ours.clip_to_image_size({"boxes": x, "labels": labels}, 20, 30, kind)
        close(found["boxes"], expected["boxes"])
        assert found["labels"].tolist() == np.asarray(expected["labels"]).tolist()
        assert found["labels"][0, 0] == -1

    def test_moves(self) -> None:
        x, n = boxes(3, 5), 3
        rng = np.random.default_rng(1)
        angle, tx, ty, scale, sx, sy = (
            rng.uniform(-0.5, 0.5, n).astype("float32") for _ in range(6)
        )
        args = (angle * 90, tx, ty, scale + 1, sx * 40, sy * 40)
        expected = theirs.affine_transform(
            x, *map(keras.ops.convert_to_tensor, args), height=20, width=30
        )
        close(ours.affine_transform(x, *args, height=20, width=30), expected, 1e-3)
        expected = theirs.affine_transform(
            x, *map(keras.ops.convert_to_tensor, args), 20, 30, center_x=0.2, center_y=0.9
        )
        found = ours.affine_transform(x, *args, 20, 30, center_x=0.2, center_y=0.9)
        close(found, expected, 1e-3)
        close(ours.crop(x, 3, 4, 9, 8), theirs.crop(keras.ops.convert_to_tensor(x), 3, 4, 9, 8))
        close(ours.pad(x, 3, 4), theirs.pad(keras.ops.convert_to_tensor(x), 3, 4))

    @pytest.mark.parametrize("code", ["center_xywh", "center_yxhw"])
    @pytest.mark.parametrize("variance", [None, [0.1, 0.1, 0.2, 0.2]])
    @pytest.mark.parametrize("box_format", ["xyxy", "rel_yxyx"])
    def test_anchors(self, code: str, variance: Any, box_format: str) -> None:
        anchors, x = boxes(6), boxes(2, 6, seed=1)
        x = x / 30 if box_format == "rel_yxyx" else x
        args = ("xyxy", box_format, code, variance, (20, 30, 3))
        deltas = theirs.encode_box_to_deltas(anchors, x, *args)
        close(ours.encode_box_to_deltas(anchors, x, *args), deltas, 1e-3)
        back = ours.decode_deltas_to_boxes(anchors, np.asarray(deltas), *args)
        close(back, theirs.decode_deltas_to_boxes(anchors, deltas, *args), 1e-3)
        np.testing.assert_allclose(back.numpy(), x, atol=1e-3)
        levels = ours.decode_deltas_to_boxes({"P3": anchors}, {"P3": np.asarray(deltas)}, *args)
        assert levels["P3"].tolist() == back.tolist()
        with pytest.raises(ArgumentError, match="four numbers"):
            ours.encode_box_to_deltas(anchors, x, "xyxy", "xyxy", variance=[1.0])

    @pytest.mark.parametrize(
        "shapes", [((3,), (4,)), ((2, 3), (2, 4)), ((2, 3), (4,)), ((3,), (2, 4))]
    )
    def test_overlaps(self, shapes: Any) -> None:
        a, b = boxes(*shapes[0]), boxes(*shapes[1], seed=3)
        close(ours.compute_iou(a, b, "xyxy"), theirs.compute_iou(a, b, "xyxy"))
        close(
            ours.compute_iou(a / 30, b / 30, "rel_xywh", image_shape=(20, 30, 3)),
            theirs.compute_iou(a / 30, b / 30, "rel_xywh", image_shape=(20, 30, 3)),
        )
        if len(shapes[0]) == len(shapes[1]):
            a[..., 0, :], b[..., 1, :] = -1, -1
            close(
                ours.compute_iou(a, b, "xyxy", use_masking=True, mask_val=-7),
                theirs.compute_iou(a, b, "xyxy", use_masking=True, mask_val=-7),
            )
        with pytest.raises(ArgumentError, match="image_shape"):
            ours.compute_iou(a, b, "rel_xyxy")

    def test_complete_overlaps(self) -> None:
        a, b = boxes(2, 3), boxes(2, 3, seed=3)
        for kind in ("xyxy", "center_xywh"):
            close(ours.compute_ciou(a, b, kind), theirs.compute_ciou(a, b, kind))


# A rectangle of ones: what becomes of its pixels is what should become of its box.
MOVES: list[tuple[str, dict[str, Any]]] = [
    ("Resizing", {"height": 20, "width": 36}),
    ("Resizing", {"height": 30, "width": 30, "crop_to_aspect_ratio": True}),
    ("Resizing", {"height": 60, "width": 40, "pad_to_aspect_ratio": True}),
    ("CenterCrop", {"height": 30, "width": 28}),
    ("CenterCrop", {"height": 50, "width": 28}),
    ("RandomCrop", {"height": 30, "width": 28, "seed": 1}),
    ("RandomCrop", {"height": 50, "width": 28, "seed": 1}),
    ("RandomFlip", {"mode": "horizontal", "seed": 0}),
    ("RandomFlip", {"mode": "vertical", "seed": 0}),
    ("RandomFlip", {"seed": 0}),
    ("RandomRotation", {"factor": (0.25, 0.25), "fill_mode": "constant"}),
    ("RandomRotation", {"factor": (-0.07, -0.03), "fill_mode": "constant", "seed": 0}),
    ("RandomZoom", {"height_factor": (0.2, 0.4), "fill_mode": "constant"}),
    ("RandomZoom", {"height_factor": (-0.4, -0.2), "width_factor": 0.1, "fill_mode": "constant"}),
    ("RandomTranslation", {"height_factor": 0.3, "width_factor": 0.2, "fill_mode": "constant"}),
    ("RandomShear", {"x_factor": 0.3, "fill_mode": "constant", "seed": 3}),
    ("RandomShear", {"y_factor": (0.2, 0.3), "fill_mode": "constant", "seed": 3}),
    ("RandomPerspective", {"scale": 0.5, "seed": 1}),
]  # fmt: skip
HIGH, WIDE = 40, 48
CORNERS = [[10.0, 8.0, 24.0, 20.0], [30.0, 22.0, 47.0, 39.0]]


def rectangles() -> np.ndarray[Any, Any]:
    """For each of four images, twice: a rectangle a channel."""
    image = np.zeros((HIGH, WIDE, 2), np.float32)
    for channel, (x1, y1, x2, y2) in enumerate(CORNERS):
        image[int(y1) : int(y2), int(x1) : int(x2), channel] = 1
    return np.stack([image] * 4)


@pytest.mark.parametrize(("name", "config"), MOVES)
def test_boxes_follow_pixels(name: str, config: dict[str, Any]) -> None:
    layer = getattr(layers, name)(**config, bounding_box_format="xyxy")
    x, labels = rectangles(), np.array([[3, 4]] * 4)
    given = {
        "images": fovea.tensor(x),
        "bounding_boxes": {"boxes": np.array([CORNERS] * 4, np.float32), "labels": labels},
    }
    found = layer(given, training=True)
    assert given["images"].tolist() == x.tolist()  # what was given stays
    pixels, moved = found["images"].numpy(), found["bounding_boxes"]
    assert moved["boxes"].shape == (4, 2, 4) and moved["labels"].shape == (4, 2)
    seen = 0
    for image, boxes_of, labels_of in zip(pixels, moved["boxes"], moved["labels"], strict=True):
        for channel in range(2):
            rows, columns = np.nonzero(image[..., channel] > 0.5)
            if not len(rows):
                continue
            seen += 1
            expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            # Pixels are whole; where an edge is slanted, they show less of it than there is.
            np.testing.assert_allclose(boxes_of[channel].numpy(), expected, atol=1.6)
            assert labels_of[channel] == 3 + channel
    assert seen > 3


@pytest.mark.parametrize(("name", "config"), MOVES)
@pytest.mark.parametrize("kind", ["rel_xyxy", "center_xywh", "yxyx"])
def test_formats_and_single_images(name: str, config: dict[str, Any], kind: str) -> None:
    config = {**config, "seed": 5} if name not in ("Resizing", "CenterCrop") else config
    x = rectangles()[0]
    corners = np.array(CORNERS, np.float32)
    results = []
    for single, given_kind in ((True, kind), (False, "xyxy")):
        layer = getattr(layers, name)(**config, bounding_box_format=given_kind)
        layer = type(layer).from_config(layer.get_config())
        assert layer.bounding_box_format == given_kind
        boxes_of = ours.convert_format(corners, "xyxy", given_kind, HIGH, WIDE)
        given = {"boxes": boxes_of, "labels": np.array([1, 2])}
        if not single:
            given = {key: value[None] for key, value in given.items()}
        image = fovea.tensor(x if single else x[None])
        found = layer({"images": image, "bounding_boxes": given}, training=True)
        h, w = found["images"].shape[-3:-1]
        back = ours.convert_format(found["bounding_boxes"]["boxes"], given_kind, "xyxy", h, w)
        results.append(back if single else back[0])
    np.testing.assert_allclose(results[0].numpy(), results[1].numpy(), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("Resizing", {"height": 20, "width": 36}),
        ("Resizing", {"height": 30, "width": 30, "crop_to_aspect_ratio": True}),
        ("CenterCrop", {"height": 30, "width": 28}),
        ("CenterCrop", {"height": 50, "width": 28}),
        ("RandomTranslation", {"height_factor": (0.2, 0.2), "width_factor": (-0.3, -0.3)}),
    ],
)
def test_boxes_are_keras_s(name: str, config: dict[str, Any]) -> None:
    x = rectangles()
    labels = np.array([[3, 4]] * 4)
    results = []
    for room in (layers, keras.layers):
        given = {"boxes": np.array([CORNERS] * 4, np.float32), "labels": labels.copy()}
        layer = getattr(room, name)(**config, bounding_box_format="xyxy")
        results.append(layer({"images": x, "bounding_boxes": given}, training=True))
    found, expected = (r["bounding_boxes"] for r in results)
    close(found["boxes"], expected["boxes"], 1e-3)
    assert found["labels"].tolist() == np.asarray(expected["labels"]).tolist()


def test_what_leaves_and_what_fills_up() -> None:
    layer = layers.RandomTranslation(0.0, (-0.6, -0.6), bounding_box_format="xywh")
    lists = {"boxes": [[[0.0, 0, 4, 4], [6.0, 2, 4, 4]], [[1.0, 1, 9, 9]]], "labels": [[5, 6], [7]]}
    found = layer({"images": fovea.zeros(2, 10, 10, 3), "bounding_boxes": lists}, training=True)
    assert found["bounding_boxes"]["labels"].tolist() == [[-1, 6], [7, -1]]
    np.testing.assert_allclose(
        found["bounding_boxes"]["boxes"].numpy(),
        [[[0, 0, 0, 4], [0, 2, 4, 4]], [[0, 1, 4, 9], [0, 0, 0, 0]]],
        atol=1e-5,
    )
    idle = layer({"images": fovea.zeros(2, 10, 10, 3), "bounding_boxes": lists}, training=False)
    assert idle["bounding_boxes"]["labels"].tolist() == [[5, 6], [7, -1]]


def test_other_layers() -> None:
    fovea.manual_seed(0)
    x = fovea.rand(2, 8, 8, 3)
    given = {"boxes": boxes(2, 3, size=(8, 8)), "labels": np.arange(6).reshape(2, 3)}
    for make in (layers.RandomContrast, layers.RandomErasing, layers.AugMix):
        layer = (
            make(0.5, bounding_box_format="xyxy")
            if make is not layers.AugMix
            else make(bounding_box_format="xyxy")
        )
        found = layer({"images": x, "bounding_boxes": dict(given)}, training=True)
        assert found["bounding_boxes"]["boxes"].tolist() == given["boxes"].tolist()
    mixed = layers.MixUp(bounding_box_format="xyxy")(
        {"images": x, "bounding_boxes": dict(given)}, training=True
    )["bounding_boxes"]
    assert mixed["boxes"].shape == (2, 6, 4) and mixed["labels"].shape == (2, 6)
    assert mixed["labels"][:, :3].tolist() == given["labels"].tolist()
    turned = layers.RandAugment(factor=1.0, num_ops=3, bounding_box_format="xyxy")(
        {"images": x, "bounding_boxes": dict(given)}, training=True
    )["bounding_boxes"]
    assert turned["boxes"].shape == (2, 3, 4)
    for layer in (layers.CutMix, layers.RandomElasticTransform):
        with pytest.raises(ArgumentError, match="boxes"):
            layer(bounding_box_format="xyxy")(
                {"images": x, "bounding_boxes": dict(given)}, training=True
            )
    with pytest.raises(ArgumentError, match="bounding_box_format"):
        layers.RandomFlip(bounding_box_format="corners")
    with pytest.raises(ShapeError, match="labels"):
        layers.RandomFlip(bounding_box_format="xyxy")(
            {"images": x, "bounding_boxes": {**given, "labels": np.zeros((2, 2))}}, training=True
        )


@pytest.mark.parametrize("most", [2, 3, 5])
def test_as_many_boxes(most: int) -> None:
    given = {"boxes": boxes(2, 3), "labels": np.arange(6).reshape(2, 3)}
    x = np.zeros((2, 4, 4, 3), np.float32)
    layer = layers.MaxNumBoundingBoxes(most, fill_value=-2, bounding_box_format="xyxy")
    found = layer({"images": x, "bounding_boxes": dict(given)})["bounding_boxes"]
    peer = keras.layers.MaxNumBoundingBoxes(most, fill_value=-2, bounding_box_format="xyxy")
    expected = peer({"images": x, "bounding_boxes": dict(given)})["bounding_boxes"]
    close(found["boxes"], expected["boxes"])
    assert found["labels"].tolist() == np.asarray(expected["labels"]).tolist()
    again = layers.MaxNumBoundingBoxes.from_config(layer.get_config())
    assert (again.max_number, again.fill_value) == (most, -2)


def test_dictionaries_in_models() -> None:
    inputs = {
        "images": Input((8, 8, 3)),
        "bounding_boxes": {"boxes": Input((3, 4)), "labels": Input((3,), dtype="int32")},
    }
    y = layers.Resizing(4, 6, bounding_box_format="xyxy")(inputs)
    y = layers.MaxNumBoundingBoxes(5, bounding_box_format="xyxy")(y)
    model = Model(inputs, y)
    assert y["images"].shape == (None, 4, 6, 3)
    assert y["bounding_boxes"]["boxes"].shape == (None, 5, 4)
    given = {
        "images": fovea.zeros(2, 8, 8, 3),
        "bounding_boxes": {
            "boxes": fovea.tensor(boxes(2, 3, size=(8, 8))),
            "labels": fovea.arange(6).reshape(2, 3).int(),
        },
    }
    found = model(given)
    assert found["bounding_boxes"]["labels"].tolist() == [[0, 1, 2, -1, -1], [3, 4, 5, -1, -1]]
    assert found["images"].shape == (2, 4, 6, 3)
