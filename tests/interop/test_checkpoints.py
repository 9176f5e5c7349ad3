"""Files as people leave them: wrapped states, whole modules, TorchScript."""

from __future__ import annotations

import argparse
import collections
import functools
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import FileFormatError
from fovea.interop.checkpoints import find_state_dict
from fovea.interop.records import Record
from fovea.nn.state import StateDictError
from fovea.vision import models

torch = pytest.importorskip("torch")

W = fovea.ones(2)


@pytest.mark.parametrize(
    "content",
    [
        {"w": W},
        {"state_dict": {"module.w": W}, "best_prec1": 91.7, "epoch": 3},
        {"model": {"w": W}, "ema": {"w": fovea.zeros(2)}, "optimizer": {"state": {}}},
        {"model_state_dict": {"w": W}},
        {"net": {"module.w": W}, "acc": 95.0},
        {"params": {"w": W}},
        {"state_dict": {"model.w": W}, "pytorch-lightning_version": "2.0"},
        {"model": {"_orig_mod.module.w": W}},
        {"state": {"model": {"w": W}}},
    ],
)
def test_the_state_is_found(content: Any) -> None:
    state = find_state_dict(content, ["w"])
    assert list(state) == ["w"]
    assert state["w"].tolist() == [1, 1]


def test_beginnings_that_the_model_has_stay() -> None:
    assert list(find_state_dict({"model.w": W}, ["model.w"])) == ["model.w"]
    assert list(find_state_dict({"a._orig_mod.w": W, "module.b": W})) == ["a.w", "module.b"]


@pytest.mark.parametrize("content", [{"epoch": 3}, [W], "text", {"model": {"model": 1}}])
def test_nothing_to_find_is_an_error(content: Any) -> None:
    with pytest.raises(FileFormatError, match="tensors by name"):
        find_state_dict(content)


class Net(torch.nn.Module):  # type: ignore[name-defined, misc]
    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        self.attention = torch.nn.TransformerEncoderLayer(8, 2, 16)
        self.norm_layer = functools.partial(torch.nn.LayerNorm, eps=1e-6)
        self.register_buffer("scratch", torch.zeros(2), persistent=False)

    def forward(self, x: Any) -> Any:
        return self.body(x)


class Plain(torch.nn.Module):  # type: ignore[name-defined, misc]
    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))

    def forward(self, x: Any) -> Any:
        return self.body(x)


def same(found: Any, expected: Any) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name].numpy(), value.numpy())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zipped", [True, False])
def test_whole_modules_are_records_of_their_weights(zipped: bool) -> None:
    net = Net()
    for content in (net, {"ema": net, "epoch": 3}):
        file = io.BytesIO()
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
        file.seek(0)
        loaded = fovea.load(file)
        same(find_state_dict(loaded), net.state_dict())
        record = loaded if isinstance(loaded, Record) else loaded["ema"]
        assert record.type_name.endswith("test_checkpoints.Net")
        assert record.training is True
        with pytest.raises(AttributeError, match="record of"):
            _ = record.nothing_of_this_name


@pytest.mark.filterwarnings("ignore")
def test_torchscript_gives_its_weights() -> None:
    net = Plain().eval()
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 5, 5)), file)
    file.seek(0)
    same(fovea.load(file).state_dict(), net.state_dict())


def test_what_else_stands_in_checkpoints() -> None:
    content = {
        "args": argparse.Namespace(lr=0.1),
        "accuracy": np.float32(0.5),
        "history": np.arange(3.0),
        "counts": collections.defaultdict(list),
        "half": torch.ones(2).half(),
        "brain": torch.ones(2).bfloat16(),
    }
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    loaded = fovea.load(file)
    assert loaded["args"].lr == 0.1
    assert loaded["accuracy"] == 0.5
    assert loaded["half"].dtype is fovea.float16
    assert loaded["brain"].dtype is fovea.bfloat16


def test_sparse_tensors_are_named() -> None:
    file = io.BytesIO()
    torch.save(torch.eye(3).to_sparse(), file)
    file.seek(0)
    with pytest.raises(FileFormatError, match="sparse"):
        fovea.load(file)


def test_modules_that_contain_themselves_are_refused() -> None:
    record = Record("Net")
    record.attributes = {"_modules": {"a": record}, "_parameters": {}, "_buffers": {}}
    with pytest.raises(FileFormatError, match="contain themselves"):
        record.state_dict()


def test_a_cifar_resnet_from_a_training_run(tmp_path: Path) -> None:
    """Names as a well-known training program for CIFAR leaves them in its ``.th`` files."""
    own = models.get_model("resnet20", num_classes=10).state_dict()
    path = tmp_path / "resnet20.th"
    renamed = {f"module.{name}": value for name, value in own.items()}
    fovea.save({"state_dict": renamed, "best_prec1": 91.73}, path)
    model = models.get_model("resnet20", num_classes=10, weights=str(path))
    same(model.state_dict(), own)


def test_a_similar_name_is_told() -> None:
    state = {"wieght": fovea.ones(1, 2), "bias": fovea.ones(1)}
    with pytest.raises(StateDictError, match="weight is missing, wieght is there"):
        fovea.nn.Linear(2, 1).load_state_dict(state)
