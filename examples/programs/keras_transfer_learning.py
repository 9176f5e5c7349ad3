"""Transfer in Keras: a network within a network, frozen at first and then fine-tuned."""

import numpy as np
from fovea import keras
from fovea.keras import layers
from sklearn.datasets import load_digits


def make_backbone():
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(24, 3, padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.SeparableConv2D(48, 3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(max_value=6.0)(x)
    return keras.Model(inputs, x, name="backbone")


def main():
    keras.utils.set_random_seed(0)
    digits = load_digits()
    x, y = digits.images[..., None].astype("float32"), digits.target
    old, new = y < 5, y >= 5

    backbone = make_backbone()
    pretraining = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Rescaling(1 / 16.0), backbone, layers.Flatten(),
         layers.Dense(5, activation="softmax")]
    )
    pretraining.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    pretraining.fit(x[old], y[old], epochs=10, batch_size=32, verbose=0)

    base_model = make_backbone()
    base_model.set_weights(backbone.get_weights())
    base_model.trainable = False

    inputs = keras.Input(shape=(8, 8, 1))
    scale_layer = layers.Rescaling(scale=1 / 16.0, offset=0.0)
    z = scale_layer(inputs)
    z = base_model(z, training=False)
    z = layers.Flatten()(z)
    z = layers.Dropout(0.2)(z)
    outputs = layers.Dense(5)(z)
    model = keras.Model(inputs, outputs)
    model.summary(show_trainable=True)

    frozen = [w.copy() for w in base_model.get_weights()]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer=keras.optimizers.Adam(3e-3), loss=loss,
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    split = 300
    x_new, y_new = x[new], y[new] - 5
    trainable_before = len(model.trainable_weights)
    model.fit(x_new[:split], y_new[:split], batch_size=16, epochs=8, verbose=0)
    _, fixed = model.evaluate(x_new[split:], y_new[split:], verbose=0)
    still = max(float(np.abs(a - b).max()) for a, b in zip(frozen, base_model.get_weights()))

    base_model.trainable = True
    for layer in base_model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3), loss=loss,
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    model.fit(x_new[:split], y_new[:split], batch_size=16, epochs=8, verbose=0)
    _, tuned = model.evaluate(x_new[split:], y_new[split:], verbose=0)
    norm = base_model.layers[2]
    assert isinstance(norm, layers.BatchNormalization)
    moving = float(np.abs(norm.get_weights()[2] - frozen[3]).max())

    extractor = keras.Model(base_model.input, base_model.layers[-1].output)
    features = extractor.predict(x_new[:4] / 16, verbose=0)
    print(f"frozen {fixed:.3f}, fine-tuned {tuned:.3f}, features {features.shape}")
    return {
        "frozen": fixed,
        "fine-tuned": tuned,
        "moved while frozen": still,
        "statistics moved": moving,
        "trainable before": trainable_before,
        "trainable after": len(model.trainable_weights),
        "features": features.shape[-1],
    }


if __name__ == "__main__":
    main()
