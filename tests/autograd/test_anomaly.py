"""Anomaly detection names the op, the user's line and the module of a gradient that is NaN."""

from __future__ import annotations

from typing import Any

import pytest

import fovea
from fovea import backward, nn, tape, watching
from fovea.autograd import Function, detect_anomaly, set_detect_anomaly
from fovea.errors import GradientError
from fovea.utils.checkpoint import checkpoint


def nan_in_root(x: Any) -> Any:
    y = x * 0
    z = y.sqrt()  # the gradient here is infinite, and times zero NaN
    return (z * 0).sum()


def message(program: Any) -> str:
    with pytest.raises(GradientError) as error:
        program()
    return str(error.value)


def test_the_op_and_the_line() -> None:
    x = fovea.ones(3, requires_grad=True)
    with detect_anomaly():
        told = message(lambda: nan_in_root(x).backward())
    assert told.startswith("sqrt_backward: a gradient is NaN.")
    assert "3 of 3 elements" in told
    assert "test_anomaly.py:18 in nan_in_root:  z = y.sqrt()" in told
    assert "module" not in told


class Inner(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.log() * x


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.ReLU(), Inner())

    def forward(self, x: Any) -> Any:
        return self.layers(x).sum()


def test_the_module() -> None:
    net, x = Net(), fovea.tensor([-1.0, 2.0], requires_grad=True)
    with detect_anomaly():
        told = message(lambda: net(x).backward())
    assert told.startswith("log_backward") and "1 of 2 elements" in told
    assert "Net.layers.1" in told and "return x.log() * x" in told


def test_functions_of_ones_own() -> None:
    class Bad(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * float("nan")

    x = fovea.ones(2, requires_grad=True)
    with detect_anomaly():
        told = message(lambda: Bad.apply(x).sum().backward())
    assert told.startswith("BadBackward") and "Bad.apply(x)" in told


def test_other_errors_say_where() -> None:
    class Failing(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            raise ValueError("no way back")

    x = fovea.ones(2, requires_grad=True)
    with detect_anomaly():
        y = Failing.apply(x).sum()
        with pytest.raises(ValueError, match="no way back") as error:
            y.backward()
    (note,) = error.value.__notes__
    assert note.startswith("in FailingBackward") and "y = Failing.apply(x).sum()" in note


def test_changes_in_place_and_grad() -> None:
    x = fovea.zeros(2, requires_grad=True)
    with detect_anomaly():
        y = x * 1
        y.sqrt_()
        told = message(lambda: fovea.autograd.grad((y * 0).sum(), x))
    assert "sqrt_backward" in told and "y.sqrt_()" in told


def test_under_checkpoint_vmap_and_compile() -> None:
    x = fovea.ones(3, requires_grad=True)
    with detect_anomaly():
        for program in (
            lambda: checkpoint(nan_in_root, x).backward(),
            lambda: fovea.vmap(fovea.func.grad(nan_in_root))(fovea.ones(2, 3)),
            lambda: fovea.compile(nan_in_root)(x).backward(),
        ):
            told = message(program)
            assert "sqrt_backward" in told and "z = y.sqrt()" in told


def test_without_looking_for_nan() -> None:
    x = fovea.ones(3, requires_grad=True)
    with detect_anomaly(check_nan=False):
        assert fovea.is_anomaly_enabled() and not fovea.is_anomaly_check_nan_enabled()
        nan_in_root(x).backward()
    assert x.grad.isnan().all()


def test_good_gradients_pass() -> None:
    x = fovea.ones(3, requires_grad=True)
    with detect_anomaly():
        (x.exp().sum() * float("inf")).backward()  # infinite, but not NaN
    assert x.grad.isinf().all()


def test_recorded_before() -> None:
    x = fovea.ones(3, requires_grad=True)
    y = nan_in_root(x)
    with detect_anomaly():
        told = message(y.backward)
    assert "recorded while anomaly detection was off" in told


def test_on_and_off() -> None:
    def is_on() -> bool:
        on = fovea.is_anomaly_enabled()
        assert (tape.make_node is not tape.node_of) == on  # off, it is not there at all
        assert (backward.walk_class is not backward.Walk) == on
        assert watching.eager == on
        return on

    assert not is_on()
    with detect_anomaly():
        assert is_on()
        with set_detect_anomaly(False):
            assert not is_on()
        assert is_on()
    assert not is_on()
    set_detect_anomaly(True)
    assert is_on()
    with fovea.autograd.graph.save_on_cpu():
        set_detect_anomaly(False)
        assert tape.make_node is not tape.node_of
    assert not is_on()
    fovea.set_anomaly_enabled(True)
    assert is_on() and fovea.is_anomaly_check_nan_enabled()
    fovea.set_anomaly_enabled(False)
    assert not is_on()
