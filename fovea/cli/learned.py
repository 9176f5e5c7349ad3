"""A trained detector or segmenter in one file: weights, and what is needed to use them. No code is
in it.
"""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fovea.cli.starting import begun, unet_of, unet_sizes
from fovea.errors import ArgumentError, FileFormatError, FoveaError
from fovea.interop import load, save
from fovea.nn import BatchNorm2d
from fovea.vision.ops.misc import FrozenBatchNorm2d

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
_SIZED, _RESIZING = ("glance_",), ("fasterrcnn_", "retinanet_", "fcos_", "retinaface_")
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
    task: str,
    name: str,
    classes: int,
    image_size: int,
    unet: dict[str, int] | None = None,
    weights: str | None = None,
) -> Module:
    """A new network.

    Args:
        task, name, classes, image_size: as of `Learned`.
        unet: sizes of a U-Net, where they are not the usual ones.
        weights: what it starts from (all but what counts classes, for other classes): published
            ones of the network or of its backbone by their name, a path, or an address; None:
            values drawn at random.

    Raises:
        ArgumentError: there is no model of that name, it is for another task, or there are no such
            weights for it.
        StateDictError: weights of another network.
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
        raise ArgumentError(f"{name} is not trained for {task} here.", fix=f"--model {known}")
    options: dict[str, Any] = {}
    if task == "detection":
        classes = classes + 1
        if name.startswith(_SIZED):
            options = {"image_size": image_size}
        elif name.startswith(_RESIZING):
            options = {"min_size": image_size, "max_size": image_size}
    if name == "unet":
        options = unet or (dict(_UNET) if weights is None else unet_of(weights))
    elif "aux_loss" in inspect.signature(models.get_model_builder(name)).parameters:
        options = {"aux_loss": False}  # which training does not look at
    options["num_classes"] = classes
    return models.get_model(name, **options) if weights is None else begun(name, options, weights)


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
    frozen = [m for m in learned.model.modules() if isinstance(m, FrozenBatchNorm2d)]
    if frozen:  # with published weights, some networks are made with other normalizations
        content["frozen_eps"] = frozen[0].eps
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


def _freeze_norms(model: Module, state: Any, eps: Any) -> None:
    """Make the batch normalizations frozen that were frozen when the state was kept."""
    if isinstance(eps, bool) or not isinstance(eps, int | float) or not eps >= 0:
        raise FileFormatError(f"{eps!r} cannot be added to a variance.")
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, BatchNorm2d) and f"{name}.num_batches_tracked" not in state
    ]
    for name in found:
        place, _, own = name.rpartition(".")
        channels = model.get_submodule(name).get_buffer("running_mean").shape[0]
        setattr(model.get_submodule(place), own, FrozenBatchNorm2d(channels, float(eps)))


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
        unet = unet_sizes(state) if name == "unet" else None
        model = build_network(task, name, len(classes), size, unet)
        if "frozen_eps" in content:
            _freeze_norms(model, state, content["frozen_eps"])
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
