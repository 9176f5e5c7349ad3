"""Whole networks: compiled training steps and inference follow eager ones."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from fovea import nn, optim
from fovea.vision import models

NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "resnet18": (lambda: models.resnet18(num_classes=5), (4, 3, 32, 32)),
    "resnet50": (lambda: models.resnet50(num_classes=5), (3, 3, 33, 33)),
    "vgg11_bn": (lambda: models.vgg11_bn(num_classes=5), (2, 3, 32, 32)),
    "mobilenet_v2": (lambda: models.mobilenet_v2(num_classes=5), (4, 3, 32, 32)),
    "efficientnet_b0": (lambda: models.efficientnet_b0(num_classes=5), (4, 3, 32, 32)),
    "convnext_tiny": (lambda: models.convnext_tiny(num_classes=5), (2, 3, 32, 32)),
    "vit": (
        lambda: models.VisionTransformer(32, 8, 2, 3, 48, 96, num_classes=5), (3, 3, 32, 32),
    ),
    "mobilenet_v3_small": (
        lambda: models.mobilenet_v3_small(num_classes=5, width_mult=0.5), (4, 3, 33, 33),
    ),
    "densenet": (lambda: models.DenseNet(8, (2, 2), 16, num_classes=5), (3, 3, 32, 32)),
    "shufflenet_v2": (
        lambda: models.ShuffleNetV2([2, 1, 1], [8, 16, 24, 32, 48], 5), (3, 3, 64, 64),
    ),
    "maxvit": (
        lambda: models.MaxVit((48, 48), 8, 2, [8, 12], [1, 1], 4, 0.0, num_classes=5),
        (2, 3, 48, 48),
    ),
    "swin": (
        lambda: models.SwinTransformer([4, 4], 12, [2, 2], [2, 3], [3, 3], num_classes=5),
        (2, 3, 32, 32),
    ),
    "swin_v2": (lambda: swin_v2(), (2, 3, 32, 32)),
    "unet": (lambda: models.UNet(5, 3, base_channels=8), (2, 3, 32, 32)),
}  # fmt: skip


def swin_v2() -> models.SwinTransformer:
    return models.SwinTransformer(
        [4, 4],
        12,
        [2, 2],
        [2, 3],
        [3, 3],
        num_classes=5,
        block=models.SwinTransformerBlockV2,
        downsample_layer=models.PatchMergingV2,
    )


def loss_of(out: Any, y: Any) -> Any:
    if out.ndim == 4:  # a class for each pixel
        y = y.reshape(-1, 1, 1).expand(-1, *out.shape[2:])
    return F.cross_entropy(out, y)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_and_inference(name: str) -> None:
    make, shape = NETWORKS[name]
    fovea.manual_seed(0)
    eager = make()
    compiled = copy.deepcopy(eager)
    losses: list[list[float]] = []
    data = [(fovea.randn(*shape), fovea.randint(0, 5, shape[:1])) for _ in range(4)]
    for net in (eager, compiled):
        fovea.manual_seed(7)
        step = training_step(net)
        step = fovea.compile(step, strict=True) if net is compiled else step
        losses.append([step(x, y).item() for x, y in data])
    assert np.isfinite(losses).all()
    assert np.allclose(*losses, rtol=2e-3), name
    compiled.load_state_dict(eager.state_dict())
    model = fovea.compile(compiled.eval(), strict=True)
    eager.eval()
    with fovea.no_grad():
        for x, _ in data:
            expected = eager(x).numpy()
            found = model(x).numpy()
            scale = np.abs(expected).max() + 1e-6
            assert np.abs(found - expected).max() <= 1e-4 * scale
    assert len(model.programs) == 1


def training_step(net: nn.Module) -> Any:
    optimizer = optim.SGD(net.parameters(), lr=0.001, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step
