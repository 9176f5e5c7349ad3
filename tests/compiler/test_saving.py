"""Compiled functions and modules in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F
from fovea import nn, optim
from fovea.errors import ArgumentError
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


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="not compiled"):
        fovea.save_program(nn.Linear(2, 2), tmp_path / "x")
    with pytest.raises(ArgumentError, match="nothing was captured"):
        fovea.save_program(fovea.compile(nn.Linear(2, 2)), tmp_path / "x")
