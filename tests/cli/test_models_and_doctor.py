"""``fovea models`` and ``fovea doctor``."""

from __future__ import annotations

from fovea.cli import doctor
from tests.cli.conftest import Fovea


def test_models(fovea: Fovea) -> None:
    ran = fovea("models", "resnet18", "glance_*", "fcn_resnet50", "--json")
    assert ran.code == 0
    first = ran.json["models"][0]
    assert first["name"] == "resnet18" and first["parameters"] == 11689512
    assert first["metrics"] == {"acc@1": 69.758, "acc@5": 89.078}
    assert "fcn_resnet50" in fovea("models", "--task", "segmentation").out
    assert fovea("models", "nothing*").code == 1


def test_doctor(fovea: Fovea) -> None:
    ran = fovea("doctor", "--json")
    assert ran.code == 0, ran.out
    found = {check["name"]: check["ok"] for check in ran.json["checks"]}
    assert found["kernels"] and found["training step"] and found["kernel cache"]
    broken = doctor._made(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert broken.ok is False and "ZeroDivisionError" in broken.text
