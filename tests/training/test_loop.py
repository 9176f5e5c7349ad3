"""The loop, its batches, its metrics, its history and its files."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fovea
from fovea import nn, optim
from fovea.errors import MissingExtraError
from fovea.training import (
    Accuracy,
    Batches,
    Callback,
    ConfusionMatrix,
    History,
    Loop,
    Mean,
    MeanOf,
    Validation,
    atomic_path,
    numbers,
)


class Thing:
    stop_training = stop_evaluating = stop_predicting = False
    history: Any = None


def loop_of(train: Any, test: Any = None) -> Loop:
    return Loop(Thing(), train, test or (lambda batch: {"loss": float(batch)}))


class TestLoop:
    def test_a_module_of_ones_own(self) -> None:
        """The loop trains any module: a step is a function of a batch."""
        fovea.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
        optimizer = optim.Adam(net.parameters(), lr=0.02)
        loss_mean, accuracy = Mean("loss"), Accuracy()
        x = fovea.randn(90, 4)
        y = x[:, :3].argmax(1)

        def train(batch: Any) -> Any:
            inputs, labels = batch
            optimizer.zero_grad()
            out = net(inputs)
            loss = nn.functional.cross_entropy(out, labels)
            loss.backward()
            optimizer.step()
            loss_mean.update_state(loss, sample_weight=len(labels))
            accuracy.update_state(labels, out)
            return {"loss": loss_mean, "accuracy": accuracy}

        def reset() -> None:
            loss_mean.reset_state()
            accuracy.reset_state()

        batches = [(x[i : i + 20], y[i : i + 20]) for i in range(0, 90, 20)]
        loop = Loop(Thing(), train, lambda batch: {}, reset)
        h = loop.fit(Batches(batches), epochs=30, verbose=0).history
        assert h["loss"][-1] < 0.5 * h["loss"][0] and h["accuracy"][-1] > 0.85
        assert loss_mean.count == 90

    def test_stop_within_an_epoch(self) -> None:
        thing = Thing()

        def train(batch: int) -> Any:
            thing.stop_training = batch == 2
            return {"loss": float(batch)}

        history = Loop(thing, train, train).fit(Batches([0, 1, 2, 3]), epochs=3, verbose=0)
        assert history.history == {"loss": [2.0]}

    def test_stop_evaluating(self) -> None:
        thing = Thing()

        class Stop(Callback):
            def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
                thing.stop_evaluating = batch == 1

            def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
                thing.stop_predicting = batch == 1

        loop = Loop(thing, lambda b: {}, lambda b: {"loss": float(b)})
        assert loop.evaluate(Batches([1, 2, 3]), callbacks=Stop(), verbose=0) == {"loss": 2.0}
        found = loop.predict(Batches([1, 2, 3]), lambda b: b, callbacks=Stop(), verbose=0)
        assert found == [1, 2]

    @pytest.mark.parametrize("run", ["fit", "evaluate", "predict"])
    def test_an_interrupt_inside_a_finalizer_is_not_lost(self, run: str) -> None:
        """There Python would print and forget it."""

        class Leaving:
            def __del__(self) -> None:
                os.kill(os.getpid(), signal.SIGINT)

        seen: list[float] = []

        def step(batch: float) -> dict[str, Any]:
            seen.append(batch)
            Leaving()
            return {"loss": batch}

        loop, batches = loop_of(step, step), Batches([1.0, 2.0])
        with pytest.raises(KeyboardInterrupt):
            if run == "predict":
                loop.predict(batches, step, verbose=0)
            else:
                getattr(loop, run)(batches, verbose=0)
        assert seen == [1.0]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_a_handler_of_the_program_stays(self) -> None:
        calls: list[int] = []
        before = signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
        try:
            loop = loop_of(lambda batch: os.kill(os.getpid(), signal.SIGINT) or {"loss": batch})
            loop.fit(Batches([1.0, 2.0]), verbose=0)
        finally:
            signal.signal(signal.SIGINT, before)
        assert calls == [signal.SIGINT] * 2

    def test_interrupt(self, tmp_path: Path, capsys: Any) -> None:
        """Ctrl-C: callbacks end, what draws batches is closed, and the interrupt goes on."""
        seen: list[str] = []

        def source() -> Iterator[int]:
            try:
                yield from range(10)
            finally:
                seen.append("closed")

        class Again:
            def __iter__(self) -> Any:
                return source()

        class End(Callback):
            def on_train_end(self, logs: Any = None) -> None:
                seen.append("end")

        def train(batch: int) -> Any:
            if batch == 3:
                raise KeyboardInterrupt
            return {"loss": 1.0}

        with pytest.raises(KeyboardInterrupt):
            loop_of(train).fit(Batches(Again()), callbacks=End(), verbose=1)
        assert sorted(seen) == ["closed", "end"]

    def test_errors_come_through(self) -> None:
        def train(batch: int) -> Any:
            raise ValueError("bad batch")

        with pytest.raises(ValueError, match="bad batch"):
            loop_of(train).fit(Batches([1]), verbose=0)

    def test_no_batches(self) -> None:
        with pytest.raises(ValueError, match="no batch"):
            loop_of(lambda b: {}).fit(Batches([]), verbose=0)
        with pytest.raises(ValueError, match="no batch"):
            loop_of(lambda b: {}).evaluate(Batches([]), verbose=0)

    def test_validation_frequency(self) -> None:
        assert [Validation(Batches([]), 2).due(e) for e in range(4)] == [False, True, False, True]
        assert [Validation(Batches([]), [1, 3]).due(e) for e in range(3)] == [True, False, True]
        with pytest.raises(ValueError, match="at least 1"):
            Validation(Batches([]), 0).due(0)

    def test_printing(self, capsys: Any) -> None:
        loop = loop_of(lambda b: {"loss": float(b)})
        loop.fit(Batches([1.0, 0.5]), epochs=2, verbose=2, validation=Validation(Batches([4.0])))
        out = capsys.readouterr().out.splitlines()
        assert [line for line in out if line.startswith("Epoch")] == ["Epoch 1/2", "Epoch 2/2"]
        assert out[1].startswith("2/2 - 0s - ") and out[1].endswith(
            "loss: 0.5000 - val_loss: 4.0000"
        )

    def test_unknown_length(self, capsys: Any) -> None:
        class Some:
            def __iter__(self) -> Any:
                return iter([1.0, 2.0, 3.0])

        loop_of(lambda b: {"loss": b}).fit(Batches(Some()), epochs=2, verbose=1)
        assert capsys.readouterr().out.count("3/3 ") == 2


class TestBatches:
    def test_lists_start_anew(self) -> None:
        batches = Batches([1, 2, 3])
        assert batches.steps == 3
        assert [list(batches.epoch()) for _ in range(2)] == [[1, 2, 3], [1, 2, 3]]

    def test_steps_go_on_where_they_stopped(self) -> None:
        batches = Batches([1, 2, 3], steps=2)
        assert [list(batches.epoch()) for _ in range(3)] == [[1, 2], [3, 1], [2, 3]]

    def test_iterators_end(self) -> None:
        batches = Batches(iter([1, 2, 3]), steps=2)
        assert list(batches.epoch()) == [1, 2]
        with pytest.warns(UserWarning, match="ran out"):
            assert list(batches.epoch()) == [3]
        assert batches.exhausted

    def test_an_iterator_without_steps(self) -> None:
        batches = Batches(iter([1, 2]))
        assert batches.steps is None and list(batches.epoch()) == [1, 2]
        assert batches.exhausted and batches.steps == 2

    def test_an_empty_source_with_steps(self) -> None:
        with pytest.warns(UserWarning, match="ran out"):
            assert list(Batches([], steps=2).epoch()) == []

    def test_a_user_s_generator_stays_open(self) -> None:
        generator = (i for i in range(5))
        batches = Batches(generator, steps=2)
        list(batches.epoch())
        batches.close()
        assert next(generator) == 2

    def test_epoch_hooks(self) -> None:
        seen = []

        class Source:
            def __iter__(self) -> Any:
                return iter([1])

            def on_epoch_begin(self) -> None:
                seen.append("begin")

            def on_epoch_end(self) -> None:
                seen.append("end")

        list(Batches(Source()).epoch())
        assert seen == ["begin", "end"]


class TestMetrics:
    def test_an_epoch_is_no_mean_of_means(self) -> None:
        m = Mean()
        m.update_state(fovea.tensor(1.0), sample_weight=9)
        m.update_state(fovea.tensor(2.0), sample_weight=1)
        assert m.value() == pytest.approx(1.1)

    def test_accuracy_axes(self) -> None:
        scores = fovea.rand(4, 3, 5, 5)
        labels = scores.argmax(1)
        first, last = Accuracy(), Accuracy(axis=-1)
        first.update_state(labels, scores)
        last.update_state(labels, scores.permute(0, 2, 3, 1))
        assert first.value() == last.value() == 1.0
        assert first.count == 100

    def test_accuracy_weights(self) -> None:
        a = Accuracy()
        y = fovea.tensor([0, 1])
        a.update_state(y, fovea.eye(2), sample_weight=fovea.tensor([1.0, 3.0]))
        a.update_state(1 - y, fovea.eye(2), sample_weight=np.array([4.0, 0.0]))
        assert a.value() == 0.5

    def test_mean_of(self) -> None:
        m = MeanOf(lambda t, p: (t - p).abs(), "gap")
        w = fovea.ones(3, requires_grad=True)
        m.update_state(fovea.zeros(3), w * 2)
        assert m.value() == 2.0 and m.name == "gap"

    def test_confusion_matrix(self) -> None:
        m = ConfusionMatrix(3)
        m.update_state(fovea.tensor([0, 1, 2, 2]), fovea.tensor([0, 2, 2, 2]))
        m.update_state(fovea.tensor([1]), fovea.tensor([[0.1, 0.8, 0.1]]))
        assert m.value().tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 2]]
        m.reset_state()
        assert m.value().sum() == 0
        with pytest.raises(ValueError, match="differ in number"):
            m.update_state(fovea.tensor([0]), fovea.tensor([0, 1]))

    def test_numbers(self) -> None:
        m = Mean("m")
        m.update_state(3.0)
        found = numbers({"z": m, "a": fovea.tensor(1.5), "b": np.float32(2), "inner": {"c": 1}})
        assert found == {"a": 1.5, "b": 2.0, "c": 1.0, "z": 3.0}
        assert list(found) == ["a", "b", "c", "z"]
        assert numbers(None) == {}
        assert numbers({"s": "text"}) == {"s": "text"}


class TestHistory:
    def history(self) -> History:
        h = History()
        h.on_train_begin()
        for epoch, (loss, val) in enumerate([(3.0, 4.0), (1.0, 2.0), (2.0, 1.0)]):
            h.on_epoch_end(epoch, {"loss": loss, "val_loss": val})
        return h

    def test_best(self) -> None:
        h = self.history()
        assert h.best("loss") == (1, 1.0) and h.best("loss", "max") == (0, 3.0)
        with pytest.raises(ValueError, match="nothing is recorded as 'acc'"):
            h.best("acc")

    def test_plot(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        figure = self.history().plot(str(tmp_path / "curves.png"))
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
        axis = figure.axes[0]
        assert [line.get_label() for line in axis.lines] == ["training", "validation"]
        assert axis.lines[1].get_ydata().tolist() == [4.0, 2.0, 1.0]

    def test_plot_without_matplotlib(self, monkeypatch: Any) -> None:
        import sys

        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(MissingExtraError, match="Matplotlib"):
            self.history().plot()


class TestAtomicPath:
    def test_failure_leaves_nothing(self, tmp_path: Path) -> None:
        target = tmp_path / "a" / "file"
        with pytest.raises(RuntimeError), atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError
        assert list((tmp_path / "a").iterdir()) == []

    def test_permissions(self, tmp_path: Path) -> None:
        target = tmp_path / "file"
        with atomic_path(target) as temporary:
            temporary.write_text("new")
        mask = os.umask(0)
        os.umask(mask)
        assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask
        target.chmod(0o640)
        with atomic_path(target) as temporary:
            temporary.write_text("newer")
        assert stat.S_IMODE(target.stat().st_mode) == 0o640 and target.read_text() == "newer"

    def test_folders(self, tmp_path: Path) -> None:
        with pytest.raises(IsADirectoryError), atomic_path(tmp_path):
            pass
