"""``fovea train --weights --freeze``: a network that has learned something learns something else."""

from __future__ import annotations

from pathlib import Path

import fovea as fovea_module
from fovea.vision import models
from tests.cli.conftest import Fovea


def test_a_network_is_fine_tuned(fovea: Fovea, photos: Path, tmp_path: Path) -> None:
    fovea_module.manual_seed(0)
    start = models.mobilenet_v3_small(num_classes=7)
    fovea_module.save(start.state_dict(), tmp_path / "start.pth")
    ran = fovea(
        "train", photos, "--model", "mobilenet_v3_small", "--weights", "start.pth", "--freeze", 1,
        "--epochs", 1, "--image-size", 32, "--batch-size", 16, "--output", "out", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    content = fovea_module.load(tmp_path / "out" / "model.pt")["state_dict"]
    # The only epoch trained the head alone: all else is what the file had.
    assert content["features.0.0.weight"].tolist() == start.features[0][0].weight.tolist()
    assert content["classifier.3.weight"].shape[0] == 3
    assert "no.pth" in fovea("train", photos, "--model", "resnet18", "--weights", "no.pth").err
