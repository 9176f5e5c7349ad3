"""The race of detectors, and the program that trains one: small runs of both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import fovea
from bench import detectors, learn_detection
from bench.tables import Report
from fovea.vision.models.detection import glance_losses


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """As many threads afterwards as before."""
    torch = pytest.importorskip("torch")
    before = [lib.get_num_threads() for lib in (fovea, torch)]
    yield
    for lib, count in zip((fovea, torch), before, strict=True):
        lib.set_num_threads(count)


def test_steps_are_compared_and_timed(
    torchvision: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(detectors, "REPETITIONS", 1)
    detectors.time_detectors(report := Report(), [("glance_n", 64, 2)])
    (record,) = report.content["detectors"]
    assert record["fovea"] > 0 and len(record["PyTorch"]) == 2
    assert "`glance_n`" in capsys.readouterr().out


def test_losses_that_differ_a_little_do_not_race(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    twin, loss = detectors.in_pytorch(), glance_losses.glance_losses

    def nearly(*arguments: Any) -> Any:
        return {key: value * (1 + 1e-5) for key, value in loss(*arguments).items()}

    monkeypatch.setattr(detectors, "in_pytorch", lambda: twin)
    monkeypatch.setattr(glance_losses, "glance_losses", nearly)
    with pytest.raises(RuntimeError, match="in float64"):
        detectors.time_detectors(Report(), [("glance_n", 64, 2)])


def test_steps_that_learn_something_else_do_not_race(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [lambda: fovea.tensor(1.0), lambda: fovea.tensor(1.1)]
    monkeypatch.setattr(detectors, "_steps", lambda *case: steps)
    with pytest.raises(RuntimeError, match="losses differ"):
        detectors.time_detectors(Report(), [("glance_n", 64, 2)])


@pytest.mark.parametrize("name", ["glance", "fasterrcnn"])
def test_a_detector_is_trained_measured_and_drawn(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "found.png"
    arguments = [
        "shapes",
        "--model",
        name,
        "--images",
        "16",
        "--tests",
        "8",
        "--picture",
        str(picture),
    ]
    monkeypatch.setattr("sys.argv", ["learn_detection", *arguments])
    learn_detection.main()
    assert "average precision 0." in capsys.readouterr().out
    assert Image.open(picture).size == (4 * learn_detection.SIDE, 2 * learn_detection.SIDE)
