"""What the options of ``fovea train`` say of how a detector or a segmenter learns."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.cli.keeping import JUDGED
from fovea.training import EarlyStopping

if TYPE_CHECKING:
    from fovea.cli.console import Console
    from fovea.cli.learned import Learned
    from fovea.cli.scenes import Scenes
    from fovea.training import Callback

__all__ = ["SGD", "asked_for", "found_rate", "recipe_of", "waiting_for"]

SGD = {"lr": 0.02, "weight_decay": 5e-4}  # whose steps are smaller, and whose decay is a gradient
_MASKS_COUNTED = 500  # by which classes are weighted


def asked_for(args: argparse.Namespace, learned: Learned, scenes: Scenes) -> dict[str, Any]:
    """What options say of the recipe, by the names that both tasks' recipes have."""
    facts: dict[str, Any] = learned.training
    found = {name: facts[name] for name in ("epochs", "batch_size", "optimizer", "lr")}
    found |= {"workers": 1 if args.workers is None else args.workers, "precision": args.precision}
    if found["optimizer"] == "sgd":
        found["weight_decay"] = SGD["weight_decay"]
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
        found = np.bincount(values[values != IGNORED].ravel(), minlength=len(counts))
        counts += found[: len(counts)]  # what others there are, training names
    return tuple(weights_of_counts(counts).tolist())


def waiting_for(epochs: int, learned: Learned, scenes: Scenes) -> Callback:
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


def found_rate(console: Console, learned: Learned, scenes: Scenes, shared: dict[str, Any]) -> float:
    """The learning rate that a range test suggests."""
    from fovea.cli.trials import said_rate
    from fovea.training.untouched import same_random_numbers
    from fovea.vision.training import find_detector_lr, find_segmenter_lr

    recipe, count = recipe_of(learned, scenes, shared), len(learned.classes)
    with same_random_numbers():
        if learned.task == "detection":
            found = find_detector_lr(learned.model, scenes.train, recipe)
        else:
            found = find_segmenter_lr(learned.model, scenes.train, recipe, classes=count)
    return said_rate(console, found.suggestion, shared["lr"])


def recipe_of(learned: Learned, scenes: Scenes, shared: dict[str, Any]) -> Any:
    """The task's recipe, with what was asked for."""
    from fovea.vision.training import DetectionRecipe, SegmentationRecipe

    drawn = learned.origin["kind"] == "shapes"  # in any number: nothing is to be varied
    if learned.task == "detection":
        cached = len(scenes.train) <= 2000
        recipe = DetectionRecipe(cache=cached, image_size=learned.image_size, **shared)
        return replace(recipe, augment=None) if drawn else recipe
    plan = SegmentationRecipe(image_size=learned.image_size, dice=1.0, **shared)
    return replace(plan, scale=None, flip=False, color=0.0) if drawn else plan
