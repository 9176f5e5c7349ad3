"""Ops that move elements: transposes in tiles, planes and pixels, joining, padding, rolling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fovea
from fovea import dtypes
from fovea.ops import rearrange
from fovea.ops import shape as ops
from fovea.targets.cpu import threads, transpose
from tests.targets.cpu.operands import both, laid_out
from tests.targets.cpu.test_reduce import setting

assert setting  # every vector unit, and bounds checks


def exact(op: Any, inputs: tuple[Any, ...], attrs: Any) -> None:
    got, want = both(op, inputs, attrs)
    assert got.strides == want.strides and got.dtype is want.dtype
    np.testing.assert_array_equal(got.numpy(), want.numpy())


def numbers(rng: np.random.Generator, dtype: dtypes.DType, shape: tuple[int, ...]) -> Any:
    return laid_out(rng, rng.integers(0, 100, shape).astype(dtype.numpy))


@pytest.mark.parametrize(
    "dtype", [dtypes.uint8, dtypes.bfloat16, dtypes.float32, dtypes.int64], ids=str
)
def test_any_layout_into_any_other(dtype: dtypes.DType) -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        rank = int(rng.integers(0, 5))
        shape = tuple(int(n) for n in rng.choice([1, 2, 3, 4, 7, 16, 33, 70], size=rank))
        if np.prod(shape) > 200_000:
            continue
        x = numbers(rng, dtype, shape)
        for layout in ("preserve", "contiguous", *(["channels_last"] if rank == 4 else [])):
            exact(ops.clone, (x,), ops.LayoutAttrs.of(layout))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 16])
@pytest.mark.parametrize("dtype", [dtypes.uint8, dtypes.float32], ids=str)
def test_planes_and_pixels(channels: int, dtype: dtypes.DType) -> None:
    rng = np.random.default_rng(channels)
    planes = fovea.from_numpy(rng.integers(0, 200, (2, channels, 19, 23)).astype(dtype.numpy))
    pixels = planes.contiguous(memory_format="channels_last")
    assert pixels.permute(0, 2, 3, 1).is_contiguous()
    np.testing.assert_array_equal(pixels.numpy(), planes.numpy())
    back = pixels.contiguous()
    assert back.is_contiguous()
    np.testing.assert_array_equal(back.numpy(), planes.numpy())


def test_large_transposes_on_two_threads() -> None:
    x = fovea.arange(700 * 900).reshape(700, 900).float()
    before = threads.get_num_threads()
    for count in (1, 2):
        threads.set_num_threads(count)
        np.testing.assert_array_equal(x.t().contiguous().numpy(), x.numpy().T)
    threads.set_num_threads(before)


NARROW_TO_WIDE = [dtypes.uint8, dtypes.bfloat16, dtypes.float32, dtypes.float64]


@pytest.mark.parametrize("dtype", NARROW_TO_WIDE, ids=str)
@pytest.mark.parametrize("large", [False, True], ids=["in caches", "past them"])
def test_blocks_of_all_sizes_and_places(
    dtype: dtypes.DType, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(transpose, "ASK_FROM", 0)
        monkeypatch.setattr(transpose, "STREAM_FROM", 0)
    rng = np.random.default_rng(7)
    sizes = [(8, 8), (5, 13), (2, 300), (300, 2), (64, 64), (65, 63), (128, 256), (49, 512)]
    sizes += [(257, 129), (515, 31), (16, 1027), (320, 192)]
    for rows, columns in sizes:
        for outer, offset in ((1, 0), (3, 0), (2, 1)):
            values = rng.integers(0, 250, outer * rows * columns + offset).astype(dtype.numpy)
            x = fovea.from_numpy(values)[offset:].reshape(outer, rows, columns)
            want = values[offset:].reshape(outer, rows, columns).transpose(0, 2, 1)
            exact(ops.clone, (x.permute(0, 2, 1),), ops.LayoutAttrs.of("contiguous"))
            # Into a part of what is there, whose first element no cache line starts with.
            room = fovea.zeros(outer * rows * columns + 8, dtype=dtype)
            part = room[5:-3].view(outer, columns, rows)
            part.copy_(x.permute(0, 2, 1))
            np.testing.assert_array_equal(part.numpy(), want)
            assert not room[:5].bool().any() and not room[-3:].bool().any()


def test_operands_that_lie_across_the_result() -> None:
    rng = np.random.default_rng(8)
    x = rng.standard_normal((150, 150)).astype(np.float32)
    image = rng.standard_normal((2, 24, 31, 29)).astype(np.float32)
    last = np.ascontiguousarray(image.transpose(0, 2, 3, 1))
    a, planes, pixels = (fovea.from_numpy(v) for v in (x, image, last))
    np.testing.assert_array_equal((a + a.t()).numpy(), x + x.T)
    np.testing.assert_array_equal((a.t() - a).numpy(), x.T - x)
    mixed = planes * pixels.permute(0, 3, 1, 2)
    np.testing.assert_array_equal(mixed.numpy(), image * image)
    row = planes[:1, :, :1].permute(0, 2, 3, 1)  # for all images and rows
    np.testing.assert_array_equal(
        (pixels + row).numpy(), last + image[:1, :, :1].transpose(0, 2, 3, 1)
    )
    b = a.clone()
    b += a.t()
    np.testing.assert_array_equal(b.numpy(), x + x.T)
    program = fovea.compile(lambda v: (v * 2 + v.t()).relu())
    np.testing.assert_array_equal(program(a).numpy(), np.maximum(x * 2 + x.T, 0))


def test_cat() -> None:
    rng = np.random.default_rng(3)
    for _ in range(40):
        rank = int(rng.integers(1, 5))
        shape = [int(n) for n in rng.choice([0, 1, 2, 3, 9, 17], size=rank)]
        dim = int(rng.integers(rank))
        parts = []
        for _ in range(int(rng.integers(1, 4))):
            shape[dim] = int(rng.integers(0, 6))
            parts.append(numbers(rng, dtypes.int32, tuple(shape)))
        exact(ops.cat, tuple(parts), ops.DimAttrs.of(dim))


def test_pad_and_crop() -> None:
    rng = np.random.default_rng(4)
    for dtype in dtypes.ALL:
        for _ in range(6):
            rank = int(rng.integers(0, 4))
            shape = tuple(int(n) for n in rng.integers(4, 9, rank))
            before, after = (tuple(int(n) for n in rng.integers(-2, 4, rank)) for _ in range(2))
            exact(
                rearrange.pad,
                (numbers(rng, dtype, shape),),
                rearrange.PadAttrs.of(before, after, 1.0),
            )
    with pytest.raises(fovea.errors.ShapeError):
        rearrange.pad(fovea.zeros(3), before=(-5,), after=(4,), value=0.0)


def test_slice_scatter() -> None:
    rng = np.random.default_rng(5)
    for _ in range(40):
        rank = int(rng.integers(0, 4))
        length = tuple(int(n) for n in rng.integers(0, 5, rank))
        step = tuple(int(n) for n in rng.integers(1, 4, rank))
        start = tuple(int(n) for n in rng.integers(0, 3, rank))
        shape = tuple(
            f + max(n - 1, 0) * s + 2 for f, n, s in zip(start, length, step, strict=True)
        )
        attrs = ops.SliceScatterAttrs.of(shape, start, length, step)
        exact(ops.slice_scatter, (numbers(rng, dtypes.float32, length),), attrs)
    bad = ops.SliceScatterAttrs.of((3,), (1,), (3,), (1,))
    with pytest.raises(fovea.errors.OutOfRangeError):
        ops.slice_scatter.bind((fovea.zeros(3),), bad)


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_triangles(dtype: dtypes.DType) -> None:
    rng = np.random.default_rng(7)
    for _ in range(12):
        lead = tuple(int(n) for n in rng.integers(1, 4, int(rng.integers(0, 3))))
        shape = (*lead, *(int(n) for n in rng.choice([0, 1, 2, 5, 16, 33, 70], 2)))
        x = numbers(rng, dtype, shape)
        for diagonal in (0, 1, int(rng.integers(-80, 80)), 1 << 40, -(1 << 40)):
            for op in (rearrange.tril, rearrange.triu):
                exact(op, (x,), rearrange.TriangleAttrs.of(diagonal))


def test_large_triangles_on_two_threads() -> None:
    x = fovea.arange(3 * 400 * 301).reshape(3, 400, 301).float()
    x[0, 5, 7], x[1, 7, 5] = float("nan"), float("inf")
    before = threads.get_num_threads()
    for count in (1, 2):
        threads.set_num_threads(count)
        np.testing.assert_array_equal(x.tril(-3).numpy(), np.tril(x.numpy(), -3))
        np.testing.assert_array_equal(x.triu(9).numpy(), np.triu(x.numpy(), 9))
    threads.set_num_threads(before)


def test_flip_and_roll() -> None:
    rng = np.random.default_rng(6)
    for _ in range(40):
        rank = int(rng.integers(1, 4))
        x = numbers(rng, dtypes.int16, tuple(int(n) for n in rng.integers(0, 9, rank)))
        dims = tuple(int(d) for d in range(rank) if rng.random() < 0.5)
        exact(rearrange.flip, (x,), rearrange.DimsAttrs.of(dims))
        shifts = tuple(int(s) for s in rng.integers(-12, 12, len(dims)))
        exact(rearrange.roll, (x,), rearrange.RollAttrs.of(shifts, dims))
    exact(rearrange.roll, (fovea.arange(7),), rearrange.RollAttrs.of((3, -1, 8), (0, 0, 0)))
