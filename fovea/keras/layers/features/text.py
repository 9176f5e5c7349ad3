"""Text as places of its words in a vocabulary."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import ArgumentError, ShapeError
from fovea.functions.creation import from_numpy
from fovea.keras import config
from fovea.keras.layers.features.discretization import batches
from fovea.keras.layers.features.encoding import check_mode, host
from fovea.keras.layers.features.lookup import StringLookup
from fovea.keras.layers.features.vocabulary import MODES
from fovea.keras.layers.layer import Layer
from fovea.keras.objects import deserialize_keras_object

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["TextVectorization"]

Array = np.ndarray[Any, Any]
# ASCII only, as TensorFlow's kernels have it.
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_NO_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation))
_STANDARDIZE: dict[str, dict[int, Any]] = {
    "lower": _LOWER,
    "strip_punctuation": _NO_PUNCTUATION,
    "lower_and_strip_punctuation": {**_LOWER, **_NO_PUNCTUATION},
}
_WORD = re.compile(r"[^ \t\n\r\f\v]+")
_SPLIT: dict[str, Callable[[str], list[str]]] = {"whitespace": _WORD.findall, "character": list}


class TextVectorization(Layer):
    """Text as places of its words in a vocabulary.

    Args:
        max_tokens: the most places there may be.
        standardize: what is done to the text first: ``"lower_and_strip_punctuation"``,
            ``"lower"``, ``"strip_punctuation"``, a function of an array of text, or None.
        split: into what: ``"whitespace"``, ``"character"``, a function of an array of text that
            gives a list of words for each, or None.
        ngrams: n for all runs of one to n words, or a tuple of lengths of runs.
        output_mode: ``"int"`` (N, words), filled up with 0; or ``"multi_hot"``, ``"count"`` or
            ``"tf_idf"`` (N, terms).
        output_sequence_length: words that are kept and filled up to, in mode ``"int"``.
        pad_to_max_tokens, vocabulary, idf_weights: those of `StringLookup`.

    Inputs: lists or arrays of strings, (N,) or (N, 1).

    >>> layer = TextVectorization()
    >>> layer.adapt(["a cat", "a dog"])
    >>> layer.get_vocabulary()
    ['', '[UNK]', 'a', 'dog', 'cat']
    >>> layer(["A dog, a cow!", "cat"]).tolist()
    [[2, 3, 2, 1], [4, 0, 0, 0]]
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: Any = "lower_and_strip_punctuation",
        split: Any = "whitespace",
        ngrams: Any = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        sparse: bool = False,
        ragged: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        known = {k: kwargs.pop(k) for k in ("has_input_vocabulary",) if k in kwargs}
        kwargs.pop("vocabulary_size", None)
        super().__init__(name=name, **kwargs)
        mode = check_mode("TextVectorization", output_mode, MODES, sparse or ragged)
        for key, given, options in (
            ("standardize", standardize, _STANDARDIZE),
            ("split", split, _SPLIT),
        ):
            if not (given is None or callable(given) or given in options):
                raise ArgumentError(
                    f"TextVectorization: {key} is one of {tuple(options)}, a function or None, got "
                    f"{given!r}."
                )
        if output_sequence_length is not None and mode != "int":
            raise ArgumentError(
                "TextVectorization: output_sequence_length goes with output_mode='int'."
            )
        ngrams = tuple(ngrams) if isinstance(ngrams, list) else ngrams
        if not (ngrams is None or isinstance(ngrams, int | tuple)):
            raise ArgumentError(
                f"TextVectorization: ngrams is a number or a tuple, got {ngrams!r}."
            )
        own = self.__dict__
        own["standardize"], own["split"], own["ngrams"] = standardize, split, ngrams
        self.max_tokens, self.output_mode = max_tokens, mode
        self.output_sequence_length, self.pad_to_max_tokens = (
            output_sequence_length,
            pad_to_max_tokens,
        )
        self.sparse, self.ragged, self.encoding = sparse, ragged, encoding
        own["_lookup"] = StringLookup(
            max_tokens=max_tokens, vocabulary=vocabulary, idf_weights=idf_weights, mask_token="",
            pad_to_max_tokens=pad_to_max_tokens, output_mode=mode, encoding=encoding, **known,
        )  # fmt: skip
        self.built = True

    def _as_input(self, value: Any) -> Any:
        return value

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The words by their places."""
        found: list[str] = self._lookup.get_vocabulary(include_special_tokens)
        return found

    def vocabulary_size(self) -> int:
        """How many places there are."""
        return int(self._lookup.vocabulary_size())

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Take these words; see `StringLookup.set_vocabulary`."""
        self._lookup.set_vocabulary(vocabulary, idf_weights)

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Learn the words of data, the most frequent first: an array or a list of texts, or an
        iterable of batches of them.
        """
        self.reset_state()
        for batch in batches(data, steps, (list, tuple)):
            self.update_state(batch)
        self.finalize_state()

    def reset_state(self) -> None:
        """Forget the data seen."""
        self._lookup.reset_state()

    def update_state(self, data: Any) -> None:
        """Take in a batch of texts."""
        self._lookup._count(self.words(np.atleast_1d(host(data))))

    def finalize_state(self) -> None:
        """Make the vocabulary of the data seen."""
        self._lookup.finalize_state()

    def words(self, texts: Array) -> list[list[str]]:
        """The words (or runs of words) of each text."""
        if callable(self.standardize):
            texts = host(self.standardize(texts))
        flat = texts.reshape(texts.shape[0], -1)
        if self.split is not None and flat.shape[1] != 1:
            raise ShapeError(f"{self.name}: texts are (N,) or (N, 1), got {texts.shape}.")
        if isinstance(self.standardize, str):
            table = _STANDARDIZE[self.standardize]
            rows = [[text.translate(table) for text in row] for row in flat.tolist()]
        else:
            rows = flat.tolist()
        if callable(self.split):
            rows = [list(row) for row in self.split(np.array([row[0] for row in rows]))]
        elif self.split is not None:
            rows = [_SPLIT[self.split](row[0]) for row in rows]
        if self.ngrams is None:
            return rows
        lengths = range(1, self.ngrams + 1) if isinstance(self.ngrams, int) else self.ngrams
        return [
            [" ".join(row[i : i + n]) for n in lengths for i in range(len(row) - n + 1)]
            for row in rows
        ]

    def call(self, inputs: Any) -> Tensor:
        texts = host(inputs)
        rows = self.words(np.atleast_1d(texts))
        longest = max((len(row) for row in rows), default=0)
        if self.output_mode == "int" and self.output_sequence_length is not None:
            longest = self.output_sequence_length
        filled = np.array([[*row, *[""] * (longest - len(row))][:longest] for row in rows], str)
        filled = filled.reshape(len(rows), longest)
        if self.split is None and texts.ndim < 2 and self.output_sequence_length is None:
            filled = filled.reshape(texts.shape)
        elif texts.ndim == 0:
            filled = filled[0]
        if self.output_mode == "int":
            return from_numpy(self._lookup.places(filled))
        found: Tensor = self._lookup.call(filled)
        return found

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        if self.output_mode == "int":
            return (input_shape[0], self.output_sequence_length)
        return (input_shape[0], self._lookup._depth)

    def output_dtype(self, x: Any) -> str:
        return config.floatx() if self.output_mode == "tf_idf" else "int64"

    def get_config(self) -> dict[str, Any]:
        found = super().get_config()
        learned = self._lookup.get_config()
        for key in ("vocabulary", "idf_weights", "vocabulary_size"):
            found[key] = learned[key]
        return found

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        given = dict(config)
        for key in ("standardize", "split"):
            if isinstance(given.get(key), dict):
                given[key] = deserialize_keras_object(given[key])
        return cls(**given)
