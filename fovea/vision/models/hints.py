"""Which argument, or which network, weights are for that do not fit: names and shapes tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["of_cifar_resnet", "of_mtcnn", "of_resnet", "of_retinaface", "of_side_branches"]

_SIZES: dict[tuple[bool, tuple[int, ...]], str] = {
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
    (True, (3, 8, 36, 3)): "resnet152",
}
# ResNets with bottlenecks by the shape of their first 3×3 convolution, where it is another.
_WIDTHS: dict[tuple[int, ...], dict[str, str]] = {
    (128, 4): {"resnet50": "resnext50_32x4d"},
    (256, 8): {"resnet101": "resnext101_32x8d"},
    (256, 4): {"resnet101": "resnext101_64x4d"},
    (128, 128): {"resnet50": "wide_resnet50_2", "resnet101": "wide_resnet101_2"},
}


def _blocks(names: Iterable[str], stages: int) -> tuple[int, ...]:
    """How many blocks each stage has."""
    found = [m for m in (re.match(r"layer(\d)\.(\d+)\.", str(name)) for name in names) if m]
    counts = [[int(m[2]) + 1 for m in found if int(m[1]) == s + 1] for s in range(stages)]
    return tuple(max(count, default=0) for count in counts)


def _shape(state: Mapping[str, Any], name: str) -> tuple[int, ...]:
    return tuple(getattr(state.get(name), "shape", ()))


def of_cifar_resnet(own: Mapping[str, Any], state: Mapping[str, Any]) -> str | None:
    """What ``CifarResNet`` needs to be for these weights.

    >>> import fovea
    >>> from fovea.vision import models
    >>> weights = models.resnet20(option="B").state_dict()
    >>> of_cifar_resnet(models.resnet20().state_dict(), weights)
    'option="B" makes the shortcuts that these weights are of'
    """
    ours, theirs = _blocks(own, 3), _blocks(state, 3)
    if theirs != ours and len(set(theirs)) == 1 and theirs[0]:
        return f"these are the weights of a resnet{6 * theirs[0] + 2}"
    name = "layer2.0.shortcut.0.weight"
    if theirs == ours and (name in own) != (name in state):
        return f'option="{"AB"[name in state]}" makes the shortcuts that these weights are of'
    return None


def of_resnet(own: Mapping[str, Any], state: Mapping[str, Any]) -> str | None:
    """What ``ResNet`` needs to be for these weights."""
    deep = "layer1.0.conv3.weight" in state
    name = _SIZES.get((deep, _blocks(state, 4)))
    width = _shape(state, "layer1.0.conv2.weight")[:2]
    if name and deep and width != (64, 64):
        name = _WIDTHS.get(width, {}).get(name)
    mine = [("layer1.0.conv3.weight" in m, _blocks(m, 4)) for m in (own, state)]
    other = mine[0] != mine[1] or _shape(own, "layer1.0.conv2.weight")[:2] != width
    if name and other:
        return f"these are the weights of a {name}"
    stem = _shape(state, "conv1.weight")
    if other or len(stem) != 4 or stem[2:] == _shape(own, "conv1.weight")[2:]:
        return None
    if stem[2:] in ((3, 3), (7, 7)):
        return f"small_input={stem[2] == 3} makes the first convolution that these weights are of"
    return None


def of_side_branches(
    own: Mapping[str, Any], state: Mapping[str, Any], beginnings: tuple[str, ...]
) -> str | None:
    """Whether networks with classifiers at their side, and weights, differ by these alone."""
    differing = [name for name in {**own, **state} if (name in own) != (name in state)]
    differing = [name for name in differing if not name.endswith("num_batches_tracked")]
    if not differing or not all(name.startswith(beginnings) for name in differing):
        return None
    there = any(name in state for name in differing)
    return f"aux_logits={there} makes the network that these weights are of"


_BODIES = {  # RetinaFace by a layer that only one has
    "stage1.0.0.weight": "retinaface_mobilenet025",
    "layer1.0.conv1.weight": "retinaface_resnet50",
}


def of_retinaface(own: Mapping[str, Any], state: Mapping[str, Any]) -> str | None:
    """What ``RetinaFace`` needs to be for these weights.

    >>> from fovea.vision import models
    >>> weights = models.get_model("retinaface_mobilenet025", num_classes=3).state_dict()
    >>> own = models.get_model("retinaface_mobilenet025").state_dict()
    >>> of_retinaface(own, weights)
    'num_classes=3 makes the heads that these weights are of'
    """
    for layer, name in _BODIES.items():
        ours = f"body.{layer}" in own
        if f"body.{layer}" in state and not ours:
            return f"these are the weights of a {name}"
        if layer in state and ours:
            return "these are the weights of its backbone alone: weights_backbone= takes them"
    for head, argument, columns in (("Class", "num_classes", 2), ("Landmark", "num_keypoints", 4)):
        theirs, mine = (_shape(m, f"{head}Head.0.conv1x1.weight")[:1] for m in (state, own))
        if theirs and theirs != mine and theirs[0] % columns == 0:
            return f"{argument}={theirs[0] // columns} makes the heads that these weights are of"
    return None


def of_mtcnn(state: Mapping[str, Any]) -> str | None:
    """Which of its networks weights are of that are not the whole ``MTCNN``'s."""
    signs = {"pnet": ("conv4_1",), "rnet": ("dense5_1", "conv5_1"), "onet": ("dense6_1", "conv6_1")}
    part = next((p for p, own in signs.items() if any(f"{n}.weight" in state for n in own)), None)
    if part is None:
        return None
    return (
        f"these are the weights of {part} alone: give the folder that has pnet.pt, rnet.pt and "
        f"onet.pt, or load them into model.{part}"
    )
