"""Datasets: indexing, joining, splitting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError, OutOfRangeError, ShapeError
from fovea.utils.data import (
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)


class Count(IterableDataset[int]):
    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.n))

    def __len__(self) -> int:
        return self.n


def test_tensor_dataset_gives_rows() -> None:
    x, y = fovea.arange(12).reshape(4, 3), fovea.arange(4)
    data = TensorDataset(x, y)
    assert len(data) == 4
    row, label = data[-1]
    assert row.tolist() == [9, 10, 11] and label.item() == 3
    rows, labels = data[1:3]
    assert rows.shape == (2, 3) and labels.tolist() == [1, 2]


def test_tensor_dataset_checks_lengths() -> None:
    with pytest.raises(ShapeError, match="first dimensions differ"):
        TensorDataset(fovea.zeros(4), fovea.zeros(3))
    with pytest.raises(ShapeError):
        TensorDataset(fovea.tensor(1.0))
    with pytest.raises(ArgumentError):
        TensorDataset()


def test_tensor_dataset_batch_keeps_the_order_in_memory() -> None:
    images = fovea.from_numpy(
        np.arange(2 * 4 * 5 * 3, dtype=np.float32).reshape(2, 4, 5, 3)
    ).permute(0, 3, 1, 2)
    batch = TensorDataset(images).__getbatch__([1, 0])
    assert batch is not None
    assert batch[0].stride() == images.stride()
    np.testing.assert_array_equal(batch[0].numpy(), images.numpy()[[1, 0]])


def test_a_batch_is_a_copy() -> None:
    x = fovea.zeros(4, 2)
    (batch,) = next(iter(DataLoader(TensorDataset(x), batch_size=4)))
    batch += 1
    assert x.sum().item() == 0


def test_tensor_dataset_with_gradients_keeps_them() -> None:
    x = fovea.ones(4, 2, requires_grad=True)
    (batch,) = next(iter(DataLoader(TensorDataset(x), batch_size=4)))
    batch.sum().backward()
    assert x.grad is not None and x.grad.sum().item() == 8


def test_concat() -> None:
    joined = ConcatDataset([["a", "b"], ["c"], ["d", "e"]])
    assert [joined[i] for i in range(5)] == list("abcde")
    assert [joined[-i] for i in range(1, 6)] == list("edcba")
    assert joined.cumulative_sizes == [2, 3, 5]
    for index in (5, -6):
        with pytest.raises(OutOfRangeError):
            joined[index]
    with pytest.raises(ArgumentError):
        ConcatDataset([])
    with pytest.raises(ArgumentError, match="ChainDataset"):
        ConcatDataset([Count(2)])


def test_adding_datasets() -> None:
    a, b = TensorDataset(fovea.arange(2)), TensorDataset(fovea.arange(3))
    assert len(a + b) == 5 and (a + b)[4][0].item() == 2
    assert list(Count(2) + Count(1)) == [0, 1, 0]


def test_chain() -> None:
    chained = ChainDataset([Count(2), Count(3)])
    assert list(chained) == [0, 1, 0, 1, 2] and len(chained) == 5
    with pytest.raises(ArgumentError, match="list"):
        list(ChainDataset([[1, 2]]))


def test_stack() -> None:
    assert StackDataset([1, 2], ["a", "b"])[0] == (1, "a")
    named = StackDataset(x=[1, 2], y=["a", "b"])
    assert named[1] == {"x": 2, "y": "b"}
    assert named.__getitems__([1, 0]) == [{"x": 2, "y": "b"}, {"x": 1, "y": "a"}]
    assert len(named) == 2
    for wrong in (lambda: StackDataset(), lambda: StackDataset([1], y=[1])):
        with pytest.raises(ArgumentError):
            wrong()
    with pytest.raises(ArgumentError, match="lengths"):
        StackDataset([1], [1, 2])


def test_subset() -> None:
    part = Subset(["a", "b", "c", "d"], [3, 1])
    assert len(part) == 2 and [part[i] for i in range(2)] == ["d", "b"]
    assert Subset(part, [1])[0] == "b"
    nested = Subset(Subset(TensorDataset(fovea.arange(10)), [8, 6, 4]), [2, 0])
    batch = nested.__getbatch__([0, 1])
    assert batch is not None and batch[0].tolist() == [4, 8]


class Plus100(Subset[Any]):
    """Changes what a sample is, so that neither fast path of ``Subset`` may be taken."""

    def __getitem__(self, idx: int) -> Any:
        return super().__getitem__(idx)[0] + 100


def test_overriding_getitem_leaves_the_fast_paths() -> None:
    data = Plus100(TensorDataset(fovea.arange(4)), [0, 2])
    assert next(iter(DataLoader(data, batch_size=2))).tolist() == [100, 102]


class Bulk(Dataset[int]):
    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> int:
        raise AssertionError("__getitems__ should be used")

    def __getitems__(self, indices: list[int]) -> list[int]:
        self.calls.append(indices)
        return [10 * i for i in indices]


def test_getitems_is_used() -> None:
    data = Bulk()
    assert [b.tolist() for b in DataLoader(data, batch_size=4)] == [[0, 10, 20, 30], [40, 50]]
    assert data.calls == [[0, 1, 2, 3], [4, 5]]


def test_getitems_of_the_wrong_length_is_an_error() -> None:
    class Short(Bulk):
        def __getitems__(self, indices: list[int]) -> list[int]:
            return [1]

    with pytest.raises(ArgumentError, match="1 samples for 4 indices"):
        next(iter(DataLoader(Short(), batch_size=4)))


def test_random_split_counts_and_fractions() -> None:
    g = fovea.Generator().manual_seed(3)
    parts = random_split(range(10), [7, 3], g)
    assert [len(p) for p in parts] == [7, 3]
    assert sorted(i for p in parts for i in p.indices) == list(range(10))
    again = random_split(range(10), [7, 3], fovea.Generator().manual_seed(3))
    assert [p.indices for p in again] == [p.indices for p in parts]
    other = random_split(range(10), [7, 3], fovea.Generator().manual_seed(4))
    assert [p.indices for p in other] != [p.indices for p in parts]


@pytest.mark.parametrize(
    ("n", "fractions"),
    [(10, [0.5, 0.5]), (11, [1 / 3, 1 / 3, 1 / 3]), (10, [0.1] * 10), (7, [0.25, 0.75])],
)
def test_random_split_rounds_like_pytorch(n: int, fractions: list[float]) -> None:
    torch = pytest.importorskip("torch")
    theirs = [len(p) for p in torch.utils.data.random_split(range(n), fractions)]
    assert [len(p) for p in random_split(range(n), fractions)] == theirs


def test_random_split_errors() -> None:
    with pytest.raises(ArgumentError, match="sum to 9"):
        random_split(range(10), [5, 4])
    with pytest.raises(ArgumentError):
        random_split(range(10), [0.5, 0.2])
    with pytest.raises(ArgumentError):
        random_split(range(10), [11, -1])
    with pytest.raises(ArgumentError):
        random_split(range(10), [1.5, -0.5])
    with pytest.warns(UserWarning, match="part 1 of 2 is empty"):
        random_split(range(3), [0.99, 0.01])


def test_undefined_methods_say_so() -> None:
    with pytest.raises(NotImplementedError, match="__getitem__"):
        Dataset[int]()[0]
    with pytest.raises(NotImplementedError, match="__iter__"):
        iter(IterableDataset[int]())
