"""Runs that are interrupted go on; evaluation with averages; numbers sent to a server."""

from __future__ import annotations

import json
import os
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea import keras as fk
from fovea.errors import ArgumentError
from fovea.training import BackupAndRestore, Callback, RemoteMonitor, SwapEMAWeights

X = np.random.default_rng(0).normal(size=(24, 4)).astype("f4")
Y = np.arange(24) % 3


def network(optimizer: Any = None) -> Any:
    fk.utils.set_random_seed(0)
    model = fk.Sequential([fk.layers.Input((4,)), fk.layers.Dense(3, activation="softmax")])
    optimizer = optimizer or fk.optimizers.Adam(0.05)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Stop(Callback):
    """Breaks off at the beginning of an epoch."""

    def __init__(self, epoch: int, error: type[BaseException]) -> None:
        super().__init__()
        self.epoch, self.error = epoch, error

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            raise self.error("broken off")


def fit(model: Any, callbacks: list[Any], epochs: int = 5) -> Any:
    options = {"batch_size": 6, "shuffle": False, "verbose": 0}
    return model.fit(X, Y, epochs=epochs, callbacks=callbacks, **options)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("double", [False, True])
def test_a_run_goes_on_as_if_nothing_had_been(
    tmp_path: Path, error: type[BaseException], double: bool
) -> None:
    whole = network()
    fit(whole, [])
    folder = tmp_path / "backup"
    first = network()
    with pytest.raises(error):
        fit(first, [BackupAndRestore(folder, double_checkpoint=double), Stop(3, error)])
    assert (folder / "latest.weights.h5.bkp").exists() == double
    second = network()  # as in a new process
    history = fit(second, [BackupAndRestore(folder)])
    assert history.epoch == [3, 4] and not folder.exists()
    for a, b in zip(whole.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_backups_within_an_epoch(tmp_path: Path) -> None:
    keep = BackupAndRestore(tmp_path / "b", save_freq=3, delete_checkpoint=False)
    fit(network(), [keep], epochs=2)  # 8 steps: backups after 3 and 6
    assert json.loads((tmp_path / "b/training_metadata.json").read_text()) == {
        "epoch": 1,
        "batch": 1,
    }
    model = network()
    assert fit(model, [keep], epochs=3).epoch == [1, 2]


def test_a_damaged_backup_gives_way_to_the_one_before(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    with pytest.raises(RuntimeError):
        fit(network(), [BackupAndRestore(folder, double_checkpoint=True), Stop(3, RuntimeError)])
    weights = folder / "latest.weights.h5"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.warns(UserWarning, match="damaged"):
        assert fit(network(), [BackupAndRestore(folder)]).epoch == [2, 3, 4]
    with pytest.raises(RuntimeError):
        fit(network(), [BackupAndRestore(folder), Stop(3, RuntimeError)])
    weights.write_bytes(b"nonsense")
    with pytest.raises((OSError, ValueError)):
        fit(network(), [BackupAndRestore(folder)])


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="empty"):
        BackupAndRestore("")
    for freq in ("batch", 0, 1.5):
        with pytest.raises(ArgumentError, match="save_freq"):
            BackupAndRestore(tmp_path, save_freq=freq)  # type: ignore[arg-type]
    model = fk.Sequential([fk.layers.Dense(3)])
    model.compile("sgd", "mse")
    with pytest.raises(ArgumentError, match="no weights"):
        fit(model, [BackupAndRestore(tmp_path / "b")])
    with pytest.raises(ArgumentError, match="use_ema"):
        network().evaluate(X, Y, verbose=0, callbacks=[SwapEMAWeights()])


class Look(Callback):
    """Notes the first weight."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, Any] = {}

    def on_test_end(self, logs: Any = None) -> None:
        self.seen["test"] = self.model.get_weights()[0]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seen["epoch"] = self.model.get_weights()[0]


@pytest.mark.parametrize("between", [False, True])
def test_averages_are_evaluated(between: bool) -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    results = []
    for lib in (fk, keras):
        lib.utils.set_random_seed(0)
        layers = [lib.layers.Input((4,)), lib.layers.Dense(3, activation="softmax")]
        model = lib.Sequential(layers)
        model.set_weights([np.linspace(-1, 1, 12).reshape(4, 3), np.zeros(3)])
        optimizer = lib.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.8)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        options = {"batch_size": 6, "shuffle": False, "verbose": 0, "validation_data": (X, Y)}
        swap = lib.callbacks.SwapEMAWeights(swap_on_epoch=between)
        history = model.fit(X, Y, epochs=3, callbacks=[swap], **options).history
        results.append([history["loss"], history["val_loss"], *model.get_weights()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_averages_are_there_for_later_callbacks() -> None:
    model = network(fk.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.8))
    look = Look()
    fit(model, [SwapEMAWeights(swap_on_epoch=True), look], epochs=2)
    np.testing.assert_allclose(model.get_weights()[0], look.seen["epoch"])


def test_numbers_reach_a_server() -> None:
    received: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            as_json = self.headers["Content-Type"] == "application/json"
            text = body if as_json else urllib.parse.parse_qs(body)["numbers"][0]
            received.append((self.path, json.loads(text)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}"
    try:
        for as_json in (False, True):
            fit(network(), [RemoteMonitor(root, "/in", "numbers", send_as_json=as_json)], epochs=1)
    finally:
        server.shutdown()
        server.server_close()
    assert [path for path, _ in received] == ["/in", "/in"]
    assert all(d["epoch"] == 0 and d["loss"] > 0 for _, d in received)
    with pytest.warns(UserWarning, match="not reached"):
        fit(network(), [RemoteMonitor(root)], epochs=1)
