"""A denoising autoencoder in Keras: noise taken away, then the code used to find odd images."""

import numpy as np
from fovea import keras
from fovea.keras import layers
from fovea.keras.models import Model
from sklearn.datasets import load_digits


def preprocess(array):
    """Pixels in 0 to 1, twice as large, with a channel."""
    array = array.astype("float32") / 16.0
    return np.reshape(np.repeat(np.repeat(array, 2, 1), 2, 2), (len(array), 16, 16, 1))


def noise(array, rng, noise_factor=0.4):
    noisy_array = array + noise_factor * rng.normal(loc=0.0, scale=1.0, size=array.shape)
    return np.clip(noisy_array, 0.0, 1.0).astype("float32")


def build():
    input = layers.Input(shape=(16, 16, 1))
    x = layers.Conv2D(24, (3, 3), activation="relu", padding="same")(input)
    x = layers.MaxPooling2D((2, 2), padding="same")(x)
    x = layers.Conv2D(24, (3, 3), activation="relu", padding="same")(x)
    encoded = layers.MaxPooling2D((2, 2), padding="same", name="code")(x)
    x = layers.Conv2DTranspose(24, (3, 3), strides=2, activation="relu", padding="same")(encoded)
    x = layers.Conv2DTranspose(24, (3, 3), strides=2, activation="relu", padding="same")(x)
    x = layers.Conv2D(1, (3, 3), activation="sigmoid", padding="same")(x)
    return Model(input, x, name="autoencoder")


def main():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    images = preprocess(load_digits().images)
    train_data, test_data = images[:1200], images[1400:]
    noisy_train_data, noisy_test_data = noise(train_data, rng), noise(test_data, rng)
    autoencoder = build()
    autoencoder.compile(
        optimizer=keras.optimizers.Adam(2e-3), loss="binary_crossentropy", metrics=["mse", "mae"]
    )
    autoencoder.summary(line_length=90)
    autoencoder.fit(
        x=train_data, y=train_data, epochs=2, batch_size=64, shuffle=True, verbose=2,
        validation_data=(test_data, test_data),
    )
    history = autoencoder.fit(
        x=noisy_train_data, y=train_data, epochs=4, batch_size=64, shuffle=True, verbose=2,
        validation_data=(noisy_test_data, test_data),
    )
    predictions = autoencoder.predict(noisy_test_data, verbose=0)
    error = np.square(predictions - test_data).mean(axis=(1, 2, 3))
    before = float(np.square(noisy_test_data - test_data).mean())

    # Images upside down with checkerboards on them are reconstructed worse.
    odd = test_data[:, ::-1].copy()
    odd[:, ::2, ::2] = 1 - odd[:, ::2, ::2]
    odd_error = np.square(autoencoder.predict(odd, verbose=0) - odd).mean(axis=(1, 2, 3))
    threshold = np.quantile(error, 0.95)
    encoder = Model(autoencoder.input, autoencoder.get_layer("code").output)
    code = encoder.predict(test_data[:10], verbose=0)
    batch_loss = autoencoder.test_on_batch(noisy_test_data[:64], test_data[:64])
    on_batch = autoencoder.train_on_batch(noisy_train_data[:64], train_data[:64], return_dict=True)
    print(f"error {error.mean():.4f} from {before:.4f}; code {code.shape}")
    return {
        "error": float(error.mean()),
        "noise": before,
        "found": float((odd_error > threshold).mean()),
        "code": code.size,
        "loss": history.history["val_loss"][-1],
        "measured": len(batch_loss) + len(on_batch),
    }


if __name__ == "__main__":
    main()
