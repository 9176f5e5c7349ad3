"""Whole modules in files: made again from their attributes, and nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import io
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError, FileFormatError, FoveaError
from fovea.interop import whole
from fovea.interop.records import Record
from fovea.nn import functional as F
from fovea.vision import models


class Mode(enum.Enum):
    PLAIN = 1
    DEEP = 2


@dataclasses.dataclass
class Settings:
    width: int = 4
    names: tuple[str, ...] = ("a", "b")


def halved(x: Any) -> Any:
    return x / 2


class Net(nn.Module):
    """Everything that attributes of modules are seen to be."""

    def __init__(self) -> None:
        super().__init__()
        self.settings, self.mode, self.history = Settings(5), Mode.DEEP, {"loss": [0.5, 0.25]}
        self.own, self.activation, self.kind = halved, F.gelu, nn.ReLU
        norm = functools.partial(nn.BatchNorm2d, eps=1e-3)
        self.norm_layer = norm
        self.conv, self.bn = nn.Conv2d(3, 4, 3), norm(4)
        self.head, self.tied = nn.Linear(4, 5), nn.Linear(4, 5)
        self.tied.weight = self.head.weight
        self.seen = {1, 2}
        self.around = [self]  # a circle
        self.register_buffer("scale", fovea.tensor([2.0]), persistent=False)

    def forward(self, x: Any) -> Any:
        x = self.own(self.activation(self.bn(self.conv(x)))).mean((2, 3)) * self.scale
        return self.head(x) + self.tied(x)


def test_a_module_as_a_whole(tmp_path: Path) -> None:
    net = Net().eval()
    net.conv.weight.requires_grad_(False)
    fovea.save(net, tmp_path / "net.pth")
    again = fovea.load(tmp_path / "net.pth", map_location="cpu", weights_only=False)
    x = fovea.randn(2, 3, 6, 6)
    assert type(again) is Net and fovea.equal(again(x), net(x)) and repr(again) == repr(net)
    assert again.head.weight is again.tied.weight and isinstance(again.head.weight, nn.Parameter)
    assert [p.requires_grad for p in again.parameters()] == [
        p.requires_grad for p in net.parameters()
    ]
    assert again.settings == Settings(5) and again.mode is Mode.DEEP and again.seen == {1, 2}
    assert again.own is halved and again.activation is F.gelu and again.kind is nn.ReLU
    assert again.norm_layer(2).eps == 1e-3 and again.around[0] is again
    assert not again.training and again.history == {"loss": [0.5, 0.25]}
    again.train()(x).sum().backward()
    assert again.head.weight.grad is not None and net.head.weight.grad is None


def test_among_other_things(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
    optimizer = fovea.optim.Adam(net.parameters())
    fovea.save({"model": net, "optimizer": optimizer.state_dict(), "epoch": 3}, tmp_path / "a.pt")
    content = fovea.load(tmp_path / "a.pt", weights_only=False)
    assert fovea.equal(content["model"](fovea.ones(1, 2)), net(fovea.ones(1, 2)))
    assert content["epoch"] == 3
    plain = fovea.load(tmp_path / "a.pt")
    assert isinstance(plain["model"], Record)
    loaded = {k: tuple(v.shape) for k, v in plain["model"].state_dict().items()}
    assert loaded == {"0.weight": (3, 2), "0.bias": (3,)}


@pytest.mark.parametrize(
    "make",
    [
        models.resnet18,
        lambda: models.detection.ssdlite320_mobilenet_v3_large(weights_backbone=None),
        lambda: nn.Transformer(8, 2, 1, 1, 16),
        lambda: nn.LSTM(3, 4, bidirectional=True),
        lambda: nn.ParameterList([nn.Parameter(fovea.ones(2))]),
        lambda: nn.ModuleDict({"a": nn.Embedding(3, 2), "b": nn.TripletMarginLoss()}),
    ],
)
def test_networks(make: Any) -> None:
    net, file = make(), io.BytesIO()
    fovea.save(net, file)
    file.seek(0)
    again = fovea.load(file, weights_only=False)
    assert type(again) is type(net) and repr(again) == repr(net)
    assert list(again.state_dict()) == list(net.state_dict())


PROGRAM = """
import fovea as torch
import fovea.nn as nn

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 1)
    def forward(self, x):
        return self.fc(x) + 1

{then}
"""


def test_classes_of_the_main_program(tmp_path: Path) -> None:
    path = tmp_path / "small.pt"

    def run(then: str) -> str:
        code = PROGRAM.format(then=then)
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        return out.stdout.strip()

    saved = run(f"m = Small(); torch.save(m, {str(path)!r}); print(m(torch.ones(1, 2)).item())")
    then = f"m = torch.load({str(path)!r}, weights_only=False); print(m(torch.ones(1, 2)).item())"
    assert run(then) == saved
    assert isinstance(fovea.load(path, weights_only=False), Record)  # the class is not here


def test_what_cannot_be_saved_is_named(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(1, 1))
    net[0].register_forward_hook(lambda *_: None)
    with pytest.raises(ArgumentError, match=r"_forward_hooks.*builtins.function"):
        fovea.save(net, tmp_path / "a.pt")
    assert not (tmp_path / "a.pt").exists()


# -- files that mean harm -------------------------------------------------------------------------


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def archive(obj: Any) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as made:
        made.writestr("archive/data.pkl", pickle.dumps(obj, 2, fix_imports=False))
        made.writestr("archive/version", "3\n")
    file.seek(0)
    return file


@pytest.mark.parametrize(
    "obj",
    [
        Calls(eval, "1 + 1"),
        Calls(subprocess.Popen, ["true"]),
        Calls(nn.functional.relu, 4),  # a function that files may name, not call
        Calls(halved, 4),
        Calls(Net),
        [subprocess.run],
        zipfile.ZipInfo("x"),
    ],
)
def test_nothing_is_called(obj: Any) -> None:
    with pytest.raises(FileFormatError):
        fovea.load(archive(obj), weights_only=False)


@pytest.mark.parametrize("function", [fovea.save, fovea.hub.download_url_to_file, halved, open])
def test_arguments_are_fixed_of_parts_of_networks_alone(function: Any) -> None:
    """What a module holds may be called later."""
    plain = archive([functools.partial(function, "/tmp/never")])
    with contextlib.suppress(FileFormatError):
        assert not callable(fovea.load(plain, weights_only=False)[0])
    hidden = Calls(whole._partial, function, ("/tmp/never",), {})
    with pytest.raises(FileFormatError):
        fovea.load(archive(hidden), weights_only=False)


def test_functions_that_write_files_are_no_functions() -> None:
    net = Net()
    net.hook = fovea.save
    found = fovea.load(archive([fovea.save]), weights_only=False)
    assert not callable(found[0])
    with pytest.raises(FoveaError):
        fovea.save(net, io.BytesIO())


def test_objects_that_do_something_when_they_go() -> None:
    with pytest.raises(FileFormatError, match="when it goes"):
        fovea.load(archive(Going()), weights_only=False)


class Going:
    def __del__(self) -> None:
        pass
