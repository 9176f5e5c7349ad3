"""Rates of learning: Keras's schedules, one's own, and a callback that sets them."""

import math

import numpy as np
from fovea import keras
from fovea.keras import layers, ops
from sklearn.datasets import load_digits


class WarmUpCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear from zero, then half a cosine."""

    def __init__(self, base, total_steps, warmup_steps):
        super().__init__()
        self.base = base
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        warmup = self.base * step / self.warmup_steps
        progress = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        cosine = 0.5 * self.base * (1.0 + ops.cos(math.pi * ops.minimum(progress, 1.0)))
        return ops.where(step < self.warmup_steps, warmup, cosine)

    def get_config(self):
        return {
            "base": self.base, "total_steps": self.total_steps, "warmup_steps": self.warmup_steps
        }


def scheduler(epoch, lr):
    if epoch < 2:
        return lr
    return lr * float(ops.exp(-0.1))


SCHEDULES = {
    "constant": lambda steps: 0.05,
    "cosine": lambda steps: keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=steps, warmup_target=0.1, warmup_steps=steps // 10, alpha=0.01
    ),
    "restarts": lambda steps: keras.optimizers.schedules.CosineDecayRestarts(0.1, steps // 4),
    "exponential": lambda steps: keras.optimizers.schedules.ExponentialDecay(
        0.1, decay_steps=steps // 5, decay_rate=0.6, staircase=True
    ),
    "piecewise": lambda steps: keras.optimizers.schedules.PiecewiseConstantDecay(
        [steps // 2, steps * 3 // 4], [0.1, 0.05, 0.01]
    ),
    "polynomial": lambda steps: keras.optimizers.schedules.PolynomialDecay(
        0.1, steps, end_learning_rate=1e-3, power=2.0
    ),
    "inverse": lambda steps: keras.optimizers.schedules.InverseTimeDecay(0.1, steps // 3, 1.5),
    "own": lambda steps: WarmUpCosine(0.1, steps, steps // 8),
}


def build():
    return keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(8, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def main(epochs=4, batch_size=50):
    digits = load_digits()
    x, y = digits.images[..., np.newaxis].astype("float32") / 16, digits.target
    steps = epochs * 1400 // batch_size
    rates, accuracies = 0.0, []
    for name, make in SCHEDULES.items():
        keras.utils.set_random_seed(1)
        model, rate = build(), make(steps)
        optimizer = keras.optimizers.SGD(learning_rate=rate, momentum=0.9, nesterov=True)
        model.compile(
            optimizer,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        model.fit(x[:1400], y[:1400], batch_size, epochs, verbose=0)
        if callable(rate):
            copied = type(rate).from_config(rate.get_config())
            values = [float(copied(step)) for step in range(0, steps, 7)]
            rates += sum(values)
            assert abs(float(model.optimizer.learning_rate) - float(rate(steps))) < 1e-6
        _, accuracy = model.evaluate(x[1400:], y[1400:], verbose=0)
        accuracies.append(accuracy)
        print(f"{name}: {accuracy:.3f}")

    keras.utils.set_random_seed(1)
    model = build()
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callback = keras.callbacks.LearningRateScheduler(scheduler)
    history = model.fit(x[:500], y[:500], epochs=5, callbacks=[callback], verbose=0)
    model.optimizer.learning_rate = 1e-4
    model.optimizer.learning_rate.assign(5e-5)
    return {
        "mean": float(np.mean(accuracies)),
        "worst": min(accuracies),
        "rates": rates,
        "by callback": history.history["learning_rate"][-1],
        "by hand": float(model.optimizer.learning_rate),
    }


if __name__ == "__main__":
    main()
