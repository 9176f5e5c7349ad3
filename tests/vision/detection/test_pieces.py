"""The pieces of detection networks against torchvision's."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError, DTypeError, ShapeError
from fovea.vision.models.detection import (
    _utils,
    anchor_utils,
    backbone_utils,
    image_list,
    transform,
)
from tests.vision.zoo import facts, structure

torch = pytest.importorskip("torch")
Array = np.ndarray[Any, Any]


def boxes(count: int, seed: int = 0, size: float = 40) -> Array:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, size, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(1, size, (count, 2))], 1)


def close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    assert tuple(found.shape) == tuple(expected.shape)
    assert str(found.dtype).rpartition(".")[2] == str(expected.dtype).rpartition(".")[2]
    scale = max(1.0, float(expected.detach().abs().max())) if expected.numel() else 1.0
    found, expected = found.detach().numpy(), expected.detach().numpy()
    np.testing.assert_allclose(found, expected, atol=tolerance * scale, rtol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize(
    ("sizes", "ratios"),
    [(((32, 45.3), (64,)), ((0.5, 1.0, 2.0), (1.0,))), ((16, 33), (0.5, 2.0))],
)
def test_anchors(sizes: Any, ratios: Any, dtype: str, detection: Any) -> None:
    theirs = detection.anchor_utils.AnchorGenerator(sizes, ratios)
    ours = anchor_utils.AnchorGenerator(sizes, ratios)
    assert ours.num_anchors_per_location() == theirs.num_anchors_per_location()
    shapes, counts = [(2, 3, 70, 96), (2, 4, 9, 12), (2, 4, 4, 6)], [(70, 96), (64, 90)]
    found, expected = (
        make(maker(lib.zeros(shapes[0]), counts), [lib.zeros(s, dtype=getattr(lib, dtype)) for s in shapes[1:]])
        for make, maker, lib in (
            (ours, image_list.ImageList, fovea),
            (theirs, detection.image_list.ImageList, torch),
        )
    )  # fmt: skip
    assert len(found) == len(expected) == 2
    for a, b in zip(found, expected, strict=True):
        close(a, b)
    with pytest.raises(ArgumentError, match="for 2 maps, got 1"):
        ours(image_list.ImageList(fovea.zeros(1, 3, 8, 8), [(8, 8)]), [fovea.zeros(1, 1, 2, 2)])


@pytest.mark.parametrize(
    "config",
    [
        {"aspect_ratios": [[2], [2, 3]]},
        {"aspect_ratios": [[2, 3]]},
        {"aspect_ratios": [[2], [2, 3]], "min_ratio": 0.2, "max_ratio": 1.4, "clip": False},
        {"aspect_ratios": [[2], []], "scales": [0.07, 0.15, 0.33], "steps": [8, 16]},
    ],
)
def test_default_boxes(config: Any, detection: Any) -> None:
    theirs = detection.anchor_utils.DefaultBoxGenerator(**config)
    ours = anchor_utils.DefaultBoxGenerator(**config)
    assert repr(ours) == repr(theirs)
    assert ours.num_anchors_per_location() == theirs.num_anchors_per_location()
    maps = [(2, 4, 9, 12), (2, 4, 4, 6)][: len(config["aspect_ratios"])]
    found = ours(
        image_list.ImageList(fovea.zeros(2, 3, 70, 96), [(70, 96)] * 2),
        [fovea.zeros(s) for s in maps],
    )
    expected = theirs(
        detection.image_list.ImageList(torch.zeros(2, 3, 70, 96), [(70, 96)] * 2),
        [torch.zeros(s) for s in maps],
    )
    for a, b in zip(found, expected, strict=True):
        close(a, b, 1e-6)
    with pytest.raises(ArgumentError, match="steps for 1"):
        anchor_utils.DefaultBoxGenerator([[2], [3]], steps=[8])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("config", [{}, {"fixed_size": (48, 40)}, {"_skip_resize": True}])
def test_images_and_targets(config: Any, training: bool, detection: Any) -> None:
    args = (36, 50, [0.4, 0.5, 0.6], [0.2, 0.3, 0.25])
    theirs = detection.transform.GeneralizedRCNNTransform(*args, **config).train(training)
    ours = transform.GeneralizedRCNNTransform(*args, **config).train(training)
    assert repr(ours) == repr(theirs)
    rng = np.random.default_rng(0)
    images = [rng.random((3, *size)) for size in ((30, 41), (64, 33), (20, 90))]
    targets = [
        {
            "boxes": boxes(k, k),
            "labels": np.arange(k),
            "masks": rng.integers(0, 2, (k, *image.shape[1:])).astype(np.uint8),
            "keypoints": rng.random((k, 4, 3)) * 20,
        }
        for k, image in zip((2, 0, 3), images, strict=True)
    ]

    def given(lib: Any) -> Any:
        return [lib.tensor(x) for x in images], [
            {key: lib.tensor(value) for key, value in t.items()} for t in targets
        ]

    mine, kept = given(fovea)
    batch, changed = ours(mine, kept)
    expected, theirs_changed = theirs(*given(torch))
    assert batch.image_sizes == expected.image_sizes
    close(batch.tensors, expected.tensors, 1e-7)
    for a, b, before in zip(changed, theirs_changed, kept, strict=True):
        assert list(a) == list(b)
        for key in a:
            close(a[key], b[key], 1e-6)
        assert before["boxes"].shape == a["boxes"].shape and before is not a
    results = [{"boxes": boxes(3), "keypoints": rng.random((3, 4, 3))}]
    for a, b in zip(
        ours.postprocess([{k: fovea.tensor(v) for k, v in results[0].items()}], [(40, 50)], [(20, 90)]),
        theirs.postprocess([{k: torch.tensor(v) for k, v in results[0].items()}], [(40, 50)], [(20, 90)]),
        strict=True,
    ):  # fmt: skip
        for key in a:
            close(a[key], b[key], 1e-6)


def test_images_one_cannot_use() -> None:
    ours = transform.GeneralizedRCNNTransform(8, 16, [0.5], [0.5])
    with pytest.raises(DTypeError, match="floating point"):
        ours([fovea.zeros(1, 8, 8, dtype=fovea.uint8)])
    with pytest.raises(ShapeError, match="C, H, W"):
        ours([fovea.zeros(8, 8)])
    with pytest.raises(ArgumentError, match="no image"):
        ours([])


def test_training_draws_a_size_and_evaluation_takes_the_last() -> None:
    fovea.manual_seed(0)
    ours = transform.GeneralizedRCNNTransform((16, 24, 32), 99, [0.5], [0.5])
    seen = {ours([fovea.rand(1, 50, 60)])[0].image_sizes[0][0] for _ in range(30)}
    assert seen == {16, 24, 32}
    assert ours.eval()([fovea.rand(1, 50, 60)])[0].image_sizes == [(32, 38)]


def test_gradients_reach_the_images() -> None:
    ours = transform.GeneralizedRCNNTransform(6, 9, [0.5], [0.5], size_divisible=4).double()
    images = tuple(
        fovea.rand(1, *s, dtype=fovea.float64).requires_grad_() for s in ((4, 5), (7, 5))
    )
    assert fovea.autograd.gradcheck(lambda *x: ours(list(x))[0].tensors, images)


def both(module: Any, name: str, *args: Any, **config: Any) -> tuple[Any, Any]:
    return getattr(_utils, name)(*args, **config), getattr(module._utils, name)(*args, **config)


def test_boxes_as_differences(detection: Any) -> None:
    ours, theirs = both(detection, "BoxCoder", (10.0, 10.0, 5.0, 5.0))
    a, b = boxes(7), boxes(7, 1)
    close(
        ours.encode_single(fovea.tensor(a), fovea.tensor(b)),
        theirs.encode_single(torch.tensor(a), torch.tensor(b)),
    )
    parts = [
        coder.encode([lib.tensor(a[:3]), lib.tensor(a[3:])], [lib.tensor(b[:3]), lib.tensor(b[3:])])
        for coder, lib in ((ours, fovea), (theirs, torch))
    ]
    for one, other in zip(*parts, strict=True):
        close(one, other)
    codes = np.random.default_rng(0).normal(size=(7, 12)) * 8  # some logarithms beyond the limit
    lists = [[lib.tensor(b[:3]), lib.tensor(b[3:])] for lib in (fovea, torch)]
    found, expected = (
        ours.decode(fovea.tensor(codes), lists[0]),
        theirs.decode(torch.tensor(codes), lists[1]),
    )
    close(found, expected)
    empty = ours.decode(fovea.zeros(0, 8), [fovea.zeros(0, 4)])
    assert empty.shape == (0, 2, 4)
    back = ours.decode_single(ours.encode_single(fovea.tensor(a), fovea.tensor(b)), fovea.tensor(b))
    np.testing.assert_allclose(back.numpy(), a, atol=1e-10)
    x = fovea.tensor(codes[:, :4] / 8).requires_grad_()
    assert fovea.autograd.gradcheck(lambda t: ours.decode_single(t, fovea.tensor(b)), (x,))


@pytest.mark.parametrize("normalize", [True, False])
def test_boxes_as_distances(normalize: bool, detection: Any) -> None:
    ours, theirs = both(detection, "BoxLinearCoder", normalize)
    a, b = boxes(7), boxes(7, 1)
    codes = np.random.default_rng(0).normal(size=(7, 4))
    for name, x in (("encode", a), ("decode", codes)):
        close(
            getattr(ours, name)(fovea.tensor(x), fovea.tensor(b)),
            getattr(theirs, name)(torch.tensor(x), torch.tensor(b)),
        )


QUALITY = np.random.default_rng(3).random((4, 30)).round(1)  # many equal ones


@pytest.mark.parametrize("low_quality", [True, False])
def test_matches(low_quality: bool, detection: Any) -> None:
    ours, theirs = both(detection, "Matcher", 0.95, 0.8, low_quality)
    for quality in (QUALITY, QUALITY[:1] * 0.3, QUALITY[:, :1]):
        close(ours(fovea.tensor(quality)), theirs(torch.tensor(quality)))
    with pytest.raises(ArgumentError, match="0 objects, 3 boxes"):
        ours(fovea.zeros(0, 3))
    with pytest.raises(ArgumentError, match="low_threshold"):
        _utils.Matcher(0.3, 0.5)


def test_matches_of_ssd(detection: Any) -> None:
    ours, theirs = both(detection, "SSDMatcher", 0.9)
    distinct = np.random.default_rng(3).random((4, 30))
    close(ours(fovea.tensor(distinct)), theirs(torch.tensor(distinct)))
    close(ours(fovea.tensor(distinct * 0.1)), theirs(torch.tensor(distinct * 0.1)))


@pytest.mark.parametrize(("objects", "background"), [(3, 50), (30, 50), (30, 2), (0, 9), (0, 0)])
def test_draws_for_training(objects: int, background: int, detection: Any) -> None:
    """As many as torchvision draws, each of its kind, and others each time."""
    fovea.manual_seed(0)
    ours, theirs = both(detection, "BalancedPositiveNegativeSampler", 16, 0.25)
    labels = np.random.default_rng(0).permutation([5] * objects + [0] * background + [-1] * 4)
    found, expected = ours([fovea.tensor(labels)]), theirs([torch.tensor(labels)])
    for kind, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a[0].dtype is fovea.uint8 and a[0].shape == b[0].shape
        assert int(a[0].sum()) == int(b[0].sum())
        chosen = labels[a[0].numpy() == 1]
        assert (chosen > 0).all() if kind == 0 else (chosen == 0).all()
    if objects == 30 and background == 50:
        assert (ours([fovea.tensor(labels)])[0][0] != found[0][0]).any()


@pytest.mark.parametrize("kind", ["l1", "smooth_l1", "giou", "diou", "ciou"])
@pytest.mark.parametrize("settings", [None, {"beta": 0.3, "eps": 1e-3}])
def test_losses_of_boxes(kind: str, settings: Any, detection: Any) -> None:
    ours, theirs = both(detection, "BoxCoder", (1.0, 1.0, 1.0, 1.0))
    a, b, codes = boxes(6), boxes(6, 1), np.random.default_rng(0).normal(size=(6, 4))
    x, y = fovea.tensor(codes).requires_grad_(), torch.tensor(codes).requires_grad_()
    found = _utils.box_loss(kind, ours, fovea.tensor(a), fovea.tensor(b), x, settings)
    expected = detection._utils._box_loss(
        kind, theirs, torch.tensor(a), torch.tensor(b), y, settings
    )
    # With eps, torchvision's complete IoU is that of the default within the distance.
    tolerance = 1e-6 if kind == "ciou" and settings else 1e-12
    close(found, expected, tolerance)
    found.backward()
    expected.backward()
    close(x.grad, y.grad, max(tolerance, 1e-10) * 10)
    with pytest.raises(ArgumentError, match="ciou, got"):
        _utils.box_loss("iou", ours, fovea.tensor(a), fovea.tensor(b), x)


@pytest.mark.parametrize("trainable", [0, 2, 5])
@pytest.mark.parametrize("stages", [None, [2, 4]])
def test_features_of_resnets(trainable: int, stages: Any, detection: Any, undrawn: None) -> None:
    config = {"trainable_layers": trainable, "returned_layers": stages}
    ours, theirs = (
        b.resnet_fpn_backbone(backbone_name="resnet18", weights=None, **config)
        for b in (backbone_utils, detection.backbone_utils)
    )
    same_network(ours, theirs)


@pytest.mark.parametrize("trainable", [0, 2, 6])
@pytest.mark.parametrize("fpn", [True, False])
@pytest.mark.parametrize("name", ["mobilenet_v3_large", "mobilenet_v2"])
def test_features_of_mobilenets(
    name: str, fpn: bool, trainable: int, detection: Any, undrawn: None
) -> None:
    ours, theirs = (
        b.mobilenet_backbone(backbone_name=name, weights=None, fpn=fpn, trainable_layers=trainable)
        for b in (backbone_utils, detection.backbone_utils)
    )
    same_network(ours, theirs)


def same_network(ours: Any, theirs: Any) -> None:
    assert structure(ours) == structure(theirs)
    assert facts(ours.state_dict()) == facts(theirs.state_dict())
    assert ours.out_channels == theirs.out_channels
    assert [k for k, p in ours.named_parameters() if p.requires_grad] == [
        k for k, p in theirs.named_parameters() if p.requires_grad
    ]


def test_layers_there_are_not() -> None:
    make = backbone_utils.resnet_fpn_backbone
    for config in ({"trainable_layers": 6}, {"returned_layers": [0, 1]}, {"returned_layers": [5]}):
        with pytest.raises(ArgumentError):
            make(backbone_name="resnet18", weights=None, **config)
    with pytest.raises(ArgumentError, match="trainable_layers"):
        backbone_utils.mobilenet_backbone(
            backbone_name="mobilenet_v2", weights=None, fpn=True, trainable_layers=9
        )
    with pytest.raises(ArgumentError, match="between 0 and 5"):
        backbone_utils.trainable_layers_of(True, 7, 5, 3)
    with pytest.warns(UserWarning, match="all layers learn"):
        assert backbone_utils.trainable_layers_of(False, 2, 5, 3) == 5
    assert backbone_utils.trainable_layers_of(True, None, 5, 3) == 3


def test_channels_of_maps_and_frozen_normalizations() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3), fovea.vision.ops.FrozenBatchNorm2d(5))
    assert _utils.retrieve_out_channels(net, (9, 8)) == [5] and net.training
    _utils.overwrite_eps(net, 0.5)
    assert net[1].eps == 0.5
    pyramid = backbone_utils.BackboneWithFPN(copy.deepcopy(net), {"0": "0"}, [5], 4)
    assert _utils.retrieve_out_channels(pyramid, (9, 8)) == [4, 4]
