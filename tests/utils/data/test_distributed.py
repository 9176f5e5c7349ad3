"""A dataset shared among processes, against PyTorch's sampler."""

from __future__ import annotations

import pytest

from fovea.utils.data import DataLoader, DistributedSampler

torch_data = pytest.importorskip("torch.utils.data")


@pytest.mark.parametrize("n", [0, 1, 2, 5, 8, 9])
@pytest.mark.parametrize("replicas", [1, 2, 3, 4])
@pytest.mark.parametrize("drop_last", [False, True])
def test_shares_in_order(n: int, replicas: int, drop_last: bool) -> None:
    if n == 0 and not drop_last:
        assert list(DistributedSampler([], replicas, 0)) == []
        return
    for rank in range(replicas):
        arguments = (range(n), replicas, rank, False, 0, drop_last)
        ours, theirs = DistributedSampler(*arguments), torch_data.DistributedSampler(*arguments)
        assert list(ours) == list(theirs)
        assert (len(ours), ours.total_size) == (len(theirs), theirs.total_size)


def test_shares_at_random() -> None:
    def shares(epoch: int, seed: int = 0) -> list[list[int]]:
        out = []
        for rank in range(3):
            sampler = DistributedSampler(range(10), 3, rank, seed=seed)
            sampler.set_epoch(epoch)
            out.append(list(sampler))
        return out

    first = shares(0)
    assert [len(s) for s in first] == [4, 4, 4]
    assert set().union(*first) == set(range(10))
    assert first == shares(0)  # the epoch and the seed are all that it depends on
    assert first != shares(1) and first != shares(0, seed=7)
    assert shares(1) == shares(0, seed=1)


def test_one_process_reads_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    data = list(range(6))
    loader = DataLoader(data, batch_size=4, sampler=DistributedSampler(data, shuffle=False))
    assert [x.tolist() for x in loader] == [[0, 1, 2, 3], [4, 5]]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert list(DistributedSampler(data, shuffle=False)) == [1, 3, 5]
    for rank in (-1, 2):
        with pytest.raises(ValueError, match=r"rank must be in \[0, 1\]"):
            DistributedSampler(data, 2, rank)
