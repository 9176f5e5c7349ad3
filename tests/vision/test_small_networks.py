"""LeNet and the residual networks for CIFAR against PyTorch's layers, put together here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision import models

# Those that the checkpoints' authors state.
PARAMETERS = {
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "resnet1202": 19_421_274,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for function in ("kaiming_normal_", "kaiming_uniform_", "uniform_"):
        monkeypatch.setattr(nn.init, function, lambda tensor, *_, **__: tensor)
    model = models.get_model(name)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]
    last = f"layer3.{(int(name[6:]) - 2) // 6 - 1}"
    keys = set(model.state_dict())
    assert {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "linear.bias"} < keys
    assert f"{last}.bn2.weight" in keys
    assert not any("shortcut" in key for key in keys)


def theirs(weights: dict[str, Any], x: Any, blocks: int, training: bool) -> Any:
    """The network as functions of PyTorch."""
    functional = pytest.importorskip("torch").nn.functional

    def norm(x: Any, name: str) -> Any:
        w = {k: weights[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")}
        return functional.batch_norm(x, **w, training=training)

    x = norm(functional.conv2d(x, weights["conv1.weight"], padding=1), "bn1").relu()
    for stage in (1, 2, 3):
        for i in range(blocks):
            name, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            w1, w2 = weights[f"{name}.conv1.weight"], weights[f"{name}.conv2.weight"]
            y = norm(functional.conv2d(x, w1, stride=stride, padding=1), f"{name}.bn1").relu()
            y = norm(functional.conv2d(y, w2, padding=1), f"{name}.bn2")
            if f"{name}.shortcut.0.weight" in weights:
                w = weights[f"{name}.shortcut.0.weight"]
                x = norm(functional.conv2d(x, w, stride=stride), f"{name}.shortcut.1")
            elif stride == 2:
                margin = y.shape[1] // 4
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, margin, margin))
            x = (x + y).relu()
    return functional.linear(x.mean((2, 3)), weights["linear.weight"], weights["linear.bias"])


@pytest.mark.parametrize("option", ["A", "B"])
@pytest.mark.parametrize("training", [True, False])
def test_values_and_gradients(option: str, training: bool) -> None:
    torch = pytest.importorskip("torch")
    fovea.manual_seed(0)
    model = models.CifarResNet([2, 2, 2], option=option).double().train(training)
    weights = {k: torch.tensor(v.numpy()) for k, v in model.state_dict().items()}
    for key, _ in model.named_parameters():
        weights[key].requires_grad_()
    x = np.random.default_rng(0).standard_normal((2, 3, 16, 16))
    expected = theirs(weights, torch.from_numpy(x), 2, training)
    found = model(fovea.from_numpy(x))
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-9)
    expected.square().sum().backward()
    found.square().sum().backward()
    for key, parameter in model.named_parameters():
        grad = weights[key].grad.numpy()
        assert parameter.grad is not None
        scale = np.abs(grad).max()
        np.testing.assert_allclose(parameter.grad.numpy(), grad, atol=1e-9 * scale, err_msg=key)


def test_checkpoints_load_as_they_are(tmp_path: Path) -> None:
    """``.th`` files of PyTorch with the state of a network in parallel training."""
    torch = pytest.importorskip("torch")
    trained = models.resnet20()
    state = {f"module.{k}": torch.tensor(v.numpy()) for k, v in trained.state_dict().items()}
    torch.save({"state_dict": state, "best_prec1": 91.7}, tmp_path / "resnet20.th")
    loaded = models.resnet20(weights=tmp_path / "resnet20.th")
    for key, value in loaded.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), trained.state_dict()[key].numpy(), key)


def test_first_values() -> None:
    for key, value in models.resnet20().state_dict().items():
        if value.ndim > 1 and value.numel() >= 1000:
            expected = (2 / np.prod(value.shape[1:])) ** 0.5
            assert abs(float(value.std()) - expected) < 0.1 * expected, key


def test_errors() -> None:
    with pytest.raises(ArgumentError, match="option must be 'A' or 'B', got 'C'"):
        models.CifarResNet([1, 1, 1], option="C")
    with pytest.raises(ArgumentError, match="use option='B'"):
        models.CifarBlock(8, 9, 2)
    with pytest.raises(ArgumentError, match="image_size must be at least 12, got 11"):
        models.LeNet(image_size=11)


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (12, 1), (40, 1)])
def test_lenet(size: int, channels: int) -> None:
    torch = pytest.importorskip("torch")
    model = models.lenet5(image_size=size, in_channels=channels).double()
    w = {k: torch.tensor(v.numpy(), requires_grad=True) for k, v in model.state_dict().items()}
    functional = torch.nn.functional
    x = np.random.default_rng(0).standard_normal((2, channels, size, size))
    y = torch.from_numpy(x)
    margin = 2 if size <= 28 else 0
    y = functional.avg_pool2d(
        functional.conv2d(y, w["conv1.weight"], w["conv1.bias"], padding=margin).tanh(), 2
    )
    y = functional.avg_pool2d(functional.conv2d(y, w["conv2.weight"], w["conv2.bias"]).tanh(), 2)
    y = functional.linear(y.flatten(1), w["fc1.weight"], w["fc1.bias"]).tanh()
    y = functional.linear(y, w["fc2.weight"], w["fc2.bias"]).tanh()
    y = functional.linear(y, w["fc3.weight"], w["fc3.bias"])
    found = model(fovea.from_numpy(x))
    np.testing.assert_allclose(found.detach().numpy(), y.detach().numpy(), rtol=1e-9, atol=1e-12)
    y.square().sum().backward()
    found.square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None
        np.testing.assert_allclose(
            parameter.grad.numpy(), w[key].grad.numpy(), rtol=1e-7, atol=1e-12, err_msg=key
        )
    assert size != 28 or sum(p.numel() for p in model.parameters()) == 61_706
