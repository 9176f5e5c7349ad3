"""Networks that give a class for each pixel, against torchvision's."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision import models
from fovea.vision.models._utils import IntermediateLayerGetter
from tests.vision.zoo import agree_in_training_and_evaluation, facts, pair, structure

# Parameters that torchvision's documentation states, with auxiliary classifiers in the four on
# ResNets.
PARAMETERS = {
    "deeplabv3_mobilenet_v3_large": 11_025_477,
    "deeplabv3_resnet101": 60_996_202,
    "deeplabv3_resnet50": 42_004_074,
    "fcn_resnet101": 54_314_346,
    "fcn_resnet50": 35_322_218,
    "lraspp_mobilenet_v3_large": 3_221_538,
}
# Those that torchvision lacks.
OWN = {"deeplabv3plus_resnet50": 39_761_845, "deeplabv3plus_resnet101": 58_753_973}


def test_every_network_is_looked_at() -> None:
    assert set(models.list_models(models.segmentation)) == set(PARAMETERS) | set(OWN)


@pytest.mark.parametrize("name", OWN)
def test_parameters_of_networks_that_torchvision_lacks(name: str, undrawn: None) -> None:
    assert sum(p.numel() for p in models.get_model(name).parameters()) == OWN[name]


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("aux", [False, True])
def test_names_and_layers_are_torchvision_s(
    name: str, aux: bool, torchvision: Any, undrawn: None
) -> None:
    config: dict[str, Any] = {} if name.startswith("lraspp") else {"aux_loss": aux}
    ours = models.get_model(name, **config)
    theirs = torchvision.models.get_model(name, weights_backbone=None, **config)
    assert facts(ours.state_dict()) == facts(theirs.state_dict())
    assert structure(ours) == structure(theirs)
    if aux == ("resnet" in name):
        assert sum(p.numel() for p in ours.parameters()) == PARAMETERS[name]


def resnet(m: Any) -> Any:
    """The features of a small ResNet."""
    dilate = {"replace_stride_with_dilation": [False, True, True]}
    model = m.resnet.ResNet(m.resnet.Bottleneck, [1, 1, 1, 2], **dilate)
    return m._utils.IntermediateLayerGetter(model, {"layer3": "aux", "layer4": "out"})


def fcn(m: Any) -> Any:
    head = m.segmentation.fcn.FCNHead
    return m.segmentation.FCN(resnet(m), head(2048, 5), head(1024, 5))


def deeplabv3(m: Any) -> Any:
    s = m.segmentation.deeplabv3
    return s.DeepLabV3(resnet(m), s.DeepLabHead(2048, 5, (1, 2, 3)))


def lraspp(m: Any) -> Any:
    return m.segmentation.lraspp_mobilenet_v3_large(num_classes=5, weights_backbone=None)


# PyTorch rounds the slope of hard sigmoid to float32.
@pytest.mark.parametrize(("build", "tolerance"), [(fcn, 1e-8), (deeplabv3, 1e-8), (lraspp, 1e-6)])
def test_a_training_step_and_evaluation_are_torchvision_s(
    build: Any, tolerance: float, torchvision: Any
) -> None:
    theirs, ours = pair(torchvision, build)
    random = np.random.default_rng(0)
    x, y = random.standard_normal((2, 3, 33, 40)), random.integers(0, 5, (2, 33, 40))
    agree_in_training_and_evaluation(theirs, ours, x, y, tolerance)


def test_compiled_steps_follow_eager_ones() -> None:
    fovea.manual_seed(0)
    x, y = fovea.randn(2, 3, 40, 40), fovea.randint(0, 3, (2, 40, 40))
    losses = []
    for wrap in (lambda f: f, lambda f: fovea.compile(f, strict=True)):
        fovea.manual_seed(1)
        model = models.segmentation.lraspp_mobilenet_v3_large(num_classes=3)
        optimizer = fovea.optim.SGD(model.parameters(), lr=0.01)

        def step(x: Any, y: Any, model: Any = model, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x)["out"], y)
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(step)
        losses.append([step(x, y).item() for _ in range(3)])
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-3)


def test_files_of_weights(tmp_path: Path) -> None:
    trained = models.segmentation.deeplabv3_mobilenet_v3_large(num_classes=3, aux_loss=True)
    fovea.save(trained.state_dict(), tmp_path / "all.pth")
    full = models.segmentation.deeplabv3_mobilenet_v3_large(
        weights=tmp_path / "all.pth", num_classes=3
    )
    assert list(full.eval()(fovea.zeros(1, 3, 32, 32))) == ["out", "aux"]
    plain = models.segmentation.deeplabv3_mobilenet_v3_large(
        weights=tmp_path / "all.pth", num_classes=3, aux_loss=False
    )
    assert list(plain.eval()(fovea.zeros(1, 3, 32, 32))) == ["out"]
    for key, value in plain.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), trained.state_dict()[key].numpy(), key)
    backbone = models.mobilenet_v3_large()
    fovea.save(backbone.state_dict(), tmp_path / "backbone.pth")
    model = models.segmentation.lraspp_mobilenet_v3_large(
        weights_backbone=tmp_path / "backbone.pth"
    )
    expected = backbone.features[16][0].get_parameter("weight").detach()
    found = model.get_parameter("backbone.16.0.weight").detach()
    np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_a_cut_network_shares_its_layers_and_names_what_it_returns() -> None:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        a=nn.Linear(2, 3), b=nn.ReLU(), c=nn.Linear(3, 4)
    )
    cut = IntermediateLayerGetter(nn.Sequential(layers), {"b": "middle", "a": "first"})
    assert list(cut) == ["a", "b"]
    assert cut["a"] is layers["a"]
    results = cut(fovea.ones(1, 2))
    assert list(results) == ["first", "middle"]
    with fovea.no_grad():
        np.testing.assert_array_equal(
            results["middle"].detach().numpy(), layers["a"](fovea.ones(1, 2)).relu().numpy()
        )
    with pytest.raises(ArgumentError, match="no child named d, e"):
        IntermediateLayerGetter(nn.Sequential(layers), {"d": "x", "e": "y", "a": "z"})


def deeplabv3plus(m: Any) -> Any:
    """Ours, or its definition in PyTorch on torchvision's ResNet and ASPP."""
    dilate = {"replace_stride_with_dilation": [False, False, True]}
    model = m.resnet.ResNet(m.resnet.Bottleneck, [1, 1, 1, 2], **dilate)
    names = {"layer1": "low_level", "layer3": "aux", "layer4": "out"}
    backbone = m._utils.IntermediateLayerGetter(model, names)
    s = m.segmentation
    if hasattr(s, "DeepLabV3Plus"):
        head = s.deeplabv3plus.DeepLabHeadV3Plus(2048, 256, 5, (1, 2, 3))
        return s.DeepLabV3Plus(backbone, head, s.fcn.FCNHead(1024, 5))
    return _deeplabv3plus_in_torch(s, backbone)


def _deeplabv3plus_in_torch(s: Any, backbone: Any) -> Any:
    torch = pytest.importorskip("torch")
    t, resize = torch.nn, torch.nn.functional.interpolate

    class Head(t.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = t.Sequential(
                t.Conv2d(256, 48, 1, bias=False), t.BatchNorm2d(48), t.ReLU()
            )
            self.aspp = s.deeplabv3.ASPP(2048, (1, 2, 3))
            self.classifier = t.Sequential(
                t.Conv2d(304, 256, 3, padding=1, bias=False),
                t.BatchNorm2d(256),
                t.ReLU(),
                t.Conv2d(256, 5, 1),
            )

        def forward(self, features: Any) -> Any:
            early = self.project(features["low_level"])
            late = resize(self.aspp(features["out"]), early.shape[2:], mode="bilinear")
            return self.classifier(torch.cat([early, late], 1))

    class Net(t.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.classifier = backbone, Head()
            self.aux_classifier = s.fcn.FCNHead(1024, 5)

        def forward(self, x: Any) -> Any:
            features = self.backbone(x)
            both = {"out": self.classifier(features), "aux": self.aux_classifier(features["aux"])}
            return {k: resize(v, x.shape[2:], mode="bilinear") for k, v in both.items()}

    return Net()


def test_deeplabv3plus_is_the_papers(torchvision: Any) -> None:
    theirs, ours = pair(torchvision, deeplabv3plus)
    assert facts(ours.state_dict()) == facts(theirs.state_dict())
    random = np.random.default_rng(0)
    x, y = random.standard_normal((2, 3, 33, 40)), random.integers(0, 5, (2, 33, 40))
    agree_in_training_and_evaluation(theirs, ours, x, y)


@pytest.mark.parametrize(("stride", "side"), [(8, 8), (16, 4)])
def test_output_strides_of_deeplabv3plus(stride: int, side: int, undrawn: None) -> None:
    net = models.segmentation.deeplabv3plus_resnet50(num_classes=4, output_stride=stride).eval()
    with fovea.no_grad():
        features = net.backbone(fovea.zeros(1, 3, 64, 64))
        assert list(features) == ["low_level", "out"]
        assert features["low_level"].shape[2:] == (16, 16)
        assert features["out"].shape[2:] == (side, side)
        assert net(fovea.zeros(1, 3, 64, 64))["out"].shape == (1, 4, 64, 64)
    with pytest.raises(ArgumentError, match="8 or 16"):
        models.segmentation.deeplabv3plus_resnet101(output_stride=32)
