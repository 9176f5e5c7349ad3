"""``fovea train``'s finer options, its logs and its trials; ``fovea evaluate --views``."""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea as fovea_module
from fovea.cli import main
from fovea.cli.classifier import load_classifier
from fovea.cli.console import UsageError
from fovea.cli.fitting import Fitting, Plan, _make_optimizer, _make_schedule, measure
from fovea.cli.folders import FolderImages
from fovea.cli.images import ArrayImages
from fovea.cli.sources import named_test
from fovea.cli.tuning import LOGS, add_tuning_options, named_options, refuse_others
from fovea.training import CSVLogger, JSONLogger, TensorBoard
from tests.cli.conftest import Fovea, command, environment, wait_for

PLAN = Plan(10, 8, "adamw", 0.1, 0.02, 0.0, 0)
ALL = (
    "--schedule", "cosine", "--warmup", 0.1, "--weight-decay", 0.02, "--layer-decay", 0.8,
    "--label-smoothing", 0.1, "--class-weights", "balanced", "--accumulate", 2, "--clip", 1,
    "--swa", 2, "--patience", 3, "--keep", 2, "--log", "csv,json,tensorboard", "--locate-nan",
)  # fmt: skip


def digits(count: int = 40, seed: int = 0) -> ArrayImages:
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (count, 8, 8, 1)).astype(np.uint8)
    return ArrayImages(images, draw.integers(0, 3, count), [0.5], [0.3])


def test_all_of_them_and_again(fovea: Fovea, tmp_path: Path) -> None:
    ran = fovea("train", "--epochs", 4, "--output", "one", "--json", *ALL)
    assert ran.code == 0, ran.err
    folder = tmp_path / "one"
    kept = sorted(p.name for p in (folder / "checkpoints").iterdir())
    assert len(kept) == 3 and kept[-1] == "last.pt"
    assert load_classifier(folder / "checkpoints" / "last.pt").training["epoch"] == 4
    with open(folder / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(r["loss"]) for r in rows] == ran.json["history"]["loss"]
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert any(line.get("config", {}).get("swa") == 2 for line in lines)
    assert list((folder / "tensorboard" / "train").iterdir())
    again = fovea("train", "--config", "one/config.yaml", "--output", "two", "--json")
    assert again.code == 0, again.err
    assert again.json["history"] == ran.json["history"]
    assert again.json["test"] == ran.json["test"]


def test_the_last_epoch_is_kept(fovea: Fovea, tmp_path: Path) -> None:
    ran = fovea("train", "--epochs", 3, "--lr", 0.05, "--keep", "last", "--output", "o", "--json")
    assert ran.json["best_epoch"] == 3 and not (tmp_path / "o" / "checkpoints").exists()
    assert load_classifier(tmp_path / "o" / "model.pt").training["epoch"] == 3


def test_trials_leave_nothing(fovea: Fovea, tmp_path: Path) -> None:
    ran = fovea("train", "--plan-memory", "--batch-size", 32, "--json")
    assert ran.code == 0, ran.err
    taken = ran.json["bytes"]
    assert taken["batch"] == 32 * (64 * 4 + 8) and taken["total"] > taken["weights"] > 5e5
    ran = fovea("train", "--fast-dev-run", "--lr", "auto", "--json")
    assert {"loss", "val_loss", "accuracy"} <= {*ran.json} and "learning rate found" in ran.err
    ran = fovea("train", "--overfit-batches", 1, "--epochs", 25, "--json")
    assert ran.json["accuracy"] == 1 and ran.json["loss"] < 0.2
    ran = fovea("train", "--folds", 3, "--epochs", 1, "--json")
    scores = [fold["accuracy"] for fold in ran.json["folds"]]
    assert len(scores) == 3 and ran.json["accuracy"]["mean"] == pytest.approx(np.mean(scores))
    assert min(scores) > 0.5
    assert not [*tmp_path.iterdir()]


def test_folds_of_a_folder(fovea: Fovea, photos: Path) -> None:
    words = ("--epochs", 2, "--image-size", 16, "--model", "simple_cnn", "--json", "--workers", 0)
    ran = fovea("train", photos, "--folds", 2, *words)
    assert ran.code == 0, ran.err
    assert ran.json["accuracy"]["mean"] > 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--ema", "0.9", "--swa", "2"], "one of --ema and --swa"),
        (["train", "--dataset", "shapes", "--folds", "2"], "--folds is not there for detection"),
        (["train", "--dataset", "shapes", "--optimizer", "adam"], "adamw, muon, sgd"),
        (["train", "--dataset", "shapes", "--schedule", "one-cycle"], "cosine, step, constant"),
        (["train", "--dataset", "shapes", "--freeze", "2"], "takes names of parts"),
        (["train", "--dataset", "shapes", "--swa", "2"], "--swa is not there for detection"),
        (["train", "--freeze", "fc"], "a number of epochs for classification"),
        (["train", "--optimizer", "muon"], "muon is not there for classification"),
        (["train", "--validate-every", "2"], "--validate-every is not there for classification"),
        (
            [
                "train",
                "--dataset",
                "shapes",
                "--task",
                "segmentation",
                "--ema",
                "0.9",
                "--swa",
                "2",
            ],
            "one of --ema and --swa",
        ),
        (["train", "--dataset", "shapes", "--keep", "2"], "--keep 2 needs epochs"),
    ],
)
def test_what_does_not_go_together(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--log", "csv,paper"], "'paper' is none of csv, json"),
        (["train", "--warmup", "1"], "below 1"),
        (["train", "--label-smoothing", "much"], "not a number"),
        (["train", "--schedule", "random"], "invalid choice"),
        (["train", "--folds", "1"], "at least 2"),
        (["train", "--keep", "some"], "not a whole number"),
        (["evaluate", "x.pt", "--views", "same,zoom"], "'zoom' is none of same, hflip"),
    ],
)
def test_wrong_values(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2 and message in capsys.readouterr().err


def test_loggers_that_are_not_installed(fovea: Fovea) -> None:
    for name in ("mlflow", "wandb"):
        try:
            __import__(name)
        except ImportError:
            ran = fovea("train", "--log", name, "--epochs", 1)
            assert ran.code == 1 and f"pip install {name}" in ran.err
    assert LOGS[:3] == ("csv", "json", "tensorboard")
    assert all(issubclass(c, fovea_module.training.Callback)
               for c in (CSVLogger, JSONLogger, TensorBoard))  # fmt: skip


# -- parts ------------------------------------------------------------------------------------


def rates(plan: Plan, steps: int = 40) -> list[float]:
    model = fovea_module.nn.Linear(2, 2)
    optimizer = _make_optimizer(model, plan)
    schedule = _make_schedule(optimizer, plan, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_schedules() -> None:
    flat = rates(replace(PLAN, schedule="constant", warmup=0.0))
    assert flat == pytest.approx([0.1] * 40)
    rising = rates(replace(PLAN, schedule="constant", warmup=0.1))
    assert rising[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1]) and rising[-1] == rising[4]
    steps = rates(replace(PLAN, schedule="step", warmup=0.0))
    assert [steps[i] for i in (19, 20, 29, 30)] == pytest.approx([0.1, 0.01, 0.01, 0.001])
    cosine = rates(replace(PLAN, schedule="cosine", warmup=0.0))
    assert cosine[20] == pytest.approx(0.1 * 0.505, rel=1e-3) and cosine[-1] < 0.002
    one = rates(PLAN)
    assert max(one) == pytest.approx(0.1) and one.index(max(one)) == 9 and one[0] < 0.01
    assert rates(replace(PLAN, warmup=0.5)).index(max(rates(replace(PLAN, warmup=0.5)))) == 19


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_groups(optimizer: str) -> None:
    from fovea.vision import models

    model = models.resnet18(num_classes=2)
    plan = replace(PLAN, optimizer=optimizer, layer_decay=0.5)
    groups = _make_optimizer(model, plan).param_groups
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    last = [p for g in groups if g["lr"] == 0.1 for p in g["params"]]
    assert {id(p) for p in last} == {id(p) for p in model.fc.parameters()}
    assert max(g["lr"] for g in groups) == 0.1
    for group in groups:
        assert group["weight_decay"] == (0.02 if group["params"][0].ndim > 1 else 0.0)
    made = _make_optimizer(model, plan)
    _make_schedule(made, plan, 40)
    assert (
        len({round(g["lr"], 9) for g in made.param_groups}) > 5
    )  # one-cycle keeps the proportions


def test_losses_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    plan = replace(PLAN, class_weights=(1.0, 2.0, 0.5), label_smoothing=0.1)
    fitting = Fitting(fovea_module.nn.Linear(4, 3), digits(), None, plan)
    x, y = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32), np.arange(6) % 3
    weight = torch.tensor([1.0, 2.0, 0.5])
    for training, more in ((True, {"weight": weight, "label_smoothing": 0.1}), (False, {})):
        fitting.model.train(training)
        found = fitting._loss(fovea_module.tensor(x), fovea_module.tensor(y)).item()
        loss = torch.nn.functional.cross_entropy(torch.tensor(x), torch.tensor(y), **more)
        assert found == pytest.approx(loss.item(), rel=1e-5)


def test_views(checkpoint: Path, fovea: Fovea) -> None:
    classifier = load_classifier(checkpoint)
    dataset, _ = named_test("digits", "data", classifier.preprocess, False)
    ran = fovea("evaluate", checkpoint, "--views", "same,rot180", "--json")
    images, labels = dataset.__getbatch__(range(len(dataset)))
    with fovea_module.no_grad():
        parts = [classifier.model(v).softmax(1) for v in (images, images.flip((2, 3)))]
    mean = (parts[0] + parts[1]) / 2
    right = (mean.argmax(1) == labels).float().mean().item()
    assert ran.json["accuracy"] == pytest.approx(right, abs=1e-6)
    picked = mean.numpy()[np.arange(len(labels)), labels.numpy()]
    assert ran.json["loss"] == pytest.approx(float(-np.log(picked).mean()), rel=1e-4)
    assert ran.json["accuracy"] != measure(classifier.model, dataset, 10, 0).accuracy


def test_folds_measure_on_plain_images(photos: Path) -> None:
    from fovea.cli.folders import folder_source
    from fovea.cli.trials import _picked, _whole, labels_of

    source = folder_source(str(photos), size=16, share=0.2, flip=True, seed=0)
    drawn, plain = _whole(source)
    assert isinstance(plain, FolderImages) and len(plain) == len(drawn) == 60 - len(source.test)
    part = _picked(plain, [3, 5])
    assert part[0][0].tolist() == part[0][0].tolist() and labels_of(part) == [
        labels_of(plain)[i] for i in (3, 5)
    ]
    moved = [drawn[3][0].numpy() for _ in range(4)]
    assert any(not np.array_equal(moved[0], m) for m in moved[1:])


# -- what goes wrong --------------------------------------------------------------------------


def test_a_nan_is_located(fovea: Fovea, tmp_path: Path) -> None:
    words = ("--lr", "1e30", "--optimizer", "sgd", "--epochs", 1, "--output", "out")
    assert "--locate-nan" in fovea("train", *words).err
    ran = fovea("train", *words, "--locate-nan")
    assert ran.code == 1 and "Traceback" not in ran.err
    assert "step: " in ran.err and "of epoch 1" in ran.err and "nan.pt" in ran.err
    written = fovea_module.load(tmp_path / "out" / "nan.pt")
    assert written["batch"][0].shape == (64, 1, 8, 8)


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process's files")
def test_a_full_disk(tmp_path: Path) -> None:
    """Writing fails from some moment on: the checkpoint before that is whole, the file is named."""
    import resource

    words = ("train", "--epochs", 30, "--output", "out")
    with subprocess.Popen(
        command(*words), cwd=tmp_path, env=environment(), text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as run:  # fmt: skip
        wait_for(tmp_path / "out" / "model.pt", run)
        resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (10_000, 10_000))
        _, err = run.communicate(timeout=120)
    assert run.returncode == 1 and "Traceback" not in err
    assert "File too large" in err and "out/" in err
    assert load_classifier(tmp_path / "out" / "model.pt").training["epoch"] >= 1
    assert not [p for p in (tmp_path / "out").iterdir() if p.suffix == ".part"]


def test_options_of_other_tasks(tmp_path: Path) -> None:
    """A detector and a segmenter take those that their recipes have."""
    from argparse import Namespace

    from fovea.cli.learned import Learned
    from fovea.cli.scene_recipes import asked_for
    from fovea.cli.scenes import Scenes

    args = Namespace(
        workers=0, precision="bf16", weight_decay=0.1, accumulate=2, clip=None, warmup=0.5,
        schedule="step", ema=0.9, layer_decay=0.8, label_smoothing=0.1, swa=None,
        class_weights=None,
    )  # fmt: skip
    learned: Any = Learned("detection", None, "glance_n", ["a"], 64)  # type: ignore[arg-type]
    learned.training = {"epochs": 3, "batch_size": 4, "optimizer": "sgd", "lr": 0.1}
    scenes = Scenes("detection", "", ["a"], range(9), None, {})
    assert asked_for(args, learned, scenes) == {
        "epochs": 3, "batch_size": 4, "optimizer": "sgd", "lr": 0.1, "workers": 0,
        "precision": "bf16", "weight_decay": 0.1, "schedule": "step", "accumulate": 2,
        "average": 0.9, "warmup": 3, "layer_decay": 0.8,
    }  # fmt: skip
    learned.task, args.swa, args.ema = "segmentation", 2, None
    found = asked_for(args, learned, scenes)
    assert (found["label_smoothing"], found["swa"], "average" in found) == (0.1, 2, False)
    args.weight_decay = None
    assert asked_for(args, learned, scenes)["weight_decay"] == 5e-4  # that of SGD is a gradient


def test_zeros_are_values() -> None:
    """They are written down, and refused where a task has no such option."""
    parser = argparse.ArgumentParser()
    add_tuning_options(parser)
    named = named_options(parser.parse_args(["--weight-decay", "0", "--warmup", "0"]))
    assert named["weight-decay"] == named["warmup"] == 0
    assert named["weight-decay"] is not None and named["ema"] is named["locate-nan"] is None
    with pytest.raises(UsageError, match="--label-smoothing"):
        refuse_others(parser.parse_args(["--label-smoothing", "0"]), "detection")


def test_ctrl_c_after_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While it is measured, too, it is told what is left; and the run goes on from there."""

    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("fovea.cli.fitting.measure", interrupted)
        assert main(["train", "--epochs", "1", "--output", "out"]) == 130
    err = capsys.readouterr().err
    assert "is kept: out/model.pt" in err and "--resume out" in err
    assert main(["train", "--resume", "out", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["history"]["loss"]) == 1 and told["test"]["images"] == 355
