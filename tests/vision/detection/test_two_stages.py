"""Faster R-CNN against torchvision's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fovea
from fovea.errors import ArgumentError, DTypeError
from fovea.vision import models
from tests.vision.detection.nets import files, find_alike, pair, scene, small_backbone, train_alike
from tests.vision.zoo import facts, structure

torch = pytest.importorskip("torch")

NAMES = (
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
)
SETTINGS = ("nms_thresh", "score_thresh", "detections_per_img", "_pre_nms_top_n", "_post_nms_top_n")


@pytest.mark.parametrize("name", NAMES)
def test_names_and_layers_are_torchvision_s(name: str, detection: Any, undrawn: None) -> None:
    ours = models.get_model(name)
    theirs = getattr(detection, name)(weights=None, weights_backbone=None)
    assert facts(ours.state_dict()) == facts(theirs.state_dict())
    assert structure(ours) == structure(theirs)
    for part in ("rpn", "roi_heads"):
        for setting in SETTINGS:
            one, other = getattr(ours, part), getattr(theirs, part)
            assert getattr(one, setting, None) == getattr(other, setting, None), setting
    for setting in ("sizes", "aspect_ratios"):
        one, other = ours.rpn.anchor_generator, theirs.rpn.anchor_generator
        assert getattr(one, setting) == getattr(other, setting)


# Every box is drawn, so that chance has no part.
ALL = {"rpn_batch_size_per_image": 9000, "box_batch_size_per_image": 9000}


def faster(m: Any, deep: bool = False, **config: Any) -> Any:
    f, nn = m.faster_rcnn, m.lib.nn
    anchors = m.anchor_utils.AnchorGenerator(((16, 24), (32, 48)), ((0.5, 1.0, 2.0),) * 2)
    parts = {"box_head": f.TwoMLPHead(16 * 9, 24)}
    if deep:
        parts = {
            "rpn_head": m.rpn.RPNHead(16, 6, conv_depth=2),
            "box_head": f.FastRCNNConvFCHead((16, 3, 3), [16, 16], [24], nn.BatchNorm2d),
        }
    return f.FasterRCNN(
        small_backbone(m),
        min_size=64,
        max_size=64,
        rpn_anchor_generator=anchors,
        box_roi_pool=m.MultiScaleRoIAlign(["0", "1"], 3, 2),
        box_predictor=f.FastRCNNPredictor(24, 4),
        **parts,
        **config,
    )


@pytest.mark.parametrize("deep", [False, True])
def test_faster_rcnn_trains_as_torchvision_s(deep: bool, detection: Any) -> None:
    theirs, ours = pair(detection, lambda m: faster(m, deep, **ALL))
    train_alike(theirs, ours, *scene(4, square=True))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"rpn_pre_nms_top_n_test": 30, "rpn_post_nms_top_n_test": 15, "box_detections_per_img": 9},
        {"rpn_score_thresh": 0.5, "box_score_thresh": 0.25, "bbox_reg_weights": (1.0, 1.0, 1.0, 1.0)},
    ],
)  # fmt: skip
def test_faster_rcnn_finds_what_torchvision_s_does(config: Any, detection: Any) -> None:
    theirs, ours = pair(detection, lambda m: faster(m, **config))
    find_alike(theirs, ours, scene(4, square=True)[0])


def ours(**config: Any) -> Any:
    return faster(files("fovea.vision.models.detection", fovea), **config)


def test_no_proposals_and_nothing_found() -> None:
    model = ours(rpn_score_thresh=2.0).eval()
    found = model([fovea.rand(3, 40, 50), fovea.rand(3, 60, 44)])
    assert [tuple(each["boxes"].shape) for each in found] == [(0, 4), (0, 4)]


def test_images_without_objects_train() -> None:
    losses = ours()([fovea.rand(3, 40, 50)], [{"boxes": fovea.zeros(0, 4), "labels": fovea.zeros(0).long()}])  # fmt: skip
    assert float(losses["loss_box_reg"]) == float(losses["loss_rpn_box_reg"]) == 0
    sum(losses.values()).backward()
    assert all(bool(v.isfinite().all()) for v in losses.values())


def test_training_draws_so_many_boxes_and_lessens_the_losses() -> None:
    fovea.manual_seed(0)
    model = ours(box_batch_size_per_image=16)
    images = [fovea.rand(3, 48, 64)]
    target = {"boxes": fovea.tensor([[4.0, 4, 30, 34]]), "labels": fovea.tensor([2])}
    drawn = model.roi_heads.select_training_samples([fovea.rand(40, 4) * 9], [target])
    assert drawn[0][0].shape == (16, 4) and drawn[2][0].max() == 2
    optimizer = fovea.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    history = []
    for _ in range(25):
        loss = sum(model(images, [target]).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.7 * history[0]


def test_mistakes_are_told() -> None:
    image, boxes = fovea.rand(3, 40, 50), fovea.tensor([[4.0, 4, 30, 34]])
    with pytest.raises(ArgumentError, match="has no labels"):
        ours()([image], [{"boxes": boxes}])
    with pytest.raises(DTypeError, match="must be int64"):
        ours()([image], [{"boxes": boxes, "labels": fovea.tensor([1.0])}])
    with pytest.raises(ArgumentError, match="either num_classes or box_predictor"):
        ours(num_classes=3)
    with pytest.raises(ArgumentError, match="needs targets"):
        ours()([image])


def test_old_names_and_files_of_weights(tmp_path: Path) -> None:
    """One convolution in front of the proposals, as in torchvision's first file."""
    trained = models.detection.fasterrcnn_mobilenet_v3_large_320_fpn(num_classes=3)
    state = trained.state_dict()
    old = {name.replace("rpn.head.conv.0.0.", "rpn.head.conv."): v for name, v in state.items()}
    assert "rpn.head.conv.weight" in old
    fovea.save(old, tmp_path / "weights.pth")
    model = models.detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=tmp_path / "weights.pth", num_classes=3
    )
    for name, value in model.state_dict().items():
        assert fovea.equal(value, state[name]), name
    assert not model.backbone.body["0"][0].weight.requires_grad
    assert model.backbone.body["16"][0].weight.requires_grad
