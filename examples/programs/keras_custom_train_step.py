"""A GAN whose training step is its own, with two optimizers, label smoothing and metrics."""

import fovea as torch
import numpy as np
from fovea import keras
from fovea.keras import layers, ops
from sklearn.datasets import load_digits

latent_dim = 16


def make_discriminator():
    return keras.Sequential(
        [
            keras.Input(shape=(8, 8, 1)),
            layers.Conv2D(16, (3, 3), strides=(2, 2), padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(32, (3, 3), strides=(2, 2), padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.GlobalMaxPooling2D(),
            layers.Dense(1),
        ],
        name="discriminator",
    )


def make_generator():
    return keras.Sequential(
        [
            keras.Input(shape=(latent_dim,)),
            layers.Dense(2 * 2 * 32),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Reshape((2, 2, 32)),
            layers.Conv2DTranspose(32, (4, 4), strides=(2, 2), padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2DTranspose(16, (4, 4), strides=(2, 2), padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(1, (5, 5), padding="same", activation="sigmoid"),
        ],
        name="generator",
    )


class GAN(keras.Model):
    def __init__(self, discriminator, generator, latent_dim):
        super().__init__()
        self.discriminator = discriminator
        self.generator = generator
        self.latent_dim = latent_dim
        self.d_loss_tracker = keras.metrics.Mean(name="d_loss")
        self.g_loss_tracker = keras.metrics.Mean(name="g_loss")
        self.seed_generator = keras.random.SeedGenerator(1337)
        self.built = True

    @property
    def metrics(self):
        return [self.d_loss_tracker, self.g_loss_tracker]

    def compile(self, d_optimizer, g_optimizer, loss_fn):
        super().compile()
        self.d_optimizer = d_optimizer
        self.g_optimizer = g_optimizer
        self.loss_fn = loss_fn

    def train_step(self, real_images):
        if isinstance(real_images, tuple):
            real_images = real_images[0]
        batch_size = real_images.shape[0]
        random_latent_vectors = keras.random.normal(
            shape=(batch_size, self.latent_dim), seed=self.seed_generator
        )
        generated_images = self.generator(random_latent_vectors)
        combined_images = ops.concatenate([generated_images, torch.as_tensor(real_images)], axis=0)
        labels = ops.concatenate([ops.ones((batch_size, 1)), ops.zeros((batch_size, 1))], axis=0)
        labels += 0.05 * keras.random.uniform(labels.shape, seed=self.seed_generator)

        self.zero_grad()
        predictions = self.discriminator(combined_images.detach())
        d_loss = self.loss_fn(labels, predictions)
        d_loss.backward()
        grads = [v.value.grad for v in self.discriminator.trainable_weights]
        with torch.no_grad():
            self.d_optimizer.apply(grads, self.discriminator.trainable_weights)

        random_latent_vectors = keras.random.normal(
            shape=(batch_size, self.latent_dim), seed=self.seed_generator
        )
        misleading_labels = ops.zeros((batch_size, 1))
        self.zero_grad()
        predictions = self.discriminator(self.generator(random_latent_vectors))
        g_loss = self.loss_fn(misleading_labels, predictions)
        g_loss.backward()
        grads = [v.value.grad for v in self.generator.trainable_weights]
        with torch.no_grad():
            self.g_optimizer.apply(grads, self.generator.trainable_weights)

        self.d_loss_tracker.update_state(d_loss)
        self.g_loss_tracker.update_state(g_loss)
        return {"d_loss": self.d_loss_tracker.result(), "g_loss": self.g_loss_tracker.result()}


class Monitor(keras.callbacks.Callback):
    """The mean of generated images after each epoch."""

    def __init__(self, num_img=32):
        super().__init__()
        self.num_img, self.ink = num_img, []

    def on_epoch_end(self, epoch, logs=None):
        latent = keras.random.normal((self.num_img, latent_dim), seed=epoch)
        images = ops.convert_to_numpy(self.model.generator(latent))
        self.ink.append(float(images.mean()))


def main(epochs=6):
    keras.utils.set_random_seed(0)
    images = (load_digits().images / 16).astype("float32")[..., np.newaxis]
    gan = GAN(make_discriminator(), make_generator(), latent_dim)
    gan.compile(
        d_optimizer=keras.optimizers.Adam(learning_rate=5e-4, beta_1=0.5),
        g_optimizer=keras.optimizers.Adam(learning_rate=2e-3, beta_1=0.5),
        loss_fn=keras.losses.BinaryCrossentropy(from_logits=True),
    )
    monitor = Monitor()
    history = gan.fit(images, epochs=epochs, batch_size=64, verbose=2, callbacks=[monitor])
    d_loss, g_loss = history.history["d_loss"], history.history["g_loss"]
    gap = abs(monitor.ink[-1] - float(images.mean()))
    print(f"ink of generated images {np.round(monitor.ink, 3)}, of real ones {images.mean():.3f}")
    return {
        "first": d_loss[0],
        "discriminator": d_loss[-1],
        "generator": g_loss[-1],
        "ink": gap,
        "steps": int(gan.d_optimizer.iterations) + int(gan.g_optimizer.iterations),
    }


if __name__ == "__main__":
    main()
