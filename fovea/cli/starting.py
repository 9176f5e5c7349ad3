"""Detectors and segmenters that start from weights which have learned something."""

from __future__ import annotations

import inspect
import os
import re
from typing import TYPE_CHECKING, Any

from fovea.errors import ArgumentError, FileFormatError
from fovea.nn.state import StateDictError

if TYPE_CHECKING:
    from fovea.nn import Module

__all__ = ["begun", "unet_of", "unet_sizes"]

_NAME = re.compile(r"(?:\w+_Weights\.)?[A-Z][A-Z0-9_]*")  # of published weights


def begun(name: str, options: dict[str, Any], weights: str) -> Module:
    """A network with weights, but for the layers that count other classes than theirs.

    Args:
        name: of ``fovea.vision.models.get_model``.
        options: its further arguments.
        weights: published weights of the network or of its backbone, by their name; a file or an
            address of either.

    Raises:
        ArgumentError: there are none of that name, or the network takes none.
        FileFormatError, StateDictError: a file that is missing or does not fit.
    """
    from fovea.vision.models import get_model, get_model_builder
    from fovea.vision.models.loading import Source

    # With weights of its own SSDlite's backbone has other widths, which no checkpoint tells.
    takes = inspect.signature(get_model_builder(name)).parameters
    has_backbone = "weights_backbone" in takes and not name.startswith("ssdlite")
    if not os.path.exists(weights) and _NAME.fullmatch(weights):
        if has_backbone and not _publishes(name, weights):
            return get_model(name, **options, weights_backbone=weights)
        return get_model(name, **options, weights=weights)
    try:
        return get_model(name, **options, weights=weights)
    except (StateDictError, FileFormatError):
        if not has_backbone or not os.path.exists(weights):
            raise
        try:
            source = Source(weights, new_head=True)
            return get_model(name, **options, weights_backbone=source)
        except (StateDictError, FileFormatError):
            pass  # it is not its backbone's, either
        raise


def _publishes(name: str, weights: str) -> bool:
    """Whether there are weights of this name for the whole network."""
    from fovea.vision.models import get_model_weights

    owner, dot, member = weights.rpartition(".")
    try:
        found = get_model_weights(name)
    except ArgumentError:
        return False
    return member in found.__members__ and (not dot or owner == found.__name__)


def unet_of(weights: str) -> dict[str, int]:
    """The sizes of the U-Net whose weights are in a file or at an address.

    Raises:
        ArgumentError: they are of another network, or the name of published weights.
    """
    from fovea.vision.models.loading import source_of

    if not os.path.exists(weights) and _NAME.fullmatch(weights):
        raise ArgumentError(
            f"no weights of unet are published as {weights}.",
            fix="a file that fovea train wrote, or --model lraspp_mobilenet_v3_large",
        )
    try:
        return unet_sizes(source_of(weights).read(["stem.0.weight"]))
    except KeyError:
        raise ArgumentError(f"{weights} holds no weights of a U-Net.") from None


def unet_sizes(state: Any) -> dict[str, int]:
    """The sizes of the U-Net that has these weights; KeyError if none has."""
    levels = {key.split(".")[1] for key in state if key.startswith("down.")}
    return {"base_channels": int(state["stem.0.weight"].shape[0]), "depth": len(levels)}
