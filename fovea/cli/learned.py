"""A trained detector or segmenter in one file: weights, and what is needed to use them. No code is
in it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, FileFormatError, FoveaError
from fovea.interop import load, save

if TYPE_CHECKING:
    from fovea.nn import Module

__all__ = [
    "TASKS",
    "Learned",
    "build_network",
    "is_learned",
    "learned_of",
    "load_learned",
    "save_learned",
]

_FORMAT = "fovea-model"
_VERSION = 1
TASKS = ("detection", "segmentation")
MOST_PIXELS = 4096  # a side of what a network sees
_UNET = {"base_channels": 8, "depth": 5}  # sharp at full size, and wide where that is cheap
# What learns by fit_detector: what takes image_size, what resizes to a least and a most, the rest.
_SIZED, _RESIZING = ("glance_",), ("fasterrcnn_", "retinanet_", "fcos_")
_DETECTORS = (*_SIZED, *_RESIZING, "ssd")


@dataclass
class Learned:
    """A network, its classes, and what it sees images as.

    Attributes:
        task: ``"detection"`` or ``"segmentation"``.
        model: the network.
        name: of ``fovea.vision.models.get_model``.
        classes: the names of the classes; number 0 is the background, the first has number 1 (of
            detectors), or 0 (of segmenters).
        image_size: pixels a side that the network sees.
        origin: where the training images came from.
        training: how it was trained, for people: numbers and strings.
    """

    task: str
    model: Module
    name: str
    classes: list[str]
    image_size: int
    origin: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


def build_network(
    task: str, name: str, classes: int, image_size: int, unet: dict[str, int] | None = None
) -> Module:
    """A new network.

    Args:
        task, name, classes, image_size: as of `Learned`.
        unet: sizes of a U-Net, where they are not the usual ones.

    Raises:
        ArgumentError: there is no model of that name, or it is for another task.
    """
    from fovea.vision import models
    from fovea.vision.models import segmentation

    fits = name.startswith(_DETECTORS)
    if task == "segmentation":
        fits = name == "unet" or name in models.list_models(segmentation)
    if not fits:
        models.get_model_builder(name)  # names those there are
        known = (
            "glance_n, glance_s, fasterrcnn_..., ..."
            if task == "detection"
            else "unet, lraspp_..., ..."
        )
        raise ArgumentError(f"{name} does no {task}.", fix=f"--model {known}")
    options: dict[str, Any] = {}
    if task == "detection":
        classes = classes + 1
        if name.startswith(_SIZED):
            options = {"image_size": image_size}
        elif name.startswith(_RESIZING):
            options = {"min_size": image_size, "max_size": image_size}
    if name == "unet":
        options = unet or dict(_UNET)
    return models.get_model(name, num_classes=classes, **options)


def save_learned(path: str | os.PathLike[str], learned: Learned) -> None:
    """Write it; the file appears when it is complete."""
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "task": learned.task,
        "model": learned.name,
        "classes": list(learned.classes),
        "image_size": learned.image_size,
        "origin": learned.origin,
        "training": learned.training,
        "state_dict": learned.model.state_dict(),
    }
    save(content, path)


def is_learned(content: Any) -> bool:
    """Whether what a file holds is such a network."""
    return isinstance(content, dict) and content.get("format") == _FORMAT


def load_learned(path: str | os.PathLike[str]) -> Learned:
    """Read a checkpoint and build its network, ready to use.

    Raises:
        FileFormatError: the file is missing, damaged, or not what ``fovea train`` writes.
    """
    return learned_of(load(path), os.fspath(path))


def _unet_sizes(state: Any) -> dict[str, int]:
    """The sizes of the U-Net that has these weights."""
    levels = {key.split(".")[1] for key in state if key.startswith("down.")}
    return {"base_channels": int(state["stem.0.weight"].shape[0]), "depth": len(levels)}


def learned_of(content: Any, where: str) -> Learned:
    """The network in what the file ``where`` holds, ready to use.

    Raises:
        FileFormatError: it is not what ``fovea train`` writes.
    """
    if not is_learned(content):
        raise FileFormatError(f"{where} is no checkpoint of fovea train.")
    if content.get("version") != _VERSION:
        raise FileFormatError(
            f"{where} is of version {content.get('version')!r}; this fovea reads {_VERSION}.",
            fix="pip install --upgrade fovea",
        )
    task, name, classes = (content.get(k) for k in ("task", "model", "classes"))
    size = content.get("image_size")
    plain = isinstance(classes, list) and all(isinstance(c, str) for c in classes)
    if task not in TASKS or not isinstance(name, str) or not plain or not classes:
        raise FileFormatError(f"{where} does not say what its weights are for.")
    if not isinstance(size, int) or not 0 < size <= MOST_PIXELS:
        raise FileFormatError(f"{where}: its images of {size!r} pixels are none.")
    try:
        state = content["state_dict"]
        unet = _unet_sizes(state) if name == "unet" else None
        model = build_network(task, name, len(classes), size, unet)
        model.load_state_dict(state)
    except (FoveaError, KeyError, TypeError, AttributeError) as error:
        text = error.summary if isinstance(error, FoveaError) else str(error)
        raise FileFormatError(f"{where}: its weights do not fit {name}: {text}") from error
    origin, training = content.get("origin"), content.get("training")
    return Learned(
        task, model.eval(), name, list(classes), size,
        origin if isinstance(origin, dict) else {},
        training if isinstance(training, dict) else {},
    )  # fmt: skip
