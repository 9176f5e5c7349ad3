"""Worker threads and processes: order, seeds, errors, and clean ends."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError
from fovea.utils.data import DataLoader, TensorDataset
from tests.utils.data import datasets as ds

KINDS = ["thread", "process"]
# What a script's own main module would have imported, so that a worker starts in milliseconds.
multiprocessing.set_forkserver_preload(["__main__", "tests.utils.data.datasets"])
both = pytest.mark.parametrize("kind", KINDS)


def loader(kind: str, dataset: Any, batch_size: int | None = 4, **more: Any) -> DataLoader[Any]:
    more.setdefault("num_workers", 2)
    return DataLoader(dataset, batch_size, worker_type=kind, **more)  # type: ignore[arg-type]


def values(batches: Any) -> list[Any]:
    return [b.tolist() if hasattr(b, "tolist") else b for b in batches]


def workers_alive() -> list[str]:
    names = [t.name for t in threading.enumerate() if t.name.startswith("fovea-loader")]
    return names + [p.name for p in multiprocessing.active_children()]


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    yield
    gc.collect()
    deadline = time.monotonic() + 5
    while workers_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert workers_alive() == []


@both
@pytest.mark.parametrize("workers", [1, 3])
def test_batches_come_in_order(kind: str, workers: int) -> None:
    expected = values(DataLoader(ds.Squares(11), 4))
    assert values(loader(kind, ds.Squares(11), num_workers=workers)) == expected


@both
def test_order_is_kept_when_a_worker_is_slow(kind: str) -> None:
    assert values(loader(kind, ds.SlowFirst(6), 1)) == [[i] for i in range(6)]


@both
def test_order_may_be_given_up(kind: str) -> None:
    order = [b.item() for b in loader(kind, ds.SlowFirst(6), 1, in_order=False)]
    assert sorted(order) == list(range(6)) and order[0] != 0


@both
def test_single_samples(kind: str) -> None:
    assert list(loader(kind, ds.Squares(5), None)) == [0, 1, 4, 9, 16]


@both
def test_an_empty_dataset(kind: str) -> None:
    assert list(loader(kind, ds.Squares(0))) == []


@both
def test_more_workers_than_batches(kind: str) -> None:
    assert values(loader(kind, ds.Squares(2), 4, num_workers=3)) == [[0, 1]]


@both
def test_the_same_seed_gives_the_same_batches_for_any_workers(kind: str) -> None:
    def draw(**more: Any) -> list[Any]:
        fovea.manual_seed(5)
        passes = DataLoader(ds.Draws(10), 3, shuffle=True, **more)
        return [[(i.tolist(), u.tolist()) for i, u in passes] for _ in range(2)]

    alone = draw()
    assert alone[0] != alone[1]
    for workers in (1, 3):
        assert draw(num_workers=workers, worker_type=kind) == alone


@both
def test_no_two_samples_share_their_random_numbers(kind: str) -> None:
    drawn = [u for _, us in loader(kind, ds.Draws(24), 4, num_workers=3) for u in us.tolist()]
    assert len(set(drawn)) == 24


def test_thread_workers_leave_the_main_generator_alone() -> None:
    fovea.manual_seed(3)
    batches = iter(loader("thread", ds.Draws(12), 2))
    before = fovea.get_rng_state().tolist()
    list(batches)
    assert fovea.get_rng_state().tolist() == before


def test_processes_seed_python_and_numpy() -> None:
    def draw() -> list[list[float]]:
        generator = fovea.Generator().manual_seed(9)
        batches = loader("process", ds.AllDraws(4), 1, generator=generator)
        return [[float(v) for v in batch] for batch in batches]

    first = draw()
    assert draw() == first
    assert len({row[0] for row in first}) == 4 and len({row[1] for row in first}) == 4


@both
def test_worker_info(kind: str) -> None:
    rows = [tuple(int(v) for v in row) for row in loader(kind, ds.Info(4), None)]
    assert [row[0] for row in rows] == [0, 1, 0, 1]
    assert all(row[1] == 2 for row in rows)
    assert rows[1][2] == rows[0][2] + 1


@both
def test_worker_init_fn(kind: str, tmp_path: Path) -> None:
    list(loader(kind, ds.Squares(4), 1, worker_init_fn=ds.Touch(tmp_path)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "1"]


def test_a_users_own_seeds_are_respected() -> None:
    batches = list(loader("process", ds.AllDraws(2), 1, worker_init_fn=ds.seed_all))
    first, second = ([float(v) for v in batch] for batch in batches)
    assert first == second  # both workers were seeded alike, as asked for


@both
def test_attributes_set_in_a_worker_stay_in_it(kind: str) -> None:
    data = ds.Handle(8)
    assert all(mark == worker for mark, worker in loader(kind, data, None))
    assert data.mark == -1


@both
def test_streams(kind: str) -> None:
    assert values(loader(kind, ds.Sharded(7), 2)) == [[0, 2], [1, 3], [4, 6], [5]]
    assert values(loader(kind, ds.Sharded(7), None)) == list(range(7))
    drop = loader(kind, ds.Sharded(7), 3, drop_last=True)
    assert values(drop) == [[0, 2, 4], [1, 3, 5]]


@both
def test_an_unsharded_stream_warns_that_it_repeats(kind: str) -> None:
    with pytest.warns(UserWarning, match="get_worker_info"):
        assert len(values(loader(kind, ds.Unsharded(4), 1))) == 8


@both
def test_images_arrive_channels_last(kind: str) -> None:
    images, labels = next(iter(loader(kind, ds.Images(4), 4)))
    assert images.shape == (4, 3, 7, 5) and images.stride() == (105, 1, 15, 3)
    assert images.mean(dim=(1, 2, 3)).tolist() == labels.tolist() == [0, 1, 2, 3]


@both
def test_every_kind_of_value_arrives(kind: str) -> None:
    expected = next(iter(DataLoader(ds.Kinds(4), 4)))
    found = next(iter(loader(kind, ds.Kinds(4), 4)))
    assert list(found) == list(expected)
    for key, value in expected.items():
        if isinstance(value, fovea.Tensor):
            assert found[key].dtype is value.dtype and found[key].shape == value.shape
            np.testing.assert_array_equal(found[key].numpy(), value.numpy())
        else:
            assert found[key] == value
    found["bool"][0] = False  # batches are writable
    found["array"] += 1


@both
def test_tensor_datasets(kind: str) -> None:
    data = TensorDataset(fovea.arange(10), fovea.arange(10).float())
    seen = [x.tolist() for x, _ in loader(kind, data, 4)]
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


# Errors


@both
def test_a_workers_error_is_shown(kind: str) -> None:
    batches = iter(loader(kind, ds.Broken(8, at=5), 2))
    assert next(batches).tolist() == [0, 1] and next(batches).tolist() == [2, 3]
    with pytest.raises(ValueError) as caught:
        next(batches)
    text = str(caught.value)
    assert f"DataLoader worker {kind} 0, batch 2" in text
    assert "Original Traceback" in text and "datasets.py" in text
    assert "ValueError: sample 5 is spoiled" in text and "raise self.error" in text
    assert next(batches).tolist() == [6, 7]  # the pass goes on, if the caller wants it to


@both
def test_key_errors_keep_their_lines(kind: str) -> None:
    with pytest.raises(KeyError) as caught:
        list(loader(kind, ds.Broken(error=KeyError)))
    assert "\\n" not in str(caught.value) and "sample 5" in str(caught.value)


@both
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_worker_cannot_end_the_program(kind: str, error: type[BaseException]) -> None:
    with pytest.raises(RuntimeError, match=error.__name__):
        list(loader(kind, ds.Broken(error=error)))


@both
def test_errors_that_cannot_be_rebuilt(kind: str) -> None:
    with pytest.raises(RuntimeError, match="TwoArgumentsError"):
        list(loader(kind, ds.BrokenOddly()))


@both
def test_stop_iteration_from_a_sample_is_an_error(kind: str) -> None:
    with pytest.raises((StopIteration, RuntimeError), match="spoiled"):
        batches = iter(loader(kind, ds.Broken(error=StopIteration), 8))
        next(batches)
        pytest.fail("the error was taken for the end")


@both
def test_worker_init_errors(kind: str) -> None:
    with pytest.raises(RuntimeError, match=r"worker_init_fn(.|\n)*worker 0 has no database"):
        list(loader(kind, ds.Squares(), worker_init_fn=ds.fail_in_init))


@both
def test_stream_errors(kind: str) -> None:
    batches = iter(loader(kind, ds.BrokenStream(4), None, num_workers=1))
    assert next(batches) == 0
    with pytest.raises(OSError, match="the stream broke"):
        next(batches)


@both
@pytest.mark.parametrize("at", [0, 5])
def test_a_samplers_error_ends_the_workers(kind: str, at: int) -> None:
    def indices() -> Iterator[int]:
        yield from range(at)
        raise ValueError("the sampler broke")

    with pytest.raises(ValueError, match="the sampler broke") as caught:
        list(loader(kind, ds.Squares(), 1, sampler=indices()))
    assert caught.traceback and workers_alive() == []


def test_lambdas_need_threads() -> None:
    with pytest.raises(ArgumentError, match="worker_type='thread'"):
        iter(loader("process", ds.Unpicklable()))
    assert values(loader("thread", ds.Unpicklable())) == [[0, 1, 4, 9]]


def test_a_batch_that_does_not_pickle() -> None:
    with pytest.raises((RuntimeError, AttributeError), match="sending batch 0"):
        list(loader("process", ds.Squares(), collate_fn=ds.lambdas))


@pytest.mark.parametrize(
    ("dataset", "reason"), [(ds.Suicide(), "killed by SIGKILL"), (ds.Exits(), "exit code 3")]
)
def test_a_killed_worker_is_reported(dataset: Any, reason: str) -> None:
    started = time.monotonic()
    with pytest.raises(RuntimeError, match=rf"worker process \d \(pid \d+\) .*{reason}"):
        list(loader("process", dataset, 2))
    assert time.monotonic() - started < 10


@both
def test_timeout(kind: str) -> None:
    batches = iter(loader(kind, ds.Stuck(8), 2, timeout=1.5))
    assert next(batches).tolist() == [0, 1] and next(batches).tolist() == [2, 3]
    started = time.monotonic()
    with pytest.raises(RuntimeError, match=r"timed out after 1\.5 seconds(.|\n)*batch 2"):
        next(batches)
    assert time.monotonic() - started < 6
    with pytest.raises(StopIteration):
        next(batches)


# Ends


@both
def test_leaving_early(kind: str) -> None:
    for batch in loader(kind, ds.Slow(400, 0.002), 4):
        assert batch.tolist() == [0, 1, 2, 3]
        break
    gc.collect()
    started = time.monotonic()
    while workers_alive() and time.monotonic() - started < 3:
        time.sleep(0.01)
    assert workers_alive() == []


def test_threads_stop_between_samples() -> None:
    batches = iter(loader("thread", ds.Slow(4000, 0.02), 1000))
    time.sleep(0.05)
    started = time.monotonic()
    del batches
    gc.collect()
    assert workers_alive() == [] and time.monotonic() - started < 30.0


@both
def test_persistent_workers_stay(kind: str) -> None:
    keep = loader(kind, ds.Draws(8), 2, persistent_workers=True, shuffle=True)
    first = [i.tolist() for i, _ in keep]
    alive = sorted(workers_alive())
    assert alive
    second = [i.tolist() for i, _ in keep]
    assert sorted(workers_alive()) == alive
    assert first != second and sorted(i for batch in second for i in batch) == list(range(8))


def test_persistent_processes_are_the_same_ones() -> None:
    keep = loader("process", ds.Pid(4), 1, persistent_workers=True)
    first = {b.item() for b in keep}
    assert {b.item() for b in keep} == first and os.getpid() not in first and len(first) == 2


@both
def test_persistent_workers_after_leaving_early(kind: str) -> None:
    keep = loader(kind, ds.Slow(40, 0.005), 2, persistent_workers=True)
    assert next(iter(keep)).tolist() == [0, 1]
    assert values(keep) == [[i, i + 1] for i in range(0, 40, 2)]


@both
def test_persistent_seeds_do_not_depend_on_persistence(kind: str) -> None:
    def passes(**more: Any) -> list[Any]:
        generator = fovea.Generator().manual_seed(2)
        batches = loader(kind, ds.Draws(6), 2, generator=generator, **more)
        return [[u.tolist() for _, u in batches] for _ in range(2)]

    assert passes(persistent_workers=True) == passes()


@both
def test_persistent_passes_cannot_run_at_once(kind: str) -> None:
    keep = loader(kind, ds.Squares(), 2, persistent_workers=True)
    first = iter(keep)
    next(first)
    second = iter(keep)
    with pytest.raises(RuntimeError, match="newer iteration"):
        next(first)
    assert next(second).tolist() == [0, 1]


@both
def test_passes_at_once(kind: str) -> None:
    batches = loader(kind, ds.Squares(3), None)
    assert [(a, b) for a in batches for b in batches] == [
        (a, b) for a in (0, 1, 4) for b in (0, 1, 4)
    ]


@both
def test_prefetch_is_bounded(kind: str, tmp_path: Path) -> None:
    sampler = iter(range(1000))
    taken: list[int] = []

    def indices() -> Iterator[int]:
        for i in sampler:
            taken.append(i)
            yield i

    batches = iter(loader(kind, ds.Squares(1000), 1, sampler=indices(), prefetch_factor=3))
    assert len(taken) == 6
    next(batches)
    assert len(taken) == 7


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_start_methods(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"{method} is not known here")
    batches = DataLoader(ds.Pid(4), 1, num_workers=2, multiprocessing_context=method)
    assert batches.worker_type == "process"
    assert os.getpid() not in {b.item() for b in batches}


needs_fork = pytest.mark.skipif(
    (
        multiprocessing.get_start_method(allow_none=True)
        or multiprocessing.get_all_start_methods()[0]
    )
    != "fork",
    reason="processes do not start by fork here",
)


@needs_fork
def test_workers_that_seed_themselves_are_forked_and_reproducible() -> None:
    """As PyTorch's notes on reproducibility seed NumPy; nothing needs to pickle."""

    def seed_worker(worker_id: int) -> None:
        np.random.seed(fovea.initial_seed() % 2**32)

    class Noisy:
        def __len__(self) -> int:
            return 12

        def __getitem__(self, i: int) -> tuple[int, float]:
            return os.getpid(), np.random.rand()

    def draw(seed: int) -> list[float]:
        fovea.manual_seed(seed)
        batches = list(DataLoader(Noisy(), 3, num_workers=2, worker_init_fn=seed_worker))
        assert {p for pids, _ in batches for p in pids.tolist()}.isdisjoint({os.getpid()})
        return [u for _, us in batches for u in us.tolist()]

    before = np.random.get_state()[1].tolist()
    assert draw(3) == draw(3) != draw(4)
    assert len(set(draw(3))) == 12
    assert np.random.get_state()[1].tolist() == before  # the program's own is not touched


@needs_fork
def test_forked_workers_leave_other_loaders_workers_alone() -> None:
    first = DataLoader(
        ds.Squares(6), 1, num_workers=2, worker_init_fn=print, persistent_workers=True
    )
    assert len(list(first)) == 6
    for _ in range(3):
        assert len(list(DataLoader(ds.Squares(4), 1, num_workers=2, worker_init_fn=print))) == 4
        gc.collect()
        assert len(list(first)) == 6
    del first


def test_the_kind_of_workers_is_ours_to_say() -> None:
    def kind(**more: Any) -> str:
        return DataLoader(ds.Squares(4), 1, **more).worker_type

    assert kind(num_workers=1) == "thread" == kind(worker_init_fn=print)
    assert kind(num_workers=1, worker_init_fn=print, worker_type="thread") == "thread"
    assert kind(num_workers=1, multiprocessing_context="spawn") == "process"


@pytest.mark.skipif(not hasattr(os, "nice"), reason="there are no priorities")
def test_worker_processes_give_way() -> None:
    here = os.nice(0)

    def others(kind: str, **more: Any) -> list[int]:
        return [n for batch in values(loader(kind, ds.Niceness(), 1, **more)) for n in batch]

    assert others("process") == [min(here + 10, 19)] * 2
    assert others("process", worker_nice=0) == others("thread") == [here] * 2


def test_a_context_object() -> None:
    context = multiprocessing.get_context("forkserver")
    batches = DataLoader(ds.Squares(3), 3, num_workers=1, multiprocessing_context=context)
    assert values(batches) == [[0, 1, 4]]


def test_no_descriptor_is_left_open() -> None:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("descriptors are listed on Linux only")
    list(loader("process", ds.Images(8), 2))  # the first use opens the server's own
    gc.collect()
    before = len(list(folder.iterdir()))
    for _ in range(3):
        list(loader("process", ds.Images(8), 2))
    gc.collect()
    assert len(list(folder.iterdir())) <= before
