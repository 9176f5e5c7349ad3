"""Transforms of whole samples: torchvision's signatures, parts that stay together, and seeds that
fix the result.
"""

from __future__ import annotations

import copy
import inspect
import pickle
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import fovea
from fovea.errors import ArgumentError, ShapeError
from fovea.utils.data import DataLoader, Dataset
from fovea.vision import tv_tensors
from fovea.vision.transforms import v2
from fovea.vision.transforms.v2 import functional as F

Array = np.ndarray[Any, Any]
JOINING = {"Mosaic", "SimpleCopyPaste"}  # of whole batches: test_joining.py
OWN = {"InterpolationMode", "functional", "AutoAugmentPolicy", "Letterbox", "Transform", *JOINING}
CLASSES = [n for n in v2.__all__ if n[0].isupper() and n not in OWN]


def plain(value: Any) -> Any:
    """A default as both have it."""
    if type(value).__name__ in ("InterpolationMode", "AutoAugmentPolicy"):
        return value.value
    return "float32" if str(value).endswith("float32") else value


@pytest.mark.parametrize("name", CLASSES)
def test_signatures_are_torchvisions(name: str, torchvision: Any) -> None:
    from torchvision.transforms import v2 as theirs

    mine, other = (inspect.signature(getattr(m, name)).parameters for m in (v2, theirs))
    given = [(p.name, p.kind, plain(p.default)) for p in mine.values()]
    assert given == [(p.name, p.kind, plain(p.default)) for p in other.values()]


def test_all_of_torchvisions_are_there(torchvision: Any) -> None:
    from torchvision.transforms import v2 as theirs

    names = {n for n in vars(theirs) if n[0].isupper()}
    assert names <= {*v2.__all__}
    functions = {n for n in vars(theirs.functional) if not n.startswith("_") and n[0].islower()}
    by_kind = ("_image", "_video", "_mask", "_bounding_boxes", "_keypoints")
    alike = {
        n
        for n in functions
        if n.endswith(by_kind) and n.removesuffix(n[n.rfind("_") :]) in functions
    }
    missing = {n for n in functions - {*F.__all__} - alike if not n.endswith(by_kind)}
    assert not missing


def sample(seed: int = 0, size: tuple[int, int] = (40, 60), kind: str = "image") -> dict[str, Any]:
    """An image in which each object is a rectangle of its own gray; with its mask and corners."""
    rng = np.random.default_rng(seed)
    height, width = size
    pixels = np.zeros((3, height, width), np.uint8)
    boxes, masks, points = [], [], []
    for number in range(3):
        x, y = rng.integers(0, width - 12), rng.integers(0, height - 12)
        w, h = rng.integers(6, 12, 2)
        boxes.append([x, y, x + w, y + h])
        mask = np.zeros(size, np.uint8)
        mask[y : y + h, x : x + w] = 1
        masks.append(mask)
        pixels[:, y : y + h, x : x + w] = 80 * (number + 1)
        points.append([[x, y], [x + w - 1, y + h - 1]])
    image: Any = tv_tensors.Image(pixels)
    if kind == "PIL":
        image = Image.fromarray(pixels.transpose(1, 2, 0).copy())
    return {
        "image": image,
        "boxes": tv_tensors.BoundingBoxes(np.array(boxes, "f4"), format="XYXY", canvas_size=size),
        "masks": tv_tensors.Mask(np.stack(masks)),
        "points": tv_tensors.KeyPoints(np.array(points, "f4"), canvas_size=size),
        "labels": fovea.tensor([1, 2, 3]),
        "name": "a.jpg",
    }


MOVING: dict[str, Any] = {
    "RandomHorizontalFlip": lambda: v2.RandomHorizontalFlip(p=1.0),
    "RandomVerticalFlip": lambda: v2.RandomVerticalFlip(p=1.0),
    "Resize": lambda: v2.Resize((80, 90)),
    "RandomResize": lambda: v2.RandomResize(50, 90),
    "RandomShortestSize": lambda: v2.RandomShortestSize([50, 70], max_size=90),
    "ScaleJitter": lambda: v2.ScaleJitter((60, 60), (0.8, 2.0)),
    "CenterCrop": lambda: v2.CenterCrop((30, 44)),
    "RandomCrop": lambda: v2.RandomCrop((50, 50), padding=4, pad_if_needed=True),
    "RandomResizedCrop": lambda: v2.RandomResizedCrop((70, 70), scale=(0.4, 1.0)),
    "Pad": lambda: v2.Pad([3, 1, 5, 7]),
    "RandomRotation": lambda: v2.RandomRotation(40, expand=True),
    "RandomAffine": lambda: v2.RandomAffine(30, (0.1, 0.2), (0.7, 1.5), 10),
    "RandomPerspective": lambda: v2.RandomPerspective(0.4, p=1.0),
    "ElasticTransform": lambda: v2.ElasticTransform(60.0, 6.0),
    "RandomIoUCrop": lambda: v2.RandomIoUCrop(),
    "RandomZoomOut": lambda: v2.RandomZoomOut(p=1.0),
    "Letterbox": lambda: v2.Letterbox(96),
}
COLORS: dict[str, Any] = {
    "ColorJitter": lambda: v2.ColorJitter(0.5, 0.5, 0.5, 0.2),
    "RandomPhotometricDistort": lambda: v2.RandomPhotometricDistort(p=1.0),
    "Grayscale": lambda: v2.Grayscale(3),
    "RandomGrayscale": lambda: v2.RandomGrayscale(p=1.0),
    "RGB": v2.RGB,
    "RandomInvert": lambda: v2.RandomInvert(p=1.0),
    "RandomPosterize": lambda: v2.RandomPosterize(2, p=1.0),
    "RandomSolarize": lambda: v2.RandomSolarize(100, p=1.0),
    "RandomAutocontrast": lambda: v2.RandomAutocontrast(p=1.0),
    "RandomEqualize": lambda: v2.RandomEqualize(p=1.0),
    "RandomAdjustSharpness": lambda: v2.RandomAdjustSharpness(3, p=1.0),
    "RandomChannelPermutation": v2.RandomChannelPermutation,
    "GaussianBlur": lambda: v2.GaussianBlur(5),
    "JPEG": lambda: v2.JPEG((10, 90)),
    "RandomErasing": lambda: v2.RandomErasing(p=1.0),
}


def extent(mask: Array) -> Array:
    """The box around the ones of a mask."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)


@pytest.mark.parametrize("kind", ["image", "PIL"])
@pytest.mark.parametrize("name", MOVING)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000))
def test_parts_stay_together(name: str, kind: str, seed: int) -> None:
    """After any change, each object's mask lies where its box and its gray lie."""
    fovea.manual_seed(seed)
    before = sample(seed, kind=kind)
    after = MOVING[name]()(before)
    size = tuple(F.get_size(after["image"]))
    assert size == after["boxes"].canvas_size == after["points"].canvas_size
    assert size == tuple(after["masks"].shape[1:]) and after["name"] == "a.jpg"
    assert after["labels"] is before["labels"] and type(after["masks"]) is tv_tensors.Mask
    boxes, slack = after["boxes"].numpy(), 8.0 if name == "ElasticTransform" else 2.0
    assert (boxes >= 0).all() and (boxes[:, 2:] <= np.array(size[::-1])).all()
    for box, mask in zip(boxes, after["masks"].numpy(), strict=True):
        if mask.sum() < 4 or not box.any():  # out of the image, or its middle out of the crop
            continue
        around = extent(mask)
        # A box around a turned box is as large as the mask, or larger where corners were cut off.
        outside = np.concatenate([box[:2] - around[:2], around[2:] - box[2:]])
        assert outside.max() <= slack, (box, around)
    if kind == "image":
        pixels, masks = after["image"].numpy()[0], after["masks"].numpy()
        alone = (masks.sum(0) == 1) & (before["masks"].numpy().sum(0).max() == 1)
        for number, mask in enumerate(masks):
            grays = pixels[alone & (mask == 1)]
            if len(grays) > 20 and name in ("Resize", "Pad", "CenterCrop", "RandomCrop"):
                assert abs(float(np.median(grays)) - 80 * (number + 1)) <= 2


@pytest.mark.parametrize("name", [*MOVING, *COLORS])
def test_seeds_fix_the_result(name: str) -> None:
    make = (MOVING | COLORS)[name]
    found = []
    for seed in (3, 3, 4, 5, 6):
        fovea.manual_seed(seed)
        found.append(make()(sample())["image"].numpy())
    np.testing.assert_array_equal(found[0], found[1])
    certain = {"RandomHorizontalFlip", "RandomVerticalFlip", "Resize", "CenterCrop", "Pad", "Letterbox",
               "Grayscale", "RandomGrayscale", "RGB", "RandomInvert", "RandomPosterize", "RandomSolarize",
               "RandomAutocontrast", "RandomEqualize", "RandomAdjustSharpness",
               "RandomChannelPermutation"}  # fmt: skip
    if name not in certain:
        assert any(a.shape != found[0].shape or (a != found[0]).any() for a in found[2:])


@pytest.mark.parametrize("name", [*COLORS])
@pytest.mark.parametrize("kind", ["image", "PIL"])
def test_colors_leave_places(name: str, kind: str) -> None:
    before = sample(kind=kind)
    after = COLORS[name]()(before)
    assert type(after["image"]) is type(before["image"]) or kind == "PIL"
    for part in ("boxes", "masks", "points"):
        assert after[part] is before[part]
    if name != "RGB":
        changed = np.array(after["image"] if kind == "PIL" else after["image"].numpy())
        original = np.array(before["image"] if kind == "PIL" else before["image"].numpy())
        gray = {"Grayscale", "RandomGrayscale", "RandomChannelPermutation"}
        assert (changed != original).any() or name in gray


def test_of_plain_tensors_the_first_is_the_image() -> None:
    image, other = fovea.rand(3, 8, 8), fovea.rand(3, 8, 8)
    flip = v2.RandomHorizontalFlip(p=1.0)
    a, b, c = flip(image, other, 5)
    assert b is other and c == 5 and a.tolist() == image.flip(-1).tolist()
    Pair = namedtuple("Pair", "image rest")
    made = flip(Pair(tv_tensors.Image(image), [other, {"x": other}]))
    assert type(made) is Pair and made.rest[0] is other and made.rest[1]["x"] is other
    assert flip(None) is None and v2.Identity()(image) is image


@pytest.mark.parametrize("name", ["boxes", "masks", "keypoints"])
def test_plain_boxes_are_not_left_behind(name: str) -> None:
    given = {"image": tv_tensors.Image(fovea.zeros(3, 8, 8)), name: fovea.zeros(1, 4)}
    kind = {"boxes": "BoundingBoxes", "masks": "Mask", "keypoints": "KeyPoints"}[name]
    with pytest.raises(ArgumentError, match=f"plain tensor(.|\n)*{kind}"):
        v2.Resize(4)(given)
    v2.ColorJitter(0.1)(given)  # moves nothing


def test_containers() -> None:
    flip, turn = v2.RandomHorizontalFlip(p=1.0), v2.RandomVerticalFlip(p=1.0)
    x = fovea.arange(6.0).reshape(1, 2, 3)
    both = x.flip(-1).flip(-2).tolist()
    assert v2.Compose([flip, turn])(x).tolist() == both
    image, label = v2.Compose([flip, lambda image, label: (image, label + 1)])(x, 1)
    assert label == 2 and image.tolist() == x.flip(-1).tolist()
    assert v2.RandomOrder([flip, turn])(x).tolist() == both
    assert v2.RandomApply([flip], p=0.0)(x, 1)[0] is x
    assert v2.RandomApply([flip], p=1.0)(x).tolist() == x.flip(-1).tolist()
    assert v2.RandomChoice([flip, turn], p=[0, 1])(x).tolist() == x.flip(-2).tolist()
    assert repr(v2.Compose([flip])) == "Compose(\n    RandomHorizontalFlip(p=1.0)\n)"
    for wrong in (v2.Compose, v2.RandomApply, v2.RandomOrder):
        with pytest.raises(ArgumentError):
            wrong([])


def test_dtypes_and_normalizing() -> None:
    before = sample()
    after = v2.ToDtype(fovea.float32, scale=True)(before)
    assert after["image"].dtype is fovea.float32 and after["image"].max().item() <= 1
    assert after["masks"].dtype is fovea.uint8 and after["boxes"] is before["boxes"]
    kinds = {tv_tensors.Mask: fovea.int64, "others": None}
    after = v2.ToDtype(kinds)(before)
    assert after["masks"].dtype is fovea.int64 and after["image"].dtype is fovea.uint8
    with pytest.raises(ArgumentError, match="others"):
        v2.ToDtype({tv_tensors.Mask: fovea.int64})(before)
    steps = v2.Compose([v2.ToDtype(fovea.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)])
    expected = (before["image"].numpy() / 255 - 0.5) / 0.25
    np.testing.assert_allclose(steps(before)["image"].numpy(), expected, atol=1e-5)
    with pytest.raises(TypeError, match="ToImage"):
        v2.Normalize([0.5], [0.5])(sample(kind="PIL"))
    image = v2.ToImage()(sample(kind="PIL"))["image"]
    assert type(image) is tv_tensors.Image and image.tolist() == before["image"].tolist()
    assert type(v2.ToPureTensor()(before)["boxes"]) is fovea.Tensor
    assert v2.ToPILImage()(before)["image"].size == (60, 40)
    whitening = v2.LinearTransformation(fovea.eye(12) * 2, fovea.ones(12))
    assert whitening(fovea.ones(3, 2, 2) * 3).tolist() == (fovea.ones(3, 2, 2) * 4).tolist()
    with pytest.raises(ShapeError):
        whitening(fovea.ones(3, 2, 3))


def test_sanitizing() -> None:
    before = sample()
    values = before["boxes"].numpy().copy()
    values[1, 2:] = values[1, :2]
    before["boxes"] = tv_tensors.wrap(fovea.tensor(values), like=before["boxes"])
    after = v2.SanitizeBoundingBoxes()(before)
    assert after["labels"].tolist() == [1, 3] and after["boxes"].shape == (2, 4)
    assert after["masks"].shape[0] == 2 and type(after["masks"]) is tv_tensors.Mask
    assert after["points"].shape[0] == 3
    more = before | {"scores": fovea.tensor([0.1, 0.2, 0.3])}
    after = v2.SanitizeBoundingBoxes(labels_getter=lambda s: (s["labels"], s["scores"]))(more)
    assert len(after["scores"]) == len(after["labels"]) == 2
    assert v2.SanitizeBoundingBoxes(labels_getter=None)(before)["labels"] is before["labels"]
    image, target = v2.SanitizeBoundingBoxes()(before["image"], before)
    assert image is before["image"] and len(target["labels"]) == 2
    with pytest.raises(ArgumentError, match="labels"):
        v2.SanitizeBoundingBoxes()({"boxes": before["boxes"]})
    with pytest.raises(ShapeError):
        v2.SanitizeBoundingBoxes()(before | {"labels": fovea.ones(2)})
    moved = before["points"].numpy().copy()
    moved[0, 0, 0] = -5
    points = tv_tensors.KeyPoints(moved, canvas_size=(40, 60))
    found = v2.SanitizeKeyPoints("labels")({"points": points, "labels": before["labels"]})
    assert found["labels"].tolist() == [2, 3] and found["points"].shape[0] == 2


def test_crops_for_detectors_keep_an_object() -> None:
    steps = v2.Compose([v2.RandomIoUCrop(), v2.SanitizeBoundingBoxes()])
    sizes = set()
    for seed in range(20):
        fovea.manual_seed(seed)
        after = steps(sample(seed))
        assert len(after["boxes"]) == len(after["labels"]) == len(after["masks"]) >= 1
        sizes.add(tuple(after["image"].shape))
    assert len(sizes) > 5
    with pytest.raises(TypeError):
        v2.RandomIoUCrop()(sample()["image"])
    empty = sample() | {"boxes": tv_tensors.BoundingBoxes([], format="XYXY", canvas_size=(40, 60))}
    assert v2.RandomIoUCrop()(empty)["image"].shape == (3, 40, 60)


def test_several_crops() -> None:
    x = tv_tensors.Image(np.arange(60, dtype=np.uint8).reshape(1, 6, 10))
    crops, label = v2.FiveCrop((2, 4))(x, 3)
    assert len(crops) == 5 and label == 3 and type(crops[0]) is tv_tensors.Image
    assert [c[0, 0, 0].item() for c in crops] == [0, 6, 40, 46, 23]
    assert len(v2.TenCrop(2)(x)) == 10
    with pytest.raises(TypeError, match="cannot follow"):
        v2.FiveCrop(2)(sample())


@pytest.mark.parametrize("name", ["AutoAugment", "RandAugment", "TrivialAugmentWide", "AugMix"])
@pytest.mark.parametrize("kind", ["image", "PIL", "plain", "video"])
def test_policies(name: str, kind: str) -> None:
    pixels = sample()["image"].numpy()
    image: Any = {
        "image": tv_tensors.Image(pixels),
        "PIL": Image.fromarray(pixels.transpose(1, 2, 0).copy()),
        "plain": fovea.tensor(pixels),
        "video": tv_tensors.Video(pixels[None]),
    }[kind]
    changed = 0
    for seed in range(12):
        fovea.manual_seed(seed)
        after, label = getattr(v2, name)()(image, 7)
        assert type(after) is type(image) or kind == "PIL"
        assert label == 7 and F.get_size(after) == [40, 60]
        changed += (
            bool((np.array(after) != np.array(image)).any())
            if kind == "PIL"
            else (bool((after.numpy() != image.numpy()).any()))
        )
    assert changed >= 6
    with pytest.raises(TypeError, match="cannot follow"):
        getattr(v2, name)()(sample())


def test_policy_tables_are_torchvisions(torchvision: Any) -> None:
    from torchvision.transforms import v2 as theirs

    for policy in v2.AutoAugmentPolicy:
        ours = v2.AutoAugment(policy)._policies
        other = theirs.AutoAugment(type(theirs.AutoAugment().policy)(policy.value))._policies
        assert [tuple(p) for p in ours] == [tuple(p) for p in other]
    pairs = [
        (v2.AutoAugment.space, theirs.AutoAugment._AUGMENTATION_SPACE, 10),
        (v2.RandAugment.space, theirs.RandAugment._AUGMENTATION_SPACE, 31),
        (v2.TrivialAugmentWide.space, theirs.TrivialAugmentWide._AUGMENTATION_SPACE, 31),
        (v2.AugMix.space, theirs.AugMix._AUGMENTATION_SPACE, 10),
    ]
    for ours, other, bins in pairs:
        assert {*ours} == {*other}
        for name, (strength, signed) in ours.items():
            values = other[name][0](bins, 40, 60)
            assert signed == other[name][1] and (strength is None) == (values is None)
            if strength is not None:
                found = [strength(bins, step, 40, 60) for step in range(bins)]
                np.testing.assert_allclose(found, values.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["CutMix", "MixUp"])
def test_mixing(name: str) -> None:
    fovea.manual_seed(0)
    images, labels = fovea.rand(6, 3, 16, 16), fovea.tensor([0, 1, 2, 3, 0, 1])
    mixed, shares = getattr(v2, name)(num_classes=4)(images, labels)
    assert mixed.shape == images.shape and shares.shape == (6, 4)
    np.testing.assert_allclose(shares.sum(1).numpy(), 1, atol=1e-6)
    share = shares[0, 0].item()  # label 0 stays, label 1 comes in from the last
    assert 0 <= share <= 1 and abs(shares[0, 1].item() - (1 - share)) < 1e-6
    x, before = images.numpy(), np.roll(images.numpy(), 1, 0)
    if name == "MixUp":
        np.testing.assert_allclose(mixed.numpy(), share * x + (1 - share) * before, atol=1e-5)
    else:
        own, other = (mixed.numpy() == x).all(1), (mixed.numpy() == before).all(1)
        assert (own | other).all() and abs(own.mean() - share) < 1e-6
    batch = {"image": images, "label": labels}
    assert getattr(v2, name)(num_classes=4)(batch)["label"].shape == (6, 4)
    soft = getattr(v2, name)()(images, shares)[1]
    np.testing.assert_allclose(soft.sum(1).numpy(), 1, atol=1e-6)
    for wrong in (
        lambda: getattr(v2, name)()(images, labels),
        lambda: getattr(v2, name)(num_classes=4)(images, labels[:3]),
    ):
        with pytest.raises(ShapeError):
            wrong()
    with pytest.raises(ArgumentError):
        getattr(v2, name)(alpha=0.0)


class Samples(Dataset[Any]):
    def __init__(self) -> None:
        self.change = v2.Compose([v2.RandomResizedCrop(24), v2.RandomHorizontalFlip()])

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        made = self.change(sample(index))
        return made["image"], made["boxes"]


@pytest.mark.parametrize("worker_type", ["thread", "process"])
def test_workers_give_the_same(worker_type: Any) -> None:
    found = []
    for workers in (0, 2):
        fovea.manual_seed(5)
        loader = DataLoader(
            Samples(), None, num_workers=workers, worker_type=worker_type if workers else None
        )
        found.append([(image.numpy(), boxes) for image, boxes in loader])
    for (a, b), (c, d) in zip(*found, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b.numpy(), d.numpy())
        assert type(d) is tv_tensors.BoundingBoxes and d.canvas_size == (24, 24)


@pytest.mark.parametrize("name", [*MOVING, *COLORS])
def test_transforms_are_shown_copied_and_sent(name: str) -> None:
    step = (MOVING | COLORS)[name]()
    again = pickle.loads(pickle.dumps(copy.deepcopy(step)))
    assert repr(again) == repr(step) and repr(step).startswith(f"{name}(")


def test_kinds_of_tensors() -> None:
    boxes = tv_tensors.BoundingBoxes([1, 2, 3, 4], format="xywh", canvas_size=(5, 6))
    assert boxes.shape == (1, 4) and boxes.format is tv_tensors.BoundingBoxFormat.XYWH
    assert tv_tensors.BoundingBoxes([], format="XYXY", canvas_size=(5, 6)).shape == (0, 4)
    for part in (boxes.clone(), boxes.to(fovea.float64), boxes.detach(), copy.deepcopy(boxes)):
        assert type(part) is tv_tensors.BoundingBoxes and part.canvas_size == (5, 6)
    for part in (boxes + 1, boxes[0], boxes[:1], boxes.t(), boxes.as_tensor()):
        assert type(part) is fovea.Tensor
    assert tv_tensors.Image(fovea.zeros(4, 5)).shape == (1, 4, 5)
    assert tv_tensors.Mask(Image.new("L", (3, 2))).shape == (1, 2, 3)
    learned = tv_tensors.Image(fovea.ones(1, 2, 2), requires_grad=True)
    (learned * 2).sum().backward()
    assert learned.grad is not None and learned.grad.tolist() == [[[2.0, 2.0]] * 2][0:1]
    for wrong in (
        lambda: tv_tensors.BoundingBoxes(fovea.zeros(2, 5), format="XYXY", canvas_size=(5, 6)),
        lambda: tv_tensors.KeyPoints(fovea.zeros(2, 3), canvas_size=(5, 6)),
        lambda: tv_tensors.Image(fovea.zeros(3)),
        lambda: tv_tensors.Video(fovea.zeros(3, 4, 4)),
    ):
        with pytest.raises(ShapeError):
            wrong()
    for options in ({"format": "XY"}, {"format": "XYXY", "clamping_mode": "some"}):
        with pytest.raises(ArgumentError):
            tv_tensors.BoundingBoxes([[1, 2, 3, 4]], canvas_size=(5, 6), **options)
