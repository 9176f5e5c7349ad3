"""A trained classifier in one file: weights, and what is needed to use them. No code is in it."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fovea.autograd import no_grad
from fovea.cli.preprocess import Preprocess
from fovea.errors import ArgumentError, FileFormatError, FoveaError, ShapeError
from fovea.functions.creation import zeros
from fovea.interop import load, save
from fovea.tensor import Tensor

if TYPE_CHECKING:
    from fovea.nn import Module

__all__ = ["Classifier", "build_model", "classifier_of", "load_classifier", "save_classifier"]

_FORMAT = "fovea-classifier"
_VERSION = 1
_SMALL = 64  # up to this size, networks take small images in finer steps
_OPTIONS = {"in_channels": int, "small_input": bool, "aux_logits": bool, "image_size": int}


@dataclass
class Classifier:
    """A network, its classes, and how images are prepared for it.

    Attributes:
        model: the network.
        name, options: how ``fovea.vision.models.get_model`` makes it.
        classes: the classes' names.
        preprocess: how images are prepared.
        origin: where the training images came from.
        training: how it was trained, for people: numbers and strings.
    """

    model: Module
    name: str
    options: dict[str, Any]
    classes: list[str]
    preprocess: Preprocess
    origin: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


def build_model(
    name: str, classes: int, preprocess: Preprocess, weights: str | None = None
) -> tuple[Module, dict[str, Any]]:
    """A new network for images so prepared, and its options.

    Args:
        name, classes, preprocess: as in ``Classifier``.
        weights: what it starts from (all but its head, for other classes): published ones by their
            name, a path, or an address; None: values drawn at random.

    Raises:
        ArgumentError: there is no model of that name, it is no classifier, or the images are too
            small for it or not square.
    """
    from fovea.vision import models

    known = inspect.signature(models.get_model_builder(name)).parameters
    options: dict[str, Any] = {"in_channels": preprocess.channels}
    if "small_input" in known:
        small = max(preprocess.height, preprocess.width) <= _SMALL
        options["small_input"] = small and weights is None  # published networks have large stems
    if "aux_logits" in known:
        options["aux_logits"] = False
    if "image_size" in known:
        if preprocess.height != preprocess.width:
            raise ArgumentError(
                f"{name} takes square images, these are {preprocess.height} × {preprocess.width}.",
                fix="--image-size N makes them square",
            )
        options["image_size"] = preprocess.height
    if weights is not None and "weights" not in known:
        raise ArgumentError(f"{name} takes no weights.", fix="another --model, or no --weights")
    start: dict[str, Any] = {} if weights is None else {"weights": weights}
    model = models.get_model(name, num_classes=classes, **options, **start)
    _try(model, name, classes, preprocess)
    return model, options


def _try(model: Module, name: str, classes: int, preprocess: Preprocess) -> None:
    """See that images of this size come through, and that classes come out."""
    size = (preprocess.height, preprocess.width)
    try:
        with no_grad():
            logits = model.eval()(zeros(1, preprocess.channels, *size))
        if not isinstance(logits, Tensor) or tuple(logits.shape) != (1, classes):
            raise ArgumentError(
                f"{name} does not sort images into classes.", fix="choose another --model"
            )
    except ShapeError as error:
        raise ArgumentError(
            f"images of {size[0]} × {size[1]} are too small for {name}: {error.summary}",
            fix="--image-size N enlarges them",
        ) from error


def save_classifier(path: str | os.PathLike[str], classifier: Classifier) -> None:
    """Write a classifier; the file appears when it is complete."""
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "model": classifier.name,
        "options": classifier.options,
        "classes": list(classifier.classes),
        "preprocess": classifier.preprocess.as_dict(),
        "origin": classifier.origin,
        "training": classifier.training,
        "state_dict": classifier.model.state_dict(),
    }
    save(content, path)


def load_classifier(path: str | os.PathLike[str]) -> Classifier:
    """Read a classifier and build its network, ready to use.

    Raises:
        FileFormatError: the file is missing, damaged, or not what ``fovea train`` writes.
    """
    return classifier_of(load(path), os.fspath(path))


def classifier_of(content: Any, where: str) -> Classifier:
    """The classifier in what the file ``where`` holds, ready to use.

    Raises:
        FileFormatError: it is not what ``fovea train`` writes.
    """
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise FileFormatError(
            f"{where} is no checkpoint of fovea train: it does not say what its weights are for.",
            fix="fovea.load reads it in Python",
        )
    if content.get("version") != _VERSION:
        raise FileFormatError(
            f"{where} is of version {content.get('version')!r}; this fovea reads {_VERSION}.",
            fix="pip install --upgrade fovea",
        )
    name, classes = _checked_name(content, where), _checked_classes(content, where)
    options = _checked_options(content, where)
    preprocess = Preprocess.from_dict(content.get("preprocess"), where)
    if options.get("image_size", preprocess.height) != preprocess.height:
        raise FileFormatError(f"{where}: its model and its images differ in size.")
    model = _filled_model(name, classes, options, content.get("state_dict"), where)
    origin, training = content.get("origin"), content.get("training")
    return Classifier(
        model,
        name,
        options,
        classes,
        preprocess,
        origin if isinstance(origin, dict) else {},
        training if isinstance(training, dict) else {},
    )


def _checked_name(content: dict[str, Any], where: str) -> str:
    name = content.get("model")
    if not isinstance(name, str):
        raise FileFormatError(f"{where} does not say which model it is for.")
    return name


def _checked_classes(content: dict[str, Any], where: str) -> list[str]:
    classes = content.get("classes")
    plain = isinstance(classes, list) and all(isinstance(c, str) for c in classes)
    if not plain or not classes or len(set(classes)) != len(classes):
        raise FileFormatError(f"{where} does not list its classes.")
    return list(classes)


def _checked_options(content: dict[str, Any], where: str) -> dict[str, Any]:
    options = content.get("options")
    if not isinstance(options, dict) or not all(
        name in _OPTIONS and type(value) is _OPTIONS[name] for name, value in options.items()
    ):
        raise FileFormatError(f"{where}: the options of its model are not readable.")
    if options.get("in_channels") not in (1, 3):
        raise FileFormatError(f"{where}: its model takes neither gray images nor color.")
    return dict(options)


def _filled_model(
    name: str, classes: list[str], options: dict[str, Any], state: Any, where: str
) -> Module:
    from fovea.vision import models

    try:
        model = models.get_model(name, num_classes=len(classes), **options)
        model.load_state_dict(state)
    except ArgumentError as error:
        raise FileFormatError(f"{where} is for the model {name!r}: {error.summary}") from error
    except (FoveaError, TypeError) as error:
        text = error.summary if isinstance(error, FoveaError) else str(error)
        raise FileFormatError(f"{where}: its weights do not fit its model: {text}") from error
    return model.eval()
