"""What the tests of detectors share: small networks, images with objects, comparisons."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fovea
from tests.vision.zoo import agree

FILES = (
    "_utils", "anchor_utils", "backbone_utils", "detector", "faster_rcnn", "generalized_rcnn",
    "fcos", "image_list", "keypoint_rcnn", "mask_rcnn", "retinanet", "roi_heads", "rpn", "ssd",
    "ssdlite", "transform",
)  # fmt: skip


def files(package: str, fits: Any) -> Any:
    """The files of a package of detectors, and the library that they are made of."""
    modules = {}
    for file in FILES:
        if importlib.util.find_spec(f"{package}.{file}"):
            modules[file] = importlib.import_module(f"{package}.{file}")
    pooler = importlib.import_module(package.replace("models.detection", "ops")).MultiScaleRoIAlign
    return SimpleNamespace(lib=fits, MultiScaleRoIAlign=pooler, **modules)


def small_backbone(m: Any, strides: tuple[int, ...] = (8, 16), channels: int = 16) -> Any:
    """Maps of so many channels at these strides; of fewer, places would be all zeros and tie."""
    nn = m.lib.nn

    class Maps(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList([nn.Conv2d(3, channels, 2 * s, s, s // 2) for s in strides])
            self.out_channels = channels

        def forward(self, x: Any) -> Any:
            return {str(i): conv(x).relu() for i, conv in enumerate(self.convs)}

    return Maps()


def pair(detection: Any, build: Any, classes: float = 0.6) -> tuple[Any, Any]:
    """torchvision's detector and ours in float64 with the same weights, large enough to find
    something.
    """
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = build(files(detection.__name__, torch)).double()
    noise, state = np.random.default_rng(1), {}
    for key, value in theirs.state_dict().items():
        array = value.numpy()
        if array.dtype.kind == "f":
            if key.endswith("running_var"):
                array[...] = noise.uniform(0.5, 1.5, array.shape)
            else:
                array[...] = noise.normal(0, 1, array.shape) * classes / fan(array)
        state[key] = fovea.tensor(array)
    ours = build(files("fovea.vision.models.detection", fovea)).double()
    ours.load_state_dict(state)
    for model in (theirs, ours):
        for module in model.modules():
            if type(module).__name__ == "Dropout":
                module.p = 0.0
    return theirs, ours


def fan(array: Any) -> float:
    return float(np.sqrt(np.prod(array.shape[1:]) if array.ndim > 1 else 1))


def scene(classes: int, square: bool = False) -> tuple[Any, Any]:
    """Images of several sizes and their objects, as arrays; square ones become a batch without
    borders, where many scores would be equal.
    """
    sizes = ((64, 64), (72, 72), (60, 60)) if square else ((64, 80), (72, 50), (60, 64))
    rng = np.random.default_rng(5)
    images, targets = [], []
    for count, (h, w) in zip((3, 1, 0), sizes, strict=True):
        images.append(rng.random((3, h, w)))
        corner = rng.uniform(0, 0.5, (count, 2)) * (w, h)
        side = rng.uniform(0.2, 0.5, (count, 2)) * (w, h)
        boxes = np.concatenate([corner, corner + side], 1)
        targets.append({"boxes": boxes, "labels": rng.integers(1, classes, count)})
    return images, targets


def given(lib: Any, images: Any, targets: Any) -> tuple[Any, Any]:
    return [lib.tensor(x) for x in images], [
        {key: lib.tensor(value) for key, value in target.items()} for target in targets
    ]


def train_alike(theirs: Any, ours: Any, images: Any, targets: Any, tolerance: float = 1e-6) -> None:
    """Losses and gradients of one step."""
    torch = pytest.importorskip("torch")
    expected, found = theirs(*given(torch, images, targets)), ours(*given(fovea, images, targets))
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert float(value) != 0, key
        agree(found[key], value, key, tolerance)
    sum(expected.values()).backward()
    sum(found.values()).backward()
    gradients = dict(ours.named_parameters())
    for key, parameter in theirs.named_parameters():
        if parameter.grad is None:
            assert gradients[key].grad is None, key
            continue
        assert gradients[key].grad is not None, f"no gradient of {key}"
        agree(gradients[key].grad, parameter.grad, f"gradient of {key}", tolerance)


def find_alike(theirs: Any, ours: Any, images: Any, tolerance: float = 1e-6) -> None:
    """What is found in evaluation."""
    torch = pytest.importorskip("torch")
    with torch.no_grad(), fovea.no_grad():
        expected = theirs.eval()([torch.tensor(x) for x in images])
        found = ours.eval()([fovea.tensor(x) for x in images])
    assert sum(len(each["boxes"]) for each in expected) > len(expected)
    for a, b in zip(found, expected, strict=True):
        assert sorted(a) == sorted(b)
        assert a["labels"].tolist() == b["labels"].tolist()
        for key in b:
            agree(a[key], b[key], key, tolerance)
