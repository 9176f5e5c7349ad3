"""Ops that follow indices: every layout, negative and out-of-range indices, repeats in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import dispatch, dtypes
from fovea.errors import OutOfRangeError
from fovea.ops import index as ops
from fovea.targets.cpu import threads
from tests.targets.cpu.operands import both, laid_out
from tests.targets.cpu.test_reduce import setting

assert setting  # every vector unit, and bounds checks


class Calls:
    """Random tensors and indices."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def tensor(self, dtype: dtypes.DType, shape: tuple[int, ...]) -> Any:
        return laid_out(self.rng, self.rng.integers(0, 7, shape).astype(dtype.numpy))

    def index(self, size: int, shape: tuple[int, ...]) -> Any:
        kind = self.rng.choice([np.int64, np.int32])
        low, high = (-size, size) if size else (0, 1)
        return laid_out(self.rng, self.rng.integers(low, high, shape).astype(kind))

    def places(self) -> tuple[Any, tuple[int, ...], tuple[Any, ...]]:
        """A tensor, indexed dimensions, and one index a dimension."""
        rank = int(self.rng.integers(1, 5))
        dtype = dtypes.ALL[self.rng.integers(len(dtypes.ALL))]
        x = self.tensor(dtype, tuple(int(n) for n in self.rng.choice([1, 2, 3, 5, 20], size=rank)))
        count = int(self.rng.integers(1, min(rank, 3) + 1))
        chosen = self.rng.choice(rank, count, replace=False)
        dims = tuple(sorted(int(d) for d in chosen))
        shape = tuple(
            int(n) for n in self.rng.choice([0, 1, 2, 3, 6], size=self.rng.integers(0, 3))
        )
        kind = self.index(1, ()).dtype
        found = [self.index(x.shape[d], shape if n == 0 else shape[1:]) for n, d in enumerate(dims)]
        return x, dims, tuple(i.to(kind) for i in found)


def exact(op: Any, inputs: tuple[Any, ...], attrs: Any) -> None:
    got, want = both(op, inputs, attrs)
    assert got.shape == want.shape and got.dtype is want.dtype
    np.testing.assert_array_equal(got._array(), want._array())


def test_index() -> None:
    calls = Calls(1)
    for _ in range(60):
        x, dims, found = calls.places()
        exact(ops.index, (x, *found), ops.IndexAttrs.of(dims))


def test_index_grad_sums_repeats() -> None:
    calls = Calls(2)
    for _ in range(50):
        x, dims, found = calls.places()
        shape = ops.indexed_shape("index", tuple(x.shape), found, dims)
        gy = calls.tensor(x.dtype, shape)
        exact(ops.index_grad, (gy, *found), ops.IndexGradAttrs.of(dims, tuple(x.shape)))


@pytest.mark.parametrize("accumulate", [False, True])
def test_index_put(accumulate: bool) -> None:
    calls = Calls(3)
    for _ in range(40):
        x, dims, found = calls.places()
        shape = ops.indexed_shape("index", tuple(x.shape), found, dims)
        value = calls.tensor(x.dtype, shape if accumulate else ())  # without an order, equal values
        attrs = ops.IndexPutAttrs.of(dims, accumulate)
        exact(ops.index_put, (x, value, *found), attrs)
        changed = x.clone()
        dispatch.bind_into(ops.index_put, changed, (changed, value, *found), attrs)
        want = both(ops.index_put, (x, value, *found), attrs)[1]
        np.testing.assert_array_equal(changed._array(), want._array())


def test_put_into_a_view() -> None:
    x = fovea.zeros(4, 6)
    x[1:3, ::2][fovea.tensor([1]), fovea.tensor([2])] = 5.0
    assert x.nonzero().tolist() == [[2, 4]]
    y = fovea.arange(5).float()
    y[fovea.tensor([0, 1, 2])] = y[2:5]
    assert y.tolist() == [2, 3, 4, 3, 4]
    z = fovea.arange(5).float()
    z[fovea.tensor([4, 3, 2, 1, 0])] = z
    assert z.tolist() == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("op", [ops.gather, ops.scatter, ops.scatter_add], ids=lambda op: op.name)
def test_along_a_dimension(op: Any) -> None:
    calls = Calls(4)
    for _ in range(50):
        rank = int(calls.rng.integers(1, 5))
        shape = [int(n) for n in calls.rng.choice([1, 2, 3, 5, 9], size=rank)]
        dtype = dtypes.ALL[calls.rng.integers(len(dtypes.ALL))]
        x, dim = calls.tensor(dtype, tuple(shape)), int(calls.rng.integers(rank))
        size, shape[dim] = shape[dim], int(calls.rng.integers(0, 5))
        if calls.rng.random() < 0.2:
            shape = [int(calls.rng.integers(0, n + 1)) for n in shape]
        index = calls.index(size, tuple(shape))
        attrs = ops.DimAttrs.of(dim)
        if op is ops.gather:
            exact(op, (x, index), attrs)
            continue
        if op is ops.scatter:  # without repeats, whose order NumPy leaves open
            if shape[dim] > size:
                continue
            order = np.argsort(calls.rng.random((*shape[:dim], size, *shape[dim + 1 :])), axis=dim)
            index = fovea.from_numpy(np.ascontiguousarray(order.take(range(shape[dim]), dim)))
        grown = tuple(n + int(calls.rng.integers(0, 2)) for n in shape)
        exact(op, (x, index, calls.tensor(dtype, grown)), attrs)


def bad_calls() -> dict[str, Callable[[Any], Any]]:
    x = fovea.zeros(4, 5, 6)
    rows = fovea.zeros(2, 5, 6)
    return {
        "index": lambda i: x[i],
        "index of a middle dimension": lambda i: fovea.index_select(x, 1, i),
        "two indices": lambda i: x[fovea.tensor([0, 1]), i],
        "index_put": lambda i: x.clone().index_put_((i,), rows),
        "index_grad": lambda i: ops.index_grad(rows, i, dims=(0,), shape=(4, 5, 6)),
        "of nothing": lambda i: fovea.zeros(4, 0)[i],
        "from nothing": lambda i: fovea.zeros(0, 4)[i],
        "gather": lambda i: fovea.gather(x[:, 0, 0], 0, i),
        "scatter": lambda i: fovea.scatter(x[:, 0, 0], 0, i, fovea.zeros(2)),
        "scatter_add": lambda i: fovea.scatter_add(x[:, 0, 0], 0, i, fovea.zeros(2)),
    }


@pytest.mark.parametrize("name", bad_calls())
@pytest.mark.parametrize("wrong", [7, -8, 2**62, -(2**63)])
def test_out_of_range(name: str, wrong: int) -> None:
    with pytest.raises(OutOfRangeError, match="out of range"):
        bad_calls()[name](fovea.tensor([0, wrong]))


def test_a_bad_index_writes_nothing() -> None:
    x = fovea.zeros(4)
    with pytest.raises(OutOfRangeError):
        x.index_put_((fovea.tensor([1, 9]),), fovea.ones(2))
    assert x.tolist() == [0, 0, 0, 0]


def test_rows_keep_their_layout() -> None:
    images = fovea.arange(4 * 3 * 5 * 6).reshape(4, 3, 5, 6).float()
    pixels = images.contiguous(memory_format="channels_last")
    batch = pixels[fovea.tensor([3, 0])]
    assert batch.is_contiguous(memory_format="channels_last")
    np.testing.assert_array_equal(batch.numpy(), images.numpy()[[3, 0]])


def test_large_sums_are_the_same_on_two_threads() -> None:
    rng = np.random.default_rng(5)
    index = fovea.from_numpy(rng.integers(0, 50, 3000))
    gy = fovea.from_numpy(rng.normal(size=(3000, 130)).astype(np.float32))
    results = []
    before = threads.get_num_threads()
    for count in (1, 2):
        threads.set_num_threads(count)
        attrs = ops.IndexGradAttrs.of((0,), (50, 130))
        results.append(ops.index_grad.bind((gy, index), attrs).numpy())
    threads.set_num_threads(before)
    np.testing.assert_array_equal(*results)
    want = np.zeros((50, 130), np.float32)
    np.add.at(want, index.numpy(), gy.numpy())
    np.testing.assert_array_equal(results[0], want)
