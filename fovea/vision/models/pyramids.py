"""Networks for whole images as pyramids of maps: ``get_model(name, features_only=True)``.

Names and habits are timm's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from fovea import nn
from fovea.errors import ArgumentError
from fovea.vision.models.feature_extraction import FeatureExtractor
from fovea.vision.models.steps import Survey, survey

__all__ = ["FeatureInfo", "FeatureMaps", "Level"]

_ADAPTIVE = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)  # their maps are of one size


class Level(NamedTuple):
    """A map of a pyramid.

    Args:
        module: the path of the module that makes it.
        reduction: pixels of the image a pixel of the map, along one side.
        num_chs: its channels.
        channels_last: whether the network has it as (N, H, W, C).
        step: the call of the module.
    """

    module: str
    reduction: int
    num_chs: int
    channels_last: bool
    step: str


class FeatureInfo(list[Level]):
    """The maps that come out, from the finest."""

    def channels(self) -> list[int]:
        """Those of each map."""
        return [level.num_chs for level in self]

    def reduction(self) -> list[int]:
        """Pixels of the image a pixel of each map, along one side."""
        return [level.reduction for level in self]

    def module_name(self) -> list[str]:
        """The paths of the modules that make them."""
        return [level.module for level in self]


class FeatureMaps(FeatureExtractor):
    """A network's maps: for each size (a half, a quarter ... of the image's) the last that it makes
    before it goes on to a smaller one.

    Args:
        model: the network, whose tensors this one shares.
        out_indices: which of the maps, 0 being the finest; None: all.

    Takes images and returns a list of maps (N, C, H, W), from the finest. ``feature_info`` tells
    their ``channels()``, ``reduction()`` and ``module_name()``.

    Raises:
        ArgumentError: a network without maps of several sizes, or numbers of maps there are not.

    >>> import fovea
    >>> from fovea.vision import models
    >>> net = models.get_model("resnet18", features_only=True, out_indices=(2, 3))
    >>> [tuple(x.shape) for x in net(fovea.zeros(1, 3, 64, 96))]
    [(1, 128, 8, 12), (1, 256, 4, 6)]
    >>> net.feature_info.module_name(), net.feature_info.reduction()
    (['layer2', 'layer3'], [8, 16])
    """

    def __init__(self, model: nn.Module, out_indices: Sequence[int] | None = None) -> None:
        found = survey(model, training=True), survey(model, training=False)
        levels = _levels(model, found[1])
        if len(levels) < 2:
            raise ArgumentError(
                f"{type(model).__name__} has no pyramid of maps.",
                fix="create_feature_extractor(model, names of steps)",
            )
        chosen = range(len(levels)) if out_indices is None else out_indices
        if any(not -len(levels) <= i < len(levels) for i in chosen):
            raise ArgumentError(
                f"out_indices: {type(model).__name__} has maps 0 to {len(levels) - 1}, got "
                f"{tuple(chosen)}.",
                fix=f"their reductions are {[level.reduction for level in levels]}",
            )
        kept = [levels[i] for i in sorted({i % len(levels) for i in chosen})]
        super().__init__(model, found, [[level.step for level in kept]] * 2)
        self.__dict__["feature_info"] = FeatureInfo(kept)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        found = super().forward(*args, **kwargs)
        maps = [found[level.step] for level in self.feature_info]
        return [
            x.permute(0, 3, 1, 2) if level.channels_last else x
            for x, level in zip(maps, self.feature_info, strict=True)
        ]


def _levels(model: nn.Module, found: Survey) -> list[Level]:
    """The last map of each size, from the finest, up to the coarsest."""
    image = next(iter(found.steps.values()))
    if image is None or len(image) != 4:
        return []
    levels: dict[int, Level] = {}
    for level in _maps(found, model, "", image[2], 1):
        if level.reduction < max(levels, default=1):
            break  # on the way up again
        levels[level.reduction] = level
    return list(levels.values())


def _maps(found: Survey, model: nn.Module, path: str, size: int, before: int) -> Iterator[Level]:
    """Maps that the modules called by one make; of a module that halves more than once, those
    within it.
    """
    called = {step.rpartition(":")[0] for step in found.steps if ":" in step}
    for step, shape in found.steps.items():
        name = step.rpartition(":")[0]
        if name not in called or _caller(name, called) != path:
            continue
        level = _level(step, shape, size)
        if level is None or isinstance(model.get_submodule(name), _ADAPTIVE):
            continue
        within = [each for each in called if _caller(each, called) == name]
        if level.reduction > 2 * before and within:
            yield from _maps(found, model, name, size, before)
        else:
            yield level
        before = level.reduction


def _caller(path: str, called: set[str]) -> str:
    """The innermost of the called modules that a module lies in."""
    while path:
        path = path.rpartition(".")[0]
        if path in called:
            break
    return path


def _level(step: str, shape: tuple[int, ...] | None, size: int) -> Level | None:
    """A step's map of an image of ``size``; None if what it makes is none."""
    if shape is None or len(shape) != 4:
        return None
    last = shape[2] != shape[3]
    height, width, channels = (shape[i] for i in ((1, 2, 3) if last else (2, 3, 1)))
    if height != width or height == 1:
        return None
    reduction = 2 ** round(math.log2(size / height))
    return Level(step.rpartition(":")[0], reduction, channels, last, step)
