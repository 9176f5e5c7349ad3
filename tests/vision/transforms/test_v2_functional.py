"""Functions of whole samples: images, masks, boxes and points move as torchvision moves them."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fovea
from fovea.errors import ArgumentError, DTypeError, ShapeError
from fovea.vision import tv_tensors as ours_tv
from fovea.vision.transforms.v2 import functional as F

torch = pytest.importorskip("torch")
Array = np.ndarray[Any, Any]
SIZE = (17, 23)
BOXES = np.array([[1.0, 2.0, 9.5, 8.0], [0.0, 0.0, 23.0, 17.0], [15.25, 3.0, 21.0, 16.5]])
FORMATS = ["XYXY", "XYWH", "CXCYWH"]
CORNERS = [[0, 0], [22, 0], [22, 16], [0, 16]]
MOVED = [[3, 2], [20, 1], [19, 14], [2, 15]]
MOVES: list[tuple[str, dict[str, Any]]] = [
    ("horizontal_flip", {}),
    ("vertical_flip", {}),
    ("resize", {"size": [11, 40]}),
    ("resize", {"size": [12]}),
    ("resize", {"size": 30, "max_size": 35}),
    ("resize", {"size": None, "max_size": 31}),
    ("crop", {"top": 3, "left": 5, "height": 9, "width": 12}),
    ("crop", {"top": -3, "left": 10, "height": 30, "width": 20}),
    ("center_crop", {"output_size": [10, 12]}),
    ("center_crop", {"output_size": [21, 12]}),
    ("resized_crop", {"top": 2, "left": 3, "height": 10, "width": 15, "size": [20, 25]}),
    ("pad", {"padding": [1, 2, 3, 4]}),
    ("pad", {"padding": [2, 5], "fill": 7}),
    ("rotate", {"angle": 30.0}),
    ("rotate", {"angle": -75.0, "expand": True}),
    ("rotate", {"angle": 12.0, "center": [3.0, 4.0], "fill": 3}),
    ("affine", {"angle": 20.0, "translate": [2, -3], "scale": 1.3, "shear": [10.0, -5.0]}),
    ("affine", {"angle": 0.0, "translate": [4, 1], "scale": 0.7, "shear": [0.0, 20.0], "center": [0.0, 0.0]}),
    ("perspective", {"startpoints": CORNERS, "endpoints": MOVED}),
    ("perspective", {"startpoints": None, "endpoints": None,
                     "coefficients": [1.1, 0.1, -1.0, 0.05, 0.9, 0.5, 0.002, -0.001]}),
]  # fmt: skip


@pytest.fixture
def theirs(torchvision: Any) -> Any:
    from torchvision.transforms.v2 import functional

    return functional


@pytest.fixture
def their_tv(torchvision: Any) -> Any:
    from torchvision import tv_tensors

    return tv_tensors


def picture(dtype: str = "uint8", channels: int = 3) -> Array:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (channels, *SIZE), np.uint8)
    return values if dtype == "uint8" else (values / 255).astype(dtype)


NEAREST = ("rotate", "affine")  # between two pixels the last bit decides


def case_id(value: Any) -> str | None:
    return value if isinstance(value, str) else "-".join(value) if isinstance(value, dict) else None


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(("name", "options"), MOVES, ids=case_id)
def test_images(name: str, options: dict[str, Any], dtype: str, theirs: Any) -> None:
    x = picture(dtype)
    found = getattr(F, name)(ours_tv.Image(fovea.tensor(x)), **options)
    expected = getattr(theirs, name)(torch.tensor(x), **options).numpy()
    assert type(found) is ours_tv.Image
    # Where a value is rounded, or which pixel is nearest, can hang on the last bit.
    assert found.shape == expected.shape
    wrong = abs(found.numpy().astype(float) - expected) > (1 if dtype == "uint8" else 1e-4)
    assert wrong.mean() < (0.06 if name in NEAREST else 0.001)


@pytest.mark.parametrize(("name", "options"), MOVES, ids=case_id)
def test_pil_images(name: str, options: dict[str, Any], theirs: Any) -> None:
    image = Image.fromarray(picture().transpose(1, 2, 0).copy())
    found, expected = (getattr(f, name)(image, **options) for f in (F, theirs))
    wrong = np.array(found) != np.array(expected)
    assert wrong.mean() < (0.02 if "startpoints" in options else 1e-9)  # theirs solves in float32


@pytest.mark.parametrize("shape", [SIZE, (1, *SIZE), (4, *SIZE)])
@pytest.mark.parametrize(("name", "options"), MOVES, ids=case_id)
def test_masks(name: str, options: dict[str, Any], shape: Any, theirs: Any, their_tv: Any) -> None:
    x = np.random.default_rng(1).integers(0, 5, shape).astype(np.uint8)
    found = getattr(F, name)(ours_tv.Mask(x), **options)
    expected = getattr(theirs, name)(their_tv.Mask(torch.tensor(x)), **options)
    assert type(found) is ours_tv.Mask and found.shape == tuple(expected.shape)
    wrong = (found.numpy() != expected.numpy()).mean()
    assert wrong < (0.06 if name in (*NEAREST, "perspective") else 1e-9)


@pytest.mark.parametrize("mode", [None, "soft", "hard"])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("name", "options"), MOVES, ids=case_id)
def test_boxes(
    name: str, options: dict[str, Any], format: str, mode: Any, theirs: Any, their_tv: Any
) -> None:
    known = {"format": format, "canvas_size": SIZE, "clamping_mode": mode}
    values = np.array(F.convert_bounding_box_format(fovea.tensor(BOXES), "XYXY", format).numpy())
    found = getattr(F, name)(ours_tv.BoundingBoxes(values, **known), **options)
    expected = getattr(theirs, name)(
        their_tv.BoundingBoxes(torch.tensor(values), **known), **options
    )
    assert type(found) is ours_tv.BoundingBoxes
    image = getattr(F, name)(fovea.tensor(picture()), **options)
    assert found.format.name == format and found.canvas_size == tuple(image.shape[1:])
    # Enlarged, theirs takes the image for up to a pixel larger than it is.
    np.testing.assert_allclose(
        found.numpy(), expected.numpy(), atol=1 if "expand" in options else 1e-3
    )


@pytest.mark.parametrize("shape", [(3, 2), (2, 3, 2)])
@pytest.mark.parametrize(("name", "options"), MOVES, ids=case_id)
def test_points(name: str, options: dict[str, Any], shape: Any, theirs: Any, their_tv: Any) -> None:
    x = np.random.default_rng(2).uniform(0, 16, shape)
    found = getattr(F, name)(ours_tv.KeyPoints(x, canvas_size=SIZE), **options)
    expected = getattr(theirs, name)(
        their_tv.KeyPoints(torch.tensor(x), canvas_size=SIZE), **options
    )
    image = getattr(F, name)(fovea.tensor(picture()), **options)
    assert type(found) is ours_tv.KeyPoints and found.canvas_size == tuple(image.shape[1:])
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-3)


def test_whole_numbers(theirs: Any, their_tv: Any) -> None:
    x = np.array([[1, 2, 8, 7], [3, 3, 5, 9]])
    for format in FORMATS:
        known = {"format": format, "canvas_size": SIZE}
        ours = ours_tv.BoundingBoxes(x, **known)
        other = their_tv.BoundingBoxes(torch.tensor(x), **known)
        for new in FORMATS:
            a, b = (
                f.convert_bounding_box_format(t, new_format=new)
                for f, t in ((F, ours), (theirs, other))
            )
            assert a.tolist() == b.tolist() and a.dtype is fovea.int64
        for name in ("horizontal_flip", "vertical_flip") if format != "CXCYWH" else ():
            assert getattr(F, name)(ours).tolist() == getattr(theirs, name)(other).tolist()


def test_elastic(theirs: Any, their_tv: Any) -> None:
    rng = np.random.default_rng(3)
    beside = rng.uniform(-0.2, 0.2, (1, *SIZE, 2)).astype("f4")
    for fill in (None, 3.0):
        x = picture("float32")
        found = F.elastic(fovea.tensor(x), fovea.tensor(beside), "bilinear", fill)
        expected = theirs.elastic(torch.tensor(x), torch.tensor(beside), fill=fill)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-4)
    mask = rng.integers(0, 5, SIZE).astype(np.uint8)
    a = F.elastic(ours_tv.Mask(mask), fovea.tensor(beside))
    b = theirs.elastic(their_tv.Mask(torch.tensor(mask)), torch.tensor(beside))
    assert (a.numpy() != b.numpy()).mean() < 0.01
    # Theirs moves boxes and points from one pixel to the next: ours differ by less than two.
    known = {"format": "XYXY", "canvas_size": SIZE}
    smooth = np.zeros_like(beside) + np.float32(0.1)
    a = F.elastic(ours_tv.BoundingBoxes(BOXES, **known), fovea.tensor(smooth))
    b = theirs.elastic(their_tv.BoundingBoxes(torch.tensor(BOXES), **known), torch.tensor(smooth))
    np.testing.assert_allclose(a.numpy(), b.numpy(), atol=2)
    with pytest.raises(ShapeError):
        F.elastic(fovea.zeros(1, 4, 4), fovea.zeros(1, 4, 5, 2))


COLORS: list[tuple[str, dict[str, Any]]] = [
    ("adjust_brightness", {"brightness_factor": 1.4}),
    ("adjust_contrast", {"contrast_factor": 0.6}),
    ("adjust_saturation", {"saturation_factor": 1.7}),
    ("adjust_hue", {"hue_factor": 0.2}),
    ("adjust_gamma", {"gamma": 0.7, "gain": 0.9}),
    ("adjust_sharpness", {"sharpness_factor": 2.5}),
    ("adjust_sharpness", {"sharpness_factor": 0.0}),
    ("autocontrast", {}),
    ("equalize", {}),
    ("invert", {}),
    ("posterize", {"bits": 3}),
    ("posterize", {"bits": 0}),
    ("solarize", {"threshold": 0.4}),
    ("rgb_to_grayscale", {"num_output_channels": 3}),
    ("grayscale_to_rgb", {}),
    ("permute_channels", {"permutation": [2, 0, 1]}),
    ("gaussian_blur", {"kernel_size": [5, 3], "sigma": [1.2, 0.8]}),
]


@pytest.mark.parametrize("kind", ["uint8", "float32", "PIL", "dark"])
@pytest.mark.parametrize(("name", "options"), COLORS, ids=case_id)
def test_colors(name: str, options: dict[str, Any], kind: str, theirs: Any) -> None:
    x = picture("float32" if kind == "float32" else "uint8")
    x = x // 8 + 3 if kind == "dark" else x
    if name == "solarize" and kind != "float32":
        options = {"threshold": 100}
    if kind == "PIL":
        if name == "gaussian_blur" or options.get("bits") == 0:
            pytest.skip("computed as for tensors, or not at all")
        image = Image.fromarray(x.transpose(1, 2, 0).copy())
        found, expected = (np.array(getattr(f, name)(image, **options)) for f in (F, theirs))
        np.testing.assert_array_equal(found, expected)
        return
    found = getattr(F, name)(ours_tv.Image(fovea.tensor(x)), **options)
    expected = getattr(theirs, name)(torch.tensor(x), **options).numpy()
    assert type(found) is ours_tv.Image and found.dtype.name == kind.replace("dark", "uint8")
    close = 1e-4 if kind == "float32" else 1.0
    np.testing.assert_allclose(found.numpy().astype(float), expected, atol=close)
    mask = ours_tv.Mask(x[0])
    assert getattr(F, name)(mask, **options) is mask


def test_gray_and_flat_images(theirs: Any) -> None:
    gray, flat = picture(channels=1), np.full((3, 5, 5), 9, np.uint8)
    for name in ("autocontrast", "equalize", "grayscale_to_rgb", "invert"):
        for x in (gray, flat, flat[:, :1]):
            found = getattr(F, name)(fovea.tensor(x)).numpy()
            np.testing.assert_array_equal(found, getattr(theirs, name)(torch.tensor(x)).numpy())


def test_jpeg_and_noise() -> None:
    x = picture()
    for quality in (5, 95):
        image = Image.fromarray(x.transpose(1, 2, 0).copy())
        expected = np.array(F.jpeg(image, quality)).transpose(2, 0, 1)
        np.testing.assert_array_equal(F.jpeg(fovea.tensor(x), quality).numpy(), expected)
    with pytest.raises(DTypeError):
        F.jpeg(fovea.zeros(3, 4, 4), 50)
    with pytest.raises(ArgumentError):
        F.jpeg(fovea.tensor(x), 0)
    fovea.manual_seed(0)
    noisy = F.gaussian_noise(fovea.full((3, 90, 90), 0.5), 0.1, 0.05).numpy()
    assert abs(noisy.mean() - 0.6) < 0.005 and abs(noisy.std() - 0.05) < 0.003
    noisy = F.gaussian_noise(fovea.full((3, 90, 90), 100, dtype=fovea.uint8), 0.0, 0.1).numpy()
    assert noisy.dtype == np.uint8 and abs(noisy.std() - 25.5) < 1
    assert F.gaussian_noise(fovea.zeros(1, 8, 8), clip=False).min().item() < 0
    with pytest.raises(DTypeError):
        F.gaussian_noise(fovea.zeros(1, 8, 8, dtype=fovea.int64))


def test_sanitizing(theirs: Any, their_tv: Any) -> None:
    x = np.array([[0, 0, 4, 4], [2, 2, 2, 9], [-1, 0, 5, 5], [3, 3, 30, 9], [1, 1, 2.5, 1.5]])
    for options in ({}, {"min_size": 0.4, "min_area": 0.1}, {"min_area": 10.0}):
        known = {"format": "XYXY", "canvas_size": SIZE}
        kept, valid = F.sanitize_bounding_boxes(ours_tv.BoundingBoxes(x, **known), **options)
        expected, which = theirs.sanitize_bounding_boxes(
            their_tv.BoundingBoxes(torch.tensor(x), **known), **options
        )
        assert valid.tolist() == which.tolist() and kept.tolist() == expected.tolist()
        plain, _ = F.sanitize_bounding_boxes(fovea.tensor(x), "XYXY", SIZE, **options)
        assert plain.tolist() == expected.tolist() and type(kept) is ours_tv.BoundingBoxes
    points = np.array([[[1.0, 2], [3, 4]], [[1, 2], [30, 4]], [[-1, 0], [2, 2]]])
    _, valid = F.sanitize_keypoints(ours_tv.KeyPoints(points, canvas_size=SIZE))
    assert valid.tolist() == [True, False, False]


def test_clamping(theirs: Any, their_tv: Any) -> None:
    x = np.array([[-3.0, 2, 5, 30], [20, 10, 40, 12]])
    for format in FORMATS:
        known = {"format": format, "canvas_size": SIZE}
        a = F.clamp_bounding_boxes(ours_tv.BoundingBoxes(x, **known))
        b = theirs.clamp_bounding_boxes(their_tv.BoundingBoxes(torch.tensor(x), **known))
        np.testing.assert_allclose(a.numpy(), b.numpy())
    points = np.array([[-1.0, 3], [30, 40]])
    a = F.clamp_keypoints(ours_tv.KeyPoints(points, canvas_size=SIZE))
    b = theirs.clamp_keypoints(their_tv.KeyPoints(torch.tensor(points), canvas_size=SIZE))
    np.testing.assert_allclose(a.numpy(), b.numpy())
    for wrong in (
        lambda: F.clamp_bounding_boxes(fovea.tensor(x)),
        lambda: F.clamp_bounding_boxes(ours_tv.BoundingBoxes(x, **known), format="XYXY"),
        lambda: F.clamp_keypoints(fovea.tensor(points)),
        lambda: F.convert_bounding_box_format(fovea.tensor(x), new_format="XYXY"),
        lambda: F.convert_bounding_box_format(fovea.tensor(x), "XYXY"),
        lambda: F.convert_bounding_box_format(fovea.tensor(x), "XYXY", "nonsense"),
        lambda: F.sanitize_bounding_boxes(fovea.tensor(x)),
    ):
        with pytest.raises(ArgumentError):
            wrong()


def test_kinds_that_nobody_told() -> None:
    class Depth(ours_tv.TVTensor):
        pass

    depth = Depth(np.arange(6.0).reshape(2, 3))
    with pytest.raises(TypeError, match="register_kernel"):
        F.vertical_flip(depth)
    F.register_kernel(F.vertical_flip, Depth)(lambda t: t.flip(-2))
    found = F.vertical_flip(depth)
    assert type(found) is Depth and found.tolist() == [[3, 4, 5], [0, 1, 2]]
    for wrong in ("boxes", None, 3):
        with pytest.raises(TypeError):
            F.resize(wrong, [3, 3])
    with pytest.raises(ArgumentError):
        F.register_kernel(len, Depth)
    with pytest.raises(ArgumentError):
        F.register_kernel(F.crop, fovea.Tensor)


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric"])
def test_padding_that_repeats(mode: str, theirs: Any) -> None:
    x = picture()
    found = F.pad(fovea.tensor(x), [2, 1, 3, 4], padding_mode=mode)
    expected = theirs.pad(torch.tensor(x), [2, 1, 3, 4], padding_mode=mode)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    boxes = ours_tv.BoundingBoxes(BOXES, format="XYXY", canvas_size=SIZE)
    with pytest.raises(ArgumentError, match="constant"):
        F.pad(boxes, [2], padding_mode=mode)


def test_video_frames(theirs: Any) -> None:
    x = np.random.default_rng(0).integers(0, 255, (9, 3, 4, 5), np.uint8)
    for count in (1, 3, 9, 12):
        found = F.uniform_temporal_subsample(ours_tv.Video(x), count)
        expected = theirs.uniform_temporal_subsample(torch.tensor(x), count)
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
        assert type(found) is ours_tv.Video
    assert (
        F.horizontal_flip(ours_tv.Video(x)).numpy()[0, 0, 0].tolist() == x[0, 0, 0, ::-1].tolist()
    )
    assert F.get_num_frames(ours_tv.Video(x)) == 9


def test_signatures_are_torchvisions(theirs: Any) -> None:
    changed = {"InterpolationMode", "hflip", "vflip", "to_tensor", "to_grayscale", "get_image_size"}
    for name in F.__all__:
        if name in changed or name == "elastic_transform":
            continue
        mine, other = (inspect.signature(getattr(f, name)).parameters for f in (F, theirs))
        assert list(mine)[1:] == list(other)[1:], name
