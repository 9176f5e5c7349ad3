"""Wrong usage and wrong input: exit codes and messages."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

import fovea as package
from fovea.cli import main
from tests.cli.conftest import Fovea


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "invalid choice"),
        (["train", "--epochs", "0"], "must be at least 1"),
        (["train", "--epochs", "many"], "not a whole number"),
        (["train", "--lr", "-1"], "above 0"),
        (["train", "--lr", "nan"], "above 0"),
        (["train", "--optimizer", "magic"], "invalid choice"),
        (["train", "--precision", "int3"], "invalid choice"),
        (["train", "--dataset", "imagenet"], "invalid choice"),
        (["train", "--what"], "unrecognized arguments"),
        (["predict"], "required"),
        (["predict", "x.pt"], "required"),
        (["predict", "x.pt", "y.png", "--top", "0"], "must be at least 1"),
        (["evaluate"], "required"),
    ],
)
def test_wrong_usage(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_two_sources_of_images(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["folder", "--dataset", "mnist"]
    assert main([command, *(["x.pt"] if command == "evaluate" else []), *words]) == 2
    assert "either a folder or --dataset" in capsys.readouterr().err


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "fovea train photos/" in capsys.readouterr().out
    for words in (["--help"], ["train", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as exit_:
            main(words)
        assert exit_.value.code == 0
        assert "fovea" in capsys.readouterr().out


def test_help_does_not_load_the_engine() -> None:
    import subprocess
    import sys

    code = (
        "import sys, fovea.cli\n"
        "try: fovea.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'fovea.nn', 'fovea.optim', 'fovea.training', 'fovea.vision.models', 'PIL',"
        " 'matplotlib', 'fovea.utils.data'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_an_unknown_model(fovea: Fovea) -> None:
    ran = fovea("train", "--model", "resnet99")
    assert ran.code == 1 and "resnet99" in ran.err and "simple_cnn" in ran.err


def test_a_dataset_that_is_not_there(fovea: Fovea) -> None:
    ran = fovea("train", "--dataset", "mnist", "--root", "nowhere")
    assert ran.code == 1 and "Traceback" not in ran.err and "nowhere" in ran.err
    assert "--download" in ran.err


def test_images_too_small_for_the_model(fovea: Fovea) -> None:
    ran = fovea("train", "--model", "vgg11_bn", "--epochs", 1)
    assert ran.code == 1 and "Traceback" not in ran.err
    assert "--image-size" in ran.err


def test_a_model_that_is_no_classifier(fovea: Fovea) -> None:
    ran = fovea("train", "--model", "unet", "--epochs", 1, "--image-size", 16)
    assert ran.code == 1 and "Traceback" not in ran.err
    assert "unet does not sort images into classes" in ran.err


def test_a_learning_rate_that_diverges(fovea: Fovea) -> None:
    ran = fovea("train", "--lr", "1e30", "--optimizer", "sgd", "--epochs", 1, "--json")
    assert ran.code == 1 and "--lr" in ran.err
    assert "loss became" in ran.json["error"]["message"]


def refused(capsys: pytest.CaptureFixture[str], path: Path) -> str:
    """The message when the checkpoint is evaluated, and when it predicts."""
    assert main(["evaluate", str(path)]) == 1
    message = capsys.readouterr().err
    assert main(["predict", str(path), "x.png"]) == 1
    assert capsys.readouterr().err == message
    assert "Traceback" not in message and str(path) in message
    return message


def test_checkpoints_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no file" in refused(capsys, tmp_path / "missing.pt")
    assert "is a folder" in refused(capsys, tmp_path)
    (tmp_path / "text.pt").write_text("hello, this is no checkpoint")
    assert "is not a file of weights" in refused(capsys, tmp_path / "text.pt")
    package.save(OrderedDict(weight=package.ones(2)), tmp_path / "weights.pt")
    assert "no checkpoint of fovea train" in refused(capsys, tmp_path / "weights.pt")


def test_a_truncated_checkpoint(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = checkpoint.read_bytes()
    path = tmp_path / "cut.pt"
    for part in (0.02, 0.5, 0.99):
        path.write_bytes(whole[: int(len(whole) * part)])
        assert "cannot be read as weights" in refused(capsys, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "version 99"),
        ({"model": "resnet99"}, "resnet99"),
        ({"model": 3}, "which model"),
        ({"model": "resnet18"}, "do not fit"),
        ({"options": {"num_classes": 10**9}}, "options"),
        ({"options": {"in_channels": 10**9}}, "neither gray"),
        ({"options": {"in_channels": 1, "image_size": 10**6}}, "differ in size"),
        ({"options": None}, "options"),
        ({"classes": ["a", "b"]}, "do not fit"),
        ({"classes": [1, 2]}, "classes"),
        ({"classes": ["a", "a"]}, "classes"),
        ({"classes": []}, "classes"),
        ({"state_dict": None}, "do not fit"),
        ({"state_dict": {}}, "do not fit"),
        ({"preprocess": None}, "prepared"),
        ({"preprocess": {}}, "prepared"),
        ({"preprocess": {"height": 10**9}}, "prepared"),
        ({"preprocess": {"std": [0.0]}}, "prepared"),
        ({"preprocess": {"mean": ["x"]}}, "prepared"),
        ({"preprocess": {"resize": "melt"}}, "prepared"),
    ],
)
def test_checkpoints_that_do_not_make_sense(
    change: dict[str, Any],
    message: str,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = package.load(checkpoint)
    for key, value in change.items():
        both = isinstance(value, dict) and value and key != "options"
        content[key] = {**content[key], **value} if both else value
    package.save(content, tmp_path / "changed.pt")
    assert message in refused(capsys, tmp_path / "changed.pt")


def test_a_checkpoint_s_paths_stay_in_its_folder(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = package.load(checkpoint)
    for file in ("../secret/0.png", "/etc/passwd", "unknown/0.png", 3):
        content["origin"] = {"kind": "folder", "path": str(tmp_path), "held_out": [file]}
        package.save(content, tmp_path / "changed.pt")
        assert main(["evaluate", str(tmp_path / "changed.pt")]) == 1
        assert "kept for testing" in capsys.readouterr().err


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for word in ("fovea", "numpy", "vector unit", "threads", "kernel cache", "matplotlib"):
        assert word in text
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["versions"]["fovea"] == package.__version__
    assert facts["machine"]["vector_unit"] in ("amx", "avx512", "avx2", "neon", "generic")
    assert facts["machine"]["threads"] >= 1
    assert "fovea[vision]" in facts["extras"]["pillow"]["install"]


def test_info_of_a_file_of_weights(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    w = package.ones(2, 3)
    content = {"state_dict": {"module.w": w, "module.b": package.ones(2).half()}, "best": 91.5}
    package.save({**content, "optimizer": {"state": {"x": w}}}, tmp_path / "a.pth")
    assert main(["info", str(tmp_path / "a.pth")]) == 0
    text = capsys.readouterr().out
    for words in (
        "best  ",
        "91.5",
        "in ['state_dict']: 8 numbers",
        "begin with 'module.'",
        "2 × 3",
    ):
        assert words in text
    assert text.count("\nweights ") == 1
    assert main(["info", str(tmp_path / "a.pth"), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["weights"]
    assert found["dtypes"] == {"float32": 1, "float16": 1}
    assert found["shapes"] == {"module.w": [2, 3], "module.b": [2]}
    (tmp_path / "b.pth").write_bytes(b"hello, this is text")
    for name in ("b.pth", "missing.pth"):
        assert main(["info", str(tmp_path / name)]) == 1
        assert "fovea: " in capsys.readouterr().err


def test_info_measures_the_kernel_cache(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FOVEA_CACHE_DIR", str(tmp_path / "kernels"))
    for size in (0, 3000):
        if size:
            (tmp_path / "kernels" / "ab").mkdir(parents=True)
            (tmp_path / "kernels" / "ab" / "cd.o").write_bytes(b"x" * size)
        assert main(["info", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["machine"]["kernel_cache_bytes"] == size
