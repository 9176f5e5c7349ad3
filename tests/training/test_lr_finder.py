"""The range test of learning rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fovea
from fovea import nn, optim
from fovea.errors import ArgumentError
from fovea.training import LearningRates, lr_find
from fovea.training.trainer import Trainer
from tests.training.test_resuming import loader, same, trainer_of
from tests.training.test_trainer import batches, make


@pytest.mark.parametrize("options", [{}, {"ema": 0.9}, {"accumulate": 2}, {"compile": False}])
@pytest.mark.parametrize("before", [0, 1])
def test_it_leaves_no_trace(options: Any, before: int) -> None:
    plain, tried = trainer_of(**options), trainer_of(**options)
    for trainer in (plain, tried):
        fovea.manual_seed(2)
        trainer.fit(loader(), epochs=before, verbose=0)
    rate = tried.optimizer.param_groups[0]["lr"]
    found = lr_find(tried, loader(), steps=20)
    assert len(found.rates) == len(found.losses) <= 20
    assert tried.optimizer.param_groups[0]["lr"] == rate
    for trainer in (plain, tried):
        fovea.manual_seed(3)
        trainer.fit(loader(), epochs=before + 2, verbose=0)
    same(plain, tried)


def test_the_same_bits_after_it() -> None:
    runs = []
    for search in (False, True):
        trainer = trainer_of(ema=0.9)
        fovea.manual_seed(2)
        trainer.fit(loader(), epochs=1, verbose=0)
        if search:
            lr_find(trainer, loader(2, "thread"), steps=20)
        trainer.fit(loader(), epochs=3, verbose=0)
        runs.append(trainer)
    same(*runs)


def test_a_curve_is_a_loop_of_ones_own() -> None:
    """A weight w with loss w: its gradient is 1, so that each step takes the rate from it."""

    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(fovea.tensor([2.0]))

        def training_step(self, batch: Any) -> Any:
            return self.w.sum()

    model = One()
    trainer = Trainer(model, optimizer=optim.SGD(model.parameters(), lr=7.0))
    found = lr_find(trainer, batches()[:3], min_lr=0.01, max_lr=1.0, steps=5, smooth=0.0)
    w, expected = 2.0, []
    for rate in found.rates:
        expected.append(w)
        w -= rate
    assert found.losses == pytest.approx(expected, rel=1e-5)
    assert found.rates == pytest.approx([0.01 * 10 ** (i / 2) for i in range(5)])
    assert model.w.item() == 2.0


def test_suggestion_and_drawing(tmp_path: Path) -> None:
    curve = LearningRates([0.1, 1, 10, 100, 1000], [5.0, 5.0, 2.0, 1.0, 4.0])
    assert curve.suggest(1, 1) == 10 and curve.suggest(1, 3) == 1
    assert curve.suggestion is None
    assert LearningRates([1, 2, 3, 4], [1, 2, 3, 4]).suggest(0, 0) is None
    found = lr_find(make(), batches(), max_lr=1000.0, min_lr=1e-4)
    assert found.suggestion is not None and 1e-4 < found.suggestion < 1000
    assert len(found.rates) < 100  # the loss exploded
    found.plot(str(tmp_path / "curve.png"))
    assert (tmp_path / "curve.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "match"),
    [({"min_lr": 0.0}, "rise"), ({"steps": 2}, "3 steps"), ({"smooth": 1.0}, "smooth")],
)
def test_mistakes(options: Any, match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        lr_find(make(), batches(), **options)
    with pytest.raises(ArgumentError, match="no batch"):
        lr_find(make(), [])
    with pytest.raises(ArgumentError, match="ran out"):
        lr_find(make(), iter(batches()))
