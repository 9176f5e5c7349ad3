"""``fovea train`` on scenes: detectors of objects, and networks that tell pixels apart."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovea.cli.config import write_config
from fovea.cli.console import Console, UsageError
from fovea.cli.fitting import STEPS_KEPT
from fovea.cli.keeping import JUDGED, KeepScenes, said_if_interrupted
from fovea.cli.learned import Learned, build_network
from fovea.cli.measuring import Measure, measure_scenes
from fovea.cli.report import write_report, write_results
from fovea.cli.scene_recipes import SGD, asked_for, found_rate, recipe_of, waiting_for
from fovea.cli.scenes import Scenes, scenes_of
from fovea.cli.tuning import logging_options, named_options, refuse_others
from fovea.nn.utils import freeze
from fovea.vision.training.schedules import OPTIMIZERS, SCHEDULES
from fovea.vision.training.validating import measured_epochs

if TYPE_CHECKING:
    from fovea.training import History

__all__ = ["check_options", "train_scenes", "try_it"]

# Steps of training, where nobody says how many epochs.
_STEPS = {"detection": 1000, "segmentation": 3000}
_SHAPES_EPOCHS = 2
_USUAL = {
    "detection": {"model": "glance_n", "image_size": 320, "batch_size": 16, "lr": 2e-3},
    "segmentation": {"model": "unet", "image_size": 128, "batch_size": 8, "lr": 6e-3},
}
_SHAPES_SIZE = 128
_BEGUN = 0.2  # of the usual rate, for networks that have learned something before
_MEASURED = 25  # times in a run


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
    console = Console(args.json, args.quiet)
    scenes, learned, shared = _begun(console, args, task, parts)
    options = _resolved(args, learned)
    write_config(folder, options)
    logs = logging_options(args, folder, options, state.exists())
    _introduce(console, learned, scenes)
    began = time.monotonic()
    beside = scenes.validation is not None and args.keep != "last"
    keeper = KeepScenes(learned, folder / "model.pt", args.keep, beside)
    verbose = 0 if args.quiet or args.json else 2
    waiting = [] if args.patience is None else [waiting_for(args.patience, learned, scenes)]
    with said_if_interrupted(keeper.said_on_interrupt):
        history = _fit(learned, scenes, [keeper, *logs, *waiting], shared, state, verbose)
        keeper.restore()
        measured = measure_scenes(learned, scenes.test)
        _report(console, learned, scenes, history, measured, keeper, time.monotonic() - began)
    state.unlink(missing_ok=True)
    return 0


def try_it(args: argparse.Namespace, task: str, parts: dict[str, Any] | None = None) -> int:
    """Run the command as a trial, which keeps nothing; returns the exit code.

    Args:
        args, task, parts: as of `train_scenes`.
    """
    from fovea.cli.trials_of_scenes import try_scenes

    console = Console(args.json, args.quiet)
    scenes, learned, shared = _begun(console, args, task, parts)
    _introduce(console, learned, scenes)
    return try_scenes(console, args, learned, scenes, recipe_of(learned, scenes, shared))


def _begun(
    console: Console, args: argparse.Namespace, task: str, parts: dict[str, Any] | None
) -> tuple[Scenes, Learned, dict[str, Any]]:
    """The data, what is to learn, and how."""
    import fovea

    fovea.manual_seed(args.seed)
    usual: dict[str, Any] = _USUAL[task]
    size = args.image_size or (usual["image_size"] if args.data else _SHAPES_SIZE)
    if task == "detection":
        size = max(32, -(-size // 32) * 32)  # what its strides divide
    # Shapes are drawn anew each time: what is learned of them is not learned by heart.
    validate = bool(args.validate_every) if args.data is None else args.validate_every != 0
    scenes = scenes_of(args.data, task, size, parts, args.skip_bad, validate)
    learned = _network(args, task, scenes, size)
    shared = asked_for(args, learned, scenes)
    if args.lr == "auto":
        shared["lr"] = learned.training["lr"] = found_rate(console, learned, scenes, shared)
    return scenes, learned, shared


def _network(args: argparse.Namespace, task: str, scenes: Scenes, size: int) -> Learned:
    """The network that is to learn, and with what."""
    usual: dict[str, Any] = _USUAL[task]
    name = (args.model or usual["model"]).lower()
    batch = min(args.batch_size or usual["batch_size"], len(scenes.train))
    enough = max(1, round(_STEPS[task] * batch / len(scenes.train)))
    epochs = args.epochs or (enough if args.data else _SHAPES_EPOCHS)
    fresh_unet = name == "unet" and args.weights is None
    optimizer = args.optimizer or ("muon" if fresh_unet else "adamw")
    rate = SGD["lr"] if optimizer == "sgd" else usual["lr"]
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
    recipe = recipe_of(learned, scenes, shared)
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
