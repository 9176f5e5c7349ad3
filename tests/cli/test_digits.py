"""The command line on the digits that come with fovea, from end to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fovea.interop import load
from tests.cli.conftest import Fovea, command, environment, run_in, wait_for


def test_training_writes_what_it_says(trained: Path, checkpoint: Path) -> None:
    result = json.loads((trained / "result.json").read_text())
    assert result["command"] == "train"
    assert result["model"] == "simple_cnn"
    assert result["classes"] == [str(d) for d in range(10)]
    assert Path(result["checkpoint"]) == checkpoint.relative_to(trained)
    told = {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
    assert set(result["history"]) == told
    assert [len(values) for values in result["history"].values()] == [2] * 5
    assert result["history"]["loss"][1] < result["history"]["loss"][0]
    test = result["test"]
    assert test["images"] == 355
    assert test["accuracy"] == test["right"] / 355 > 0.8
    matrix = np.array(test["confusion_matrix"])
    assert matrix.sum() == 355 and matrix.trace() == test["right"]
    messages = (trained / "messages.txt").read_text()
    assert "Test accuracy" in messages and "2/2" in messages


def test_pictures_are_drawn(trained: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    result = json.loads((trained / "result.json").read_text())
    for name in ("training_curves", "confusion_matrix"):
        with image_module.open(trained / result[name]) as image:
            pixels = np.asarray(image.convert("RGB"))
        assert pixels.shape[0] > 300 and pixels.shape[1] > 300
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10


def test_the_checkpoint_holds_data_only(checkpoint: Path) -> None:
    torch = pytest.importorskip("torch")
    content = torch.load(checkpoint, weights_only=True)
    assert content["format"] == "fovea-classifier"
    assert content["model"] == "simple_cnn"
    assert content["preprocess"]["height"] == 8
    assert content["state_dict"]["classifier.weight"].shape == (10, 128)


def test_the_same_seed_gives_the_same_network(trained: Path, fovea: Fovea, tmp_path: Path) -> None:
    import fovea as package

    ran = fovea("train", "--epochs", 2, "--json", "--workers", 2, "--output", "again")
    assert ran.json["history"] == json.loads((trained / "result.json").read_text())["history"]
    one = package.load(trained / "runs" / "digits" / "model.pt")["state_dict"]
    two = package.load(tmp_path / "again" / "model.pt")["state_dict"]
    assert all(np.array_equal(one[name].numpy(), two[name].numpy()) for name in one)


def test_evaluating_gives_the_accuracy_of_training(trained: Path, checkpoint: Path) -> None:
    trained_result = json.loads((trained / "result.json").read_text())
    ran = run_in(trained, "evaluate", checkpoint, "--json", "--output", "measured")
    assert ran.code == 0, ran.err
    assert ran.json["accuracy"] == trained_result["test"]["accuracy"]
    assert ran.json["confusion_matrix"] == trained_result["test"]["confusion_matrix"]
    assert ran.json["per_class"]["3"]["images"] == 36
    assert (trained / "measured" / "confusion.png").stat().st_size > 5000
    shown = run_in(trained, "evaluate", checkpoint)
    assert "precision" in shown.out and "accuracy" in shown.out
    assert shown.err == ""


def digit_files(folder: Path, count: int) -> tuple[list[str], list[int]]:
    """The first test digits as PNG files, enlarged; and what they are."""
    image_module = pytest.importorskip("PIL.Image")
    from fovea.vision.datasets import Digits

    digits = Digits(train=False)
    names = []
    for i in range(count):
        pixels = (digits.data[i].numpy().astype(np.float32) * (255 / 16)).astype(np.uint8)
        image_module.fromarray(pixels).resize((80, 80)).save(folder / f"{i}.png")
        names.append(f"{i}.png")
    return names, digits.targets[:count].tolist()


def test_predicting(checkpoint: Path, fovea: Fovea, tmp_path: Path) -> None:
    names, labels = digit_files(tmp_path, 40)
    ran = fovea("predict", checkpoint, *names, "--json", "--top", 2)
    assert ran.code == 0, ran.err
    found = ran.json["predictions"]
    assert [entry["image"] for entry in found] == names
    right = sum(int(e["top"][0]["class"]) == label for e, label in zip(found, labels, strict=True))
    assert right >= 30
    for entry in found:
        first, second = (guess["probability"] for guess in entry["top"])
        assert 1 >= first >= second >= 0 and first + second <= 1 + 1e-6
    shown = fovea("predict", checkpoint, names[0])
    assert shown.out.startswith("0.png  ") and shown.out.count("%") == 3


def test_predicting_goes_on_after_what_is_no_image(
    checkpoint: Path, fovea: Fovea, tmp_path: Path
) -> None:
    names, _ = digit_files(tmp_path, 2)
    (tmp_path / "notes.txt").write_text("hello")
    whole = (tmp_path / names[0]).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "folder").mkdir()
    wrong = ["notes.txt", "cut.png", "folder", "missing.png"]
    ran = fovea("predict", checkpoint, names[0], *wrong, names[1])
    assert ran.code == 1
    assert [line.split()[0] for line in ran.out.splitlines()] == names
    lines = ran.err.splitlines()
    assert len(lines) == 4
    assert all(name in line for name, line in zip(wrong, lines, strict=True))
    found = fovea("predict", checkpoint, names[0], *wrong, names[1], "--json").json["predictions"]
    assert ["error" in entry for entry in found] == [False, True, True, True, True, False]


def test_predicting_dark_on_light(checkpoint: Path, fovea: Fovea, tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    names, _ = digit_files(tmp_path, 1)
    with image_module.open(tmp_path / names[0]) as image:
        image.convert("RGB").point(lambda v: 255 - v).save(tmp_path / "dark.png")
    ran = fovea("predict", checkpoint, "dark.png", "--invert", "--json").json
    plain = fovea("predict", checkpoint, names[0], "--json").json
    assert ran["predictions"][0]["top"] == plain["predictions"][0]["top"]


def test_quiet_training_says_only_the_result(started: Fovea, tmp_path: Path) -> None:
    ran = started("train", "--epochs", 1, "--quiet", "--batch-size", 256)
    assert ran.code == 0 and ran.err == ""
    lines = [line for line in ran.out.splitlines() if line]
    assert [line.split()[0] for line in lines] == [
        "Test", "checkpoint", "training", "confusion", "worst", "report",
    ]  # fmt: skip
    assert (tmp_path / "runs" / "digits" / "model.pt").exists()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_other_optimizers_and_folders(optimizer: str, fovea: Fovea, tmp_path: Path) -> None:
    words = ("train", "--epochs", 1, "--optimizer", optimizer, "--json", "--batch-size", 128)
    first = fovea(*words)
    assert first.code == 0, first.err
    assert first.json["history"]["loss"][0] < 2.3
    if optimizer == "sgd":  # a second run does not overwrite the first
        assert fovea(*words).json["checkpoint"] == str(Path("runs", "digits-2", "model.pt"))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision(precision: str, fovea: Fovea, tmp_path: Path) -> None:
    words = ("train", "--epochs", 4, "--precision", precision, "--batch-size", 32)
    ran = fovea(*words, "--json")
    assert ran.code == 0, ran.err
    assert "Warning" not in ran.err
    assert ran.json["history"]["loss"][-1] < 1.0
    state = load(tmp_path / ran.json["checkpoint"])
    assert state["training"]["precision"] == precision
    assert all(t.dtype.name == "float32" for k, t in state["state_dict"].items() if "num" not in k)


def test_without_matplotlib_training_goes_on(tmp_path: Path, started: Fovea) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')")
    ran = started("train", "--epochs", 1, "--quiet", "--batch-size", 256)
    assert ran.code == 0
    assert 'pip install "fovea[vision]"' in ran.err
    assert (tmp_path / "runs" / "digits" / "model.pt").exists()
    assert not (tmp_path / "runs" / "digits" / "curves.png").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_keeps_the_checkpoint(tmp_path: Path, fovea: Fovea) -> None:
    words = command("train", "--epochs", 500, "--output", "out")
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment(), stdout=-1, stderr=-1, text=True
    ) as process:
        wait_for(tmp_path / "out" / "model.pt", process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "is kept: out" in err and "Traceback" not in err
    left = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert left in (["config.yaml", "model.pt"], ["config.yaml", "model.pt", "state.pt"])
    assert fovea("evaluate", "out/model.pt", "--json").json["images"] == 355
