"""What training steps take of memory, told before they are made."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import fovea
from fovea import nn, optim
from fovea.errors import ArgumentError
from fovea.training import largest_batch, memory_plan
from fovea.training.trainer import Trainer
from tests.training.test_resuming import loader, same, trainer_of


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(32 * 16 * 16, 400), nn.ReLU(), nn.Linear(400, 10),
    )  # fmt: skip


def batch(size: int) -> Any:
    return fovea.ones(size, 3, 32, 32), fovea.zeros(size).long()


def trainer(**options: Any) -> Trainer:
    model = network()
    return Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), **options)


PROGRAM = """
import gc
from fovea import storage
from tests.training.test_memory import batch, trainer

def resident(name):
    lines = open("/proc/self/status").readlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

before = storage.memory_allocated()
run = trainer()
run.fit([batch(n) for n in (2, 3, 5)] * 3, verbose=0)  # compilers and programs are there now
gc.collect()
storage.empty_cache()
held = storage.memory_allocated() - before
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
base = resident("VmRSS")
run.fit([batch(256)] * 2, epochs=2, verbose=0)
print(held, resident("VmHWM") - base)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak of memory")
def test_as_measured() -> None:
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=120
    )
    held, grown = map(int, found.stdout.split())
    plan = memory_plan(trainer(), batch(2), 256)
    assert plan.weights + plan.gradients + plan.optimizer == pytest.approx(held, rel=0.15)
    assert plan.intermediate + plan.batch == pytest.approx(grown, rel=0.15)
    assert plan.total > 100 << 20 and "intermediate" in str(plan)


def test_parts() -> None:
    plain, averaged = (memory_plan(trainer(ema=e), batch(1), 16) for e in (None, 0.9))
    assert averaged.weights == pytest.approx(2 * plain.weights, rel=1e-4)
    assert plain.optimizer == pytest.approx(2 * plain.gradients, rel=1e-4)
    assert plain.batch == 16 * (3 * 32 * 32 * 4 + 8) and plain.batch_size == 16
    assert memory_plan(trainer(), batch(16)) == plain
    assert 0 < memory_plan(trainer(), batch(2), 1).intermediate < plain.intermediate


def test_it_leaves_no_trace() -> None:
    plain, planned = trainer_of(), trainer_of()
    for one in (plain, planned):
        fovea.manual_seed(2)
        one.fit(loader(), epochs=1, verbose=0)
        if one is planned:
            memory_plan(one, next(iter(loader())), 64)
        fovea.manual_seed(3)
        one.fit(loader(), epochs=2, verbose=0)
    same(plain, planned)


def test_the_largest_batch() -> None:
    memory = memory_plan(trainer(), batch(2), 50).total
    assert largest_batch(trainer(), batch(2), memory) == 50
    assert 0 <= largest_batch(trainer(), batch(2), memory - 1) < 50
    assert largest_batch(trainer(), batch(2), 1000) == 0
    assert largest_batch(trainer(), batch(2), 1 << 40, most=64) == 64


def test_mistakes() -> None:
    with pytest.raises(ArgumentError, match="at least 1"):
        memory_plan(trainer(), batch(2), 0)

    class Sized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x: Any) -> Any:
            return self.head(x) * float(x.sum())

    model = Sized()
    sized = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()))
    with (
        pytest.warns(UserWarning, match="runs eagerly"),
        pytest.raises(ArgumentError, match="no prog"),
    ):
        memory_plan(sized, (fovea.ones(2, 4), fovea.zeros(2).long()), 64)


@pytest.mark.parametrize("channels", [1, 3])
def test_layouts_of_batches(channels: int) -> None:
    """Images that lie channels-last, and of one channel, are planned for like others."""
    model = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    run = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    plain = fovea.ones(4, channels, 8, 8)
    turned = fovea.ones(4, 8, 8, channels).permute(0, 3, 1, 2)
    labels = fovea.zeros(4).long()
    plans = [memory_plan(run, (images, labels), 64) for images in (plain, turned)]
    assert plans[0].batch == plans[1].batch == 64 * (channels * 64 * 4 + 8)
    assert all(plan.intermediate > 64 * 144 * 4 for plan in plans)
