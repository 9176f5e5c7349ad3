"""Gradients of a score with respect to pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.autograd import enable_grad, grad
from fovea.errors import ArgumentError
from fovea.functions.random import randn_like
from fovea.nn.module import Module
from fovea.tensorbase import is_tensor
from fovea.vision.explain.looking import Targets, evaluating, is_keras, scores, side_sizes

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["integrated_gradients", "saliency", "smooth_grad"]


def saliency(model: Module, x: Tensor, targets: Targets = None) -> Tensor:
    """How much each pixel could change the score: the largest |gradient| of its channels.

    Args:
        model: a network of images; a module, or a Keras model.
        x: images as it takes them.
        targets: a class for all, or one for each image; functions that make a number of one image's
            outputs; None: the class with the highest score.

    Returns:
        (N, H, W).

    Source: Simonyan et al., "Deep inside convolutional networks", ICLR workshops 2014.

    >>> import fovea
    >>> net = fovea.nn.Sequential(fovea.nn.Flatten(), fovea.nn.Linear(12, 2))
    >>> saliency(net, fovea.rand(1, 3, 2, 2), targets=1).shape
    fovea.Size([1, 2, 2])
    """
    side_sizes(model, x)
    return _gradient(model, x, targets).abs().amax(-1 if is_keras(model) else 1)


def smooth_grad(
    model: Module, x: Tensor, targets: Targets = None, samples: int = 25, noise: float = 0.15
) -> Tensor:
    """The mean gradient of the score at images with noise, which has less of it than one gradient.

    Args:
        model, x, targets: as of `saliency`.
        samples: how many noisy images.
        noise: the noise's deviation, in spans between the least and the greatest value of x.

    Returns:
        gradients of the shape of x.

    Raises:
        ArgumentError: no samples.

    Source: Smilkov et al., "SmoothGrad", 2017.

    >>> import fovea
    >>> net = fovea.nn.Sequential(fovea.nn.Flatten(), fovea.nn.Linear(12, 2))
    >>> smooth_grad(net, fovea.rand(1, 3, 2, 2), targets=1, samples=3).shape
    fovea.Size([1, 3, 2, 2])
    """
    if samples < 1:
        raise ArgumentError(f"smooth_grad: samples must be at least 1, got {samples}.")
    each = _fixed(model, x, targets)
    deviation = noise * (x.max() - x.min())
    total = 0 * x.detach()
    for _ in range(samples):
        total = total + _gradient(model, x.detach() + deviation * randn_like(x), each)
    return total / samples


def integrated_gradients(
    model: Module,
    x: Tensor,
    targets: Targets = None,
    baseline: Any = 0.0,
    steps: int = 50,
) -> Tensor:
    """What each number of an image adds to the score, on the straight way from a baseline.

    attribution = (x - baseline) * mean of the gradients along the way: their sum is score(x) less
    score(baseline). The mean is by Gauss-Legendre quadrature.

    Args:
        model, x, targets: as of `saliency`.
        baseline: an image without content: a number, or a tensor that broadcasts to x.
        steps: how many gradients.

    Returns:
        attributions of the shape of x.

    Raises:
        ArgumentError: no steps.

    Source: Sundararajan et al., "Axiomatic attribution for deep networks", ICML 2017.

    >>> import fovea
    >>> net = fovea.nn.Sequential(fovea.nn.Flatten(), fovea.nn.Linear(4, 2, bias=False))
    >>> x = fovea.rand(1, 1, 2, 2)
    >>> found = integrated_gradients(net, x, targets=0, steps=4)
    >>> bool(fovea.allclose(found.sum(), net(x)[0, 0], atol=1e-6))
    True
    """
    if steps < 1:
        raise ArgumentError(f"integrated_gradients: steps must be at least 1, got {steps}.")
    each = _fixed(model, x, targets)
    start = baseline.detach() if is_tensor(baseline) else x.detach() * 0 + baseline
    way = x.detach() - start
    places, weights = np.polynomial.legendre.leggauss(steps)
    total = 0 * x.detach()
    for place, weight in zip(places.tolist(), weights.tolist(), strict=True):
        total = total + weight / 2 * _gradient(model, start + (place + 1) / 2 * way, each)
    return way * total


def _gradient(model: Module, x: Tensor, targets: Targets) -> Tensor:
    with evaluating(model), enable_grad():
        x = x.detach().requires_grad_()
        return grad(scores(model(x), targets)[0].sum(), x)[0]


def _fixed(model: Module, x: Tensor, targets: Targets) -> list[Any]:
    """A target for each image, which stays while the images change."""
    if targets is None:
        with evaluating(model):
            return scores(model(x.detach()), None)[1]
    return list(targets) if isinstance(targets, list | tuple) else [targets] * len(x)
