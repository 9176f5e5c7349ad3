"""``fovea.Trainer``: the same numbers as loops of one's own, and everything around them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import keras, nn, optim
from fovea.training import Callback, EarlyStopping, Metric, ModelCheckpoint
from fovea.training.trainer import Trainer
from fovea.utils.data import DataLoader, TensorDataset

fovea.manual_seed(0)
X = fovea.randn(50, 4)
Y = (X.sum(1) > 0).long()


def net() -> Any:
    fovea.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def sgd(params: Any) -> Any:
    return optim.SGD(params, lr=0.2, momentum=0.9)


def batches(size: int = 10) -> list[Any]:
    return [(X[i : i + size], Y[i : i + size]) for i in range(0, len(X), size)]


def make(**options: Any) -> Trainer:
    model = options.pop("model", None) or net()
    return Trainer(model, nn.CrossEntropyLoss(), options.pop("optimizer", sgd), **options)


def same(a: Any, b: Any, **tolerance: Any) -> None:
    for name, value in a.state_dict().items():
        other = b.state_dict()[name]
        np.testing.assert_allclose(value.numpy(), other.numpy(), err_msg=name, **tolerance)


@pytest.mark.parametrize("compile", [True, False])
@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_steps_are_pytorchs(compile: bool, clip: float | None, accumulate: int) -> None:
    """Five batches an epoch: the last update of each gathers two where three make one."""
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 2)
    )
    trainer = make(
        compile=compile, clip=clip, accumulate=accumulate, schedule_by="step",
        scheduler=lambda o: optim.lr_scheduler.ExponentialLR(o, 0.9),
    )  # fmt: skip
    theirs.load_state_dict(
        {k: torch.tensor(v.numpy().copy()) for k, v in trainer.model.state_dict().items()}
    )
    trainer.fit(batches(), epochs=3, verbose=0)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.2, momentum=0.9)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    for _ in range(3):
        optimizer.zero_grad()
        for n, (x, y) in enumerate(batches()):
            out = theirs(torch.tensor(x.numpy()))
            loss = torch.nn.functional.cross_entropy(out, torch.tensor(y.numpy()))
            (loss / accumulate).backward()
            if (n + 1) % accumulate == 0 or n == 4:
                if clip is not None:
                    torch.nn.utils.clip_grad_norm_(theirs.parameters(), clip)
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
    same(trainer.model, theirs, rtol=2e-5, atol=2e-6)
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("precision", ["bf16", "fp16", "bf16-mixed"])
def test_precision(precision: str) -> None:
    trainer = make(precision=precision, metrics="accuracy")
    history = trainer.fit(batches(), epochs=8, verbose=0).history
    assert {p.dtype for p in trainer.model.parameters()} == {fovea.float32}
    assert history["loss"][-1] < history["loss"][0] and history["accuracy"][-1] > 0.8
    assert trainer.learner.scaler.is_enabled() == (precision == "fp16")


def test_history_metrics_and_modes() -> None:
    modes: list[tuple[str, bool]] = []

    class Watch(Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            modes.append(("train", self.model.model.training))

        def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
            modes.append(("test", self.model.model.training))

    def error(outputs: Any, targets: Any) -> Any:
        return outputs.argmax(1) != targets

    metrics = {
        "right": "accuracy",
        "error": error,
        "top": keras.metrics.SparseTopKCategoricalAccuracy(1),
    }
    trainer = make(metrics=metrics, callbacks=Watch())
    history = trainer.fit(batches(), batches(25), epochs=2, verbose=0)
    assert set(modes) == {("train", True), ("test", False)} and len(modes) == 2 * (5 + 2)
    assert history is trainer.history and trainer.epoch == 2 and not trainer.model.training
    found = trainer.evaluate((X, Y), batch_size=7, verbose=0)
    out = trainer.model(X)
    right = float((out.argmax(1) == Y).float().mean())
    assert found["right"] == pytest.approx(right) and found["error"] == pytest.approx(1 - right)
    assert found["top"] == pytest.approx(right)
    want = float(nn.functional.cross_entropy(out, Y).detach())
    assert found["loss"] == pytest.approx(want, rel=1e-5)
    assert history.history["val_loss"][-1] == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize(
    "data",
    [
        lambda: (X, Y),
        lambda: (X.numpy(), Y.numpy()),
        lambda: TensorDataset(X, Y),
        lambda: DataLoader(TensorDataset(X, Y), 10),
        lambda: batches(),
        lambda: [(x.numpy(), y.numpy()) for x, y in batches()],
        lambda: (b for b in batches()),
    ],
)
def test_data(data: Callable[[], Any]) -> None:
    trainer = make()
    trainer.fit(data(), epochs=1, batch_size=10, verbose=0)
    want = trainer.model(X).detach().numpy()
    np.testing.assert_allclose(trainer.predict(data(), batch_size=10).numpy(), want, atol=1e-5)
    trainer.evaluate(data(), verbose=0)


def test_predict_joins_structures() -> None:
    class Two(nn.Module):
        def forward(self, x: Any) -> Any:
            return {"double": x * 2, "parts": (x[:, 0], x.sum(1))}

    trainer = Trainer(Two(), nn.MSELoss(), lambda p: optim.SGD([fovea.ones(1)], lr=0.1))
    found = trainer.predict(X, batch_size=16)
    assert fovea.equal(found["double"], X * 2) and found["parts"][1].shape == (50,)


class Own(nn.Module):
    """Says itself how it learns, as with Lightning."""

    def __init__(self) -> None:
        super().__init__()
        self.body = net()
        self.numbers: list[Any] = []

    def forward(self, x: Any) -> Any:
        return self.body(x)

    def training_step(self, batch: Any) -> Any:
        x, y = batch
        out = self(x)
        return {"loss": nn.functional.cross_entropy(out, y), "spread": out.std()}

    def validation_step(self, batch: Any, number: int) -> Any:
        return nn.functional.cross_entropy(self(batch[0]), batch[1]) + 100 * number

    def configure_optimizers(self) -> Any:
        optimizer = sgd(self.parameters())
        return [optimizer], [optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


def test_models_with_steps_of_their_own() -> None:
    trainer, plain = Trainer(Own()), make()
    history = trainer.fit(batches(), batches(25), epochs=1, verbose=0).history
    plain.fit(batches(), epochs=1, verbose=0)
    same(trainer.model.body, plain.model, rtol=1e-5, atol=1e-6)
    assert history["spread"][0] > 0 and history["val_loss"][0] > 45
    assert trainer.optimizer.param_groups[0]["lr"] == 0.1 and history["learning_rate"] == [0.2]


@pytest.mark.parametrize("precision", ["float32", "fp16"])
@pytest.mark.parametrize("schedule_by", ["epoch", "step"])
def test_a_run_goes_on_where_it_was(tmp_path: Path, precision: str, schedule_by: str) -> None:
    """Interrupted, written and read: the same weights to the bit, also with shuffling."""

    def new() -> Trainer:
        model = nn.Sequential(net(), nn.Dropout(0.2))
        return make(
            model=model, precision=precision, schedule_by=schedule_by, metrics="accuracy",
            scheduler=lambda o: optim.lr_scheduler.CosineAnnealingLR(o, 12),
        )  # fmt: skip

    def fit(trainer: Trainer, epochs: int) -> None:
        trainer.fit((X, Y), (X, Y), epochs=epochs, batch_size=10, verbose=0)

    whole, first = new(), new()
    fovea.manual_seed(5)
    fit(whole, 4)
    fovea.manual_seed(5)
    fit(first, 2)
    first.save(tmp_path / "run.pt")
    fovea.manual_seed(99)
    second = new().resume(tmp_path / "run.pt")
    assert second.epoch == 2
    fit(second, 4)
    same(whole.model, second.model, rtol=0, atol=0)
    assert whole.history.history == second.history.history
    fit(second, 4)  # all is done already
    assert len(second.history.history["loss"]) == 4


def test_callbacks_of_keras(tmp_path: Path) -> None:
    best = ModelCheckpoint(str(tmp_path / "best.pt"), "val_accuracy", save_best_only=True)
    weights = ModelCheckpoint(str(tmp_path / "{epoch}.pt"), save_weights_only=True)
    stop = EarlyStopping("val_loss", patience=1, restore_best_weights=True)
    trainer = make(metrics=["accuracy"], optimizer=lambda p: optim.SGD(p, lr=20.0))
    trainer.fit(batches(), batches(), epochs=30, callbacks=[best, weights, stop], verbose=0)
    assert trainer.epoch < 30
    losses = trainer.history.history["val_loss"]
    assert trainer.evaluate(batches(), verbose=0)["loss"] == pytest.approx(min(losses), rel=1e-6)
    kept = fovea.load(tmp_path / f"{stop.best_epoch + 1}.pt")
    assert fovea.equal(kept["0.weight"], trainer.model.state_dict()["0.weight"])
    accuracies = trainer.history.history["val_accuracy"]
    assert fovea.load(tmp_path / "best.pt")["epoch"] == accuracies.index(max(accuracies)) + 1


def test_plateaus_are_told_the_loss() -> None:
    trainer = make(
        optimizer=lambda p: optim.SGD(p, lr=0.0),
        scheduler=lambda o: optim.lr_scheduler.ReduceLROnPlateau(o, patience=0),
    )
    trainer.fit(batches(), batches(), epochs=2, verbose=0)
    assert trainer.scheduler.num_bad_epochs + trainer.scheduler.last_epoch >= 2


def test_keras_models_are_trained() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), nn.Linear(8, 2)])
    trainer = make(model=model, metrics="accuracy")
    history = trainer.fit(batches(), epochs=20, verbose=0).history
    assert history["accuracy"][-1] > 0.85


def test_errors() -> None:
    with pytest.raises(ValueError, match="has no training_step"):
        Trainer(net(), optimizer=sgd)
    with pytest.raises(ValueError, match="there is no optimizer"):
        Trainer(net(), nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match="'adam' is no optimizer"):
        make(optimizer="adam")
    with pytest.raises(ValueError, match="unknown precision 'int4'"):
        make(precision="int4")
    with pytest.raises(ValueError, match="unknown metric 'f1'"):
        make(metrics="f1")
    with pytest.raises(ValueError, match="schedule_by"):
        make(schedule_by="batch")
    with pytest.raises(ValueError, match="at least 1"):
        make(accumulate=0)
    with pytest.raises(ValueError, match="a module is needed"):
        Trainer(3, nn.MSELoss(), sgd)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no targets for the loss"):
        make().fit(X, verbose=0)
    with pytest.raises(ValueError, match="no batch"):
        make().fit([], verbose=0)

    class Wrong(Own):
        def training_step(self, batch: Any) -> Any:
            return {"mse": 1}

    with pytest.raises(ValueError, match="no 'loss'"):
        Trainer(Wrong()).fit(batches(), verbose=0)


def test_a_last_dimension_of_one_is_not_broadcast() -> None:
    trainer = Trainer(nn.Linear(4, 1), nn.MSELoss(), sgd)
    with pytest.raises(ValueError, match="differ by a last dimension of 1"):
        trainer.fit((X, X.sum(1)), verbose=0)
    trainer.fit((X, X.sum(1, keepdim=True)), verbose=0)


def test_output_of_a_run(capsys: Any) -> None:
    make(metrics="accuracy").fit(batches(), batches(), epochs=1, verbose=2)
    text = capsys.readouterr().out
    assert "5/5" in text and "val_accuracy: " in text


class Counting(Metric):
    """A metric of one's own."""

    def __init__(self) -> None:
        super().__init__("count")
        self.count = 0

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.count += len(y_true)

    def value(self) -> int:
        return self.count

    def reset_state(self) -> None:
        self.count = 0


def test_metrics_of_ones_own() -> None:
    trainer = make(metrics=[Counting()], callbacks=[])
    assert trainer.fit(batches(), epochs=2, verbose=0).history["count"] == [50, 50]
