"""Models by name."""

from __future__ import annotations

import fnmatch
import functools
import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, TypeVar, cast

from fovea.errors import ArgumentError
from fovea.nn import Module

__all__ = [
    "get_model",
    "get_model_builder",
    "list_models",
    "load_weights",
    "register_model",
    "variant",
]

Builder = TypeVar("Builder", bound=Callable[..., Module])
Network = TypeVar("Network", bound=Module)

_OLDER = {"pretrained": "weights", "pretrained_backbone": "weights_backbone"}
_builders: dict[str, Callable[..., Module]] = {}


def register_model(name: str | None = None) -> Callable[[Builder], Builder]:
    """Decorate a function that makes a model, so that ``get_model`` finds it.

    The function also takes torchvision's older arguments ``pretrained`` and
    ``pretrained_backbone``: False is no weights, True ``"DEFAULT"``.

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
                    config[new] = "DEFAULT"
            return builder(*args, **config)

        _builders[chosen] = build
        return cast(Builder, build)

    return register


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

    def build(
        *, weights: str | os.PathLike[str] | None = None, progress: bool = True, **config: Any
    ) -> Network:
        model = make(**{**fixed, **config})
        load_weights(model, weights)
        return model

    build.__name__ = build.__qualname__ = name
    build.__module__ = make.__module__
    build.__doc__ = f"""{text}

    Args:
        weights: a file of weights, torchvision's for example.
        progress: accepted for compatibility.
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
    """The function that makes the model called ``name``.

    Raises:
        ArgumentError: there is none; the message lists those there are.
    """
    found = _builders.get(name.lower())
    if found is None:
        raise ArgumentError(
            f"there is no model named {name!r}.", fix=f"one of {', '.join(list_models())}"
        )
    return found


def get_model(
    name: str,
    *,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    **config: Any,
) -> Module:
    """Make a model by its name.

    Args:
        name: one of ``list_models()``, in any case.
        features_only: make a network that returns a list of maps instead of classes, one for each
            size, from the finest; its ``feature_info`` tells their ``channels()`` and
            ``reduction()``.
        out_indices: which of these maps; None: all.
        **config: arguments of the model's function, such as ``num_classes``.

    Raises:
        ArgumentError: no such model, or one without maps of several sizes.

    >>> get_model("simple_cnn", num_classes=3, in_channels=1).classifier.out_features
    3
    """
    model = get_model_builder(name)(**config)
    if not features_only:
        return model
    from fovea.vision.models.pyramids import FeatureMaps

    return FeatureMaps(model, out_indices)


def load_weights(
    model: Module, weights: str | os.PathLike[str] | None, without: tuple[str, ...] = ()
) -> None:
    """Fill a new model from a file of weights; None leaves it as it is.

    Args:
        model: what is filled.
        weights: the file: names and tensors, or a checkpoint that has them as ``state_dict``;
            names may start with ``module.``, as those of parallel training do.
        without: beginnings of names that the model leaves out.

    Raises:
        ArgumentError: a name such as ``"DEFAULT"``: trained weights do not come with fovea.
    """
    if weights is None:
        return
    from fovea.interop import load

    if isinstance(weights, str) and not os.path.exists(weights) and "." not in weights:
        raise ArgumentError(
            f"weights={weights!r}: trained weights do not come with fovea.",
            fix="give the path of a file of weights (.pth or .safetensors), torchvision's say"
            " example",
        )
    state = load(weights)
    state = state.get("state_dict", state)
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    kept = {name: value for name, value in state.items() if not name.startswith(without)}
    model.load_state_dict(kept if without else state)
