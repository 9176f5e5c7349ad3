"""U-Net against the same network written in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision import models
from tests.vision.test_zoo import agree

torch = pytest.importorskip("torch")


def double_conv(inputs: int, outputs: int) -> Any:
    layers: list[Any] = []
    for channels in (inputs, outputs):
        layers.append(torch.nn.Conv2d(channels, outputs, 3, padding=1, bias=False))
        layers += [torch.nn.BatchNorm2d(outputs), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers)


class Twin(torch.nn.Module):  # type: ignore[misc]
    """U-Net of depth 2, written out."""

    def __init__(self, classes: int, n: int) -> None:
        super().__init__()
        self.stem = double_conv(3, n)
        self.pool = torch.nn.MaxPool2d(2)
        self.down = torch.nn.ModuleList([double_conv(n, 2 * n), double_conv(2 * n, 4 * n)])
        up = torch.nn.ConvTranspose2d
        self.up = torch.nn.ModuleList([up(4 * n, 2 * n, 2, 2), up(2 * n, n, 2, 2)])
        self.merge = torch.nn.ModuleList([double_conv(4 * n, 2 * n), double_conv(2 * n, n)])
        self.head = torch.nn.Conv2d(n, classes, 1)

    def forward(self, x: Any) -> Any:
        full = self.stem(x)
        half = self.down[0](self.pool(full))
        quarter = self.down[1](self.pool(half))
        y = self.merge[0](torch.cat([half, self.fit(self.up[0](quarter), half)], 1))
        return self.head(self.merge[1](torch.cat([full, self.fit(self.up[1](y), full)], 1)))

    def fit(self, x: Any, like: Any) -> Any:
        rows, columns = (like.shape[d] - x.shape[d] for d in (2, 3))
        return torch.nn.functional.pad(x, (0, columns, 0, rows))


@pytest.mark.parametrize("size", [(16, 24), (17, 22)])
def test_a_training_step_and_evaluation_are_pytorch_s(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    theirs = Twin(3, 4).double()
    ours = models.UNet(3, base_channels=4, depth=2).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: fovea.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    draws = np.random.default_rng(0)
    x, y = draws.standard_normal((2, 3, *size)), draws.integers(0, 3, (2, *size))
    expected, found = theirs(torch.from_numpy(x)), ours(fovea.from_numpy(x))
    agree(found, expected, "logits")
    torch.nn.functional.cross_entropy(expected, torch.from_numpy(y)).backward()
    nn.functional.cross_entropy(found, fovea.from_numpy(y)).backward()
    gradients = dict(ours.named_parameters())
    for key, parameter in theirs.named_parameters():
        agree(gradients[key].grad, parameter.grad, f"gradient of {key}")
    for key, buffer in theirs.named_buffers():
        agree(ours.get_buffer(key), buffer, key)
    expected = theirs.eval()(torch.from_numpy(x))
    agree(ours.eval()(fovea.from_numpy(x)), expected, "logits in evaluation")


def test_sizes_and_first_values() -> None:
    fovea.manual_seed(0)
    model = models.get_model("unet", num_classes=1)
    assert sum(p.numel() for p in model.parameters()) == 31_037_633
    widths = [stage[0].out_channels for stage in (model.stem, *model.down)]
    assert widths == [64, 128, 256, 512, 1024]
    weight = model.down[0][0].weight
    assert abs(float(weight.std()) / (2 / (64 * 9)) ** 0.5 - 1) < 0.05
    small = models.UNet(base_channels=2)
    assert small(fovea.zeros(1, 3, 16, 33)).shape == (1, 2, 16, 33)


def test_errors() -> None:
    with pytest.raises(ArgumentError, match="depth must be at least 1"):
        models.UNet(depth=0)
