"""The weights of a model as groups, one a layer: of any framework, told by what they look like.

Nothing of another framework is imported: a PyTorch module is what has ``named_modules`` and
``_parameters``, a Keras model what has ``layers`` and ``weights``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.nn.module import Module

__all__ = ["Group", "Slot", "groups_of", "is_keras_like", "is_kerass"]

_KEYS = {
    "kernel": "weight", "gamma": "weight", "embeddings": "weight", "depthwise_kernel": "weight",
    "pointwise_kernel": "weight", "beta": "bias", "moving_mean": "running_mean",
    "moving_variance": "running_var",
}  # fmt: skip
_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")
_DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D")
_COUNTERS = ("num_batches_tracked", "seed_generator_state")


class Slot:
    """One weight of a layer.

    Args:
        name: its full name.
        tensor: the tensor, variable or array.
        key: its own name in the layer.
    """

    def __init__(self, name: str, tensor: Any, key: str) -> None:
        self.name, self.tensor, self.key = name, tensor, key
        self.optional = key in _COUNTERS
        self.shape = tuple(int(n) for n in np.shape(tensor))

    def array(self) -> np.ndarray[Any, Any]:
        """The values; 16-bit ones in float32."""
        t = self.tensor
        for step in ("value", "detach"):  # a Keras variable's tensor, outside of the tape
            found = getattr(t, step, None)
            t = found() if callable(found) else t if found is None else found
        if "bfloat16" in str(getattr(t, "dtype", "")):
            t = t.float() if hasattr(t, "float") else np.asarray(t, dtype=np.float32)
        t = t.cpu() if hasattr(t, "cpu") else t
        return np.asarray(t.numpy() if hasattr(t, "numpy") else t)

    def fits(self, target: Slot, own: Group, theirs: Group) -> bool:
        """Whether the values can be laid out as the target wants them."""
        return any(True for _ in _changes(self, target, own, theirs))

    def fitted(
        self, target: Slot, own: Group, theirs: Group, flatten: bool
    ) -> tuple[np.ndarray[Any, Any], str]:
        """The values as the target wants them, and what was done: "", "transposed", "reshaped".

        Raises:
            ShapeError: they do not fit.
        """
        for change, f in _changes(self, target, own, theirs):
            return f(self.array(), flatten), change
        raise ShapeError(
            f"port: {self.name} {self.shape} does not fit {target.name} {target.shape}."
        )


class Group:
    """The weights of one layer.

    Args:
        path: the layer's name in the model.
        kind: the name of its class; empty if nobody knows.
        slots: weights by what they are: ``weight``, ``bias``, ``running_mean`` ...

    Attributes:
        flattened: height, width and channels of the images that a ``Flatten`` before it took.
    """

    def __init__(self, path: str, kind: str, slots: dict[str, Slot]) -> None:
        self.path, self.kind, self.slots = path, kind, slots
        self.flattened: tuple[int, int, int] | None = None

    @property
    def keras(self) -> bool:
        """Whether its kernel is laid out as Keras's."""
        return any(slot.key in _KERNELS for slot in self.slots.values())

    def rename(self, rename: Callable[[str], str]) -> None:
        """Go by what ``rename`` makes of the names."""
        for slot in self.slots.values():
            slot.name = rename(slot.name)
            self.path = slot.name.rpartition(".")[0]

    def fits(self, target: Group) -> bool:
        """Whether it has all that the target needs, in shapes that fit."""
        needed = {k: s for k, s in target.slots.items() if not s.optional}
        return bool(needed) and all(
            k in self.slots and self.slots[k].fits(s, self, target) for k, s in needed.items()
        )


_Change = tuple[str, Callable[[np.ndarray[Any, Any], bool], np.ndarray[Any, Any]]]


def _changes(a: Slot, b: Slot, source: Group, target: Group) -> Iterator[_Change]:
    """Ways to lay out ``a``'s values in ``b``'s shape, the likeliest first."""
    kernels = "kernel" in a.key or "kernel" in b.key
    if kernels and source.keras != target.keras:
        yield from _turned(a, b, source, target)
        return
    if a.shape == b.shape:
        yield "", lambda x, flatten: x
    elif sorted(n for n in a.shape if n != 1) == sorted(n for n in b.shape if n != 1) and (
        [n for n in a.shape if n != 1] == [n for n in b.shape if n != 1]
    ):
        yield "reshaped", lambda x, flatten: x.reshape(b.shape)


def _turned(a: Slot, b: Slot, source: Group, target: Group) -> Iterator[_Change]:
    """Kernels of Keras (..., in, out) as weights (out, in, ...), and the other way."""
    if len(a.shape) != len(b.shape) or len(a.shape) < 2:
        return
    space = len(a.shape) - 2
    depthwise = (source if source.keras else target).kind in _DEPTHWISE
    if source.keras:
        plain = (*a.shape[:-3:-1], *a.shape[:-2])
        order = (space + 1, space, *range(space))
        deep = (a.shape[-2] * a.shape[-1], 1, *a.shape[:-2])
        split = (space, space + 1, *range(space))
        if plain == b.shape and not (depthwise and deep == b.shape):
            flat = source.flattened
            yield "transposed", lambda x, f: _rows(x.transpose(order), flat, f, to_keras=False)
        if deep == b.shape:
            yield "transposed", lambda x, f: x.transpose(split).reshape(deep)
        return
    plain = (*a.shape[2:], a.shape[1], a.shape[0])
    order = (*range(2, space + 2), 1, 0)
    if plain == b.shape and not depthwise:
        flat = target.flattened
        yield "transposed", lambda x, f: _rows(x, flat, f, to_keras=True).transpose(order)
    elif (
        a.shape[1] == 1 and b.shape[:-2] == a.shape[2:] and a.shape[0] == b.shape[-2] * b.shape[-1]
    ):
        back = (*range(2, space + 2), 0, 1)
        split = (b.shape[-2], b.shape[-1], *a.shape[2:])
        yield "transposed", lambda x, f: x.reshape(split).transpose(back)


def _rows(
    x: np.ndarray[Any, Any], flat: tuple[int, int, int] | None, minded: bool, to_keras: bool
) -> np.ndarray[Any, Any]:
    """A linear layer's weight (out, in) with its inputs in the order in which the other model
    flattens images.
    """
    if flat is None or not minded or x.ndim != 2 or x.shape[1] != np.prod(flat):
        return x
    h, w, c = flat
    if to_keras:
        return x.reshape(-1, c, h, w).transpose(0, 2, 3, 1).reshape(x.shape)
    return x.reshape(-1, h, w, c).transpose(0, 3, 1, 2).reshape(x.shape)


# -- finding ----------------------------------------------------------------------------------


def is_keras_like(model: Any) -> bool:
    """Whether a model takes images as Keras does: channels last."""
    if isinstance(model, Mapping):
        return any(str(name).rpartition("/")[2].rpartition(".")[2] in _KEYS for name in model)
    return hasattr(model, "get_config") and hasattr(model, "call")


def is_kerass(model: Any) -> bool:
    """Whether a model is Keras's own, whatever it runs on; fovea's are modules before all."""
    return (
        is_keras_like(model)
        and not isinstance(model, Mapping | Module)
        and hasattr(model, "layers")
        and hasattr(model, "weights")
    )


def groups_of(source: Any) -> list[Group]:
    """The layers with weights of a model or of a state, in order.

    Raises:
        ArgumentError: neither of them.
    """
    if isinstance(source, Mapping):
        found = _grouped((str(name), t, "") for name, t in source.items())
    elif is_kerass(source):
        found = _grouped(_of_keras(source))
    elif hasattr(source, "named_modules"):
        found = _grouped(_of_modules(source))
    else:
        raise ArgumentError(
            f"port: {type(source).__name__} is neither a model nor a state.",
            fix="pass a model of PyTorch or Keras, or its state_dict",
        )
    for group in found:
        group.flattened = _flattened(source).get(group.path)
    return found


def _of_modules(model: Any) -> Iterator[tuple[str, Any, str]]:
    for path, module in model.named_modules():
        unsaved = getattr(module, "_non_persistent_buffers_set", ())
        own = {**module._parameters, **module._buffers}
        for name, t in own.items():
            if t is not None and name not in unsaved:
                yield (f"{path}.{name}" if path else name), t, type(module).__name__


def _of_keras(model: Any) -> Iterator[tuple[str, Any, str]]:
    for layer in model.layers:
        if hasattr(layer, "layers") and hasattr(layer, "weights"):
            yield from ((f"{layer.name}/{n}", t, k) for n, t, k in _of_keras(layer))
            continue
        for w in layer.weights:
            inner = str(getattr(w, "path", w.name)).rpartition(f"{layer.name}/")[2]
            yield f"{layer.name}/{inner}", w, type(layer).__name__


def _grouped(weights: Iterator[tuple[str, Any, str]]) -> list[Group]:
    """Weights of one layer together. A separable convolution's are two layers."""
    found: dict[str, Group] = {}
    for full, tensor, kind in weights:
        name = full.replace("/", ".")
        path, _, key = name.rpartition(".")
        if key == "depthwise_kernel" and kind not in _DEPTHWISE:
            path, kind = f"{path}.depthwise", "DepthwiseConv2D"
        group = found.setdefault(path, Group(path, kind, {}))
        group.slots[_KEYS.get(key, key)] = Slot(name, tensor, key)
    return list(found.values())


def _named_modules(model: Any) -> Any:
    return model.named_modules() if isinstance(model, Module) else ()


def _flattened(model: Any) -> dict[str, tuple[int, int, int]]:
    """For layers of a Keras model right behind a ``Flatten`` of images: their sizes."""
    found: dict[str, tuple[int, int, int]] = {}
    if not is_keras_like(model) or isinstance(model, Mapping):
        return found
    pending: tuple[int, int, int] | None = None
    names = {id(m): path for path, m in _named_modules(model)}
    for layer in getattr(model, "layers", ()):
        if type(layer).__name__ == "Flatten":
            shape = tuple(getattr(getattr(layer, "input", None), "shape", ()))
            pending = shape[1:] if len(shape) == 4 and None not in shape[1:] else None
        elif getattr(layer, "weights", None):
            if pending is not None and type(layer).__name__ == "Dense":
                found[names.get(id(layer), layer.name)] = pending
            pending = None
    return found
