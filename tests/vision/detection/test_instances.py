"""Mask R-CNN and Keypoint R-CNN against torchvision's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, ShapeError
from fovea.vision import models
from fovea.vision.models.detection import backbone_utils, mask_rcnn
from tests.vision.detection.nets import (
    files,
    find_alike,
    given,
    pair,
    scene,
    small_backbone,
    train_alike,
)
from tests.vision.zoo import facts, structure

torch = pytest.importorskip("torch")

NAMES = ("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2", "keypointrcnn_resnet50_fpn")
POINTS = 3
# Every box is drawn, so that chance has no part.
ALL = {"rpn_batch_size_per_image": 9000, "box_batch_size_per_image": 9000}


@pytest.mark.parametrize("name", NAMES)
def test_names_and_layers_are_torchvision_s(name: str, detection: Any, undrawn: None) -> None:
    ours = models.get_model(name)
    theirs = getattr(detection, name)(weights=None, weights_backbone=None)
    assert facts(ours.state_dict()) == facts(theirs.state_dict())
    assert structure(ours) == structure(theirs)
    assert ours.transform.min_size == theirs.transform.min_size
    for part in ("mask_roi_pool", "keypoint_roi_pool"):
        assert repr(getattr(ours.roi_heads, part)) == repr(getattr(theirs.roi_heads, part))
    for part in ("has_mask", "has_keypoint"):
        assert getattr(ours.roi_heads, part)() == getattr(theirs.roi_heads, part)()


def test_other_points_and_classes(undrawn: None) -> None:
    model = models.detection.keypointrcnn_resnet50_fpn(num_classes=4, num_keypoints=5)
    assert model.roi_heads.keypoint_predictor.kps_score_lowres.out_channels == 5
    assert model.roi_heads.box_predictor.cls_score.out_features == 4
    model = models.detection.maskrcnn_resnet50_fpn(num_classes=4)
    assert model.roi_heads.mask_predictor.mask_fcn_logits.out_channels == 4


def instances(m: Any, kinds: Sequence[str] = ("masks", "keypoints"), **config: Any) -> Any:
    """A small network that makes masks and points."""
    f, pool = m.faster_rcnn, m.MultiScaleRoIAlign
    parts: dict[str, Any] = {
        "min_size": 64,
        "max_size": 64,
        "rpn_anchor_generator": m.anchor_utils.AnchorGenerator(
            ((16, 24), (32, 48)), ((0.5, 1.0, 2.0),) * 2
        ),
        "box_roi_pool": pool(["0", "1"], 3, 2),
        "box_head": f.TwoMLPHead(16 * 9, 24),
        "box_predictor": f.FastRCNNPredictor(24, 4),
    }
    masks = {
        "mask_roi_pool": pool(["0", "1"], 4, 2),
        "mask_head": m.mask_rcnn.MaskRCNNHeads(16, [8, 8], 1, m.lib.nn.BatchNorm2d),
        "mask_predictor": m.mask_rcnn.MaskRCNNPredictor(8, 6, 4),
    }
    points = {
        "keypoint_roi_pool": pool(["0", "1"], 4, 2),
        "keypoint_head": m.keypoint_rcnn.KeypointRCNNHeads(16, [8, 8]),
        "keypoint_predictor": m.keypoint_rcnn.KeypointRCNNPredictor(8, POINTS),
    }
    if kinds == ("keypoints",):
        return m.keypoint_rcnn.KeypointRCNN(small_backbone(m), **parts, **points, **config)
    model = m.mask_rcnn.MaskRCNN(small_backbone(m), **parts, **masks, **config)
    for key, value in points.items() if "keypoints" in kinds else ():
        setattr(model.roi_heads, key, value)
    return model


def shapes_and_points() -> tuple[Any, Any]:
    """A scene whose objects are ellipses with points, some of which nobody sees."""
    images, targets = scene(4, square=True)
    rng = np.random.default_rng(8)
    for image, target in zip(images, targets, strict=True):
        x1, y1, x2, y2 = target["boxes"].T[:, :, None, None]
        y, x = np.mgrid[: image.shape[1], : image.shape[2]] + 0.5
        across, down = (2 * x - x1 - x2) / (x2 - x1), (2 * y - y1 - y2) / (y2 - y1)
        target["masks"] = (across**2 + down**2 < 1).astype(np.uint8)
        corner, size = target["boxes"][:, None, :2], target["boxes"][:, None, 2:]
        place = corner + rng.uniform(-0.1, 1.1, (len(corner), POINTS, 2)) * (size - corner)
        seen = rng.integers(0, 3, (len(corner), POINTS, 1))
        target["keypoints"] = np.concatenate([place, seen], 2).astype(np.float32)
    return images, targets


def test_losses_and_gradients_are_torchvision_s(detection: Any) -> None:
    theirs, ours = pair(detection, lambda m: instances(m, **ALL))
    train_alike(theirs, ours, *shapes_and_points())


@pytest.mark.parametrize("kinds", [("masks", "keypoints"), ("masks",), ("keypoints",)])
def test_what_is_found_is_what_torchvision_finds(kinds: Any, detection: Any) -> None:
    theirs, ours = pair(detection, lambda m: instances(m, kinds, box_detections_per_img=9))
    find_alike(theirs, ours, scene(4, square=True)[0], 1e-5)


def ours(kinds: Sequence[str] = ("masks", "keypoints"), **config: Any) -> Any:
    return instances(files("fovea.vision.models.detection", fovea), kinds, **config)


def test_nothing_found_has_no_masks_or_points() -> None:
    found = ours(rpn_score_thresh=2.0).eval()([fovea.rand(3, 40, 50)])[0]
    assert found["masks"].shape == (0, 1, 40, 50)
    assert found["keypoints"].shape == (0, POINTS, 3)
    assert found["keypoints_scores"].shape == (0, POINTS)


def test_images_without_objects_train() -> None:
    target = {
        "boxes": fovea.zeros(0, 4),
        "labels": fovea.zeros(0).long(),
        "masks": fovea.zeros(0, 40, 50, dtype=fovea.uint8),
        "keypoints": fovea.zeros(0, POINTS, 3),
    }
    losses = ours()([fovea.rand(3, 40, 50)], [target])
    assert float(losses["loss_mask"]) == float(losses["loss_keypoint"]) == 0
    sum(losses.values()).backward()


def test_training_lessens_the_losses() -> None:
    fovea.manual_seed(0)
    model = ours(box_batch_size_per_image=16)
    images, targets = (each[:1] for each in given(fovea, *shapes_and_points()))
    images = [images[0].float()]
    targets = [{k: v.float() if k == "boxes" else v for k, v in targets[0].items()}]
    optimizer = fovea.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    history = []
    for _ in range(25):
        losses = model(images, targets)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append([losses[key].item() for key in ("loss_mask", "loss_keypoint")])
    assert (np.array(history[-1]) < 0.9 * np.array(history[0])).all(), (history[0], history[-1])


def test_mistakes_are_told() -> None:
    image, target = (
        fovea.rand(3, 40, 50),
        {
            "boxes": fovea.tensor([[4.0, 4, 30, 34]]),
            "labels": fovea.tensor([1]),
        },
    )
    with pytest.raises(ArgumentError, match="has no masks and no keypoints"):
        ours()([image], [target])
    target["masks"] = fovea.zeros(2, 40, 50)
    with pytest.raises(ShapeError, match=r"\['masks'\] must be \(1, H, W\)"):
        ours(("masks",))([image], [target])
    target["masks"] = fovea.zeros(1, 41, 50)
    with pytest.raises(ShapeError, match=r"masks must be \(N, 40, 50\)"):
        ours(("masks",))([image], [target])
    target |= {"masks": fovea.zeros(1, 40, 50), "keypoints": fovea.zeros(1, POINTS, 2)}
    with pytest.raises(ShapeError, match=r"keypoints must be \(N, K, 3\)"):
        ours(("keypoints",))([image], [target])
    target["keypoints"] = fovea.zeros(2, POINTS, 3)
    with pytest.raises(ShapeError, match=r"\['keypoints'\] must be \(1, K, 3\)"):
        ours(("keypoints",))([image], [target])
    with pytest.raises(ArgumentError, match="either num_classes or mask_predictor"):
        ours(("masks",), num_classes=3)
    with pytest.raises(ArgumentError, match="num_keypoints"):
        ours(("keypoints",), num_keypoints=3)


def test_old_names_of_weights() -> None:
    """Convolutions of masks without names of their own, as in torchvision's first file."""
    trained, head = (mask_rcnn.MaskRCNNHeads(4, [4, 4], 1) for _ in range(2))
    state = trained.state_dict()
    old = {f"mask_fcn{int(key[0]) + 1}{key[3:]}": value for key, value in state.items()}
    assert list(old) == ["mask_fcn1.weight", "mask_fcn1.bias", "mask_fcn2.weight", "mask_fcn2.bias"]
    head.load_state_dict(old)
    for key, value in head.state_dict().items():
        assert fovea.equal(value, state[key]), key


@pytest.mark.parametrize(
    ("file", "eps"),
    [
        ("keypointrcnn_resnet50_fpn_coco-fc266e95.pth", 0.0),
        ("keypointrcnn_resnet50_fpn_coco-9f466800.pth", 1e-5),
        ("own.pth", 1e-5),
    ],
)
def test_first_files_of_weights_were_trained_without_eps(
    file: str, eps: float, tmp_path: Path
) -> None:
    net = fovea.nn.Sequential(fovea.vision.ops.FrozenBatchNorm2d(2))
    fovea.save(net.state_dict(), tmp_path / file)
    backbone_utils.load_detector(net, tmp_path / file, "keypointrcnn_resnet50_fpn")
    assert net[0].eps == eps
