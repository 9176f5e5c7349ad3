"""``fovea train`` on scenes: detectors of objects, and networks that tell pixels apart."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovea.cli.config import write_config
from fovea.cli.console import Console, UsageError
from fovea.cli.fitting import STEPS_KEPT
from fovea.cli.keeping import said_if_interrupted, said_on_interrupt
from fovea.cli.learned import Learned, build_network, save_learned
from fovea.cli.measuring import Measure, measure_scenes
from fovea.cli.report import write_report, write_results
from fovea.cli.scenes import Scenes, scenes_of
from fovea.cli.tuning import logging_options, named_options, refuse_others
from fovea.training import Callback

if TYPE_CHECKING:
    from fovea.training import History

__all__ = ["check_options", "train_scenes"]

# Steps of training, where nobody says how many epochs.
_STEPS = {"detection": 1000, "segmentation": 3000}
_SHAPES_STEPS = {"detection": 3200, "segmentation": 7400}
_USUAL = {
    "detection": {"model": "glance_n", "image_size": 320, "batch_size": 16, "lr": 2e-3},
    "segmentation": {"model": "unet", "image_size": 128, "batch_size": 8, "lr": 6e-3},
}
_SHAPES_SIZE = 128


def check_options(args: argparse.Namespace, task: str) -> None:
    """Refuse options that are there for classifiers alone.

    Raises:
        UsageError: one was given.
    """
    refuse_others(args, task, ("optimizer", "weights", "freeze", "download"))
    if args.lr == "auto":
        raise UsageError(f"--lr auto is not there for {task}")


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
    scenes = scenes_of(args.data, task, size, parts, args.skip_bad)
    name = (args.model or usual["model"]).lower()
    batch = min(args.batch_size or usual["batch_size"], len(scenes.train))
    steps = (_STEPS if args.data else _SHAPES_STEPS)[task]
    epochs = args.epochs or max(1, round(steps * batch / len(scenes.train)))
    network = build_network(task, name, len(scenes.classes), size)
    learned = Learned(task, network, name, scenes.classes, size, scenes.origin)
    learned.training = {"epochs": epochs, "batch_size": batch, "lr": args.lr or usual["lr"]}
    options = _resolved(args, learned)
    write_config(folder, options)
    logs = logging_options(args, folder, options, state.exists())
    _introduce(console, learned, scenes)
    began = time.monotonic()
    keeper = _Keep(learned, folder / "model.pt")
    verbose = 0 if args.quiet or args.json else 2
    shared = _asked_for(args, learned, scenes)
    with said_if_interrupted(keeper.said_on_interrupt):
        history = _fit(learned, scenes, [keeper, *logs], shared, state, verbose)
        save_learned(keeper.path, learned)
        measured = measure_scenes(learned, scenes.test)
        _report(console, learned, scenes, history, measured, keeper.path, time.monotonic() - began)
    state.unlink(missing_ok=True)
    return 0


def _resolved(args: argparse.Namespace, learned: Learned) -> dict[str, Any]:
    """The options of a run in full."""
    facts = learned.training
    return {
        "data": os.path.abspath(args.data) if args.data else None,
        "dataset": None if args.data else "shapes",
        "task": learned.task,
        "model": learned.name,
        "epochs": facts["epochs"],
        "batch-size": facts["batch_size"],
        "lr": facts["lr"],
        "image-size": learned.image_size,
        "skip-bad": args.skip_bad or None,
        "workers": args.workers,
        "precision": args.precision,
        "seed": args.seed,
        **named_options(args),
    }


def _asked_for(args: argparse.Namespace, learned: Learned, scenes: Scenes) -> dict[str, Any]:
    """What options say of the recipe, by the names that both tasks' recipes have."""
    facts: dict[str, Any] = learned.training
    found = {name: facts[name] for name in ("epochs", "batch_size", "lr")}
    found |= {"workers": 1 if args.workers is None else args.workers, "precision": args.precision}
    for name in ("weight_decay", "accumulate", "clip"):
        if getattr(args, name) is not None:
            found[name] = getattr(args, name)
    if args.warmup is not None:
        steps = found["epochs"] * (len(scenes.train) // found["batch_size"])
        found["warmup"] = round(args.warmup * steps)
    return found


def _fit(
    learned: Learned,
    scenes: Scenes,
    callbacks: list[Any],
    shared: dict[str, Any],
    state: Path,
    verbose: int,
) -> History:
    """Train by the task's recipe and what was asked for."""
    if learned.task == "detection":
        from fovea.vision.training import DetectionRecipe, fit_detector

        recipe = DetectionRecipe(
            cache=len(scenes.train) <= 2000, image_size=learned.image_size, **shared
        )
        if learned.origin["kind"] == "shapes":  # drawn in any number: nothing is to be varied
            recipe = replace(recipe, augment=None)
        return fit_detector(
            learned.model, scenes.train, recipe, callbacks, verbose,
            checkpoint=state, checkpoint_every=STEPS_KEPT,
        )  # fmt: skip
    from fovea.vision.training import SegmentationRecipe, fit_segmenter

    plan = SegmentationRecipe(image_size=learned.image_size, dice=1.0, **shared)
    if learned.name == "unet":  # of the others there are published weights
        plan = replace(plan, optimizer="muon")
    if learned.origin["kind"] == "shapes":
        plan = replace(plan, scale=None, flip=False, color=0.0)
    return fit_segmenter(
        learned.model, scenes.train, plan, classes=len(learned.classes), callbacks=callbacks,
        verbose=verbose, checkpoint=state, checkpoint_every=STEPS_KEPT,
    )  # fmt: skip


class _Keep(Callback):
    """Writes the checkpoint after each epoch, so that a run that is broken off leaves one."""

    def __init__(self, learned: Learned, path: Path) -> None:
        super().__init__()
        self.learned, self.path, self.epoch = learned, path, 0

    def wants_batch_logs(self) -> bool:
        return False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch = epoch + 1
        self.learned.training |= {"epoch": self.epoch, "loss": float((logs or {})["loss"])}
        save_learned(self.path, self.learned)

    def said_on_interrupt(self) -> str:
        """What is left after Ctrl-C."""
        return said_on_interrupt(self.epoch, self.path)

    def state_dict(self) -> dict[str, Any]:
        """For a run that goes on."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch = state["epoch"]


def _introduce(console: Console, learned: Learned, scenes: Scenes) -> None:
    facts = learned.training
    parameters = sum(p.numel() for p in learned.model.parameters())
    console.say(
        f"{scenes.title}: {learned.task}, {len(scenes.classes)} classes; images: "
        f"{len(scenes.train):,} to train on, {len(scenes.test):,} to test with"
    )
    for note in scenes.notes:
        console.say(f"  {note}")
    console.say(
        f"{learned.name}: {parameters:,} parameters, sees {learned.image_size} × "
        f"{learned.image_size}; {facts['epochs']} epochs, batches of {facts['batch_size']}, "
        f"learning rate up to {facts['lr']:g}\n"
    )


def _report(
    console: Console,
    learned: Learned,
    scenes: Scenes,
    history: History,
    measured: Measure,
    path: Path,
    seconds: float,
) -> None:
    files = _draw(console, learned, scenes, path.parent)
    document = {
        "command": "train",
        "task": learned.task,
        "data": scenes.title,
        "model": learned.name,
        "classes": learned.classes,
        "seconds": round(seconds, 3),
        "history": {k: [float(v) for v in vs] for k, vs in history.history.items()},
        "test": measured.document(),
        "checkpoint": str(path),
    }
    write_results(path.parent, document, sum(p.numel() for p in learned.model.parameters()))
    files["report"] = write_report(path.parent)
    console.show(f"\n{measured.summary()}, after {seconds:.0f} s")
    console.say(measured.table())
    console.show(f"\ncheckpoint        {path}")
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
