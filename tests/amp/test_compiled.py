"""Mixed precision inside compiled steps: what was captured does what eager steps do."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fovea
from tests.models_for_tests import vgg


@pytest.fixture(autouse=True)
def no_fallback() -> Iterator[None]:
    """A call that cannot be captured warns: here that is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def steps(dtype: str, compiled: bool, bad: tuple[int, ...] = (), outside: bool = False) -> Any:
    """Losses and parameters of a few steps with a scaler; gradients overflow in steps ``bad``."""
    fovea.manual_seed(0)
    model = vgg(fovea.nn)
    optimizer = fovea.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    scaler = fovea.amp.GradScaler(init_scale=256.0, growth_interval=3)
    criterion = fovea.nn.CrossEntropyLoss()
    region = {"device_type": "cpu", "dtype": getattr(fovea, dtype)}

    def step(x: Any, y: Any, factor: Any) -> Any:
        optimizer.zero_grad()
        with fovea.autocast(**region, enabled=not outside):
            loss = criterion(model(x), y) * factor
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    if outside:

        def step(x: Any, y: Any, factor: Any) -> Any:
            optimizer.zero_grad()
            loss = criterion(model(x), y) * factor
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            return loss

    run = fovea.compile(step, strict=True) if compiled else step
    rng, losses, scales = np.random.default_rng(0), [], []
    for number in range(9):
        x = fovea.tensor(rng.standard_normal((4, 3, 32, 32)).astype(np.float32))
        y = fovea.tensor(rng.integers(0, 10, 4))
        factor = fovea.tensor(float("inf") if number in bad else 1.0)
        with fovea.autocast(**region, enabled=outside):
            losses.append(run(x, y, factor).item())
        scales.append(scaler.get_scale())
    return losses, scales, [p.detach().numpy().copy() for p in model.parameters()]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("outside", [False, True], ids=["region inside", "region outside"])
def test_compiled_steps_are_eager_steps(dtype: str, outside: bool) -> None:
    """Also with a region around the call: parameters are cast anew in each."""
    eager = steps(dtype, False, outside=outside)
    compiled = steps(dtype, True, outside=outside)
    np.testing.assert_allclose(compiled[0], eager[0], rtol=1e-3)
    assert compiled[1] == eager[1]
    assert len(set(compiled[0])) == len(compiled[0])
    for a, b in zip(compiled[2], eager[2], strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


def test_compiled_steps_leave_out_what_overflows() -> None:
    eager, compiled = (steps("float16", c, bad=(4, 6)) for c in (False, True))
    assert compiled[1] == eager[1] == [256, 256, 512, 512, 256, 256, 128, 128, 128]
    for a, b in zip(compiled[2], eager[2], strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, atol=2e-3)


def test_a_program_knows_the_region_it_was_captured_in() -> None:
    product = fovea.compile(lambda a, b: a @ b)
    x = fovea.ones(2, 2)
    for _ in range(2):
        assert product(x, x).dtype is fovea.float32
        with fovea.autocast("cpu"):
            assert product(x, x).dtype is fovea.bfloat16
        with fovea.autocast("cpu", dtype=fovea.float16):
            assert product(x, x).dtype is fovea.float16
