"""Small image datasets as NumPy arrays: ``(x_train, y_train), (x_test, y_test) = ….load_data()``.

Files are downloaded once and kept in ``~/.keras/datasets`` (or ``$KERAS_HOME/datasets``), where
Keras looks for them, too.
"""

from fovea.keras.datasets import cifar10, cifar100, fashion_mnist, mnist

__all__ = ["cifar10", "cifar100", "fashion_mnist", "mnist"]
