"""A vocabulary: terms and their places, given or learned."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea import dtypes
from fovea.errors import ArgumentError, FileFormatError
from fovea.functions.creation import from_numpy
from fovea.keras import config
from fovea.keras.layers.features.discretization import batches
from fovea.keras.layers.features.encoding import check_mode, encoded, encoded_shape, host
from fovea.keras.layers.features.hashing import bins_of, check_salt
from fovea.keras.layers.layer import Layer
from fovea.tensorbase import is_tensor

if TYPE_CHECKING:
    from fovea.tensor import Tensor

if TYPE_CHECKING:
    pass

__all__ = ["MODES", "Vocabulary"]

Array = np.ndarray[Any, Any]
MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")
DROPPED = np.iinfo(np.int64).max  # no class: encodings leave it out


class Vocabulary(Layer):
    """What `StringLookup` and `IntegerLookup` have in common.

    The first places are those of the mask (in mode ``"int"``) and of what is not in the vocabulary;
    the terms follow.
    """

    takes_integers = True
    kind: type = str

    def __init__(
        self,
        max_tokens: int | None,
        num_oov_indices: int,
        mask_token: Any,
        oov_token: Any,
        vocabulary: Any,
        idf_weights: Any,
        invert: bool,
        output_mode: str,
        pad_to_max_tokens: bool,
        sparse: bool,
        salt: Any,
        **kwargs: Any,
    ) -> None:
        known = kwargs.pop("has_input_vocabulary", vocabulary is not None)
        kwargs.pop("vocabulary_size", None)
        super().__init__(**kwargs)
        name = type(self).__name__
        self.output_mode = check_mode(name, output_mode, MODES, sparse)
        if max_tokens is not None and max_tokens <= 1:
            raise ArgumentError(f"{name}: max_tokens must be greater than 1, got {max_tokens}.")
        if pad_to_max_tokens and max_tokens is None:
            raise ArgumentError(f"{name}: pad_to_max_tokens needs max_tokens.")
        if num_oov_indices < 0:
            raise ArgumentError(
                f"{name}: num_oov_indices must not be negative, got {num_oov_indices}."
            )
        if invert and self.output_mode != "int":
            raise ArgumentError(f"{name}: invert goes with output_mode='int'.")
        self.max_tokens, self.num_oov_indices = max_tokens, num_oov_indices
        self.mask_token, self.oov_token = mask_token, oov_token
        self.invert, self.pad_to_max_tokens, self.sparse = invert, pad_to_max_tokens, sparse
        self.salt = check_salt(name, salt)
        own = self.__dict__
        own["_given"], own["_terms"], own["_weights"] = bool(known), [], None
        self.reset_state()
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)
        elif idf_weights is not None:
            raise ArgumentError(f"{name}: idf_weights go with a vocabulary.")
        self.built = True

    def _as_input(self, value: Any) -> Any:
        return value  # words, too

    # -- the vocabulary -----------------------------------------------------------------------

    @property
    def _masks(self) -> int:
        return int(self.mask_token is not None and self.output_mode == "int")

    @property
    def _start(self) -> int:
        """The place of the first term."""
        return self._masks + int(self.num_oov_indices)

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The terms by their places; with what stands for masks and unknown terms in front."""
        special = [self.mask_token] * self._masks + [self.oov_token] * self.num_oov_indices
        return [*(special if include_special_tokens else ()), *self._terms]

    def vocabulary_size(self) -> int:
        """How many places there are."""
        return self._start + len(self._terms)

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Take these terms.

        Args:
            vocabulary: a list or an array, with or without the special tokens in front, or the
                path of a text file with a term a line.
            idf_weights: for each term, if ``output_mode`` is ``"tf_idf"``.

        Raises:
            ArgumentError: no terms, terms that come twice, or more than ``max_tokens``.
        """
        if (idf_weights is not None) != (self.output_mode == "tf_idf"):
            raise ArgumentError(f"{self.name}: idf_weights go with output_mode='tf_idf'.")
        if isinstance(vocabulary, str | Path):
            vocabulary = self._lines(Path(vocabulary))
        terms = [self.kind(v) for v in host(vocabulary).ravel().tolist()]
        if not terms:
            raise ArgumentError(f"{self.name}: the vocabulary is empty.")
        special = [self.mask_token] * self._masks + [self.oov_token] * self.num_oov_indices
        whole = bool(special) and terms[: self._start] == special
        terms = terms[self._start :] if whole else terms
        self._check_terms(terms, special)
        self._hold_terms(terms)
        if idf_weights is not None:
            weights = np.asarray(host(idf_weights), np.float32)
            if weights.shape != (len(terms) + (self._start if whole else 0),):
                raise ArgumentError(
                    f"{self.name}: idf_weights are one a term, got {weights.shape}."
                )
            self.__dict__["_weights"] = weights[self._start :] if whole else weights
            self.__dict__["_unknown"] = weights[: self._start] if whole else None

    def _lines(self, path: Path) -> list[str]:
        if not path.is_file():
            raise FileFormatError(f"{self.name}: there is no vocabulary file {path}.")
        lines = path.read_text(encoding="utf-8").splitlines()
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _check_terms(self, terms: list[Any], special: list[Any]) -> None:
        twice = [term for term, count in Counter(terms).items() if count > 1]
        if twice:
            raise ArgumentError(f"{self.name}: terms come more than once: {twice[:10]}.")
        reserved = [
            t for t in (self.mask_token, self.oov_token if self.invert else None) if t in terms
        ]
        if [t for t in reserved if t is not None]:
            raise ArgumentError(
                f"{self.name}: {reserved[0]!r} is reserved, but stands among the terms.",
                fix=f"leave special tokens out, or begin with {special}",
            )
        if self.max_tokens is not None and self._start + len(terms) > self.max_tokens:
            raise ArgumentError(
                f"{self.name}: {self._start + len(terms)} terms, but max_tokens={self.max_tokens}."
            )

    def _hold_terms(self, terms: list[Any]) -> None:
        own = self.__dict__
        own["_terms"], own["_unknown"] = terms, None
        own["_places"] = {term: self._start + i for i, term in enumerate(terms)}

    # -- learning it --------------------------------------------------------------------------

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learn the terms of data, the most frequent first: an array or a list, or an iterable of
        batches.

        Raises:
            ArgumentError: the vocabulary was given.
        """
        self.reset_state()
        for batch in batches(data, steps, (list, tuple)):
            if batch is data:
                rows = self._rows(batch)
                self._count([[t] for t in rows] if rows and not _nested(rows) else rows)
            else:
                self.update_state(batch)
        self.finalize_state()

    def reset_state(self) -> None:
        """Forget the data seen."""
        own = self.__dict__
        own["_counts"], own["_documents"], own["_seen"] = Counter(), Counter(), 0

    def update_state(self, data: Any) -> None:
        """Take in a batch: documents of terms, or one document."""
        rows = self._rows(data)
        self._count(rows if _nested(rows) else [rows])

    def _rows(self, data: Any) -> list[Any]:
        if isinstance(data, list | tuple) and _nested(data):
            return [host(row).ravel().tolist() for row in data]  # of any lengths
        values = host(data)
        values = values.reshape(1) if values.ndim == 0 else values
        flat = values.reshape(values.shape[0], -1) if values.ndim > 2 else values
        found: list[Any] = flat.tolist()
        return found

    def _count(self, documents: list[list[Any]]) -> None:
        if self._given:
            raise ArgumentError(f"{self.name}: the vocabulary was given; there is none to learn.")
        for document in documents:
            self._counts.update(document)
            self._documents.update(set(document))
        self.__dict__["_seen"] += len(documents)

    def finalize_state(self) -> None:
        """Make the vocabulary of the data seen."""
        if self._given or not self._counts:
            return
        for token in (self.mask_token, self.oov_token):
            self._counts.pop(token, None)
        # By frequency, then by the terms themselves, both falling.
        terms = sorted(self._counts, key=lambda t: (self._counts[t], t), reverse=True)
        if self.max_tokens is not None:
            terms = terms[: self.max_tokens - self._start]
        self._hold_terms([self.kind(t) for t in terms])
        if self.output_mode == "tf_idf":
            holding = np.array([self._documents[t] for t in terms], np.float64)
            weights = np.log(1 + self._seen / (1 + holding))
            self.__dict__["_weights"] = weights.astype(np.float32)
        self.reset_state()

    # -- looking up ---------------------------------------------------------------------------

    def call(self, inputs: Any) -> Any:
        if self.invert:
            return self._terms_at(host(inputs))
        if self.output_mode != "int" and not self._terms and not self.pad_to_max_tokens:
            raise ArgumentError(f"{self.name}: there is no vocabulary yet.", fix="call adapt(data)")
        places = self.lookup(inputs)
        if self.output_mode == "int":
            return places
        mode = "count" if self.output_mode == "tf_idf" else self.output_mode
        found = encoded(places, mode, self._depth, dtypes.int64)
        if self.output_mode == "tf_idf":
            return found.to(config.as_dtype(None)) * from_numpy(self._all_weights())
        return found

    def lookup(self, inputs: Any) -> Tensor:
        """The places of terms."""
        return from_numpy(self.places(host(inputs)))

    def places(self, values: Array) -> Array:
        """int64: the place of each term."""
        distinct, back = np.unique(values, return_inverse=True)
        places = np.array([self._places_of(t) for t in distinct.tolist()], np.int64)
        missing = places < 0
        if missing.any():
            places[missing] = self._places_of_unknown(distinct[missing])
        return np.asarray(places[back.reshape(-1)].reshape(values.shape))

    def _places_of(self, term: Any) -> int:
        if self.mask_token is not None and term == self.mask_token:
            return 0 if self.output_mode == "int" else DROPPED
        return int(self.__dict__.get("_places", {}).get(term, -1))

    def _places_of_unknown(self, terms: Array) -> Any:
        count = self.num_oov_indices
        if count == 0:
            raise ArgumentError(
                f"{self.name}: {terms[:5].tolist()} are not in the vocabulary.",
                fix="num_oov_indices=1 keeps a place for them",
            )
        return self._masks + (bins_of(terms, count, self.salt) if count > 1 else 0)

    def _terms_at(self, places: Array) -> Any:
        """The terms at places: an array of text, or a tensor of integers."""
        table = self.get_vocabulary()
        mask, oov = self.mask_token, self.oov_token
        table = [oov if i < self._start else t for i, t in enumerate(table)]
        if mask is not None:
            table[0] = mask
        whole = places.astype(np.int64)
        inside = (whole >= 0) & (whole < len(table))
        found = np.array([*table, oov])[np.where(inside, whole, len(table))]
        return found if self.kind is str else from_numpy(found.astype(np.int64))

    @property
    def _depth(self) -> int:
        most = self.max_tokens if self.pad_to_max_tokens else None
        return self.vocabulary_size() if most is None else most

    def _all_weights(self) -> Array:
        """The weight of each place: the mean for unknown terms, zero where there is none."""
        if self._weights is None:
            raise ArgumentError(f"{self.name}: there are no weights yet.", fix="call adapt(data)")
        unknown = self.__dict__.get("_unknown")
        front = np.full(self._start, self._weights.mean()) if unknown is None else unknown
        found = np.zeros(self._depth, config.as_dtype(None).numpy)
        both = np.concatenate([front, self._weights])
        found[: len(both)] = both
        return found

    # -- shapes and files ---------------------------------------------------------------------

    def compute_output_shape(self, input_shape: Any, **kwargs: Any) -> Any:
        mode = "count" if self.output_mode == "tf_idf" else self.output_mode
        return encoded_shape(input_shape, mode, self._depth)

    def output_dtype(self, x: Any) -> str:
        return config.floatx() if self.output_mode == "tf_idf" else "int64"

    def get_config(self) -> dict[str, Any]:
        found = super().get_config()
        found["vocabulary"] = list(self._terms) or None
        found["idf_weights"] = None if self._weights is None else self._weights.tolist()
        found["vocabulary_size"] = self.vocabulary_size() if self._terms else None
        return found

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        if isinstance(config.get("vocabulary"), str):
            raise ArgumentError(
                f"{cls.__name__}: a configuration names the file {config['vocabulary']!r}, which "
                "is not read.",
                fix="make the layer yourself and call set_vocabulary(path)",
            )
        return cls(**config)


def _nested(rows: Any) -> bool:
    return any(isinstance(row, list | tuple | np.ndarray) or is_tensor(row) for row in rows)
