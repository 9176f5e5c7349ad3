"""Labels and batches as arrays: one-hot rows, unit vectors, sequences of one length."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.errors import ArgumentError
from fovea.keras.keras_tensor import is_keras_tensor
from fovea.tensorbase import is_tensor

__all__ = ["normalize", "pack_x_y_sample_weight", "pad_sequences", "to_categorical"]


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
    """An array, tensor or symbolic tensor divided by its norm along ``axis``.

    Args:
        x: of any shape, which stays; arrays and lists give arrays.
        axis: along which norms are taken.
        order: of the norm; 2 is the Euclidean one.

    >>> normalize(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    >>> from fovea import keras
    >>> normalize(keras.Input((2,))).shape
    (None, 2)
    """
    if is_tensor(x) or is_keras_tensor(x):
        from fovea.keras.ops import normalize as of_tensors

        return of_tensors(x, axis, order)
    norm = np.atleast_1d(np.linalg.norm(x, order, axis))
    norm[norm == 0] = 1
    return x / np.expand_dims(norm, axis)


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """A batch as a tuple without what is missing; ``x`` alone if it is one thing."""
    if y is None:
        return (x,) if isinstance(x, list | tuple) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def pad_sequences(
    sequences: Any,
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray[Any, Any]:
    """Lists of different lengths as rows of one array.

    Args:
        sequences: lists (of numbers, or of equal arrays).
        maxlen: the rows' length; the longest list's unless given.
        dtype: of the array.
        padding: where ``value`` fills up: ``"pre"`` (in front) or ``"post"``.
        truncating: where longer lists are cut: ``"pre"`` or ``"post"``.

    Raises:
        ArgumentError: no lists, or lists of unlike items.

    >>> pad_sequences([[1], [2, 3, 4]], maxlen=2)
    array([[0, 1],
           [3, 4]], dtype=int32)
    """
    for key, given in (("padding", padding), ("truncating", truncating)):
        if given not in ("pre", "post"):
            raise ArgumentError(f"pad_sequences: {key} is 'pre' or 'post', got {given!r}.")
    if not hasattr(sequences, "__len__") or any(not hasattr(s, "__len__") for s in sequences):
        raise ArgumentError("pad_sequences: sequences must be a list of lists.")
    arrays = [np.asarray(s) for s in sequences]
    length = max((len(a) for a in arrays), default=0) if maxlen is None else maxlen
    item = next((a.shape[1:] for a in arrays if len(a)), ())
    kind = np.dtype(object if isinstance(value, str) and dtype is object else dtype)
    rows = np.full((len(arrays), length, *item), value, kind)
    for row, array in zip(rows, arrays, strict=True):
        if not len(array):
            continue
        if array.shape[1:] != item:
            raise ArgumentError(
                f"pad_sequences: items of shape {array.shape[1:]} and {item} do not go together."
            )
        kept = array[max(len(array) - length, 0) :] if truncating == "pre" else array[:length]
        place = slice(length - len(kept), None) if padding == "pre" else slice(len(kept))
        row[place] = kept
    return rows
