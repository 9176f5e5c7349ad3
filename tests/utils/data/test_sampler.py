"""Samplers: what they yield, how it is distributed, what seeds fix."""

from __future__ import annotations

from collections import Counter

import pytest

import fovea
from fovea.errors import ArgumentError
from fovea.utils.data import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)


def seeded(seed: int = 0) -> fovea.Generator:
    return fovea.Generator().manual_seed(seed)


def test_sequential() -> None:
    sampler = SequentialSampler("abcd")
    assert list(sampler) == [0, 1, 2, 3] and len(sampler) == 4


def test_random_without_replacement() -> None:
    sampler = RandomSampler(range(50), generator=seeded())
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert list(RandomSampler(range(50), generator=seeded())) == first


def test_random_num_samples() -> None:
    assert len(set(RandomSampler(range(50), num_samples=20))) == 20
    twice = list(RandomSampler(range(10), num_samples=25, generator=seeded()))
    assert Counter(Counter(twice).values()) == {2: 5, 3: 5}
    assert sorted(twice[:10]) == sorted(twice[10:20]) == list(range(10))


def test_random_with_replacement() -> None:
    sampler = RandomSampler(range(5), replacement=True, num_samples=5000, generator=seeded())
    counts = Counter(sampler)
    assert len(sampler) == 5000 and set(counts) == set(range(5))
    assert all(850 < n < 1150 for n in counts.values())


def test_global_seed_fixes_the_order() -> None:
    fovea.manual_seed(7)
    first = list(RandomSampler(range(20)))
    fovea.manual_seed(7)
    assert list(RandomSampler(range(20))) == first


def test_random_sampler_errors() -> None:
    with pytest.raises(ArgumentError, match="positive"):
        RandomSampler(range(5), num_samples=0)
    with pytest.raises(ArgumentError, match="bool"):
        RandomSampler(range(5), replacement=1)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="empty"):
        list(RandomSampler([], num_samples=3))
    assert list(RandomSampler([])) == []


def test_subset_random() -> None:
    sampler = SubsetRandomSampler([3, 5, 8], seeded())
    assert sorted(sampler) == [3, 5, 8] and len(sampler) == 3


def test_weighted_with_replacement() -> None:
    sampler = WeightedRandomSampler([0, 1, 3, 0], 4000, generator=seeded())
    counts = Counter(sampler)
    assert set(counts) == {1, 2} and 900 < counts[1] < 1100
    assert len(sampler) == 4000


def test_weighted_without_replacement() -> None:
    firsts: Counter[int] = Counter()
    generator = seeded()
    for _ in range(600):
        drawn = list(WeightedRandomSampler([0, 1, 3, 2], 3, False, generator))
        assert sorted(drawn) == [1, 2, 3]
        firsts[drawn[0]] += 1
    assert 60 < firsts[1] < 140 and 250 < firsts[2] < 350  # expected 100 and 300


def test_weighted_takes_tensors_and_tiny_weights() -> None:
    sampler = WeightedRandomSampler(fovea.tensor([0.0, 1e-300, 0.0], dtype=fovea.float64), 3)
    assert list(sampler) == [1, 1, 1]


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1], [1, float("nan")], [[1, 2]]])
def test_weighted_errors(weights: list[float]) -> None:
    with pytest.raises(ArgumentError):
        WeightedRandomSampler(weights, 1)


def test_weighted_too_many_without_replacement() -> None:
    with pytest.raises(ArgumentError, match="there are 1"):
        WeightedRandomSampler([0, 1], 2, replacement=False)


@pytest.mark.parametrize("n", [0, 1, 5, 6])
@pytest.mark.parametrize("drop_last", [True, False])
def test_batches(n: int, drop_last: bool) -> None:
    torch_data = pytest.importorskip("torch.utils.data")
    ours = BatchSampler(SequentialSampler(range(n)), 3, drop_last)
    theirs = torch_data.BatchSampler(torch_data.SequentialSampler(range(n)), 3, drop_last)
    assert list(ours) == list(theirs)
    assert len(ours) == len(theirs)


def test_batch_sampler_errors() -> None:
    for size in (0, -1, 1.5, True):
        with pytest.raises(ArgumentError):
            BatchSampler(range(3), size, False)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError):
        BatchSampler(range(3), 1, None)  # type: ignore[arg-type]
