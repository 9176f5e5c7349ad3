"""Logs of runs, and why two runs differ."""

from __future__ import annotations

import json
import math
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import fovea
from fovea import nn, optim
from fovea.errors import ArgumentError, FileFormatError, MissingExtraError
from fovea.training import JSONLogger, MLflowLogger, WandbLogger, compare_runs
from fovea.training.history import History
from fovea.training.trainer import Trainer
from tests.training.test_resuming import Stop, StopAt, loader, trainer_of
from tests.training.test_trainer import batches, make


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines(tmp_path: Path) -> None:
    log = JSONLogger(
        tmp_path / "deep" / "log.jsonl", every=2, config={"size": 3, "path": Path("x")}
    )
    trainer = make(metrics=["accuracy"])
    history = trainer.fit(
        batches(), validation=batches(), epochs=2, callbacks=log, verbose=0
    ).history
    found = lines(log.filename)
    assert [e["event"] for e in found] == [
        "begin",
        *["step"] * 2,
        "epoch",
        *["step"] * 2,
        "epoch",
        "end",
    ]
    assert found[0]["config"] == {"size": 3, "path": "x"} and found[0]["versions"]["fovea"]
    assert found[0]["optimizer"]["groups"][0]["lr"] == 0.2
    assert [e["step"] for e in found[1:3]] == [1, 3] and found[1]["batch"] != found[2]["batch"]
    epochs = [e["logs"] for e in found if e["event"] == "epoch"]
    assert [e["val_loss"] for e in epochs] == history["val_loss"]
    trainer.fit(batches(), epochs=3, callbacks=JSONLogger(log.filename, None, True), verbose=0)
    assert [e["event"] for e in lines(log.filename)[8:]] == ["begin", "epoch", "end"]
    with pytest.raises(ArgumentError, match="every"):
        JSONLogger("x", every=0)


def test_numbers_that_are_none(tmp_path: Path) -> None:
    log = JSONLogger(tmp_path / "log.jsonl")
    log.set_model(make())
    log.on_train_begin()
    log.on_epoch_end(0, {"loss": math.nan, "other": math.inf})
    log.on_train_end()
    assert lines(log.filename)[1]["logs"] == {"loss": "nan", "other": "inf"}


def run(
    path: Path, seed: int = 1, lr: float = 0.1, late: int = 0, p: float = 0.3, noise: float = 0
) -> Path:
    """A run whose settings can be changed; ``late`` changes a batch, p only what is dropped."""
    fovea.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(p), nn.Linear(8, 2))
    data = batches()
    if late:
        data[late] = (data[late][0] + 1, data[late][1])
    loss = nn.CrossEntropyLoss()
    trainer = Trainer(
        net, lambda out, y: loss(out, y) + noise * out.sum(), optim.SGD(net.parameters(), lr=lr)
    )
    trainer.fit(data, epochs=2, callbacks=JSONLogger(path), verbose=0)
    trainer.save(path.with_suffix(".pt"))
    return path


@pytest.mark.parametrize(
    ("change", "answer", "data", "losses"),
    [
        ({}, "are the same", None, None),
        ({"seed": 2}, "random numbers began differently", None, (0, 0)),
        ({"lr": 0.2}, "other settings", None, (0, 1)),
        ({"late": 3}, "batches differ", (0, 3), (0, 3)),
        ({"p": 0.5}, "models were different", None, (0, 0)),
        ({"noise": 0.1}, "not deterministic", None, (0, 0)),
    ],
)
def test_why(tmp_path: Path, change: Any, answer: str, data: Any, losses: Any) -> None:
    found = compare_runs(run(tmp_path / "a"), run(tmp_path / "b", **change))
    assert answer in found.answer, str(found)
    assert (found.data, found.losses) == (data, losses) and found.same == (not change)
    assert ("seed" in found.settings) == ("seed" in change)
    states = compare_runs(tmp_path / "a.pt", tmp_path / "b.pt")
    assert states.same == (not change), str(states)
    assert (states.losses is None) == (not change)
    if change:
        assert "model.0.weight" in states.weights and "model.0.weight" in str(states)
    if "lr" in change:
        assert "other options" in str(states)


def test_a_run_that_went_on_is_the_same_run(tmp_path: Path) -> None:
    def go(name: str, *more: Any) -> Path:
        log = JSONLogger(tmp_path / name, append=True)
        trainer_of().fit(
            loader(), epochs=3, callbacks=[log, *more], checkpoint=tmp_path / f"{name}.pt",
            checkpoint_every=1, verbose=0,
        )  # fmt: skip
        return log.filename

    whole = go("whole")
    with pytest.raises(Stop):
        go("parts", StopAt(8))
    assert compare_runs(whole, tmp_path / "parts").same
    assert compare_runs(whole, go("parts")).same


def test_files_that_are_no_logs(tmp_path: Path) -> None:
    log, state = run(tmp_path / "a"), tmp_path / "a.pt"
    with pytest.raises(ArgumentError, match="one file is a log"):
        compare_runs(log, state)
    other = tmp_path / "other"
    other.write_text('{"a": 1}\n{"b"')
    with pytest.raises(FileFormatError, match="line 1"):
        compare_runs(log, other)
    cut = tmp_path / "cut"
    cut.write_text(log.read_text()[:-30])
    assert compare_runs(log, cut).same


def test_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingExtraError, match="pip install mlflow"):
        monkeypatch.setitem(sys.modules, "mlflow", None)
        MLflowLogger()
    seen: list[Any] = []
    fake = types.ModuleType("mlflow")
    fake.__dict__.update(
        set_experiment=lambda name: seen.append(("experiment", name)),
        active_run=lambda: None,
        start_run=lambda run_name: seen.append(("start", run_name)),
        log_params=lambda found: seen.append(("params", found)),
        log_metrics=lambda found, step: seen.append((step, sorted(found))),
        end_run=lambda: seen.append("end"),
    )
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    log = MLflowLogger("e", "r", {"lr": 0.1}, every=3)
    make().fit(batches(), epochs=2, callbacks=log, verbose=0)
    assert seen == [
        ("experiment", "e"), ("start", "r"), ("params", {"lr": 0.1}), (3, ["batch/loss"]),
        (5, ["epoch", "loss"]), (6, ["batch/loss"]), (9, ["batch/loss"]),
        (10, ["epoch", "loss"]), "end",
    ]  # fmt: skip
    seen.clear()
    fake.__dict__["active_run"] = lambda: object()
    make().fit(batches(), callbacks=MLflowLogger(), verbose=0)
    assert seen == [(5, ["epoch", "loss"])]  # somebody else's run goes on


def test_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingExtraError, match="pip install wandb"):
        monkeypatch.setitem(sys.modules, "wandb", None)
        WandbLogger()
    seen: list[Any] = []
    fake = types.ModuleType("wandb")
    fake.__dict__.update(
        run=None,
        init=lambda **options: seen.append(options),
        log=lambda found, step: seen.append((step, sorted(found))),
        finish=lambda: seen.append("finish"),
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    log = WandbLogger("p", config={"a": 1}, mode="offline")
    make().fit(batches(), callbacks=log, verbose=0)
    assert seen == [
        {"config": {"a": 1}, "project": "p", "name": None, "mode": "offline"},
        (5, ["epoch", "loss"]), "finish",
    ]  # fmt: skip
    seen.clear()
    fake.__dict__["run"] = types.SimpleNamespace(
        config=types.SimpleNamespace(update=lambda found: seen.append(found))
    )
    make().fit(batches(), callbacks=log, verbose=0)
    assert seen == [{"a": 1}, (5, ["epoch", "loss"])]


def test_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    history = History()
    history.history = {"loss": [3.0, 2.0, 1.0], "val_loss": [2.5, 1.5]}
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match="pip install pandas"):
        history.to_frame()
    fake = types.ModuleType("pandas")
    fake.__dict__.update(
        DataFrame=lambda columns, index: (columns, index), RangeIndex=lambda n, name: (n, name)
    )
    monkeypatch.setitem(sys.modules, "pandas", fake)
    columns, index = history.to_frame()
    assert index == (3, "epoch") and columns["loss"] == [3.0, 2.0, 1.0]
    assert math.isnan(columns["val_loss"][0]) and columns["val_loss"][1:] == [2.5, 1.5]
