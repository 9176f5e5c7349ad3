"""``keras.remat``: Keras's gradients, with a second call instead of memory."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras as ours

keras = pytest.importorskip("keras")


@pytest.mark.parametrize("library", [ours, keras], ids=["fovea", "keras"])
def test_backward_calls_again(library: Any) -> None:
    calls = []

    def f(x: Any, scale: float = 1.0) -> Any:
        calls.append(scale)
        return library.ops.sin(x) * library.ops.exp(x) * scale

    x = library.ops.convert_to_tensor(np.array([0.5, 2.0], np.float32))
    x.requires_grad_()
    y = library.remat(f)(x, scale=3.0)
    assert calls == [3.0]
    y.sum().backward()
    assert calls == [3.0, 3.0]
    n = np.array([0.5, 2.0])
    np.testing.assert_allclose(x.grad, 3 * np.exp(n) * (np.sin(n) + np.cos(n)), rtol=1e-5)


def test_layers_and_names() -> None:
    layer = ours.layers.Dense(3, activation="tanh")
    x = fovea.randn(2, 4, requires_grad=True)
    wanted = layer(x)
    (g,) = fovea.autograd.grad(wanted.square().sum(), x)
    found = ours.remat(layer)(x)
    found.square().sum().backward()
    np.testing.assert_array_equal(found.detach(), wanted.detach())
    np.testing.assert_allclose(x.grad, g, rtol=1e-6)
    assert layer.trainable_weights[0].grad is not None

    def named(x: Any) -> Any:
        """Says so."""
        return x

    assert ours.remat(named).__name__ == "named"
    assert ours.remat(named).__doc__ == "Says so."


# -- layers made within a block -------------------------------------------------------------------


MODES: list[dict[str, Any]] = [
    {"mode": "full"},
    {"mode": "activations"},
    {"mode": "larger_than", "output_size_threshold": 12},
    {"mode": "list_of_layers", "layer_names": ["second"]},
    {"mode": None},
]
# How often backward calls `curve` once more, of the first and the second layer.
AGAIN = [2, 2, 1, 1, 0]


def gradients(library: Any, calls: list[int], **how: Any) -> list[Any]:
    def curve(t: Any) -> Any:
        calls.append(1)
        return library.ops.sin(t) * t

    with library.RematScope(**how):
        options = {"activation": curve, "kernel_initializer": "ones"}
        layers = [
            library.layers.Dense(n, name=name, **options)
            for n, name in ((3, "first"), (8, "second"))
        ]
        last = library.layers.Dense(1, kernel_initializer="ones", name="third")
    x = library.ops.convert_to_tensor(np.linspace(-1, 1, 8).reshape(2, 4).astype("f"))
    x.requires_grad_()
    y = last(layers[1](layers[0](x)))
    calls.clear()
    y = last(layers[1](layers[0](x)))
    calls.append(len(calls) - 2)  # only forward so far
    y.sum().backward()
    return [x.grad] + [
        layer.kernel.grad if library is ours else layer.kernel.value.grad for layer in layers
    ]


@pytest.mark.parametrize(("how", "again"), list(zip(MODES, AGAIN, strict=True)), ids=str)
def test_scope(how: dict[str, Any], again: int) -> None:
    """Gradients are those without it; backward calls again what the mode says."""
    calls: list[int] = []
    found = gradients(ours, calls, **how)
    assert calls[2] == 0 and len(calls) - 3 == again
    for a, b in zip(found, gradients(ours, [], mode=None), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    for a, b in zip(found, gradients(keras, [], **how), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_scopes_within_scopes() -> None:
    from fovea.keras.recomputing import current_scope

    assert current_scope() is None
    with ours.RematScope("full") as outer:
        assert current_scope() is outer
        with ours.RematScope(None):
            assert current_scope() is None
        assert current_scope() is outer
    assert current_scope() is None
    with pytest.raises(ValueError, match="mode is one of"):
        ours.RematScope("most")


@pytest.mark.parametrize("mode", ["full", "activations", "larger_than"])
@pytest.mark.parametrize("jit", [True, False])
def test_models_train_alike(mode: str, jit: bool) -> None:
    """Dropout draws the same again, inner layers know that they are trained, weights are cast."""

    class Block(ours.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.dense = ours.layers.Dense(16, activation="gelu")
            self.dropout = ours.layers.Dropout(0.3)

        def call(self, x: Any) -> Any:
            return self.dropout(self.dense(x))

    def fitted(scope: Any) -> list[float]:
        fovea.manual_seed(3)
        ours.utils.clear_session()
        with scope:
            model = ours.Sequential([ours.Input((6,)), Block(), Block(), ours.layers.Dense(1)])
        model.compile("adam", "mse", jit_compile=jit)
        x = np.random.default_rng(0).standard_normal((32, 6)).astype("f")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # that the step is no program
            return model.fit(x, x[:, :1], epochs=4, shuffle=False, verbose=0).history["loss"]

    want = fitted(ours.RematScope(None))
    np.testing.assert_allclose(fitted(ours.RematScope(mode)), want, rtol=1e-5)
    before = ours.config.dtype_policy()
    ours.config.set_dtype_policy("mixed_bfloat16")
    try:
        want = fitted(ours.RematScope(None))
        np.testing.assert_allclose(fitted(ours.RematScope(mode)), want, rtol=1e-2)
    finally:
        ours.config.set_dtype_policy(before)
