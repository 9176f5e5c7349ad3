"""The race of the zoo: small runs of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fovea
from bench import zoo
from bench.peers import PEERS
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
    monkeypatch.setattr(zoo, "STEPS", 1)
    monkeypatch.setattr(zoo, "CALLS", 1)
    zoo.time_zoo(report := Report(), ["squeezenet1_1"])
    (record,) = report.content["zoo"]
    assert record["network"] == "squeezenet1_1"
    for what in ("step", "inference"):
        assert set(record[what]) == {"fovea", "PyTorch"}
        assert all(seconds > 0 for seconds in record[what].values())
    assert "`squeezenet1_1`" in capsys.readouterr().out


@pytest.mark.parametrize("module", ["onnxruntime", "openvino"])
def test_an_engine_takes_part_in_inference(
    torchvision: Any, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (module, "onnx", "onnxscript"):
        pytest.importorskip(name)
    monkeypatch.setattr(zoo, "STEPS", 1)
    monkeypatch.setattr(zoo, "CALLS", 1)
    (peer,) = (p for p in PEERS if p.module == module)
    zoo.time_zoo(report := Report(), ["squeezenet1_1"], [peer])
    (record,) = report.content["zoo"]
    assert record["inference"][peer.name] > 0 and peer.name not in record["step"]


def test_the_best_of_the_others_is_named() -> None:
    assert zoo._ratio({"fovea": 0.5, "PyTorch": 1.0}) == "2.00"
    assert zoo._ratio({"fovea": 0.5, "PyTorch": 1.0, "OpenVINO": 0.75}) == "1.50 (OpenVINO)"
    assert zoo._ratio({"fovea": 0.5, "PyTorch": 1.0, "OpenVINO": 0.4}) == "**0.80** (OpenVINO)"


def test_an_engine_that_computes_something_else_does_not_race() -> None:
    with pytest.raises(RuntimeError, match="OpenVINO and PyTorch disagree"):
        zoo._compare("OpenVINO", np.ones(3), np.array([1.0, 1.0, 1.1]))
    zoo._compare("OpenVINO", np.ones(3), np.ones(3))


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
