"""Gradients of pixels, covered images, features and pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn
from fovea.errors import ArgumentError, ShapeError
from fovea.vision import explain
from tests.nn.oracle import rng, torch


def layers(lib: Any) -> list[Any]:
    return [
        lib.Conv2d(2, 4, 3, padding=1), lib.Tanh(), lib.MaxPool2d(2), lib.Flatten(),
        lib.Linear(4 * 3 * 2, 3),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Any]:
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(*layers(torch.nn)).double()
    ours = nn.Sequential(*layers(nn)).double()
    ours.load_state_dict({k: fovea.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()})
    return ours, theirs


X = rng().normal(size=(2, 2, 6, 4))


def gradient(theirs: Any, x: Any, classes: list[int]) -> Any:
    t = torch.from_numpy(x).requires_grad_()
    theirs(t)[range(len(x)), classes].sum().backward()
    return t.grad.numpy()


def test_saliency(pair: Any) -> None:
    ours, theirs = pair
    found = explain.saliency(ours, fovea.from_numpy(X), [2, 0]).numpy()
    np.testing.assert_allclose(found, np.abs(gradient(theirs, X, [2, 0])).max(1), 1e-9)
    best = theirs(torch.from_numpy(X)).argmax(1).tolist()
    of_best = explain.saliency(ours, fovea.from_numpy(X)).numpy()
    np.testing.assert_allclose(of_best, np.abs(gradient(theirs, X, best)).max(1), 1e-9)


@pytest.mark.parametrize("baseline", [0.0, 0.3, "images"])
def test_integrated_gradients_are_complete(pair: Any, baseline: Any) -> None:
    ours, theirs = pair
    start: Any = rng(1).normal(size=X.shape) if baseline == "images" else np.full(X.shape, baseline)
    given = fovea.from_numpy(start) if baseline == "images" else baseline
    found = explain.integrated_gradients(ours, fovea.from_numpy(X), [1, 2], given, 60).numpy()
    ends = [theirs(torch.from_numpy(a)).detach().numpy()[[0, 1], [1, 2]] for a in (X, start)]
    np.testing.assert_allclose(found.sum((1, 2, 3)), ends[0] - ends[1], atol=2e-2)
    places, weights = np.polynomial.legendre.leggauss(60)
    mean = sum(
        w / 2 * gradient(theirs, start + (p + 1) / 2 * (X - start), [1, 2])
        for p, w in zip(places, weights, strict=True)
    )
    np.testing.assert_allclose(found, (X - start) * mean, 1e-8, 1e-10)


def test_smooth_grad(pair: Any) -> None:
    ours, theirs = pair
    x = fovea.from_numpy(X)
    fovea.manual_seed(3)
    found = explain.smooth_grad(ours, x, [0, 1], samples=4, noise=0.2).numpy()
    fovea.manual_seed(3)
    deviation = 0.2 * (X.max() - X.min())
    noisy = [X + deviation * fovea.randn_like(x).numpy() for _ in range(4)]
    expected = np.mean([gradient(theirs, n, [0, 1]) for n in noisy], 0)
    np.testing.assert_allclose(found, expected, 1e-8, 1e-10)
    still = explain.smooth_grad(ours, x, [0, 1], samples=1, noise=0.0).numpy()
    np.testing.assert_allclose(still, gradient(theirs, X, [0, 1]), 1e-8, 1e-10)


@pytest.mark.parametrize(("window", "stride"), [((3, 2), (2, 2)), (2, None), ((6, 4), 1)])
def test_occlusion(pair: Any, window: Any, stride: Any) -> None:
    ours, theirs = pair
    sides = (window, window) if isinstance(window, int) else window
    steps = (1, 1) if stride is None else (stride, stride) if isinstance(stride, int) else stride
    total, count = np.zeros((2, 6, 4)), np.zeros((6, 4))
    whole = theirs(torch.from_numpy(X)).detach().numpy()[[0, 1], [1, 1]]
    for top in sorted({*range(0, 7 - sides[0], steps[0]), 6 - sides[0]}):
        for left in sorted({*range(0, 5 - sides[1], steps[1]), 4 - sides[1]}):
            part = np.s_[..., top : top + sides[0], left : left + sides[1]]
            covered = X.copy()
            covered[part] = 0.5
            score = theirs(torch.from_numpy(covered)).detach().numpy()[[0, 1], [1, 1]]
            total[part] += (whole - score)[:, None, None]
            count[part] += 1
    found = explain.occlusion(ours, fovea.from_numpy(X), 1, window, stride, 0.5, 3).numpy()
    np.testing.assert_allclose(found, total / count, 1e-4, 1e-5)


def test_features(pair: Any) -> None:
    ours, theirs = pair
    x = fovea.from_numpy(X)
    found = explain.features(ours, x, at="1")
    np.testing.assert_allclose(found.numpy(), theirs[:2](torch.from_numpy(X)).detach().numpy())
    several = explain.features(ours, x, at=["0", "4"])
    assert list(several) == ["0", "4"] and several["4"].shape == (2, 3)
    assert not found.requires_grad and ours.training
    weights = explain.filters(ours, "0")
    assert weights.shape == (4, 2, 3, 3)
    assert (
        weights.amin((1, 2, 3)).tolist() == [0] * 4 and weights.amax((1, 2, 3)).tolist() == [1] * 4
    )
    with pytest.raises(ArgumentError, match="no filters"):
        explain.filters(ours, "4")
    with pytest.raises(ArgumentError, match="no module at '9'"):
        explain.features(ours, x, "9")


def test_pictures(pair: Any) -> None:
    pytest.importorskip("matplotlib")
    ours, _ = pair
    x = fovea.from_numpy(X)
    figure = explain.plot_features(ours, x, "0", channels=3)
    assert len(figure.axes) == 3 and figure._suptitle.get_text() == "0: 4 maps of 6 × 4"
    assert figure.axes[1].images[0].get_array().shape == (6, 4)
    assert len(explain.plot_filters(ours, "0").axes) == 4
    with pytest.raises(ShapeError, match="are no maps"):
        explain.plot_features(ours, x, "4")
    heat = np.arange(24.0).reshape(6, 4)
    picture = explain.overlay(fovea.full((1, 6, 4), 255).to(fovea.uint8), heat, alpha=0.25)
    assert picture.shape == (3, 6, 4) and picture.dtype is fovea.uint8
    assert picture.min().item() >= 190  # three quarters of white
    with pytest.raises(ShapeError, match="overlay"):
        explain.overlay(fovea.ones(3, 4, 6), heat)


def test_mistakes(pair: Any) -> None:
    ours, _ = pair
    x = fovea.from_numpy(X)
    for function, options in (
        (explain.occlusion, {"window": 7}), (explain.occlusion, {"window": 2, "stride": 0}),
        (explain.smooth_grad, {"samples": 0}), (explain.integrated_gradients, {"steps": 0}),
    ):  # fmt: skip
        with pytest.raises(ArgumentError):
            function(ours, x, 0, **options)
