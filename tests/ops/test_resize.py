"""Resizing: weights sum to one, and attributes are checked. Values are tested with interpolate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import FoveaError
from fovea.ops.resize import MODES, resize2d, resize2d_grad, resize_weights


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("align_corners", [False, True])
def test_weights(mode: str, align_corners: bool) -> None:
    for n in (1, 2, 5):
        for count in (1, 3, 8):
            index, weights = resize_weights(n, count, mode, align_corners, 0.0)
            assert index.shape == weights.shape
            assert index.min() >= 0
            assert index.max() < n
            np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-12)
            if n == count:
                same = np.zeros((n, n))
                np.add.at(same, (np.arange(n)[:, None], index), weights)
                np.testing.assert_allclose(same, np.eye(n), atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "lanczos"},
        {"output_size": (0, 2)},
        {"output_size": (2,)},
        {"output_size": (2.5, 2)},
        {"scale": (-1.0, 1.0)},
        {"scale": (float("nan"), 1.0)},
    ],
)
def test_attributes_are_checked(options: dict[str, Any]) -> None:
    attrs: dict[str, Any] = {"output_size": (2, 2), "mode": "bilinear", **options}
    with pytest.raises(FoveaError):
        resize2d(fovea.ones(1, 1, 3, 3), **attrs)


def test_gradients_must_fit() -> None:
    attrs: Any = {"output_size": (2, 2), "mode": "nearest", "align_corners": False}
    with pytest.raises(FoveaError, match="not of the output size"):
        resize2d_grad(fovea.ones(1, 1, 3, 2), **attrs, scale=(0.0, 0.0), input_size=(4, 4))
    with pytest.raises(FoveaError, match="without pixels"):
        resize2d(fovea.ones(1, 1, 0, 3), output_size=(2, 2), mode="nearest")
