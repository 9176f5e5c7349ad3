"""Data in Keras: a PyDataset, augmentation as layers of the model, weights for classes."""

import math

import numpy as np
from fovea import keras
from fovea.keras import layers
from sklearn.datasets import load_digits


class DigitSequence(keras.utils.PyDataset):
    """Batches of digits, shuffled anew after each epoch."""

    def __init__(self, x_set, y_set, batch_size, shuffle=True, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.x, self.y = x_set, y_set
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.rng = np.random.default_rng(seed)
        self.order = np.arange(len(self.x))
        self.epochs = 0
        self.on_epoch_end()

    def __len__(self):
        return math.ceil(len(self.x) / self.batch_size)

    def __getitem__(self, idx):
        picked = self.order[idx * self.batch_size : (idx + 1) * self.batch_size]
        return self.x[picked], self.y[picked]

    def on_epoch_end(self):
        self.epochs += 1
        if self.shuffle:
            self.rng.shuffle(self.order)


def generator(x, y, batch_size):
    """The plain kind, without end."""
    rng = np.random.default_rng(1)
    while True:
        picked = rng.integers(0, len(x), batch_size)
        yield x[picked], y[picked], np.where(y[picked] == 8, 2.0, 1.0)


def build():
    data_augmentation = keras.Sequential(
        [
            layers.RandomRotation(0.05, fill_mode="constant"),
            layers.RandomTranslation(0.1, 0.1, fill_mode="constant"),
            layers.RandomZoom(0.1, fill_mode="constant"),
        ],
        name="augmentation",
    )
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(1.0 / 16),
            data_augmentation,
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(48, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Nadam(8e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        weighted_metrics=["sparse_categorical_accuracy"],
    )
    return model, data_augmentation


def main():
    keras.utils.set_random_seed(0)
    digits = load_digits()
    x, y = digits.images[..., None].astype("float32"), digits.target
    train = DigitSequence(x[:800], y[:800], 100, workers=2, use_multiprocessing=False)
    val = DigitSequence(x[1300:1400], y[1300:1400], 50, shuffle=False)
    model, augmentation = build()
    class_weight = {i: 1.5 if i in (1, 8) else 1.0 for i in range(10)}
    history = model.fit(train, validation_data=val, epochs=4, class_weight=class_weight, verbose=2)
    model.fit(generator(x[:1300], y[:1300], 100), steps_per_epoch=10, verbose=2)
    weights = np.ones(397)
    weights[:100] = 0
    loss, accuracy, weighted = model.evaluate(x[1400:], y[1400:], sample_weight=weights, verbose=0)
    predictions = model.predict(DigitSequence(x[1400:], y[1400:], 40, shuffle=False), verbose=0)
    later = (predictions.argmax(1) == y[1400:])[100:].mean()

    batch = x[:32] / 16
    moved = np.asarray(augmentation(batch, training=True))
    still = np.asarray(augmentation(batch, training=False))
    print(f"accuracy {accuracy:.3f}; without the first hundred {weighted:.3f}")
    return {
        "accuracy": accuracy,
        "weighted": weighted,
        "agreement": abs(weighted - later) < 1e-5,
        "reshuffled": train.epochs > 4,
        "history": len(history.history["val_accuracy"]),
        "moved": np.abs(moved - batch).max() > 0.1,
        "still": np.abs(still - batch).max(),
    }


if __name__ == "__main__":
    main()
