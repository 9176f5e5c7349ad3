"""Models and layers by subclassing: weights made in build, losses added in call, masks of training."""

import os
import tempfile

import numpy as np
from fovea import keras
from fovea.keras import layers, ops
from sklearn.datasets import load_digits


class Linear(layers.Layer):
    def __init__(self, units=32, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="glorot_uniform", trainable=True, name="w"
        )
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True, name="b")

    def call(self, inputs):
        return ops.matmul(inputs, self.w) + self.b

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class ComputeSum(layers.Layer):
    """A weight that is counted, not learned."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.total = self.add_weight(initializer="zeros", shape=(), trainable=False, name="total")

    def call(self, inputs, training=None):
        if training:
            self.total.assign_add(ops.cast(ops.shape(inputs)[0], "float32"))
        return inputs


class ActivityRegularization(layers.Layer):
    def __init__(self, rate=1e-2, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, inputs):
        self.add_loss(self.rate * ops.mean(ops.square(inputs)))
        return inputs


class MixtureOfExperts(layers.Layer):
    """Layers within a layer, made in a loop."""

    def __init__(self, units, experts=3, **kwargs):
        super().__init__(**kwargs)
        self.units, self.count = units, experts
        self.experts = [Linear(units) for _ in range(experts)]
        self.gate = layers.Dense(experts, activation="softmax")

    def build(self, input_shape):
        for expert in self.experts:
            expert.build(input_shape)
        self.gate.build(input_shape)

    def call(self, inputs):
        stacked = ops.stack([expert(inputs) for expert in self.experts], axis=1)
        return ops.einsum("be,beu->bu", self.gate(inputs), stacked)


class Classifier(keras.Model):
    def __init__(self, num_classes=10, hidden=48, **kwargs):
        super().__init__(**kwargs)
        self.num_classes, self.hidden = num_classes, hidden
        self.counter = ComputeSum()
        self.block = {"in": Linear(hidden), "moe": MixtureOfExperts(hidden)}
        self.regular = ActivityRegularization()
        self.dropout = layers.Dropout(0.3)
        self.head = layers.Dense(num_classes)

    def call(self, inputs, training=False):
        x = self.counter(inputs, training=training)
        x = ops.relu(self.block["in"](x))
        x = self.regular(ops.relu(self.block["moe"](x)) + x)
        if training:
            x = self.dropout(x, training=training)
        return self.head(x)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "hidden": self.hidden}


class Confidence(keras.metrics.Metric):
    """The mean probability of what is chosen."""

    def __init__(self, name="confidence", **kwargs):
        super().__init__(name=name, **kwargs)
        self.total = self.add_variable(shape=(), initializer="zeros", name="total")
        self.count = self.add_variable(shape=(), initializer="zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        best = ops.max(ops.softmax(y_pred, axis=-1), axis=-1)
        self.total.assign_add(ops.sum(best))
        self.count.assign_add(ops.cast(ops.size(best), "float32"))

    def result(self):
        return self.total / self.count

    def reset_state(self):
        self.total.assign(0.0)
        self.count.assign(0.0)


class SmoothedLoss(keras.losses.Loss):
    def __init__(self, smoothing=0.1, **kwargs):
        super().__init__(**kwargs)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        true = ops.one_hot(ops.cast(y_true, "int32"), 10)
        true = true * (1 - self.smoothing) + self.smoothing / 10
        return -ops.sum(true * ops.log_softmax(y_pred, axis=-1), axis=-1)


def main(epochs=6):
    keras.utils.set_random_seed(0)
    digits = load_digits()
    x, y = (digits.data / 16).astype("float32"), digits.target.astype("int64")
    model = Classifier(name="classifier")
    model.compile(
        optimizer=keras.optimizers.AdamW(4e-3), loss=SmoothedLoss(), metrics=["accuracy", Confidence()]
    )
    history = model.fit(x[:1400], y[:1400], epochs=epochs, batch_size=56, verbose=2)
    found = model.evaluate(x[1400:], y[1400:], verbose=0, return_dict=True)
    counted = float(model.counter.total)
    model(x[:8], training=True)
    losses = len(model.losses)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.weights.h5")
        model.save_weights(path)
        again = Classifier()
        again(x[:1])
        again.load_weights(path)
    gap = np.abs(model.predict(x[:32], verbose=0) - again.predict(x[:32], verbose=0)).max()
    copied = Classifier.from_config(model.get_config())
    names = [v.path.split("/")[-1] for v in model.trainable_variables]
    print(f"{counted:.0f} images counted, {len(names)} weights")
    return {
        "accuracy": found["accuracy"],
        "confidence": found["confidence"],
        "counted": counted,
        "losses": losses,
        "gap": gap > 1e-5,
        "weights": len(names),
        "named w": names.count("w"),
        "copied": copied.hidden,
        "falls": history.history["loss"][-1] < history.history["loss"][0],
    }


if __name__ == "__main__":
    main()
