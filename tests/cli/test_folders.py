"""The command line on folders of images."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import COLORS, Fovea, command, environment, make_photos, wait_for

QUICK = ("--model", "simple_cnn", "--image-size", 16, "--epochs", 3, "--batch-size", 8)


def test_a_folder_of_class_folders(photos: Path, fovea: Fovea, tmp_path: Path) -> None:
    ran = fovea("train", photos, *QUICK, "--lr", 0.01, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["classes"] == sorted(COLORS)
    assert ran.json["test"]["images"] == 9  # 15% of each class
    assert ran.json["test"]["accuracy"] > 0.8
    assert "9 images, 15% of each class, are kept for testing" in ran.err
    checkpoint = ran.json["checkpoint"]
    assert Path(checkpoint).parts[:2] == ("runs", "photos")
    # The same nine images again, and then all that a copy of the folder has.
    again = fovea("evaluate", checkpoint, "--json").json
    assert again["confusion_matrix"] == ran.json["test"]["confusion_matrix"]
    named = fovea("evaluate", checkpoint, photos, "--json").json
    assert named["confusion_matrix"] == ran.json["test"]["confusion_matrix"]
    shutil.copytree(photos, tmp_path / "copy")
    assert fovea("evaluate", checkpoint, "copy", "--json").json["images"] == 60
    seen = fovea(
        "predict", checkpoint, photos / "red" / "0.png", photos / "blue" / "1.png", "--json"
    )
    assert [e["top"][0]["class"] for e in seen.json["predictions"]] == ["red", "blue"]


def test_a_folder_in_parts(fovea: Fovea, tmp_path: Path) -> None:
    make_photos(tmp_path / "data" / "train", 10, ".jpg")
    make_photos(tmp_path / "data" / "val", 3, seed=1)
    make_photos(tmp_path / "data" / "test", 4, seed=2)
    ran = fovea("train", "data", *QUICK, "--json")
    assert ran.code == 0, ran.err
    assert "30 to train on, 9 to validate with, 12 to test with" in ran.err
    assert ran.json["test"]["images"] == 12
    assert fovea("evaluate", ran.json["checkpoint"], "--json").json["images"] == 12


def test_without_test_images_the_validation_images_are_measured(
    fovea: Fovea, tmp_path: Path
) -> None:
    make_photos(tmp_path / "data" / "train", 8)
    make_photos(tmp_path / "data" / "valid", 2, seed=1)
    ran = fovea("train", "data", *QUICK)
    assert ran.code == 0, ran.err
    assert "Validation accuracy" in ran.out and "Test accuracy" not in ran.out


def test_gray_and_odd_files_are_read_as_color(fovea: Fovea, tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    make_photos(tmp_path / "data", 6)
    for mode in ("L", "1", "P", "RGBA", "CMYK"):
        suffix = ".jpg" if mode == "CMYK" else ".png"
        image_module.new(mode, (40, 30)).save(tmp_path / "data" / "red" / f"{mode}{suffix}")
    (tmp_path / "data" / "red" / "readme.txt").write_text("not counted")
    assert fovea("train", "data", *QUICK, "--quiet").code == 0


def test_a_class_called_train(fovea: Fovea, tmp_path: Path) -> None:
    make_photos(tmp_path / "data", 6)
    (tmp_path / "data" / "red").rename(tmp_path / "data" / "train")
    ran = fovea("train", "data", *QUICK, "--json")
    assert ran.json["classes"] == ["blue", "green", "train"]


def test_a_missing_folder(fovea: Fovea) -> None:
    ran = fovea("train", "nowhere")
    assert ran.code == 1 and ran.out == ""
    assert ran.err.splitlines() == ["fovea: there is no folder nowhere."]


def test_an_empty_class(fovea: Fovea, tmp_path: Path) -> None:
    make_photos(tmp_path / "data", 4)
    (tmp_path / "data" / "yellow").mkdir()
    ran = fovea("train", "data", *QUICK)
    assert ran.code == 1 and "Traceback" not in ran.err
    assert "yellow" in ran.err


def test_no_classes_and_one_class(fovea: Fovea, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    ran = fovea("train", "data")
    assert ran.code == 1 and "holds no folders" in ran.err
    make_photos(tmp_path / "data", 2)
    for name in ("red", "blue"):
        shutil.rmtree(tmp_path / "data" / name)
    ran = fovea("train", "data")
    assert ran.code == 1 and "one class only (green)" in ran.err


def test_unreadable_images_are_named_before_training(fovea: Fovea, tmp_path: Path) -> None:
    make_photos(tmp_path / "data", 4)
    (tmp_path / "data" / "red" / "bad.png").write_bytes(b"no image")
    ran = fovea("train", "data", *QUICK)
    assert ran.code == 1 and "Traceback" not in ran.err
    assert "1 of 13 files" in ran.err and "bad.png is not an image" in ran.err


def test_an_image_cut_short_is_named(fovea: Fovea, tmp_path: Path) -> None:
    make_photos(tmp_path / "data", 6)
    broken = tmp_path / "data" / "red" / "2.png"
    broken.write_bytes(broken.read_bytes()[:-400])
    ran = fovea("train", "data", *QUICK, "--json")
    assert ran.code == 1 and "Traceback" not in ran.err
    assert "2.png" in ran.err
    assert "2.png" in ran.json["error"]["message"]


def test_what_cannot_be_read_is_left_out(fovea: Fovea, tmp_path: Path) -> None:
    make_photos(tmp_path / "data", 8)
    red = tmp_path / "data" / "red"
    (red / "bad.png").write_bytes(b"no image")
    (red / "2.png").write_bytes((red / "2.png").read_bytes()[:-400])
    ran = fovea("train", "data", *QUICK, "--skip-bad", "--output", "out")
    assert ran.code == 0, ran.err
    assert "2 of 25 samples cannot be read" in ran.out
    assert "bad.png" in ran.out and "2.png" in ran.out
    assert "skip-bad: true" in (tmp_path / "out" / "config.yaml").read_text()
    again = fovea("train", "--config", "out/config.yaml", "--output", "again")
    assert again.code == 0 and "2 of 25 samples" in again.out
    for file in red.iterdir():
        file.write_bytes(b"no image")
    ran = fovea("train", "data", *QUICK, "--skip-bad")
    assert ran.code == 1 and "a class has no image that can be read" in ran.err


def test_a_file_that_vanishes(fovea: Fovea, tmp_path: Path) -> None:
    """The checkpoint stays as it was, the message names the file, and --resume goes on."""
    make_photos(tmp_path / "data", 40)
    words = ("train", "data", *QUICK, "--epochs", 60, "--output", "out", "--quiet")
    with subprocess.Popen(
        command(*words), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    ) as run:
        wait_for(tmp_path / "out" / "state.pt", run)
        shutil.move(tmp_path / "data" / "red", tmp_path / "red")
        _, err = run.communicate(timeout=200)
    assert run.returncode == 1 and "Traceback" not in err and ".png" in err
    assert (tmp_path / "out" / "model.pt").exists()
    shutil.move(tmp_path / "red", tmp_path / "data" / "red")
    ended = fovea("train", "--resume", "out", "--quiet")
    assert ended.code == 0, ended.err


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of files")
def test_a_full_disk(fovea: Fovea, tmp_path: Path) -> None:
    """Where nothing more can be written, the message says so and the old checkpoint is whole."""
    make_photos(tmp_path / "data", 4)
    assert fovea("train", "data", *QUICK, "--output", "out").code == 0
    before = (tmp_path / "out" / "model.pt").read_bytes()
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
    program = limited + "from fovea.cli.main import main; sys.exit(main(sys.argv[1:]))"
    ran = subprocess.run(
        [sys.executable, "-c", program, *map(str, ("train", "data", *QUICK, "--output", "out"))],
        cwd=tmp_path, env={**environment(), "FOVEA_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert ran.returncode == 1 and "Traceback" not in ran.stderr, ran.stderr
    assert "too large" in ran.stderr.lower() and str(Path("out", "model.pt")) in ran.stderr
    assert (tmp_path / "out" / "model.pt").read_bytes() == before
    assert not list((tmp_path / "out").glob(".*.part"))


def test_validation_with_an_unknown_class(fovea: Fovea, tmp_path: Path) -> None:
    make_photos(tmp_path / "data" / "train", 4)
    make_photos(tmp_path / "data" / "val", 2)
    (tmp_path / "data" / "val" / "red").rename(tmp_path / "data" / "val" / "pink")
    ran = fovea("train", "data", *QUICK)
    assert ran.code == 1 and "pink" in ran.err and "green" in ran.err
