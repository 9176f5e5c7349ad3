"""``fovea train --config``: options from a file, and the file that a run leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fovea.cli import main

QUICK = ["--epochs", "1", "--quiet", "--json"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    code = main(["train", *words, "--json", "--quiet"])
    out, err = capsys.readouterr()
    return json.loads(out) if code == 0 else (code, err)


def test_a_run_is_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = run(capsys, "--epochs", "1", "--lr", "0.004", "--seed", "3", "--output", "a")
    written = (tmp_path / "a" / "config.yaml").read_text()
    assert "\nepochs: 1\n" in written and "\nlr: 0.004\n" in written and "\nseed: 3\n" in written
    again = run(capsys, "--config", "a/config.yaml", "--output", "b")
    assert again["history"] == first["history"] and again["test"] == first["test"]
    other = run(capsys, "--config", "a/config.yaml", "--output", "c", "--seed", "4")
    assert other["history"] != first["history"]  # what is given on the line goes first
    assert "\nseed: 4\n" in (tmp_path / "c" / "config.yaml").read_text()


def test_groups_and_underscores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "run.yaml"
    file.write_text(
        "data:\n  dataset: digits\ntraining:\n  epochs: 2  # few\n  batch_size: 32\n"
        "  optimizer: sgd\noutput:\n  output: there\n"
    )
    found = run(capsys, "--config", str(file), "--epochs", "1")
    assert len(found["history"]["loss"]) == 1
    assert found["checkpoint"] == str(Path("there", "model.pt"))
    written = (tmp_path / "there" / "config.yaml").read_text()
    assert "batch-size: 32\n" in written and 'optimizer: "sgd"\n' in written


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs: 3\nbatchsize: 4\n", "line 2: there is no option 'batchsize'"),
        ("epochs: many\n", "line 1: epochs"),
        ("lr: -1\n", "line 1: lr"),
        ("optimizer: adamm\n", "one of sgd, adam, adamw, rmsprop, muon is wanted"),
        ("download: 1\n", "true or false is wanted"),
        ("epochs: true\n", "a value is wanted"),
        ("epochs: 1\nepochs: 2\n", "line 2: epochs stands there twice"),
        ("- epochs\n", "options are lines such as"),
        ("epochs: [1, 2]\n", "options are lines such as"),
        ("epochs:\n  a: 1\n", "epochs is one value"),
        ("training:\n  deep:\n    epochs: 1\n", "options are lines such as"),
        ("epochs: {1\n", "no YAML"),
        ("epochs: !!python/object/apply:os.system ['false']\n", "options are lines"),
        ("lr: !!python/name:os.system\n", "no YAML"),
        ("\x00", "no YAML"),
    ],
)
def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    code, err = run(capsys, "--config", str(file), "--output", str(tmp_path / "out"))
    assert code == 1 and said in err and "run.yaml" in err
    assert not (tmp_path / "out").exists()


def test_the_nearest_option_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("epoch: 3\n")
    assert "perhaps epochs" in run(capsys, "--config", str(file))[1]
    assert "cannot be read" in run(capsys, "--config", str(tmp_path / "none.yaml"))[1]
    file.write_bytes(b"#" * (1 << 20) + b"\nepochs: 1\n")
    assert "no file of options" in run(capsys, "--config", str(file))[1]
