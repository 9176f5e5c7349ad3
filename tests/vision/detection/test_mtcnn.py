"""MTCNN against the same written in PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, DTypeError, FileFormatError, MissingFileError, ShapeError
from fovea.nn.state import StateDictError
from fovea.vision import models
from tests.vision.detection import faces
from tests.vision.zoo import agree, facts

torch = pytest.importorskip("torch")


def cascade(thresholds: tuple[float, ...] = (0.53, 0.48, 0.3)) -> tuple[Any, Any]:
    """PyTorch's networks and ours in float64, with the same weights."""
    theirs = faces.trained(faces.MTCNN(thresholds), 2)
    for layer in (theirs.pnet.conv4_2, theirs.rnet.dense5_2, theirs.onet.dense6_2):
        layer.weight.data *= 0.2  # else boxes grow until one covers all
    ours = models.get_model("mtcnn", thresholds=thresholds).double()
    ours.load_state_dict({k: fovea.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    return theirs, ours


def test_three_networks() -> None:
    theirs, ours = cascade()
    assert sorted(facts(ours.state_dict())) == sorted(facts(theirs.state_dict()))
    counts = [sum(p.numel() for p in net.parameters()) for net in (ours.pnet, ours.rnet, ours.onet)]
    assert counts == [6_632, 100_178, 389_040]
    for part, size in (("pnet", (31, 44)), ("rnet", (24, 24)), ("onet", (48, 48))):
        x = np.random.default_rng(0).uniform(-1, 1, (3, 3, *size))
        net, given = getattr(ours, part), fovea.tensor(x)
        with torch.no_grad(), fovea.no_grad():
            expected, found = getattr(theirs, part)(torch.tensor(x)), net(given)
            compiled = fovea.compile(net, strict=True)(given)
        for a, b, c in zip(found, compiled, expected, strict=True):
            agree(a, c, part)
            agree(b, c, part)


@pytest.mark.parametrize(("smallest", "batch"), [(20, 512), (26.5, 3)])
def test_the_cascade(smallest: float, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["fovea.vision.models.detection.mtcnn"], "_BATCH", batch)
    theirs, ours = cascade()
    ours.min_face_size = smallest
    images = [faces.picture(90, 110), faces.picture(120, 80, 1)]
    for image, found in zip(images, ours([fovea.tensor(x) for x in images]), strict=True):
        with torch.no_grad():
            boxes, points = theirs(torch.tensor(image), smallest)
        assert len(boxes) > (9 if smallest == 20 else 1)
        agree(found["boxes"], boxes[:, :4], "boxes")
        agree(found["scores"], boxes[:, 4], "scores")
        agree(found["keypoints"][..., :2], points, "points")
        assert found["labels"].tolist() == [1] * len(boxes)


@pytest.mark.parametrize("kind", [fovea.float16, fovea.bfloat16])
def test_places_have_all_their_digits_in_half_types(kind: Any) -> None:
    """All chances are one half, and nothing is shifted."""
    ours = models.get_model("mtcnn", min_face_size=12, thresholds=(0.4, 0.4, 0.4))
    last = (ours.pnet.conv4_1, ours.pnet.conv4_2, ours.rnet.dense5_1, ours.rnet.dense5_2)
    for layer in (*last, ours.onet.dense6_1, ours.onet.dense6_2):
        for p in layer.parameters():
            fovea.nn.init.zeros_(p)
    image = fovea.rand(3, 12, 400)
    (wanted,), (found,) = ours([image]), ours.to(kind)([image.to(kind)])
    assert fovea.equal(found["boxes"], wanted["boxes"]) and wanted["boxes"].max() > 390


@pytest.mark.parametrize("thresholds", [(1.1, 0.5, 0.4), (0.5, 1.1, 0.4), (0.5, 0.5, 1.1)])
def test_nothing_is_found(thresholds: tuple[float, ...]) -> None:
    _, ours = cascade(thresholds)
    for size in ((60, 85), (8, 90)):
        (found,) = ours([fovea.tensor(faces.picture(*size))])
        assert found["boxes"].shape == (0, 4) and found["keypoints"].shape == (0, 5, 3)
        assert found["labels"].dtype is fovea.int64 and found["scores"].shape == (0,)


def test_a_folder_of_three_files(tmp_path: Path) -> None:
    theirs, _ = cascade()
    theirs.float()
    for name in ("pnet", "rnet", "onet"):
        with pytest.raises(FileFormatError, match=f"no file {name}.pt"):
            models.detection.mtcnn(weights=tmp_path)
        torch.save(getattr(theirs, name).state_dict(), tmp_path / f"{name}.pt")
    torch.save(theirs.state_dict(), tmp_path / "all.pth")
    for place in (tmp_path, str(tmp_path), tmp_path / "all.pth"):
        ours = models.get_model("mtcnn", weights=place)
        for name, value in ours.state_dict().items():
            np.testing.assert_array_equal(value, theirs.state_dict()[name])
    with pytest.raises(MissingFileError, match="there is no file nowhere/data"):
        models.get_model("mtcnn", weights="nowhere/data")
    with pytest.raises(StateDictError, match="weights of rnet alone: give the folder"):
        models.detection.mtcnn(weights=tmp_path / "rnet.pt")


def test_the_same_under_other_names(tmp_path: Path) -> None:
    """Linear layers that are called convolutions and read maps channel by channel."""
    theirs, ours = cascade()
    for name, first, last in (("pnet", 4, ""), ("rnet", 5, "dense4"), ("onet", 6, "dense5")):
        state = {}
        for key, value in getattr(theirs, name).state_dict().items():
            layer, _, kind = key.partition(".")
            if layer == last and kind == "weight":
                rows = value.view(len(value), 3, 3, -1)
                value = rows.permute(0, 3, 1, 2).reshape(value.shape)
            new = f"{layer.replace('dense', 'conv')}.{kind}"
            state[new if layer[-2:-1] == "_" else f"features.{new}"] = value
        assert f"conv{first}_1.weight" in state and "features.prelu1.weight" in state
        torch.save(state, tmp_path / f"mtcnn_{name}.pth")
        (tmp_path / f"notes_on_{name}.txt").write_text("none")
    other = models.detection.mtcnn(weights=tmp_path)
    for name, value in ours.float().state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], value, name)
    for part in ("pnet", "rnet", "onet"):
        with pytest.raises(StateDictError, match=f"weights of {part} alone"):
            models.detection.mtcnn(weights=tmp_path / f"mtcnn_{part}.pth")


def test_mistakes_with_mtcnn_are_told() -> None:
    ours = models.detection.MTCNN()
    with pytest.raises(ArgumentError, match="takes no targets"):
        ours([fovea.rand(3, 40, 40)], [{}])
    with pytest.raises(ShapeError, match=r"tensors \(3, H, W\)"):
        ours([fovea.rand(40, 40, 3)])
    with pytest.raises(ArgumentError, match=r"tensors \(C, H, W\), got ndarray"):
        ours([faces.picture(40, 40)])
    with pytest.raises(DTypeError, match="floating point"):
        ours([fovea.zeros(3, 40, 40, dtype=fovea.uint8)])
    for wrong in ({"factor": 1.0}, {"min_face_size": 0}, {"thresholds": (0.5,)}):
        with pytest.raises(ArgumentError, match="must be above 0, factor between 0 and 1"):
            models.detection.MTCNN(**wrong)


def test_published_weights_find_a_face(detection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With facenet-pytorch's own files, beside its own code, on a photograph."""
    theirs = pytest.importorskip("facenet_pytorch")
    photograph = pytest.importorskip("skimage.data").astronaut()
    import facenet_pytorch.models.utils.detect_face as steps
    from torchvision.ops import boxes as those

    monkeypatch.setattr(steps, "batched_nms", those.batched_nms)
    ours = models.detection.mtcnn(weights=Path(theirs.__file__).parent / "data")
    (found,) = ours([fovea.tensor(photograph).permute(2, 0, 1).float() / 255])
    detected = theirs.MTCNN(keep_all=True).detect(photograph, landmarks=True)
    boxes, chances, points = (np.asarray(each, np.float64) for each in detected)
    assert len(boxes) == 1 and chances[0] > 0.99
    np.testing.assert_allclose(found["boxes"], boxes, atol=1e-3)
    np.testing.assert_allclose(found["scores"], chances, atol=1e-5)
    np.testing.assert_allclose(found["keypoints"][..., :2], points, atol=1e-3)
