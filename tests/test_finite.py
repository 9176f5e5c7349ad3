"""``fovea.detect_nonfinite``: where a NaN came from."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras, nn, watching
from fovea.finite import NonFiniteError, detect_nonfinite


def told(f: Any, **options: Any) -> str:
    """The text of the error that ``f`` raises within."""
    with pytest.raises(NonFiniteError) as caught, detect_nonfinite(**options):
        f()
    assert watching.watcher is None and not watching.eager
    return str(caught.value)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
        self.head = nn.Linear(3, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x))


def test_op_line_sample_and_numbers() -> None:
    x = fovea.tensor([[1.0, 2.0], [3.0, -4.0], [-1.0, 1.0]])
    text = told(lambda: x.log())
    assert text.startswith("log: the result is NaN in 2 of 6 elements, first at (1, 1).")
    assert "x       float32 (3, 2), there -4.0" in text and "sample  1" in text
    assert "test_finite.py:" in text


@pytest.mark.parametrize("compiled", [False, True])
def test_weights_and_data(compiled: bool) -> None:
    net = Net()
    run = fovea.compile(net) if compiled else net
    run(fovea.ones(4, 3))
    net.head.weight.data[1, 2] = float("nan")
    text = told(lambda: run(fovea.ones(4, 3)))
    assert text.startswith("linear: weight holds NaN already.")
    assert "NaN at (1, 2): it is head.weight" in text and " head (" in text
    x = fovea.ones(4, 3)
    x[2, 1] = float("nan")
    text = told(lambda: Net()(x))
    assert "x holds NaN already" in text and "NaN at (2, 1)" in text and "body.0" in text


def test_infinities() -> None:
    def overflow() -> Any:
        e = (fovea.ones(2, 3) * 200).exp()
        return e - e

    text = told(overflow)
    assert text.startswith("sub: the result is NaN in 6 of 6")
    assert "infinite at (0, 0): exp made it (test_finite.py:" in text
    assert told(overflow, infinities=True).startswith("exp: the result is infinite in 6 of 6")
    with detect_nonfinite():  # a mask of -inf is meant
        q = fovea.randn(1, 2, 4, 8)
        nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True)


def test_backward() -> None:
    x = fovea.tensor([4.0, 0.0], requires_grad=True)
    text = told(lambda: (x.sqrt() * 0).sum().backward())
    assert "first at (1,)" in text and re.search("within +sqrt", text)


def test_changes_in_place_and_half_types() -> None:
    x = fovea.tensor([1.0, -1.0])
    text = told(lambda: x.sqrt_())
    assert text.startswith("sqrt") and "there -1.0" in text
    half = fovea.tensor([4.0, -1.0], dtype=fovea.bfloat16)
    assert "bfloat16 (2,), there -1.0" in told(lambda: half.sqrt())


def test_within_fit() -> None:
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(2, name="first"),
            keras.layers.Lambda(lambda x: (-x * x - 1).log(), name="bad"),
        ]
    )
    model.compile("sgd", "mse")
    text = told(lambda: model.fit(np.ones((8, 3), "f"), np.ones((8, 2), "f"), verbose=0))
    assert text.startswith("log: the result is NaN in 16 of 16") and ".bad (test_finite.py" in text


def test_nothing_to_tell() -> None:
    net, x = Net(), fovea.randn(4, 3)
    want = net(x)
    with detect_nonfinite(infinities=True):
        got = net(x)
        got.sum().backward()
    assert fovea.equal(want, got) and net.head.weight.grad is not None
    with pytest.raises(ZeroDivisionError), detect_nonfinite():
        raise ZeroDivisionError
    assert watching.watcher is None and not watching.eager
