"""Runs of ``fovea train`` on scenes that keep nothing: does it work, does it fit."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fovea.cli.trials import in_words, tell_memory
from fovea.utils.data import Subset
from fovea.vision.training.detection import prepare_detector
from fovea.vision.training.segmentation import held_batches, prepare_segmenter
from fovea.vision.training.validating import ValidateDetector

if TYPE_CHECKING:
    from fovea.cli.console import Console
    from fovea.cli.learned import Learned
    from fovea.cli.scenes import Scenes
    from fovea.training.trainer import Trainer
    from fovea.utils.data import DataLoader

__all__ = ["try_scenes"]


def try_scenes(
    console: Console, args: argparse.Namespace, learned: Learned, scenes: Scenes, recipe: Any
) -> int:
    """Do what ``--plan-memory``, ``--fast-dev-run`` or ``--overfit-batches`` asks for; returns the
    exit code.

    Args:
        recipe: the task's.
    """
    if args.overfit_batches:
        return _learn_by_heart(console, learned, scenes, recipe, args.overfit_batches)
    trainer, loader = _prepared(learned, scenes, recipe)
    if args.plan_memory:
        tell_memory(console, trainer, loader, recipe.batch_size)
        return 0
    held = None
    if scenes.validation is not None and learned.task == "detection":
        few: Subset[Any] = Subset(
            scenes.validation, range(min(recipe.batch_size, len(scenes.validation)))
        )
        trainer.callbacks.append(ValidateDetector(learned.model, few, {1}))
    elif scenes.validation is not None:
        held = held_batches(scenes.validation, recipe)
    numbers = _last(trainer.fit(loader, held, fast_dev_run=True, verbose=0).history)
    console.show("one batch of each part went through: " + in_words(numbers))
    console.document({"command": "train", "trial": "fast-dev-run", **numbers})
    return 0


def _prepared(learned: Learned, scenes: Scenes, recipe: Any) -> tuple[Trainer, DataLoader[Any]]:
    if learned.task == "detection":
        return prepare_detector(learned.model, scenes.train, recipe)
    return prepare_segmenter(learned.model, scenes.train, recipe, classes=len(learned.classes))


def _learn_by_heart(
    console: Console, learned: Learned, scenes: Scenes, recipe: Any, count: int
) -> int:
    """Train on a few batches: a network that is wired well learns them."""
    plain = replace(recipe, schedule="constant", warmup=0)
    trainer, loader = _prepared(learned, scenes, plain)
    epochs = recipe.epochs
    history = trainer.fit(loader, epochs=epochs, overfit_batches=count, verbose=0).history
    numbers = _last(history)
    console.show(f"{count} batches, {epochs} times: {in_words(numbers)}")
    console.document({"command": "train", "trial": "overfit-batches", **numbers})
    return 0


def _last(history: dict[str, Any]) -> dict[str, float]:
    """The last epoch's losses and metrics."""
    return {n: float(v[-1]) for n, v in history.items() if n != "learning_rate"}
