"""A simple convolutional network for digits, as Keras's first example has it."""

import os
import tempfile

import numpy as np
from fovea import keras
from fovea.keras import layers
from sklearn.datasets import load_digits

num_classes = 10
input_shape = (16, 16, 1)


def load_data():
    digits = load_digits()
    images = np.kron(digits.images, np.ones((2, 2))).astype("uint8") * 15
    return (images[:1500], digits.target[:1500]), (images[1500:], digits.target[1500:])


def build_model():
    return keras.Sequential(
        [
            keras.Input(shape=input_shape),
            layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
            layers.MaxPooling2D(pool_size=(2, 2)),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(num_classes, activation="softmax"),
        ]
    )


def main(epochs=8):
    keras.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = load_data()
    x_train = x_train.astype("float32") / 255
    x_test = x_test.astype("float32") / 255
    x_train = np.expand_dims(x_train, -1)
    x_test = np.expand_dims(x_test, -1)
    print("x_train shape:", x_train.shape)
    print(x_train.shape[0], "train samples")
    print(x_test.shape[0], "test samples")
    y_train = keras.utils.to_categorical(y_train, num_classes)
    y_test = keras.utils.to_categorical(y_test, num_classes)

    model = build_model()
    model.summary()
    batch_size = 64
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    history = model.fit(
        x_train, y_train, batch_size=batch_size, epochs=epochs, validation_split=0.1, verbose=2
    )
    score = model.evaluate(x_test, y_test, verbose=0)
    print("Test loss:", score[0])
    print("Test accuracy:", score[1])

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "mnist.keras")
        model.save(path)
        again = keras.models.load_model(path)
    probabilities = again.predict(x_test, batch_size=100, verbose=0)
    change = np.abs(probabilities - model.predict(x_test, verbose=0)).max()
    assert again.evaluate(x_test, y_test, verbose=0)[1] == score[1]
    return {
        "accuracy": score[1],
        "loss": score[0],
        "parameters": model.count_params(),
        "epochs": len(history.history["val_accuracy"]),
        "change": float(change > 1e-6),
    }


if __name__ == "__main__":
    main()
