"""Functions on PIL images: the very pixels that torchvision gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, ShapeError
from fovea.vision.transforms import InterpolationMode
from fovea.vision.transforms import functional as F
from tests.vision.transforms.reference import close, image

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

MODES = ["L", "RGB", "RGBA"]
modes = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def theirs(torchvision: Any) -> Any:
    return torchvision.transforms.functional


def picture(mode: str, height: int = 13, width: int = 18) -> Any:
    return Image.fromarray(image((3, height, width)).transpose(1, 2, 0).copy()).convert(mode)


def compare(theirs: Any, name: str, mode: str, *args: Any, levels: int = 0, **kwargs: Any) -> None:
    other = {
        key: type(theirs.InterpolationMode.NEAREST)[value.name]
        if isinstance(value, InterpolationMode)
        else value
        for key, value in kwargs.items()
    }
    source = picture(mode)
    found, expected = (
        getattr(F, name)(source, *args, **kwargs),
        getattr(theirs, name)(source, *args, **other),
    )
    assert found.mode == expected.mode and found.size == expected.size
    gap = np.abs(np.asarray(found).astype(int) - np.asarray(expected).astype(int))
    assert gap.max(initial=0) <= levels
    np.testing.assert_array_equal(np.asarray(source), np.asarray(picture(mode)))


@modes
@pytest.mark.parametrize("interpolation", list(InterpolationMode))
@pytest.mark.parametrize("size", [(7, 9), (26, 31), 4], ids=str)
def test_resize(mode: str, size: Any, interpolation: InterpolationMode, theirs: Any) -> None:
    compare(theirs, "resize", mode, size, interpolation=interpolation)


@modes
@pytest.mark.parametrize("kind", ["constant", "edge", "reflect", "symmetric"])
@pytest.mark.parametrize("padding", [2, (1, 3), (1, 2, 3, 4)], ids=str)
def test_pad(mode: str, kind: str, padding: Any, theirs: Any) -> None:
    compare(theirs, "pad", mode, padding, 7, kind)


def test_pad_palettes_and_colors(theirs: Any) -> None:
    source = picture("RGB").quantize(5)
    for kind in ("constant", "edge"):
        found, expected = F.pad(source, 2, 1, kind), theirs.pad(source, 2, 1, kind)
        assert found.mode == expected.mode == "P" and found.getpalette() == expected.getpalette()
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    compare(theirs, "pad", "RGB", 1, (1, 2, 3))
    with pytest.raises(ArgumentError, match="2 values"):
        F.pad(picture("RGB"), 1, (1, 2))


@modes
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("crop", (1, 2, 5, 6)),
        ("crop", (-2, -1, 20, 30)),
        ("center_crop", ((5, 6),)),
        ("center_crop", ((20, 21),)),
        ("resized_crop", (1, 2, 7, 8, (4, 5))),
        ("hflip", ()),
        ("vflip", ()),
        ("rgb_to_grayscale", (1,)),
        ("rgb_to_grayscale", (3,)),
        ("to_grayscale", (3,)),
    ],
)
def test_geometry(mode: str, name: str, arguments: Any, theirs: Any) -> None:
    compare(theirs, name, mode, *arguments)


@modes
@pytest.mark.parametrize("interpolation", ["NEAREST", "BILINEAR", "BICUBIC"])
@pytest.mark.parametrize("angle", [0, 17.3, 90, -133.1])
def test_rotate(mode: str, interpolation: str, angle: float, theirs: Any) -> None:
    how = InterpolationMode[interpolation]
    for expand in (False, True):
        compare(theirs, "rotate", mode, angle, interpolation=how, expand=expand, fill=9)
    compare(theirs, "rotate", mode, angle, interpolation=how, center=(2, 3))


@modes
@pytest.mark.parametrize("interpolation", ["NEAREST", "BILINEAR", "BICUBIC"])
@pytest.mark.parametrize(
    "arguments",
    [
        (0, (0, 0), 1.0, 0.0),
        (33.3, (2, -1), 1.2, [11.0, -7.0]),
        (-71.9, [3, 0], 0.7, (5.0, 0.0)),
    ],
    ids=str,
)
def test_affine(mode: str, interpolation: str, arguments: Any, theirs: Any) -> None:
    how = InterpolationMode[interpolation]
    compare(theirs, "affine", mode, *arguments, interpolation=how)
    compare(theirs, "affine", mode, *arguments, interpolation=how, fill=5, center=(1, 2))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("adjust_brightness", (0.0, 0.4, 1.0, 1.7)),
        ("adjust_contrast", (0.0, 0.4, 1.0, 1.7)),
        ("adjust_saturation", (0.0, 0.4, 1.0, 1.7)),
        ("adjust_hue", (-0.5, -0.2, 0.0, 0.13, 0.5)),
    ],
)
def test_color(mode: str, name: str, factors: Any, theirs: Any) -> None:
    for factor in factors:
        compare(theirs, name, mode, factor)


@modes
def test_blur(mode: str, theirs: Any) -> None:
    compare(theirs, "gaussian_blur", mode, [3, 5], 1.3, levels=1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F"])
def test_to_tensor(mode: str, theirs: Any) -> None:
    source = (
        picture("L").convert(mode) if mode in ("I", "F", "LA") else picture("RGB").convert(mode)
    )
    close(F.to_tensor(source), theirs.to_tensor(source), atol=1e-7)
    found, expected = F.pil_to_tensor(source), theirs.pil_to_tensor(source)
    if mode == "1":  # NumPy's booleans there
        expected = expected.to(torch.uint8)
    close(found, expected, levels=0)


def test_sixteen_bits() -> None:
    values = np.array([[0, 40000], [65535, 7]], np.uint16)
    for convert in (F.to_tensor, F.pil_to_tensor):
        x = convert(Image.fromarray(values))
        assert x.dtype is fovea.int32 and x[0].tolist() == values.tolist()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64", "bool"])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
def test_arrays_to_tensors(dtype: str, shape: tuple[int, ...], theirs: Any) -> None:
    array = (np.arange(np.prod(shape)).reshape(shape) % 2).astype(dtype)
    close(F.to_tensor(array), theirs.to_tensor(array), atol=1e-7)
    F.to_tensor(array)[...] = 0
    assert array.any()  # the array is left alone


def test_to_tensor_is_channels_last_in_memory_and_passes_tensors_on() -> None:
    x = F.to_tensor(picture("RGB"))
    assert x.shape == (3, 13, 18) and x.stride() == (1, 54, 3)
    assert F.to_tensor(x) is x


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_to_pil(channels: int, theirs: Any) -> None:
    for dtype in ("uint8", "float32"):
        array = image((channels, 6, 5), dtype)
        found = F.to_pil_image(fovea.from_numpy(array))
        expected = theirs.to_pil_image(torch.from_numpy(array))
        assert found.mode == expected.mode
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_to_pil_modes(theirs: Any) -> None:
    for mode, channels in (("YCbCr", 3), ("HSV", 3), ("CMYK", 4), ("L", 1)):
        array = image((channels, 6, 5)).transpose(1, 2, 0).copy()
        found, expected = F.to_pil_image(array, mode), theirs.to_pil_image(array, mode)
        assert found.mode == expected.mode == mode
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    deep = fovea.arange(6, dtype=fovea.int32).reshape(2, 3)
    assert F.to_pil_image(deep).mode == "I"
    assert F.to_pil_image(deep.float(), "F").mode == "F"
    with pytest.raises(ArgumentError, match="HSV"):
        F.to_pil_image(fovea.zeros(1, 2, 2), "HSV")
    with pytest.raises(ShapeError):
        F.to_pil_image(fovea.zeros(5, 2, 2))
    with pytest.raises(TypeError):
        F.to_pil_image("x")


def test_dimensions() -> None:
    assert F.get_dimensions(picture("RGBA")) == [4, 13, 18]


def test_tensors_only() -> None:
    with pytest.raises(TypeError, match="ToTensor"):
        F.normalize(picture("RGB"), [0.5], [0.5])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        F.to_grayscale(fovea.zeros(3, 2, 2))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        F.pil_to_tensor(np.zeros((2, 2)))
