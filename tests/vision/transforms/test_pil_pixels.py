"""fovea's kernels on Pillow's images: the very pixels that Pillow gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.vision import transforms as T
from fovea.vision.transforms import functional as F

Image = pytest.importorskip("PIL.Image")

from fovea.vision.transforms import pil_pixels  # noqa: E402

random = np.random.default_rng(0)
SIZES = [(1, 1), (1, 7), (5, 90), (90, 5), (40, 60), (61, 37)]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def picture(height: int, width: int, mode: str = "RGB") -> Any:
    return Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).convert(mode)


@pytest.mark.parametrize("size", SIZES)
def test_boxes_are_cut_out_and_resized_as_pillow_does(size: tuple[int, int]) -> None:
    for height, width in [(3, 4), (50, 80), (101, 17), (17, 101)]:
        source = picture(height, width)
        for _ in range(10):
            h, w = (int(random.integers(1, n + 1)) for n in (height, width))
            top, left = int(random.integers(height - h + 1)), int(random.integers(width - w + 1))
            found = pil_pixels.crop_and_resize(source, (top, left, h, w), size)
            cut = source.crop((left, top, left + w, top + h))
            expected = cut.resize(size[::-1], Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("size", [(5, 90), (90, 5), (40, 60), (61, 37)])
def test_windows_are_what_is_cut_out_afterwards(size: tuple[int, int]) -> None:
    for height, width in [(3, 4), (50, 80), (101, 17), (17, 101), (200, 61)]:
        source = picture(height, width)
        expected = source.resize(size[::-1], Image.Resampling.BILINEAR)
        for _ in range(10):
            h, w = (int(random.integers(1, n + 1)) for n in size)
            top, left = int(random.integers(size[0] - h + 1)), int(random.integers(size[1] - w + 1))
            whole = (0, 0, height, width)
            found = pil_pixels.crop_and_resize(source, whole, size, (top, left, h, w))
            cut = expected.crop((left, top, left + w, top + h))
            np.testing.assert_array_equal(np.asarray(found), np.asarray(cut))
        assert pil_pixels.crop_and_resize(source, whole, size, (0, 1, *size)) is None


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(("resize", "crop"), [(40, 31), ((33, 50), (33, 20)), (20, 33), (48, 48)])
def test_the_middle_of_a_resized_picture(resize: Any, crop: Any, mode: str) -> None:
    """Also where the middle is larger than the picture, and where nothing is resized."""
    source = picture(48, 77, mode)
    found = T.Compose([T.Resize(resize), T.CenterCrop(crop), T.ToTensor()])(source)
    expected = F.to_tensor(F.center_crop(F.resize(source, resize), crop))
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_a_box_that_is_partly_outside_is_pillow_s_work() -> None:
    source = picture(20, 30)
    assert pil_pixels.crop_and_resize(source, (-1, 0, 5, 5), (4, 4)) is None
    found = F.resized_crop(source, 15, 25, 10, 10, (4, 4))
    expected = source.crop((25, 15, 35, 25)).resize((4, 4), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK"])
def test_other_modes_are_pillow_s_work(mode: str) -> None:
    source = picture(20, 30, mode)
    assert pil_pixels.crop_and_resize(source, (0, 0, 5, 5), (4, 4)) is None
    assert pil_pixels.to_floats(source) is None
    expected = np.asarray(source.resize((4, 5), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(np.asarray(F.resize(source, (5, 4))), expected)


@pytest.mark.parametrize("lent", [True, False])
def test_floats(lent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not lent:
        monkeypatch.setattr(pil_pixels, "_lent", lambda image: None)
    for height, width in [(1, 1), (3, 5), (4, 4), (13, 21)]:
        source = picture(height, width)
        values = np.asarray(source).transpose(2, 0, 1) / np.float32(255)
        np.testing.assert_array_equal(F.to_tensor(source).numpy(), values)
        for mean, std in [(MEAN, STD), ((0.5,), (0.25,)), (MEAN, [0.5])]:
            found = T.Compose([T.ToTensor(), T.Normalize(mean, std)])(source)
            shift, width_ = (np.array(v, np.float32).reshape(-1, 1, 1) for v in (mean, std))
            np.testing.assert_array_equal(found.numpy(), (values - shift) / width_)
            np.testing.assert_array_equal(F.normalize(F.to_tensor(source), mean, std), found)


def test_what_stands_around_the_joined_steps_is_run() -> None:
    def double(x: Any) -> Any:
        return x * 2

    source = picture(4, 6)
    steps = [T.ToTensor(), double, T.ToTensor(), T.Normalize(MEAN, STD), double, T.ToTensor()]
    expected: Any = source
    for step in steps:
        expected = step(expected)
    assert fovea.equal(T.Compose(steps)(source), expected)
    with pytest.raises(fovea.errors.ShapeError, match="mean has 2 values"):
        T.Compose([T.ToTensor(), T.Normalize((0.1, 0.2), (1.0, 1.0))])(source)
