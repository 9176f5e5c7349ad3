"""``Trainer(ema=)`` and ``Trainer(swa=)``: PyTorch's averages, used where they should be, and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn, optim
from fovea.errors import ArgumentError
from fovea.training import Callback, EarlyStopping
from fovea.training.trainer import Trainer
from tests.training.test_resuming import Stop, StopAt, loader, same, trainer_of
from tests.training.test_trainer import batches, make


@pytest.mark.parametrize("compile", [True, False])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_averages_are_pytorchs(compile: bool, accumulate: int) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 2)
    )
    trainer = make(compile=compile, ema=0.8, accumulate=accumulate)
    theirs.load_state_dict(
        {k: torch.tensor(v.numpy().copy()) for k, v in trainer.model.state_dict().items()}
    )
    utils = torch.optim.swa_utils
    average = utils.AveragedModel(
        theirs, multi_avg_fn=utils.get_ema_multi_avg_fn(0.8), use_buffers=True
    )
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.2, momentum=0.9)
    for n, (x, y) in enumerate(batches()):
        out = theirs(torch.tensor(x.numpy()))
        loss = torch.nn.functional.cross_entropy(out, torch.tensor(y.numpy()))
        (loss / accumulate).backward()
        if (n + 1) % accumulate == 0 or n == 4:
            optimizer.step()
            optimizer.zero_grad()
            average.update_parameters(theirs)
    trainer.fit(batches(), validation=batches(), verbose=0)
    for mine, other in ((trainer.model, theirs), (trainer.averaged, average.module)):
        for name, value in mine.state_dict().items():
            if value.dtype.is_floating_point:
                np.testing.assert_allclose(
                    value.numpy(), other.state_dict()[name].numpy(), 3e-5, 3e-6, err_msg=name
                )
    x, y = batches(50)[0]
    average.eval()
    out = average(torch.tensor(x.numpy()))
    expected = torch.nn.functional.cross_entropy(out, torch.tensor(y.numpy())).item()
    assert trainer.evaluate(batches(), verbose=0)["loss"] == pytest.approx(expected, rel=1e-4)
    assert trainer.history.history["val_loss"][0] == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(trainer.predict(batches()).numpy(), out.detach().numpy(), 1e-4, 1e-5)


@pytest.mark.parametrize(
    ("options", "epochs", "stops"),
    [
        *(({"ema": 0.9}, 3, stops) for stops in ((1,), (3, 1, 2), (8, 4, 1))),
        *(({"swa": 2}, 4, stops) for stops in ((1,), (7, 6), (13, 3))),
    ],
)
def test_runs_go_on_to_the_same_bits(
    tmp_path: Path, options: dict[str, Any], epochs: int, stops: tuple[int, ...]
) -> None:
    whole = trainer_of(**options)
    whole.fit(loader(), validation=loader(), epochs=epochs, verbose=0)
    for steps in stops:
        with pytest.raises(Stop):
            trainer_of(**options).fit(
                loader(), validation=loader(), epochs=epochs, callbacks=[StopAt(steps)],
                checkpoint=tmp_path / "run", checkpoint_every=1, verbose=0,
            )  # fmt: skip
    last = trainer_of(**options)
    last.fit(loader(), validation=loader(), epochs=epochs, checkpoint=tmp_path / "run", verbose=0)
    same(last, whole)
    for name, value in whole.averaged.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), last.averaged.state_dict()[name].numpy())


def test_a_state_without_an_average_does_not_go_on(tmp_path: Path) -> None:
    trainer = trainer_of(ema=0.9)
    trainer.fit(loader(), epochs=1, checkpoint=tmp_path / "run", verbose=0)
    with pytest.raises(ArgumentError, match="no average"):
        trainer.load_state_dict({**fovea.load(tmp_path / "run"), "ema": None})


def test_states_asked_for_within_an_evaluation(tmp_path: Path) -> None:
    plain = make(ema=0.9)
    plain.fit(batches(), validation=batches(), epochs=2, verbose=0)
    trainer = make(ema=0.9)

    class Ask(Callback):
        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            held = trainer.model.state_dict()["0.weight"].numpy().copy()
            state = trainer.state_dict()
            assert not np.array_equal(state["model"]["0.weight"].numpy(), held)
            np.testing.assert_array_equal(state["ema"]["module.0.weight"].numpy(), held)
            np.testing.assert_array_equal(trainer.model.state_dict()["0.weight"].numpy(), held)

    trainer.fit(batches(), validation=batches(), epochs=2, callbacks=Ask(), verbose=0)
    same(trainer, plain)


def test_what_is_saved_and_restored_are_averages(tmp_path: Path) -> None:
    trainer = make(ema=0.9)
    stopping = EarlyStopping("val_loss", restore_best_weights=True, patience=9)
    trainer.fit(batches(), validation=batches(), epochs=3, callbacks=stopping, verbose=0)
    best = min(trainer.history.history["val_loss"])
    assert trainer.evaluate(batches(), verbose=0)["loss"] == pytest.approx(best, rel=1e-6)
    trainer.fit(batches(), epochs=4, verbose=0)
    trainer.save_weights(tmp_path / "w.pt")
    found = fovea.load(tmp_path / "w.pt")
    np.testing.assert_array_equal(
        found["0.weight"].numpy(), trainer.averaged[0].weight.detach().numpy()
    )
    assert not np.array_equal(found["0.weight"].numpy(), trainer.model[0].weight.detach().numpy())
    assert make().averaged is not None


def test_whole_numbers_are_not_averaged() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2)
            self.register_buffer("index", fovea.arange(1000))

        def forward(self, x: Any) -> Any:
            return self.head(x)

    model = Table()
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), ema=0.999
    )
    trainer.fit(batches(), epochs=2, verbose=0)
    assert trainer.averaged.index.tolist() == list(range(1000))
    with pytest.raises(ArgumentError, match="ema"):
        make(ema=1.0)


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_means_of_epochs_are_pytorchs(validated: bool, accumulate: int) -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 2)
    )
    trainer = make(swa=2, accumulate=accumulate)
    theirs.load_state_dict(
        {k: torch.tensor(v.numpy().copy()) for k, v in trainer.model.state_dict().items()}
    )
    data = [(torch.tensor(x.numpy()), torch.tensor(y.numpy())) for x, y in batches()]
    average = torch.optim.swa_utils.AveragedModel(theirs)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.2, momentum=0.9)
    losses: list[float] = []
    for epoch in range(4):
        for n, (x, y) in enumerate(data):
            (torch.nn.functional.cross_entropy(theirs(x), y) / accumulate).backward()
            if (n + 1) % accumulate == 0 or n == 4:
                optimizer.step()
                optimizer.zero_grad()
        if epoch:
            average.update_parameters(theirs)
            torch.optim.swa_utils.update_bn(data, average)
        looked = (average if epoch else theirs).eval()
        with torch.no_grad():
            found = [torch.nn.functional.cross_entropy(looked(x), y).item() for x, y in data]
        losses.append(float(np.mean(found)))
        theirs.train()
    held = batches() if validated else None
    trainer.fit(batches(), validation=held, epochs=4, verbose=0)
    for mine, other in ((trainer.model, theirs), (trainer.averaged, average.module)):
        for name, value in mine.state_dict().items():
            np.testing.assert_allclose(
                value.numpy(), other.state_dict()[name].numpy(), 3e-5, 3e-6, err_msg=name
            )
    if validated:
        np.testing.assert_allclose(trainer.history.history["val_loss"], losses, 1e-4)
    assert trainer.evaluate(batches(), verbose=0)["loss"] == pytest.approx(losses[-1], rel=1e-4)


def test_before_the_first_epoch_that_counts_there_is_no_mean() -> None:
    plain, trainer = make(), make(swa=3)
    for each in (plain, trainer):
        each.fit(batches(), validation=batches(), epochs=2, verbose=0)
    same(plain, trainer)
    assert trainer.averaged is trainer.model
    trainer.fit(batches(), epochs=3, fast_dev_run=True, verbose=0)
    assert trainer.averaged is trainer.model
    trainer.fit(batches(), epochs=3, verbose=0)
    assert trainer.averaged is not trainer.model
    with pytest.raises(ArgumentError, match="one of ema and swa"):
        make(ema=0.9, swa=2)
    with pytest.raises(ArgumentError, match="first epoch"):
        make(swa=0)
