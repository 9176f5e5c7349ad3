"""Running a layer or a model in Keras and here, from the same weights and data."""

from __future__ import annotations

from typing import Any

import numpy as np

import fovea
from fovea.keras.layers.layer import as_tensor

Array = np.ndarray[Any, Any]


def data(shape: tuple[int, ...], seed: int = 0, low: float | None = None) -> Array:
    """Normal numbers; with ``low``, numbers between it and ``low + 1``."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape) if low is None else rng.random(shape) + low
    return values.astype(np.float32)


def copy_weights(source: Any, target: Any) -> None:
    """Give ``target`` the weights of ``source``, made different from their initial values."""
    rng = np.random.default_rng(7)
    weights = []
    for w in source.get_weights():
        w = np.asarray(w)
        noise = rng.random(w.shape).astype(w.dtype) if w.dtype.kind == "f" else 0
        weights.append(w + 0.5 * noise)
    source.set_weights(weights)
    target.set_weights(weights)


def leaves(x: Any) -> list[Any]:
    return list(x) if isinstance(x, list | tuple) else [x]


def run_here(layer: Any, inputs: Any, training: bool) -> tuple[list[Array], list[Array]]:
    """Outputs, and gradients of a weighted sum of them for inputs and trainable weights."""
    given = [as_tensor(a) for a in leaves(inputs)]
    for t in given:
        if t.is_floating_point():
            t.requires_grad_()
    outputs = leaves(layer(given if isinstance(inputs, list) else given[0], training=training))
    total = sum((o * as_tensor(data(tuple(o.shape), 3))).sum() for o in outputs)
    for w in layer.trainable_weights:
        w.grad = None
    if total.requires_grad:
        total.backward()
    wanted = [t for t in given if t.is_floating_point()] + layer.trainable_weights
    grads = [np.zeros(tuple(t.shape)) if t.grad is None else t.grad.numpy() for t in wanted]
    return [o.detach().numpy() for o in outputs], grads


def run_keras(layer: Any, inputs: Any, training: bool) -> tuple[list[Array], list[Array]]:
    """The same in Keras on PyTorch."""
    import torch

    given = [torch.tensor(a) for a in leaves(inputs)]
    for t in given:
        if t.is_floating_point():
            t.requires_grad_()
    outputs = leaves(layer(given if isinstance(inputs, list) else given[0], training=training))
    total = sum((o * torch.tensor(data(tuple(o.shape), 3))).sum() for o in outputs)
    weights = [w.value for w in layer.trainable_weights]
    for w in weights:
        w.grad = None
    if total.requires_grad:
        total.backward()
    wanted = [t for t in given if t.is_floating_point()] + weights
    grads = [np.zeros(tuple(t.shape)) if t.grad is None else t.grad.numpy() for t in wanted]
    return [o.detach().numpy() for o in outputs], grads


def assert_same(own: list[Array], theirs: list[Array], tolerance: float = 1e-4) -> None:
    assert len(own) == len(theirs)
    for a, b in zip(own, theirs, strict=True):
        assert a.shape == b.shape
        scale = max(1.0, float(np.abs(b).max())) if b.size else 1.0
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


def check_layer(
    keras: Any, make: Any, inputs: Any, training: bool = False, tolerance: float = 1e-4
) -> tuple[Any, Any]:
    """Compare a layer made by ``make(layers)`` in both; returns the two layers."""
    from fovea import keras as fk

    theirs, own = make(keras.layers), make(fk.layers)
    shapes = [a.shape for a in leaves(inputs)]
    shape = shapes if isinstance(inputs, list) else shapes[0]
    if not theirs.built:
        theirs.build(shape)
    if not own.built:
        own.build(shape)
    assert [tuple(w.shape) for w in own.weights] == [tuple(w.shape) for w in theirs.weights]
    copy_weights(theirs, own)
    own_out, own_grads = run_here(own, inputs, training)
    their_out, their_grads = run_keras(theirs, inputs, training)
    assert_same(own_out, their_out, tolerance)
    assert_same(own_grads, their_grads, tolerance)
    assert_same([np.asarray(w) for w in own.get_weights()], theirs.get_weights(), tolerance)
    return own, theirs


def tensors(*arrays: Any) -> list[Any]:
    return [fovea.tensor(np.asarray(a)) for a in arrays]
