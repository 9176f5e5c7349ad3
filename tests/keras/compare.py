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


def check_shapes(keras: Any, make: Any, inputs: Any) -> None:
    """Compare ``compute_output_shape`` and what a symbolic call gives with Keras's."""
    from fovea import keras as fk

    own, theirs = make(fk.layers), make(keras.layers)
    if isinstance(inputs, list):
        shape: Any = [(None, *a.shape[1:]) for a in inputs]
        symbols: Any = [fk.Input(shape=a.shape[1:]) for a in inputs]
    else:
        shape = (None, *inputs.shape[1:])
        symbols = fk.Input(shape=inputs.shape[1:], dtype=inputs.dtype.name)
    expected = _shapes(theirs.compute_output_shape(shape))
    assert _shapes(own.compute_output_shape(shape)) == expected
    assert _shapes([t.shape for t in leaves(own(symbols))]) == expected


def _shapes(found: Any) -> list[Any]:
    """One shape or several as a list of tuples."""
    several = any(isinstance(s, list | tuple) for s in found)
    return [tuple(s) for s in found] if several else [tuple(found)]


def check_config(keras: Any, make: Any, absent: tuple[str, ...] = ()) -> None:
    """Compare configurations with Keras's, and make a twin of the layer from its own."""
    from fovea import keras as fk

    own, theirs = make(fk.layers), make(keras.layers)
    config, expected = own.get_config(), theirs.get_config()
    absent += ("quantization_config", "activity_regularizer", "lora_rank", "lora_alpha")
    absent += ("rms_scaling",)
    assert set(config) - set(absent) == set(expected) - set(absent)
    for name, value in expected.items():
        nested = isinstance(value, dict) and name != "axis"
        if name in ("name", "dtype", *absent) or "initializer" in name or nested:
            continue
        assert plain(config[name]) == plain(value), name
    twin = type(own).from_config(config)
    assert plain(twin.get_config()) == plain(config)
    assert type(theirs).from_config(config).name == own.name


def plain(value: Any) -> Any:
    """Sequences as lists, arrays as well; described objects by their classes."""
    if isinstance(value, dict) and "class_name" in value:
        return value["class_name"]
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value.tolist() if hasattr(value, "tolist") else value


def tensors(*arrays: Any) -> list[Any]:
    return [fovea.tensor(np.asarray(a)) for a in arrays]


def close(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Tensors of either library have the same values."""
    np.testing.assert_allclose(as_array(a), as_array(b), rtol=rtol, atol=atol)


def as_array(t: Any) -> Any:
    """The values of a tensor of either library."""
    if hasattr(t, "detach"):
        t = t.detach()
    if hasattr(t, "cpu"):
        t = t.cpu()
    return np.asarray(t.numpy() if hasattr(t, "numpy") else t)
