"""Compiled functions and modules in files."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from fovea import nn, optim
from fovea.errors import ArgumentError, FileFormatError, ShapeError
from fovea.vision import models


def test_a_model(tmp_path: Path) -> None:
    model = fovea.compile(models.resnet18(num_classes=4).eval())
    x = fovea.randn(2, 3, 32, 32)
    with fovea.no_grad():
        y = model(x)
    fovea.save_program(model, tmp_path / "model.fovea")
    program = fovea.load_program(tmp_path / "model.fovea")
    assert np.allclose(program(x).numpy(), y.numpy(), rtol=1e-5, atol=1e-5)
    assert "layer1.0.conv1.weight" in program.states


def test_a_model_that_learns(tmp_path: Path) -> None:
    """A forward with live results is saved without its backward."""
    model = fovea.compile(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    x = fovea.randn(5, 3)
    y = model(x)
    fovea.save_program(model, tmp_path / "model.fovea")
    found = fovea.load_program(tmp_path / "model.fovea")(x)
    assert np.allclose(found.numpy(), y.detach().numpy(), rtol=1e-6, atol=1e-6)


def test_a_training_step_goes_on(tmp_path: Path) -> None:
    net = nn.Linear(3, 2)
    optimizer = optim.Adam(net.parameters(), lr=0.1)

    @fovea.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    data = [(fovea.randn(4, 3), fovea.randint(0, 2, (4,))) for _ in range(6)]
    for x, y in data[:3]:
        step(x, y)
    fovea.save_program(step, tmp_path / "step.fovea")
    program = fovea.load_program(tmp_path / "step.fovea")
    for x, y in data[3:]:
        assert np.isclose(program(x, y).item(), step(x, y).item(), rtol=1e-5)


def small_net() -> nn.Sequential:
    layers = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)
    return nn.Sequential(*layers)


def test_any_batch_size(tmp_path: Path) -> None:
    """Two captures tell the rest, in a file as in memory."""
    net = small_net().eval()
    compiled, path = fovea.compile(net), tmp_path / "model.fovea"
    with fovea.no_grad():
        for n in (4, 6, 9):
            compiled(fovea.randn(n, 1, 4, 4))
        fovea.save_program(compiled, path)
        program = fovea.load_program(path)
        for n in (4, 9, 2, 17, 6):
            x = fovea.randn(n, 1, 4, 4)
            np.testing.assert_allclose(program(x).numpy(), net(x).numpy(), rtol=1e-5, atol=1e-6)
    for shape in ((1, 1, 4, 4), (4, 1, 5, 4), (4, 1, 4)):
        with pytest.raises(ShapeError, match="input 0 of the program does not fit"):
            program(fovea.zeros(*shape))
    with pytest.raises(ShapeError):
        program(fovea.zeros(5, 1, 4, 4, dtype=fovea.float64))


def test_the_program_that_ran_last_is_saved(tmp_path: Path) -> None:
    compiled = fovea.compile(lambda x: x * 2, dynamic=False)
    for n in (3, 5, 3):
        compiled(fovea.ones(n))
    fovea.save_program(compiled, tmp_path / "f.fovea")
    program = fovea.load_program(tmp_path / "f.fovea")
    assert program(fovea.ones(3)).tolist() == [2.0] * 3
    with pytest.raises(ShapeError):
        program(fovea.ones(5))


def test_training_goes_on_at_other_batch_sizes(tmp_path: Path) -> None:
    net = small_net()
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    @fovea.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    def batch(n: int) -> tuple[Any, Any]:
        return fovea.randn(n, 1, 4, 4), fovea.randint(0, 2, (n,))

    for n in (4, 4, 4, 6, 6, 5):
        step(*batch(n))
    fovea.save_program(step, tmp_path / "step.fovea")
    program = fovea.load_program(tmp_path / "step.fovea")
    for n in (5, 8, 3, 4, 8):  # all sizes change the same parameters
        x, y = batch(n)
        assert np.isclose(program(x, y).item(), step(x, y).item(), rtol=1e-4)


@pytest.mark.parametrize("harm", ["no list", "other graph", "short state"])
def test_damaged_sizes_are_refused(harm: str, tmp_path: Path) -> None:
    path = tmp_path / "model.fovea"
    layer = fovea.compile(nn.Linear(3, 2).eval())
    with fovea.no_grad():
        for n in (4, 6):
            layer(fovea.ones(n, 3))
    fovea.save_program(layer, path)
    with zipfile.ZipFile(path) as z:
        entries = {name: z.read(name) for name in z.namelist()}
    content = json.loads(entries["program/graph.json"])
    (other,) = content["others"]
    if harm == "no list":
        content["others"] = {}
    elif harm == "other graph":
        other["outputs"] = other["inputs"]
    else:
        number = other["states"][0][0]
        other["values"][number][1] = [1, 1]
    entries["program/graph.json"] = json.dumps(content).encode()
    with zipfile.ZipFile(path, "w") as z:
        for name, data in entries.items():
            z.writestr(name, data)
    with pytest.raises(FileFormatError, match="cannot be read as a program"):
        fovea.load_program(path)


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="not compiled"):
        fovea.save_program(nn.Linear(2, 2), tmp_path / "x")
    with pytest.raises(ArgumentError, match="nothing was captured"):
        fovea.save_program(fovea.compile(nn.Linear(2, 2)), tmp_path / "x")
