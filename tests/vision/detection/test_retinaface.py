"""RetinaFace against the same written in PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, DTypeError, ShapeError
from fovea.nn.state import StateDictError
from fovea.vision import models
from fovea.vision.models.detection.retinaface_losses import match_faces
from fovea.vision.models.detection.retinaface_network import MobileNetV1, prior_boxes
from tests.vision.detection import faces
from tests.vision.detection.nets import train_alike
from tests.vision.zoo import agree, facts

torch = pytest.importorskip("torch")
PARAMETERS = {"retinaface_mobilenet025": 426_608, "retinaface_resnet50": 27_293_600}


def retinaface(seed: int = 0, **config: Any) -> tuple[Any, Any]:
    """PyTorch's network and ours in float64, with the same weights."""
    theirs = faces.trained(faces.RetinaFace(), seed).train()
    for module in theirs.modules():
        module.momentum = 1.0  # statistics of one batch
    theirs(torch.cat([faces.prepared(torch.tensor(faces.picture(96, 128, i))) for i in range(2)]))
    theirs.eval()
    ours = models.get_model("retinaface_mobilenet025", **config).double().eval()
    ours.load_state_dict({k: fovea.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    return theirs, ours


@fovea.no_grad()
def seen(model: Any, *images: Any) -> Any:
    """What a model finds in images."""
    return model([fovea.tensor(image) for image in images])


@pytest.mark.parametrize("name", PARAMETERS)
def test_names_and_shapes(name: str, torchvision: Any, undrawn: None) -> None:
    resnet = torchvision.models.resnet50() if "resnet" in name else None
    theirs, ours = faces.RetinaFace(resnet), models.get_model(name)
    assert facts(ours.state_dict()) == facts(theirs.state_dict())
    assert sum(p.numel() for p in ours.parameters()) == PARAMETERS[name]
    assert name in models.list_models(models.detection)


@pytest.mark.parametrize("size", [(64, 96), (75, 101)])
def test_predictions(size: tuple[int, int]) -> None:
    theirs, ours = retinaface()
    x = faces.prepared(torch.tensor(faces.picture(*size)))
    with torch.no_grad(), fovea.no_grad():
        expected, found = theirs(x), ours.predictions(fovea.tensor(x.numpy()))
    assert found[0].shape[1] == len(prior_boxes(*size)) == len(faces.priors(*size))
    for a, b in zip(found, expected, strict=True):
        agree(a, b, "predictions")


def test_those_of_a_wide_one_and_compiled(torchvision: Any) -> None:
    """A quarter of ResNet-50's blocks: more than 64 channels have other activations."""
    resnet = torchvision.models.resnet
    theirs = faces.RetinaFace(resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1]), wide=72)
    theirs = faces.trained(theirs).float()
    state = {k: fovea.tensor(v.numpy()) for k, v in theirs.state_dict().items()}
    body = models.resnet.ResNet(models.resnet.Bottleneck, [1, 1, 1, 1])
    layers = {"layer2": "1", "layer3": "2", "layer4": "3"}
    ours = models.detection.RetinaFace(body, layers, (512, 1024, 2048), 72).eval()
    ours.load_state_dict(state)
    x = faces.prepared(torch.tensor(faces.picture(40, 50), dtype=torch.float32))
    with torch.no_grad(), fovea.no_grad():
        expected, given = theirs(x), fovea.tensor(x.numpy())
        found = ours.predictions(given)
        compiled = fovea.compile(ours.predictions, strict=True)(given)
    for a, b, c in zip(found, compiled, expected, strict=True):
        agree(a, c, "eager", 1e-4)
        agree(b, c, "compiled", 1e-4)


def test_priors_are_squares_around_places() -> None:
    wanted = faces.corners(faces.priors(40, 75), 40, 75)
    np.testing.assert_array_equal(prior_boxes(40, 75), wanted)


@pytest.mark.parametrize("size", [(96, 128), (77, 101)])
def test_what_is_found(size: tuple[int, int]) -> None:
    theirs, ours = retinaface(score_thresh=0.6)
    image = faces.picture(*size)
    boxes, scores, points = (x.numpy() for x in faces.found(theirs, torch.tensor(image), 0.6))
    low, high = np.zeros(4), np.tile(size[::-1], 2)
    inside = ((boxes[:, 2:] > 0) & (boxes[:, :2] < size[::-1])).all(1)
    assert 5 < inside.sum() < 500
    (found,) = seen(ours, image)
    np.testing.assert_allclose(found["boxes"], boxes[inside].clip(low, high), atol=1e-3)
    np.testing.assert_allclose(found["scores"], scores[inside], atol=1e-9)
    np.testing.assert_allclose(found["keypoints"][..., :2], points[inside], atol=1e-3)
    assert (found["keypoints"][..., 2] == 1).all() and (found["labels"] == 1).all()
    ours.detections_per_img = 4
    assert fovea.equal(seen(ours, image)[0]["scores"], found["scores"][:4])


def test_images_of_several_sizes() -> None:
    _, ours = retinaface(score_thresh=0.6)
    images = [faces.picture(64, 96), faces.picture(80, 50)]
    for image, found in zip(images, seen(ours, *images), strict=True):
        height, width = image.shape[1:]
        boxes = found["boxes"].numpy()
        assert len(boxes) and (boxes[:, 2:] > boxes[:, :2]).all() and boxes.min() >= 0
        assert (boxes <= [width, height, width, height]).all()
    alone = seen(ours, images[0])[0]
    for found in seen(ours, images[0], images[0]):
        agree(found["boxes"], alone["boxes"], "boxes")
    ours.score_thresh = 1.0
    assert seen(ours, *images)[1]["keypoints"].shape == (0, 5, 3)


def test_images_at_another_size() -> None:
    _, ours = retinaface(score_thresh=0.6)
    small = faces.picture(48, 64)
    large = np.repeat(np.repeat(small, 2, 1), 2, 2)
    expected = seen(ours, small)[0]
    ours.transform.min_size = (48,)
    (found,) = seen(ours, large)  # bilinear halves are means of equal pixels
    for key in ("boxes", "keypoints"):
        factor = np.array([2, 2, 1]) if key == "keypoints" else 2
        np.testing.assert_allclose(found[key], expected[key].numpy() * factor, atol=1e-4)


def targets(seed: int, *counts: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    all_targets = []
    for n in counts:
        corner = rng.uniform(0, 40, (n, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(6, 50, (n, 2))], 1)
        points = np.ones((n, 5, 3))
        points[..., :2] = corner[:, None] + rng.uniform(0, 30, (n, 5, 2))
        points[: n // 2, 1:3, 2] = 0
        points[:1, :, 2] = n % 2
        all_targets.append({"boxes": boxes, "labels": np.ones(n, np.int64), "keypoints": points})
    return all_targets


def test_losses_and_their_gradients() -> None:
    theirs, ours = retinaface(1)

    class Learning(torch.nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            for name, part in theirs.named_children():
                self.add_module(name, part)

        def forward(self, images: Any, given: Any) -> Any:
            batch = torch.cat([faces.prepared(image) for image in images])
            return faces.losses(theirs(batch), tuple(batch.shape[2:]), given)

    learning = Learning().train()
    theirs.train()
    images = [faces.picture(64, 96, seed) for seed in range(3)]
    train_alike(learning, ours.train(), images, targets(0, 4, 3, 0))


def test_training_steps_with_the_network_compiled() -> None:
    """All but the assignment of boxes, which depends on values."""
    nets = [retinaface()[1].float().train() for _ in range(2)]
    nets[1].predictions = fovea.compile(nets[1].predictions, strict=True)
    images = [fovea.tensor(faces.picture(64, 96, seed)).float() for seed in range(2)]
    given = [{k: fovea.tensor(v) for k, v in t.items()} for t in targets(0, 3, 1)]
    given = [t | {"boxes": t["boxes"].float()} for t in given]
    for _ in range(2):
        for net in nets:
            net.zero_grad()
            sum(net(images, given).values()).backward()
        pairs = zip(*(net.named_parameters() for net in nets), strict=True)
        for (name, eager), (_, compiled) in pairs:
            assert fovea.equal(eager.grad, compiled.grad), name
    assert seen(nets[1].eval(), faces.picture(50, 40).astype("f4"))[0]["boxes"].shape[1] == 4


def test_boxes_stand_for_faces_as_defined() -> None:
    where, seen = faces.corners(faces.priors(64, 96), 64, 96), set()
    for seed in range(12):
        boxes = torch.tensor(targets(seed, 5)[0]["boxes"])
        quality = np.array([[faces.iou(box, prior) for prior in where] for box in boxes])
        expected = faces.stands_for(boxes, where)
        assert match_faces(quality).tolist() == expected
        seen.update(expected)
    assert len(seen) == 6
    assert match_faces(np.full((1, 3), 0.1)).tolist() == [-1, -1, -1]  # too hard


@pytest.mark.parametrize("points", [None, 0.0, np.nan])
def test_faces_without_landmarks_teach_boxes(points: float | None) -> None:
    _, ours = retinaface()
    target = {"boxes": fovea.tensor([[4.0, 8, 30, 40]]).double(), "labels": fovea.tensor([1])}
    if points is not None:
        target["keypoints"] = fovea.full((1, 5, 3), points).double()
    losses = ours.train()([fovea.tensor(faces.picture(50, 60))], [target])
    assert losses["landmark_regression"].item() == 0 < losses["bbox_regression"].item()
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in ours.parameters())


def test_images_without_faces() -> None:
    """Nothing is learned from them alone: background counts for each face."""
    _, ours = retinaface()
    none = {"boxes": fovea.zeros(0, 4).double(), "labels": fovea.zeros(0, dtype=fovea.int64)}
    losses = ours.train()([fovea.tensor(faces.picture(40, 50))] * 2, [none] * 2)
    assert all(loss.item() == 0 for loss in losses.values())
    sum(losses.values()).backward()
    assert all((p.grad == 0).all() for p in ours.parameters())


def test_boxes_have_all_their_digits_in_bfloat16() -> None:
    """Where nothing is predicted, squares are found as they are."""
    ours = models.get_model("retinaface_mobilenet025").eval()
    for head in (*ours.ClassHead, *ours.BboxHead):
        for p in head.parameters():
            fovea.nn.init.zeros_(p)
    image = fovea.rand(3, 8, 1400)
    with fovea.no_grad():
        (wanted,), (found,) = ours([image]), ours.bfloat16()([image.bfloat16()])
    assert fovea.equal(found["boxes"], wanted["boxes"]) and wanted["boxes"].max() == 1400


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 2)])
def test_images_smaller_than_the_strides(size: tuple[int, int]) -> None:
    theirs, ours = retinaface(score_thresh=0.01)
    image = faces.picture(*size)
    boxes, scores, _ = (x.numpy() for x in faces.found(theirs, torch.tensor(image), 0.01))
    inside = ((boxes[:, 2:] > 0) & (boxes[:, :2] < size[::-1])).all(1)
    (found,) = seen(ours, image)
    np.testing.assert_allclose(found["scores"], scores[inside], atol=1e-9)
    assert seen(ours, image * np.nan)[0]["keypoints"].shape == (0, 5, 3)


def test_files_and_what_does_not_fit(tmp_path: Path) -> None:
    theirs = faces.trained(faces.RetinaFace()).float()
    state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    torch.save(state, tmp_path / "mobilenet0.25_Final.pth")
    path = str(tmp_path / "mobilenet0.25_Final.pth")
    ours = models.detection.retinaface_mobilenet025(weights=path)
    for name, value in ours.state_dict().items():
        np.testing.assert_array_equal(value, theirs.state_dict()[name])
    with pytest.raises(StateDictError, match="are the weights of a retinaface_mobilenet025"):
        models.detection.retinaface_resnet50(weights=path)
    with pytest.raises(StateDictError, match="num_classes=2 makes the heads"):
        models.detection.retinaface_mobilenet025(weights=path, num_classes=3)
    with pytest.raises(StateDictError, match="num_keypoints=5 makes the heads"):
        models.detection.retinaface_mobilenet025(weights=path, num_keypoints=4)
    with pytest.warns(UserWarning, match=r"loaded but for ClassHead\.0\.conv1x1"):
        other = models.get_model("retinaface_mobilenet025", weights=path, num_classes=3)
    assert other.ClassHead[2].conv1x1.out_channels == 6
    np.testing.assert_array_equal(
        other.LandmarkHead[1].conv1x1.weight.detach(), ours.LandmarkHead[1].conv1x1.weight.detach()
    )
    net = faces.MobileNet()
    state = {f"module.{name}": value for name, value in net.state_dict().items()}
    backbone = tmp_path / "mobilenetV1X0.25_pretrain.tar"
    torch.save({"state_dict": state, "best_prec1": 46.6}, backbone)
    started = models.detection.retinaface_mobilenet025(weights_backbone=backbone)
    assert fovea.equal(
        started.body["stage1"][0][0].weight, fovea.tensor(net.stage1[0][0].weight.detach().numpy())
    )
    with pytest.raises(StateDictError, match="backbone alone: weights_backbone="):
        models.detection.retinaface_mobilenet025(weights=backbone)
    x = torch.rand(2, 3, 64, 64)
    own = MobileNetV1().eval()
    own.load_state_dict({k: fovea.tensor(v.numpy()) for k, v in net.state_dict().items()})
    with torch.no_grad(), fovea.no_grad():
        agree(own(fovea.tensor(x.numpy())), net.eval()(x), "classes", 1e-4)


def test_mistakes_are_told() -> None:
    _, ours = retinaface()
    image = fovea.tensor(faces.picture(40, 50))
    (target,) = ({k: fovea.tensor(v) for k, v in t.items()} for t in targets(0, 2))
    with pytest.raises(ShapeError, match=r"keypoints must be \(N, 5, 3\)"):
        ours.train()([image], [target | {"keypoints": fovea.zeros(2, 4, 3)}])
    with pytest.raises(ShapeError, match=r"\['labels'\] must be \(2,\)"):
        ours([image], [target | {"labels": target["labels"][:1]}])
    with pytest.raises(ArgumentError, match="needs targets"):
        ours([image])
    with pytest.raises(DTypeError, match="floating point"):
        ours.eval()([fovea.zeros(3, 40, 50, dtype=fovea.uint8)])
    with pytest.raises(ArgumentError, match=r"tensors \(C, H, W\), got ndarray"):
        ours([faces.picture(40, 50)])
    with pytest.raises(ArgumentError, match="has no labels"):
        ours.train()([image], [{"boxes": target["boxes"]}])
    with pytest.raises(ArgumentError, match="three maps are needed"):
        models.detection.RetinaFace(MobileNetV1(), {"stage1": "1"}, [64], 64)
    with pytest.raises(ArgumentError, match="multiple of 4, got 6"):
        maps = {"stage1": "1", "stage2": "2", "stage3": "3"}
        models.detection.RetinaFace(MobileNetV1(), maps, [64, 128, 256], 6)
