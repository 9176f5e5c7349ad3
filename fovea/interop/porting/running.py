"""Running a model of any framework on an example, and the order in which its layers are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fovea.autograd import no_grad
from fovea.functions import creation
from fovea.interop.porting.groups import is_keras_like, is_kerass
from fovea.nn.module import Module

__all__ = ["call_order", "outputs_of"]


def outputs_of(model: Any, source: Any, example: Any) -> list[np.ndarray[Any, Any]]:
    """The outputs in inference, as arrays laid out as the source lays them out.

    Args:
        example: an array or several, as the source takes them.
    """
    turn = is_keras_like(model) != is_keras_like(source)
    given = example if isinstance(example, list | tuple) else (example,)
    arrays = [_array(x) for x in given]
    if turn:
        arrays = [_turned(a, is_keras_like(model)) for a in arrays]
    found = [_array(t) for t in _leaves(_run(model, arrays))]
    return [_turned(a, is_keras_like(source)) for a in found] if turn else found


def _turned(a: np.ndarray[Any, Any], channels_last: bool) -> np.ndarray[Any, Any]:
    """Images with their channels last, or first."""
    if a.ndim != 4:
        return a
    return np.ascontiguousarray(
        a.transpose(0, 2, 3, 1) if channels_last else a.transpose(0, 3, 1, 2)
    )


def _run(model: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if isinstance(model, Module):
        modes = [(m, m.training) for m in model.modules()]
        tensors = [creation.tensor(a) for a in arrays]
        model.eval()
        try:
            with no_grad():
                return (
                    model(tensors) if is_keras_like(model) and len(tensors) > 1 else model(*tensors)
                )
        finally:
            for module, mode in modes:
                module.__dict__["training"] = mode
    if is_keras_like(model):
        return model(arrays if len(arrays) > 1 else arrays[0], training=False)
    if hasattr(model, "eval") and hasattr(model, "parameters"):
        like, training = next(iter(model.parameters())), model.training
        model.eval()
        try:
            return model(*(_like(like, a) for a in arrays))
        finally:
            model.train(training)
    return model(*arrays)


def _like(parameter: Any, a: np.ndarray[Any, Any]) -> Any:
    """An array as a tensor of a parameter's framework, and of its dtype if it has floats."""
    made = parameter.detach().new_tensor(a)
    return made if a.dtype.kind == "f" else made.long()


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for key in sorted(value) for leaf in _leaves(value[key])]
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in _leaves(part)]
    return [] if value is None else [value]


def _array(t: Any) -> np.ndarray[Any, Any]:
    t = t.detach() if hasattr(t, "detach") else t
    if "bfloat16" in str(getattr(t, "dtype", "")):
        t = t.float()
    t = t.cpu() if hasattr(t, "cpu") else t
    return np.asarray(t.numpy() if hasattr(t, "numpy") and not isinstance(t, np.ndarray) else t)


def call_order(model: Any, source: Any, example: Any) -> list[str] | None:
    """The paths of a model's modules in the order of their first calls; None if nobody knows."""
    if is_kerass(model) or not hasattr(model, "named_modules"):
        return None
    order: list[str] = []
    handles = []

    def noting(path: str) -> Any:
        return lambda *_: order.append(path) if path not in order else None

    for path, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(noting(path)))
    try:
        outputs_of(model, source, example)
    finally:
        for handle in handles:
            handle.remove()
    return order
