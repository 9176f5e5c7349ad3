"""``fovea train`` on scenes: detectors of objects, and networks that tell pixels apart."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.cli.config import write_config
from fovea.cli.console import Console, UsageError
from fovea.cli.fitting import STEPS_KEPT
from fovea.cli.keeping import JUDGED, KeepScenes, said_if_interrupted
from fovea.cli.learned import Learned, build_network
from fovea.cli.measuring import Measure, measure_scenes
from fovea.cli.report import write_report, write_results
from fovea.cli.scenes import Scenes, scenes_of
from fovea.cli.tuning import logging_options, named_options, refuse_others
from fovea.nn.utils import freeze
from fovea.training import EarlyStopping
from fovea.vision.training.schedules import OPTIMIZERS, SCHEDULES
from fovea.vision.training.validating import measured_epochs

if TYPE_CHECKING:
    from fovea.training import Callback, History

__all__ = ["check_options", "train_scenes"]

# Steps of training, where nobody says how many epochs.
_STEPS = {"detection": 1000, "segmentation": 3000}
_SHAPES_EPOCHS = 2
_USUAL = {
    "detection": {"model": "glance_n", "image_size": 320, "batch_size": 16, "lr": 2e-3},
    "segmentation": {"model": "unet", "image_size": 128, "batch_size": 8, "lr": 6e-3},
}
_SHAPES_SIZE = 128
_SGD = {"lr": 0.02, "weight_decay": 5e-4}  # whose steps are smaller, and whose decay is a gradient
_BEGUN = 0.2  # of the usual rate, for networks that have learned something before
_MEASURED = 25  # times in a run
_MASKS_COUNTED = 500  # by which classes are weighted


def check_options(args: argparse.Namespace, task: str) -> None:
    """Refuse options that are there for classifiers alone.

    Raises:
        UsageError: one was given.
    """
    refuse_others(args, task, ("download",))
    if args.ema is not None and args.swa is not None:
        raise UsageError("give one of --ema and --swa")
    for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
        given = getattr(args, name)
        if given is not None and given not in known:
            raise UsageError(f"--{name} {given} is not there for {task}: {', '.join(known)}")
    if isinstance(args.freeze, int) and args.freeze:
        raise UsageError(
            f"--freeze takes names of parts for {task}, such as backbone: they are not trained"
        )
    measured = args.validate_every if args.data is None else args.validate_every != 0
    if not measured and args.keep not in (None, "last"):
        raise UsageError(f"--keep {args.keep} needs epochs that are measured: --validate-every N")


def train_scenes(
    args: argparse.Namespace,
    task: str,
    folder: Path,
    state: Path,
    parts: dict[str, Any] | None = None,
) -> int:
    """Run the command for a task; returns the exit code.

    Args:
        args: the options.
        task: ``"detection"`` or ``"segmentation"``.
        folder: to write to.
        state: the file that the run is kept in, to go on from if it is there.
        parts: those of the folder of data.
    """
    import fovea

    console = Console(args.json, args.quiet)
    fovea.manual_seed(args.seed)
    usual: dict[str, Any] = _USUAL[task]
    size = args.image_size or (usual["image_size"] if args.data else _SHAPES_SIZE)
    if task == "detection":
        size = max(32, -(-size // 32) * 32)  # what its strides divide
    # Shapes are drawn anew each time: what is learned of them is not learned by heart.
    validate = bool(args.validate_every) if args.data is None else args.validate_every != 0
    scenes = scenes_of(args.data, task, size, parts, args.skip_bad, validate)
    learned = _network(args, task, scenes, size)
    shared = _asked_for(args, learned, scenes)
    if args.lr == "auto":
        shared["lr"] = learned.training["lr"] = _found_rate(console, learned, scenes, shared)
    options = _resolved(args, learned)
    write_config(folder, options)
    logs = logging_options(args, folder, options, state.exists())
    _introduce(console, learned, scenes)
    began = time.monotonic()
    beside = scenes.validation is not None and args.keep != "last"
    keeper = KeepScenes(learned, folder / "model.pt", args.keep, beside)
    verbose = 0 if args.quiet or args.json else 2
    waiting = [] if args.patience is None else [_patience(args.patience, learned, scenes)]
    with said_if_interrupted(keeper.said_on_interrupt):
        history = _fit(learned, scenes, [keeper, *logs, *waiting], shared, state, verbose)
        keeper.restore()
        measured = measure_scenes(learned, scenes.test)
        _report(console, learned, scenes, history, measured, keeper, time.monotonic() - began)
    state.unlink(missing_ok=True)
    return 0


def _network(args: argparse.Namespace, task: str, scenes: Scenes, size: int) -> Learned:
    """The network that is to learn, and with what."""
    usual: dict[str, Any] = _USUAL[task]
    name = (args.model or usual["model"]).lower()
    batch = min(args.batch_size or usual["batch_size"], len(scenes.train))
    enough = max(1, round(_STEPS[task] * batch / len(scenes.train)))
    epochs = args.epochs or (enough if args.data else _SHAPES_EPOCHS)
    fresh_unet = name == "unet" and args.weights is None
    optimizer = args.optimizer or ("muon" if fresh_unet else "adamw")
    rate = _SGD["lr"] if optimizer == "sgd" else usual["lr"]
    rate = rate if args.weights is None else _BEGUN * rate
    network = build_network(task, name, len(scenes.classes), size, weights=args.weights)
    if args.freeze:
        freeze(network, args.freeze.split(","))
    facts: dict[str, Any] = {
        "epochs": epochs, "batch_size": batch, "optimizer": optimizer,
        "lr": rate if args.lr in (None, "auto") else args.lr,
    }  # fmt: skip
    if scenes.validation is not None:
        facts["validate_every"] = args.validate_every or max(1, round(epochs / _MEASURED))
    return Learned(task, network, name, scenes.classes, size, scenes.origin, facts)


def _resolved(args: argparse.Namespace, learned: Learned) -> dict[str, Any]:
    """The options of a run in full."""
    facts = learned.training
    return {
        "data": os.path.abspath(args.data) if args.data else None,
        "dataset": None if args.data else "shapes",
        "task": learned.task,
        "model": learned.name,
        "weights": args.weights,
        "freeze": args.freeze or None,
        "epochs": facts["epochs"],
        "batch-size": facts["batch_size"],
        "optimizer": facts["optimizer"],
        "lr": facts["lr"],
        "image-size": learned.image_size,
        "skip-bad": args.skip_bad or None,
        "workers": args.workers,
        "precision": args.precision,
        "seed": args.seed,
        **named_options(args),
        "validate-every": facts.get("validate_every", 0 if args.data else None),
    }


def _asked_for(args: argparse.Namespace, learned: Learned, scenes: Scenes) -> dict[str, Any]:
    """What options say of the recipe, by the names that both tasks' recipes have."""
    facts: dict[str, Any] = learned.training
    found = {name: facts[name] for name in ("epochs", "batch_size", "optimizer", "lr")}
    found |= {"workers": 1 if args.workers is None else args.workers, "precision": args.precision}
    if found["optimizer"] == "sgd":
        found["weight_decay"] = _SGD["weight_decay"]
    names = ["weight_decay", "schedule", "accumulate", "clip", "layer_decay"]
    if learned.task == "segmentation":
        names += ["label_smoothing", "swa"]
        if args.class_weights:
            found["class_weights"] = _balanced(scenes)
    for name in names:
        if getattr(args, name) is not None:
            found[name] = getattr(args, name)
    if args.ema is not None:
        found["average"] = args.ema
    if args.warmup is not None:
        steps = found["epochs"] * (len(scenes.train) // found["batch_size"])
        found["warmup"] = round(args.warmup * steps)
    return found


def _balanced(scenes: Scenes) -> tuple[float, ...]:
    """Weights by which the pixels of each class count alike, from some of the masks."""
    from fovea.training.weighting import weights_of_counts
    from fovea.vision.training.segmentation import IGNORED, as_pair

    counts = np.zeros(len(scenes.classes), np.int64)
    for i in range(0, len(scenes.train), -(-len(scenes.train) // _MASKS_COUNTED)):
        values = as_pair(scenes.train[i])[1].numpy()
        counts += np.bincount(values[values != IGNORED].ravel(), minlength=len(counts))
    return tuple(weights_of_counts(counts).tolist())


def _patience(epochs: int, learned: Learned, scenes: Scenes) -> Callback:
    """Ends the run when so many epochs have brought nothing, as far as they are measured."""
    if scenes.validation is None:
        return EarlyStopping("loss", patience=epochs)
    every = learned.training["validate_every"]
    return _WhereMeasured(JUDGED[learned.task], patience=-(-epochs // every), mode="max")


class _WhereMeasured(EarlyStopping):
    """Looks at epochs that were measured alone."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.monitor in (logs or {}):
            super().on_epoch_end(epoch, logs)


def _found_rate(
    console: Console, learned: Learned, scenes: Scenes, shared: dict[str, Any]
) -> float:
    """The learning rate that a range test suggests."""
    from fovea.cli.trials import said_rate
    from fovea.training.untouched import same_random_numbers
    from fovea.vision.training import find_detector_lr, find_segmenter_lr

    recipe, count = _recipe(learned, scenes, shared), len(learned.classes)
    with same_random_numbers():
        if learned.task == "detection":
            found = find_detector_lr(learned.model, scenes.train, recipe)
        else:
            found = find_segmenter_lr(learned.model, scenes.train, recipe, classes=count)
    return said_rate(console, found.suggestion, shared["lr"])


def _recipe(learned: Learned, scenes: Scenes, shared: dict[str, Any]) -> Any:
    """The task's recipe, with what was asked for."""
    from fovea.vision.training import DetectionRecipe, SegmentationRecipe

    drawn = learned.origin["kind"] == "shapes"  # in any number: nothing is to be varied
    if learned.task == "detection":
        cached = len(scenes.train) <= 2000
        recipe = DetectionRecipe(cache=cached, image_size=learned.image_size, **shared)
        return replace(recipe, augment=None) if drawn else recipe
    plan = SegmentationRecipe(image_size=learned.image_size, dice=1.0, **shared)
    return replace(plan, scale=None, flip=False, color=0.0) if drawn else plan


def _fit(
    learned: Learned,
    scenes: Scenes,
    callbacks: list[Any],
    shared: dict[str, Any],
    state: Path,
    verbose: int,
) -> History:
    """Train by the task's recipe and what was asked for."""
    from fovea.vision.training import fit_detector, fit_segmenter

    how: dict[str, Any] = {
        "validation": scenes.validation, "callbacks": callbacks, "verbose": verbose,
        "validate_every": learned.training.get("validate_every", 1),
        "checkpoint": state, "checkpoint_every": STEPS_KEPT,
    }  # fmt: skip
    recipe = _recipe(learned, scenes, shared)
    if learned.task == "detection":
        return fit_detector(learned.model, scenes.train, recipe, **how)
    return fit_segmenter(learned.model, scenes.train, recipe, classes=len(learned.classes), **how)


def _introduce(console: Console, learned: Learned, scenes: Scenes) -> None:
    facts = learned.training
    parameters = sum(p.numel() for p in learned.model.parameters())
    frozen = sum(p.numel() for p in learned.model.parameters() if not p.requires_grad)
    counts = [f"{len(scenes.train):,} to train on"]
    if scenes.validation is not None:
        counts.append(f"{len(scenes.validation):,} to validate with")
    counts.append(f"{len(scenes.test):,} to test with")
    console.say(
        f"{scenes.title}: {learned.task}, {len(scenes.classes)} classes; images: "
        f"{', '.join(counts)}"
    )
    for note in scenes.notes:
        console.say(f"  {note}")
    console.say(
        f"{learned.name}: {parameters:,} parameters{f' ({frozen:,} frozen)' if frozen else ''}, "
        f"sees {learned.image_size} × {learned.image_size}; {facts['epochs']} epochs, batches of "
        f"{facts['batch_size']}, {facts['optimizer']}, learning rate up to {facts['lr']:g}\n"
    )


def _report(
    console: Console,
    learned: Learned,
    scenes: Scenes,
    history: History,
    measured: Measure,
    keeper: KeepScenes,
    seconds: float,
) -> None:
    path = keeper.path
    files = _draw(console, learned, scenes, path.parent)
    document = {
        "command": "train",
        "task": learned.task,
        "data": scenes.title,
        "model": learned.name,
        "classes": learned.classes,
        "seconds": round(seconds, 3),
        "history": {k: [float(v) for v in vs] for k, vs in history.history.items()},
        "best_epoch": keeper.best,
        "test": measured.document(),
        "checkpoint": str(path),
    }
    every = learned.training.get("validate_every")
    if every is not None:
        count = len(history.history.get(JUDGED[learned.task], []))
        due = sorted(measured_epochs(learned.training["epochs"], every))
        document["validated"] = due[:count]
    write_results(path.parent, document, sum(p.numel() for p in learned.model.parameters()))
    files["report"] = write_report(path.parent)
    console.show(f"\n{measured.summary()}, after {seconds:.0f} s")
    console.say(measured.table())
    console.show(f"\ncheckpoint        {path}  (epoch {keeper.best})")
    for name, file in files.items():
        console.show(f"{name:<17} {file}")
    console.say(f"\nNext: fovea predict {path} IMAGE ... --output DIR")
    console.document(document | {name: str(file) for name, file in files.items()})


def _draw(console: Console, learned: Learned, scenes: Scenes, folder: Path) -> dict[str, Path]:
    """A picture of what is found in some test images."""
    from fovea.cli.pictures import sheet

    path = folder / "predictions.png"
    sheet(learned, [scenes.test[i][0] for i in range(min(len(scenes.test), 8))]).save(path)
    return {"predictions": path}
