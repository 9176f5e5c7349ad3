"""Datasets for the loader's tests: at module level, since worker processes import them by name."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import fovea
from fovea.utils.data import Dataset, IterableDataset, get_worker_info


class Squares(Dataset[int]):
    def __init__(self, n: int = 20) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> int:
        return index * index


class Niceness(Squares):
    """By how much who makes a sample gives way."""

    def __init__(self) -> None:
        super().__init__(2)

    def __getitem__(self, index: int) -> int:
        return os.nice(0)


class Slow(Squares):
    def __init__(self, n: int = 20, seconds: float = 0.01) -> None:
        super().__init__(n)
        self.seconds = seconds

    def __getitem__(self, index: int) -> int:
        time.sleep(self.seconds)
        return index


class SlowFirst(Squares):
    """Its first sample takes long."""

    def __getitem__(self, index: int) -> int:
        time.sleep(0.4 if index == 0 else 0.0)
        return index


class Broken(Squares):
    def __init__(self, n: int = 8, at: int = 5, error: type[BaseException] = ValueError) -> None:
        super().__init__(n)
        self.at = at
        self.error = error

    def __getitem__(self, index: int) -> int:
        if index == self.at:
            raise self.error(f"sample {index} is spoiled")
        return index


class TwoArgumentsError(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


class BrokenOddly(Squares):
    def __getitem__(self, index: int) -> int:
        raise TwoArgumentsError("a", "b")


class Draws(Squares):
    """Random numbers from fovea, and where they were drawn."""

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, float(fovea.rand(1).item())


class AllDraws(Squares):
    """Random numbers from everywhere."""

    def __getitem__(self, index: int) -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(fovea.rand(1).item())


class Info(Squares):
    def __getitem__(self, index: int) -> tuple[int, int, int, int]:
        info = get_worker_info()
        assert info is not None
        assert isinstance(info.dataset, Info)
        return info.id, info.num_workers, info.seed, fovea.initial_seed()


class Handle(Squares):
    """Keeps something of its worker's own in an attribute."""

    mark = -1

    def __getitem__(self, index: int) -> tuple[int, int]:
        info = get_worker_info()
        assert info is not None
        if self.mark < 0:
            self.mark = info.id
        return self.mark, info.id


class Images(Squares):
    """Float images of some size, channels-last in memory, with a label."""

    def __getitem__(self, index: int) -> tuple[fovea.Tensor, int]:
        pixels = np.full((7, 5, 3), index, np.float32)
        return fovea.from_numpy(pixels).permute(2, 0, 1), index


class Kinds(Squares):
    """All kinds of batches that must survive the way between processes."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {
            "bfloat16": fovea.ones(3, dtype=fovea.bfloat16) * index,
            "bool": fovea.tensor([True, False]),
            "scalar": fovea.tensor(index),
            "empty": fovea.zeros(0, 3),
            "array": np.arange(4, dtype=np.uint8),
            "text": f"sample {index}",
        }


class Sharded(IterableDataset[int]):
    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        start, step = (info.id, info.num_workers) if info else (0, 1)
        return iter(range(start, self.n, step))


class Unsharded(Sharded):
    def __iter__(self) -> Iterator[int]:
        return iter(range(self.n))

    def __len__(self) -> int:
        return self.n


class BrokenStream(Sharded):
    def __iter__(self) -> Iterator[int]:
        yield 0
        raise OSError("the stream broke")


class Suicide(Squares):
    """Its worker is killed at one sample, as the system does when memory runs out."""

    def __getitem__(self, index: int) -> int:
        if index == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return index


class Exits(Squares):
    def __getitem__(self, index: int) -> int:
        if index == 5:
            os._exit(3)
        return index


class Stuck(Squares):
    def __getitem__(self, index: int) -> int:
        time.sleep(3.0 if index == 4 else 0.0)
        return index


class Pid(Squares):
    def __getitem__(self, index: int) -> int:
        return os.getpid()


class Unpicklable(Squares):
    def __init__(self) -> None:
        super().__init__(4)
        self.function = lambda: None


class UnpicklableBatch(Squares):
    def __getitem__(self, index: int) -> Any:
        return index


def lambdas(batch: list[Any]) -> Any:
    return lambda: batch


def as_list(batch: list[Any]) -> list[Any]:
    return batch


def fail_in_init(worker: int) -> None:
    raise RuntimeError(f"worker {worker} has no database")


def seed_all(worker: int) -> None:
    fovea.manual_seed(1234)
    random.seed(1234)
    np.random.seed(1234)


class Touch:
    """A ``worker_init_fn`` that leaves a file behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, worker: int) -> None:
        info = get_worker_info()
        assert info is not None and info.id == worker
        (self.folder / f"{worker}").touch()
