"""Runs that stop anywhere and go on: the same bits as if they had not stopped."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn, optim
from fovea.errors import ArgumentError
from fovea.training import Callback, EarlyStopping, Mean, ReduceLROnPlateau
from fovea.training.batches import Batches
from fovea.training.trainer import Trainer
from fovea.utils.data import DataLoader, Dataset, IterableDataset


class Noisy(Dataset[Any]):
    """Samples that are drawn anew each time they are read."""

    def __len__(self) -> int:
        return 22

    def __getitem__(self, index: int) -> Any:
        x = fovea.randn(4) + index % 2
        return x, fovea.tensor(index % 2)


class Stop(Exception):  # noqa: N818 - no error
    pass


class StopAt(Callback):
    """Breaks a run off after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.left -= 1
        if not self.left:
            raise Stop


def trainer_of(**options: Any) -> Trainer:
    fovea.manual_seed(1)
    net = nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2)
    )
    return Trainer(
        net, nn.CrossEntropyLoss(), lambda p: optim.AdamW(p, lr=0.02),
        metrics=["accuracy"], schedule_by="step",
        scheduler=lambda o: optim.lr_scheduler.ExponentialLR(o, 0.97), **options,
    )  # fmt: skip


def loader(workers: int = 0, kind: Any = None) -> Any:
    return DataLoader(
        Noisy(), 4, shuffle=True, num_workers=workers, worker_type=kind if workers else None
    )


def same(a: Trainer, b: Trainer) -> None:
    for name, value in a.model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), b.model.state_dict()[name].numpy(), name)
    assert a.history.history == b.history.history


@pytest.mark.parametrize("compile", [True, False])
@pytest.mark.parametrize("stops", [(1,), (3, 1, 2), (6,), (8, 4, 1, 1)])
def test_the_same_bits(tmp_path: Path, compile: bool, stops: tuple[int, ...]) -> None:
    whole = trainer_of(compile=compile)
    whole.fit(loader(), validation=loader(), epochs=3, verbose=0)
    path = tmp_path / "deep" / "run.ckpt"
    for number, steps in enumerate(stops):
        with pytest.raises(Stop):
            trainer_of(compile=compile).fit(
                # Other workers than before make the same batches.
                loader(number % 2 * 2, "thread"), validation=loader(), epochs=3,
                callbacks=[StopAt(steps)], checkpoint=path, checkpoint_every=1, verbose=0,
            )  # fmt: skip
    last = trainer_of(compile=compile)
    last.fit(loader(), validation=loader(), epochs=3, checkpoint=path, verbose=0)
    same(last, whole)
    done = trainer_of(compile=compile)
    done.fit(loader(), validation=loader(), epochs=3, checkpoint=path, verbose=0)
    same(done, whole)  # nothing was left to do


@pytest.mark.parametrize("steps", [4, 7])
def test_epochs_that_are_shorter_or_longer_than_the_data(tmp_path: Path, steps: int) -> None:
    whole = trainer_of()
    whole.fit(loader(), epochs=4, steps=steps, verbose=0)
    for stop in (3, 7, 2):
        with pytest.raises(Stop):
            trainer_of().fit(
                loader(), epochs=4, steps=steps, callbacks=StopAt(stop), verbose=0,
                checkpoint=tmp_path / "run", checkpoint_every=1,
            )  # fmt: skip
    last = trainer_of()
    last.fit(loader(), epochs=4, steps=steps, checkpoint=tmp_path / "run", verbose=0)
    same(last, whole)


def test_gathered_gradients(tmp_path: Path) -> None:
    """A state is kept between updates only."""
    whole = trainer_of(accumulate=4)
    whole.fit(loader(), epochs=2, verbose=0)
    for stop in (3, 5, 3):
        with pytest.raises(Stop):
            trainer_of(accumulate=4).fit(
                loader(), epochs=2, callbacks=StopAt(stop), verbose=0,
                checkpoint=tmp_path / "run", checkpoint_every=1,
            )  # fmt: skip
    last = trainer_of(accumulate=4)
    last.fit(loader(), epochs=2, checkpoint=tmp_path / "run", verbose=0)
    same(last, whole)


def test_callbacks_go_on(tmp_path: Path) -> None:
    def watched() -> list[Any]:
        return [
            EarlyStopping("loss", patience=2, min_delta=0.5, restore_best_weights=True),
            ReduceLROnPlateau("loss", patience=1, min_delta=0.5),
        ]

    whole = trainer_of()
    whole.fit(loader(), epochs=9, callbacks=watched(), verbose=0)
    assert len(whole.history.history["loss"]) < 9
    for stop in (7, 7):
        with pytest.raises(Stop):
            trainer_of().fit(
                loader(), epochs=9, callbacks=[*watched(), StopAt(stop)], verbose=0,
                checkpoint=tmp_path / "run", checkpoint_every=2,
            )  # fmt: skip
    # Other callbacks than before start afresh; the same ones know what they knew.
    last = trainer_of()
    state = fovea.load(tmp_path / "run")
    state["callbacks"] = state["callbacks"][:2]
    fovea.save(state, tmp_path / "run")
    last.fit(loader(), epochs=9, callbacks=watched(), checkpoint=tmp_path / "run", verbose=0)
    same(last, whole)


def test_state_by_hand(tmp_path: Path) -> None:
    whole = trainer_of()
    whole.fit(loader(), epochs=2, verbose=0)
    first = trainer_of()

    class Save(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 2:
                first.save(tmp_path / "state")
                raise Stop

    with pytest.raises(Stop):
        first.fit(loader(), epochs=2, callbacks=Save(), verbose=0)
    last = trainer_of().resume(tmp_path / "state")
    last.fit(loader(), epochs=2, verbose=0)
    same(last, whole)


def test_lists_of_batches(tmp_path: Path) -> None:
    data = [(fovea.ones(2, 4) * i, fovea.tensor([0, 1])) for i in range(5)]
    whole = trainer_of()
    whole.fit(data, epochs=2, verbose=0)
    with pytest.raises(Stop):
        trainer_of().fit(
            data, epochs=2, callbacks=StopAt(3), verbose=0, checkpoint=tmp_path / "run",
            checkpoint_every=1,
        )  # fmt: skip
    last = trainer_of()
    last.fit(data, epochs=2, checkpoint=tmp_path / "run", verbose=0)
    same(last, whole)
    with pytest.raises(ArgumentError):
        last.fit(data, checkpoint=tmp_path / "run", checkpoint_every=0)


@pytest.mark.parametrize(
    ("workers", "kind"), [(0, None), (1, "thread"), (3, "thread"), (2, "process")]
)
@pytest.mark.parametrize("first", [0, 1, 4, 6, 9])
def test_passes_from_a_batch_on(first: int, workers: int, kind: Any) -> None:
    fovea.manual_seed(3)
    expected = [(x.tolist(), y.tolist()) for x, y in loader()][first:]
    fovea.manual_seed(3)
    found = [(x.tolist(), y.tolist()) for x, y in loader(workers, kind).starting_at(first)]
    assert found == expected
    with pytest.raises(ArgumentError):
        loader().starting_at(-1)


def test_iterable_datasets_from_a_batch_on() -> None:
    class Count(IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter(range(10))

    assert [b.tolist() for b in DataLoader(Count(), 3).starting_at(2)] == [[6, 7, 8], [9]]
    batches = Batches([1, 2, 3])
    assert list(batches.epoch()) == [1, 2, 3] and batches.position is not None
    assert batches.position.taken == 3


def test_a_mean_keeps_its_sums() -> None:
    mean, other = Mean("x"), Mean("y")
    mean.update_state(fovea.tensor(3.0), 2)
    other.load_state_dict(mean.state_dict())
    assert other.value() == 3.0 and other.count == 2


PROGRAM = """
import sys, time
import fovea
from tests.training.test_resuming import loader, trainer_of
trainer = trainer_of()
class Slow(fovea.training.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.02)
trainer.fit(loader(), epochs=6, callbacks=Slow(), checkpoint=sys.argv[1], checkpoint_every=1, verbose=0)
trainer.save_weights(sys.argv[2])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_at_random(tmp_path: Path) -> None:
    whole = trainer_of()
    whole.fit(loader(), epochs=6, verbose=0)
    checkpoint, weights = tmp_path / "run.ckpt", tmp_path / "weights.pt"
    command = [sys.executable, "-c", PROGRAM, str(checkpoint), str(weights)]
    draw, sizes = random.Random(0), set()
    for _ in range(4):
        with subprocess.Popen(command) as run:
            began, before = time.monotonic(), checkpoint.exists() and checkpoint.stat().st_mtime_ns
            while time.monotonic() - began < 60 and run.poll() is None:
                now = checkpoint.exists() and checkpoint.stat().st_mtime_ns
                if now != before:
                    break
                time.sleep(0.005)
            time.sleep(draw.random() * 0.1)
            run.send_signal(signal.SIGKILL)
        sizes.add(fovea.load(checkpoint)["epoch"])  # whole at any time
    subprocess.run(command, check=True, timeout=100)
    found = fovea.load(weights)
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(found[name].numpy(), value.numpy())
    # A file being written has a name of its own, and so has the one that it is made of.
    left = [f for f in os.listdir(tmp_path) if f not in ("run.ckpt", "weights.pt")]
    assert len(left) <= 8
    assert all(f.lstrip(".").startswith("run.ckpt.") and f.endswith(".part") for f in left)
    assert sizes and max(sizes) <= 6
