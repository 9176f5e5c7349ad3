"""The layers of a network that count classes, and new ones for other classes."""

from __future__ import annotations

import math
from typing import Any

from fovea import nn
from fovea.errors import ArgumentError

__all__ = ["class_layers", "replace_head"]

_PARTS = ("fc", "head", "heads", "classifier", "aux1", "aux2", "AuxLogits", "aux_classifier")
_PAIR = ("low_classifier", "high_classifier")  # LR-ASPP adds the results of two layers
_OF_REGIONS = (
    "box_predictor.cls_score",
    "box_predictor.bbox_pred",
    "mask_predictor.mask_fcn_logits",
)
_POINTS = ("keypoint_predictor.kps_score_lowres", "LandmarkHead.")
_RARE = 0.01  # the share of boxes that one-stage detectors first take for an object


def class_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers whose number of results follows from the number of classes (or of key points), by
    their dotted names: those of auxiliary classifiers, too.

    >>> from fovea.vision import models
    >>> list(class_layers(models.simple_cnn()))
    ['classifier']
    """
    if hasattr(model, "roi_heads"):
        names = [f"roi_heads.{name}" for name in (*_OF_REGIONS, _POINTS[0])]
        modules = dict(model.named_modules())
        return {name: modules[name] for name in names if name in modules}
    if _finds_faces(model):
        return {
            name: module
            for name, module in model.named_modules()
            if name.startswith(("ClassHead.", "LandmarkHead.")) and name.endswith(".conv1x1")
        }
    network = _glance(model)
    if network is not None:
        last: dict[str, nn.Module] = {}
        for name, head in network.heads.named_children():
            last |= _last(head.classes, f"network.heads.{name}.classes")
        return last
    boxes = _box_head(model)
    if boxes is not None:
        return _of_boxes(boxes, "head.classification_head")
    found = {}
    for name in _PARTS:
        part = getattr(model, name, None)
        if isinstance(part, nn.Module):
            found.update(_last(part, name))
    if found:
        return found
    children = [child for child in model.named_children() if list(child[1].parameters())]
    return {name: child for name, child in children[-1:] if isinstance(child, nn.Linear)}


def _of_boxes(head: nn.Module, prefix: str) -> dict[str, nn.Module]:
    """The layers that class boxes, of a detector in one stage."""
    if hasattr(head, "cls_logits"):
        return {f"{prefix}.cls_logits": head.cls_logits}
    found = {}
    for name, part in head.module_list.named_children():
        found.update(_last(part, f"{prefix}.module_list.{name}"))
    return found


def _last(part: nn.Module, prefix: str) -> dict[str, nn.Module]:
    """The last layer with weights of a part."""
    layers: dict[str, nn.Module] = {
        f"{prefix}.{name}" if name else prefix: module
        for name, module in part.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    pair = {name: layers[name] for name in (f"{prefix}.{end}" for end in _PAIR) if name in layers}
    return pair or dict(list(layers.items())[-1:])


def replace_head(model: nn.Module, num_classes: int) -> nn.Module:
    """Give a trained network new last layers for other classes; all other layers stay as they are.

    For the networks of ``fovea.vision.models``, and for others whose last layer lies in a part
    called ``fc``, ``head``, ``heads`` or ``classifier``, or is linear and made last. Layers of
    auxiliary classifiers and all layers of a detector that count classes are new, too; those of
    key points stay.

    Args:
        model: what is changed.
        num_classes: how many there are, for detectors with the background where they count it.

    Returns:
        The model.

    Raises:
        ArgumentError: no layer that counts classes is found.

    >>> import fovea
    >>> from fovea.vision import models
    >>> net = models.replace_head(models.mobilenet_v3_small(), num_classes=5)
    >>> net.classifier
    Sequential(
      (0): Linear(in_features=576, out_features=1024, bias=True)
      (1): Hardswish()
      (2): Dropout(p=0.2, inplace=True)
      (3): Linear(in_features=1024, out_features=5, bias=True)
    )
    """
    if num_classes < 1:
        raise ArgumentError(f"replace_head: num_classes must be at least 1, got {num_classes}.")
    layers = {
        name: each
        for name, each in class_layers(model).items()
        if not any(points in name for points in _POINTS)
    }
    if not layers:
        raise ArgumentError(
            f"replace_head: {type(model).__name__} has no layer that counts classes under a usual "
            "name.",
            fix=f"replace it yourself; usual names are {', '.join(_PARTS[:4])}",
        )
    network = _glance(model)
    if network is not None:
        num_classes -= 1  # nothing is told of the background
    before = _classes(model, layers)
    for name, layer in layers.items():
        place, _, own = name.rpartition(".")
        new = _new(layer, len(layer.get_parameter("weight")) * num_classes // before)
        if own == "cls_logits" or network is not None:
            _expect_nothing(new)
        setattr(model.get_submodule(place), own, new)
    for module in (model, _box_head(model), network):
        for count in ("num_classes", "num_columns"):
            if hasattr(module, count):
                setattr(module, count, num_classes)
    return model


def _finds_faces(model: nn.Module) -> bool:
    """Whether a network is a ``RetinaFace``."""
    return isinstance(getattr(model, "ClassHead", None), nn.ModuleList)


def _glance(model: nn.Module) -> nn.Module | None:
    """The network of a ``Glance``, whose heads class places."""
    network = getattr(model, "network", None)
    return network if isinstance(getattr(network, "heads", None), nn.ModuleList) else None


def _box_head(model: nn.Module) -> nn.Module | None:
    """The part of a detector in one stage that classes boxes."""
    return getattr(getattr(model, "head", None), "classification_head", None)


def _classes(model: nn.Module, layers: dict[str, nn.Module]) -> int:
    """How many classes a network tells apart."""
    head = model if _finds_faces(model) else _box_head(model)
    for count in ("num_classes", "num_columns"):
        if hasattr(head, count):
            return int(getattr(head, count))
    return len(next(iter(layers.values())).get_parameter("weight"))


def _new(layer: nn.Module, results: int) -> nn.Module:
    """A layer with other results; otherwise like the one given, on its device, in its type."""
    weight, has_bias = layer.get_parameter("weight"), getattr(layer, "bias", None) is not None
    place: dict[str, Any] = {"bias": has_bias, "dtype": weight.dtype, "device": weight.device}
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, results, **place).train(layer.training)
    assert isinstance(layer, nn.Conv2d)  # class_layers finds no others
    return nn.Conv2d(
        layer.in_channels,
        results,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        padding_mode=layer.padding_mode,
        **place,
    ).train(layer.training)


def _expect_nothing(layer: nn.Module) -> None:
    """First values under the focal loss: most places hold no object of a class."""
    nn.init.normal_(layer.get_parameter("weight"), std=0.01)
    nn.init.constant_(layer.get_parameter("bias"), -math.log((1 - _RARE) / _RARE))
