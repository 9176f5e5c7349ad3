"""Transforms as layers: compiled and saved with a model, with gradients, the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.vision import transforms as v1
from fovea.vision.transforms import v2

STEPS: dict[str, Any] = {
    "smaller": v2.Resize((9, 12)),
    "larger": v2.Resize(40),
    "smaller, no antialias": v2.Resize((9, 12), antialias=False),
    "bicubic": v2.Resize((9, 30), interpolation=v2.InterpolationMode.BICUBIC),
    "nearest": v2.Resize((9, 30), interpolation=v2.InterpolationMode.NEAREST),
    "nearest exact": v2.Resize((9, 30), interpolation=v2.InterpolationMode.NEAREST_EXACT),
    "center crop": v2.CenterCrop(12),
    "center crop of a small image": v2.CenterCrop((40, 10)),
    "pad": v2.Pad((1, 2, 3, 4), fill=7),
    "pad by channels": v2.Pad(2, fill=(1, 2, 3)),
    "pad edge": v2.Pad(2, padding_mode="edge"),
    "pad reflect": v2.Pad(2, padding_mode="reflect"),
    "pad symmetric": v2.Pad((1, 2, 3, 4), padding_mode="symmetric"),
    "letterbox": v2.Letterbox((30, 30), fill=9),
    "flip": v2.RandomHorizontalFlip(p=1.0),
    "flip over": v2.RandomVerticalFlip(p=1.0),
    "gray": v2.Grayscale(),
    "gray, three times": v2.Grayscale(3),
    "first version": v1.Compose([v1.Resize(16), v1.CenterCrop(10), v1.Grayscale()]),
}


def images(dtype: Any, n: int = 2) -> Any:
    values = np.random.default_rng(0).integers(0, 256, (n, 3, 21, 26))
    made = fovea.from_numpy(values.astype(np.float32))
    return made.to(dtype) if dtype == fovea.uint8 else (made / 255).to(dtype)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("dtype", [fovea.uint8, fovea.float32])
def test_compiled_as_run(name: str, dtype: Any) -> None:
    step, x = STEPS[name], images(dtype)
    expected = step(x)
    program = fovea.compile(lambda x: step(x), strict=True)
    for _ in range(2):
        found = program(x)
        assert found.dtype == expected.dtype and found.shape == expected.shape
        close = 1 if dtype == fovea.uint8 else 2e-5  # of whole numbers: those that end on a half
        np.testing.assert_allclose(
            found.numpy().astype(float), expected.numpy().astype(float), 0, close
        )
    if dtype == fovea.uint8:
        assert (found.numpy() != expected.numpy()).mean() < 0.02
    one = program(x[0])
    assert one.shape == expected.shape[1:]


@pytest.mark.parametrize("name", STEPS)
def test_gradients(name: str) -> None:
    x = images(fovea.float64, 1).requires_grad_()
    expected = STEPS[name](x.detach())
    found = STEPS[name](x)
    np.testing.assert_allclose(found.detach().numpy(), expected.numpy(), 0, 1e-6)
    (found * found).sum().backward()
    assert x.grad is not None and float(x.grad.abs().sum()) > 0


@pytest.mark.parametrize(
    "old", [fovea.uint8, fovea.int16, fovea.int32, fovea.float32, fovea.float64]
)
@pytest.mark.parametrize(
    "new", [fovea.uint8, fovea.int16, fovea.float16, fovea.float32, fovea.float64]
)
def test_types(old: Any, new: Any) -> None:
    top = 1 if old.is_floating_point else int(np.iinfo(old.numpy).max)
    values = np.array([[[0, 0.3, 0.5, 1.0]]]) * top
    x = fovea.from_numpy(values.astype(old.numpy))
    step = v2.ToDtype(new, scale=True)
    expected, found = step(x), fovea.compile(lambda x: step(x), strict=True)(x)
    assert found.dtype == new
    np.testing.assert_allclose(found.numpy().astype(float), expected.numpy().astype(float), 1e-6, 0)


def test_a_model_that_prepares_its_images(tmp_path: Path) -> None:
    """One thing to save: bytes in, classes out, without the Python that wrote it."""
    fovea.manual_seed(0)
    model = nn.Sequential(
        v2.Resize(24),
        v2.CenterCrop(20),
        v2.ToDtype(fovea.float32, scale=True),
        v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    ).eval()
    x = images(fovea.uint8)
    with fovea.no_grad():
        expected = model(x)
        program = fovea.compile(model, strict=True)
        program(x), program(x)
        fovea.save_program(program, tmp_path / "whole.fovea")
    loaded = fovea.load_program(tmp_path / "whole.fovea")
    np.testing.assert_allclose(loaded(x).numpy(), expected.numpy(), 0, 2e-3)
    assert list(model.state_dict()) == ["4.weight", "4.bias", "8.weight", "8.bias"]
    assert "Resize(size=24" in repr(model)


def test_what_a_transform_is() -> None:
    class Bare(v2.Transform):
        def transform(self, inpt: Any, params: Any) -> Any:
            return inpt + self.amount

        def __init__(self, amount: int) -> None:
            self.amount = amount  # without super().__init__()

    class More(Bare):
        def __init__(self) -> None:
            super().__init__(2)
            self.scale = nn.Parameter(fovea.ones(1))

    assert isinstance(Bare(1), nn.Module) and Bare(1)(fovea.zeros(1, 1, 1)).item() == 1
    assert [n for n, _ in More().named_parameters()] == ["scale"]
    assert isinstance(v1.Resize(3), nn.Module) and "training" not in repr(v1.Resize(3))
    assert isinstance(v2.Compose([v2.Identity()]), nn.Module)
