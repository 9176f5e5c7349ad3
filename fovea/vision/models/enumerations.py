"""The weights that torchvision publishes, as enumerations with its names: addresses, what the
weights were trained on and score, and the transforms that images need.

The facts stand in ``published/*.json``, written by ``scripts/published_weights.py``.
"""

from __future__ import annotations

import json
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, EnumMeta
from functools import cache, partial
from pathlib import Path
from typing import Any

from fovea.errors import ArgumentError
from fovea.vision import transforms

__all__ = [
    "Weights",
    "WeightsEnum",
    "attribute_of",
    "enumeration",
    "enumeration_of",
    "get_weight",
    "names_of",
]

_FOLDER = Path(__file__).parent / "published"
_PACKAGES = {
    "models": "fovea.vision.models",
    "detection": "fovea.vision.models.detection",
    "segmentation": "fovea.vision.models.segmentation",
}


@dataclass
class Weights:
    """One file of trained weights.

    Args:
        url: its address.
        transforms: makes what turns an image into the model's input.
        meta: what is known: ``num_params``, ``categories``, ``min_size``, ``recipe``, metrics by
            data set under ``_metrics``, 10⁹ products under ``_ops``, megabytes under
            ``_file_size``.
    """

    url: str
    transforms: Callable[..., Any]
    meta: dict[str, Any]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Weights):
            return NotImplemented
        mine, others = ((w.url, w.meta, _parts(w.transforms)) for w in (self, other))
        return mine == others


def _parts(make: Callable[..., Any]) -> Any:
    """What two partial functions that do the same have in common: they do not compare equal."""
    return (make.func, make.args, make.keywords) if isinstance(make, partial) else make


class _Names(EnumMeta):
    """Says which members there are where one is asked for that there is not."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in cls.__members__:
            known = ", ".join(cls.__members__)
            raise AttributeError(f"{cls.__name__} has no weights named {name!r}: {known}")
        return cls.__members__[name]


class WeightsEnum(Enum, metaclass=_Names):
    """Base of the enumerations of a model's weights; the members' values are ``Weights``.

    >>> from fovea.vision.models import ResNet50_Weights
    >>> weights = ResNet50_Weights.DEFAULT
    >>> weights
    ResNet50_Weights.IMAGENET1K_V2
    >>> weights.meta["num_params"], weights.meta["categories"][282]
    (25557032, 'tiger cat')
    >>> weights.transforms().crop_size
    [224]
    """

    @classmethod
    def verify(cls, obj: Any) -> Any:
        """The member that ``obj`` is or names; None stays None.

        Raises:
            ArgumentError: it names no member, or is another enumeration's.
        """
        if obj is None or isinstance(obj, cls):
            return obj
        if isinstance(obj, str):
            name = obj.removeprefix(f"{cls.__name__}.")
            if name in cls.__members__:
                return cls.__members__[name]
        raise ArgumentError(
            f"{obj!r} are not weights of {cls.__name__}.",
            fix=f"one of {', '.join(cls.__members__)}",
        )

    def get_state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The tensors by name, fetched unless they are in the cache; further arguments are those of
        ``fovea.hub.load_state_dict_from_url``.
        """
        from fovea.hub import load_state_dict_from_url

        return load_state_dict_from_url(self.url, *args, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    @property
    def url(self) -> str:
        """The address of the file."""
        return self.value.url

    @property
    def transforms(self) -> Callable[..., Any]:
        """Makes the transform from an image to the model's input."""
        return self.value.transforms

    @property
    def meta(self) -> dict[str, Any]:
        """What is known of the weights."""
        return self.value.meta


@cache
def _published() -> dict[str, Any]:
    """The facts, by the enumerations' names."""
    return json.loads((_FOLDER / "weights.json").read_text(encoding="utf-8"))


@cache
def _by_model() -> dict[str, str]:
    return {facts["model"]: name for name, facts in _published().items()}


@cache
def _classes() -> dict[str, list[str]]:
    """Lists of names of classes by their data sets."""
    from fovea.vision.datasets.voc import VOC_CLASSES

    lists = json.loads((_FOLDER / "classes.json").read_text(encoding="utf-8"))
    return {**lists, "VOC": ["__background__", *VOC_CLASSES]}


def _weights(facts: dict[str, Any]) -> Weights:
    preset, given = facts["transforms"]
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    if "interpolation" in given:
        given["interpolation"] = transforms.InterpolationMode(given["interpolation"])
    meta = dict(facts["meta"])
    if "min_size" in meta:
        meta["min_size"] = tuple(meta["min_size"])
    for key in ("categories", "keypoint_names"):
        if meta.get(key) is not None:
            meta[key] = _classes()[meta[key]]
    make = getattr(transforms, preset)
    return Weights(facts["url"], partial(make, **given) if given else make, meta)


@cache
def enumeration(model: str) -> type[WeightsEnum]:
    """The enumeration of the published weights of a model.

    Args:
        model: its name, as ``get_model`` takes it.

    Raises:
        ArgumentError: none are published.

    >>> enumeration("vit_b_16").DEFAULT
    ViT_B_16_Weights.IMAGENET1K_V1
    """
    name = _by_model().get(model)
    if name is None:
        raise ArgumentError(
            f"there are no published weights of {model}.",
            fix="give the path of a file of weights (.pth or .safetensors), or train it",
        )
    facts = _published()[name]
    members = {key: _weights(value) for key, value in facts["members"].items()}
    members["DEFAULT"] = members[facts["default"]]
    make: Any = WeightsEnum  # called with members, it makes an enumeration of them
    return make(name, members, module=_PACKAGES[facts["package"]])


def names_of(module: str) -> list[str]:
    """The names of a module's enumerations.

    >>> names_of("fovea.vision.models.segmentation")[0]
    'DeepLabV3_MobileNet_V3_Large_Weights'
    """
    return [name for name, facts in _published().items() if _PACKAGES[facts["package"]] == module]


def attribute_of(module: str, name: str) -> type[WeightsEnum]:
    """A module's enumeration of this name; for its ``__getattr__``."""
    facts = _published().get(name)
    if facts is None or _PACKAGES[facts["package"]] != module:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    return enumeration(facts["model"])


def own_attribute(module: str, name: str) -> type[WeightsEnum]:
    """The enumeration of this name of the weights of a network that a module builds."""
    facts = _published().get(name)
    if facts is None or facts["model"] not in vars(sys.modules[module]):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    return enumeration(facts["model"])


def enumeration_of(builder: Callable[..., Any]) -> type[WeightsEnum]:
    """The enumeration of the weights that a function takes: that of the model of its name, or the
    one that the annotation of its argument ``weights`` names.

    Raises:
        ArgumentError: there is none.
    """
    try:
        hint = typing.get_type_hints(builder).get("weights")
    except NameError:  # an annotation for type checkers alone
        hint = None
    for kind in (hint, *typing.get_args(hint)):
        if isinstance(kind, type) and issubclass(kind, WeightsEnum) and kind is not WeightsEnum:
            return kind
    return enumeration(builder.__name__)


def get_weight(name: str) -> WeightsEnum:
    """Published weights by their full name.

    Raises:
        ArgumentError: there are none of this name.

    >>> get_weight("ResNet50_Weights.IMAGENET1K_V2").url.rpartition("/")[2]
    'resnet50-11ad3fa6.pth'
    """
    owner, _, member = name.partition(".")
    if not member or owner not in _published():
        raise ArgumentError(
            f"get_weight: there are no weights named {name!r}.",
            fix='a name such as "ResNet50_Weights.IMAGENET1K_V2"',
        )
    return enumeration(_published()[owner]["model"]).verify(member)
