"""Regions of memory against NumPy's strides."""

from __future__ import annotations

import numpy as np
import pytest

import fovea
from fovea.errors import OutOfRangeError, ShapeError
from fovea.ops import memory

REGIONS = [
    ((2, 2), (6, 2), 7),
    ((3,), (1,), 0),
    ((), (), 5),
    ((2, 1, 3), (12, 99, 2), 1),
    ((0,), (1,), 0),
]


def block(layout: str) -> fovea.Tensor:
    x = fovea.arange(24.0).reshape(4, 6)
    return {"plain": x, "turned": x.T, "wide": fovea.arange(24.0).reshape(2, 3, 4)}[layout]


@pytest.mark.parametrize("layout", ["plain", "turned", "wide"])
@pytest.mark.parametrize(("shape", "strides", "offset"), REGIONS)
def test_regions(
    layout: str, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> None:
    x = block(layout)
    attrs = memory.RegionAttrs.of(shape, strides, offset)
    seen = memory.strided.bind((x,), attrs)
    flat = np.arange(24.0, dtype=np.float32)
    expected = np.lib.stride_tricks.as_strided(flat[offset:], shape, [4 * s for s in strides])
    assert np.array_equal(seen.numpy(), expected)
    y = fovea.rand(*shape)
    out = memory.strided_scatter.bind((x, y), attrs)
    assert out.strides == x.strides
    changed = flat.copy()
    np.lib.stride_tricks.as_strided(changed[offset:], shape, [4 * s for s in strides])[...] = (
        y.numpy()
    )
    assert np.array_equal(
        memory.strided.bind((out,), memory.RegionAttrs.of((24,), (1,), 0)).numpy(), changed
    )
    meaning = memory.strided_scatter.reference_rule(x.numpy(), y.numpy(), attrs)  # type: ignore[misc]
    assert np.array_equal(meaning, out.numpy())
    assert np.array_equal(memory.strided.reference_rule(x.numpy(), attrs), expected)  # type: ignore[misc]


def test_gaps_are_closed() -> None:
    x = fovea.arange(24.0).reshape(4, 6)[:, ::2]
    out = memory.strided_scatter.bind((x, fovea.zeros(1)), memory.RegionAttrs.of((1,), (1,), 4))
    expected = x.numpy().copy()
    expected[1, 1] = 0
    assert np.array_equal(out.numpy(), expected)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"), [((4,), (8,), 1), ((1,), (1,), -1), ((2,), (-1,), 4)]
)
def test_outside(shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> None:
    with pytest.raises(OutOfRangeError):
        memory.strided.bind((block("plain"),), memory.RegionAttrs.of(shape, strides, offset))


def test_misfits() -> None:
    x = block("plain")
    with pytest.raises(ShapeError):
        memory.strided_scatter.bind((x, fovea.ones(3)), memory.RegionAttrs.of((2,), (1,), 0))
    with pytest.raises(ShapeError):
        memory.lay_out.bind((x,), memory.StridesAttrs.of((8, 1)))
