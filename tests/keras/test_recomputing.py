"""``keras.remat``: Keras's gradients, with a second call instead of memory."""

from __future__ import annotations

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
