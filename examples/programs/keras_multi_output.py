"""One network with two answers: which digit it is, and how much ink it has; with callbacks."""

from fovea import keras
from fovea.keras import layers
from sklearn.datasets import load_digits


def build_model():
    inputs = keras.Input(shape=(8, 8, 1), name="image")
    x = layers.Rescaling(1.0 / 16)(inputs)
    shared = layers.Conv2D(16, 3, padding="same", use_bias=False)
    x = layers.BatchNormalization()(shared(x))
    x = layers.ReLU()(x)
    block = layers.Conv2D(16, 3, padding="same", activation="relu", kernel_regularizer="l2")(x)
    x = layers.add([x, block])
    x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.1)(x)
    digit = layers.Dense(10, activation="softmax", name="digit")(x)
    ink = layers.Dense(1, name="ink")(x)
    return keras.Model(inputs=inputs, outputs=[digit, ink])


def main(epochs=12):
    keras.utils.set_random_seed(0)
    digits = load_digits()
    x = digits.images[..., None].astype("float32")
    ink = (digits.images.mean((1, 2)) / 16).astype("float32")
    model = build_model()
    model.compile(
        optimizer=keras.optimizers.AdamW(5e-3, weight_decay=1e-3, clipnorm=1.0),
        loss={"digit": "sparse_categorical_crossentropy", "ink": "mse"},
        loss_weights={"digit": 1.0, "ink": 0.5},
        metrics={"digit": ["accuracy"], "ink": ["mae"]},
    )
    callbacks = [
        keras.callbacks.EarlyStopping("val_loss", patience=4, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=2, verbose=0),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs["loss"]),
    ]
    model.fit(
        x[:1200],
        {"digit": digits.target[:1200], "ink": ink[:1200]},
        validation_data=(x[1200:1400], {"digit": digits.target[1200:1400], "ink": ink[1200:1400]}),
        epochs=epochs,
        batch_size=32,
        callbacks=callbacks,
        verbose=2,
    )
    found = model.evaluate(
        x[1400:],
        {"digit": digits.target[1400:], "ink": ink[1400:]},
        verbose=0,
        return_dict=True,
    )
    return {"accuracy": float(found["digit_accuracy"]), "mae": float(found["ink_mae"])}


if __name__ == "__main__":
    print(main())
