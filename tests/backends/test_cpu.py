"""Choices about the CPU's kernels count from the next call on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import fovea
import fovea.nn.functional as F


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    fovea.backends.cpu.winograd = True


def results() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    x, w = (
        fovea.tensor(rng.standard_normal(shape).astype(np.float32), requires_grad=True)
        for shape in ((8, 32, 12, 12), (32, 32, 3, 3))
    )
    y = F.conv2d(x, w, padding=1)
    (y * y).sum().backward()
    return [y.detach().numpy().copy(), x.grad.numpy().copy(), w.grad.numpy().copy()]


def error(results: list[np.ndarray], exact: list[np.ndarray]) -> list[float]:
    return [
        float(np.linalg.norm(a - b) / np.linalg.norm(b))
        for a, b in zip(results, exact, strict=True)
    ]


def test_winograd_forms_can_be_switched_off_and_on_between_calls() -> None:
    first = results()
    fovea.backends.cpu.winograd = False
    direct = results()
    assert fovea.backends.cpu.winograd is False
    fovea.backends.cpu.winograd = True
    again = results()
    for a, b, c in zip(first, direct, again, strict=True):
        np.testing.assert_array_equal(a, c)
        assert not np.array_equal(a, b)  # both round, each in its way
    assert max(error(first, direct)) < 2e-5


def test_compiled_functions_follow_the_choice() -> None:
    rng = np.random.default_rng(0)
    x, w = (
        fovea.tensor(rng.standard_normal(shape).astype(np.float32))
        for shape in ((8, 32, 12, 12), (32, 32, 3, 3))
    )
    convolve = fovea.compile(lambda x, w: F.conv2d(x, w, padding=1))
    for choice in (True, False, True):
        fovea.backends.cpu.winograd = choice
        for _ in range(2):
            got, wanted = convolve(x, w), F.conv2d(x, w, padding=1)
            np.testing.assert_array_equal(got.numpy(), wanted.numpy())


def test_the_choice_is_true_or_false() -> None:
    with pytest.raises(TypeError, match="winograd is True or False"):
        fovea.backends.cpu.winograd = 1
    with pytest.raises(TypeError, match="winograd is True or False"):
        fovea.backends.cpu.winograd = None
