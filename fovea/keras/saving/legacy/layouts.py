"""Weights as Keras 1 and 2 laid them out, in the layouts of Keras 3.

Keras 1 kept a matrix for each gate of a recurrent layer, and kernels of convolutions with channels
in front where images had them in front. Theano turned kernels around. CuDNN's recurrent layers
kept transposed matrices and two biases.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["values_now"]

Array = np.ndarray[Any, Any]
_TURNED = ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "Conv3DTranspose", "ConvLSTM2D")
_GATES = {"LSTM": 4, "GRU": 3}


def values_now(layer: Any, values: list[Array], era: int, backend: str | None) -> list[Array]:
    """A layer's weights in its own layouts.

    Args:
        layer: what they are for.
        values: as the file holds them.
        era: the first number of the version of Keras that wrote them.
        backend: what Keras ran on, if the file says.
    """
    kind = type(layer).__name__
    if era > 2 or not values:
        return values
    if kind == "Bidirectional":
        half = len(values) // 2
        forward = values_now(layer.forward_layer, values[:half], era, backend)
        return forward + values_now(layer.backward_layer, values[half:], era, backend)
    if kind == "TimeDistributed":
        return values_now(layer.layer, values, era, backend)
    if era == 1:
        values = _of_keras_1(layer, kind, values)
    if backend == "theano" and kind in _TURNED:
        kernels = 2 if kind == "ConvLSTM2D" else 1
        values = [_turned(v) if i < kernels else v for i, v in enumerate(values)]
    if kind in _GATES and len(values) == 3:
        return _of_cudnn(values, _GATES[kind])
    return values


def _turned(kernel: Array) -> Array:
    """A kernel with its places (all dimensions but the last two) in reverse."""
    return np.flip(kernel, tuple(range(kernel.ndim - 2)))


# -- Keras 1 ----------------------------------------------------------------------------------


def _of_keras_1(layer: Any, kind: str, values: list[Array]) -> list[Array]:
    first = getattr(layer, "data_format", None) == "channels_first"
    if kind == "Conv1D" and values[0].ndim == 4:
        kernel = values[0]
        if kernel.shape[:2] != (layer.kernel_size[0], 1) or kernel.shape[3] != layer.filters:
            kernel = kernel.transpose(2, 3, 1, 0)
        return [kernel[:, 0], *values[1:]]
    if kind in ("Conv2D", "Conv3D") and first:
        return [_channels_last(values[0]), *values[1:]]
    if kind == "SeparableConv2D" and first:
        return [*map(_channels_last, values[:2]), *values[2:]]
    if kind == "Conv2DTranspose":
        order = (2, 3, 0, 1) if first else (0, 1, 3, 2)
        return [values[0].transpose(order), *values[1:]]
    orders: dict[tuple[str, int], tuple[int, ...]] = {
        ("LSTM", 12): (0, 2, 1, 3),
        ("ConvLSTM2D", 12): (0, 2, 1, 3),
        ("GRU", 9): (0, 1, 2),
    }
    gates = orders.get((kind, len(values)))  # Keras 1 has the forget gate after the cell's
    if gates:
        axis = 0 if kind == "ConvLSTM2D" and first else -1
        joined = [np.concatenate([values[3 * g + i] for g in gates], axis) for i in range(3)]
        if axis == 0:
            return [*map(_channels_last, joined[:2]), joined[2]]
        return joined
    return values


def _channels_last(kernel: Array) -> Array:
    """(out, in, places...) as (places..., in, out)."""
    return kernel.transpose(*range(2, kernel.ndim), 1, 0)


# -- CuDNN ------------------------------------------------------------------------------------


def _of_cudnn(values: list[Array], gates: int) -> list[Array]:
    """The three weights of a recurrent layer; CuDNN's are told by their bias."""
    kernel, recurrent, bias = values
    if bias.ndim != 1 or recurrent.ndim != 2 or bias.shape[0] != 2 * gates * recurrent.shape[0]:
        return values
    halves = bias.reshape(2, -1)
    return [
        np.hstack([k.T.reshape(k.shape, order="F") for k in np.hsplit(kernel, gates)]),
        np.hstack([k.T for k in np.hsplit(recurrent, gates)]),
        halves.sum(0) if gates == _GATES["LSTM"] else halves,
    ]
