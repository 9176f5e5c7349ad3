"""What the first transforms take over from those of samples, beside torchvision's first ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

import fovea
from fovea.vision import transforms
from fovea.vision.transforms import functional as F

torch = pytest.importorskip("torch")
PIXELS = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
CORNERS = [[0, 0], [31, 0], [31, 23], [0, 23]], [[2, 1], [28, 3], [30, 20], [1, 22]]
CALLS: dict[str, Any] = {
    "invert": lambda f, x: f.invert(x),
    "posterize": lambda f, x: f.posterize(x, 3),
    "solarize": lambda f, x: f.solarize(x, 128),
    "equalize": lambda f, x: f.equalize(x),
    "autocontrast": lambda f, x: f.autocontrast(x),
    "adjust_sharpness": lambda f, x: f.adjust_sharpness(x, 1.7),
    "adjust_gamma": lambda f, x: f.adjust_gamma(x, 0.7),
    "perspective": lambda f, x: f.perspective(x, *CORNERS),
    "five_crop": lambda f, x: f.five_crop(x, 8)[1],
    "ten_crop": lambda f, x: f.ten_crop(x, (8, 6))[7],
}


@pytest.mark.parametrize("kind", ["pil", "bytes", "floats"])
@pytest.mark.parametrize("name", CALLS)
def test_functions(name: str, kind: str, torchvision: Any) -> None:
    if kind == "floats" and name in ("posterize", "solarize", "equalize"):
        pytest.skip("of bytes")
    theirs = torchvision.transforms.functional
    if kind == "pil":
        image = Image.fromarray(PIXELS)
        found, expected = np.asarray(CALLS[name](F, image)), np.asarray(CALLS[name](theirs, image))
    else:
        planes = PIXELS.transpose(2, 0, 1).copy()
        array = planes if kind == "bytes" else planes.astype(np.float32) / 255
        found = CALLS[name](F, fovea.from_numpy(array)).numpy()
        expected = CALLS[name](theirs, torch.from_numpy(array)).numpy()
    assert found.shape == expected.shape and found.dtype == expected.dtype
    apart = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    assert apart.max() <= (1e-4 if kind == "floats" else 1)


DRAWN: list[tuple[str, tuple[Any, ...]]] = [
    ("RandomPerspective", (0.3, 1.0)),
    ("RandAugment", ()),
    ("TrivialAugmentWide", ()),
    ("AugMix", ()),
    ("AutoAugment", ()),
    ("FiveCrop", (8,)),
    ("TenCrop", ((8, 10),)),
    ("RandomInvert", (1.0,)),
    ("RandomPosterize", (4, 1.0)),
    ("RandomSolarize", (100, 1.0)),
    ("RandomAdjustSharpness", (2, 1.0)),
    ("RandomAutocontrast", (1.0,)),
    ("RandomEqualize", (1.0,)),
    ("ElasticTransform", (20.0,)),
]


@pytest.mark.parametrize(("name", "arguments"), DRAWN)
def test_classes(name: str, arguments: tuple[Any, ...], torchvision: Any) -> None:
    """Images of PIL and tensors: kinds, sizes and types as torchvision's."""
    image, planes = Image.fromarray(PIXELS), PIXELS.transpose(2, 0, 1).copy()
    found = [getattr(transforms, name)(*arguments)(x) for x in (image, fovea.from_numpy(planes))]
    theirs = getattr(torchvision.transforms, name)(*arguments)
    expected = [theirs(x) for x in (image, torch.from_numpy(planes))]
    for a, b in zip(found, expected, strict=True):
        assert isinstance(a, tuple) == isinstance(b, tuple)
        for x, y in zip(a, b, strict=True) if isinstance(a, tuple) else [(a, b)]:
            if isinstance(y, Image.Image):
                assert x.size == y.size and x.mode == y.mode
            else:
                assert tuple(x.shape) == tuple(y.shape) and x.dtype is fovea.uint8


def test_policies_by_name(torchvision: Any) -> None:
    policy = transforms.AutoAugmentPolicy.CIFAR10
    assert policy.value == torchvision.transforms.AutoAugmentPolicy.CIFAR10.value
    assert transforms.AutoAugment(policy)(Image.fromarray(PIXELS)).size == (32, 24)
