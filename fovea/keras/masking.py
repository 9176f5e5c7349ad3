"""Masks: which steps of a sequence count. A tensor carries its own, from layer to layer.

A mask is a boolean tensor, False where a step is to be skipped. `Masking` and `Embedding` make
them, layers that keep steps apart hand them on, and recurrent layers, attention and losses heed
them.
"""

from __future__ import annotations

import warnings
from typing import Any

from fovea.keras.tree import flatten, map_structure
from fovea.tensorbase import is_tensor

__all__ = ["attach_mask", "call_with_masks", "mask_of", "seen"]

_ATTRIBUTE = "_keras_mask"
seen = False  # whether any mask was ever made: until then, no call looks for one


def mask_of(x: Any) -> Any:
    """The mask that a tensor carries, or None.

    >>> import fovea
    >>> x = fovea.ones(1, 2)
    >>> attach_mask(x, fovea.tensor([[True, False]]))
    >>> mask_of(x)
    tensor([[ True, False]])
    """
    return getattr(x, _ATTRIBUTE, None)


def attach_mask(x: Any, mask: Any) -> None:
    """Let a tensor carry a mask; None takes away the one that it has."""
    global seen
    seen = seen or mask is not None
    setattr(x, _ATTRIBUTE, mask)


def masks_of(value: Any) -> Any:
    """The masks of a structure's tensors, in the same structure; None if none carries one."""
    if is_tensor(value):
        return mask_of(value)
    found = map_structure(mask_of, value)
    return found if any(m is not None for m in flatten(found)) else None


def call_with_masks(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a layer: give ``call`` the masks that it asks for, and let the outputs carry theirs."""
    _fill(layer, args, kwargs)
    first = args[0] if args else next(iter(kwargs.values()), None)
    previous = kwargs.get("mask")
    if previous is None:
        previous = masks_of(first)
    outputs = layer._run(args, kwargs)
    if layer.supports_masking:
        _hand_on(layer, first, outputs, previous)
    elif previous is not None and not layer.is_operation and layer.warns_of_masks:
        warnings.warn(
            f"{layer.name} ({type(layer).__name__}) was given an input with a mask, which it does "
            "not hand on: the layers after it do not see the mask.",
            stacklevel=4,
        )
    return outputs


def _fill(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Pass what the inputs carry as ``mask``, or as ``x_mask`` where there are several inputs."""
    names = layer._call_arguments
    wanted = [n for n in names if n == "mask" or n.endswith("_mask")]
    if not wanted:
        return
    bound = {**dict(zip(names, args, strict=False)), **kwargs}
    inputs = {n: v for n, v in bound.items() if _is_input(v)}
    if len(inputs) == 1:
        if "mask" in wanted and bound.get("mask") is None:
            kwargs["mask"] = masks_of(next(iter(inputs.values())))
        return
    for name, value in inputs.items():
        own = f"{name}_mask"
        if own in wanted and bound.get(own) is None:
            kwargs[own] = masks_of(value)


def _is_input(value: Any) -> bool:
    if is_tensor(value):
        return True
    if not isinstance(value, list | tuple | dict) or not value:
        return False
    leaves = flatten(value)
    return any(map(is_tensor, leaves)) and all(x is None or is_tensor(x) for x in leaves)


def _hand_on(layer: Any, inputs: Any, outputs: Any, previous: Any) -> None:
    if previous is None and not layer._makes_masks:
        return
    flat = [t for t in flatten(outputs) if is_tensor(t)]
    if all(mask_of(t) is not None for t in flat):
        return
    made = layer.compute_mask(inputs, previous)
    if made is None:
        return
    for t, mask in zip(flat, [made] if is_tensor(made) else flatten(made), strict=False):
        if mask is not None and mask_of(t) is None:
            attach_mask(t, mask)
