"""Networks: torchvision's names, shapes, values and gradients, and the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision import models


@pytest.fixture
def resnets(torchvision: Any, tmp_path: Path) -> tuple[Any, Any]:
    """torchvision's ResNet-18 and ours with the same weights, by way of a file."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=7)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    return theirs, models.resnet18(num_classes=7, weights=tmp_path / "resnet18.pth")


def test_values_are_torchvision_s(resnets: tuple[Any, Any]) -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = resnets
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32)
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(x)).numpy()
    with fovea.no_grad():
        found = ours.eval()(fovea.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_training_step_is_torchvision_s(resnets: tuple[Any, Any]) -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = resnets
    x = np.random.default_rng(0).standard_normal((4, 3, 48, 48)).astype(np.float32)
    y = np.array([0, 3, 6, 3])
    torch.nn.functional.cross_entropy(theirs(torch.from_numpy(x)), torch.from_numpy(y)).backward()
    nn.functional.cross_entropy(ours(fovea.from_numpy(x)), fovea.from_numpy(y)).backward()
    gradients = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        expected, found = parameter.grad.numpy(), gradients[name].grad.numpy()
        assert np.abs(found - expected).max() <= 2e-3 * np.abs(expected).max() + 1e-6, name
    for name, buffer in theirs.named_buffers():
        found = ours.get_buffer(name).numpy()
        np.testing.assert_allclose(found, buffer.numpy(), rtol=1e-3, atol=1e-4, err_msg=name)


def test_first_values_are_drawn_as_torchvision_draws_them(torchvision: Any) -> None:
    theirs = torchvision.models.resnet18(num_classes=10).state_dict()
    for key, ours in models.resnet18(num_classes=10).state_dict().items():
        if ours.numel() >= 1000:
            expected, found = theirs[key].double(), ours.numpy().astype(np.float64)
            assert abs(found.std() - float(expected.std())) < 0.1 * float(expected.std()), key


def test_first_values_of_vgg() -> None:
    state = models.vgg11_bn(num_classes=10, small_input=True).state_dict()
    for key, ours in state.items():
        if ours.ndim == 4:
            expected = (2 / (ours.shape[0] * 9)) ** 0.5
            assert abs(float(ours.std()) - expected) < 0.1 * expected, key
    assert abs(float(state["classifier.1.weight"].std()) - 0.01) < 1e-3
    assert float(state["features.0.bias"].abs().max()) == 0


SMALL: dict[str, dict[str, Any]] = {
    "resnet18": {"small_input": True},
    "resnet50": {"small_input": True, "norm_layer": lambda n: nn.GroupNorm(8, n)},
    "vgg11_bn": {"small_input": True},
    "simple_cnn": {},
    "mobilenet_v2": {"width_mult": 0.5},
    "efficientnet_b0": {},
    "convnext_tiny": {"layer_scale": 0.1},
    "vit_ti_16": {"image_size": 32},
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_small_images_train(name: str, channels: int) -> None:
    fovea.manual_seed(0)
    small = SMALL[name]
    model = models.get_model(name, num_classes=4, in_channels=channels, **small)
    x = fovea.randn(2, channels, 32, 32)
    logits = model(x)
    assert logits.shape == (2, 4)
    nn.functional.cross_entropy(logits, fovea.tensor([1, 3])).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert np.isfinite(parameter.grad.numpy()).all(), key
    assert any(float(p.grad.abs().max()) > 0 for p in model.parameters())  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [(4, 4), (8, 8), (28, 28), (13, 21)])
def test_simple_cnn_takes_any_size(size: tuple[int, int]) -> None:
    model = models.simple_cnn(num_classes=3, in_channels=1, width=4)
    assert model(fovea.zeros(2, 1, *size)).shape == (2, 3)


def test_zero_init_residual_starts_blocks_as_the_identity() -> None:
    model = models.resnet18(num_classes=2, zero_init_residual=True)
    blocks = [m for m in model.modules() if isinstance(m, models.BasicBlock)]
    assert len(blocks) == 8
    assert all(float(b.bn2.weight.abs().max()) == 0 for b in blocks)  # type: ignore[union-attr]


def test_the_registry() -> None:
    assert models.list_models(include="convnext_?????", exclude="*small") == ["convnext_large"]
    assert models.list_models(include="vgg1?", exclude="*13") == ["vgg11", "vgg16", "vgg19"]
    assert models.get_model_builder("ResNet18") is models.resnet18
    with pytest.raises(ArgumentError, match=r"no model named 'resnet99'[^$]*resnet18"):
        models.get_model("resnet99")
    with pytest.raises(ArgumentError, match="already a model"):
        models.register_model("resnet18")(models.resnet18)


def test_no_weights_by_torchvision_s_older_arguments() -> None:
    assert models.mobilenet_v2(pretrained=False, num_classes=3).classifier[1].out_features == 3


def test_weights_that_do_not_fit_are_said_to(tmp_path: Path) -> None:
    with pytest.raises(fovea.errors.FileFormatError, match="there is no file"):
        models.resnet18(weights=tmp_path / "none.pth")
    fovea.save([fovea.ones(2)], tmp_path / "list.pth")
    with pytest.raises(fovea.errors.FileFormatError, match="dictionary of tensors by name"):
        models.resnet18(weights=tmp_path / "list.pth")
    fovea.save(models.resnet18(num_classes=3).state_dict(), tmp_path / "three.pth")
    with pytest.raises(RuntimeError, match=r"fc\.weight"):
        models.resnet18(num_classes=4, weights=tmp_path / "three.pth")
