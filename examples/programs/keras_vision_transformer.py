"""A vision transformer in Keras: layers of one's own around MultiHeadAttention, saved and loaded."""

import os
import tempfile

import numpy as np
from fovea import keras
from fovea.keras import layers, ops
from sklearn.datasets import load_digits


def mlp(x, hidden_units, dropout_rate):
    for units in hidden_units:
        x = layers.Dense(units, activation=keras.activations.gelu)(x)
        x = layers.Dropout(dropout_rate)(x)
    return x


@keras.saving.register_keras_serializable(package="digits")
class Patches(layers.Layer):
    def __init__(self, patch_size, **kwargs):
        super().__init__(**kwargs)
        self.patch_size = patch_size

    def call(self, images):
        _, height, width, channels = ops.shape(images)
        p = self.patch_size
        x = ops.reshape(images, (-1, height // p, p, width // p, p, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, (height // p) * (width // p), p * p * channels))

    def get_config(self):
        config = super().get_config()
        config.update({"patch_size": self.patch_size})
        return config


@keras.saving.register_keras_serializable(package="digits")
class PatchEncoder(layers.Layer):
    def __init__(self, num_patches, projection_dim, **kwargs):
        super().__init__(**kwargs)
        self.num_patches = num_patches
        self.projection_dim = projection_dim
        self.projection = layers.Dense(units=projection_dim)
        self.position_embedding = layers.Embedding(num_patches, projection_dim)

    def build(self, input_shape):
        self.projection.build(input_shape)
        self.position_embedding.build((1, self.num_patches))
        self.scale = self.add_weight(
            name="scale", shape=(self.projection_dim,), initializer="ones", trainable=True
        )

    def call(self, patch):
        positions = ops.expand_dims(ops.arange(0, self.num_patches, step=1), axis=0)
        projected_patches = self.projection(patch)
        return projected_patches * self.scale + self.position_embedding(positions)

    def get_config(self):
        config = super().get_config()
        config.update({"num_patches": self.num_patches, "projection_dim": self.projection_dim})
        return config


def create_vit_classifier(projection_dim=32, num_heads=4, transformer_layers=2):
    inputs = keras.Input(shape=(8, 8, 1))
    x = layers.Rescaling(1.0 / 16)(inputs)
    encoded_patches = PatchEncoder(16, projection_dim)(Patches(2)(x))
    for _ in range(transformer_layers):
        x1 = layers.LayerNormalization(epsilon=1e-6)(encoded_patches)
        attention_output = layers.MultiHeadAttention(
            num_heads=num_heads, key_dim=projection_dim // num_heads, dropout=0.1
        )(x1, x1)
        x2 = layers.Add()([attention_output, encoded_patches])
        x3 = layers.LayerNormalization(epsilon=1e-6)(x2)
        x3 = mlp(x3, hidden_units=[64, projection_dim], dropout_rate=0.1)
        encoded_patches = layers.Add()([x3, x2])
    representation = layers.LayerNormalization(epsilon=1e-6)(encoded_patches)
    representation = layers.Flatten()(representation)
    features = mlp(representation, hidden_units=[64], dropout_rate=0.2)
    return keras.Model(inputs=inputs, outputs=layers.Dense(10)(features))


def main(epochs=8):
    keras.utils.set_random_seed(0)
    digits = load_digits()
    x, y = digits.images[..., None].astype("float32"), digits.target
    model = create_vit_classifier()
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate=4e-3, weight_decay=1e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            keras.metrics.SparseTopKCategoricalAccuracy(3, name="top-3-accuracy"),
        ],
    )
    model.fit(x[:1400], y[:1400], batch_size=64, epochs=epochs, validation_split=0.1, verbose=2)
    _, accuracy, top_3_accuracy = model.evaluate(x[1400:], y[1400:], verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vit.keras")
        model.save(path)
        again = keras.models.load_model(path)
    gap = np.abs(again.predict(x[:64], verbose=0) - model.predict(x[:64], verbose=0)).max()
    patches = Patches(2)(x[:1])
    print(f"top 1 {accuracy:.3f}, top 3 {top_3_accuracy:.3f}; after loading {gap:.1e}")
    return {
        "accuracy": accuracy,
        "top 3": top_3_accuracy,
        "gap": gap > 1e-4,
        "parameters": model.count_params(),
        "patch": float(ops.sum(patches[0, 5])),
        "weights": len(model.weights),
    }


if __name__ == "__main__":
    main()
