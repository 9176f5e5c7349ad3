"""What covering a part of an image does to the score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fovea import dtypes
from fovea.autograd import no_grad
from fovea.errors import ArgumentError
from fovea.functions.creation import from_numpy
from fovea.functions.joining import cat
from fovea.functions.pointwise import where
from fovea.nn.module import Module
from fovea.vision.explain.looking import Targets, evaluating, is_keras, scores, side_sizes

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["occlusion"]


def occlusion(
    model: Module,
    x: Tensor,
    targets: Targets = None,
    window: int | tuple[int, int] = 16,
    stride: int | tuple[int, int] | None = None,
    baseline: float = 0.0,
    batch_size: int = 32,
) -> Tensor:
    """By how much the score falls where a window covers the image: of each pixel the mean of the
    windows over it.

    Args:
        model: a network of images; a module, or a Keras model.
        x: images as it takes them.
        targets: a class for all, or one for each image; functions that make a number of one image's
            outputs; None: the class with the highest score.
        window: pixels, a side or (height, width).
        stride: from one window to the next; None: half a window. The last one ends at the border.
        baseline: what stands in the window.
        batch_size: how many covered images at a time.

    Returns:
        float32 (N, H, W).

    Raises:
        ArgumentError: a window that is larger than the image, or a stride below 1.

    Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.

    >>> import fovea
    >>> net = fovea.nn.Sequential(fovea.nn.AdaptiveAvgPool2d(1), fovea.nn.Flatten())
    >>> occlusion(net, fovea.ones(1, 1, 2, 2), targets=0, window=1)[0].tolist()
    [[0.25, 0.25], [0.25, 0.25]]
    """
    size = side_sizes(model, x)
    sides = (window, window) if isinstance(window, int) else window
    if stride is None:
        steps = max(sides[0] // 2, 1), max(sides[1] // 2, 1)
    else:
        steps = (stride, stride) if isinstance(stride, int) else stride
    if any(not 1 <= w <= s for w, s in zip(sides, size, strict=True)) or min(steps) < 1:
        raise ArgumentError(
            f"occlusion: windows {tuple(sides)} at steps {tuple(steps)} in images {size}.",
            fix="a window no larger than the image, and a stride of at least 1",
        )
    covers = _covers(size, sides, steps)
    with evaluating(model), no_grad():
        before, each = scores(model(x), targets)
        falls = [
            _falls(model, image, covers, target, baseline, batch_size)
            for image, target in zip(x, each, strict=True)
        ]
    lost = before.to(dtypes.float32).numpy()[:, None] - np.stack(falls)
    total = np.einsum("nw,whv->nhv", lost, covers.astype(np.float32))
    return from_numpy((total / covers.sum(0)).astype(np.float32))


def _covers(
    size: tuple[int, int], sides: tuple[int, int], steps: tuple[int, int]
) -> np.ndarray[tuple[int, int, int], np.dtype[np.bool_]]:
    """All windows as masks, bool (windows, H, W)."""
    starts = [
        sorted({*range(0, s - w + 1, step), s - w})
        for s, w, step in zip(size, sides, steps, strict=True)
    ]
    masks = np.zeros((len(starts[0]) * len(starts[1]), *size), bool)
    for n, (top, left) in enumerate((t, v) for t in starts[0] for v in starts[1]):
        masks[n, top : top + sides[0], left : left + sides[1]] = True
    return masks


def _falls(
    model: Module, image: Tensor, covers: np.ndarray, target: object, baseline: float, batch: int
) -> np.ndarray:
    """The scores of an image under each of the windows."""
    found = []
    for start in range(0, len(covers), batch):
        part = from_numpy(covers[start : start + batch]).unsqueeze(-1 if is_keras(model) else 1)
        seen = where(part, baseline, image.unsqueeze(0))
        found.append(scores(model(seen.to(image.dtype)), [target] * len(seen))[0])  # type: ignore[list-item]
    return cat(found).to(dtypes.float32).numpy()
