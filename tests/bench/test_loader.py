"""The race of loaders: a small run of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import fovea
from bench import loader
from bench.peers import Peer
from bench.photographs import write_folder
from bench.race import Result, Timing
from bench.tables import Report

SMALL = loader.Folder(images=8, size=(40, 50), crop=32, batch=2)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """As many threads afterwards as before."""
    before = fovea.get_num_threads()
    yield
    fovea.set_num_threads(before)


def test_loaders_are_compared_and_timed(
    torchvision: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    peers = [p for p in loader.LOADERS if p.module in ("fovea", "torch")]
    absent = Peer("Absent", "no_such_package", "loaders")
    loader.time_loaders(report := Report(), Timing(1, 0.0), 1, SMALL, [*peers, absent], steps=2)
    found = {(r["kind"], r["loader"]): r for r in report.content["loader"]}
    assert len(found) == 4 and all(r["rate"] > 0 for r in found.values())
    assert found["crop", "fovea"]["difference"] <= loader.EQUAL
    (waiting,) = report.content["waiting"]
    assert 0 <= waiting["share"] <= 1
    assert "Absent: no_such_package is not installed." in capsys.readouterr().out


def test_a_folder_of_one_s_own_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path, 3, (20, 30))
    pictures = sorted(tmp_path.glob("*/*.jpg"))
    assert len(pictures) == 3
    assert all(sorted(Image.open(p).size) == [20, 30] for p in pictures)
    small = loader.Folder(crop=16, batch=2, place=str(tmp_path))
    ours = [p for p in loader.LOADERS if p.name == "fovea"]
    loader.time_loaders(report := Report(), Timing(1, 0.0), 1, small, ours, steps=0)
    assert [r["loader"] for r in report.content["loader"]] == ["fovea", "fovea"]
    assert "From 3 JPEGs" in capsys.readouterr().out


def test_images_that_differ_end_the_race() -> None:
    with pytest.raises(RuntimeError, match="differ from torchvision"):
        loader._show(Report({"loader": []}), "crop", [Result("fovea", 1.0, difference=0.1)], 8)
