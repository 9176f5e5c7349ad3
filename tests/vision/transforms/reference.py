"""What the transforms' tests share: images, and torchvision's answer for the same image."""

from __future__ import annotations

from typing import Any

import numpy as np

import fovea

SHAPES = [(3, 13, 18), (1, 24, 7), (3, 5, 5), (2, 3, 9, 10)]
DTYPES = ["uint8", "float32"]


def image(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 0) -> np.ndarray[Any, Any]:
    """A smooth image with some noise, so that neighbors differ but little."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    channels = np.arange(shape[-3]).reshape(-1, 1, 1)
    smooth = 0.5 + 0.4 * np.sin(y / 3 + channels) * np.cos(x / 4 - channels)
    values = np.clip(smooth + rng.normal(0, 0.08, shape), 0, 1)
    if dtype == "uint8":
        return (values * 255).astype(np.uint8)
    return values.astype(dtype)


def ours(array: np.ndarray[Any, Any], layout: str = "planes") -> fovea.Tensor:
    """The array as a tensor, channels-first or channels-last in memory."""
    if layout == "channels last":
        order = (*range(array.ndim - 3), array.ndim - 2, array.ndim - 1, array.ndim - 3)
        stored = np.ascontiguousarray(array.transpose(order))
        back = (*range(array.ndim - 3), array.ndim - 1, array.ndim - 3, array.ndim - 2)
        return fovea.from_numpy(stored).permute(*back)
    return fovea.from_numpy(array.copy())


def close(found: fovea.Tensor, expected: Any, *, levels: int = 1, atol: float = 2e-5) -> None:
    """Equal shape, type and values: floats nearly, integers to within ``levels``."""
    reference = expected.numpy()
    assert tuple(found.shape) == reference.shape
    assert found.numpy().dtype == reference.dtype
    if reference.dtype.kind in "iu":
        gap = np.abs(found.numpy().astype(np.int64) - reference.astype(np.int64))
        assert gap.max(initial=0) <= levels, f"differs by {gap.max()}"
    else:
        np.testing.assert_allclose(found.numpy(), reference, atol=atol, rtol=1e-5)
