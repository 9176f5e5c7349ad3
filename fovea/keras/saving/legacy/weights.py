"""The weights in an ``.h5`` file: a group for each layer, and a list of names in each group."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import FileFormatError
from fovea.interop.hdf5 import H5File, trouble
from fovea.keras.saving.legacy.layouts import values_now
from fovea.keras.saving.weights import refuse_unfit
from fovea.keras.variables import assign

__all__ = ["WeightsGroup", "load_weights", "write_weights"]

Array = np.ndarray[Any, Any]
Pairs = list[tuple[Any, Array]]
TOP = "top_level_model_weights"
_LARGEST_ATTRIBUTE = 64512  # bytes; longer lists are cut into several attributes


@dataclass
class WeightsGroup:
    """The group of an open file that holds weights.

    Attributes:
        file: the file.
        group: the group in it.
        era: the first number of the version of Keras that wrote it.
        backend: what Keras ran on, if the file says.
    """

    file: H5File
    group: Any
    era: int
    backend: str | None

    @staticmethod
    def is_in(file: H5File) -> bool:
        """Whether a file holds weights in this form."""
        own = file.group("model_weights")
        with trouble(file.name):
            attributes = (file.file if own is None else own).attrs
            return "layer_names" in attributes or "layer_names0" in attributes

    @classmethod
    def of(cls, file: H5File) -> WeightsGroup:
        """The weights in a file of a model, or of weights alone.

        Raises:
            FileFormatError: there are none.
        """
        root = file.file
        own = file.group("model_weights")
        group = root if own is None else own
        version = file.text(group, "keras_version") or file.text(root, "keras_version") or "1"
        backend = file.text(group, "backend") or file.text(root, "backend")
        digit = version[:1]
        found = cls(file, group, int(digit) if digit.isdigit() else 1, backend)
        if not cls.is_in(file):
            raise FileFormatError(
                f"{file.name} holds no weights as Keras's .h5 files do.",
                fix="fovea.load reads all arrays of an HDF5 file by their paths",
            )
        return found

    def names(self, owner: Any, name: str) -> list[str]:
        """A list of names, which may be cut into ``name0``, ``name1`` ..."""
        found = self.file.texts(owner, name)
        if found is not None:
            return found
        found, number = [], 0
        while (part := self.file.texts(owner, f"{name}{number}")) is not None:
            found, number = found + part, number + 1
        return found

    def layers(self) -> list[str]:
        """The names of the layers, in the model's order."""
        return self.names(self.group, "layer_names")

    def weights_of(self, layer: str) -> list[str]:
        """The names of a layer's weights, in order."""
        return self.names(self._group_of(layer), "weight_names")

    def values_of(self, layer: str) -> list[Array]:
        """A layer's weights."""
        group = self._group_of(layer)
        return [self.file.entry(n, group)[1]() for n in self.names(group, "weight_names")]

    def _group_of(self, layer: str) -> Any:
        found = self.file.group(layer, self.group)
        if found is None:
            raise FileFormatError(f"{self.file.name} names the layer {layer!r} and lacks it.")
        return found

    def holds(self, layer: str) -> bool:
        """Whether there is a group of that name."""
        return self.file.group(layer, self.group) is not None


# -- reading ----------------------------------------------------------------------------------


def load_weights(
    held: WeightsGroup, model: Any, by_name: bool | None = None, skip_mismatch: bool = False
) -> None:
    """Take a file's weights into a model. Nothing is changed unless everything fits.

    Args:
        held: the weights.
        model: what takes them.
        by_name: True: layers of the same names, others stay; False: layers in order; None: by name
            if the names are the same, else in order.
        skip_mismatch: leave out what does not fit, with a warning.

    Raises:
        FileFormatError: the file is damaged, or lacks weights. ShapeError: weights do not fit.
    """
    pairs: Pairs = []
    problems: list[str] = []
    for layer, name in _matched(held, model, by_name, problems):
        pairs += _fitted(held, layer, name, problems)
    pairs += _top_level(held, model, problems)
    if problems and skip_mismatch:
        warnings.warn(
            f"{len(problems)} weights or layers of {held.file.name} do not fit and are left out: "
            + "; ".join(problems[:5]),
            stacklevel=4,
        )
    elif problems:
        refuse_unfit(model, problems)
    for variable, value in pairs:
        assign(variable, value)


def ordered_weights(layer: Any) -> list[Any]:
    """A layer's weights in the order of these files: those that are learned come first."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _matched(
    held: WeightsGroup, model: Any, by_name: bool | None, problems: list[str]
) -> list[tuple[Any, str]]:
    """Layers with the names that the file has for them."""
    own = {layer.name: layer for layer in model.layers}
    if by_name:
        return [(own[name], name) for name in held.layers() if name in own]
    names = [name for name in held.layers() if held.weights_of(name)]
    layers = [layer for layer in model.layers if layer.weights]
    if by_name is None and set(names) == {layer.name for layer in layers}:
        return [(own[name], name) for name in names]
    if len(names) != len(layers):
        problems.append(f"{len(layers)} layers with weights, the file has {len(names)}")
    return list(zip(layers, names, strict=False))


def _fitted(held: WeightsGroup, layer: Any, name: str, problems: list[str]) -> Pairs:
    """A layer's weights with their values, as far as they fit."""
    values = held.values_of(name)
    pairs = _by_owner(held, layer, held.weights_of(name), values)
    if pairs is None:
        own = ordered_weights(layer)
        now = _in_order(held, layer, values)
        if len(own) != len(now):
            problems.append(f"{layer.name}: {len(own)} weights, the file has {len(now)}")
            return []
        pairs = list(zip(own, now, strict=True))
    found = []
    for variable, value in pairs:
        if tuple(variable.shape) == value.shape:
            found.append((variable, value))
        else:
            problems.append(
                f"{layer.name}: a weight of {tuple(variable.shape)}, the file has {value.shape}"
            )
    return found


def _by_owner(
    held: WeightsGroup, layer: Any, names: list[str], values: list[Array]
) -> Pairs | None:
    """The weights of a model within, by the names of its layers; None if names do not tell.

    Its layers may stand in another order here than in the file.
    """
    owners = _innermost(layer)
    if owners is None:
        return None
    parts: dict[str, list[Array]] = {}
    for name, value in zip(names, values, strict=True):
        owner = next((p for p in reversed(name.split("/")[:-1]) if p in owners), None)
        if owner is None:
            return None
        parts.setdefault(owner, []).append(value)
    pairs: Pairs = []
    for name, inner in owners.items():
        own = ordered_weights(inner)
        now = values_now(inner, parts.get(name, []), held.era, held.backend)
        if len(own) != len(now):
            return None
        pairs += zip(own, now, strict=True)
    return pairs


def _innermost(layer: Any) -> dict[str, Any] | None:
    """The layers with weights within a model, by name; None if it is none, or names are not one."""
    inner = getattr(layer, "layers", None)
    if not isinstance(inner, list):
        return None
    found: dict[str, Any] = {}
    for part in inner:
        below = _innermost(part)
        below = ({part.name: part} if part.weights else {}) if below is None else below
        if found.keys() & below.keys():
            return None
        found |= below
    return found


def _in_order(held: WeightsGroup, layer: Any, values: list[Array]) -> list[Array]:
    inner = getattr(layer, "layers", None)
    if not isinstance(inner, list):
        return values_now(layer, values, held.era, held.backend)
    count = len(layer.trainable_weights)
    learned, others = values[:count], values[count:]
    found: tuple[list[Array], list[Array]] = ([], [])
    for part in inner:
        a, b = len(part.trainable_weights), len(part.non_trainable_weights)
        now = _in_order(held, part, learned[:a] + others[:b])
        found[0].extend(now[:a])
        found[1].extend(now[a:])
        learned, others = learned[a:], others[b:]
    return [*found[0], *found[1]]


def _top_level(held: WeightsGroup, model: Any, problems: list[str]) -> Pairs:
    """The weights of the model itself, beside those of its layers."""
    values = held.values_of(TOP) if held.holds(TOP) else []
    own = [w for r in (model._parameters, model._buffers) for w in r.values() if w is not None]
    if not values:
        return []
    if [tuple(w.shape) for w in own] != [v.shape for v in values]:
        problems.append(f"{model.name} itself: {len(own)} weights, the file has {len(values)}")
        return []
    return list(zip(own, values, strict=True))


# -- writing ----------------------------------------------------------------------------------


def write_weights(group: Any, model: Any, version: str) -> None:
    """Write a model's weights into a group, as Keras 2 and 3 do."""
    write_names(group, "layer_names", [layer.name for layer in model.layers])
    group.attrs["backend"], group.attrs["keras_version"] = "fovea", version
    for layer in sorted(model.layers, key=lambda layer: str(layer.name)):
        write_values(group.create_group(layer.name), ordered_weights(layer))
    own = [w for r in (model._parameters, model._buffers) for w in r.values() if w is not None]
    write_values(group.create_group(TOP), own)


def write_values(group: Any, weights: list[Any], prefix: str = "") -> None:
    """Write weights under their paths (after a prefix), and the list of their names."""
    names: list[str] = []
    for w in weights:
        path = prefix + str(getattr(w, "path", None) or "variable")
        name, number = path, 0
        while name in names:
            number += 1
            name = f"{path}_{number}"
        names.append(name)
        array = w._array()
        array = array.astype(np.float32) if array.dtype.name == "bfloat16" else array
        group.create_dataset(name, data=array)
    write_names(group, "weight_names", names)


def write_names(group: Any, name: str, names: list[str]) -> None:
    """Write a list of names, in as many attributes as it takes."""
    data = np.asarray([n.encode() for n in names])
    pieces = max(1, -(-data.nbytes // _LARGEST_ATTRIBUTE))
    while max(part.nbytes for part in np.array_split(data, pieces)) > _LARGEST_ATTRIBUTE:
        pieces += 1
    for i, part in enumerate(np.array_split(data, pieces)):
        group.attrs[f"{name}{i}" if pieces > 1 else name] = part
