"""Callbacks: when they are called, and what they do."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea import training
from fovea.training import (
    Batches,
    Callback,
    CallbackList,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    Loop,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)


class Optimizer:
    def __init__(self, rate: float = 1.0) -> None:
        self.learning_rate = rate


class Model:
    """Loses as it is told; its weight is the epoch."""

    def __init__(self, losses: list[float], name: str = "loss") -> None:
        self.losses, self.name = losses, name
        self.weight, self.step = -1, 0
        self.optimizer = Optimizer()
        self.saved: list[tuple[str, str]] = []
        self.stop_training = False
        self.metrics: list[Any] = []

    def train_step(self, batch: Any) -> dict[str, Any]:
        self.weight += 1
        return {self.name: self.losses[self.weight]}

    def get_weights(self) -> Any:
        return self.weight

    def set_weights(self, weight: int) -> None:
        self.weight = weight

    def save(self, path: str, overwrite: bool = True) -> None:
        self.saved.append(("model", path))

    def save_weights(self, path: str, overwrite: bool = True) -> None:
        self.saved.append(("weights", path))


def run(
    losses: list[float], callbacks: Any, name: str = "loss", **kwargs: Any
) -> tuple[Model, Any]:
    model = Model(losses, name)
    loop = Loop(model, model.train_step, lambda batch: {})
    history = loop.fit(Batches([0]), epochs=len(losses), callbacks=callbacks, verbose=0, **kwargs)
    return model, history


class TestOrder:
    def test_all_hooks(self) -> None:
        seen: list[str] = []
        hooks = [n for n in dir(Callback) if n.startswith("on_")]

        def note(hook: str) -> Any:
            return lambda *args, **kwargs: seen.append(hook)

        watch = LambdaCallback(**{h: note(h) for h in hooks if "on_batch" not in h})
        model = Model([1.0, 0.5])
        loop = Loop(model, model.train_step, lambda batch: {"loss": 1.0})
        validation = training.Validation(Batches([0]))
        loop.fit(Batches([0]), epochs=2, validation=validation, callbacks=watch, verbose=0)
        epoch = [
            "on_epoch_begin",
            "on_train_batch_begin",
            "on_train_batch_end",
            "on_test_begin",
            "on_test_batch_begin",
            "on_test_batch_end",
            "on_test_end",
            "on_epoch_end",
        ]
        assert seen == ["on_train_begin", *epoch, *epoch, "on_train_end"]
        seen.clear()
        loop.predict(Batches([0]), lambda batch: batch, callbacks=watch, verbose=0)
        assert seen == [
            "on_predict_begin",
            "on_predict_batch_begin",
            "on_predict_batch_end",
            "on_predict_end",
        ]

    def test_batch_aliases(self) -> None:
        seen = []

        class Old(Callback):
            def on_batch_end(self, batch: int, logs: Any = None) -> None:
                seen.append((batch, logs))

        run([1.0, 2.0], Old())
        assert seen == [(0, {"loss": 1.0}), (0, {"loss": 2.0})]

    def test_logs_are_computed_only_if_wanted(self) -> None:
        class Costly:
            asked = 0

            def update_state(self) -> None: ...

            def value(self) -> float:
                self.asked += 1
                return 1.0

        costly = Costly()
        loop = Loop(Model([]), lambda batch: {"loss": costly}, lambda batch: {})
        loop.fit(Batches(list(range(50))), verbose=0)
        assert costly.asked == 1  # for the epoch
        loop.fit(Batches(list(range(50))), verbose=0, callbacks=TerminateOnNaN())
        assert costly.asked == 1 + 51

    def test_params_and_model(self) -> None:
        callback = Callback()
        model, history = run([1.0], callback)
        assert callback.model is model
        assert history.params == {"verbose": 0, "epochs": 1, "steps": 1}

    def test_nested_lists_and_append(self) -> None:
        a, b, c = Callback(), Callback(), Callback()
        events = CallbackList([a, [b]])
        events.append(c)
        assert events.callbacks == [a, b, c]


class TestEarlyStopping:
    @pytest.mark.parametrize(
        ("losses", "options", "epochs"),
        [
            ([3.0, 2.0, 1.0, 0.5], {}, 4),
            ([3.0, 2.0, 2.0, 1.0], {}, 3),
            ([3.0, 2.0, 2.5, 2.4, 1.0], {"patience": 2}, 4),
            ([3.0, 2.0, 2.5, 1.9, 2.0, 2.0], {"patience": 2}, 6),
            ([3.0, 2.95, 2.9, 2.0], {"min_delta": 0.2, "patience": 1}, 2),
            ([3.0, 2.9, 2.8, 2.7], {"baseline": 1.0, "patience": 3}, 4),
            ([3.0, 4.0, 5.0, 6.0, 7.0], {"start_from_epoch": 3}, 5),
        ],
    )
    def test_epochs_equal_keras(
        self, losses: list[float], options: dict[str, Any], epochs: int
    ) -> None:
        keras = pytest.importorskip("keras")
        model, history = run(losses, EarlyStopping("loss", **options))
        assert len(history.epoch) == epochs
        theirs = keras.callbacks.EarlyStopping("loss", **options)
        other = Model(losses)
        theirs.set_model(other)
        theirs.on_train_begin()
        done = 0
        for epoch, loss in enumerate(losses):
            other.weight = epoch
            theirs.on_epoch_end(epoch, {"loss": loss})
            done += 1
            if other.stop_training:
                break
        assert done == epochs
        assert model.stop_training == other.stop_training

    def test_restores_the_best(self, capsys: Any) -> None:
        callback = EarlyStopping("loss", patience=2, restore_best_weights=True, verbose=1)
        model, _ = run([3.0, 1.0, 2.0, 2.0, 0.0], callback)
        assert model.weight == 1
        out = capsys.readouterr().out
        assert "Epoch 4: early stopping" in out and "best epoch: 2." in out

    def test_modes(self) -> None:
        assert len(run([1.0, 2.0, 1.5], EarlyStopping("loss", mode="max"))[1].epoch) == 3
        assert len(run([1.0, 0.5, 1.5], EarlyStopping("loss", mode="max"))[1].epoch) == 2

    def test_auto_mode_asks_the_metric(self) -> None:
        metric = training.Accuracy()
        model = Model([0.1, 0.5, 0.4], "accuracy")
        model.metrics = [metric]
        loop = Loop(model, model.train_step, lambda batch: {})
        history = loop.fit(Batches([0]), epochs=3, verbose=0, callbacks=EarlyStopping("accuracy"))
        assert history.epoch == [0, 1, 2]
        with pytest.raises(ValueError, match="mode='max'"):
            run([1.0, 2.0], EarlyStopping("score"), name="score")

    def test_missing_number(self) -> None:
        with pytest.warns(UserWarning, match="watches 'val_loss', which is not there"):
            run([1.0], EarlyStopping())

    def test_unknown_mode(self) -> None:
        with pytest.warns(UserWarning, match="is unknown"):
            EarlyStopping(mode="up")


class TestLearningRates:
    def test_plateau(self, capsys: Any) -> None:
        callback = ReduceLROnPlateau("loss", factor=0.5, patience=2, min_lr=0.2, verbose=1)
        _model, history = run([3.0] * 9, callback)
        assert history.history["learning_rate"] == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2]
        assert (
            "Epoch 3: ReduceLROnPlateau reducing learning rate to 0.5." in capsys.readouterr().out
        )

    def test_plateau_equals_keras(self) -> None:
        keras = pytest.importorskip("keras")
        losses = [3.0, 2.0, 2.0, 1.99999, 2.0, 1.5, 1.6, 1.7, 1.6, 1.4]
        options = {"factor": 0.3, "patience": 1, "cooldown": 1, "min_delta": 1e-3}
        _, history = run(losses, ReduceLROnPlateau("loss", **options))
        theirs = keras.callbacks.ReduceLROnPlateau("loss", **options)
        other = Model(losses)
        theirs.set_model(other)
        theirs.on_train_begin()
        rates = []
        for epoch, loss in enumerate(losses):
            logs = {"loss": loss}
            theirs.on_epoch_end(epoch, logs)
            rates.append(logs["learning_rate"])
        np.testing.assert_allclose(history.history["learning_rate"], rates)

    def test_bad_factor(self) -> None:
        with pytest.raises(ValueError, match="below 1"):
            ReduceLROnPlateau(factor=1.0)
        with pytest.raises(ValueError, match="unknown arguments"):
            ReduceLROnPlateau(epsilon=1.0)

    def test_scheduler(self, capsys: Any) -> None:
        _model, history = run(
            [1.0] * 3, LearningRateScheduler(lambda epoch, rate: rate / 2, verbose=1)
        )
        assert history.history["learning_rate"] == [0.5, 0.25, 0.125]
        assert "Epoch 2: LearningRateScheduler setting learning rate to 0.25." in (
            capsys.readouterr().out
        )
        _, history = run([1.0] * 3, LearningRateScheduler(lambda epoch: 1.0 / (epoch + 1)))
        assert history.history["learning_rate"] == [1.0, 0.5, 1 / 3]
        with pytest.raises(ValueError, match="must return a number"):
            run([1.0], LearningRateScheduler(lambda epoch: "x"))

    def test_parameter_groups(self) -> None:
        class Groups:
            param_groups = [{"lr": 0.1}, {"lr": 0.01}]

        training.set_learning_rate(Groups(), 0.05)
        assert Groups.param_groups[0]["lr"] == 0.05
        assert Groups.param_groups[1]["lr"] == pytest.approx(0.005)
        assert training.get_learning_rate(Groups()) == 0.05


class TestModelCheckpoint:
    def test_each_epoch(self, tmp_path: Path) -> None:
        path = tmp_path / "deep" / "{epoch:02d}-{loss:.1f}.keras"
        model, _ = run([2.0, 1.0], ModelCheckpoint(path, "loss"))
        names = [Path(p).name for _, p in model.saved]
        assert names == ["01-2.0.keras", "02-1.0.keras"] and (tmp_path / "deep").is_dir()

    def test_best_only(self, tmp_path: Path, capsys: Any) -> None:
        callback = ModelCheckpoint(
            tmp_path / "{epoch}.keras", "loss", save_best_only=True, verbose=1
        )
        model, _ = run([2.0, 3.0, 1.0], callback)
        assert [Path(p).name for _, p in model.saved] == ["1.keras", "3.keras"]
        out = capsys.readouterr().out
        assert "loss improved from None to 2.00000, saving model to" in out
        assert "loss did not improve from 2.00000" in out

    def test_threshold(self, tmp_path: Path) -> None:
        callback = ModelCheckpoint(
            tmp_path / "{epoch}.keras", "loss", save_best_only=True, initial_value_threshold=1.5
        )
        model, _ = run([2.0, 1.0], callback)
        assert [Path(p).name for _, p in model.saved] == ["2.keras"]

    def test_weights_only(self, tmp_path: Path) -> None:
        path = tmp_path / "w.weights.h5"
        model, _ = run([2.0], ModelCheckpoint(path, "loss", save_weights_only=True))
        assert model.saved == [("weights", str(path))]

    def test_every_so_many_steps(self, tmp_path: Path) -> None:
        model = Model([float(i) for i in range(10)])
        loop = Loop(model, model.train_step, lambda batch: {})
        callback = ModelCheckpoint(tmp_path / "{epoch}-{batch}.keras", save_freq=3)
        loop.fit(Batches(list(range(5))), epochs=2, verbose=0, callbacks=callback)
        assert [Path(p).name for _, p in model.saved] == ["1-3.keras", "2-1.keras", "2-4.keras"]

    def test_missing_number_saves_all_the_same(self, tmp_path: Path) -> None:
        with pytest.warns(UserWarning, match="best model is not known"):
            model, _ = run([1.0], ModelCheckpoint(tmp_path / "m.keras", save_best_only=True))
        assert len(model.saved) == 1

    def test_bad_names(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="names a whole model"):
            ModelCheckpoint("m.keras", save_weights_only=True)
        with pytest.raises(ValueError, match="names a file of weights"):
            ModelCheckpoint("m.weights.h5")
        with pytest.raises(ValueError, match="save_freq"):
            ModelCheckpoint("m.keras", save_freq="batch")
        with pytest.raises(ValueError, match="not in the logs"):
            run([1.0], ModelCheckpoint(tmp_path / "{val_acc}.keras"))


class TestCSVLogger:
    def test_file(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        run([2.0, 1.0], CSVLogger(path))
        run([0.5], CSVLogger(path, append=True))
        rows = list(csv.reader(path.open()))
        assert rows == [
            ["epoch", "loss", "val_loss"],
            ["0", "2.0", "NA"],
            ["1", "1.0", "NA"],
            ["0", "0.5", "NA"],
        ]
        run([3.0], CSVLogger(path, separator=";"))
        assert path.read_text().splitlines() == ["epoch;loss;val_loss", "0;3.0;NA"]

    def test_columns_stay_when_a_run_goes_on(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        for epochs in (
            [{"loss": 2.0, "val_iou": 0.5}],
            [{"loss": 1.0}, {"loss": 0.5, "val_iou": 0.75}],
        ):
            logger = CSVLogger(path, append=True)
            logger.on_train_begin()
            for number, logs in enumerate(epochs):
                logger.on_epoch_end(number, logs)
            logger.on_train_end()
        assert path.read_text().splitlines() == [
            "epoch,loss,val_iou", "0,2.0,0.5", "0,1.0,NA", "1,0.5,0.75",
        ]  # fmt: skip

    def test_validation_and_arrays(self, tmp_path: Path) -> None:
        logger = CSVLogger(tmp_path / "log.csv")
        logger.on_train_begin()
        logger.on_epoch_end(0, {"loss": 1.0, "val_loss": 2.0, "each": np.array([1, 2]), "s": "a"})
        logger.on_train_end()
        lines = (tmp_path / "log.csv").read_text().splitlines()
        assert lines[0] == "epoch,each,loss,s,val_loss" and "[1, 2]" in lines[1]


class TestTerminateOnNaN:
    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_stops(self, bad: float, capsys: Any) -> None:
        model, history = run([1.0, bad, 1.0], TerminateOnNaN())
        assert len(history.epoch) == 2 and model.stop_training
        assert "Batch 0: Invalid loss, terminating training" in capsys.readouterr().out

    def test_raises(self) -> None:
        with pytest.raises(RuntimeError, match="the loss is nan"):
            run([math.nan], TerminateOnNaN(raise_error=True))
