"""The transforms of published weights, against torchvision's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.vision import transforms

CASES: list[tuple[str, dict[str, Any]]] = [
    ("ObjectDetection", {}),
    ("ImageClassification", {"crop_size": 24}),
    ("ImageClassification", {"crop_size": 24, "resize_size": 30, "interpolation": "bicubic"}),
    ("ImageClassification", {"crop_size": 40, "resize_size": 20, "interpolation": "nearest"}),
    ("ImageClassification", {"crop_size": 8, "resize_size": 16, "antialias": False}),
    ("ImageClassification", {"crop_size": 9, "mean": (0.5, 0.4, 0.3), "std": (0.1, 0.2, 0.3)}),
    ("SemanticSegmentation", {"resize_size": 20}),
    ("SemanticSegmentation", {"resize_size": None, "mean": (0.5,) * 3, "std": (1 / 255,) * 3}),
]


def pair(torchvision: Any, name: str, given: dict[str, Any]) -> tuple[Any, Any]:
    presets = pytest.importorskip("torchvision.transforms._presets")
    theirs = dict(given)
    if "interpolation" in given:
        theirs["interpolation"] = presets.InterpolationMode(given["interpolation"])
    return getattr(transforms, name)(**given), getattr(presets, name)(**theirs)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_images_and_tensors(torchvision: Any, name: str, given: dict[str, Any]) -> None:
    torch, image = pytest.importorskip("torch"), pytest.importorskip("PIL.Image")
    ours, theirs = pair(torchvision, name, given)
    drawn = np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3), np.uint8)
    pixels = np.kron(drawn[:, ::5, ::5], np.ones((1, 5, 5, 1), np.uint8)) // 2 + drawn // 2
    picture = image.fromarray(pixels[0])
    np.testing.assert_allclose(ours(picture).numpy(), theirs(picture).numpy(), atol=1e-5)
    batch = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    scale = 1 / min(getattr(ours, "std", [1]))
    for x in (batch, batch[0], batch.astype(np.float32) / 255):
        found = ours(fovea.from_numpy(x)).numpy()
        expected = theirs(torch.from_numpy(x)).numpy()
        assert found.dtype == expected.dtype
        # Interpolated bytes may be rounded to either side.
        step = 1.01 / 255 if x.dtype == np.uint8 else 1e-5
        np.testing.assert_allclose(found, expected, atol=step * scale)
        assert np.abs(found - expected).mean() < 0.05 * step * scale


@pytest.mark.parametrize(("name", "given"), CASES)
def test_they_print_like_torchvision_s(torchvision: Any, name: str, given: dict[str, Any]) -> None:
    ours, theirs = pair(torchvision, name, given)
    assert repr(ours) == repr(theirs)
    said = ours.describe()
    for key in ("resize_size", "crop_size"):
        if getattr(ours, key, None) is not None:
            assert str(getattr(ours, key)) in said
    if hasattr(ours, "mean"):
        assert str(ours.mean) in said and str(ours.std) in said
