"""Models by name."""

from __future__ import annotations

import fnmatch
import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, TypeVar, cast

from fovea.errors import ArgumentError
from fovea.nn import Module
from fovea.vision.models.enumerations import WeightsEnum, enumeration_of
from fovea.vision.models.loading import WeightsLike, first_values, load_weights, with_weights
from fovea.vision.models.other_names import ALIASES

__all__ = [
    "get_model",
    "get_model_builder",
    "get_model_weights",
    "list_models",
    "register_model",
    "variant",
]

Builder = TypeVar("Builder", bound=Callable[..., Module])
Network = TypeVar("Network", bound=Module)

_OLDER = {"pretrained": "weights", "pretrained_backbone": "weights_backbone"}
_FIRST = ("IMAGENET1K_V1", "COCO_V1", "COCO_WITH_VOC_LABELS_V1")
_builders: dict[str, Callable[..., Module]] = {}


def register_model(name: str | None = None) -> Callable[[Builder], Builder]:
    """Decorate a function that makes a model, so that ``get_model`` finds it.

    Its argument ``weights``, if it has one, reaches the function as what ``load_weights`` takes.
    The function also takes torchvision's older arguments ``pretrained`` and
    ``pretrained_backbone``: False is no weights, True the first ones published.

    Args:
        name: its name (default: the function's).

    Raises:
        ArgumentError: the name is taken.
    """

    def register(builder: Builder) -> Builder:
        chosen = name or builder.__name__
        if chosen in _builders:
            raise ArgumentError(f"register_model: there is already a model named {chosen!r}.")

        @functools.wraps(builder)
        def build(*args: Any, **config: Any) -> Module:
            for old, new in _OLDER.items():
                if config.pop(old, False):
                    config[new] = _first(builder, new)
            return builder(*args, **with_weights(builder, config))

        _builders[chosen] = build
        return cast(Builder, build)

    return register


def _first(builder: Callable[..., Module], argument: str) -> str:
    """The name of the weights that ``pretrained=True`` or ``pretrained_backbone=True`` mean."""
    if argument == "weights_backbone":
        of_ssd = builder.__name__ == "ssd300_vgg16"
        return "IMAGENET1K_FEATURES" if of_ssd else "IMAGENET1K_V1"
    names = enumeration_of(builder).__members__
    return next((name for name in _FIRST if name in names), "DEFAULT")


def variant(
    name: str, make: Callable[..., Network], text: str, **fixed: Any
) -> Callable[..., Network]:
    """A registered function that makes one size of an architecture.

    Args:
        name: of the function and of the model.
        make: the architecture's class, or a function that makes it.
        text: the first line of the function's documentation: what it is, its parameters, the size
            of images that it is for.
        **fixed: arguments of ``make``; those of the function's caller take precedence.
    """

    def build(*, weights: WeightsLike = None, progress: bool = True, **config: Any) -> Network:
        with first_values(weights):
            model = make(**{**fixed, **config})
        load_weights(model, weights)
        return model

    build.__name__ = build.__qualname__ = name
    build.__module__ = make.__module__
    build.__doc__ = f"""{text}

    Args:
        weights: published ones (an enumeration's member or its name, such as ``"DEFAULT"``), a
            path, or an address.
        progress: show progress on a terminal if they must be fetched.
        **config: arguments of ``{make.__name__.lstrip("_")}``.
    """
    vars(build)["__signature__"] = _signature(build, make, fixed)
    return register_model(name)(build)


def _signature(
    build: Callable[..., Any], make: Callable[..., Any], fixed: dict[str, Any]
) -> inspect.Signature:
    """That of ``build`` with the arguments of ``make`` that a caller decides."""
    own = list(inspect.signature(build).parameters.values())
    others = [
        p.replace(kind=p.KEYWORD_ONLY)
        for p in inspect.signature(make).parameters.values()
        if p.kind is not p.VAR_KEYWORD and p.name not in fixed
    ]
    return inspect.Signature([*own[:-1], *others, own[-1]])


def list_models(
    module: ModuleType | None = None,
    include: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] | None = None,
) -> list[str]:
    """The names that ``get_model`` takes, sorted.

    Args:
        module: where they must come from: ``fovea.vision.models`` for classes of whole images,
            ``fovea.vision.models.segmentation`` for classes of pixels; None: from anywhere.
        include, exclude: a pattern such as ``"resnet*"``, or several.

    >>> list_models(include="resnet*", exclude=["resnet1*", "*0", "*2"])
    ['resnet34', 'resnet44', 'resnet56']
    """
    return sorted(
        name
        for name, builder in _builders.items()
        if (module is None or builder.__module__.rpartition(".")[0] == module.__name__)
        and (include is None or _matches(name, include))
        and (exclude is None or not _matches(name, exclude))
    )


def _matches(name: str, patterns: str | Iterable[str]) -> bool:
    wanted = [patterns] if isinstance(patterns, str) else patterns
    return any(fnmatch.fnmatch(name, pattern) for pattern in wanted)


def get_model_builder(name: str) -> Callable[..., Module]:
    """The function that makes the model called ``name``, or so called by timm.

    Raises:
        ArgumentError: there is none; the message lists those there are.
    """
    key = name.lower()
    found = _builders.get(ALIASES.get(key, key))
    if found is None and key.startswith("tf_"):
        raise ArgumentError(
            f"{name!r} pads images as TensorFlow does, on one side more than on the other; no "
            "model here does.",
            fix=f"{key.removeprefix('tf_')!r} or another of list_models(), with weights of its own",
        )
    if found is None:
        raise ArgumentError(
            f"there is no model named {name!r}.", fix=f"one of {', '.join(list_models())}"
        )
    return found


def get_model_weights(name: str | Callable[..., Module]) -> type[WeightsEnum]:
    """The enumeration of the published weights of a model.

    Args:
        name: the model's name, or its function.

    Raises:
        ArgumentError: no such model, or none are published.

    >>> list(get_model_weights("resnet50"))
    [ResNet50_Weights.IMAGENET1K_V1, ResNet50_Weights.IMAGENET1K_V2]
    """
    return enumeration_of(get_model_builder(name) if isinstance(name, str) else name)


def get_model(
    name: str,
    *,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    **config: Any,
) -> Module:
    """Make a model by its name.

    Args:
        name: one of ``list_models()``, or timm's name of the same architecture, such as
            ``"vit_base_patch16_224"``; in any case.
        features_only: make a network that returns a list of maps instead of classes, one for each
            size, from the finest; its ``feature_info`` tells their ``channels()`` and
            ``reduction()``.
        out_indices: which of these maps; None: all.
        **config: arguments of the model's function, such as ``weights`` and ``num_classes``. With
            both, weights of another number of classes are loaded but for the layers that count
            them; a warning names these.

    Raises:
        ArgumentError: no such model, or one without maps of several sizes.

    >>> get_model("simple_cnn", num_classes=3, in_channels=1).classifier.out_features
    3
    """
    builder = get_model_builder(name)
    other = {"num_classes", "num_keypoints"} & config.keys()
    model = builder(**with_weights(builder, config, new_head=bool(other)))
    if not features_only:
        return model
    from fovea.vision.models.pyramids import FeatureMaps

    return FeatureMaps(model, out_indices)
