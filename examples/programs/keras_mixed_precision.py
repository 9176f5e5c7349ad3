"""Mixed precision in Keras: layers that compute in bfloat16 over weights of float32."""

import numpy as np
from fovea import keras
from fovea.keras import layers, mixed_precision
from sklearn.datasets import load_digits


def build(policy=None):
    """A residual network; its last layers compute in float32."""
    inputs = keras.Input(shape=(8, 8, 1), name="digits")
    x = layers.Conv2D(24, 3, padding="same", use_bias=False, dtype=policy)(inputs)
    x = layers.BatchNormalization(dtype=policy)(x)
    x = layers.Activation("relu", dtype=policy)(x)
    y = layers.Conv2D(24, 3, padding="same", activation="relu", dtype=policy)(x)
    x = layers.Add(dtype=policy)([x, y])
    x = layers.MaxPooling2D(dtype=policy)(x)
    x = layers.Flatten(dtype=policy)(x)
    x = layers.Dense(64, activation="gelu", name="dense_1", dtype=policy)(x)
    x = layers.Dropout(0.2, dtype=policy)(x)
    x = layers.Dense(10, name="dense_logits", dtype=policy)(x)
    outputs = layers.Activation("softmax", dtype="float32", name="predictions")(x)
    return keras.Model(inputs=inputs, outputs=outputs)


def fit(model, x, y, optimizer):
    model.compile(
        loss="sparse_categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"]
    )
    history = model.fit(
        x[:1400], y[:1400], batch_size=64, epochs=3, verbose=2
    )
    return history, model.evaluate(x[1400:], y[1400:], verbose=0)[1]


def main():
    digits = load_digits()
    x, y = (digits.images / 16).astype("float32")[..., np.newaxis], digits.target
    keras.utils.set_random_seed(0)
    plain = build()
    _, full = fit(plain, x, y, keras.optimizers.Adam(3e-3))

    mixed_precision.set_global_policy("mixed_bfloat16")
    policy = mixed_precision.global_policy() if hasattr(mixed_precision, "global_policy") else (
        mixed_precision.dtype_policy())
    print("Compute dtype:", policy.compute_dtype, "Variable dtype:", policy.variable_dtype)
    try:
        keras.utils.set_random_seed(0)
        model = build()
        dense1 = model.get_layer("dense_1")
        _, mixed = fit(model, x, y, keras.optimizers.Adam(3e-3))
        as_expected = (
            (dense1.compute_dtype == "bfloat16")
            + (keras.backend.standardize_dtype(dense1.kernel.dtype) == "float32")
            + (keras.backend.standardize_dtype(model.outputs[0].dtype) == "float32")
            + (model.predict(x[:4], verbose=0).dtype == np.float32)
            + (dense1.dtype_policy.name == "mixed_bfloat16")
        )
        scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05), initial_scale=2.0**10)
        keras.utils.set_random_seed(1)
        _, with_scale = fit(build("mixed_float16"), x, y, scaled)
    finally:
        mixed_precision.set_global_policy("float32")

    # The same weights computed in either precision.
    low, high = build("mixed_bfloat16"), build()
    low.set_weights(plain.get_weights())
    high.set_weights(plain.get_weights())
    gap = np.abs(low.predict(x[:256], verbose=0) - high.predict(x[:256], verbose=0)).max()
    config = low.get_config()["layers"][1]["config"]["dtype"]["config"]["name"]
    print(f"{full:.3f} in float32, {mixed:.3f} mixed, {with_scale:.3f} with scaled losses")
    return {
        "float32": full,
        "mixed": mixed,
        "scaled": with_scale,
        "gap": float(gap),
        "as expected": as_expected,
        "configured": config == "mixed_bfloat16",
    }


if __name__ == "__main__":
    main()
