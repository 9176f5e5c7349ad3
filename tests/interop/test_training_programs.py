"""Files as well-known training programs write them, made by PyTorch with networks of their form."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import FoveaError
from fovea.interop.checkpoints import find_state_dict
from fovea.nn.state import StateDictError
from fovea.vision import models
from fovea.vision.models._utils import IntermediateLayerGetter

torch = pytest.importorskip("torch")


def trained(net: Any, *shape: int) -> Any:
    """A network with statistics of its own, ready to be asked."""
    torch.manual_seed(0)
    for p in net.parameters():
        p.data.normal_(0, 0.2)
    for _ in range(3):
        net(torch.randn(shape))
    return net.eval()


def close(found: Any, wanted: Any) -> None:
    scale = float(wanted.abs().max())
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5 * scale)


# -- ResNets for CIFAR, in .th files ----------------------------------------------------------


class Pad(torch.nn.Module):  # type: ignore[name-defined, misc]
    def __init__(self, planes: int) -> None:
        super().__init__()
        self.margin = planes // 4

    def forward(self, x: Any) -> Any:
        pad = (0, 0, 0, 0, self.margin, self.margin)
        return torch.nn.functional.pad(x[:, :, ::2, ::2], pad)


class Block(torch.nn.Module):  # type: ignore[name-defined, misc]
    def __init__(self, inside: int, planes: int, stride: int, option: str) -> None:
        super().__init__()
        nn = torch.nn
        self.conv1 = nn.Conv2d(inside, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if inside != planes and option == "A":
            self.shortcut = Pad(planes)
        elif inside != planes:
            conv = nn.Conv2d(inside, planes, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(planes))

    def forward(self, x: Any) -> Any:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


class CifarNet(torch.nn.Module):  # type: ignore[name-defined, misc]
    def __init__(self, option: str) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        inside = 16
        for stage, planes in enumerate((16, 32, 64)):
            blocks = []
            for i in range(3):
                blocks.append(Block(inside, planes, 2 if stage and not i else 1, option))
                inside = planes
            setattr(self, f"layer{stage + 1}", torch.nn.Sequential(*blocks))
        self.linear = torch.nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        y = self.layer3(self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x))))))
        return self.linear(y.mean((2, 3)))


def cifar_file(path: Path, option: str, zipped: bool = False) -> Any:
    net = trained(torch.nn.DataParallel(CifarNet(option)), 8, 3, 32, 32)
    content = {"state_dict": net.state_dict(), "best_prec1": 91.73}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return net


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("option", ["A", "B"])
def test_resnets_for_cifar(tmp_path: Path, option: str, zipped: bool) -> None:
    net = cifar_file(tmp_path / "resnet20-12fca82f.th", option, zipped)
    assert fovea.load(tmp_path / "resnet20-12fca82f.th")["best_prec1"] == 91.73
    own = models.resnet20(option=option, weights=str(tmp_path / "resnet20-12fca82f.th")).eval()
    x = torch.randn(4, 3, 32, 32)
    close(own(fovea.from_numpy(x.numpy())).detach(), net(x).detach())


def test_shortcuts_of_the_other_kind_are_told(tmp_path: Path) -> None:
    cifar_file(tmp_path / "b.th", "B")
    with pytest.raises(StateDictError, match=r"12 unexpected[^$]*layer2\.0\.shortcut\.0\.weight"):
        models.resnet20(weights=str(tmp_path / "b.th"))
    cifar_file(tmp_path / "a.th", "A")
    with pytest.raises(StateDictError, match=r"missing[^$]*layer2\.0\.shortcut\.0\.weight"):
        models.resnet20(option="B", weights=str(tmp_path / "a.th"))


def test_a_checkpoint_taken_for_a_state_tells_where_its_weights_are(tmp_path: Path) -> None:
    cifar_file(tmp_path / "a.th", "A")
    own = models.resnet20()
    held = fovea.load(tmp_path / "a.th")
    before = own.linear.weight.detach().clone()
    for state, where in (
        (held, r"its names are in state\['state_dict'\] and begin with 'module\.'"),
        (held["state_dict"], r"its names begin with 'module\.'"),
        ({"net": own.state_dict()}, r"its names are in state\['net'\]"),
        ({"other.w": before}, "another network's weights"),
    ):
        with pytest.raises(StateDictError, match=where) as caught:
            own.load_state_dict(state)
        assert "fits" not in str(caught.value)
    assert fovea.equal(own.linear.weight, before)
    own.load_state_dict(find_state_dict(held, own.state_dict()))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zipped", [False, True])
def test_whole_networks(tmp_path: Path, zipped: bool) -> None:
    """Their code never runs: the weights are taken out, or the error says how to."""
    net = trained(torch.nn.DataParallel(CifarNet("B")), 8, 3, 32, 32)
    torch.save(net, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    held = fovea.load(tmp_path / "net.pth")
    assert held.type_name == "torch.nn.parallel.data_parallel.DataParallel"
    with pytest.raises(TypeError, match=r"got Record; its state_dict\(\) is one"):
        models.resnet20().load_state_dict(held)
    own = models.resnet20(option="B", weights=tmp_path / "net.pth").eval()
    x = torch.randn(2, 3, 32, 32)
    close(own(fovea.from_numpy(x.numpy())).detach(), net(x).detach())


# -- a detector of faces, written once for both libraries -------------------------------------


def face_detector(t: Any, getter: Any) -> Any:
    """A network of RetinaFace's form on a narrow MobileNet, of one library's layers."""
    nn, cat, up = t.nn, t.cat, t.nn.functional.interpolate

    def unit(a: int, b: int, k: int, stride: int = 1, leak: float | None = 0.1) -> Any:
        layers = [nn.Conv2d(a, b, k, stride, k // 2, bias=False), nn.BatchNorm2d(b)]
        return nn.Sequential(*layers, *([] if leak is None else [nn.LeakyReLU(leak)]))

    def deep(a: int, b: int, stride: int) -> Any:
        spread = [nn.Conv2d(a, a, 3, stride, 1, groups=a, bias=False), nn.BatchNorm2d(a)]
        mix = [nn.Conv2d(a, b, 1, bias=False), nn.BatchNorm2d(b)]
        return nn.Sequential(*spread, nn.LeakyReLU(0.1), *mix, nn.LeakyReLU(0.1))

    class Backbone(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            plan = ((8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1))
            self.stage1 = nn.Sequential(unit(3, 8, 3, 2), *(deep(*p) for p in plan))
            self.stage2 = nn.Sequential(deep(64, 128, 2), deep(128, 128, 1))
            self.stage3 = nn.Sequential(deep(128, 256, 2), deep(256, 256, 1))
            self.avg = nn.AdaptiveAvgPool2d((1, 1))
            self.fc = nn.Linear(256, 1000)

    class Pyramid(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.output1, self.output2, self.output3 = (unit(n, 64, 1) for n in (64, 128, 256))
            self.merge1, self.merge2 = unit(64, 64, 3), unit(64, 64, 3)

        def forward(self, maps: Any) -> Any:
            a, b, c = maps.values()
            a, b, c = self.output1(a), self.output2(b), self.output3(c)
            b = self.merge2(b + up(c, size=[b.size(2), b.size(3)], mode="nearest"))
            a = self.merge1(a + up(b, size=[a.size(2), a.size(3)], mode="nearest"))
            return [a, b, c]

    class Context(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv3X3 = unit(64, 32, 3, leak=None)
            self.conv5X5_1, self.conv5X5_2 = unit(64, 16, 3), unit(16, 16, 3, leak=None)
            self.conv7X7_2, self.conv7x7_3 = unit(16, 16, 3), unit(16, 16, 3, leak=None)

        def forward(self, x: Any) -> Any:
            five = self.conv5X5_1(x)
            seven = self.conv7x7_3(self.conv7X7_2(five))
            parts = [self.conv3X3(x), self.conv5X5_2(five), seven]
            return nn.functional.relu(cat(parts, dim=1))

    class Head(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self, count: int) -> None:
            super().__init__()
            self.count = count
            self.conv1x1 = nn.Conv2d(64, 2 * count, kernel_size=(1, 1), stride=1, padding=0)

        def forward(self, x: Any) -> Any:
            out = self.conv1x1(x).permute(0, 2, 3, 1).contiguous()
            return out.view(out.shape[0], -1, self.count)

    class RetinaFace(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.body = getter(Backbone(), {"stage1": 1, "stage2": 2, "stage3": 3})
            self.fpn = Pyramid()
            self.ssh1, self.ssh2, self.ssh3 = Context(), Context(), Context()
            for name, count in (("ClassHead", 2), ("BboxHead", 4), ("LandmarkHead", 10)):
                setattr(self, name, nn.ModuleList([Head(count) for _ in range(3)]))

        def forward(self, x: Any) -> Any:
            maps = self.fpn(self.body(x))
            maps = [ssh(m) for ssh, m in zip((self.ssh1, self.ssh2, self.ssh3), maps, strict=True)]
            heads = (self.BboxHead, self.ClassHead, self.LandmarkHead)
            out = [cat([h(m) for h, m in zip(hs, maps, strict=True)], dim=1) for hs in heads]
            return out[0], nn.functional.softmax(out[1], dim=-1), out[2]

    return RetinaFace()


class Stages(torch.nn.ModuleDict):  # type: ignore[name-defined, misc]
    """What torchvision's ``IntermediateLayerGetter`` does for stages that follow each other."""

    def __init__(self, net: Any, wanted: dict[str, int]) -> None:
        super().__init__({name: part for name, part in net.named_children() if name in wanted})

    def forward(self, x: Any) -> Any:
        maps = {}
        for name, part in self.items():
            x = maps[name] = part(x)
        return maps


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("form", ["state", "checkpoint"])
def test_a_detector_of_faces(tmp_path: Path, form: str, zipped: bool) -> None:
    net = trained(face_detector(torch, Stages), 2, 3, 96, 64)
    state = OrderedDict((f"module.{name}", value) for name, value in net.state_dict().items())
    content = state if form == "state" else {"epoch": 249, "state_dict": state}
    torch.save(content, tmp_path / "mobilenet0.25_Final.pth", _use_new_zipfile_serialization=zipped)
    own = face_detector(fovea, IntermediateLayerGetter)
    assert list(own.state_dict()) == list(net.state_dict())
    own.load_state_dict(
        find_state_dict(fovea.load(tmp_path / "mobilenet0.25_Final.pth"), own.state_dict())
    )
    x = torch.randn(1, 3, 96, 64)
    with torch.no_grad(), fovea.no_grad():
        found, wanted = own.eval()(fovea.from_numpy(x.numpy())), net(x)
    for a, b in zip(found, wanted, strict=True):
        close(a, b)


def test_nothing_is_loaded_from_another_network(tmp_path: Path) -> None:
    torch.save({"a.w": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(FoveaError, match="another network's weights"):
        models.resnet20(weights=tmp_path / "other.pth")
