"""Keras's small helpers."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from fovea import random as fovea_random
from fovea.errors import ArgumentError
from fovea.keras import dtype_policies
from fovea.keras.config import standardize_dtype
from fovea.keras.keras_tensor import is_keras_tensor
from fovea.keras.models.data import PyDataset, unpack_x_y_sample_weight
from fovea.keras.naming import reset_names
from fovea.keras.objects import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)
from fovea.tensorbase import is_tensor
from fovea.training.progress import Progbar

__all__ = [
    "CustomObjectScope",
    "Progbar",
    "PyDataset",
    "Sequence",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "is_keras_tensor",
    "normalize",
    "pack_x_y_sample_weight",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "standardize_dtype",
    "to_categorical",
    "unpack_x_y_sample_weight",
]

Sequence = PyDataset


def set_random_seed(seed: int) -> None:
    """Seed Python's, NumPy's and fovea's random numbers.

    Raises:
        ArgumentError: no integer.

    >>> import fovea
    >>> set_random_seed(0)
    >>> a = fovea.rand(2)
    >>> set_random_seed(0)
    >>> fovea.equal(a, fovea.rand(2))
    True
    """
    if not isinstance(seed, int | np.integer):
        raise ArgumentError(f"set_random_seed: the seed must be an integer, got {seed!r}.")
    random.seed(int(seed))
    np.random.seed(int(seed))
    fovea_random.manual_seed(int(seed))


def clear_session(free_memory: bool = True) -> None:
    """Forget the names that were given (the next layer is ``dense`` again) and the dtype policy."""
    reset_names()
    dtype_policies.reset()


def to_categorical(x: Any, num_classes: int | None = None) -> Any:
    """Integer labels as one-hot rows of float32; a tensor gives a tensor.

    Args:
        x: labels from 0, of any shape; a last dimension of 1 is dropped.
        num_classes: the rows' length; the largest label plus one unless given.

    Raises:
        ArgumentError: a label that is negative or too large.

    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    labels = (x._array() if is_tensor(x) else np.asarray(x)).astype(np.int64)
    shape = labels.shape
    if len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    flat = labels.reshape(-1)
    classes = num_classes or (int(flat.max()) + 1 if flat.size else 0)
    if flat.size and (flat.min() < 0 or flat.max() >= classes):
        wrong = flat[(flat < 0) | (flat >= classes)][0]
        raise ArgumentError(f"to_categorical: label {wrong} is outside the {classes} classes.")
    rows = np.zeros((flat.size, classes), np.float32)
    rows[np.arange(flat.size), flat] = 1
    found = rows.reshape((*shape, classes))
    if is_tensor(x):
        from fovea.functions.creation import from_numpy

        return from_numpy(found)
    return found


def normalize(x: Any, axis: int = -1, order: int = 2) -> Any:
    """An array divided by its norm along ``axis``.

    >>> normalize(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    """
    norm = np.atleast_1d(np.linalg.norm(x, order, axis))
    norm[norm == 0] = 1
    return x / np.expand_dims(norm, axis)


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """A batch as a tuple without what is missing; ``x`` alone if it is one thing."""
    if y is None:
        return (x,) if isinstance(x, list | tuple) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)
