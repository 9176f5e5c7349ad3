"""The race of the zoo: small runs of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import fovea
from bench import zoo
from bench.tables import Report
from fovea.vision import models


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """As many threads afterwards as before."""
    torch = pytest.importorskip("torch")
    before = [lib.get_num_threads() for lib in (fovea, torch)]
    yield
    for lib, count in zip((fovea, torch), before, strict=True):
        lib.set_num_threads(count)


def test_a_network_is_compared_and_timed(
    torchvision: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(zoo, "REPETITIONS", 1)
    zoo.time_zoo(report := Report(), ["squeezenet1_1"])
    (record,) = report.content["zoo"]
    assert record["network"] == "squeezenet1_1"
    assert all(value > 0 for key, value in record.items() if key != "network")
    assert "`squeezenet1_1`" in capsys.readouterr().out


def test_networks_that_compute_something_else_do_not_race(
    torchvision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = zoo._make

    def other(module: Any, name: str) -> Any:
        model = make(module, name)
        if module is models:
            model.eval = lambda: model  # dropout goes on
        return model

    monkeypatch.setattr(zoo, "_make", other)
    with pytest.raises(RuntimeError, match="disagree"):
        zoo.time_zoo(Report(), ["squeezenet1_1"])


def test_the_networks_exist() -> None:
    assert set(zoo.NETWORKS) <= set(models.list_models())
