"""Trial runs, and which files of a run are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea.errors import ArgumentError
from fovea.training import Callback, EarlyStopping, ModelCheckpoint
from tests.training.test_callbacks import run
from tests.training.test_resuming import Stop, StopAt, loader, same, trainer_of
from tests.training.test_trainer import X, Y, batches, make


class Count(Callback):
    def __init__(self) -> None:
        super().__init__()
        self.train = self.test = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.train += 1

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.test += 1


@pytest.mark.parametrize("options", [{}, {"ema": 0.9}, {"accumulate": 2}])
@pytest.mark.parametrize("before", [0, 1])
def test_a_fast_run_leaves_no_trace(tmp_path: Path, options: Any, before: int) -> None:
    plain, tried = trainer_of(**options), trainer_of(**options)
    for trainer in (plain, tried):
        fovea.manual_seed(2)
        trainer.fit(loader(), validation=loader(), epochs=before, verbose=0)
    state = fovea.random.get_rng_state()
    count = Count()
    stopping, saving = EarlyStopping("loss"), ModelCheckpoint(tmp_path / "a.pt")
    history = tried.fit(
        loader(), validation=loader(), epochs=9, fast_dev_run=2, verbose=0,
        callbacks=[count, stopping, saving], checkpoint=tmp_path / "run",
    )  # fmt: skip
    assert (count.train, count.test) == (2, 2) and not list(tmp_path.iterdir())
    assert len(history.history["val_loss"]) == 1 and tried.epoch == before
    assert fovea.random.get_rng_state().tolist() == state.tolist()
    for trainer in (plain, tried):
        fovea.manual_seed(3)
        trainer.fit(loader(), validation=loader(), epochs=before + 2, verbose=0)
    same(plain, tried)
    assert tried.history.epoch == plain.history.epoch


def test_overfitting_a_few_batches() -> None:
    count = Count()
    trainer = make()
    trainer.fit(
        (X, Y), validation=(X, Y), epochs=30, batch_size=10, overfit_batches=2, verbose=0,
        callbacks=count,
    )  # fmt: skip
    assert (count.train, count.test) == (60, 60)
    assert trainer.evaluate(batches()[:2], verbose=0)["loss"] < 0.1
    other = make()
    other.fit(batches()[:2], epochs=30, verbose=0)
    for name, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), other.model.state_dict()[name].numpy())
    with pytest.raises(ArgumentError, match="at least 1"):
        make().fit(batches(), overfit_batches=-1, verbose=0)


def test_overfitting_goes_on(tmp_path: Path) -> None:
    whole = trainer_of()
    whole.fit(loader(), epochs=3, overfit_batches=2, verbose=0)
    with pytest.raises(Stop):
        trainer_of().fit(
            loader(), epochs=3, overfit_batches=2, callbacks=StopAt(3), verbose=0,
            checkpoint=tmp_path / "run", checkpoint_every=1,
        )  # fmt: skip
    last = trainer_of()
    last.fit(loader(), epochs=3, overfit_batches=2, checkpoint=tmp_path / "run", verbose=0)
    same(last, whole)


def test_sanity_steps() -> None:
    plain, tried = trainer_of(), trainer_of()
    for trainer, steps in ((plain, 0), (tried, 3)):
        fovea.manual_seed(3)
        trainer.fit(loader(), validation=loader(), epochs=2, sanity_steps=steps, verbose=0)
    same(plain, tried)
    seen: list[int] = []

    class Broken(fovea.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> Any:
            raise OSError("broken")

    class Began(Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            seen.append(epoch)

    with pytest.raises(OSError, match="broken"):
        make().fit(batches(), validation=Broken(), sanity_steps=1, callbacks=Began(), verbose=0)
    assert not seen


class TestBestFiles:
    @staticmethod
    def files(model: Any, folder: Path, losses: list[float], **options: Any) -> Any:
        callback = ModelCheckpoint(folder / "{epoch}.pt", "loss", **options)
        values = iter(losses)

        class Say(Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                logs["loss"] = next(values)

        model.fit(batches(), epochs=len(losses), callbacks=[Say(), callback], verbose=0)
        return callback, sorted(p.name for p in folder.iterdir())

    @pytest.mark.parametrize(
        ("losses", "count", "expected"),
        [
            ([3.0, 1.0, 2.0, 4.0], 2, ["2.pt", "3.pt"]),
            ([1.0, 1.0, 1.0], 2, ["1.pt", "2.pt"]),
            ([5.0, float("nan"), 4.0], 2, ["1.pt", "3.pt"]),
            ([float("nan"), 2.0], 1, ["2.pt"]),
            ([1.0, 2.0], 0, []),
            ([3.0, 2.0, 1.0], -1, ["1.pt", "2.pt", "3.pt"]),
        ],
    )
    def test_top(self, tmp_path: Path, losses: Any, count: int, expected: Any) -> None:
        assert self.files(make(), tmp_path, losses, save_top_k=count)[1] == expected

    def test_last_and_best(self, tmp_path: Path) -> None:
        trainer = make(ema=0.5)
        callback, names = self.files(
            trainer, tmp_path, [2.0, 1.0, 3.0], save_top_k=1, save_last=True
        )
        assert names == ["2.pt", "last.pt"]
        assert callback.best_model_path == str(tmp_path / "2.pt")
        best, last = fovea.load(tmp_path / "2.pt"), fovea.load(tmp_path / "last.pt")
        assert best["epoch"] == 2 and last["epoch"] == 3
        callback.restore_best()
        np.testing.assert_array_equal(
            trainer.averaged.state_dict()["0.weight"].numpy(),
            best["ema"]["module.0.weight"].numpy(),
        )
        with pytest.raises(ArgumentError, match="nothing has been saved"):
            ModelCheckpoint(tmp_path / "x.pt").restore_best()

    def test_weights_only(self, tmp_path: Path) -> None:
        trainer = make()
        callback, _ = self.files(
            trainer, tmp_path, [1.0, 2.0], save_top_k=1, save_weights_only=True
        )
        callback.restore_best()
        np.testing.assert_array_equal(
            trainer.model.state_dict()["0.weight"].numpy(),
            fovea.load(tmp_path / "1.pt")["0.weight"].numpy(),
        )

    def test_a_run_that_goes_on_deletes_the_right_files(self, tmp_path: Path) -> None:
        folder = tmp_path / "best"

        def saving() -> Any:
            return ModelCheckpoint(folder / "{epoch}.pt", "loss", mode="max", save_top_k=2)

        for stop in (7, 7):  # 6 steps an epoch
            with pytest.raises(Stop):
                trainer_of().fit(
                    loader(), epochs=5, callbacks=[saving(), StopAt(stop)], verbose=0,
                    checkpoint=tmp_path / "run",
                )  # fmt: skip
        state = fovea.load(tmp_path / "run")
        state["callbacks"] = state["callbacks"][:1]
        fovea.save(state, tmp_path / "run")
        last = trainer_of()
        last.fit(loader(), epochs=5, callbacks=saving(), checkpoint=tmp_path / "run", verbose=0)
        losses = last.history.history["loss"]
        best = sorted(sorted(range(5), key=lambda e: -losses[e])[:2])
        assert sorted(p.name for p in folder.iterdir()) == [f"{e + 1}.pt" for e in best]

    def test_mistakes(self, tmp_path: Path) -> None:
        with pytest.raises(ArgumentError, match="one name for 3 files"):
            ModelCheckpoint(tmp_path / "a.pt", save_top_k=3)
        with pytest.raises(ArgumentError, match="save_top_k"):
            ModelCheckpoint(tmp_path / "a.pt", save_top_k=1, save_best_only=True)

    def test_models_of_others(self, tmp_path: Path) -> None:
        callback = ModelCheckpoint(tmp_path / "{epoch}.keras", "loss", save_last=True)
        model, _ = run([2.0, 1.0], callback)
        assert [Path(p).name for _, p in model.saved] == [
            "1.keras", "last.keras", "2.keras", "last.keras"
        ]  # fmt: skip
        assert callback.best_model_path == str(tmp_path / "2.keras")
