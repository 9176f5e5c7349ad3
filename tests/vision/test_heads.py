"""New last layers: for every family of networks those that count classes, and no others."""

from __future__ import annotations

from typing import Any

import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision import models
from fovea.vision.models.detection.fcos import FCOSHead
from fovea.vision.models.detection.retinanet import RetinaNetHead
from fovea.vision.models.heads import class_layers

NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("alexnet", {}),
    ("convnext_tiny", {}),
    ("deeplabv3_mobilenet_v3_large", {"aux_loss": True}),
    ("deeplabv3plus_resnet50", {}),
    ("densenet121", {}),
    ("efficientnet_b0", {}),
    ("fasterrcnn_mobilenet_v3_large_fpn", {}),
    ("fasterrcnn_resnet50_fpn_v2", {}),
    ("fcn_resnet50", {"aux_loss": True}),
    ("fcos_resnet50_fpn", {}),
    ("glance_n", {}),
    ("googlenet", {"init_weights": False}),
    ("inception_v3", {"init_weights": False}),
    ("keypointrcnn_resnet50_fpn", {}),
    ("lenet5", {}),
    ("lraspp_mobilenet_v3_large", {}),
    ("maskrcnn_resnet50_fpn", {}),
    ("maxvit_t", {}),
    ("mnasnet0_5", {}),
    ("mobilenet_v2", {}),
    ("mobilenet_v3_small", {}),
    ("regnet_x_400mf", {}),
    ("resnet18", {}),
    ("resnet20", {}),
    ("retinaface_mobilenet025", {}),
    ("retinanet_resnet50_fpn", {}),
    ("shufflenet_v2_x0_5", {}),
    ("simple_cnn", {}),
    ("squeezenet1_1", {}),
    ("ssd300_vgg16", {}),
    ("ssdlite320_mobilenet_v3_large", {}),
    ("swin_t", {}),
    ("unet", {}),
    ("vgg11", {"init_weights": False}),
    ("vit_b_32", {}),
    ("vgg11_bn", {"init_weights": False, "small_input": True}),
]


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def counts(model: nn.Module) -> dict[str, dict[str, int]]:
    """All whole numbers that modules keep as attributes."""
    return {
        name: {k: v for k, v in vars(module).items() if type(v) is int}
        for name, module in model.named_modules()
    }


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("name", "config"), NETWORKS)
def test_a_new_head_makes_the_network_for_so_many_classes(
    name: str, config: dict[str, Any]
) -> None:
    net = models.get_model(name, num_classes=6, **config)
    other = models.get_model(name, num_classes=4, **config)
    before, after = shapes(net), shapes(other)
    layers = {key.rpartition(".")[0] for key in before if before[key] != after[key]}
    points = {key for key in class_layers(net) if "kps_score" in key or "Landmark" in key}
    assert set(class_layers(net)) == layers | points
    kept = {k: v for k, v in net.named_parameters() if k.rpartition(".")[0] not in layers}
    assert models.replace_head(net, 4) is net
    assert shapes(net) == after
    assert repr(net) == repr(other)
    assert counts(net) == counts(other)
    assert all(net.get_parameter(key) is value for key, value in kept.items())


def test_new_layers_learn_and_the_others_may_be_frozen() -> None:
    net = models.simple_cnn(num_classes=3, in_channels=1).double().eval().requires_grad_(False)
    models.replace_head(net, 2)
    new = net.classifier
    assert new.weight.dtype == fovea.float64
    assert not new.training
    assert [name for name, p in net.named_parameters() if p.requires_grad] == [
        "classifier.weight",
        "classifier.bias",
    ]
    assert net(fovea.zeros(1, 1, 8, 8, dtype=fovea.float64)).shape == (1, 2)


@pytest.mark.parametrize("head", [RetinaNetHead, FCOSHead])
def test_detectors_in_one_stage_first_expect_nothing(head: Any) -> None:
    net = nn.Module()
    net.head = head(32, 2, 3)
    models.replace_head(net, 5)
    layer = net.head.classification_head.cls_logits
    assert layer.bias.sigmoid().tolist() == pytest.approx([0.01] * 10, rel=1e-4)
    assert 0.008 < float(layer.weight.std()) < 0.012
    scores = net.head.classification_head([fovea.zeros(1, 32, 4, 4)])
    assert scores.shape == (1, 32, 5)


def test_networks_without_a_head_under_a_usual_name() -> None:
    with pytest.raises(ArgumentError, match=r"Sequential has no layer that counts[^$]*classifier"):
        models.replace_head(nn.Sequential(nn.Linear(2, 3), nn.Conv2d(3, 4, 1)), 4)
    net = models.replace_head(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 9), nn.ReLU()), 4)
    assert [m.out_features for m in net if isinstance(m, nn.Linear)] == [3, 4]
    with pytest.raises(ArgumentError, match="at least 1"):
        models.replace_head(models.simple_cnn(), 0)
