"""Functions on tensors: torchvision's values, for every layout, type and odd size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, DTypeError, ShapeError
from fovea.vision.transforms import InterpolationMode
from fovea.vision.transforms import functional as F
from tests.vision.transforms.reference import DTYPES, SHAPES, close, image, ours

torch = pytest.importorskip("torch")
MODE = InterpolationMode


@pytest.fixture
def theirs(torchvision: Any) -> Any:
    return torchvision.transforms.functional


def compare(
    theirs: Any, name: str, array: np.ndarray[Any, Any], *args: Any, levels: int = 1, **kwargs: Any
) -> None:
    """Ours, for both layouts, against torchvision's."""
    other = {
        key: type(theirs.InterpolationMode.NEAREST)[value.name]
        if isinstance(value, MODE)
        else value
        for key, value in kwargs.items()
    }
    expected = getattr(theirs, name)(torch.from_numpy(array.copy()), *args, **other)
    for layout in ("planes", "channels last"):
        source = ours(array, layout)
        before = source.numpy().copy()
        found = getattr(F, name)(source, *args, **kwargs)
        close(found, expected, levels=levels)
        np.testing.assert_array_equal(source.numpy(), before)  # the input is left alone


shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
dtypes = pytest.mark.parametrize("dtype", DTYPES)


@shapes
@dtypes
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("mode", [MODE.NEAREST, MODE.NEAREST_EXACT, MODE.BILINEAR, MODE.BICUBIC])
@pytest.mark.parametrize("size", [(7, 9), (26, 31), 4, [6], (1, 1), (13, 40)], ids=str)
def test_resize(
    shape: tuple[int, ...], dtype: str, mode: MODE, size: Any, antialias: bool, theirs: Any
) -> None:
    array = image(shape, dtype)
    compare(theirs, "resize", array, size, interpolation=mode, antialias=antialias)


def test_resize_longer_edge(theirs: Any) -> None:
    compare(theirs, "resize", image((3, 10, 40)), 8, max_size=20)
    compare(theirs, "resize", image((3, 40, 10)), 5, max_size=50)


def test_resize_to_the_same_size_is_the_image() -> None:
    x = ours(image((3, 5, 6)))
    assert F.resize(x, (5, 6)) is x


@dtypes
@pytest.mark.parametrize("dtype2", ["float64", "bfloat16", "int32"])
def test_resize_other_types(dtype: str, dtype2: str) -> None:
    x = ours(image((3, 8, 8), dtype)).to(dtype2)
    y = F.resize(x, (4, 4))
    assert y.dtype.name == dtype2 and y.shape == (3, 4, 4)


@shapes
@dtypes
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
@pytest.mark.parametrize("padding", [2, [1], (1, 3), (1, 2, 3, 4), (-1, 2, 0, -2)], ids=str)
def test_pad(shape: tuple[int, ...], dtype: str, mode: str, padding: Any, theirs: Any) -> None:
    fill = 7 if mode == "constant" and dtype == "uint8" else 0
    if mode in ("reflect", "edge") and isinstance(padding, tuple) and min(padding) < 0:
        pytest.skip("PyTorch pads and cuts in one go there")
    compare(theirs, "pad", image(shape, dtype), padding, fill, mode)


@shapes
@dtypes
@pytest.mark.parametrize("box", [(1, 2, 3, 2), (-2, -1, 4, 4), (3, 3, 30, 30)], ids=str)
def test_crop(shape: tuple[int, ...], dtype: str, box: Any, theirs: Any) -> None:
    compare(theirs, "crop", image(shape, dtype), *box)


def test_crop_wholly_outside() -> None:
    x = ours(image((3, 5, 5)))
    for box in ((-20, 0, 3, 3), (20, 0, 3, 3), (0, 20, 3, 3), (0, -20, 3, 3)):
        y = F.crop(x, *box)
        assert y.shape == (3, 3, 3) and y.sum().item() == 0


@shapes
@pytest.mark.parametrize("size", [4, (3, 5), (20, 6), (21, 40)], ids=str)
def test_center_crop(shape: tuple[int, ...], size: Any, theirs: Any) -> None:
    compare(theirs, "center_crop", image(shape), size)


@shapes
@dtypes
@pytest.mark.parametrize("name", ["hflip", "vflip"])
def test_flips(shape: tuple[int, ...], dtype: str, name: str, theirs: Any) -> None:
    compare(theirs, name, image(shape, dtype), levels=0)


def test_resized_crop(theirs: Any) -> None:
    compare(theirs, "resized_crop", image((3, 13, 18)), 2, 3, 7, 9, (5, 6))


COLOR = {
    "adjust_brightness": (0.0, 0.4, 1.0, 1.7),
    "adjust_contrast": (0.0, 0.4, 1.0, 1.7),
    "adjust_saturation": (0.0, 0.4, 1.0, 1.7),
    "adjust_hue": (-0.5, -0.2, 0.0, 0.13, 0.5),
}


@shapes
@dtypes
@pytest.mark.parametrize("name", COLOR)
def test_color(shape: tuple[int, ...], dtype: str, name: str, theirs: Any) -> None:
    for factor in COLOR[name]:
        compare(theirs, name, image(shape, dtype), factor)


def test_hue_of_pure_colors(theirs: Any) -> None:
    corners = np.array(np.meshgrid([0, 255], [0, 255], [0, 255])).reshape(3, 2, 4).astype(np.uint8)
    for factor in (-0.5, -0.25, 0.0, 1 / 3, 0.5):
        compare(theirs, "adjust_hue", corners, factor)


@shapes
@dtypes
@pytest.mark.parametrize("channels", [1, 3])
def test_gray(shape: tuple[int, ...], dtype: str, channels: int, theirs: Any) -> None:
    if shape[-3] == 1 and channels == 3:
        pytest.skip("torchvision leaves a gray image with one channel; see below")
    compare(theirs, "rgb_to_grayscale", image(shape, dtype), channels)


def test_gray_with_three_channels_from_one() -> None:
    x = ours(image((1, 4, 4)))
    y = F.rgb_to_grayscale(x, 3)
    assert y.shape == (3, 4, 4) and fovea.equal(y[2], x[0])


@shapes
@dtypes
@pytest.mark.parametrize(
    ("size", "sigma"), [(3, None), ([5, 3], [0.5, 2.0]), (5, 0.1), ([1, 3], [1.0])]
)
def test_blur(shape: tuple[int, ...], dtype: str, size: Any, sigma: Any, theirs: Any) -> None:
    compare(theirs, "gaussian_blur", image(shape, dtype), size, sigma)


AFFINE: list[tuple[Any, ...]] = [
    (0, (0, 0), 1.0, 0.0),
    (33.3, (2, -1), 1.0, 0.0),
    (-71.9, (0, 0), 0.7, [11.0, -7.0]),
    (10.1, (1, 1), 1.3, [5.0]),
]


@shapes
@dtypes
@pytest.mark.parametrize("arguments", AFFINE, ids=str)
@pytest.mark.parametrize("fill", [None, 0.5, "channels"])
@pytest.mark.parametrize("center", [None, (3, 2)])
def test_affine_bilinear(
    shape: tuple[int, ...], dtype: str, arguments: Any, fill: Any, center: Any, theirs: Any
) -> None:
    if fill == "channels":
        fill = [0.25 * (i + 1) for i in range(shape[-3])]
    if dtype == "uint8" and fill is not None:
        fill = [100 * f for f in fill] if isinstance(fill, list) else 100 * fill
    compare(
        theirs, "affine", image(shape, dtype), *arguments, interpolation=MODE.BILINEAR, fill=fill,
        center=center,
    )  # fmt: skip


@shapes
@pytest.mark.parametrize("angle", [0, 90, 180, -90, 270])
@pytest.mark.parametrize("expand", [False, True])
def test_quarter_turns(shape: tuple[int, ...], angle: int, expand: bool, theirs: Any) -> None:
    square = image((*shape[:-2], 6, 6))
    compare(theirs, "rotate", square, angle, expand=expand, levels=0)
    if expand:
        turned = F.rotate(ours(image(shape)), angle, expand=True).numpy()
        np.testing.assert_array_equal(turned, np.rot90(image(shape), angle // 90, (-2, -1)))


@shapes
@dtypes
@pytest.mark.parametrize("angle", [17.3, -133.1])
@pytest.mark.parametrize("expand", [False, True])
def test_rotate(
    shape: tuple[int, ...], dtype: str, angle: float, expand: bool, theirs: Any
) -> None:
    for center in (None, (2, 4)):
        for fill in (None, 0.5 if dtype == "float32" else 9):
            compare(
                theirs, "rotate", image(shape, dtype), angle, interpolation=MODE.BILINEAR,
                expand=expand, center=center, fill=fill,
            )  # fmt: skip


@pytest.mark.parametrize("angle", [17.3, -133.1, 45.0])
def test_nearest_differs_at_ties_only(angle: float, theirs: Any) -> None:
    array = image((3, 40, 50), "float32")
    expected = theirs.rotate(torch.from_numpy(array), angle, fill=0.5).numpy()
    found = F.rotate(ours(array), angle, fill=0.5).numpy()
    assert (found != expected).mean() < 0.002


TYPES = ["uint8", "int8", "int16", "int32", "int64", "float32", "float64", "bool"]


@pytest.mark.parametrize("source", TYPES)
@pytest.mark.parametrize("target", TYPES)
def test_convert_image_dtype(source: str, target: str, theirs: Any) -> None:
    if source.startswith("float"):
        array = np.linspace(0, 1, 12).astype(source)
    elif source == "bool":
        array = np.array([True, False] * 6)
    else:
        top = int(np.iinfo(source).max)
        array = np.array([top * i // 11 for i in range(12)], source)
    array = array.reshape(1, 3, 4)
    if source.startswith("float") and target == "bool":
        pytest.skip("no brightness fits a truth value")
    try:
        expected = theirs.convert_image_dtype(torch.from_numpy(array), getattr(torch, target))
    except RuntimeError:
        with pytest.raises(DTypeError, match="safely"):
            F.convert_image_dtype(fovea.from_numpy(array), target)
        return
    found = F.convert_image_dtype(fovea.from_numpy(array), target)
    close(found, expected, levels=0)


def test_convert_cuts_off_what_lies_outside() -> None:
    x = fovea.tensor([-0.5, 0.0, 1.0, 2.0])
    assert F.convert_image_dtype(x, fovea.uint8).tolist() == [0, 0, 255, 255]


def test_to_dtype() -> None:
    x = fovea.tensor([0, 255], dtype=fovea.uint8)
    assert F.to_dtype(x).tolist() == [0.0, 255.0]
    assert F.to_dtype(x, fovea.float64, scale=True).tolist() == [0.0, 1.0]


@shapes
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normalize(shape: tuple[int, ...], dtype: str, theirs: Any) -> None:
    mean = [0.4 + 0.1 * i for i in range(shape[-3])]
    compare(theirs, "normalize", image(shape, dtype), mean, [0.2] * shape[-3])
    compare(theirs, "normalize", image(shape, dtype), [0.5], [0.25])


def test_normalize_in_place_and_with_gradients() -> None:
    x = ours(image((3, 4, 4), "float32"))
    before = x.numpy().copy()
    assert F.normalize(x, [0.5], [0.5], inplace=True) is x
    np.testing.assert_allclose(x.numpy(), (before - 0.5) / 0.5, rtol=1e-6)
    y = fovea.ones(3, 2, 2, requires_grad=True)
    F.normalize(y, [0.5], [0.25]).sum().backward()
    assert y.grad is not None and y.grad.max().item() == 4


def test_erase(theirs: Any) -> None:
    array = image((3, 8, 8), "float32")
    patch = image((3, 2, 3), "float32", seed=1)
    expected = theirs.erase(torch.from_numpy(array), 1, 2, 2, 3, torch.from_numpy(patch))
    x = ours(array, "channels last")
    close(F.erase(x, 1, 2, 2, 3, fovea.from_numpy(patch)), expected)
    np.testing.assert_array_equal(x.numpy(), array)
    assert F.erase(x, 0, 0, 8, 8, fovea.tensor(0.0), inplace=True) is x
    assert x.abs().sum().item() == 0


@pytest.mark.parametrize("name", ["hflip", "pad", "resize", "crop", "adjust_brightness", "rotate"])
def test_channels_last_stays(name: str) -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "pad": (2,), "resize": ((6, 7),), "crop": (1, 1, 4, 4), "adjust_brightness": (0.5,),
        "rotate": (9.0,),
    }  # fmt: skip
    x = ours(image((3, 10, 12)), "channels last")
    y = getattr(F, name)(x, *arguments.get(name, ()))
    if name in ("hflip", "crop", "adjust_brightness"):
        assert y.stride()[0] == 1


def test_sizes() -> None:
    x = fovea.zeros(2, 3, 4, 5)
    assert F.get_dimensions(x) == [3, 4, 5]
    assert F.get_image_size(x) == [5, 4] and F.get_image_num_channels(x) == 3
    assert F.get_dimensions(fovea.zeros(4, 5)) == [1, 4, 5]


X = fovea.zeros(3, 8, 8)
REFUSED: list[tuple[type[Exception], Callable[[], Any]]] = [
    (TypeError, lambda: F.resize(np.zeros((3, 4, 4)), 2)),
    (TypeError, lambda: F.convert_image_dtype("x")),  # type: ignore[arg-type]
    (TypeError, lambda: F.normalize(np.zeros(3), [0], [1])),  # type: ignore[arg-type]
    (TypeError, lambda: F.erase(None, 0, 0, 1, 1, 0)),  # type: ignore[arg-type]
    (ShapeError, lambda: F.hflip(fovea.zeros(3))),
    (ArgumentError, lambda: F.resize(X, 0)),
    (ArgumentError, lambda: F.resize(X, (1, 2, 3))),
    (ArgumentError, lambda: F.resize(X, (4, 4), max_size=9)),
    (ArgumentError, lambda: F.resize(X, 4, max_size=4)),
    (ArgumentError, lambda: F.resize(X, 4, interpolation=MODE.LANCZOS)),
    (ArgumentError, lambda: F.resize(X, 4, interpolation="best")),
    (ArgumentError, lambda: F.rotate(X, 3, interpolation=MODE.BICUBIC)),
    (ArgumentError, lambda: F.rotate(X, 3, fill=[1, 2])),
    (ArgumentError, lambda: F.affine(X, 0, (0, 0, 0), 1, 0)),
    (ArgumentError, lambda: F.affine(X, 0, (0, 0), 0, 0)),
    (ArgumentError, lambda: F.affine(X, 0, (0, 0), 1, (1, 2, 3))),
    (ArgumentError, lambda: F.pad(X, (1, 2, 3))),
    (ArgumentError, lambda: F.pad(X, 1, padding_mode="wrap")),
    (ArgumentError, lambda: F.adjust_brightness(X, -1)),
    (ShapeError, lambda: F.adjust_contrast(fovea.zeros(2, 4, 4), 1)),
    (ArgumentError, lambda: F.adjust_hue(X, 0.6)),
    (ArgumentError, lambda: F.rgb_to_grayscale(X, 2)),
    (ArgumentError, lambda: F.gaussian_blur(X, 4)),
    (ArgumentError, lambda: F.gaussian_blur(X, 3, -1)),
    (DTypeError, lambda: F.normalize(fovea.zeros(3, 2, 2, dtype=fovea.uint8), [0], [1])),
    (ShapeError, lambda: F.normalize(X, [0, 0], [1])),
    (ShapeError, lambda: F.normalize(fovea.zeros(3, 3), [0], [1])),
    (ArgumentError, lambda: F.normalize(X, [0], [0])),
    (ShapeError, lambda: F.to_tensor(np.zeros(3))),
    (TypeError, lambda: F.to_tensor("x")),
]


@pytest.mark.parametrize(("kind", "call"), REFUSED)
def test_refusals(kind: type[Exception], call: Callable[[], Any]) -> None:
    with pytest.raises(kind):
        call()
