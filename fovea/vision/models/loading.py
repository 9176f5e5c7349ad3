"""Weights for a new model: which ones an argument names, what they ask of the model, and how the
model is filled with them.
"""

from __future__ import annotations

import inspect
import os
import urllib.parse
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from fovea.errors import ArgumentError
from fovea.nn import Module, init
from fovea.vision.models.enumerations import WeightsEnum, enumeration_of
from fovea.vision.models.heads import class_layers
from fovea.vision.models.other_names import renamed

__all__ = [
    "Source",
    "WeightsLike",
    "first_values",
    "load_weights",
    "of_timm",
    "source_of",
    "with_weights",
]

_COUNTS = {"num_classes": "categories", "num_keypoints": "keypoint_names"}


@dataclass(frozen=True)
class Source:
    """Where a model's weights come from.

    Args:
        place: published weights, a path, or an address.
        progress: show progress on a terminal if they must be fetched.
        new_head: leave the layers that count classes as they are where the file's are of another
            number of classes.
    """

    place: WeightsEnum | str | os.PathLike[str]
    progress: bool = True
    new_head: bool = False

    def __str__(self) -> str:
        if isinstance(self.place, WeightsEnum):
            return repr(self.place)
        return os.fspath(self.place)

    @property
    def file_name(self) -> str:
        """The file's name without folders."""
        place = self.place.url if isinstance(self.place, WeightsEnum) else os.fspath(self.place)
        return os.path.basename(urllib.parse.urlsplit(place).path if _is_url(place) else place)

    def read(self, wanted: Iterable[str] = ()) -> dict[str, Any]:
        """The tensors by name, without the wrappings that checkpoints put around them.

        Args:
            wanted: the names that the model has.

        Raises:
            FileFormatError: the file holds something else.
        """
        from fovea.interop.checkpoints import find_state_dict
        from fovea.interop.sources import load_from

        if isinstance(self.place, WeightsEnum):
            content = self.place.get_state_dict(progress=self.progress, check_hash=True)
        else:
            content = load_from(self.place, progress=self.progress)
        return find_state_dict(content, wanted, str(self))


WeightsLike = Source | WeightsEnum | str | os.PathLike[str] | None


def source_of(weights: Source | WeightsEnum | str | os.PathLike[str]) -> Source:
    """Weights as a ``Source``."""
    return weights if isinstance(weights, Source) else Source(weights)


def of_timm(weights: Source | WeightsEnum | str | os.PathLike[str]) -> bool:
    """Whether weights are timm's own, by their address.

    >>> of_timm("hf://timm/inception_v3.gluon_in1k"), of_timm("DEFAULT")
    (True, False)
    """
    place = source_of(weights).place
    return isinstance(place, str) and place.lower().startswith("hf://timm/")


def first_values(weights: WeightsLike) -> AbstractContextManager[None]:
    """Within, modules draw their first values, unless all of them will be replaced by weights."""
    replaced = weights is not None and not source_of(weights).new_head
    return init.skipped() if replaced else nullcontext()


def _is_url(place: str) -> bool:
    from fovea.interop.sources import is_address

    return is_address(place)


def _place(builder: Callable[..., Module], weights: Any) -> Any:
    """The published weights, path or address that an argument of a model's function stands for."""
    if isinstance(weights, str):
        owner, dot, _ = weights.partition(".")
        path = "/" in weights or os.sep in weights or (dot and not owner.endswith("_Weights"))
        # Where there is no file of that name, reading it will say so.
        if path or _is_url(weights) or os.path.exists(weights):
            return weights
    if isinstance(weights, str | WeightsEnum):
        return enumeration_of(builder).verify(weights)
    if not isinstance(weights, os.PathLike):
        raise ArgumentError(
            f"{builder.__name__}: weights are a member of an enumeration or its name, a path or an "
            f"address, got {weights!r}."
        )
    return weights


def with_weights(
    builder: Callable[..., Module], config: dict[str, Any], new_head: bool = False
) -> dict[str, Any]:
    """Arguments of a model's function with its weights found, and with what they ask of it.

    Args:
        builder: the function.
        config: the arguments.
        new_head: whether other numbers of classes than the weights' are welcome.

    Raises:
        ArgumentError: weights that there are not, that are another model's, or that were trained
            with other values of arguments given.
    """
    weights, backbone = config.get("weights"), config.get("weights_backbone")
    progress, ready = config.get("progress", True), dict(config)
    if backbone is not None:  # a whole model's weights hold the backbone's
        ready["weights_backbone"] = (
            replace(source_of(backbone), progress=progress) if weights is None else None
        )
    if weights is None:
        return ready
    source = weights if isinstance(weights, Source) else Source(weights, progress, new_head)
    source = replace(source, place=_place(builder, source.place))
    ready["weights"] = source
    if not isinstance(source.place, WeightsEnum):
        return ready
    for key, value in _asked(builder, source.place).items():
        given = config.get(key)
        if given is None:
            ready[key] = value
        elif given != value and not (source.new_head and key in _COUNTS):
            raise _mismatch(builder, source.place, key, value, given)
    return ready


def _asked(builder: Callable[..., Module], weights: WeightsEnum) -> dict[str, Any]:
    """The arguments that weights were trained with."""
    asked: dict[str, Any] = {
        argument: len(weights.meta[key])
        for argument, key in _COUNTS.items()
        if weights.meta.get(key) is not None
    }
    size = weights.meta.get("min_size")
    parameters = inspect.signature(builder).parameters
    if size is not None and "image_size" in parameters:
        asked["image_size"] = size[0]
    if size is not None and "input_size" in parameters:
        asked["input_size"] = size
    return asked


def _mismatch(
    builder: Callable[..., Module], weights: WeightsEnum, key: str, value: Any, given: Any
) -> ArgumentError:
    name = builder.__name__
    fix = f"{key}={value}, or no weights"
    if key in _COUNTS:
        fix = f'get_model("{name}", weights=..., {key}={given}) loads all but the head'
    return ArgumentError(f"{name}: {weights!r} have {key}={value}, got {key}={given}.", fix=fix)


def load_weights(model: Module, weights: WeightsLike, without: tuple[str, ...] = ()) -> None:
    """Fill a new model with weights; None leaves it as it is.

    Names as timm and others have them for the same architecture are told by themselves.

    Args:
        model: what is filled.
        weights: published weights, or a file or address: names and tensors, a checkpoint that has
            them below ``state_dict``, ``model`` or another usual key, or a whole module; names may
            all start with ``module.``, as those of parallel training do.
        without: beginnings of names that the model leaves out.

    Raises:
        StateDictError: weights that do not fit; says all that is missing, left over or of another
            shape.
    """
    if weights is None:
        return
    source = source_of(weights)
    state = renamed(model, source.read(model.state_dict()))
    if without:
        state = {name: value for name, value in state.items() if not name.startswith(without)}
    if source.new_head:
        state = _with_own_head(model, state, source)
    model.load_state_dict(state)


def _with_own_head(model: Module, state: dict[str, Any], source: Source) -> dict[str, Any]:
    """The state with the model's own values where the layers that count classes have others."""
    own = model.state_dict()
    layers = class_layers(model)
    counting = [name for name in own if name.rpartition(".")[0] in layers]
    other = [n for n in counting if n not in state or own[n].shape != state[n].shape]
    # Without any of the other layers it is no state of this network: the error says so.
    if other and any(name in state for name in own if name not in counting):
        new = ", ".join(sorted({name.rpartition(".")[0] for name in other}))
        lacks = any(name not in state for name in other)
        why = "which the weights do not have" if lacks else "for another number of classes"
        warnings.warn(
            f"{source}: loaded but for {new}, which start anew{',' if lacks else ''} {why}.",
            stacklevel=2,
        )
    else:
        other = []
    return {**state, **{name: own[name] for name in other}}
