"""RetinaNet, FCOS, SSD and SSDlite against torchvision's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError, ShapeError
from fovea.vision import models
from fovea.vision.models.detection.anchor_utils import DefaultBoxGenerator
from tests.vision.detection.nets import files, find_alike, pair, scene, small_backbone, train_alike
from tests.vision.zoo import agree, facts, structure

torch = pytest.importorskip("torch")

PARAMETERS = {
    "fcos_resnet50_fpn": 32_269_600,
    "retinanet_resnet50_fpn": 34_014_999,
    "retinanet_resnet50_fpn_v2": 38_198_935,
    "ssd300_vgg16": 35_641_826,
    "ssdlite320_mobilenet_v3_large": 3_440_060,
}
LEARNED_NORMS = {
    "retinanet_resnet50_fpn_v2",
    "ssdlite320_mobilenet_v3_large",
}  # the others' are frozen once there are weights


@pytest.mark.parametrize("name", PARAMETERS)
def test_names_and_layers_are_torchvision_s(name: str, detection: Any, undrawn: None) -> None:
    ours = models.get_model(name)
    theirs = getattr(detection, name)(weights=None, weights_backbone=None)
    assert facts(ours.state_dict()) == facts(theirs.state_dict())
    assert structure(ours) == structure(theirs)
    frozen = sum(
        m.weight.numel() + m.bias.numel() for m in ours.modules() if isinstance(m, nn.BatchNorm2d)
    )
    learned = sum(p.numel() for p in ours.parameters())
    assert PARAMETERS[name] == (learned if name in LEARNED_NORMS else learned - frozen)


def retinanet(m: Any, loss: str = "l1", norm: bool = False, **config: Any) -> Any:
    anchors = m.anchor_utils.AnchorGenerator(((16, 24), (32, 48)), ((0.5, 1.0, 2.0),) * 2)
    layer = (lambda channels: m.lib.nn.GroupNorm(2, channels)) if norm else None
    head = m.retinanet.RetinaNetHead(16, 6, 4, norm_layer=layer)
    head.regression_head._loss_type = loss
    sizes = {"min_size": 56, "max_size": 90}
    return m.retinanet.RetinaNet(
        small_backbone(m), 4, anchor_generator=anchors, head=head, **sizes, **config
    )


@pytest.mark.parametrize(("loss", "norm"), [("l1", False), ("giou", True)])
def test_retinanet_trains_as_torchvision_s(loss: str, norm: bool, detection: Any) -> None:
    theirs, ours = pair(detection, lambda m: retinanet(m, loss, norm))
    train_alike(theirs, ours, *scene(4))


@pytest.mark.parametrize("config", [{}, {"topk_candidates": 20, "detections_per_img": 7}])
def test_retinanet_finds_what_torchvision_s_does(config: Any, detection: Any) -> None:
    theirs, ours = pair(detection, lambda m: retinanet(m, **config))
    find_alike(theirs, ours, scene(4)[0])


def fcos(m: Any, **config: Any) -> Any:
    anchors = m.anchor_utils.AnchorGenerator(((4,), (8,)), ((1.0,),) * 2)
    head = m.fcos.FCOSHead(32, 1, 4, num_convs=2)
    sizes = {"min_size": 64, "max_size": 64, "score_thresh": 0.05}
    backbone = small_backbone(m, channels=32)
    return m.fcos.FCOS(backbone, 4, anchor_generator=anchors, head=head, **{**sizes, **config})


@pytest.mark.parametrize("radius", [1.5, 3.0])
def test_fcos_trains_as_torchvision_s(radius: float, detection: Any) -> None:
    theirs, ours = pair(detection, lambda m: fcos(m, center_sampling_radius=radius))
    train_alike(theirs, ours, *scene(4, square=True))


@pytest.mark.parametrize("config", [{}, {"topk_candidates": 20, "detections_per_img": 7}])
def test_fcos_finds_what_torchvision_s_does(config: Any, detection: Any) -> None:
    theirs, ours = pair(detection, lambda m: fcos(m, **config))
    find_alike(theirs, ours, scene(4, square=True)[0])


def ssd(m: Any, **config: Any) -> Any:
    boxes = m.anchor_utils.DefaultBoxGenerator([[2], [2, 3]], min_ratio=0.2, max_ratio=0.5)
    backbone = small_backbone(m)
    del backbone.out_channels
    return m.ssd.SSD(backbone, boxes, (72, 64), 4, **config)


@pytest.mark.parametrize("config", [{}, {"positive_fraction": 0.5, "iou_thresh": 0.4}])
def test_ssd_trains_as_torchvision_s(config: Any, detection: Any) -> None:
    theirs, ours = pair(detection, lambda m: ssd(m, **config))
    train_alike(theirs, ours, *scene(4))


@pytest.mark.parametrize("config", [{}, {"topk_candidates": 20, "detections_per_img": 7}])
def test_ssd_finds_what_torchvision_s_does(config: Any, detection: Any) -> None:
    theirs, ours = pair(detection, lambda m: ssd(m, **config))
    find_alike(theirs, ours, scene(4)[0])


def lite(m: Any) -> Any:
    return m.ssdlite.ssdlite320_mobilenet_v3_large(weights_backbone=None, num_classes=3)


def features(m: Any, highres: bool = False) -> Any:
    """Those of SSD, without the rest."""
    vgg = m.ssd.vgg.vgg16 if hasattr(m.ssd, "vgg") else m.ssd.vgg16
    return m.ssd.SSDFeatureExtractorVGG(vgg().features, highres)


def test_maps_of_the_networks_are_torchvision_s(detection: Any) -> None:
    for build, size in ((features, 300), (lite, 96)):
        theirs, ours = pair(detection, build)
        theirs, ours = (getattr(net.eval(), "backbone", net) for net in (theirs, ours))
        x = np.random.default_rng(0).random((1, 3, size, size))
        with torch.no_grad(), fovea.no_grad():
            expected, found = theirs(torch.tensor(x)), ours(fovea.tensor(x))
        assert list(found) == list(expected) and len(found) == 6
        for key, value in expected.items():
            agree(found[key], value, key, 1e-6)


def test_features_of_larger_images(detection: Any, undrawn: None) -> None:
    ours, theirs = (
        features(files(package, lib), highres=True)
        for package, lib in (("fovea.vision.models.detection", fovea), (detection.__name__, torch))
    )
    assert structure(ours) == structure(theirs)
    assert facts(ours.state_dict()) == facts(theirs.state_dict())


def test_a_given_size_is_not_taken() -> None:
    with pytest.warns(UserWarning, match="the size is 320"):
        model = models.detection.ssdlite320_mobilenet_v3_large(size=(64, 64))
    assert model.transform.fixed_size == (320, 320)
    with pytest.raises(ArgumentError, match="makes 1 maps"):
        boxes = DefaultBoxGenerator([[2], [2]])
        models.detection.SSD(nn.Sequential(nn.Conv2d(3, 3, 1)), boxes, (8, 8), 3)


def test_nothing_is_found_above_a_threshold_of_one() -> None:
    found = retinanet_of_ours(score_thresh=1.0).eval()([fovea.rand(3, 40, 50)])[0]
    assert found["boxes"].shape == (0, 4) and found["labels"].dtype is fovea.int64


def retinanet_of_ours(**config: Any) -> Any:
    return retinanet(files("fovea.vision.models.detection", fovea), **config)


def test_mistakes_are_told() -> None:
    model, image = retinanet_of_ours(), fovea.rand(3, 40, 50)
    labels = fovea.tensor([1])
    with pytest.raises(ArgumentError, match="needs targets"):
        model([image])
    with pytest.raises(ArgumentError, match="1 images have 0 targets"):
        model([image], [])
    with pytest.raises(ShapeError, match=r"must be \(N, 4\)"):
        model([image], [{"boxes": fovea.zeros(4), "labels": labels}])
    with pytest.raises(ArgumentError, match="a width and a height, image 0"):
        model([image], [{"boxes": fovea.tensor([[5.0, 5, 5, 9]]), "labels": labels}])
    with pytest.raises(ArgumentError, match="out_channels"):
        models.detection.RetinaNet(nn.Sequential(nn.Conv2d(3, 3, 1)), 3)


def test_old_names_and_files_of_weights(tmp_path: Path) -> None:
    """The order of convolutions and activations in a list, as in torchvision's first file."""
    trained = models.detection.retinanet_resnet50_fpn(num_classes=3)
    old = {}
    for name, value in trained.state_dict().items():
        head, found, rest = name.partition(".conv.")
        if found and "_head" in head:
            index, _, kind = rest.split(".")
            name = f"{head}.conv.{2 * int(index)}.{kind}"
        old[name] = value
    assert "head.regression_head.conv.6.bias" in old
    path = tmp_path / "retinanet_resnet50_fpn_coco-0.pth"
    fovea.save(old, path)
    model = models.detection.retinanet_resnet50_fpn(weights=path, num_classes=3)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert "backbone.body.conv1.weight" in frozen
    assert "backbone.body.layer2.0.conv1.weight" not in frozen
    assert model.backbone.body["bn1"].eps == 0
    kept = trained.state_dict()
    for name, value in model.state_dict().items():
        assert fovea.equal(value, kept[name]), name
