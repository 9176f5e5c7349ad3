"""Callbacks: the best weights kept, a rate that falls, logs in a file, a run that is resumed."""

import csv
import os
import tempfile

import numpy as np
from fovea import keras
from fovea.keras import layers
from sklearn.datasets import load_digits


def make_or_restore_model(checkpoint_dir):
    checkpoints = [os.path.join(checkpoint_dir, name) for name in os.listdir(checkpoint_dir)]
    if checkpoints:
        latest_checkpoint = max(checkpoints, key=os.path.getmtime)
        print("Restoring from", latest_checkpoint)
        return keras.models.load_model(latest_checkpoint)
    print("Creating a new model")
    return get_compiled_model()


def get_compiled_model():
    inputs = keras.Input(shape=(64,), name="digits")
    x = layers.Dense(64, activation="relu", kernel_initializer="he_normal", name="dense_1")(inputs)
    x = layers.Dropout(0.3)(x)
    x = layers.Dense(32, activation="relu", name="dense_2")(x)
    outputs = layers.Dense(10, name="predictions")(x)
    model = keras.Model(inputs=inputs, outputs=outputs)
    model.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate=2e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="acc")],
    )
    return model


class LossHistory(keras.callbacks.Callback):
    """Everything that happens, in the order in which it does."""

    def on_train_begin(self, logs=None):
        self.per_batch_losses = []
        self.events = ["train begin"]
        self.rates = []

    def on_epoch_begin(self, epoch, logs=None):
        self.events.append(f"epoch {epoch}")

    def on_train_batch_end(self, batch, logs=None):
        self.per_batch_losses.append(logs.get("loss"))

    def on_test_begin(self, logs=None):
        self.events.append("test begin")

    def on_epoch_end(self, epoch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))
        assert {"loss", "acc", "val_loss", "val_acc"} <= set(logs)

    def on_train_end(self, logs=None):
        self.events.append("train end")


class StopAt(keras.callbacks.Callback):
    """Ends training by hand when the accuracy suffices."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_acc"] > self.threshold:
            self.model.stop_training = True


def main():
    keras.utils.set_random_seed(3)
    digits = load_digits()
    x, y = (digits.data / 16).astype("float32"), digits.target.astype("int64")
    x_train, y_train, x_val, y_val = x[:1200], y[:1200], x[1200:1500], y[1200:1500]
    with tempfile.TemporaryDirectory() as folder:
        ckpt, log = os.path.join(folder, "ckpt"), os.path.join(folder, "log.csv")
        os.makedirs(ckpt)
        model = make_or_restore_model(ckpt)
        history = LossHistory()
        callbacks = [
            keras.callbacks.ModelCheckpoint(
                filepath=ckpt + "/model_{epoch}.keras", save_best_only=True, monitor="val_loss"
            ),
            keras.callbacks.CSVLogger(log),
            keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.2, patience=1, min_lr=1e-4),
            history,
        ]
        model.fit(
            x_train, y_train, batch_size=32, epochs=6, callbacks=callbacks, verbose=0,
            validation_data=(x_val, y_val),
        )
        assert len(history.per_batch_losses) == 6 * 38
        assert history.events[:3] == ["train begin", "epoch 0", "test begin"]
        with open(log, newline="") as file:
            rows = list(csv.DictReader(file))
        columns = sorted(rows[0])

        resumed = make_or_restore_model(ckpt)
        rate = float(resumed.optimizer.learning_rate)
        kept = int(resumed.optimizer.iterations)
        best = min(float(row["val_loss"]) for row in rows)
        restored, _ = resumed.evaluate(x_val, y_val, verbose=0)
        stopping = keras.callbacks.EarlyStopping(
            monitor="val_acc", mode="max", patience=2, min_delta=1e-3, restore_best_weights=True,
            start_from_epoch=1,
        )
        weights = os.path.join(folder, "best.weights.h5")
        saver = keras.callbacks.ModelCheckpoint(
            weights, monitor="val_acc", mode="max", save_best_only=True, save_weights_only=True
        )
        further = resumed.fit(
            x_train, y_train, batch_size=32, initial_epoch=6, epochs=30, verbose=0,
            callbacks=[stopping, saver, StopAt(0.99), keras.callbacks.TerminateOnNaN()],
            validation_data=(x_val, y_val),
        )
        fresh = get_compiled_model()
        fresh.load_weights(weights)
        _, acc = fresh.evaluate(x[1500:], y[1500:], verbose=0)
        _, val_acc = fresh.evaluate(x_val, y_val, verbose=0)
    assert further.epoch[0] == 6
    assert abs(val_acc - max(further.history["val_acc"])) < 1e-6
    print(f"{len(rows)} rows of {columns}; rate {rate:.1e} after {kept} steps; accuracy {acc:.3f}")
    return {
        "accuracy": acc,
        "rows": len(rows),
        "columns": len(columns),
        "restored": abs(restored - best) < 1e-5,
        "rate falls": history.rates[-1] <= history.rates[0],
        "losses fall": np.mean(history.per_batch_losses[:10]) > history.per_batch_losses[-1],
    }


if __name__ == "__main__":
    main()
