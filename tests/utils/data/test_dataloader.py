"""DataLoader without workers: the same batches, lengths and refusals as PyTorch's."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest

import fovea
from fovea.errors import ArgumentError
from fovea.utils.data import BatchSampler, DataLoader, SequentialSampler, TensorDataset
from tests.utils.data.datasets import Draws, Kinds, Sharded, Squares, Unsharded


def lists(loader: Any) -> list[Any]:
    return [b.tolist() if hasattr(b, "tolist") else b for b in loader]


def test_signature_is_pytorchs() -> None:
    torch_data = pytest.importorskip("torch.utils.data")
    ours = inspect.signature(DataLoader.__init__).parameters
    theirs = inspect.signature(torch_data.DataLoader.__init__).parameters
    assert [n for n in ours if n not in ("worker_type", "worker_nice")] == list(theirs)
    for name, parameter in theirs.items():
        assert ours[name].default == parameter.default, name
        assert ours[name].kind == parameter.kind, name


@pytest.mark.parametrize("n", [0, 1, 7, 8])
@pytest.mark.parametrize("batch_size", [None, 1, 4])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("kind", ["map", "iterable"])
def test_batches_like_pytorch(n: int, batch_size: int | None, drop_last: bool, kind: str) -> None:
    torch_data = pytest.importorskip("torch.utils.data")
    if batch_size is None and drop_last:
        pytest.skip("refused; see test_refusals")

    class Theirs(torch_data.IterableDataset):  # type: ignore[misc,name-defined]
        def __iter__(self) -> Any:
            return iter(range(n))

        def __len__(self) -> int:
            return n

    arguments: dict[str, Any] = {"batch_size": batch_size, "drop_last": drop_last}
    ours = DataLoader(range(n) if kind == "map" else Unsharded(n), **arguments)
    theirs = torch_data.DataLoader(range(n) if kind == "map" else Theirs(), **arguments)
    assert lists(ours) == lists(theirs)
    assert len(ours) == len(theirs)
    assert len(iter(ours)) == len(theirs)


def test_shuffle_is_seeded_and_changes_every_pass() -> None:
    loader = DataLoader(Squares(30), 4, shuffle=True, generator=fovea.Generator().manual_seed(1))
    first, second = lists(loader), lists(loader)
    assert first != second
    assert sorted(i for batch in first for i in batch) == [i * i for i in range(30)]
    again = DataLoader(Squares(30), 4, shuffle=True, generator=fovea.Generator().manual_seed(1))
    assert [lists(again), lists(again)] == [first, second]


def test_samplers() -> None:
    assert lists(DataLoader(Squares(), 2, sampler=[3, 1, 2])) == [[9, 1], [4]]
    batches = BatchSampler(SequentialSampler(range(5)), 2, False)
    loader = DataLoader(Squares(), batch_sampler=batches)
    assert lists(loader) == [[0, 1], [4, 9], [16]] and len(loader) == 3
    assert loader.batch_size is None and loader.batch_sampler is batches
    assert lists(DataLoader(Squares(), batch_sampler=[[1, 1], [2]])) == [[1, 1], [4]]


def test_collate_fn() -> None:
    assert list(DataLoader(range(5), 2, collate_fn=sum)) == [1, 5, 4]
    assert list(DataLoader(range(3), None, collate_fn=lambda x: -x)) == [0, -1, -2]


def test_plain_sequences_are_datasets() -> None:
    assert list(DataLoader(["a", "b", "c"], 2)) == [["a", "b"], ["c"]]


def test_compatibility_arguments_are_taken() -> None:
    loader = DataLoader(range(2), pin_memory=True, pin_memory_device="cuda", timeout=0)
    assert lists(loader) == [[0], [1]]


def test_two_passes_at_once() -> None:
    loader = DataLoader(range(3))
    pairs = [(a.item(), b.item()) for a in loader for b in loader]
    assert pairs == [(a, b) for a in range(3) for b in range(3)]


def test_a_pass_takes_one_draw_of_the_global_generator() -> None:
    fovea.manual_seed(0)
    iter(DataLoader(Draws(4), 2))
    after_iter = fovea.rand(1).item()
    fovea.manual_seed(0)
    for _ in DataLoader(Draws(4), 2):
        pass
    assert fovea.rand(1).item() == after_iter


def test_dict_samples() -> None:
    batch = next(iter(DataLoader(Kinds(), 3)))
    assert batch["text"] == ["sample 0", "sample 1", "sample 2"]
    assert batch["bfloat16"].dtype is fovea.bfloat16 and batch["empty"].shape == (3, 0, 3)


def test_a_stream_longer_than_its_length_warns() -> None:
    class Liar(Sharded):
        def __len__(self) -> int:
            return 3

    with pytest.warns(UserWarning, match="promised 3 batches"):
        assert len(lists(DataLoader(Liar(5), 1))) == 5


def test_a_loader_without_length() -> None:
    with pytest.raises(TypeError):
        len(DataLoader(Sharded(3)))


def test_loaders_pickle() -> None:
    loader = pickle.loads(pickle.dumps(DataLoader(Squares(3), 2, num_workers=1)))
    assert lists(loader) == [[0, 1], [4]]


REFUSED: list[dict[str, Any]] = [
    {"num_workers": -1},
    {"num_workers": 1.5},
    {"timeout": -1},
    {"prefetch_factor": 2},
    {"persistent_workers": True},
    {"multiprocessing_context": "spawn"},
    {"num_workers": 1, "prefetch_factor": 0},
    {"num_workers": 1, "worker_type": "fiber"},
    {"num_workers": 1, "worker_nice": -1},
    {"batch_size": 0},
    {"batch_size": None, "drop_last": True},
    {"shuffle": True, "sampler": [0]},
    {"batch_sampler": [[0]], "batch_size": 2},
    {"batch_sampler": [[0]], "shuffle": True},
    {"batch_sampler": [[0]], "sampler": [0]},
    {"batch_sampler": [[0]], "drop_last": True},
]


@pytest.mark.parametrize("arguments", REFUSED, ids=str)
def test_refusals(arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=r"batch_size|DataLoader"):
        DataLoader(range(3), **arguments)


@pytest.mark.parametrize("name", ["shuffle", "sampler", "batch_sampler"])
def test_streams_take_no_order(name: str) -> None:
    value: Any = True if name == "shuffle" else [[0]]
    with pytest.raises(ArgumentError, match="own order"):
        DataLoader(Sharded(3), **{name: value})
    assert lists(DataLoader(Sharded(3), shuffle=False)) == [[0], [1], [2]]


def test_shuffling_nothing() -> None:
    with pytest.raises(ArgumentError, match="empty"):
        DataLoader([], shuffle=True)
    assert lists(DataLoader([])) == []


def test_unknown_start_method() -> None:
    loader = DataLoader(Squares(3), num_workers=1, multiprocessing_context="teleport")
    with pytest.raises(ArgumentError, match="teleport"):
        iter(loader)


def test_errors_without_workers_are_the_users_own() -> None:
    class Bad(Squares):
        def __getitem__(self, index: int) -> int:
            raise KeyError("missing")

    with pytest.raises(KeyError, match=r"^'missing'$"):
        next(iter(DataLoader(Bad())))


def test_fast_path_equals_the_slow_one() -> None:
    x, y = fovea.rand(10, 3, 4), fovea.arange(10)
    fast = list(DataLoader(TensorDataset(x, y), 4))
    slow = list(DataLoader([(x[i], y[i]) for i in range(10)], 4))
    for a, b in zip(fast, slow, strict=True):
        assert all(fovea.equal(p, q) for p, q in zip(a, b, strict=True))


def test_what_is_settled_stays() -> None:
    """Setting a batch size afterwards would do nothing: it is an error, as in PyTorch."""
    loader = DataLoader(range(5), batch_size=2)
    for name in ("batch_size", "sampler", "batch_sampler", "dataset", "drop_last"):
        with pytest.raises(ValueError, match=f"{name} is settled"):
            setattr(loader, name, None)
    loader.collate_fn = tuple
    assert next(iter(loader)) == (0, 1)
