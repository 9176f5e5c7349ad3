"""Published weights: torchvision's facts, and models that fetch and load them (from a server here)."""

from __future__ import annotations

import copy
import hashlib
import importlib
import io
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError
from fovea.utils.download import DownloadError
from fovea.vision import models
from fovea.vision.models.enumerations import names_of
from fovea.vision.models.loading import with_weights
from tests.utils.server import Files, serve

PACKAGES = {"": models, ".detection": models.detection, ".segmentation": models.segmentation}
NAMES = [
    (package, name) for package, module in PACKAGES.items() for name in names_of(module.__name__)
]
Publish = Callable[..., Any]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOVEA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def web() -> Iterator[Files]:
    with serve() as server:
        yield server


@pytest.fixture
def publish(web: Files, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Puts a state on the server, as PyTorch writes it, and gives weights its address."""
    torch = pytest.importorskip("torch")

    def put(member: Any, state: dict[str, Any], **how: Any) -> str:
        written = io.BytesIO()
        torch.save(state, written, **how)
        digest = hashlib.sha256(written.getvalue()).hexdigest()[:8]
        name = f"{member.url.rpartition('/')[2].partition('-')[0]}-{digest}.pth"
        web.content[name] = written.getvalue()
        monkeypatch.setattr(member.value, "url", web.url(name))
        return name

    return put


@pytest.fixture
def squeezenet(torchvision: Any) -> Any:
    """torchvision's, small and without trained weights."""
    pytest.importorskip("torch").manual_seed(0)
    return torchvision.models.squeezenet1_1()


def same(ours: Any, theirs: Any) -> bool:
    state = ours.state_dict()
    return all(np.array_equal(state[key].numpy(), value.numpy()) for key, value in theirs.items())


# -- facts -----------------------------------------------------------------------------------------


def test_every_enumeration_of_torchvision_is_there(torchvision: Any) -> None:
    for package, module in PACKAGES.items():
        theirs = torchvision.models if not package else getattr(torchvision.models, package[1:])
        expected = {name for name in dir(theirs) if name.endswith("_Weights")}
        assert expected == {name for name in module.__all__ if name.endswith("_Weights")}
        assert expected <= set(dir(module))


def test_the_script_writes_the_files(torchvision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    script = importlib.import_module("published_weights")
    found, lists = script.facts(torchvision.models._api)
    assert lists.pop("VOC") == models.segmentation.FCN_ResNet50_Weights.DEFAULT.meta["categories"]
    for name, text in (
        ("weights", script.weights_text(found)),
        ("classes", script.lists_text(lists)),
    ):
        assert (script.FOLDER / f"{name}.json").read_text(encoding="utf-8") == text, (
            "run python scripts/published_weights.py"
        )


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_facts_are_torchvision_s(torchvision: Any, package: str, name: str) -> None:
    theirs = torchvision.models.get_weight(f"{name}.DEFAULT").__class__
    ours = getattr(PACKAGES[package], name)
    assert issubclass(ours, models.WeightsEnum)
    assert list(ours.__members__) == list(theirs.__members__)
    for key, expected in theirs.__members__.items():
        found = ours[key]
        assert repr(found) == repr(expected)
        assert found.url == expected.url
        meta = {k: v for k, v in expected.meta.items() if k != "_docs"}
        assert repr(found.meta) == repr(meta)  # not a number is not equal to itself
        assert repr(found.transforms()) == repr(expected.transforms())
        assert getattr(found.transforms(), "antialias", 0) == getattr(
            expected.transforms(), "antialias", 0
        )


def test_builders_have_the_weights_that_torchvision_s_have(torchvision: Any) -> None:
    for name in torchvision.models.list_models():
        theirs = torchvision.models.get_model_weights(name)
        try:
            builder = models.get_model_builder(name)
        except ArgumentError:
            continue  # videos, quantized networks
        assert models.get_model_weights(name).__name__ == theirs.__name__
        assert models.get_model_weights(builder) is models.get_model_weights(name.upper())
        for weights in models.get_model_weights(name):
            ready = with_weights(builder, {"weights": weights.name})
            assert ready["weights"].place is weights
            size = {384, 512, 518} & {ready.get("image_size", 0)}
            assert bool(size) == (name.startswith("vit") and weights.meta["min_size"][0] > 224)


def test_weights_by_name() -> None:
    weights = models.get_weight("ResNet50_Weights.IMAGENET1K_V2")
    assert weights is models.ResNet50_Weights.IMAGENET1K_V2 is models.ResNet50_Weights.DEFAULT
    ssd = models.get_weight("SSD300_VGG16_Weights.DEFAULT")
    assert ssd is models.detection.SSD300_VGG16_Weights.COCO_V1
    for wrong in ("ResNet50_Weights", "ResNet5_Weights.DEFAULT", "ResNet50_Weights.V9", ""):
        with pytest.raises(ArgumentError, match="weights"):
            models.get_weight(wrong)
    with pytest.raises(AttributeError, match="IMAGENET1K_V2, DEFAULT"):
        _ = models.ResNet50_Weights.IMAGENET1K_V9
    with pytest.raises(AttributeError, match="ResNet5_Weights"):
        _ = models.ResNet5_Weights
    with pytest.raises(ArgumentError, match="no published weights of vit_ti_16"):
        models.get_model_weights("vit_ti_16")


def test_members_are_one_however_they_are_reached() -> None:
    for weights in (
        models.ViT_B_16_Weights.DEFAULT,
        models.segmentation.FCN_ResNet50_Weights.DEFAULT,
    ):
        assert pickle.loads(pickle.dumps(weights)) is weights
        assert copy.deepcopy(weights) is weights
        assert copy.deepcopy(weights.value) == weights.value
    assert models.VGG11_Weights.DEFAULT.value != models.VGG13_Weights.DEFAULT.value


def test_an_enumeration_of_one_s_own(web: Files, publish: Publish) -> None:
    class Tiny_Weights(models.WeightsEnum):  # noqa: N801 - torchvision's way to name them
        FIRST = models.Weights("http://none/tiny-0.pth", lambda: None, {"categories": ["a", "b"]})
        DEFAULT = FIRST

    def tiny(*, weights: Any = None, num_classes: int = 7) -> Any:
        net = fovea.nn.Linear(3, num_classes)
        if weights is not None:
            net.load_state_dict(weights.read())
        return net

    tiny.__annotations__["weights"] = "ForTypeCheckers"
    with pytest.raises(ArgumentError, match="no published weights of tiny"):
        models.get_model_weights(tiny)
    tiny.__annotations__["weights"] = Tiny_Weights | None
    assert models.get_model_weights(tiny) is Tiny_Weights
    torch = pytest.importorskip("torch")
    publish(Tiny_Weights.FIRST, torch.nn.Linear(3, 2).state_dict())
    ready = with_weights(tiny, {"weights": "DEFAULT"})
    assert tiny(**ready).weight.shape == (2, 3)


# -- models ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("old_format", [False, True])
def test_a_model_with_published_weights(
    web: Files, publish: Publish, squeezenet: Any, home: Path, old_format: bool
) -> None:
    state = squeezenet.state_dict()
    how = {"_use_new_zipfile_serialization": not old_format}
    name = publish(models.SqueezeNet1_1_Weights.IMAGENET1K_V1, state, **how)
    assert same(models.squeezenet1_1(weights=models.SqueezeNet1_1_Weights.DEFAULT), state)
    assert (home / "hub" / "checkpoints" / name).is_file()
    for weights in ("DEFAULT", "IMAGENET1K_V1", "SqueezeNet1_1_Weights.IMAGENET1K_V1"):
        assert same(models.squeezenet1_1(weights=weights), state)
    assert same(models.get_model("squeezenet1_1", weights="DEFAULT", num_classes=1000), state)
    assert same(models.squeezenet1_1(pretrained=True), state)
    assert len(web.requests) == 1


def test_nothing_is_drawn_that_weights_replace(publish: Publish, squeezenet: Any) -> None:
    publish(models.SqueezeNet1_1_Weights.IMAGENET1K_V1, squeezenet.state_dict())
    expected = fovea.get_rng_state()
    net = models.squeezenet1_1(weights="DEFAULT")
    assert np.array_equal(fovea.get_rng_state().numpy(), expected.numpy())
    assert same(net, squeezenet.state_dict())
    with pytest.warns(UserWarning, match="start anew"):
        net = models.get_model("squeezenet1_1", weights="DEFAULT", num_classes=900)
    assert 0.009 < float(net.classifier[1].weight.std()) < 0.011  # as torchvision draws it


def test_weights_from_an_address_or_a_file(
    web: Files, publish: Publish, squeezenet: Any, home: Path
) -> None:
    state = squeezenet.state_dict()
    name = publish(models.SqueezeNet1_1_Weights.IMAGENET1K_V1, state)
    for _ in range(2):
        assert same(models.squeezenet1_1(weights=web.url(name)), state)
    assert len(web.requests) == 1
    [path] = (home / "hub" / "checkpoints").iterdir()
    assert path.name.endswith(name)
    assert same(models.squeezenet1_1(weights=path), state)
    assert same(models.squeezenet1_1(weights=str(path)), state)


def test_another_file_than_the_one_published_is_refused(
    web: Files, publish: Publish, squeezenet: Any, home: Path
) -> None:
    state = squeezenet.state_dict()
    name = publish(models.SqueezeNet1_1_Weights.IMAGENET1K_V1, state)
    whole = web.content[name]
    web.content[name] = whole[:-1] + b"!"
    with pytest.raises(DownloadError, match="not the one expected"):
        models.squeezenet1_1(weights="DEFAULT")
    web.content[name] = whole
    web.cut = [len(whole) // 2]
    assert same(models.squeezenet1_1(weights="DEFAULT"), state)
    assert web.requests[-1][1] == f"bytes={len(whole) // 2}-"
    (home / "hub" / "checkpoints" / name).write_bytes(whole[:100])  # damaged in the cache
    assert same(models.squeezenet1_1(weights="DEFAULT"), state)


def test_wrong_arguments() -> None:
    with pytest.raises(
        ArgumentError, match=r"'V9' are not weights of ResNet18_Weights[^$]*DEFAULT"
    ):
        models.resnet18(weights="V9")
    with pytest.raises(ArgumentError, match="are not weights of ResNet18_Weights"):
        models.resnet18(weights=models.ResNet34_Weights.DEFAULT)
    with pytest.raises(ArgumentError, match="are not weights of ResNet18_Weights"):
        models.resnet18(weights="ResNet34_Weights.DEFAULT")
    with pytest.raises(
        ArgumentError, match=r"have num_classes=1000, got num_classes=5[^$]*get_model"
    ):
        models.resnet18(weights="DEFAULT", num_classes=5)
    with pytest.raises(ArgumentError, match="have image_size=384, got image_size=224"):
        models.vit_b_16(weights="IMAGENET1K_SWAG_E2E_V1", image_size=224)
    with pytest.raises(ArgumentError, match="have num_keypoints=17, got num_keypoints=3"):
        models.detection.keypointrcnn_resnet50_fpn(weights="COCO_V1", num_keypoints=3)
    with pytest.raises(ArgumentError, match="no published weights of vit_ti_16"):
        models.vit_ti_16(weights="DEFAULT")
    with pytest.raises(ArgumentError, match="got True"):
        models.resnet18(weights=True)
    with pytest.raises(ArgumentError, match="are not weights of MobileNet_V3_Large_Weights"):
        models.segmentation.lraspp_mobilenet_v3_large(weights_backbone="COCO_V1")


def test_weights_of_a_backbone(publish: Publish, torchvision: Any) -> None:
    state = torchvision.models.mobilenet_v3_large().state_dict()
    publish(models.MobileNet_V3_Large_Weights.IMAGENET1K_V1, state)
    expected = {
        k.removeprefix("features."): v for k, v in state.items() if k.startswith("features")
    }
    v1 = models.MobileNet_V3_Large_Weights.IMAGENET1K_V1
    for weights in ({"weights_backbone": v1}, {"pretrained_backbone": True}):
        net = models.segmentation.lraspp_mobilenet_v3_large(num_classes=3, **weights)
        assert same(net.backbone, expected)


def test_a_detector_with_published_weights(publish: Publish, torchvision: Any) -> None:
    build = torchvision.models.detection.ssdlite320_mobilenet_v3_large
    state = build(weights=None, weights_backbone=None).state_dict()
    publish(models.detection.SSDLite320_MobileNet_V3_Large_Weights.COCO_V1, state)
    net = models.detection.ssdlite320_mobilenet_v3_large(
        weights="DEFAULT", weights_backbone="DEFAULT"
    )  # the backbone's weights are not fetched: they are among the others
    assert same(net, state)


# -- other classes -----------------------------------------------------------------------------------


def test_get_model_loads_all_but_the_head(
    publish: Publish, squeezenet: Any, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    state = squeezenet.state_dict()
    publish(models.SqueezeNet1_1_Weights.IMAGENET1K_V1, state)
    torch.save(state, tmp_path / "weights.pth")
    rest = {k: v for k, v in state.items() if not k.startswith("classifier")}
    for weights in ("DEFAULT", tmp_path / "weights.pth"):
        with pytest.warns(UserWarning, match=r"loaded but for classifier\.1, which start"):
            net = models.get_model("squeezenet1_1", weights=weights, num_classes=5)
        assert same(net, rest)
        assert net.classifier[1].out_channels == 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models.get_model("squeezenet1_1", weights="DEFAULT", num_classes=1000)
    with pytest.raises(RuntimeError, match=r"classifier\.1\.weight: the state has"):
        models.squeezenet1_1(weights=tmp_path / "weights.pth", num_classes=5)
    torch.save({**state, "classifier.1.bias": state["classifier.1.bias"][:3]}, tmp_path / "bad.pth")
    with pytest.raises(RuntimeError, match=r"classifier\.1\.bias: the state has"):
        models.get_model("squeezenet1_1", weights=tmp_path / "bad.pth")


@pytest.mark.parametrize(("count", "new"), [(91, 0), (4, 12)])
def test_a_detector_for_other_classes(
    publish: Publish, torchvision: Any, count: int, new: int
) -> None:
    build = torchvision.models.detection.ssdlite320_mobilenet_v3_large
    state = build(weights=None, weights_backbone=None).state_dict()
    publish(models.detection.SSDLite320_MobileNet_V3_Large_Weights.COCO_V1, state)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        net = models.get_model(
            "ssdlite320_mobilenet_v3_large", weights="DEFAULT", num_classes=count
        )
    fitting = net.state_dict()
    kept = {k: v for k, v in state.items() if tuple(fitting[k].shape) == tuple(v.shape)}
    assert len(kept) == len(state) - new
    assert same(net, kept)
    assert len(said) == bool(new)


def test_published_weights_as_features(publish: Publish, torchvision: Any) -> None:
    state = torchvision.models.mobilenet_v3_small().state_dict()
    publish(models.MobileNet_V3_Small_Weights.IMAGENET1K_V1, state)
    net = models.get_model("mobilenet_v3_small", features_only=True, weights="DEFAULT")
    found = list(net.state_dict().values())
    assert found and np.array_equal(found[0].numpy(), state["features.0.0.weight"].numpy())
