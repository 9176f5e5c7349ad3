"""Calls of the layers that make numbers of words and categories, and what Keras on TensorFlow gives
for them (``features.json``): on PyTorch, Keras has none of these layers.

    KERAS_BACKEND=tensorflow python tests/keras/feature_cases.py     writes the file
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("features.json")
WORDS = ["a", "b", "c"]
TEXTS = ["The Quick, brown fox!", "hello  World\tfoo", "É A b, a_b"]
# Of every length that hashes tell apart.
LONG = [(string.printable * 3)[n : 2 * n + 1] for n in range(140)]
NUMBERS = [0, 1, 2, 3, -4, 11, 2**40, -(2**63)]


def adapted(layer: Any, data: Any) -> Any:
    layer.adapt(data)
    return layer


def text(layers: Any, texts: Any = TEXTS, **config: Any) -> list[Any]:
    layer = adapted(layers.TextVectorization(**config), texts)
    given = np.array(["the fox fox", "", "É b unknown foo"])
    found = [layer(given), layer(given[:, None]), layer("hello the")]
    return [[str(word) for word in layer.get_vocabulary()], *found]


def lookup(layers: Any, shape: tuple[int, ...], **config: Any) -> Any:
    given = np.array(["a", "z", "b", "b", "", "c"]).reshape(shape)
    return layers.StringLookup(vocabulary=WORDS, **config)(given)


def cases(layers: Any) -> dict[str, Callable[[], Any]]:
    """What is called, by name."""
    found: dict[str, Callable[[], Any]] = {
        "farmhash": lambda: layers.Hashing(2**31 - 1)(np.array(LONG)),
        "siphash": lambda: layers.Hashing(2**31 - 1, salt=[7, 2**33 + 1])(np.array(LONG)),
        "hashed integers": lambda: layers.Hashing(1000)(np.array(NUMBERS)),
        "hashed floats": lambda: layers.Hashing(1000)(np.array([1.9, -3.2])),
        "hashed mask": lambda: layers.Hashing(9, mask_value="")(np.array(["", "a", "b"])),
        "hashed one bin": lambda: layers.Hashing(1, mask_value="")(np.array(["", "a"])),
        "hashed one_hot": lambda: layers.Hashing(5, output_mode="one_hot")(np.array([["a"], ["b"]])),
        "hashed multi_hot": lambda: layers.Hashing(5, output_mode="multi_hot")(np.array([WORDS] * 2)),
        "hashed count": lambda: layers.Hashing(2, output_mode="count")(np.array([WORDS] * 2)),
        "crossed": lambda: layers.HashedCrossing(2**31 - 1)(
            (np.array(LONG[:8]), np.array(NUMBERS), np.array(NUMBERS[::-1]))
        ),
        "crossed one_hot": lambda: layers.HashedCrossing(5, output_mode="one_hot")(
            (np.array([["a"], ["b"]]), np.array([[1], [2]]))
        ),
        "no number of places": lambda: layers.StringLookup(vocabulary=WORDS, num_oov_indices=0)(
            np.array(["c", "a"])
        ),
        "several unknown": lambda: layers.StringLookup(vocabulary=WORDS, num_oov_indices=5)(
            np.array(LONG[:20])
        ),
        "several unknown, salt": lambda: layers.StringLookup(
            vocabulary=WORDS, num_oov_indices=5, salt=3, mask_token=""
        )(np.array(LONG[:20])),
        "several unknown integers": lambda: layers.IntegerLookup(
            vocabulary=[3], num_oov_indices=3, mask_token=0
        )(np.array(NUMBERS)),
        "several unknown integers, hashed": lambda: layers.IntegerLookup(
            vocabulary=[3], num_oov_indices=3, oov_method="farmhash"
        )(np.array(NUMBERS)),
        "inverted integers": lambda: layers.IntegerLookup(vocabulary=[3, 5], invert=True)(
            np.array([[0, 1], [2, 9]])
        ),
        "special tokens in front": lambda: layers.StringLookup(
            vocabulary=["", "[UNK]", *WORDS], mask_token=""
        )(np.array(["c", "", "q"])),
        "idf": lambda: layers.StringLookup(
            vocabulary=WORDS, output_mode="tf_idf", idf_weights=[0.5, 1.5, 4.0]
        )(np.array([["a", "a", "z"], ["c", "b", "a"]])),
        "idf, padded": lambda: layers.StringLookup(
            vocabulary=WORDS, output_mode="tf_idf", idf_weights=[0.5, 1.5, 4.0], max_tokens=6,
            pad_to_max_tokens=True, num_oov_indices=2,
        )(np.array([["a", "a", "z"], ["c", "b", "y"]])),
        "learned idf": lambda: adapted(
            layers.IntegerLookup(output_mode="tf_idf", max_tokens=4),
            np.array([[1, 1, 1, 2], [5, 2, 2, 2], [7, 2, 1, 9]]),
        )(np.array([[1, 1, 2], [5, 7, 9]])),
        "learned integers": lambda: adapted(
            layers.IntegerLookup(max_tokens=4), np.array([[4, 1, 1], [7, 7, 1], [-1, -1, 3]])
        ).get_vocabulary(),
        "learned from a list": lambda: adapted(
            layers.StringLookup(output_mode="tf_idf"), ["a", "b", "a", "c"]
        )(np.array([["a", "c", "q"]])),
        "learned from batches": lambda: adapted(
            layers.StringLookup(mask_token=""), iter([np.array(["a", "b"]), np.array([["c", "b"]])])
        ).get_vocabulary(),
    }  # fmt: skip
    for mode in ("int", "one_hot", "multi_hot", "count"):
        for shape in ((6,), (3, 2), (6, 1)):
            for mask in (None, ""):
                found[f"lookup {mode} {shape} {mask!r}"] = lambda m=mode, s=shape, k=mask: lookup(
                    layers, s, output_mode=m, mask_token=k
                )
        found[f"discretized {mode}"] = lambda m=mode: layers.Discretization(
            bin_boundaries=[0.0, 1.0, 2.5], output_mode=m
        )(np.array([[-1.0, 0.0, 0.5], [2.5, 9.0, 1.0]]))
    for bins, epsilon in ((4, 0.01), (3, 0.1), (7, 0.05)):
        data = np.random.default_rng(bins).normal(size=(90, 3)).astype("float32")
        found[f"learned boundaries {bins}"] = lambda b=bins, e=epsilon, d=data: (
            adapted(layers.Discretization(num_bins=b, epsilon=e), d).bin_boundaries
        )
        found[f"boundaries of batches {bins}"] = lambda b=bins, e=epsilon, d=data: (
            adapted(
                layers.Discretization(num_bins=b, epsilon=e), iter([d[:30], d[30:50], d[50:]])
            ).bin_boundaries
        )
    for config in (
        {}, {"ngrams": 2}, {"ngrams": (2, 3)}, {"split": "character"}, {"standardize": None},
        {"standardize": "lower"}, {"standardize": "strip_punctuation"}, {"max_tokens": 5},
        {"output_sequence_length": 2}, {"output_sequence_length": 9}, {"output_mode": "multi_hot"},
        {"output_mode": "count"}, {"output_mode": "tf_idf"}, {"split": None},
        {"output_mode": "count", "pad_to_max_tokens": True, "max_tokens": 20},
        {"output_mode": "tf_idf", "ngrams": 2, "max_tokens": 6},
    ):  # fmt: skip
        found[f"text {config}"] = lambda c=config: text(layers, **c)
    return found


def plain(value: Any) -> Any:
    """Tensors and arrays as lists."""
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "numpy"):
        value = value.numpy()
    return value.tolist() if hasattr(value, "tolist") else value


if __name__ == "__main__":
    import keras

    FILE.write_text(
        json.dumps({k: plain(f()) for k, f in cases(keras.layers).items()}, separators=(",", ":")),
        encoding="utf-8",
    )
