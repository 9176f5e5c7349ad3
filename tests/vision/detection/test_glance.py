"""Glance: its pieces against their definitions, the whole beside PyTorch's functions, and what it
learns.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError
from fovea.vision import models
from fovea.vision.models.detection import Glance, glance_n
from fovea.vision.models.detection.glance import Letterbox
from fovea.vision.models.detection.glance_losses import (
    assign,
    distance_loss,
    glance_losses,
    pad_targets,
)
from fovea.vision.models.detection.glance_network import BINS, decode, places
from tests.vision.zoo import agree

RNG = np.random.default_rng(0)
TINY = {"widths": (8, 8, 16, 16, 16), "depth": 1, "image_size": 64}
Array = np.ndarray[Any, Any]


def scene(images: int = 3, objects: int = 5, classes: int = 3, side: int = 64) -> SimpleNamespace:
    """Random predictions at all places, and objects; some are missing, one is tiny."""
    points, strides = places(side, side)
    count = points.shape[0]
    corners = RNG.uniform(0, 40, (images, objects, 2))
    truth = np.concatenate((corners, corners + RNG.uniform(5, 24, corners.shape)), 2)
    truth[0, 0] = [9, 9, 10, 11]  # between the places of all maps
    labels = RNG.integers(1, classes + 1, (images, objects))
    labels[1, 3:] = 0
    truth[1, 3:] = 0
    labels[2:, :] = 0
    reach = RNG.uniform(2, 20, (images, count, 4)) * [-1, -1, 1, 1]
    return SimpleNamespace(
        points=points.numpy().astype(float),
        strides=strides.numpy().astype(float),
        scores=RNG.uniform(0.01, 1, (images, count, classes)),
        boxes=np.concatenate((points, points), 1) + reach,
        labels=labels,
        truth=truth,
    )


def iou(a: Array, b: Array) -> float:
    size = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    common = size.prod()
    return float(common / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common))


def assigned(s: SimpleNamespace) -> tuple[Array, Array]:
    """What places are to find by the definition, one place and one object at a time."""
    scores, boxes = np.zeros_like(s.scores), np.broadcast_to([0.0, 0, 1, 1], s.boxes.shape).copy()
    for n, (labels, truth) in enumerate(zip(s.labels, s.truth, strict=True)):
        fits: dict[int, dict[int, float]] = {}
        for g in np.flatnonzero(labels):
            middle, half = (truth[g, :2] + truth[g, 2:]) / 2, (truth[g, 2:] - truth[g, :2]) / 2
            inside = (np.abs(s.points - middle) <= np.maximum(half, 4)).all(1)
            fit = {
                int(p): s.scores[n, p, labels[g] - 1] * iou(s.boxes[n, p], truth[g]) ** 6
                for p in np.flatnonzero(inside)
            }
            best = sorted((p for p in fit if fit[p] > 0), key=lambda p: -fit[p])[:10]
            fits[int(g)] = {p: fit[p] for p in best}
        owner: dict[int, int] = {}
        for p in {p for fit in fits.values() for p in fit}:
            rivals = [g for g in fits if p in fits[g]]
            owner[p] = max(rivals, key=lambda g: iou(s.boxes[n, p], truth[g]))
        for g, fit in fits.items():
            own = {p: t for p, t in fit.items() if owner[p] == g}
            for p, t in own.items():
                most = max(iou(s.boxes[n, q], truth[g]) for q in own)
                scores[n, p, labels[g] - 1] = t / max(own.values()) * most
                boxes[n, p] = truth[g]
    return scores, boxes


def test_places_are_assigned_as_defined() -> None:
    s = scene()
    arguments = (s.scores, s.boxes, s.points, s.labels, s.truth)
    found = assign(*(fovea.tensor(a) for a in arguments))
    scores, boxes = assigned(s)
    assert (scores.sum(2)[:2] > 0).sum() > 15 and not scores[2].any()
    np.testing.assert_allclose(found.scores.numpy(), scores, atol=1e-5)
    np.testing.assert_allclose(found.boxes.numpy(), boxes, atol=1e-12)
    np.testing.assert_allclose(found.weights.numpy(), scores.sum(2), atol=1e-5)


def test_even_the_smallest_object_has_a_place() -> None:
    points, _ = places(64, 64)
    where = RNG.uniform(0, 63, (1, 200, 2))
    truth = np.concatenate((where, where + 0.5), 2)
    around = np.concatenate((points.numpy() - 8, points.numpy() + 8), 1)[None]
    for n in range(200):
        found = assign(
            fovea.full((1, 84, 1), 0.5), fovea.tensor(around.astype(np.float32)), points,
            fovea.ones(1, 1, dtype=fovea.int64), fovea.tensor(truth[:, [n]].astype(np.float32)),
        )  # fmt: skip
        assert found.weights.sum().item() > 0


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_boxes_are_decoded_as_defined() -> None:
    points, strides = places(32, 64)
    assert points[:2].tolist() == [[4, 4], [12, 4]] and points[-1].tolist() == [48, 16]
    assert points.shape == (42, 2) and strides[:, 0].tolist() == [8] * 32 + [16] * 8 + [32] * 2
    sides = RNG.normal(0, 3, (2, 42, 4, BINS))
    reach = (softmax(sides) @ np.arange(BINS)) * strides.numpy()
    at = points.numpy()
    expected = np.concatenate((at - reach[..., :2], at + reach[..., 2:]), -1)
    found = decode(fovea.tensor(sides.reshape(2, 42, -1)), points, strides)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_distances_are_learned_as_defined() -> None:
    sides, far = RNG.normal(0, 2, (2, 5, 4, BINS)), RNG.uniform(-1, 17, (2, 5, 4))
    expected = np.zeros((2, 5))
    for where in np.ndindex(2, 5, 4):
        near = min(max(far[where], 0), BINS - 1.01)
        low, share = int(near), near - int(near)
        logs = np.log(softmax(sides[where]))
        expected[where[:2]] -= ((1 - share) * logs[low] + share * logs[low + 1]) / 4
    found = distance_loss(fovea.tensor(sides.reshape(2, 5, -1)), fovea.tensor(far))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_the_losses_are_those_of_what_was_assigned() -> None:
    s = scene()
    logits, sides = np.log(s.scores / (1 - s.scores)), RNG.normal(0, 2, (3, 84, 4 * BINS))
    rows = np.concatenate((s.labels[..., None], s.truth), 2)
    found = glance_losses(
        *(fovea.tensor(a) for a in (logits, sides, s.boxes)), (64, 64), fovea.tensor(rows)
    )
    scores, boxes = assigned(s)
    weights = scores.sum(2)
    entropy = -(scores * np.log(s.scores) + (1 - scores) * np.log1p(-s.scores)).sum()
    off = np.zeros_like(weights)
    for n, p in np.ndindex(*weights.shape):
        a, b = s.boxes[n, p], boxes[n, p]
        hull = (np.maximum(a[2:], b[2:]) - np.minimum(a[:2], b[:2])).prod()
        both = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()
        union = both / (1 + iou(a, b))
        off[n, p] = 1 - iou(a, b) + (hull - union) / hull
    points = s.points
    far = np.concatenate((points - boxes[..., :2], boxes[..., 2:] - points), 2) / s.strides
    apart = distance_loss(fovea.tensor(sides), fovea.tensor(far)).numpy()
    count = weights.sum()
    expected = {
        "classes": entropy / count,
        "boxes": 5 * (off * weights).sum() / count,
        "distances": (apart * weights).sum() / count,
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, rel=1e-4), name


def test_the_same_in_pytorch(torchvision: Any) -> None:
    """Losses, gradients and statistics beside the same source run by PyTorch, in float64."""
    torch = pytest.importorskip("torch")
    from bench.detectors import in_pytorch

    twin = in_pytorch()
    ours = Glance(4, **TINY).double()
    theirs = twin.GlanceNetwork(TINY["widths"], 1, 3).double()
    state = ours.network.state_dict()
    theirs.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in state.items()})
    s = scene(images=2)
    images, rows = RNG.random((2, 3, 64, 64)), np.concatenate((s.labels[..., None], s.truth), 2)
    found = ours.losses(fovea.tensor(images), fovea.tensor(rows))
    predictions = theirs.predictions(torch.from_numpy(images))
    expected = twin.glance_losses(*predictions, (64, 64), torch.from_numpy(rows))
    for name, value in expected.items():
        agree(found[name], value, name, 1e-6)
    fovea.stack(list(found.values())).sum().backward()
    sum(expected.values()).backward()
    gradients = dict(ours.network.named_parameters())
    for key, parameter in theirs.named_parameters():
        agree(gradients[key].grad, parameter.grad, key, 1e-4)
    with torch.no_grad(), fovea.no_grad():
        for one, other in zip(
            ours.network.eval()(fovea.tensor(images)),
            theirs.eval()(torch.from_numpy(images)),
            strict=True,
        ):
            agree(one, other, "in evaluation")


def targets() -> tuple[list[Any], list[dict[str, Any]]]:
    """Two images of different sizes with bright rectangles of two kinds."""
    objects = [[(1, 8, 8, 40, 30), (2, 40, 36, 60, 60)], [(2, 10, 30, 50, 90)]]
    images = [np.full((3, 64, 64), 0.2), np.full((3, 96, 72), 0.2)]
    for image, found in zip(images, objects, strict=True):
        for label, x1, y1, x2, y2 in found:
            image[label - 1, y1:y2, x1:x2] = 0.9
    tensors = [fovea.tensor(image.astype(np.float32)) for image in images]
    wanted = [
        {
            "boxes": fovea.tensor([[float(v) for v in row[1:]] for row in found]),
            "labels": fovea.tensor([row[0] for row in found]),
        }
        for found in objects
    ]
    return tensors, wanted


def test_two_images_are_learned_by_heart() -> None:
    fovea.manual_seed(0)
    model = Glance(3, **TINY)
    images, wanted = targets()
    batch = model.prepare(images, wanted)
    optimizer = fovea.optim.AdamW(model.parameters(), 5e-3)

    @fovea.compile(strict=True)
    def step(batch: Any) -> Any:
        optimizer.zero_grad()
        loss = model.training_step(batch)["loss"]
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(200):
        step(batch)
    for image, target, found in zip(images, wanted, model.eval()(images), strict=True):
        count = len(target["labels"])
        sure = (found["scores"] > 0.5).numpy()
        assert sorted(found["labels"].numpy()[sure]) == sorted(target["labels"].tolist())
        assert sure[:count].all() and image.shape[0] == 3
        for box, label in zip(target["boxes"].numpy(), target["labels"].tolist(), strict=True):
            same = found["boxes"].numpy()[sure & (found["labels"] == label).numpy()]
            assert max(iou(box, each) for each in same) > 0.85


def test_compiled_steps_are_the_eager_ones() -> None:
    images, wanted = targets()
    results = []
    for wrap in (lambda f: f, fovea.compile):
        fovea.manual_seed(1)
        model = Glance(3, **TINY)
        optimizer = fovea.optim.SGD(model.parameters(), 1e-3)
        batch = model.prepare(images, wanted)

        def step(batch: Any, model: Any = model, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            losses = model.training_step(batch)
            losses["loss"].backward()
            optimizer.step()
            return losses

        run = wrap(step)
        results.append([{k: v.item() for k, v in run(batch).items()} for _ in range(3)])
    for one, other in zip(*results, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_found_boxes_lie_on_the_images() -> None:
    fovea.manual_seed(0)
    model = Glance(4, **TINY, score_thresh=0.0, detections_per_img=30).eval()
    for found in model([fovea.rand(3, 30, 90), fovea.rand(3, 64, 20)]):
        assert found["boxes"].shape == (30, 4) and found["labels"].dtype is fovea.int64
        assert (found["scores"].numpy()[:-1] >= found["scores"].numpy()[1:]).all()
    boxes = fovea.tensor([[[0.0, 0, 16, 16], [1, 0, 16, 16], [40, 20, 64, 99], [0, 0, 9, 9]]])
    scores = fovea.tensor([[[0.9, 0.1, 0.0], [0.8, 0.0, 0], [0, 0, 0.7], [0.01, 0, 0]]])
    model.score_thresh = 0.05
    (found,) = model.detections(scores, boxes, [(32, 64)])
    assert found["labels"].tolist() == [1, 3, 2]
    np.testing.assert_allclose(found["scores"], [0.9, 0.7, 0.1], rtol=1e-6)
    assert found["boxes"].tolist() == [[0, 0, 16, 16], [40, 20, 64, 32], [0, 0, 16, 16]]


def test_images_keep_their_shape() -> None:
    image, box = fovea.full((3, 20, 40), 1.0), fovea.tensor([[0.0, 0, 40, 20]])
    batch, moved = Letterbox((64, 64))([image], [{"boxes": box}])
    assert batch.image_sizes == [(32, 64)] and moved[0]["boxes"].tolist() == [[0, 0, 64, 32]]
    assert batch.tensors[0, :, :32].min().item() == 1 and batch.tensors[0, :, 32:].max() == 0.5


def test_states_names_and_files(tmp_path: Path) -> None:
    assert {"glance_n", "glance_s", "glance_m"} <= set(models.list_models(models.detection))
    config = {"num_classes": 3, "image_size": 64}
    model = models.get_model("glance_n", **config).eval()
    fovea.save(model.state_dict(), tmp_path / "weights.pth")
    again = glance_n(weights=tmp_path / "weights.pth", **config).eval()
    x = fovea.rand(1, 3, 64, 64)
    for one, other in zip(model.network(x), again.network(x), strict=True):
        assert fovea.equal(one, other)
    with fovea.no_grad():
        compiled = fovea.compile(model.network, strict=True)(x)
        for one, other in zip(compiled, model.network(x), strict=True):
            agree(one, other, "compiled", 1e-4)


PARAMETERS = {"glance_n": 2_923_422, "glance_s": 11_611_502, "glance_m": 26_773_182}


@pytest.mark.parametrize("name", PARAMETERS)
def test_sizes(name: str, undrawn: None) -> None:
    model = models.get_model(name)
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


def test_mistakes_are_told() -> None:
    with pytest.raises(ArgumentError, match="multiples of 32"):
        Glance(3, image_size=100)
    with pytest.raises(ArgumentError, match="label 0 is the background"):
        Glance(1)
    with pytest.raises(ArgumentError, match="room for 1"):
        pad_targets([{"boxes": np.zeros((2, 4)), "labels": np.ones(2)}], 1)
    with pytest.raises(ArgumentError, match="needs targets"):
        Glance(3, **TINY)([fovea.rand(3, 64, 64)])
