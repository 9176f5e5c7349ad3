"""``fovea train`` of detectors and segmenters: which epoch is kept, and what they start from."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fovea as fovea_module
from fovea.cli.learned import Learned, build_network, load_learned, save_learned
from fovea.cli.scene_recipes import _balanced, waiting_for
from fovea.cli.scenes import Scenes, _cut, _few, _roles, scenes_of
from fovea.cli.starting import _publishes, begun
from fovea.errors import ArgumentError, FileFormatError
from fovea.nn.state import StateDictError
from fovea.vision import models
from fovea.vision.datasets import Shapes
from fovea.vision.ops.misc import FrozenBatchNorm2d
from fovea.vision.training import DetectionRecipe, SegmentationRecipe
from fovea.vision.training.detection import prepare_detector
from fovea.vision.training.segmentation import prepare_segmenter
from tests.cli.conftest import Fovea
from tests.cli.test_scenes import masks, objects, pixels, save

__all__ = ["masks", "objects"]  # fixtures

FAST = ("--batch-size", 4, "--workers", 0, "--json")


# -- parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        (["train", "val", "test"], ("train", "val", "test")),
        (["train", "val"], ("train", "val", None)),
        (["train", "test"], ("train", None, "test")),
        (["train", "valid"], ("train", "valid", None)),
        (["all"], ("all", None, None)),
        (["trainval"], ("trainval", None, None)),
        (["instances_train2017", "instances_val2017"],
         ("instances_train2017", "instances_val2017", None)),
        (["train", "others"], ("train", "others", None)),
        (["others", "test", "train"], ("train", None, "test")),
    ],
)  # fmt: skip
def test_which_part_is_for_what(names: list[str], roles: tuple[Any, ...]) -> None:
    assert _roles(names) == roles


def test_images_are_put_aside(masks: Path) -> None:
    plain, cut = (scenes_of(str(masks), "segmentation", 32, validate=v) for v in (False, True))
    assert plain.validation is None
    assert [len(part) for part in (cut.train, cut.validation, cut.test)] == [8, 2, 2]
    for one, other in zip(plain.test, cut.test, strict=True):  # whoever measures has the same
        np.testing.assert_array_equal(np.asarray(one[0]), np.asarray(other[0]))
    pictures = [np.asarray(image).tobytes() for part in (cut.train, cut.validation, cut.test)
                for image, _ in part]  # fmt: skip
    assert len({*pictures}) == 12
    with pytest.raises(ArgumentError, match="too few"):
        _cut([1])


def test_many_images_are_not_all_looked_at() -> None:
    notes: list[str] = []
    few = _few(range(1000), notes)
    assert len(few) == 300 and few[0] == 0 and few[299] > 990 and "300 of 1,000" in notes[0]
    rest, held = _cut(range(10_000), 300)
    assert len(held) == 300 and len(rest) == 9700
    assert _few(range(300), notes) == range(300) and len(notes) == 1


def test_a_part_of_its_own(masks: Path, tmp_path: Path) -> None:
    """With both parts, one picks the epoch and the other tests it."""
    for i, (image, mask) in enumerate(Shapes(9, "segmentation", image_size=32)):
        part = ("train", "val", "test")[i % 3]
        for kind, values in (("images", pixels(image)), ("masks", mask.numpy().astype(np.uint8))):
            save(tmp_path / part / kind / f"{i}.png", values)
    scenes = scenes_of(str(tmp_path), "segmentation", 32, validate=True)
    assert [len(p) for p in (scenes.train, scenes.validation, scenes.test)] == [3, 3, 3]
    assert not scenes.notes
    shutil.rmtree(tmp_path / "test")
    scenes = scenes_of(str(tmp_path), "segmentation", 32, validate=True)
    assert scenes.validation is scenes.test and "flatter" in scenes.notes[0]


# -- which epoch is kept ----------------------------------------------------------------------


def test_the_best_epoch_is_kept(masks: Path, fovea: Fovea, tmp_path: Path) -> None:
    words = ("train", masks, "--image-size", 32, *FAST, "--epochs", 5, "--lr", 0.02)
    ran = fovea(*words, "--validate-every", 2, "--keep", 1, "--output", "o")
    assert ran.code == 0, ran.err
    told, scores = ran.json, ran.json["history"]["val_mean_iou"]
    assert told["validated"] == [1, 2, 4, 5] and len(scores) == 4
    best = load_learned(tmp_path / "o" / "model.pt").training
    assert best["val_mean_iou"] == max(scores)
    assert told["validated"][scores.index(max(scores))] == best["epoch"] == told["best_epoch"]
    kept = sorted(p.name for p in (tmp_path / "o" / "checkpoints").iterdir())
    assert kept == [f"epoch-{best['epoch']:03d}.pt", "last.pt"]
    assert load_learned(tmp_path / "o" / "checkpoints" / "last.pt").training["epoch"] == 5
    assert "validation, epoch 4" in (tmp_path / "o" / "report.html").read_text()
    again = fovea("train", "--config", "o/config.yaml", "--output", "p", "--json")
    assert again.json["history"] == told["history"], again.err


def test_the_last_epoch_is_kept(masks: Path, fovea: Fovea, tmp_path: Path) -> None:
    words = ("train", masks, "--image-size", 32, *FAST, "--epochs", 2)
    ran = fovea(*words, "--keep", "last", "--output", "o")
    assert ran.code == 0 and len(ran.json["history"]["val_mean_iou"]) == 2, ran.err
    assert load_learned(tmp_path / "o" / "model.pt").training["epoch"] == 2
    assert not (tmp_path / "o" / "checkpoints").exists()
    ran = fovea(*words, "--validate-every", 0, "--output", "p")
    assert ran.json["best_epoch"] == 2 and "val_mean_iou" not in ran.json["history"], ran.err
    assert "10 to train on, 2 to test" in ran.err and "validated" not in ran.json
    assert not (tmp_path / "p" / "checkpoints").exists()
    assert "--validate-every N" in fovea(*words, "--validate-every", 0, "--keep", 2).err


# -- how they learn ---------------------------------------------------------------------------


def test_a_segmenter_learns_by_finer_options(masks: Path, fovea: Fovea, tmp_path: Path) -> None:
    words = (
        "train", masks, "--image-size", 32, *FAST, "--epochs", 3, "--lr", "auto",
        "--label-smoothing", 0.1, "--class-weights", "balanced", "--layer-decay", 0.9,
    )  # fmt: skip
    ran = fovea(*words, "--swa", 2, "--output", "o")
    assert ran.code == 0, ran.err
    assert "learning rate found" in ran.err or "is kept" in ran.err
    config = (tmp_path / "o" / "config.yaml").read_text()
    assert "lr: auto" not in config and "swa: 2" in config and "layer-decay: 0.9" in config
    again = fovea("train", "--config", "o/config.yaml", "--output", "p", "--json")
    assert again.json["history"] == ran.json["history"], again.err


def test_waiting_for_progress(masks: Path, fovea: Fovea) -> None:
    """A rate so low that nothing changes: the run ends after the epochs that it may wait."""
    words = ("train", masks, "--image-size", 32, *FAST, "--epochs", 9, "--lr", 1e-12)
    ran = fovea(*words, "--validate-every", 1, "--patience", 2, "--output", "o")
    assert ran.code == 0 and len(ran.json["history"]["loss"]) < 9, ran.err


def test_how_long_is_waited() -> None:
    learned: Any = Learned("detection", None, "glance_n", ["a"], 64)  # type: ignore[arg-type]
    learned.training = {"validate_every": 4}
    scenes = Scenes("detection", "", ["a"], range(9), None, {}, validation=range(2))
    waiting: Any = waiting_for(9, learned, scenes)
    assert (waiting.monitor, waiting.patience, waiting.mode) == ("val_AP", 3, "max")
    waiting.set_model(stopped := SimpleNamespace(stop_training=False))
    waiting.on_train_begin()
    for epoch, logs in enumerate([{"val_AP": 0.5}, {}, {"val_AP": 0.4}, {"val_AP": 0.5}, {}]):
        waiting.on_epoch_end(epoch, logs)
    assert not stopped.stop_training
    waiting.on_epoch_end(5, {"val_AP": 0.5})
    assert stopped.stop_training
    scenes.validation = None
    waiting = waiting_for(9, learned, scenes)
    assert (waiting.monitor, waiting.patience) == ("loss", 9)


def test_pixels_of_rare_classes(masks: Path) -> None:
    """Each class has as many pixels as the others, weighted."""
    scenes = scenes_of(str(masks), "segmentation", 32)
    counts = np.zeros(len(scenes.classes))
    for _, mask in scenes.train:
        counts += np.bincount(np.asarray(mask).ravel(), minlength=len(counts))
    weighted = counts * _balanced(scenes)
    assert counts[counts > 0].std() > 0
    np.testing.assert_allclose(weighted[counts > 0], counts.sum() / (counts > 0).sum(), 1e-5)


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_layers_learn_at_rates_of_their_own(task: str) -> None:
    data: Any = Shapes(4, task, image_size=32)
    if task == "detection":
        how = DetectionRecipe(batch_size=4, workers=0, lr=0.1, layer_decay=0.5)
        made = prepare_detector(build_network(task, "glance_n", 3, 32), data, how)
    else:
        plan = SegmentationRecipe(32, batch_size=4, workers=0, lr=0.1, layer_decay=0.5)
        made = prepare_segmenter(build_network(task, "unet", 7, 32), data, plan, 7)
    rates = {group["initial_lr"] for group in made[0].optimizer.param_groups}
    assert max(rates) == 0.1 and 0.05 in rates and len(rates) > 3


# -- what keeps nothing ------------------------------------------------------------------------


def test_trials_of_a_segmenter(masks: Path, fovea: Fovea, tmp_path: Path) -> None:
    words = ("train", masks, "--image-size", 32, *FAST)
    ran = fovea(*words, "--fast-dev-run")
    assert ran.code == 0 and ran.json["trial"] == "fast-dev-run" and ran.json["loss"] > 0, ran.err
    assert 0 <= ran.json["val_mean_iou"] <= 1
    ran = fovea(*words, "--plan-memory")
    assert ran.code == 0 and ran.json["bytes"]["total"] > ran.json["bytes"]["weights"], ran.err
    once = fovea(*words, "--overfit-batches", 1, "--epochs", 1).json
    often = fovea(*words, "--overfit-batches", 1, "--epochs", 30).json
    assert often["loss"] < 0.7 * once["loss"] and often["mean_iou"] > once["mean_iou"]
    assert not (tmp_path / "runs").exists()


def test_trials_of_a_detector(objects: Path, fovea: Fovea, tmp_path: Path) -> None:
    words = ("train", objects, "--image-size", 64, *FAST)
    ran = fovea(*words, "--fast-dev-run")
    assert ran.code == 0 and {"boxes", "classes", "loss", "val_AP"} <= {*ran.json}, ran.err
    ran = fovea(*words, "--plan-memory")
    assert ran.code == 0 and ran.json["bytes"]["total"] > 0, ran.err
    assert fovea(*words, "--overfit-batches", 1, "--epochs", 2).json["loss"] > 0
    assert not (tmp_path / "runs").exists()


# -- what they start from ---------------------------------------------------------------------


def test_a_segmenter_starts_from_another(masks: Path, fovea: Fovea, tmp_path: Path) -> None:
    """All but the layer of classes is taken; what is frozen stays, statistics and all."""
    fovea_module.manual_seed(0)
    start = build_network("segmentation", "unet", 3, 32, {"base_channels": 4, "depth": 2})
    fovea_module.save(start.state_dict(), tmp_path / "start.pth")
    ran = fovea(
        "train", masks, "--image-size", 32, *FAST, "--epochs", 1, "--weights", "start.pth",
        "--freeze", "stem,down.0", "--optimizer", "sgd", "--ema", 0.9, "--schedule", "step",
        "--output", "o",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "loaded but for head" in ran.err and "frozen" in ran.err and "sgd" in ran.err
    found, before = load_learned(tmp_path / "o" / "model.pt").model.state_dict(), start.state_dict()
    for name, value in before.items():
        if name.startswith(("stem.", "down.0.")):  # of which the average rounds
            np.testing.assert_allclose(found[name].numpy(), value.numpy(), 1e-6, err_msg=name)
    assert found["head.weight"].shape[0] == 7
    assert (found["down.1.0.weight"] - before["down.1.0.weight"]).abs().max() > 0
    config = (tmp_path / "o" / "config.yaml").read_text()
    for line in ('weights: "start.pth"', 'freeze: "stem,down.0"', 'optimizer: "sgd"', "ema: 0.9"):
        assert line in config
    again = fovea("train", "--config", "o/config.yaml", "--output", "p", "--json")
    assert again.json["history"] == ran.json["history"], again.err
    assert "no.pth" in fovea("train", masks, "--weights", "no.pth").err
    assert "published as DEFAULT" in fovea("train", masks, "--weights", "DEFAULT").err
    wrong = fovea("train", masks, "--weights", "start.pth", "--freeze", "neck")
    assert wrong.code == 1 and "named 'neck'" in wrong.err


def test_a_detector_starts_from_another(objects: Path, fovea: Fovea, tmp_path: Path) -> None:
    fovea_module.manual_seed(0)
    start = build_network("detection", "glance_n", 3, 64)
    learned = Learned("detection", start, "glance_n", ["a", "b", "c"], 64)
    save_learned(tmp_path / "start.pt", learned)
    ran = fovea(
        "train", objects, "--image-size", 64, *FAST, "--epochs", 1, "--weights", "start.pt",
        "--freeze", "network.backbone", "--optimizer", "muon", "--ema", 0.5, "--output", "o",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "network.heads.0.classes.2" in ran.err
    found, before = load_learned(tmp_path / "o" / "model.pt").model.state_dict(), start.state_dict()
    for name, value in before.items():
        if "backbone" in name:
            np.testing.assert_array_equal(found[name].numpy(), value.numpy(), name)
    neck = "network.neck.down.0.into.0.weight"
    assert (found[neck] - before[neck]).abs().max() > 0


def test_weights_of_a_backbone(tmp_path: Path) -> None:
    fovea_module.manual_seed(0)
    body = models.mobilenet_v3_large(num_classes=5)
    fovea_module.save(body.state_dict(), tmp_path / "body.pth")
    with pytest.warns(UserWarning, match="start anew"):
        options = {"num_classes": 4}
        net: Any = begun("lraspp_mobilenet_v3_large", options, str(tmp_path / "body.pth"))
    taken, given = net.backbone.state_dict(), body.features.state_dict()
    for name, value in taken.items():
        np.testing.assert_array_equal(value.numpy(), given[name].numpy(), name)
    fovea_module.save({"fc.weight": fovea_module.ones(2, 2)}, tmp_path / "other.pth")
    with pytest.raises(StateDictError, match="LRASPP"):
        begun("lraspp_mobilenet_v3_large", {}, str(tmp_path / "other.pth"))


def test_frozen_statistics_are_kept_in_the_checkpoint(tmp_path: Path) -> None:
    """Some detectors have other normalizations if they start from weights."""
    fovea_module.manual_seed(0)
    body = models.mobilenet_v3_large()
    fovea_module.save(body.state_dict(), tmp_path / "body.pth")
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    model = build_network("detection", name, 2, 64, weights=str(tmp_path / "body.pth"))
    frozen = [n for n, m in model.named_modules() if isinstance(m, FrozenBatchNorm2d)]
    assert frozen
    save_learned(tmp_path / "m.pt", Learned("detection", model, name, ["a", "b"], 64))
    again = load_learned(tmp_path / "m.pt").model
    assert [n for n, m in again.named_modules() if isinstance(m, FrozenBatchNorm2d)] == frozen
    picture = [fovea_module.rand(3, 64, 64)]
    one, other = (m.eval()(picture)[0] for m in (model, again))
    for key, value in one.items():
        np.testing.assert_array_equal(value.detach().numpy(), other[key].detach().numpy(), key)
    content = fovea_module.load(tmp_path / "m.pt") | {"frozen_eps": "none"}
    fovea_module.save(content, tmp_path / "bad.pt")
    with pytest.raises(FileFormatError, match="added to a variance"):
        load_learned(tmp_path / "bad.pt")


def test_names_of_published_weights() -> None:
    """Those that the whole network has not are looked for among its backbone's."""
    name = "lraspp_mobilenet_v3_large"
    assert _publishes(name, "COCO_WITH_VOC_LABELS_V1") and _publishes(name, "DEFAULT")
    assert not _publishes(name, "IMAGENET1K_V1")
    assert not _publishes(name, "MobileNet_V3_Large_Weights.DEFAULT")
    assert not _publishes("glance_n", "DEFAULT")
    with pytest.raises(ArgumentError, match="IMAGENET1K_V9"):
        begun(name, {"num_classes": 3}, "IMAGENET1K_V9")
    with pytest.raises(ArgumentError):
        begun("glance_n", {"num_classes": 3, "image_size": 64}, "DEFAULT")
