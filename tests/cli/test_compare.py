"""``fovea compare``: two runs, and why they differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fovea.cli import main
from fovea.cli.compare import compared

OPTIONS = {"dataset": "digits", "lr": "0.01", "seed": "0", "epochs": "3"}


def written(folder: Path, options: dict[str, str] | None = None, **changed: Any) -> Path:
    folder.mkdir()
    content = {
        "model": "simple_cnn", "parameters": 10, "seconds": 2.5,
        "history": {"loss": [1.0, 0.5, float("nan")]}, "test": {"accuracy": 0.5, "per_class": {}},
        "versions": {"fovea": "1"}, "machine": {"processor": "p"}, **changed,
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(content))
    lines = {**OPTIONS, **(options or {})}
    (folder / "config.yaml").write_text("# a\n" + "".join(f"{k}: {v}\n" for k, v in lines.items()))
    return folder


OTHER = {"loss": [1.0, 0.4, 0.1]}


@pytest.mark.parametrize(
    ("options", "changed", "answer"),
    [
        ({}, {}, "The runs are the same."),
        ({"lr": "0.02"}, {}, "The runs came to the same."),
        ({"lr": "0.02"}, {"history": OTHER}, "epoch 2: they began with other options"),
        ({"seed": "3"}, {"history": OTHER}, "epoch 2: they have other random numbers"),
        ({"epochs": "9"}, {"history": OTHER}, "follows the number of epochs"),
        ({"epochs": "9"}, {"history": {"loss": [1.0]}}, "one has gone further"),
        ({"root": "there"}, {"history": OTHER}, "files in another place"),
        ({}, {"history": OTHER, "versions": {"fovea": "2"}}, "another machine or with other"),
        ({}, {"history": OTHER}, "not deterministic"),
    ],
)
def test_answers(
    tmp_path: Path, options: dict[str, str], changed: dict[str, Any], answer: str
) -> None:
    found = compared(written(tmp_path / "a"), written(tmp_path / "b", options, **changed))
    assert answer in found.answer
    assert found.parted == (2 if changed.get("history") is OTHER else None)
    assert found.options == {k: (OPTIONS.get(k), v) for k, v in options.items()}
    assert found.numbers["test accuracy"] == (0.5, 0.5)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = written(tmp_path / "a")
    b = written(tmp_path / "b", {"lr": "0.02"}, history=OTHER, test={"accuracy": 0.75})
    assert main(["compare", str(a), str(b)]) == 0
    said = capsys.readouterr().out
    assert "0.5000" in said and "0.7500" in said and "  lr: 0.01 | 0.02" in said
    assert main(["compare", str(a), str(b), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["parted_at_epoch"] == 2 and document["options"] == {"lr": ["0.01", "0.02"]}
    assert main(["compare", str(a), str(tmp_path / "none")]) == 1
    assert "no finished run" in capsys.readouterr().err
