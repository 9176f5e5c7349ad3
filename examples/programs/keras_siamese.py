"""Twins: one embedding for two images, their distance as a layer, a contrastive loss."""

import numpy as np
from fovea import keras
from fovea.keras import layers, ops
from sklearn.datasets import load_digits


def make_pairs(x, y, rng):
    """For each image one of its own digit (0) and one of another (1)."""
    by_digit = [np.where(y == i)[0] for i in range(10)]
    pairs, labels = [], []
    for i in range(len(x)):
        same = rng.choice(by_digit[y[i]])
        other = rng.choice(by_digit[(y[i] + rng.integers(1, 10)) % 10])
        pairs += [[x[i], x[same]], [x[i], x[other]]]
        labels += [0, 1]
    return np.array(pairs), np.array(labels).astype("float32")


def euclidean_distance(vects):
    x, y = vects
    sum_square = ops.sum(ops.square(x - y), axis=1, keepdims=True)
    return ops.sqrt(ops.maximum(sum_square, keras.backend.epsilon()))


def loss(margin=1):
    def contrastive_loss(y_true, y_pred):
        square_pred = ops.square(y_pred)
        margin_square = ops.square(ops.maximum(margin - y_pred, 0))
        return ops.mean((1 - y_true) * square_pred + y_true * margin_square)

    return contrastive_loss


def build():
    input = layers.Input((8, 8, 1))
    x = layers.BatchNormalization()(input)
    x = layers.Conv2D(16, (3, 3), activation="tanh")(x)
    x = layers.AveragePooling2D(pool_size=(2, 2))(x)
    x = layers.Conv2D(32, (2, 2), activation="tanh")(x)
    x = layers.Flatten()(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dense(16, activation="tanh", kernel_regularizer=keras.regularizers.L2(1e-4))(x)
    embedding_network = keras.Model(input, x, name="embedding")

    input_1 = layers.Input((8, 8, 1))
    input_2 = layers.Input((8, 8, 1))
    tower_1 = embedding_network(input_1)
    tower_2 = embedding_network(input_2)
    merge_layer = layers.Lambda(euclidean_distance, output_shape=(1,))([tower_1, tower_2])
    output_layer = layers.Activation("tanh")(merge_layer)
    return keras.Model(inputs=[input_1, input_2], outputs=output_layer), embedding_network


def main(epochs=8):
    keras.utils.set_random_seed(0)
    digits, rng = load_digits(), np.random.default_rng(0)
    images = (digits.images / 16).astype("float32")[..., None]
    pairs_train, labels_train = make_pairs(images[:1200], digits.target[:1200], rng)
    pairs_test, labels_test = make_pairs(images[1400:], digits.target[1400:], rng)
    siamese, embedding = build()
    siamese.compile(loss=loss(margin=1), optimizer=keras.optimizers.RMSprop(2e-3), metrics=["accuracy", "AUC"])
    siamese.summary()
    siamese.fit(
        [pairs_train[:, 0], pairs_train[:, 1]], labels_train, epochs=epochs, batch_size=64, verbose=2,
        validation_data=([pairs_test[:, 0], pairs_test[:, 1]], labels_test),
    )
    results = siamese.evaluate([pairs_test[:, 0], pairs_test[:, 1]], labels_test, verbose=0)
    predictions = siamese.predict([pairs_test[:, 0], pairs_test[:, 1]], verbose=0)
    codes = embedding.predict(images, verbose=0)
    far = np.linalg.norm(codes[1400:, None] - codes[None, :1200], axis=-1)
    nearest = (digits.target[far.argmin(1)] == digits.target[1400:]).mean()
    swapped = siamese.predict([pairs_test[:, 1], pairs_test[:, 0]], verbose=0)
    print(f"nearest neighbors {nearest:.3f}")
    return {
        "accuracy": results[1],
        "auc": results[2],
        "nearest": float(nearest),
        "symmetric": np.abs(predictions - swapped).max() < 1e-5,
        "parameters": siamese.count_params(),
        "layers": len(siamese.layers),
    }


if __name__ == "__main__":
    main()
