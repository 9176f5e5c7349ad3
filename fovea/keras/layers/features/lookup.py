"""Words and integers by their place in a vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes, watching
from fovea.errors import ArgumentError
from fovea.functions.creation import from_numpy
from fovea.functions.ordering import searchsorted
from fovea.functions.pointwise import where
from fovea.keras.layers.features.encoding import host
from fovea.keras.layers.features.vocabulary import DROPPED, Array, Vocabulary
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

__all__ = ["IntegerLookup", "StringLookup"]


class StringLookup(Vocabulary):
    """Words by their place in a vocabulary.

    Args:
        max_tokens: the most places there may be.
        num_oov_indices: how many places words have that are not in the vocabulary: with several,
            hashes tell which; with 0 such words are an error.
        mask_token: the word that place 0 is kept for, or that encodings leave out.
        oov_token: what stands for unknown words.
        vocabulary: the words, or a text file with one a line; else ``adapt`` learns them.
        idf_weights: for each word, in mode ``"tf_idf"``.
        invert: give words (an array of text) for places.
        output_mode: ``"int"``; how `CategoryEncoding` writes numbers; or ``"tf_idf"``, counts with
            less weight for words that are in many documents.
        pad_to_max_tokens: let encodings have ``max_tokens`` columns.
        salt: an integer, or two, for other hashes.

    >>> layer = StringLookup(vocabulary=["cat", "dog"])
    >>> layer([["dog", "cow"]]).tolist(), layer.get_vocabulary()
    ([[2, 0]], ['[UNK]', 'cat', 'dog'])
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str = "[UNK]",
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        salt: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert,
            output_mode, pad_to_max_tokens, sparse, salt, name=name, **kwargs,
        )  # fmt: skip
        self.encoding = encoding


class IntegerLookup(Vocabulary):
    """Integers by their place in a vocabulary.

    Args: those of `StringLookup`, and
        oov_method: which of several places an unknown integer has: ``"floormod"`` (the remainder)
            or ``"farmhash"``.

    >>> IntegerLookup(vocabulary=[12, 36])(np.array([[36, 5]])).tolist()
    [[2, 0]]
    """

    kind = int

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: Any = None,
        vocabulary_dtype: str = "int64",
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        salt: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if vocabulary_dtype != "int64":
            raise ArgumentError(
                f"IntegerLookup: vocabulary_dtype is 'int64', got {vocabulary_dtype!r}."
            )
        if oov_method not in ("floormod", "farmhash"):
            raise ArgumentError(
                f"IntegerLookup: oov_method is 'floormod' or 'farmhash', got {oov_method!r}."
            )
        if salt is not None and oov_method != "farmhash":
            raise ArgumentError("IntegerLookup: salt goes with oov_method='farmhash'.")
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert,
            output_mode, pad_to_max_tokens, sparse, salt, name=name, **kwargs,
        )  # fmt: skip
        self.vocabulary_dtype, self.oov_method = vocabulary_dtype, oov_method

    def _hold_terms(self, terms: list[Any]) -> None:
        super()._hold_terms(terms)
        order = np.argsort(np.array(terms, np.int64))
        table = (np.array(terms, np.int64)[order], order + self._start)
        self.__dict__["_table"] = tuple(from_numpy(t.astype(np.int64)) for t in table)

    def lookup(self, inputs: Any) -> Tensor:
        """Of a tensor by ops, which compiled programs keep."""
        hashed = self.num_oov_indices > 1 and self.oov_method != "floormod"
        if not is_tensor(inputs) or hashed or not self._terms:
            return super().lookup(inputs)
        x, (terms, places) = inputs.to(dtypes.int64), self._table
        at = searchsorted(terms, x).clamp(0, len(self._terms) - 1)
        known = terms[at] == x
        if self.mask_token is not None:
            masked = x == self.mask_token
            known = known | masked
        if self.num_oov_indices == 0:
            watching.look(known, lambda found: self._check_known(found, inputs))
        many = self.num_oov_indices > 1
        unknown = x.remainder(self.num_oov_indices) + self._masks if many else self._masks
        found = where(known, places[at], unknown)
        if self.mask_token is not None:
            found = where(masked, 0 if self.output_mode == "int" else DROPPED, found)
        return found

    def _check_known(self, known: Array, inputs: Any) -> None:
        if not known.all():
            self._places_of_unknown(host(inputs)[~known])

    def _places_of_unknown(self, terms: Array) -> Any:
        if self.num_oov_indices > 1 and self.oov_method == "floormod":
            return self._masks + terms.astype(np.int64) % self.num_oov_indices
        return super()._places_of_unknown(terms)
