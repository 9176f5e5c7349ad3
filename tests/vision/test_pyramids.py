"""``get_model(name, features_only=True)``: the maps of networks for whole images."""

from __future__ import annotations

from typing import Any

import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision import models
from fovea.vision.models.pyramids import FeatureMaps

# Reductions and channels: those of the networks' stages, in their papers.
MAPS: dict[str, tuple[list[int], list[int]]] = {
    "convnext_tiny": ([4, 8, 16, 32], [96, 192, 384, 768]),
    "densenet121": ([2, 4, 8, 16, 32], [64, 256, 512, 1024, 1024]),
    "efficientnet_b0": ([2, 4, 8, 16, 32], [16, 24, 40, 112, 1280]),
    "googlenet": ([2, 4, 8, 16, 32], [64, 192, 480, 832, 1024]),
    "mobilenet_v2": ([2, 4, 8, 16, 32], [16, 24, 32, 96, 1280]),
    "regnet_y_400mf": ([2, 4, 8, 16, 32], [32, 48, 104, 208, 440]),
    "resnet20": ([1, 2, 4], [16, 32, 64]),
    "resnet50": ([2, 4, 8, 16, 32], [64, 256, 512, 1024, 2048]),
    "shufflenet_v2_x1_0": ([2, 4, 8, 16, 32], [24, 24, 116, 232, 1024]),
    "squeezenet1_1": ([2, 4, 8, 16], [64, 128, 256, 512]),
    "swin_v2_t": ([4, 8, 16, 32], [96, 192, 384, 768]),
    "unet": ([1, 2, 4, 8, 16], [64, 128, 256, 512, 1024]),
}


@pytest.mark.parametrize("name", MAPS)
def test_maps_of_networks(name: str, undrawn: None) -> None:
    model: Any = models.get_model(name, features_only=True)
    reductions, channels = MAPS[name]
    assert model.feature_info.reduction() == reductions
    assert model.feature_info.channels() == channels
    assert len(model.feature_info.module_name()) == len(channels)


@pytest.mark.parametrize("name", ["resnet18", "swin_t", "mobilenet_v3_small"])
def test_maps_come_out_of_images_of_other_sizes(name: str) -> None:
    model: Any = models.get_model(name, features_only=True).eval()
    with fovea.no_grad():
        maps = model(fovea.rand(1, 3, 64, 96))
    for x, reduction, channels in zip(
        maps, model.feature_info.reduction(), model.feature_info.channels(), strict=True
    ):
        assert x.shape == (1, channels, 64 // reduction, 96 // reduction)


def test_some_maps() -> None:
    whole = models.get_model("resnet18", small_input=True, num_classes=4).eval()
    own: Any = models.get_model(
        "resnet18", small_input=True, features_only=True, out_indices=(-2, 0)
    )
    own.eval()
    assert own.feature_info.module_name() == ["layer1", "layer3"]
    assert "layer4" not in dict(own.named_modules())
    state = whole.state_dict()
    own.load_state_dict({key: state[key] for key in own.state_dict()})
    x = fovea.rand(2, 3, 16, 16)
    maps = own(x)
    first = whole.layer1(whole.relu(whole.bn1(whole.conv1(x))))
    assert fovea.equal(maps[0], first)
    assert fovea.equal(maps[1], whole.layer3(whole.layer2(first)))
    sum(each.mean() for each in maps).backward()
    assert all(p.grad is not None for p in own.parameters())


def test_mistakes_are_told(undrawn: None) -> None:
    with pytest.raises(ArgumentError, match="no pyramid of maps"):
        models.get_model("vit_ti_16", features_only=True)
    with pytest.raises(ArgumentError, match="has maps 0 to 2, got"):
        models.get_model("resnet20", features_only=True, out_indices=(3,))
    with pytest.raises(ArgumentError, match="no pyramid of maps"):
        FeatureMaps(nn.Sequential(nn.Linear(3, 4)))
