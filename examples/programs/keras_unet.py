"""Segmentation in Keras: a U-Net of the functional interface with a loss of its own."""

import numpy as np
from fovea import keras
from fovea.keras import layers, ops


def shapes(count, size=24, seed=0):
    """Three classes a pixel: background, disk, square."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    images = np.zeros((count, size, size, 3), "float32")
    masks = np.zeros((count, size, size, 1), "uint8")
    for i in range(count):
        for kind in (1, 2):
            cy, cx, r = *rng.uniform(5, size - 5, 2), rng.uniform(3, 5)
            far = np.hypot(x - cx, y - cy) if kind == 1 else np.maximum(abs(x - cx), abs(y - cy))
            masks[i, far < r] = kind
            images[i, far < r] = rng.uniform(0.5, 1, 3) * ((1, 0.6, 0.3) if kind == 1 else (0.3, 0.6, 1))
        images[i] += rng.normal(0, 0.08, images[i].shape)
    return images, masks


def double_conv_block(x, n_filters):
    for _ in range(2):
        x = layers.Conv2D(
            n_filters, 3, padding="same", activation="relu", kernel_initializer="he_normal"
        )(x)
    return x


def downsample_block(x, n_filters):
    f = double_conv_block(x, n_filters)
    p = layers.MaxPool2D(2)(f)
    p = layers.Dropout(0.05)(p)
    return f, p


def upsample_block(x, conv_features, n_filters):
    x = layers.Conv2DTranspose(n_filters, 3, 2, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.concatenate([x, conv_features])
    return double_conv_block(x, n_filters)


def get_model(img_size, num_classes):
    inputs = keras.Input(shape=img_size + (3,))
    f1, p1 = downsample_block(inputs, 12)
    f2, p2 = downsample_block(p1, 16)
    bottleneck = double_conv_block(p2, 24)
    u1 = upsample_block(bottleneck, f2, 16)
    u2 = upsample_block(u1, f1, 12)
    residual = layers.Conv2D(12, 1, padding="same")(inputs)
    u2 = layers.Activation("elu")(layers.add([u2, residual]))
    outputs = layers.Conv2D(num_classes, 1, padding="same", activation="softmax")(u2)
    return keras.Model(inputs, outputs, name="U-Net")


def soft_dice(y_true, y_pred):
    """A loss of the user's own, over the classes that are shapes."""
    true = ops.cast(y_true[..., 1:], y_pred.dtype)
    pred = y_pred[..., 1:]
    both = ops.sum(true * pred, axis=(1, 2))
    return 1 - ops.mean((2 * both + 1) / (ops.sum(true + pred, axis=(1, 2)) + 1), axis=-1)


def combined(y_true, y_pred):
    plain = keras.losses.categorical_crossentropy(y_true, y_pred)
    return ops.mean(plain, axis=(1, 2)) + soft_dice(y_true, y_pred)


def main(epochs=6):
    keras.utils.set_random_seed(0)
    images, masks = shapes(240)
    y = keras.utils.to_categorical(masks[..., 0], 3)
    model = get_model(img_size=(24, 24), num_classes=3)
    model.compile(
        optimizer=keras.optimizers.Adam(4e-3),
        loss=combined,
        metrics=["accuracy", soft_dice],
    )
    history = model.fit(
        images[:200], y[:200], epochs=epochs, batch_size=16, verbose=2,
        validation_data=(images[200:], y[200:]),
    )
    predicted = np.argmax(model.predict(images[200:], verbose=0), axis=-1)
    true = masks[200:, ..., 0]
    ious = [
        ((predicted == c) & (true == c)).sum() / ((predicted == c) | (true == c)).sum()
        for c in range(3)
    ]
    print("IoU by class", np.round(ious, 3), "parameters", model.count_params())
    return {
        "accuracy": history.history["val_accuracy"][-1],
        "dice": 1 - history.history["val_soft_dice"][-1],
        "iou": float(np.mean(ious)),
        "parameters": model.count_params(),
    }


if __name__ == "__main__":
    main()
